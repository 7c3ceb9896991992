//! The turn: how every operation of a channel starts, and how it waits.
//!
//! ```text
//!   Start ──┬───────────── done ──▶ Over
//!           └──▶ Waiting ── done ────▲
//! ```
//!
//! In code that is cancelled it does not start; there, one that waits is done only with what it was given before (law L14).

use std::task::{Context, Poll, ready};

use crate::leaf::{self, Gate, Waiter};

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Attempt<R> {
    Done(R),
    /// It has to wait, and its waiter is where it will be found; or its code is cancelled.
    Waits,
    /// It has to wait, and there is no waiter: make one with the lock released, and try again.
    NoWaiter,
}

/// What an attempt brings along.
#[derive(Debug)]
pub(super) struct Visit {
    /// Made in the attempt before, if that asked for one. What is left in it is dropped with no lock held.
    pub(super) waiter: Option<Waiter>,
    /// The operation has waited, and its code is cancelled.
    pub(super) cancelled: bool,
}

impl Visit {
    /// For an attempt that is not to wait.
    pub(super) const fn none() -> Self {
        Visit { waiter: None, cancelled: false }
    }
}

/// One operation.
#[derive(Debug)]
pub(super) struct Turn {
    gate: Gate,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Start,
    Waiting,
    Over,
}

impl Turn {
    #[inline]
    pub(super) const fn new(what: &'static str) -> Self {
        Turn { gate: Gate::new(what), step: Step::Start }
    }

    /// Whether it has waited, and goes on.
    #[inline]
    pub(super) fn has_waited(&self) -> bool {
        self.step == Step::Waiting
    }

    /// Attempts it.
    #[inline]
    pub(super) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(&mut Visit, &Context<'_>) -> Attempt<R>,
    ) -> Poll<R> {
        ready!(self.begin(cx));
        self.go_on(cx, attempt)
    }

    /// The first half of a poll. Ready if it may be attempted.
    #[inline]
    pub(super) fn begin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.step == Step::Over {
            self.polled_again();
        }
        self.gate.poll_start(cx)
    }

    #[cold]
    #[inline(never)]
    fn polled_again(&self) -> ! {
        panic!("a {} was polled after it was ready", self.gate.what());
    }

    /// The second half, for those who did not do it in between.
    #[inline]
    pub(super) fn go_on<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut Visit, &Context<'_>) -> Attempt<R>,
    ) -> Poll<R> {
        let cancelled = self.step == Step::Waiting && leaf::is_cancelled();
        let mut visit = Visit { waiter: None, cancelled };
        loop {
            match attempt(&mut visit, cx) {
                Attempt::Done(done) => {
                    self.end();
                    return Poll::Ready(done);
                }
                Attempt::Waits => {
                    self.step = Step::Waiting;
                    return Poll::Pending;
                }
                // L36: made with the lock released.
                Attempt::NoWaiter => visit.waiter = Some(Waiter::new(cx)),
            }
        }
    }

    /// It will not be polled any more.
    #[inline]
    pub(super) fn end(&mut self) {
        self.step = Step::Over;
    }
}

/// Waits on with the present task and code in `waiter`, if they are there already or `visit` has brought them. What was there before
/// is left in `visit`, to be dropped with the lock released.
#[inline]
pub(super) fn wait_with<R>(waiter: &mut Waiter, visit: &mut Visit, cx: &Context<'_>) -> Attempt<R> {
    if waiter.is_current(cx) {
        return Attempt::Waits;
    }
    match &mut visit.waiter {
        Some(new) => {
            std::mem::swap(waiter, new);
            Attempt::Waits
        }
        None => Attempt::NoWaiter,
    }
}
