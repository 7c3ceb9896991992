//! Counts what is alive, in builds with debug assertions: the proof that a program that finished left nothing.

use super::node::Kind;

/// What is alive in this process at the moment.
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

    pub(super) static SCOPES: AtomicUsize = AtomicUsize::new(0);
    pub(super) static TASKS: AtomicUsize = AtomicUsize::new(0);
    pub(super) static TIMERS: AtomicUsize = AtomicUsize::new(0);
    pub(super) static JOBS: AtomicUsize = AtomicUsize::new(0);

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

pub(crate) fn node_made(kind: Kind) {
    node(kind, true);
}

pub(crate) fn node_gone(kind: Kind) {
    node(kind, false);
}

#[cfg(debug_assertions)]
fn node(kind: Kind, more: bool) {
    counters::add(&counters::SCOPES, more);
    if kind == Kind::Task {
        counters::add(&counters::TASKS, more);
    }
}

#[cfg(not(debug_assertions))]
fn node(_: Kind, _: bool) {}

#[cfg(debug_assertions)]
pub(crate) fn timer(more: bool) {
    counters::add(&counters::TIMERS, more);
}

#[cfg(not(debug_assertions))]
pub(crate) fn timer(_: bool) {}

/// A blocking job, as long as this lives.
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
