//! The turn: how every operation of a channel starts, and how it waits.
//!
//! ```text
//!   Start ──┬───────────── done ──▶ Done
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
    Waiting,
    /// It has to wait, and there is no waiter: make one with the lock released, and try again.
    NeedsWaiter,
}

/// What an attempt brings along.
#[derive(Debug)]
pub(super) struct AttemptCx {
    /// Made in the attempt before, if that asked for one. What is left in it is dropped with no lock held.
    pub(super) waiter: Option<Waiter>,
    /// The operation has waited, and its code is cancelled.
    pub(super) cancelled: bool,
}

impl AttemptCx {
    /// For an attempt that is not to wait.
    pub(super) const fn none() -> Self {
        AttemptCx { waiter: None, cancelled: false }
    }
}

/// One operation.
#[derive(Debug)]
pub(super) struct ChannelOperation {
    gate: Gate,
    state: OperationState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperationState {
    Start,
    Waiting,
    Done,
}

impl ChannelOperation {
    #[inline]
    pub(super) const fn new(what: &'static str) -> Self {
        ChannelOperation { gate: Gate::new(what), state: OperationState::Start }
    }

    /// Whether it has waited, and goes on.
    #[inline]
    pub(super) fn has_waited(&self) -> bool {
        self.state == OperationState::Waiting
    }

    /// Attempts it.
    #[inline]
    pub(super) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(&mut AttemptCx, &Context<'_>) -> Attempt<R>,
    ) -> Poll<R> {
        ready!(self.poll_start(cx));
        self.poll_attempts(cx, attempt)
    }

    /// The first half of a poll. Ready if it may be attempted.
    #[inline]
    pub(super) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state == OperationState::Done {
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
    pub(super) fn poll_attempts<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut AttemptCx, &Context<'_>) -> Attempt<R>,
    ) -> Poll<R> {
        let cancelled = self.state == OperationState::Waiting && leaf::is_cancelled();
        let mut attempt_cx = AttemptCx { waiter: None, cancelled };
        loop {
            match attempt(&mut attempt_cx, cx) {
                Attempt::Done(done) => {
                    self.finish();
                    return Poll::Ready(done);
                }
                Attempt::Waiting => {
                    self.state = OperationState::Waiting;
                    return Poll::Pending;
                }
                // L36: made with the lock released.
                Attempt::NeedsWaiter => attempt_cx.waiter = Some(Waiter::new(cx)),
            }
        }
    }

    /// It will not be polled any more.
    #[inline]
    pub(super) fn finish(&mut self) {
        self.state = OperationState::Done;
    }
}

/// Waits on with the present task and code in `waiter`, if they are there already or `attempt_cx` has brought them. What was there before
/// is left in `attempt_cx`, to be dropped with the lock released.
#[inline]
pub(super) fn update_waiter<R>(waiter: &mut Waiter, attempt_cx: &mut AttemptCx, cx: &Context<'_>) -> Attempt<R> {
    if waiter.is_current(cx) {
        return Attempt::Waiting;
    }
    match &mut attempt_cx.waiter {
        Some(new) => {
            std::mem::swap(waiter, new);
            Attempt::Waiting
        }
        None => Attempt::NeedsWaiter,
    }
}
