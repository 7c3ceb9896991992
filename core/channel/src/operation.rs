//! The common part of all channel operations: how they start, and how they wait.
//!
//! ```text
//!   Start ──┬───────────── done ──▶ Done
//!           └──▶ Waiting ── done ────▲
//! ```
//!
//! In code that is cancelled an operation does not start. One that already waits is done there only with what it was
//! given before (law L14). One that would tell such code a fact which it has found goes back to Start.

use std::task::{Context, Poll, ready};

use foster_core::leaf::{self, Gate, Waiter, stops_here};

/// The outcome of an attempt.
#[derive(Debug)]
pub(super) enum Attempt<R> {
    /// Done, with what it was given before, or takes now.
    Done(R),
    /// Done, with a fact that it has found, such as that the channel is closed, and that nobody has told it. Cancelled
    /// code is not told either.
    Found(R),
    /// It could take something, and may not: its code was cancelled since this poll began. It starts again.
    Cancelled,
    /// It has to wait, and its waiter is registered; or its code is cancelled.
    Waiting,
    /// It has to wait, and there is no waiter: the caller makes one with the lock released, and tries again.
    NeedsWaiter,
}

/// The context of an attempt.
#[derive(Debug)]
pub(super) struct AttemptCx {
    /// Made after the last attempt, if that needed one. A waiter that is left here is dropped with no lock held.
    pub(super) waiter: Option<Waiter>,
    /// The operation has waited, and its code is cancelled.
    pub(super) cancelled: bool,
    /// It is a checkpoint, which cancelled code does not pass; `try_` methods are none.
    is_checkpoint: bool,
}

impl AttemptCx {
    /// Makes the context of an attempt that is not to wait.
    pub(super) const fn none() -> Self {
        AttemptCx { waiter: None, cancelled: false, is_checkpoint: false }
    }

    /// Returns whether the operation may take what it has found, and was not given before: to be asked under the lock of
    /// the channel.
    #[inline]
    pub(super) fn may_take(&self) -> bool {
        !self.is_checkpoint || leaf::may_take()
    }
}

/// The state of one operation.
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

    /// Polls the operation, by one attempt or more.
    #[inline]
    pub(super) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(&mut AttemptCx, &Context<'_>) -> Attempt<R>,
    ) -> Poll<R> {
        ready!(self.poll_start(cx));
        self.poll_attempts(cx, attempt)
    }

    /// Does the first half of a poll. Ready if the operation may be attempted.
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

    /// Does the second half of a poll.
    #[inline]
    pub(super) fn poll_attempts<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut AttemptCx, &Context<'_>) -> Attempt<R>,
    ) -> Poll<R> {
        let cancelled = self.state == OperationState::Waiting && stops_here(cx);
        let mut attempt_cx = AttemptCx { waiter: None, cancelled, is_checkpoint: true };
        loop {
            match attempt(&mut attempt_cx, cx) {
                // L14: a request that came on another thread since this poll began may have closed what it has found
                // closed, and the code that it has cancelled could take that for the end of the work. It parks.
                Attempt::Found(_) if foster_core::is_cancelled() => return self.restart(cx),
                Attempt::Cancelled => return self.restart(cx),
                Attempt::Done(done) | Attempt::Found(done) => {
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

    /// Starts again with the next poll, if that is in code which is not cancelled.
    pub(super) fn restart<R>(&mut self, cx: &Context<'_>) -> Poll<R> {
        self.state = OperationState::Start;
        self.gate.restart(cx)
    }

    /// Ends the operation: it must not be polled again.
    #[inline]
    pub(super) fn finish(&mut self) {
        self.state = OperationState::Done;
    }
}

/// Makes sure that `waiter` is the one of the present task and code, if need be with the one in `attempt_cx`. The old
/// waiter is left in `attempt_cx`, to be dropped with the lock released.
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
