//! Runnable or blocked: what becomes of code at the instant at which it becomes cancelled (L12).
//!
//! Code is *runnable* if its body is on the stack, or if a waker that was given to user code in its task has been
//! called since the last poll of its body began. It gets one more poll. All other code is *blocked*, and is dropped
//! where it waits, unpolled. A scope whose surrounding body is blocked is blocked.
//!
//! So every task, the root, every local nursery, and every scope that a reaper drives hand out a waker of their own,
//! which counts how often it was called ([`Node::count_wake`]). Each body keeps the count that was seen at the
//! beginning of the poll of its task in which it was last polled ([`Polled`](super::polled::Polled)). The wake-ups by
//! which foster delivers a request are made [without counting](super::polled::without_counting), and are not counted:
//! the order of two requests of one instant does not matter.
//!
//! ```text
//!    task     wakes = 7     the poll of the task began at 7: nobody has called a waker since
//!     └ scope   seen = 7    was polled in that poll: blocked
//!        └ scope  seen = 5  was not polled since two wake-ups ago: it may be one of those who were woken
//!                           (blocked all the same, because the scope around it is)
//! ```
//!
//! A local nursery counts by itself, too, because it polls its body only when that was woken, and so does each of its
//! children. Each of these wake-ups is one of the nursery's future as well, and so is counted in the task around, too.
//! But the body stands in that task, and is blocked if the code there is.
//!
//! The verdict is taken by the thread that makes the request, from atomics and the way up the tree; what it reads may
//! be a step behind what the task does at that moment. That is no harm: a task that begins a poll meanwhile has that
//! poll, and one that ends a poll has had what L12 gives it.
//!
//! Why it matters which it is: blocked code that is polled once more sees what the cancellation did to others. A
//! consumer whose producer was cancelled in the same request would find the channel closed, take that for the end of
//! the data, and commit half of it (I26). Runnable code that is not polled would lose what it was given (I28).
//!
//! The second half of this file asks what still has to end inside cancelled code, and so delays its drop (L15).

use super::children::Role;
use super::flags::{ABANDONED, CANCELLED, FAILED, LOCAL, NESTED, POLL_SPENT, RUNNABLE};
use super::frames;
use super::node::{Kind, Life, Node, NodeRef};
use super::polled::UNCOUNTED;
use crate::sys::atomic::Ordering;

/// How often in a row an inner scope may be woken and passed over before it counts as undriven (L16). Three, because
/// combinators that yield on a budget may skip a woken member once or twice (L16.4).
pub(crate) const MAX_MISSED_POLLS: u8 = 3;

impl Node {
    /// Returns whether the scope's cancelled code has its one poll (L12) still to come.
    pub(super) fn has_poll_left(&self) -> bool {
        self.flagged(RUNNABLE) && !self.flagged(POLL_SPENT)
    }

    /// Counts, in a scope that counts wake-ups, that something has come for the code inside: here, and in the code around
    /// a local nursery, which is woken by it. Not by way of that code's waker alone, which may have been called by then
    /// on behalf of foster, for a request, say.
    fn count_wake_here_and_around(&self) {
        if !self.count_wake() {
            return;
        }
        let mut around = self.around_local_nursery();
        while let Some(scope) = around.and_then(|scope| scope.counting_scope()) {
            scope.count_wake();
            around = scope.around_local_nursery();
        }
    }

    /// Returns the scope around the local nursery which this is the node or a child of; none for other scopes.
    fn around_local_nursery(&self) -> Option<NodeRef> {
        if !self.flagged(LOCAL) {
            return None;
        }
        let parent = self.lock().parent.clone()?;
        match self.kind {
            Kind::Task => parent.is_in_task().then(|| parent.parent())?,
            _ => self.is_in_task().then_some(parent),
        }
    }

    /// Returns, for a scope that counts wake-ups, whether it stands in a task all the same, and is blocked if the code
    /// around it is. The body of a local nursery does.
    fn is_in_task(&self) -> bool {
        self.kind == Kind::Nursery && !self.flagged(ABANDONED)
    }
}

/// What a scope is to the code inside it, at the instant of a request: handed down level by level, so that a request
/// looks at each scope once.
#[derive(Clone, Copy)]
pub(super) struct Around {
    /// The wake-ups that its task has counted.
    wakes: u32,
    /// Whether the code directly in it is runnable.
    pub(super) runnable: bool,
}

impl NodeRef {
    /// Returns what this scope is to the scopes inside it, for the scope at the top of a request: taken once, so that
    /// nothing that comes later makes those inside runnable where it is blocked. No lock may be held: it looks at the
    /// scopes further out.
    pub(super) fn around(&self) -> Around {
        let wakes = self.task_wakes().unwrap_or(UNCOUNTED);
        Around { wakes, runnable: self.is_runnable() }
    }

    /// Returns the same for a scope further in, by what the one around it is.
    ///
    /// A scope that counts by itself (a child, say) begins anew: it is not part of the task around it. For all others
    /// L12.2 holds: code in a blocked body is blocked.
    pub(super) fn inside(&self, around: Around) -> Around {
        if self.counts_wakes() {
            let wakes = self.wakes();
            let may_run = around.runnable || !self.is_in_task();
            return Around {
                wakes,
                runnable: self.polled.is_on_stack() || may_run && self.polled.is_woken_since(wakes),
            };
        }
        let runnable = self.polled.is_on_stack() || around.runnable && self.polled.is_woken_since(around.wakes);
        Around { runnable, ..around }
    }

    /// Counts that something has come that code in this scope waited for, and its task is about to be woken. Of a sleep
    /// that has ended that is only after the requests of the same instant; of what an operation is given, by way of
    /// combinators that may not hand on the call.
    pub(crate) fn count_task_wake(&self) {
        if self.counts_wakes() {
            self.count_wake_here_and_around();
        } else if let Some(scope) = self.parent().and_then(|around| around.counting_scope()) {
            scope.count_wake_here_and_around();
        }
    }

    /// Returns the wake-ups that the task around this scope has counted; none before the scope has a place.
    fn task_wakes(&self) -> Option<u32> {
        self.counting_scope().map(|task| task.wakes())
    }

    /// Returns the nearest scope that counts wake-ups, from this one up: its task, mostly. None before it has a
    /// place. One lock at a time, on the way up.
    fn counting_scope(&self) -> Option<NodeRef> {
        let mut node = self.clone();
        while !node.counts_wakes() {
            node = node.parent()?;
        }
        Some(node)
    }

    /// Notes that the scope, which has just got its node, was polled for the first time in the current poll of its
    /// task.
    pub(crate) fn was_polled_inline(&self) {
        self.polled.begin(frames::wakes_seen());
        self.polled.end();
    }

    /// Returns whether the code directly in this scope is runnable at this instant (L12). No lock may be held.
    fn is_runnable(&self) -> bool {
        let mut counted = None;
        // Those around it, up to its task: each has to be woken since its last poll, for a scope in a blocked body is
        // blocked (L12.2). One that is on the stack ends the walk, as its poll is going on.
        let mut next = Some(self.clone());
        while let Some(node) = next {
            if node.polled.is_on_stack() {
                return true;
            }
            // A scope that has no place yet is cancelled before it is entered: it is polled once.
            let Some(wakes) = counted.or_else(|| node.task_wakes()) else { return true };
            if !node.polled.is_woken_since(wakes) {
                return false;
            }
            counted = Some(wakes);
            if node.counts_wakes() {
                if !node.is_in_task() {
                    return true;
                }
                counted = None;
            }
            next = node.parent();
        }
        true
    }

    /// Returns whether a scope inside a cancelled one still has to end, and cannot just be dropped with the body
    /// around it (L15). No lock may be held: it goes down to the scopes inside this one.
    ///
    /// Dropped too early, the scope would lose an error or a panic that it has to report (I6), or locals around it
    /// would be gone before what it has started (L19, I21).
    pub(super) fn has_to_end(&self) -> bool {
        // L16.5: it has not begun.
        if self.polled.is_never() {
            return false;
        }
        let state = self.lock();
        match state.life {
            Life::Closed => return false,
            Life::Draining | Life::Finalizing => return true,
            Life::Open => {}
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
        // A graceful shield that still holds: asked by the clock, and so without the lock.
        if inherited.waits_for_hard() && !self.tree().is_some_and(|tree| inherited.cancelled(tree.now())) {
            return true;
        }
        // The last item of L15; and an error to report.
        let inside = !self.goes_whole();
        if inside {
            self.waits.store(true, Ordering::Relaxed);
        }
        inside || self.flagged(FAILED)
    }

    /// Returns the same as [`has_to_end`](NodeRef::has_to_end), by what was seen last of the scopes inside: so that a
    /// poll of many scopes in one another takes one look at each, and not one for each pair. `true` may be out of
    /// date, until the scope is polled.
    pub(super) fn had_to_end(&self) -> bool {
        // Ordering: stored and read by the task that polls both scopes; if another one does, the answer is as good as
        // a little earlier.
        self.waits.load(Ordering::Relaxed) && self.life() != Life::Closed || self.has_to_end()
    }

    /// Returns whether the blocked body of a cancelled scope has to be polled all the same, because an inner scope
    /// that still has to end can be reached in no other way (L12, L17). Not for one that nobody polls (L16).
    pub(super) fn must_drive(&self) -> bool {
        self.inner().iter().any(|inner| inner.missed.load(Ordering::Relaxed) < MAX_MISSED_POLLS && inner.had_to_end())
    }

    /// Returns whether nothing inside a cancelled scope has to end: then all of it goes with the body (L15).
    pub(super) fn goes_whole(&self) -> bool {
        !self.inner().iter().any(NodeRef::has_to_end)
    }

    /// Returns the scopes directly inside that are driven by this one's body.
    pub(super) fn inner(&self) -> Vec<NodeRef> {
        // The flag spares the lock.
        if self.flagged(NESTED) { self.lock().children.of(Role::Inner).cloned().collect() } else { Vec::new() }
    }

    /// Returns the count that the body sees when it is polled now: of a scope that counts its own, of all others that
    /// at the beginning of the current poll of the task around. Not the count by now: a wake-up during the poll may
    /// be for code that this poll has passed already.
    #[inline]
    pub(super) fn wakes_seen(&self) -> u32 {
        if self.counts_wakes() { self.wakes() } else { frames::wakes_seen() }
    }
}
