//! The handle of a cancel scope, for any task and any thread.

use std::fmt;
use std::time::Duration;

use crate::Instant;
use crate::dump::Dump;
use crate::reason::Reason;
use crate::tree::current;
use crate::tree::node::{Life, NodeRef};
use crate::tree::request::request_together;
use crate::tree::wake::DriverWakes;

/// A handle to a [`CancelScope`](super::CancelScope), to cancel it and to move its deadline; usable from any task and any
/// thread.
///
/// It owns nothing: the scope ends whether or not handles are left.
#[derive(Clone)]
pub struct ScopeHandle {
    pub(crate) node: NodeRef,
}

impl ScopeHandle {
    /// Asks the scope to stop, with its own grace. Returns whether that changed anything: it does not on a scope that
    /// has ended, or was asked before and has no less time left.
    ///
    /// The first request stands, with its reason; a later one may only shorten the grace (law L6).
    #[track_caller]
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        let reason = current::signed(reason.into());
        // L8: a deadline that has passed by the clock came first.
        self.catch_up();
        self.node.request(reason, None)
    }

    /// Asks several scopes to stop in one step, each with its own grace: whatever is in any of them is cancelled before
    /// anything of them ends, so no code in one sees what has become of another (law L11). With one
    /// [`cancel`](ScopeHandle::cancel) after the other, a consumer in the second might see its producer in the first end.
    ///
    /// Returns for how many of them that changed anything, as `cancel` says.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{CancelScope, ScopeHandle};
    ///
    /// # foster_sim::run(1, async {
    /// let mut scopes = [CancelScope::new(), CancelScope::new()];
    /// let handles = scopes.each_mut().map(CancelScope::handle);
    /// assert_eq!(ScopeHandle::cancel_all(&handles, "the user has left"), 2);
    /// # });
    /// ```
    #[track_caller]
    pub fn cancel_all<'a>(scopes: impl IntoIterator<Item = &'a ScopeHandle>, reason: impl Into<Reason>) -> usize {
        let reason = current::signed(reason.into());
        let nodes: Vec<NodeRef> = scopes
            .into_iter()
            .map(|scope| {
                // L8, and before the first of them is marked, as it may wake.
                scope.catch_up();
                scope.node.clone()
            })
            .collect();
        request_together(&nodes, &reason, None)
    }

    /// Asks the scope to stop; graceful shields inside hold it off for `grace` instead of the scope's own grace.
    #[track_caller]
    pub fn cancel_within(&self, grace: Duration, reason: impl Into<Reason>) -> bool {
        let reason = current::signed(reason.into());
        self.catch_up();
        self.node.request(reason, Some(grace))
    }

    /// Moves the deadline, or sets one; [`Instant::NEVER`] removes it. An instant in the past cancels at once. Returns
    /// whether that was still possible: not on a scope that has ended or was asked to stop.
    pub fn set_deadline(&self, at: Instant) -> bool {
        self.catch_up();
        self.node.set_deadline(at)
    }

    /// The scope's own deadline; [`Instant::NEVER`] if there is none, or if it is relative and the scope was not
    /// entered yet.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.node.lock().deadline
    }

    /// Whether the scope itself was asked to stop, by a handle or by its deadline. It stays so for ever.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.reason().is_some()
    }

    /// Why the scope itself was asked to stop.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.catch_up();
        self.node.lock().request().map(|request| request.reason.clone())
    }

    /// Whether the scope has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.node.life() == Life::Closed
    }

    /// Returns all that lives in the scope now, itself first; empty if it has ended, or was not entered.
    #[must_use]
    pub fn dump(&self) -> Dump {
        let state = self.node.lock();
        let entered = state.place.is_some() && state.life != Life::Closed;
        drop(state);
        Dump::of(entered.then_some(&self.node))
    }

    /// Looks at the clock, so that a deadline that has passed counts whether or not anybody polls (L8).
    fn catch_up(&self) {
        let state = self.node.lock();
        let pending = state.request().is_none() && state.deadline != Instant::NEVER && state.life != Life::Closed;
        let entered = state.place.is_some();
        drop(state);
        if !pending {
            return;
        }
        match self.node.tree() {
            Some(tree) => tree.fire_due(),
            None if !entered => {
                if let Some(now) = current::with_tree(|tree| tree.now()) {
                    let mut wakes = DriverWakes::default();
                    self.node.timer_fired(now, &mut wakes);
                    wakes.wake();
                }
            }
            None => {}
        }
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.node.lock();
        let (life, deadline) = (state.life, state.deadline);
        let reason = state.request().map(|request| request.reason.clone());
        // L36: whatever is written to is code of the user.
        drop(state);
        f.debug_struct("ScopeHandle")
            .field("scope", &self.node.origin)
            .field("life", &life)
            .field("deadline", &deadline)
            .field("request", &reason)
            .field("shield", &self.node.kind.shield())
            .finish()
    }
}
