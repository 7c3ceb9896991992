//! The end of a scope: it is Closed, says how it ended, and leaves its parent (L2, L3).
//!
//! Two steps, with the outcome between them, because the parent must not go on before the outcome is recorded (L31),
//! and must not be Closed before this scope is (I2):
//!
//! ```text
//!    close    under the scope's lock: Closed, and everything that is left is taken out      ──▶ ClosedNode
//!    outcome  the construct's own: `ScopeFuture::poll_drain`, `ChildTask::finish`, `abandon::end_reaped`
//!    leave    under the parent's lock: out of the children table; the parent is woken if it waited for this
//! ```
//!
//! Called by the scope's driver at the end of `drain`, inside the drop of an abandoned scope that has nothing left,
//! and for each scope of a tree that is shut down.

use super::children::Role;
use super::flags::{ABANDONED, CANCELLED, HAS_ESCAPED};
use super::frames;
use super::node::{Life, NodeRef, Place, State};
use super::observing;
use super::panic::{Payload, catch_drop};
use super::polled::without_counting;
use super::waking;
use crate::sys::MutexGuard;

/// How a scope ended: what the outcome is made of. Taken from the node once, at the moment of closing.
pub(crate) struct ClosedNode {
    /// The first panic recorded (L32), to be resumed, or handed to the new parent of an orphan (L29).
    pub(crate) panic: Option<Payload>,
    /// Cancelled from further out: the code around does not go on, and the scope parks if it has no error to report
    /// (L18).
    pub(crate) inherited: bool,
    /// The place that it is about to leave, which does not change any more; none of a root, and of one that has left.
    pub(crate) place: Option<Place>,
}

impl NodeRef {
    /// Closes the scope: nothing is left inside. The caller lets it leave once it has recorded the outcome.
    ///
    /// Under the scope's lock, which it releases: so nothing can come between the look that found the scope empty and
    /// its end.
    ///
    /// May be called again for a scope that was shut down meanwhile: what it had is gone by then.
    pub(super) fn close_in(&self, mut state: MutexGuard<'_, State>) -> ClosedNode {
        state.life = Life::Closed;
        // An abandoned scope may be closed while a body that has escaped opens something in it (L28).
        debug_assert!(state.children.is_empty() || self.flagged(ABANDONED), "I2: Closed is empty");
        // No code walks up from a scope that has ended by itself: it gives up its place, so that the parent is not counted
        // twice.
        let is_passed = self.flagged(CANCELLED | ABANDONED | HAS_ESCAPED);
        let place = if is_passed { state.place.clone() } else { state.place.take() };
        let mut closed = ClosedNode { panic: None, inherited: state.inherited.any(), place };
        let inherited = state.inherited;
        // Taken out here, and dropped where the lock is released. Nobody is woken by the waker: the code that closes a
        // scope is its driver, or wakes that driver itself. A scoped value is user code. The timer is removed although
        // it would find a Closed scope: its entry holds a reference to that, and would keep it until its instant.
        let (waker, timer) = (state.waker.take(), state.timer.take());
        let cold = state.cold.as_mut().map(|cold| {
            closed.panic = cold.panic.take();
            (std::mem::take(&mut cold.stopped), cold.binding.take(), cold.start_into.take())
        });
        drop(state);
        drop(waker);
        if let Some((stopped, binding, start_into)) = cold {
            without_counting(|| stopped.into_iter().for_each(|waker| waking::wake(|| waker.wake())));
            catch_drop(binding);
            // L4: the `start` was not answered, or its child would have moved by now.
            start_into.iter().for_each(NodeRef::start_answered);
        }
        self.tree().zip(timer).into_iter().for_each(|(tree, key)| drop(tree.timers.remove(key)));
        if inherited.waits_for_hard() {
            // The clock may say so before another thread, which has found the timer due, has marked the scopes
            // around: then the code there goes on, and gets a result. So the scope around is asked as well.
            let over = self.tree().is_some_and(|tree| inherited.cancelled(tree.now()));
            closed.inherited = over && closed.place.as_ref().is_some_and(|place| place.parent.is_cancelled());
        }
        observing::closed(self);
        closed
    }

    /// Notes that a `start` into this nursery was answered, or will not be (L4), and wakes the nursery if it waited
    /// for that. No lock may be held.
    pub(crate) fn start_answered(&self) {
        let mut state = self.lock();
        state.children.remove_pending();
        let done = state.has_to_know(Role::Child);
        drop(state);
        if done {
            self.wake_driver();
        }
    }

    /// Leaves its place, and the parent, which may be waiting for this. The scope is Closed. No lock may be held. A second
    /// call changes nothing.
    ///
    /// The order of the two steps (Closed first, then this) means that a thread that visits the children of a scope
    /// may find a Closed one; so everything that does (`propagate`, `attach_to_open`, `shut_down`) looks at that. The
    /// other order would let a parent be Closed before its child is.
    pub(crate) fn leave(&self, Place { parent, slot }: &Place) {
        let mut above = parent.lock();
        // Once: a future that has escaped may be polled by one thread while another finishes its scope as a leaked one
        // (L28). And nothing is listed in a scope that was shut down with its host (L30).
        let Some((role, gone)) = above.children.remove(*slot, self) else { return };
        let done = role != Role::Inner && above.has_to_know(role);
        // An inner scope is driven by its parent's task, which is polling it now, and looks at it after that poll;
        // unless its future has escaped. Then the cancelled parent waits for this scope (L15), and has to be woken.
        let escaped = role == Role::Inner && parent.flagged(CANCELLED) && !frames::is_innermost(parent);
        drop(above);
        // The entry's reference, which may be the last, and the wake-up: without the lock.
        drop(gone);
        if done || escaped {
            parent.wake_driver();
        }
    }
}

impl State {
    /// Returns whether the scope is to be woken, since something that it waited for has left, with that role: for the
    /// last one; and for the last that is no daemon, to dismiss the daemons (L24). As long as its body runs there is
    /// nothing to do about it.
    fn has_to_know(&self, role: Role) -> bool {
        let children = &self.children;
        self.life != Life::Open && (children.awaited() == 0 || role != Role::Daemon && children.only_daemons())
    }
}
