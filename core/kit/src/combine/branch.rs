//! A branch of a combinator: a future in a cancel scope of its own.
//!
//! ```text
//!   Waiting ──1──▶ Running ──2──▶ Empty
//!      └─────────────3──────────────▲
//! ```
//!
//! 1. `poll`: its first, if the code around is not cancelled and nothing is decided
//! 2. `poll`: it has returned, panicked, or was cancelled, and everything inside has ended
//! 3. `poll`: the others were faster; it is dropped without having been polled (law L13)

use std::any::Any;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe, Location};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use foster_core::CancelScope;
use foster_core::future::{CancelScopeFuture, Losers};
use foster_core::leaf;

use crate::first_panic::FirstPanic;

pin_project! {
    #[project = BranchProj]
    pub(super) enum Branch<F, T> {
        Attached {
            #[pin]
            run: CancelScopeFuture<F, T>,
            running: bool,
            // It has given way once, because it found no budget to begin with.
            gave_way: bool,
        },
        Empty,
    }
}

/// The result of one poll of a branch.
pub(super) enum Step<T> {
    Pending,
    Value(T),
    /// It is over and has left nothing, or that was told to the [`Fate`].
    Over,
}

impl<F: Future<Output = T>, T> Branch<F, T> {
    /// With `here` its scope has its place from now on, and outlives the scopes that it is polled in.
    #[track_caller]
    pub(super) fn new(here: bool, future: F) -> Self {
        Branch::at(Location::caller(), here, future)
    }

    /// As [`new`](Branch::new), for branches that are made in a poll.
    pub(super) fn at(location: &'static Location<'static>, here: bool, future: F) -> Self {
        let scope = CancelScope::new().located(location);
        let run = if here { scope.run_here(future) } else { scope.run(future) };
        Branch::Attached { run, running: false, gave_way: false }
    }

    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, fate: &mut Fate) -> Step<T> {
        let BranchProj::Attached { mut run, running, gave_way } = self.as_mut().project() else { return Step::Over };
        if !*running {
            if fate.is_closing() {
                self.clear(fate);
                return Step::Over;
            }
            if fate.is_held_off() {
                return Step::Pending;
            }
            // L38: a loop of branches that lose has no other operation that comes to an end. Here, and not when they have
            // lost: then the value of the winner would be kept waiting. Once, as foreign code may leave it none each time.
            if !*gave_way && leaf::poll_budget(cx).is_pending() {
                *gave_way = true;
                return Step::Pending;
            }
            *running = true;
        }
        let step = match panic::catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx))) {
            // Cancelled from further out: nobody will hear of this branch again (law L18).
            Ok(Poll::Pending) if fate.is_closing() && run.never_returns() => {
                fate.cut = true;
                Step::Over
            }
            Ok(Poll::Pending) => return Step::Pending,
            Ok(Poll::Ready(Ok(value))) => Step::Value(value),
            Ok(Poll::Ready(Err(_))) => Step::Over,
            Err(payload) => {
                fate.panicked(payload);
                Step::Over
            }
        };
        self.clear(fate);
        step
    }

    /// Adds a branch that runs to those that are stopped together. [`close`](Branch::close) has to follow.
    pub(super) fn lose(self: Pin<&mut Self>, reason: &'static str, losers: &mut Losers) {
        if let BranchProj::Attached { run, running: true, .. } = self.project() {
            losers.add(run, reason);
        }
    }

    /// Cancels a branch that runs. Returns whether it is still to be polled.
    pub(super) fn close(mut self: Pin<&mut Self>, reason: &'static str, fate: &mut Fate) -> bool {
        let BranchProj::Attached { mut run, running, .. } = self.as_mut().project() else { return false };
        if *running && fate.guard(|| run.as_mut().give_up(reason)) == Some(false) {
            if !run.never_returns() {
                return true;
            }
            fate.cut = true;
        }
        self.clear(fate);
        false
    }

    /// Drops the future. A panic of its destructor counts as one of the branch, which is empty all the same.
    fn clear(mut self: Pin<&mut Self>, fate: &mut Fate) {
        fate.guard(|| self.set(Branch::Empty));
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Branch::Empty)
    }

    pub(super) fn has_begun(&self) -> bool {
        !matches!(self, Branch::Attached { running: false, .. })
    }
}

/// The decision for all branches of a combinator.
pub(super) struct Fate {
    /// The outcome is settled: what runs is cancelled, what does not run is not begun.
    closing: Option<&'static str>,
    /// A branch was cancelled from further out: there is no value (law L33).
    cut: bool,
    /// The code around was found to be cancelled in this turn.
    held_off: bool,
    panics: FirstPanic,
}

impl Fate {
    pub(super) fn new() -> Self {
        Fate { closing: None, cut: false, held_off: false, panics: FirstPanic::default() }
    }

    pub(super) fn begin_poll(&mut self) {
        self.held_off = false;
    }

    /// Whether the code around is cancelled: then nothing is begun (law L13). To be asked for each branch and each
    /// input anew, because the one before may have had it cancelled, or used up the time; only a yes holds for the
    /// whole turn.
    pub(super) fn is_held_off(&mut self) -> bool {
        self.held_off = self.held_off || foster_core::is_cancelled();
        self.held_off
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Settles the outcome, unless it was settled before.
    pub(super) fn settle(&mut self, reason: &'static str) {
        self.closing.get_or_insert(reason);
    }

    pub(super) fn reason(&self) -> Option<&'static str> {
        self.closing
    }

    /// Calls user code that is no branch, such as a destructor; a panic in it is treated as one in a branch.
    pub(super) fn guard<R>(&mut self, call: impl FnOnce() -> R) -> Option<R> {
        panic::catch_unwind(AssertUnwindSafe(call)).map_err(|payload| self.panicked(payload)).ok()
    }

    /// Keeps the first panic; it resumes when all branches have ended. If the combinator is dropped before that, it
    /// fails the scope around (law L29).
    pub(super) fn panicked(&mut self, payload: Box<dyn Any + Send>) {
        self.panics.keep(payload);
        self.settle("another branch panicked");
    }

    /// All branches have ended.
    pub(super) fn resume_panic(&mut self) {
        self.panics.resume();
    }
}
