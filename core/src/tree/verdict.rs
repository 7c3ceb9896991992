//! Runnable or blocked: what becomes of code at the instant at which it becomes cancelled (L12).
//!
//! Code is *runnable* if its body is on the stack, or if since the last poll of its body began it was given something,
//! or a waker was called that was given to user code in its task. It gets one more poll. All other code is *blocked*, and
//! is dropped where it waits, unpolled. A scope whose surrounding body is blocked is blocked, unless it was given
//! something itself: it has to take that, also where the body around was polled since, and left it out.
//!
//! The code that gives something to waiting code notes that on its scope (`WaitingCode::claim`). For what is not given by
//! foster, every task, the root, every local nursery, and every scope that a reaper drives hand out a waker of their own,
//! which counts how often it was called (`Polled::count_wake`). Each body keeps the count that was seen at the beginning of
//! the poll of its task in which it was last polled ([`Polled`](super::polled::Polled)). The wake-ups by which foster
//! delivers a request are made [without counting](super::polled::without_counting), and are not counted: the order of two
//! requests of one instant does not matter.
//!
//! ```text
//!    task     wakes = 7     the poll of the task began at 7: nobody has called a waker since
//!     └ scope   seen = 7    was polled in that poll: blocked
//!        └ scope  seen = 5  was not polled since two wake-ups ago: it may be one of those who were woken
//!                           (blocked all the same, because the scope around it is)
//! ```
//!
//! A local nursery counts by itself, too, because it polls its body only when that was woken, and so does each of its
//! children. The body stands in the task around, and is blocked if the code there is (L41).
//!
//! The verdict is taken by the thread that makes the request, from atomics and the way up the tree; what it reads may
//! be a step behind what the task does at that moment. That is no harm: a task that begins a poll meanwhile has that
//! poll, and one that ends a poll has had what L12 gives it. The verdict names the last poll by its number
//! ([`Polled::judge`](super::polled::Polled::judge)), so it makes no difference whether that has ended by then.
//!
//! Why it matters which it is: blocked code that is polled once more sees what the cancellation did to others. A
//! consumer whose producer was cancelled in the same request would find the channel closed, take that for the end of
//! the data, and commit half of it (I26). Runnable code that is not polled would lose what it was given (I28).
//!
//! The second half of this file asks what still has to end inside cancelled code, and so delays its drop (L15).

use super::children::Role;
use super::flags::{ABANDONED, CANCELLED, FAILED, GIVEN_UP, PROPAGATED};
use super::frames;
use super::node::{Kind, Life, NodeRef};
use super::polled::UNCOUNTED;
use crate::sys::atomic::Ordering;

/// The count at which an inner scope is undriven (L16). A poll of the scope around that has passed it over, though it was
/// woken, counts a third of that; but only 1 if that scope was woken during the poll. Combinators that give way on a budget
/// do so before they have come to all that were woken (L16.4): `FuturesUnordered` after two that have woken themselves.
pub(super) const UNDRIVEN: u8 = 192;

/// The verdict about a scope, at the instant of a request: handed down level by level, so that a request looks at each
/// scope once.
#[derive(Clone, Copy)]
pub(super) struct Verdict {
    /// The wake-ups that its task has counted.
    wakes: u32,
    /// Whether the code directly in it is runnable.
    runnable: bool,
    /// The last poll that it has, if it becomes cancelled by the request.
    pub(super) last_step: u32,
}

impl NodeRef {
    /// Takes the verdict about the scope at the top of a request: once, so that nothing that comes later makes those
    /// inside runnable where it is blocked. No node may be locked: it goes up to a scope that does not depend on what is
    /// around it, and from there down. The references on the way are added to `kept`: the timers hold a lock of theirs.
    pub(super) fn verdict(&self, kept: &mut Vec<NodeRef>) -> Verdict {
        let first = kept.len();
        kept.push(self.clone());
        let depends = |node: &&NodeRef| !node.begins_anew() && !node.polled.last().is_on_stack();
        while let Some(around) = kept.last().filter(depends).and_then(|node| node.parent()) {
            kept.push(around);
        }
        // The scopes above one that is on the stack are there: the code that polls them has references.
        let task = kept.last().and_then(|top| top.and_above().find(|node| node.counts_wakes()));
        let wakes = task.map_or(UNCOUNTED, |task| task.polled.wakes());
        // A scope that has no place yet is cancelled before it is entered: it is polled once.
        let top = Verdict { wakes, runnable: true, last_step: 0 };
        kept[first..].iter().rev().fold(top, |around, node| node.verdict_inside(around))
    }

    /// Returns whether the scope is no part of the task around it: it counts by itself, as a child does. The body of a local
    /// nursery counts, but stands in a task, and is blocked if the code around it is.
    fn begins_anew(&self) -> bool {
        self.counts_wakes() && (self.kind != Kind::Nursery || self.flagged(ABANDONED))
    }

    /// Takes the verdict about a scope, by that about the one around it.
    ///
    /// A scope that begins anew does not depend on that. For all others L12.2 holds: code in a blocked body is blocked,
    /// unless it was given something. One that its holder has given up is blocked (L12.6).
    pub(super) fn verdict_inside(&self, around: Verdict) -> Verdict {
        let wakes = if self.counts_wakes() { self.polled.wakes() } else { around.wakes };
        let given = self.given.load(Ordering::SeqCst);
        let last = self.polled.last();
        let goes_on = given || last.is_woken(wakes) && (around.runnable || self.begins_anew());
        let runnable = last.is_on_stack() || goes_on && !self.flagged(GIVEN_UP);
        Verdict { wakes, runnable, last_step: last.last_step(runnable, given) }
    }

    /// Returns whether cancelled code has a poll left, or is in it. None that was given up, whatever other requests have
    /// found (L12.6).
    pub(super) fn has_poll_left(&self) -> bool {
        !self.flagged(GIVEN_UP) && self.polled.steps_left() > 0
    }

    /// Notes that the scope, which has just got its node, was polled for the first time in the current poll of its
    /// task.
    pub(crate) fn was_polled_inline(&self) {
        self.polled.begin(frames::wakes_seen());
        self.polled.end();
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
