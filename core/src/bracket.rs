//! Brackets: a resource that is released on every path, also when its use is cancelled half-way.
//!
//! ```text
//!   acquire ──▶ use ────────▶ Ok ────────────────────┐
//!      │          └──────╳ cancelled, failed, panic ─┤ everything inside ends
//!      │                                             └──▶ release(resource, exit), shielded, within its budget
//!      └──╳ dropped between its awaits, failed, panic: no resource, and no release
//! ```
//!
//! State that has to survive a drop of the future is put on the heap only when the future can be dropped. During the
//! first poll of the body that is the resource, which the body may give back from anywhere. If the body is pending
//! after that poll, its scope gets a node, and the release becomes a finalizer of that node. If it is ready, only the
//! release is left: it is polled at once, and its scope gets a node only if it is pending.

mod lease;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::defer::{DEFAULT_BUDGET, FinalizerOutput};
use crate::finalizer::{self, Begun};
use crate::opening::Opening;
use crate::reason::Reason;
use crate::tree::current;
use crate::tree::inline::{InlineScope, Limit};
use crate::tree::node::{Kind, NodeRef};
use crate::tree::scope_future::{Ending, OwnedScope, Plain, Policy, ScopeFuture};
use lease::{Lease, ReleaseSpec};

pub use lease::ResourceGuard;

/// How the use of a bracket's resource ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BracketExit {
    /// The body has returned; with [`try_bracket`], it has returned `Ok`.
    Returned,
    /// The body of a [`try_bracket`] has returned an error.
    Failed,
    /// The body was cancelled, or dropped by foreign code; with the reason, where the request stands on the bracket
    /// itself.
    Cancelled(Option<Reason>),
    /// The body has panicked.
    Panicked,
}

impl BracketExit {
    /// Returns whether the body has returned, without an error where errors are known: the moment to commit.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, BracketExit::Returned)
    }
}

/// Acquires a resource, lends it to `body`, and releases it when everything that was started inside has ended (law
/// L23).
///
/// The release runs on every path: after a return, an error, a panic, a cancellation, and if the future is dropped by
/// foreign code; it is told how the use ended. It is shielded from everything but its budget ([`DEFAULT_BUDGET`], or
/// [`Bracket::budget`]).
///
/// The body gets the resource as a [`ResourceGuard`] guard, which derefs to it and gives it back when it is dropped. A
/// guard that the body leaks, or moves out as its value, keeps the resource; then there is nothing to release, and the
/// guard's own drop is all that happens.
///
/// Nothing comes between the end of `acquire` and the moment from which the release is sure to run. But `acquire`
/// itself can be cut between two of its awaits, and it can fail. Then there is no resource, and no release, and what a
/// half-done acquisition has opened stays open: a connection that has not logged in yet, a lock file. So make the
/// acquisition one step, or shield it with a limit, `try_bracket(shield(fail_after(limit, open())), …)`; or acquire
/// only what is there without an await, and do the rest in the body.
///
/// # Cancellation
///
/// *Partial effect*: `acquire` is cancelled by its own rules, without a release if that happens before it has returned.
/// After it, the body is cancelled as in a [`CancelScope`](crate::CancelScope), and then the release runs.
///
/// # Panics
///
/// Resumes the panic of the body or of the release, when all has ended. When polled outside of any tree, if no adapter
/// was installed.
///
/// # Examples
///
/// ```
/// use foster::{bracket, move_on_after, sleep, sleep_forever};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let out = move_on_after(
///     Duration::from_secs(1),
///     bracket(
///         async { vec!["begin"] },
///         async |mut log| {
///             log.push("insert");
///             sleep_forever().await
///         },
///         |mut log, exit| async move {
///             sleep(Duration::from_millis(5)).await; // a release may await
///             log.push(if exit.is_success() { "commit" } else { "roll back" });
///             assert_eq!(log, ["begin", "insert", "roll back"]);
///         },
///     ),
/// )
/// .await;
/// assert!(out.is_none());
/// # });
/// ```
///
/// An acquisition of two steps. The deadline comes between them: without the shield it would cut `open` there, and the
/// connection would stay open. With it, `open` goes on to its end or to its own limit, and what it has opened is
/// closed:
///
/// ```
/// use foster::cleanup::try_bracket;
/// use foster::{fail_after, move_on_after, shield, sleep, sleep_forever};
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use std::time::Duration;
///
/// static OPEN: AtomicUsize = AtomicUsize::new(0);
///
/// async fn open() {
///     OPEN.fetch_add(1, Ordering::SeqCst); // connected
///     sleep(Duration::from_secs(2)).await; // logs in
/// }
///
/// # foster_sim::run(1, async {
/// let start = foster::Instant::now();
/// let out = move_on_after(
///     Duration::from_secs(1),
///     try_bracket(
///         shield(fail_after(Duration::from_secs(5), open())),
///         async |_connection| Ok(sleep_forever().await),
///         |(), _exit| async { OPEN.store(0, Ordering::SeqCst) },
///     ),
/// )
/// .await;
/// assert!(out.is_none());
/// assert_eq!(start.elapsed(), Duration::from_secs(2)); // `open` has ended
/// assert_eq!(OPEN.load(Ordering::SeqCst), 0);
/// # });
/// ```
///
/// A limit that passes cuts `open` as well, so what it opens has to be closed by its drop then.
#[track_caller]
pub fn bracket<A, R, B, Fut, C, Rel>(acquire: A, body: B, release: C) -> Bracket<A, R, R, B, Fut, Fut::Output, C>
where
    A: Future<Output = R>,
    R: Send + 'static,
    B: FnOnce(ResourceGuard<R>) -> Fut,
    Fut: Future,
    C: FnOnce(R, BracketExit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    Bracket::new(acquire, body, release, Ok, |_| BracketExit::Returned)
}

/// As [`bracket`], for an `acquire` and a body that return a `Result`: the release learns whether the body failed.
///
/// # Errors
///
/// The error of `acquire`: then there is no release, and `acquire` has to close itself what it has opened. Or the error
/// of the body, after the release.
///
/// # Cancellation
///
/// *Partial effect*, as [`bracket`].
///
/// # Panics
///
/// As [`bracket`].
///
/// # Examples
///
/// ```
/// use foster::cleanup::{BracketExit, try_bracket};
///
/// # foster_sim::run(1, async {
/// let failed: Result<(), &str> = try_bracket(
///     async { Ok("transaction") },
///     async |_tx| Err("constraint violated"),
///     |_tx, exit| async move { assert!(matches!(exit, BracketExit::Failed)) },
/// )
/// .await;
/// assert_eq!(failed, Err("constraint violated"));
/// # });
/// ```
#[track_caller]
pub fn try_bracket<A, R, E, B, Fut, T, C, Rel>(
    acquire: A,
    body: B,
    release: C,
) -> Bracket<A, Result<R, E>, R, B, Fut, Result<T, E>, C>
where
    A: Future<Output = Result<R, E>>,
    R: Send + 'static,
    B: FnOnce(ResourceGuard<R>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: FnOnce(R, BracketExit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    let exit = |output: &Result<T, E>| if output.is_ok() { BracketExit::Returned } else { BracketExit::Failed };
    Bracket::new(acquire, body, release, |output| output.map_err(Err), exit)
}

/// How the outputs of the parts are read. `bracket` and `try_bracket` differ in nothing else.
struct OutputMapping<Acquired, R, T> {
    acquired: fn(Acquired) -> Result<R, T>,
    exit: fn(&T) -> BracketExit,
}

pin_project! {
    #[project = BracketStateProj]
    enum BracketState<A, Acquired, R, B, Fut, T, C> {
        Acquiring { #[pin] acquire: A, parts: Option<(B, C)>, mapping: OutputMapping<Acquired, R, T> },
        BracketBody { #[pin] scope: ScopeFuture<BracketBody<B, R, Fut, C>, T, T, BracketPolicy<R, T, C>> },
        Releasing { #[pin] scope: OwnedScope<T> },
        Done,
    }
}

pin_project! {
    /// Future of [`bracket`] and [`try_bracket`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Bracket<A, Acquired, R, B, Fut, T, C> {
        #[pin]
        state: BracketState<A, Acquired, R, B, Fut, T, C>,
        budget: Duration,
        location: &'static Location<'static>,
    }
}

impl<A, Acquired, R, B, Fut, T, C> Bracket<A, Acquired, R, B, Fut, T, C> {
    #[track_caller]
    fn new(
        acquire: A,
        body: B,
        release: C,
        acquired: fn(Acquired) -> Result<R, T>,
        exit: fn(&T) -> BracketExit,
    ) -> Self {
        let state = BracketState::Acquiring {
            acquire,
            parts: Some((body, release)),
            mapping: OutputMapping { acquired, exit },
        };
        Bracket { state, budget: DEFAULT_BUDGET, location: Location::caller() }
    }

    /// Gives the release another budget of time, counted from its start; [`Duration::MAX`] is no limit.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }
}

pin_project! {
    /// The body of a bracket's scope. In its first poll it registers the release with the scope, unless it is ready
    /// then.
    struct BracketBody<B, R, Fut, C> {
        #[pin]
        body: Opening<B, ResourceGuard<R>, Fut>,
        // Until the end of the first poll.
        lease: Option<Arc<Lease<R, ReleaseSpec<C>>>>,
    }
}

impl<B, R, Fut, T, C, Rel> Future for BracketBody<B, R, Fut, C>
where
    R: Send + 'static,
    B: FnOnce(ResourceGuard<R>) -> Fut,
    Fut: Future<Output = T>,
    C: FnOnce(R, BracketExit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        let Some(lease) = this.lease.take() else { return this.body.poll(cx) };
        // Not later: it has to be registered before the scope acts on the result of this poll.
        let unfinished =
            RunOnDrop(Some(|| current::try_scope().iter().for_each(|scope| lease.register_release(scope))));
        let output = ready!(this.body.poll(cx));
        unfinished.disarm();
        Poll::Ready(output)
    }
}

/// Runs a closure when it is dropped, unless disarmed: after a `Pending`, and when a panic unwinds.
struct RunOnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> RunOnDrop<F> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for RunOnDrop<F> {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

/// The scope policy of brackets: records how the use ended.
struct BracketPolicy<R, T, C> {
    lease: Arc<Lease<R, ReleaseSpec<C>>>,
    exit: fn(&T) -> BracketExit,
}

impl<R, T, C, Rel> Policy<T> for BracketPolicy<R, T, C>
where
    R: Send + 'static,
    C: FnOnce(R, BracketExit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    type Value = T;

    fn value_of(&mut self, node: Option<&NodeRef>, output: T) -> Option<T> {
        self.lease.set_exit((self.exit)(&output));
        if let Some(node) = node {
            // Code inside has made the node: what is left in it ends before the release.
            self.lease.register_release(node);
        }
        Some(output)
    }
}

impl<A, Acquired, R, B, Fut, T, C, Rel> Future for Bracket<A, Acquired, R, B, Fut, T, C>
where
    A: Future<Output = Acquired>,
    R: Send + 'static,
    B: FnOnce(ResourceGuard<R>) -> Fut,
    Fut: Future<Output = T>,
    C: FnOnce(R, BracketExit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                BracketStateProj::Acquiring { acquire, parts, mapping } => {
                    let output = ready!(acquire.poll(cx));
                    let Some((body, release)) = parts.take() else {
                        unreachable!("`acquire` is ready only once, and then the state changes")
                    };
                    let exit = mapping.exit;
                    let resource = match (mapping.acquired)(output) {
                        Ok(resource) => resource,
                        Err(output) => {
                            this.state.set(BracketState::Done);
                            return Poll::Ready(output);
                        }
                    };
                    if current::with_tree(|_| ()).is_none() {
                        current::no_context_for(format_args!("the bracket made at {}", this.location));
                    }
                    let spec = ReleaseSpec::new(release, *this.budget, this.location);
                    let (lent, lease) = Lease::new(resource, spec);
                    let body = BracketBody { body: Opening::new(body, lent), lease: Some(lease.clone()) };
                    let policy = BracketPolicy { lease, exit };
                    let scope = ScopeFuture::inline(Kind::Bracket, Limit::NONE, this.location, body, policy);
                    // The scope is polled in the next iteration: nothing can come between.
                    this.state.set(BracketState::BracketBody { scope });
                }
                BracketStateProj::BracketBody { mut scope } => {
                    let value = match ready!(scope.as_mut().poll(cx)) {
                        Ending::Value(value) => value,
                        Ending::Failed | Ending::Cancelled(_) => {
                            unreachable!("the scope of a bracket has no cancel request of its own")
                        }
                    };
                    let release = scope.policy().lease.release(None);
                    this.state.set(BracketState::Done);
                    // If it is still here, the scope had no node: all has happened in this poll.
                    let Some(release) = release else { return Poll::Ready(value) };
                    let scope = InlineScope::new(Kind::Bracket, Limit::NONE, this.location);
                    let (node, waits) = match finalizer::begin(release, scope, cx) {
                        Begun::Ended => return Poll::Ready(value),
                        Begun::Waits(node) => (node, true),
                        Begun::Drains(node) => (node, false),
                    };
                    this.state.set(BracketState::Releasing { scope: ScopeFuture::draining(node, value, Plain) });
                    if waits {
                        return Poll::Pending;
                    }
                }
                BracketStateProj::Releasing { scope } => {
                    let Ending::Value(value) = ready!(scope.poll(cx)) else {
                        unreachable!("the value of the body is there, and nothing in the scope can void it")
                    };
                    this.state.set(BracketState::Done);
                    return Poll::Ready(value);
                }
                BracketStateProj::Done => panic!("a bracket was polled after it had returned"),
            }
        }
    }
}

impl<A, Acquired, R, B, Fut, T, C> fmt::Debug for Bracket<A, Acquired, R, B, Fut, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bracket")
            .field("location", &self.location)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
