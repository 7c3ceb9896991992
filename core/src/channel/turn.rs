//! The turn: how every operation of a channel waits, and how it is a checkpoint.
//!
//! ```text
//!             ┌── could be done ────▶ Yielded ──┐
//!   Start ────┤                                 ├── done ──▶ Over
//!             └── has to wait ──────▶ Waiting ──┘
//! ```
//!
//! What could be done at once is not done before it has given way: until then the operation holds nothing, so cancelled code
//! stops there with nothing to undo.

use std::task::{Context, Poll, Waker};

use crate::checkpoint::Gate;
use crate::tree::ambient;

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Attempt<R> {
    Done(R),
    /// It could be done, but was not asked for yet.
    Ready,
    /// It has to wait, and its waker is where it will be called.
    Waits,
    /// It has to wait, and there is no waker: make one with the lock released, and try again.
    NoWaker,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Turn {
    gate: Gate,
    fast: bool,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Start,
    Yielded,
    Waiting,
    Over,
}

impl Turn {
    /// An operation that gives way once also if it could be done at once.
    #[inline]
    pub(super) const fn new(what: &'static str) -> Self {
        Turn { gate: Gate::to(what), fast: false, step: Step::Start }
    }

    /// An operation that does not, but stops in code that is cancelled.
    #[inline]
    pub(super) const fn fast(what: &'static str) -> Self {
        Turn { gate: Gate::to(what), fast: true, step: Step::Start }
    }

    /// Attempts it. The first argument of `attempt` says whether to do it or only to look, the second has room for a clone of the
    /// waker; what is left in it is dropped with no lock held.
    #[inline]
    pub(super) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(bool, &mut Option<Waker>, &Context<'_>) -> Attempt<R>,
    ) -> Poll<R> {
        match self.begin() {
            Poll::Ready(act) => self.go_on(act, cx, attempt),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The first half of a poll: says whether to do it, or only to look. Pending in code that has to stop.
    // Always: a call of it costs as much as what it does.
    #[inline(always)]
    pub(super) fn begin(&mut self) -> Poll<bool> {
        if self.step == Step::Over {
            self.polled_again();
        }
        if !self.gate.stands_open() && self.has_to_stop() {
            return Poll::Pending;
        }
        Poll::Ready(self.fast || self.step != Step::Start)
    }

    #[cold]
    #[inline(never)]
    fn polled_again(&self) -> ! {
        panic!("a {} was polled after it was ready", self.gate.what());
    }

    #[inline(never)]
    fn has_to_stop(&mut self) -> bool {
        self.gate.poll_start().is_pending() || (self.step == Step::Yielded && ambient::is_cancelled())
    }

    /// The second half, for those who did not do it in between.
    #[inline]
    pub(super) fn go_on<R>(
        &mut self,
        act: bool,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(bool, &mut Option<Waker>, &Context<'_>) -> Attempt<R>,
    ) -> Poll<R> {
        let mut spare = None;
        loop {
            match attempt(act, &mut spare, cx) {
                Attempt::Done(done) => {
                    self.end();
                    return Poll::Ready(done);
                }
                Attempt::Ready => {
                    self.step = Step::Yielded;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Attempt::Waits => {
                    self.step = Step::Waiting;
                    return Poll::Pending;
                }
                // L36: cloned with the lock released.
                Attempt::NoWaker => spare = Some(cx.waker().clone()),
            }
        }
    }

    /// It will not be polled any more.
    #[inline]
    pub(super) fn end(&mut self) {
        self.step = Step::Over;
    }
}

/// Waits with the task's present waker in `waker`, if that is there already or `spare` is a clone of it. What was there before
/// is left in `spare`, to be dropped with the lock released.
#[inline]
pub(super) fn wait_with<R>(waker: &mut Option<Waker>, spare: &mut Option<Waker>, cx: &Context<'_>) -> Attempt<R> {
    if waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        return Attempt::Waits;
    }
    if spare.is_none() {
        return Attempt::NoWaker;
    }
    std::mem::swap(waker, spare);
    Attempt::Waits
}
