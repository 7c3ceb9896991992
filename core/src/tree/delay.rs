//! Delay: what still has to end inside a cancelled scope, and holds off the drop of its body (L15); and how long one that
//! nobody polls may do so (L16).
//!
//! ```text
//!    a scope whose code is cancelled, and has no poll left (`verdict.rs`)
//!     ├ inner scope with children, finalizers, a panic or an error, or a poll of its own left: has to end
//!     │    polled now and then: delays, and the body around it is polled to drive it (L17)
//!     │    passed over too often: undriven, and becomes an orphan with the drop (L16)
//!     ├ shield, which nothing reaches: has to end
//!     └ inner scope with nothing of all that: goes with the body
//! ```
//!
//! Dropped too early, an inner scope would lose an error or a panic that it has to report (I6), or locals around it would be
//! gone before what it has started (L19, I21).

use super::children::Role;
use super::flags::{CANCELLED, FAILED, PROPAGATED};
use super::node::{Life, NodeRef};
use crate::sys::atomic::Ordering;

/// The count at which an inner scope is undriven (L16). A poll of the scope around that has passed it over, though it was
/// woken, counts a third of that; but only 1 if that scope was woken during the poll. Combinators that give way on a budget
/// do so before they have come to all that were woken (L16.4): `FuturesUnordered` after two that have woken themselves.
pub(super) const UNDRIVEN: u8 = 192;

impl NodeRef {
    /// Returns whether a scope inside a cancelled one still has to end, and cannot just be dropped with the body
    /// around it (L15). No lock may be held: it goes down to the scopes inside this one.
    pub(super) fn has_to_end(&self) -> bool {
        // L16.5: it has not begun.
        if self.polled.is_never() {
            return false;
        }
        let state = self.lock();
        if state.life != Life::Open {
            return state.life != Life::Closed;
        }
        // The list of L15, without the last item: something left inside, a panic to report, a shield (nothing reaches
        // it from outside), its own poll to come.
        let inherited = state.inherited;
        if state.children.awaited() > 0
            || state.finalizers() > 0
            || state.has_panicked()
            || !inherited.any()
            || self.flagged(CANCELLED) && self.has_poll_left()
        {
            return true;
        }
        drop(state);
        // A graceful shield that still holds: not by the clock alone, or it would be dropped before all others of the hard
        // time are marked (L11). The clock is asked without the lock.
        let is_over = || self.flagged(PROPAGATED) && self.tree().is_some_and(|tree| inherited.cancelled(tree.now()));
        if inherited.waits_for_hard() && !is_over() {
            return true;
        }
        // The last item of L15; and an error to report.
        let inside = !self.goes_whole();
        self.waits.fetch_or(inside, Ordering::Relaxed);
        inside || self.flagged(FAILED)
    }

    /// Returns whether the scope still has to end, and somebody polls it (L16). By what was seen last of the scopes
    /// inside, so that a poll of many scopes in one another takes one look at each, and not one for each pair: `true` may
    /// be out of date, until the parent's body is polled.
    pub(super) fn delays(&self) -> bool {
        // Ordering: stored and read by the task that polls both scopes; if another one does, the answer is as good as
        // a little earlier.
        let had_to_end = || self.waits.load(Ordering::Relaxed) && self.life() != Life::Closed;
        self.missed.load(Ordering::Relaxed) < UNDRIVEN && (had_to_end() || self.has_to_end())
    }

    /// Returns whether the blocked body of a cancelled scope has to be polled all the same, because an inner scope
    /// that still has to end can be reached in no other way (L12, L17). Not for one that nobody polls (L16).
    pub(super) fn must_drive(&self) -> bool {
        let inner = self.lock().children.in_window();
        inner.iter().any(NodeRef::delays) || self.others_delay()
    }

    /// Moves the window on, through the others, to where an inner scope delays this one. Returns whether there is such.
    pub(super) fn others_delay(&self) -> bool {
        let others = self.lock().children.other_windows();
        (0..others).any(|_| {
            let next = self.lock().children.next_window();
            next.iter().any(NodeRef::delays)
        })
    }

    /// Returns whether nothing inside a cancelled scope has to end: then all of it goes with the body (L15).
    pub(super) fn goes_whole(&self) -> bool {
        let inner: Vec<NodeRef> = self.lock().children.of(Role::Inner).cloned().collect();
        !inner.iter().any(NodeRef::has_to_end)
    }
}
