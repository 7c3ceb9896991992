//! Counts what is alive, in builds with debug assertions: the proof that a program that finished left nothing.
//!
//! The counters are those of the process, not of one tree, and are exact: each is changed where the thing is made and
//! where it is dropped. So tests that compare them take turns. In release builds the functions are empty, and cost
//! nothing.

/// The numbers of things that are alive in this process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveCounts {
    /// Scopes of all sorts, tasks included.
    pub scopes: usize,
    /// Tasks.
    pub tasks: usize,
    /// Armed timers: deadlines, hard times, sleeps.
    pub timers: usize,
    /// Blocking jobs that have a thread or wait for one, also those that were abandoned.
    pub jobs: usize,
}

#[cfg(debug_assertions)]
mod counters {
    use std::sync::atomic::{AtomicUsize, Ordering};

    // Not of `sys`: counting is no step of a model.
    pub(super) static SCOPES: AtomicUsize = AtomicUsize::new(0);
    pub(super) static TASKS: AtomicUsize = AtomicUsize::new(0);
    // Entries that are live in the sense of `timers.rs`.
    pub(super) static TIMERS: AtomicUsize = AtomicUsize::new(0);
    // Held by a `CountedJob` each.
    pub(super) static JOBS: AtomicUsize = AtomicUsize::new(0);

    // Relaxed: a test that compares has waited for what it counts, by means that order.
    pub(super) fn add(counter: &AtomicUsize, more: bool) {
        if more {
            counter.fetch_add(1, Ordering::Relaxed);
        } else {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Counts what is alive in this process; `None` in builds without debug assertions, where nobody counts.
///
/// Meant for tests that prove that nothing was left behind.
#[must_use]
pub fn live_counts() -> Option<LiveCounts> {
    #[cfg(debug_assertions)]
    {
        // Four loads, one after the other: exact only while nothing is made or dropped, as in a test that has ended
        // its tree.
        use std::sync::atomic::Ordering::SeqCst;
        Some(LiveCounts {
            scopes: counters::SCOPES.load(SeqCst),
            tasks: counters::TASKS.load(SeqCst),
            timers: counters::TIMERS.load(SeqCst),
            jobs: counters::JOBS.load(SeqCst),
        })
    }
    #[cfg(not(debug_assertions))]
    None
}

/// Counts a node; called when it is made.
pub(crate) fn node_made(is_task: bool) {
    node(is_task, true);
}

/// Counts a node as gone; called by its drop, so when the last reference to it is given up and not when its scope
/// ends.
pub(crate) fn node_gone(is_task: bool) {
    node(is_task, false);
}

#[cfg(debug_assertions)]
fn node(is_task: bool, more: bool) {
    counters::add(&counters::SCOPES, more);
    if is_task {
        counters::add(&counters::TASKS, more);
    }
}

#[cfg(not(debug_assertions))]
fn node(_: bool, _: bool) {}

/// Counts an entry of the timers, or one that has fired or was removed. A sleep that has ended counts no more, though
/// its entry may be there.
#[cfg(debug_assertions)]
pub(crate) fn timer(more: bool) {
    counters::add(&counters::TIMERS, more);
}

#[cfg(not(debug_assertions))]
pub(crate) fn timer(_: bool) {}

/// A blocking job that is counted as long as this lives: part of the closure that a thread gets.
pub(crate) struct CountedJob(());

impl CountedJob {
    pub(crate) fn new() -> Self {
        job(true);
        CountedJob(())
    }
}

impl Drop for CountedJob {
    fn drop(&mut self) {
        job(false);
    }
}

#[cfg(debug_assertions)]
fn job(more: bool) {
    counters::add(&counters::JOBS, more);
}

#[cfg(not(debug_assertions))]
fn job(_: bool) {}
