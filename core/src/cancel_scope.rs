//! The cancel scope: the unit of cancellation.
//!
//! ```text
//!   caller ──▶ CancelScope::run ─┬─ body ─────────╳ delivered      ┌──▶ Err(Cancelled)
//!                                │                 ▲               │
//!   handle.cancel("reason") ─────┼─────────────────┘   finalizers ─┘
//!   or the deadline              └─ inner scopes end first, the innermost first
//! ```

mod handle;
mod run;
mod together;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use crate::Instant;
use crate::reason::{Origin, Reason};
use crate::tree::cancel_state::ShieldLevel;
use crate::tree::current;
use crate::tree::flags::CANCELLED;
use crate::tree::inline::Limit;
use crate::tree::node::{Kind, NodeRef, State};
use crate::tree::scope_future::{Plain, ScopeFuture};

pub use handle::ScopeHandle;
pub use run::CancelScopeFuture;
pub use together::{Losers, give_up_together};

/// A region of code that can be cancelled: by a handle, by a deadline, or from a scope around it.
///
/// The scope returns only when everything started inside has ended, for whatever reason the code inside stops: tasks,
/// blocking jobs, inner scopes with their finalizers (law L2). Cancellation goes inside-out: what is innermost ends
/// first, so a local outlives everything that was opened after it (law L19).
///
/// The code inside is dropped at a checkpoint; it never sees an error value. Only [`run`](CancelScope::run) returns
/// one.
///
/// # Examples
///
/// ```
/// use foster::CancelScope;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let scope = CancelScope::new().named("fetch").deadline_after(Duration::from_secs(5));
/// let cancelled = scope.run(foster::sleep_forever()).await.unwrap_err();
/// assert_eq!(cancelled.reason().kind(), foster::scope::ReasonKind::Deadline);
/// assert_eq!(cancelled.scope().name(), "fetch");
/// # });
/// ```
#[must_use = "a scope does nothing unless something runs in it"]
pub struct CancelScope {
    location: &'static Location<'static>,
    limit: Limit,
    kind: Kind,
    name: Option<Cow<'static, str>>,
    grace: Duration,
    node: Option<NodeRef>,
}

impl CancelScope {
    /// A scope without deadline, grace or shield.
    #[inline]
    #[track_caller]
    pub fn new() -> Self {
        CancelScope {
            location: Location::caller(),
            limit: Limit::NONE,
            kind: Kind::CancelScope,
            name: None,
            grace: Duration::ZERO,
            node: None,
        }
    }

    /// A scope with the name and place of something else.
    pub(crate) fn at(origin: Origin) -> Self {
        let (name, location) = origin.into_parts();
        CancelScope { location, ..CancelScope::new() }.called(name)
    }

    /// Names the scope, for reasons, errors and dumps.
    ///
    /// # Panics
    ///
    /// If a handle was taken before.
    #[track_caller]
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        assert!(self.node.is_none(), "name the scope before you take handles to it");
        self.called(name.into())
    }

    fn called(self, name: Cow<'static, str>) -> Self {
        CancelScope { name: Some(name), ..self }
    }

    /// Sets the place where the scope was made, for reasons, errors and dumps: for combinators, whose scopes are made
    /// in a poll, where `#[track_caller]` ends. By default the call of [`new`](CancelScope::new).
    ///
    /// # Panics
    ///
    /// If a handle was taken before.
    #[track_caller]
    #[inline]
    pub fn located(mut self, location: &'static Location<'static>) -> Self {
        assert!(self.node.is_none(), "say where the scope was made before you take handles to it");
        self.location = location;
        self
    }

    /// Cancels the scope `duration` after it is entered. [`Duration::MAX`] is no limit.
    #[inline]
    pub fn deadline_after(self, duration: Duration) -> Self {
        self.limited(Limit::In(duration))
    }

    /// Cancels the scope at an instant; at once, if it has passed. [`Instant::NEVER`] is no limit.
    #[inline]
    pub fn deadline_at(self, at: Instant) -> Self {
        self.limited(Limit::At(at))
    }

    /// How long [`graceful`](crate::graceful) shields inside hold off a request on this scope (law L6). The default is
    /// zero.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        if let Some(node) = &self.node {
            node.lock().cold_mut().grace = grace;
        }
        self
    }

    /// Keeps out what is cancelled further out; the scope's own handle and deadline still work (law L20).
    ///
    /// # Panics
    ///
    /// If a handle was taken before.
    #[track_caller]
    pub fn shielded(mut self) -> Self {
        assert!(self.node.is_none(), "make the scope shielded before you take handles to it");
        self.kind = Kind::Shield;
        self
    }

    /// As [`shielded`](CancelScope::shielded), but only until the hard time of the request further out.
    ///
    /// # Panics
    ///
    /// If a handle was taken before.
    #[track_caller]
    pub fn graceful(mut self) -> Self {
        assert!(self.node.is_none(), "make the scope graceful before you take handles to it");
        self.kind = Kind::Graceful;
        self
    }

    /// A handle to cancel the scope and to move its deadline, from anywhere.
    #[must_use]
    pub fn handle(&mut self) -> ScopeHandle {
        ScopeHandle { node: self.node().clone() }
    }

    fn node(&mut self) -> &NodeRef {
        self.node.get_or_insert_with(|| {
            let name = self.name.clone().unwrap_or(Cow::Borrowed(self.kind.name()));
            let node = NodeRef::unattached(self.kind, Origin::new(name, self.location));
            let mut state = node.lock();
            if self.grace > Duration::ZERO {
                state.cold_mut().grace = self.grace;
            }
            put(self.limit, &mut state);
            drop(state);
            node
        })
    }

    #[inline]
    fn limited(mut self, limit: Limit) -> Self {
        self.limit = limit;
        if let Some(node) = &self.node {
            limit_node(node, limit);
        }
        self
    }

    /// Runs `body` in the scope.
    ///
    /// Entering is no checkpoint: the body is polled once even if the scope is cancelled already, and stops at its
    /// first checkpoint. A body that completes in the poll in which its scope is cancelled has completed (law L12).
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled) if the scope's own request stopped the body. Cancelled from further out, `run`
    /// never returns: the code around it is dropped with it.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: what the body did is done. Dropping the future cancels what is inside; the scope around waits
    /// for it (laws L25–L27).
    ///
    /// # Panics
    ///
    /// Resumes the panic of the body, when everything inside has ended.
    #[inline]
    pub fn run<F: Future>(mut self, body: F) -> CancelScopeFuture<F, F::Output> {
        // A scope to which nobody has a handle needs no node before it has to wait.
        if self.name.is_some() || self.grace > Duration::ZERO {
            self.node();
        }
        let CancelScope { location, limit, kind, node, .. } = self;
        let scoped = match node {
            Some(node) => ScopeFuture::with_node(node, body, Plain),
            None => ScopeFuture::inline(kind, limit, location, body, Plain),
        };
        CancelScopeFuture { scoped }
    }

    /// As [`run`](CancelScope::run), but the scope has its place in the tree from this call on: below the scope around
    /// it, whichever scopes it is polled in. A deadline counts from here.
    ///
    /// For a future that outlives the scopes that poll it, as a stream does whose items are awaited with a time limit
    /// each. Scopes that are cancelled or end there do not touch it; it is cancelled with the scope around this call,
    /// and has to end, or be dropped, before that does. Made outside of any tree, it gets its place at its first poll.
    ///
    /// # Errors
    ///
    /// As [`run`](CancelScope::run).
    ///
    /// # Cancellation
    ///
    /// As [`run`](CancelScope::run).
    ///
    /// # Panics
    ///
    /// As [`run`](CancelScope::run); and when polled after the scope around this call has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{CancelScope, move_on_after, sleep};
    /// use std::{pin::pin, time::Duration};
    ///
    /// # foster_sim::run(1, async {
    /// let ms = Duration::from_millis;
    /// let mut work = pin!(CancelScope::new().run_here(sleep(ms(25))));
    /// let mut looks = 1;
    /// while move_on_after(ms(10), &mut work).await.is_none() {
    ///     looks += 1; // not done yet, and not cancelled either
    /// }
    /// assert_eq!(looks, 3);
    /// # });
    /// ```
    pub fn run_here<F: Future>(mut self, body: F) -> CancelScopeFuture<F, F::Output> {
        let scoped = ScopeFuture::attached(self.node().clone(), body, Plain);
        CancelScopeFuture { scoped }
    }
}

impl Default for CancelScope {
    #[track_caller]
    fn default() -> Self {
        CancelScope::new()
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("name", &self.name)
            .field("location", &self.location)
            .field("limit", &self.limit)
            .field("grace", &self.grace)
            .field("shield", &self.kind.shield())
            .field("cancelled", &self.node.as_ref().is_some_and(|node| node.flagged(CANCELLED)))
            .finish()
    }
}

#[cold]
fn limit_node(node: &NodeRef, limit: Limit) {
    put(limit, &mut node.lock());
}

/// The limit of a scope that was not entered yet.
fn put(limit: Limit, state: &mut State) {
    let relative;
    (state.deadline, relative) = match limit {
        Limit::At(at) => (at, None),
        Limit::In(duration) => (Instant::NEVER, Some(duration)),
    };
    if relative.is_some() || state.cold.is_some() {
        state.cold_mut().relative = relative;
    }
}

/// The instant at which the code that calls this will be cancelled as things stand: the earliest deadline of the scopes
/// around it up to the nearest shield (law L10). `None` if there is none; an instant in the past if it is cancelled
/// already.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// assert_eq!(foster::deadline(), None);
/// let start = foster::Instant::now();
/// foster::move_on_after(Duration::from_secs(10), async {
///     foster::move_on_after(Duration::from_secs(60), async {
///         assert_eq!(foster::deadline(), Some(start + Duration::from_secs(10)));
///     })
///     .await;
/// })
/// .await;
/// # });
/// ```
#[must_use]
pub fn deadline() -> Option<Instant> {
    let mut next = current::try_scope();
    if next.as_ref()?.is_cancelled() {
        return Some(Instant::from_nanos(0));
    }
    // The greatest shield on the way so far. Behind a graceful one a deadline counts with its grace, since only the hard
    // time comes through.
    let (mut behind, mut earliest) = (ShieldLevel::None, Instant::NEVER);
    while let Some(node) = next {
        let state = node.lock();
        let (soft, hard) = match state.request() {
            Some(request) => (request.soft, request.hard),
            None if state.deadline == Instant::NEVER => (Instant::NEVER, Instant::NEVER),
            None => (state.deadline, state.deadline + state.grace()),
        };
        earliest = earliest.min(if behind == ShieldLevel::None { soft } else { hard });
        // After the scope's own deadline: a shield does not hold off that.
        behind = behind.max(node.kind.shield());
        next = if behind == ShieldLevel::Full { None } else { state.parent().cloned() };
    }
    (earliest != Instant::NEVER).then_some(earliest)
}

/// The time that is left until [`deadline`]; zero if the code is cancelled, `None` without a deadline.
#[must_use]
pub fn remaining() -> Option<Duration> {
    deadline().map(|at| at - current::now_for("`remaining`"))
}

/// Why the code that calls this is, or is about to be, cancelled: the reason of the innermost scope with a request that
/// reaches it. `None` if there is none.
#[must_use]
pub fn reason() -> Option<Reason> {
    // L8: exact to the clock.
    current::is_cancelled();
    let mut next = current::try_scope();
    while let Some(node) = next {
        let state = node.lock();
        if let Some(request) = state.request() {
            return Some(request.reason.clone());
        }
        next = if node.kind.shield() == ShieldLevel::Full { None } else { state.parent().cloned() };
    }
    None
}
