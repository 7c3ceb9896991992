//! The end of a scope: it is Closed, says how it ended, and leaves its parent (L2, L3).

use super::children::Role;
use super::current;
use super::flags::{ABANDONED, CANCELLED, CUT, FOLLOWED};
use super::node::{Life, NodeRef, Payload, State};
use super::observing;
use super::panic::catch_drop;
use super::wake;
use crate::reason::{Origin, Reason, ReasonKind};
use crate::sys::MutexGuard;

/// How a scope ended.
pub(crate) struct Closed {
    /// The first panic recorded (L32).
    pub(crate) panic: Option<Payload>,
    /// What it was to its parent.
    pub(crate) role: Role,
    /// A child was cut: there is no value (L33).
    pub(crate) cut: bool,
    /// Cancelled from further up: the code around does not go on (L18).
    pub(crate) inherited: bool,
    /// It had a request of its own.
    pub(crate) requested: bool,
    /// The host of the tree was dropped meanwhile (L30).
    pub(crate) shut_down: bool,
    /// Where it is linked until it leaves; a root is linked nowhere.
    pub(crate) linked: Option<Linked>,
}

/// Where a scope is linked: below its parent, in this slot.
pub(crate) struct Linked {
    pub(crate) parent: NodeRef,
    slot: u32,
}

impl NodeRef {
    /// Closed: nothing is left inside. The caller unlinks the scope once it has recorded the outcome.
    pub(crate) fn close(&self) -> Closed {
        self.close_in(self.lock())
    }

    pub(super) fn close_in(&self, mut state: MutexGuard<'_, State>) -> Closed {
        state.life = Life::Closed;
        debug_assert!(state.children.is_empty() || self.flagged(ABANDONED), "I2: Closed is empty");
        let mut closed = Closed {
            panic: None,
            role: state.role,
            cut: self.flagged(CUT),
            inherited: state.inherited.any(),
            requested: false,
            shut_down: false,
            linked: state.linked(),
        };
        let waker = state.waker.take();
        if state.has_more() {
            self.close_more(state, &mut closed);
        } else {
            drop(state);
        }
        if self.flagged(FOLLOWED) {
            observing::closed(self);
        }
        drop(waker);
        closed
    }

    /// What most scopes do not have at their end.
    #[inline(never)]
    fn close_more(&self, mut state: MutexGuard<'_, State>, closed: &mut Closed) {
        let inherited = state.inherited;
        if let Some(request) = state.request() {
            closed.requested = true;
            closed.shut_down = request.reason.kind() == ReasonKind::HostDropped;
        }
        let mut timers = [state.deadline_timer.take(), None];
        let mut left = (None, None);
        if let Some(cold) = state.cold() {
            closed.panic = cold.panic.take();
            timers[1] = cold.hard_timer.take();
            left = (cold.binding.take(), cold.start_into.take());
        }
        drop(state);
        catch_drop(left.0);
        if let Some(target) = left.1 {
            target.start_answered();
        }
        let Some(tree) = self.tree() else { return };
        for key in timers.into_iter().flatten() {
            drop(tree.timers.remove(key));
        }
        if inherited.waits_for_hard() {
            // The clock may say so before another thread, which has found the timer due, has marked the scopes around: then the code there
            // goes on, and gets a result.
            let over = inherited.cancelled(tree.now());
            closed.inherited = over && closed.linked.as_ref().is_some_and(|linked| linked.parent.is_cancelled(tree));
        }
    }

    /// The scope's own request: its reason, and which scope it is.
    pub(crate) fn asked(&self) -> Option<(Reason, Origin)> {
        let reason = self.lock().request()?.reason.clone();
        Some((reason, self.origin.clone()))
    }

    /// A `start` into this nursery was answered, or will not be (L4).
    pub(crate) fn start_answered(&self) {
        let mut state = self.lock();
        state.children.remove_pending();
        let done = state.has_to_know(Role::Child);
        drop(state);
        if done {
            wake::wake(self);
        }
    }

    /// Leaves the parent, which may be waiting for this.
    pub(crate) fn unlink(&self) {
        let linked = self.lock().linked();
        self.leave(linked);
    }

    /// As [`unlink`](NodeRef::unlink), for a scope that has just been closed.
    pub(crate) fn leave(&self, linked: Option<Linked>) {
        let Some(Linked { parent, slot }) = linked else { return };
        let mut above = parent.lock();
        if above.life == Life::Closed {
            return;
        }
        // Once: a future that has escaped may be polled by one thread while another finishes its scope as a leaked one (L28).
        let Some((role, gone)) = above.children.remove(slot, self) else { return };
        let done = role != Role::Inner && above.has_to_know(role);
        // An inner scope is driven by its parent's task, which is polling it now; unless its future has escaped.
        let escaped = role == Role::Inner && parent.flagged(CANCELLED) && !current::is_inside(&parent);
        drop(above);
        drop(gone);
        if done || escaped {
            wake::wake(&parent);
        }
    }
}

impl State {
    /// Something that the scope waited for has left, with that role. Whether the scope is to be woken: for the last one; and for the last
    /// that is no daemon, to dismiss the daemons (L24).
    fn has_to_know(&self, role: Role) -> bool {
        let links = &self.children;
        self.life != Life::Open && (links.awaited() == 0 || role != Role::Daemon && links.only_daemons())
    }

    fn has_more(&self) -> bool {
        self.deadline_timer.is_some() || self.has_cold() || self.inherited.waits_for_hard()
    }

    fn linked(&self) -> Option<Linked> {
        Some(Linked { parent: self.parent.clone()?, slot: self.slot })
    }
}
