//! Runnable or blocked: what becomes of code at the instant at which it becomes cancelled (L12).
//!
//! Code is *runnable* if its body is on the stack, or if a waker that was given to user code in its task has been called since the last
//! poll of its body began. It gets one more poll. All other code is *blocked*, and is dropped where it stands, unpolled. A scope whose
//! surrounding body is blocked is blocked.
//!
//! So every task, the root, and every scope that a reaper drives hand out a waker of their own, which counts how often it was called
//! ([`NodeRef::count_wake`]). Each body keeps the count that was seen at the beginning of the poll of its task in which it was last polled
//! ([`Polled`]). The wake-ups by which foster delivers a request are made [without counting](without_counting), and are not counted: the order of two
//! requests of one instant does not matter.

use std::cell::Cell;

use super::children::Role;
use super::current;
use super::drive::MAX_MISSED_POLLS;
use super::flags::{ABANDONED, CANCELLED, FAILED, LOCAL, NESTED, POLL_SPENT, RUNNABLE};
use super::node::{Kind, Life, Node, NodeRef};
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};

/// When the body of a scope was last polled.
pub(crate) struct Polled {
    /// The wake-ups of its task that had been counted when the task's poll began; [`NEVER`] before the first poll.
    seen: AtomicU32,
    /// The body is on the stack.
    now: AtomicBool,
}

/// Not polled yet.
const NEVER: u32 = u32::MAX;

/// Polled where the wake-ups are not counted: by an executor that foster does not know.
pub(crate) const UNCOUNTED: u32 = u32::MAX - 1;

impl Polled {
    pub(crate) fn never() -> Self {
        Polled { seen: AtomicU32::new(NEVER), now: AtomicBool::new(false) }
    }

    /// A poll of the body begins, in a poll of its task at whose beginning so many wake-ups had been counted.
    #[inline]
    pub(crate) fn begin(&self, seen: u32) {
        self.seen.store(seen, Ordering::Relaxed);
        // Ordering: a thread that finds the count of this poll finds the body on the stack, or its poll over.
        self.now.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn end(&self) {
        self.now.store(false, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_on_stack(&self) -> bool {
        self.now.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn is_never(&self) -> bool {
        self.seen.load(Ordering::Relaxed) == NEVER
    }
}

crate::sys::thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `wake`, which calls wakers on behalf of foster: the calls are not counted.
pub(crate) fn without_counting<R>(wake: impl FnOnce() -> R) -> R {
    /// Also when a waker panics.
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            QUIET.with(|quiet| quiet.set(self.0));
        }
    }

    let restore = Restore(QUIET.with(|quiet| quiet.replace(true)));
    let result = wake();
    drop(restore);
    result
}

/// A count of wake-ups that is not one of the two marks.
fn wrap(count: u32) -> u32 {
    count & (u32::MAX >> 1)
}

impl Node {
    /// Whether the scope gives the code inside a waker of its own, which counts: tasks, the root, local nurseries, and scopes that a
    /// reaper drives.
    #[inline]
    pub(super) fn counts_wakes(&self) -> bool {
        matches!(self.kind, Kind::Task | Kind::Root) || self.flagged(LOCAL | ABANDONED)
    }

    /// A waker that was given to user code was called.
    #[inline]
    pub(super) fn count_wake(&self) {
        if self.counts_wakes() && !QUIET.with(Cell::get) {
            // Ordering: a request that comes after the wake-up, by the same thread, say, finds it counted.
            self.wakes.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How many wake-ups were counted.
    #[inline]
    pub(super) fn wakes(&self) -> u32 {
        wrap(self.wakes.load(Ordering::Acquire))
    }

    /// Whether the scope's cancelled code has a poll to come.
    pub(super) fn has_poll_left(&self) -> bool {
        self.flagged(RUNNABLE) && !self.flagged(POLL_SPENT)
    }
}

/// What a scope is to the code inside it, at the instant of a request.
#[derive(Clone, Copy)]
pub(super) struct Around {
    /// The wake-ups that its task has counted.
    wakes: u32,
    /// Whether the code directly in it is runnable.
    pub(super) runnable: bool,
}

impl NodeRef {
    /// As [`is_runnable`](NodeRef::is_runnable), for the scopes inside.
    pub(super) fn around(&self) -> Around {
        let wakes = self.task_wakes().unwrap_or(UNCOUNTED);
        Around { wakes, runnable: self.is_runnable() }
    }

    /// The same for a scope further in, by what the one around it is.
    pub(super) fn inside(&self, around: Around) -> Around {
        if self.counts_wakes() {
            return Around { wakes: self.wakes(), runnable: self.is_runnable() };
        }
        let runnable = self.polled.is_on_stack() || around.runnable && self.is_woken_since(around.wakes);
        Around { runnable, ..around }
    }

    /// Something that code in this scope waited for has come: its task will be woken.
    pub(super) fn count_task_wake(&self) {
        if let Some(task) = self.counting_scope() {
            task.count_wake();
        }
    }

    /// The wake-ups that the task around this scope has counted; none before it has a place.
    fn task_wakes(&self) -> Option<u32> {
        self.counting_scope().map(|task| task.wakes())
    }

    /// The nearest scope that counts wake-ups, from this one up: its task, mostly. None before it has a place.
    fn counting_scope(&self) -> Option<NodeRef> {
        let mut node = self.clone();
        while !node.counts_wakes() {
            node = node.parent()?;
        }
        Some(node)
    }

    /// The scope has just got its node, after its first poll or in it.
    pub(super) fn was_polled_inline(&self) {
        self.polled.begin(current::wakes_seen());
        self.polled.end();
    }

    /// Whether the code directly in this scope is runnable at this instant.
    pub(super) fn is_runnable(&self) -> bool {
        if self.polled.is_on_stack() {
            return true;
        }
        if self.counts_wakes() {
            return self.is_woken_since(self.wakes());
        }
        // A scope that has no place yet is cancelled before it is entered: it is polled once.
        let Some(wakes) = self.task_wakes() else { return true };
        // Those around it, up to its task.
        let mut next = Some(self.clone());
        while let Some(node) = next {
            if node.polled.is_on_stack() {
                return true;
            }
            if !node.is_woken_since(wakes) {
                return false;
            }
            next = if node.counts_wakes() { None } else { node.parent() };
        }
        true
    }

    /// Whether the body was not polled since the last wake-up that was counted.
    fn is_woken_since(&self, wakes: u32) -> bool {
        match self.polled.seen.load(Ordering::Acquire) {
            // It cannot be known.
            NEVER | UNCOUNTED => true,
            seen => seen != wakes,
        }
    }

    /// Whether a scope inside a cancelled one still has to end, and cannot just be dropped with the body around it (L15).
    pub(super) fn has_to_end(&self) -> bool {
        if self.polled.is_never() {
            return false;
        }
        let state = self.lock();
        match state.life {
            Life::Closed => return false,
            Life::Draining | Life::Finalizing => return true,
            Life::Open => {}
        }
        let inherited = state.inherited;
        if state.children.awaited() > 0
            || state.finalizers() > 0
            || state.has_owned()
            || state.has_panicked()
            || !inherited.any()
            || self.flagged(CANCELLED) && self.has_poll_left()
        {
            return true;
        }
        let inner: Vec<NodeRef> = state.children.of(Role::Inner).cloned().collect();
        drop(state);
        if inherited.waits_for_hard() && !self.tree().is_some_and(|tree| inherited.cancelled(tree.now())) {
            return true;
        }
        let inside = inner.iter().any(NodeRef::has_to_end);
        if inside {
            self.waits.store(true, Ordering::Relaxed);
        }
        inside || self.flagged(FAILED)
    }

    /// As [`has_to_end`](NodeRef::has_to_end), by what was seen last of the scopes inside: so that a poll of many scopes in one another
    /// takes one look at each. `true` may be out of date, until the scope is polled.
    pub(super) fn had_to_end(&self) -> bool {
        self.waits.load(Ordering::Relaxed) && self.life() != Life::Closed || self.has_to_end()
    }

    /// Whether the blocked body of a cancelled scope has to be polled all the same, because an inner scope that still has to end can be
    /// reached in no other way.
    pub(super) fn must_drive(&self) -> bool {
        if !self.flagged(NESTED) {
            return false;
        }
        let inner: Vec<NodeRef> = self.lock().children.of(Role::Inner).cloned().collect();
        inner.iter().any(|inner| inner.missed.load(Ordering::Relaxed) < MAX_MISSED_POLLS && inner.had_to_end())
    }

    /// Whether nothing inside a cancelled scope has to end: then all of it goes with the body (L15).
    pub(super) fn goes_whole(&self) -> bool {
        if !self.flagged(NESTED) {
            return true;
        }
        let inner: Vec<NodeRef> = self.lock().children.of(Role::Inner).cloned().collect();
        !inner.iter().any(NodeRef::has_to_end)
    }

    /// What the body sees of the wake-ups of its task, when it is polled now: see [`Polled`].
    #[inline]
    pub(super) fn wakes_seen(&self) -> u32 {
        if self.counts_wakes() { self.wakes() } else { current::wakes_seen() }
    }
}
