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

use super::flags::{ABANDONED, GIVEN_UP};
use super::frames;
use super::node::{Kind, NodeRef};
use super::polled::UNCOUNTED;
use crate::sys::atomic::Ordering;

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
}
