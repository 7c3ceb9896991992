//! Code that waits, as whoever gives it something knows it (L14).

use super::flags::{ABANDONED, CANCELLED};
use super::node::NodeRef;

/// The scope whose code waits, and the one in which it counts that it was given something (L12). No scope outside of any
/// tree, where nothing is ever cancelled.
///
/// It may hold the last reference to a scope: it must not be dropped under a lock.
#[derive(Default)]
pub(crate) struct WaitingCode {
    scope: Option<NodeRef>,
    /// The nearest scope from that one up which counts wake-ups: its task, mostly. None: it is that one.
    task: Option<NodeRef>,
}

impl WaitingCode {
    #[inline]
    pub(crate) fn new(scope: NodeRef, task: Option<NodeRef>) -> Self {
        WaitingCode { scope: Some(scope), task }
    }

    /// Returns the scope that the code is directly in.
    #[inline]
    pub(crate) fn scope(&self) -> Option<&NodeRef> {
        self.scope.as_ref()
    }

    /// Returns whether the code is cancelled; by the flag alone. Once true, it stays true.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.scope.as_ref().is_some_and(|scope| scope.flagged(CANCELLED))
    }

    /// Returns whether the code may be given something. It will be polled to take it then, whatever is requested from
    /// now on, and is to be woken. Takes no lock, so it may be called under any.
    ///
    /// Not left to the wakers, which count, too: a combinator hands on a call only once, and may have handed on one that
    /// was foster's, which does not count.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        let Some(scope) = &self.scope else { return true };
        if scope.flagged(CANCELLED) {
            return false;
        }
        self.task.as_ref().unwrap_or(scope).polled.count_gift();
        // Once more: see the head of `request.rs`. If it is cancelled by now, it has a poll for nothing.
        !scope.flagged(CANCELLED)
    }

    /// Counts a gift that was counted, in the task that drives the code by now, if that is another one: a finalizer whose
    /// scope was abandoned while it ran is driven by a reaper, and may not have been polled since. For whoever gives, and
    /// calls the waker only after others have been asked to stop. No lock may be held.
    pub(crate) fn count_again(&self) {
        let Some(scope) = &self.scope else { return };
        let task = self.task.as_ref().unwrap_or(scope);
        if let Some(now) = scope.counting_scope().filter(|now| now != task && now.flagged(ABANDONED)) {
            now.polled.count_gift();
        }
    }

    /// Returns whether this is code in that scope, whose wake-ups that task counts.
    pub(crate) fn is_in(&self, scope: Option<&NodeRef>, task: Option<&NodeRef>) -> bool {
        self.scope.as_ref() == scope && self.task.as_ref().or(scope) == task.or(scope)
    }
}
