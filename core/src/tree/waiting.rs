//! How a giver asks whether code that waits may be given something (L14).

use super::flags::CANCELLED;
use super::node::{NodeRef, WaitingCode};
use crate::sys::atomic::Ordering;

impl WaitingCode {
    /// Returns the scope that the code is directly in.
    #[inline]
    pub(crate) fn scope(&self) -> Option<&NodeRef> {
        self.0.as_ref()
    }

    /// Returns whether the code is cancelled; by the flag alone. Once true, it stays true.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.scope().is_some_and(|scope| scope.flagged(CANCELLED))
    }

    /// Returns whether the code may be given something. It will be polled to take it then, whatever is requested from
    /// now on, and is to be woken. Takes no lock, so it may be called under any.
    ///
    /// Not left to the wakers: a combinator hands on a call only once, and may have handed on one that was foster's, which
    /// does not count; and the body around may have been polled since, and have left out this code.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        let Some(scope) = self.scope() else { return true };
        if scope.flagged(CANCELLED) {
            return false;
        }
        // Ordering: see `Node::flags_of`.
        scope.given.store(true, Ordering::SeqCst);
        // Once more: see the head of `request.rs`. If it is cancelled by now, it has a poll for nothing.
        !scope.flagged(CANCELLED)
    }
}
