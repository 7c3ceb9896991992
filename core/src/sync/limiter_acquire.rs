//! The acquiring futures of the capacity limiter: one state machine and four futures around it.
//!
//! ```text
//!   Start ──1──▶ Done
//!     └─────2──▶ Waiting ─3──▶ Done
//! ```
//!
//! 1. a permit is free: `CapacityLimiter::take`
//! 2. none is free: `CapacityLimiter::join`
//! 3. a permit was handed over: `CapacityLimiter::admit`; or a waiter that was skipped has taken one:
//!    `CapacityLimiter::enqueue_again`. From every state a drop leads to Done: `LimiterAcquireOp::cancel`

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::borrower::{Borrower, BorrowerBusy, Holder};
use super::capacity_limiter::{CapacityLimiter, LimiterPermit, OwnedLimiterPermit, TryAcquireError};
use super::waiter_list::{WaitOutcome, WaiterKey};
use crate::leaf::{self, Gate, Waiter};

/// Future of [`CapacityLimiter::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LimiterAcquire<'a> {
    pub(super) limiter: &'a CapacityLimiter,
    pub(super) op: LimiterAcquireOp,
}

impl<'a> Future for LimiterAcquire<'a> {
    type Output = LimiterPermit<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LimiterPermit<'a>> {
        let limiter = self.limiter;
        self.op.poll(limiter, cx).map(|key| LimiterPermit { limiter, key: anonymous(key) })
    }
}

impl Drop for LimiterAcquire<'_> {
    fn drop(&mut self) {
        self.op.cancel(self.limiter);
    }
}

/// Future of [`CapacityLimiter::acquire_on_behalf_of`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LimiterAcquireOnBehalfOf<'a> {
    pub(super) limiter: &'a CapacityLimiter,
    pub(super) op: LimiterAcquireOp,
}

impl<'a> Future for LimiterAcquireOnBehalfOf<'a> {
    type Output = Result<LimiterPermit<'a>, BorrowerBusy>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let limiter = self.limiter;
        self.op.poll(limiter, cx).map_ok(|key| LimiterPermit { limiter, key })
    }
}

impl Drop for LimiterAcquireOnBehalfOf<'_> {
    fn drop(&mut self) {
        self.op.cancel(self.limiter);
    }
}

/// Future of [`CapacityLimiter::acquire_owned`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LimiterAcquireOwned {
    pub(super) limiter: Arc<CapacityLimiter>,
    pub(super) op: LimiterAcquireOp,
}

impl Future for LimiterAcquireOwned {
    type Output = OwnedLimiterPermit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedLimiterPermit> {
        let this = &mut *self;
        let poll = this.op.poll(&this.limiter, cx);
        poll.map(|key| OwnedLimiterPermit { limiter: this.limiter.clone(), key: anonymous(key) })
    }
}

impl Drop for LimiterAcquireOwned {
    fn drop(&mut self) {
        self.op.cancel(&self.limiter);
    }
}

/// Future of [`CapacityLimiter::acquire_owned_on_behalf_of`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LimiterAcquireOwnedOnBehalfOf {
    pub(super) limiter: Arc<CapacityLimiter>,
    pub(super) op: LimiterAcquireOp,
}

impl Future for LimiterAcquireOwnedOnBehalfOf {
    type Output = Result<OwnedLimiterPermit, BorrowerBusy>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let poll = this.op.poll(&this.limiter, cx);
        poll.map_ok(|key| OwnedLimiterPermit { limiter: this.limiter.clone(), key })
    }
}

impl Drop for LimiterAcquireOwnedOnBehalfOf {
    fn drop(&mut self) {
        self.op.cancel(&self.limiter);
    }
}

/// The common part of the acquiring futures.
pub(super) struct LimiterAcquireOp {
    borrower: Option<Borrower>,
    location: &'static Location<'static>,
    gate: Gate,
    state: LimiterAcquireState,
}

#[derive(Debug)]
enum LimiterAcquireState {
    Start,
    Waiting { record: usize, key: WaiterKey },
    Done,
}

impl LimiterAcquireOp {
    #[track_caller]
    pub(super) fn new(borrower: Option<Borrower>) -> Self {
        LimiterAcquireOp {
            borrower,
            location: Location::caller(),
            gate: Gate::new("capacity limiter"),
            state: LimiterAcquireState::Start,
        }
    }

    fn poll(&mut self, limiter: &CapacityLimiter, cx: &mut Context<'_>) -> Poll<Result<usize, BorrowerBusy>> {
        ready!(self.gate.poll_start(cx));
        match &mut self.state {
            LimiterAcquireState::Start => match self.start(limiter, cx) {
                Ok((record, None)) => self.finish(Ok(record)),
                Ok((record, Some(key))) => {
                    self.state = LimiterAcquireState::Waiting { record, key };
                    Poll::Pending
                }
                // The borrower may be busy because of a request that has come since the gate (L14).
                Err(TryAcquireError::Busy(busy)) if !leaf::is_cancelled() => self.finish(Err(busy)),
                Err(_) => self.gate.restart(cx),
            },
            LimiterAcquireState::Waiting { record, key } => {
                let record = *record;
                if let WaitOutcome::Skipped = ready!(key.poll(limiter.queue.shared(), cx)) {
                    let Some(queued) = limiter.enqueue_again(record, Waiter::new(cx)) else {
                        self.state = LimiterAcquireState::Start;
                        limiter.release(record);
                        return self.gate.restart(cx);
                    };
                    if let Some(key) = queued {
                        self.state = LimiterAcquireState::Waiting { record, key };
                        return Poll::Pending;
                    }
                }
                self.finish(Ok(record))
            }
            LimiterAcquireState::Done => panic!("an `acquire` of a `CapacityLimiter` was polled after it was ready"),
        }
    }

    fn finish(&mut self, result: Result<usize, BorrowerBusy>) -> Poll<Result<usize, BorrowerBusy>> {
        self.state = LimiterAcquireState::Done;
        Poll::Ready(result)
    }

    fn start(
        &self,
        limiter: &CapacityLimiter,
        cx: &mut Context<'_>,
    ) -> Result<(usize, Option<WaiterKey>), TryAcquireError> {
        let holder = Holder::new(self.borrower.clone(), self.location);
        match limiter.take(holder, leaf::may_take) {
            Ok(record) => Ok((record, None)),
            // L36: made before the lock is taken.
            Err(TryAcquireError::Full(holder)) => limiter.join(holder, Waiter::new(cx)),
            Err(other) => Err(other),
        }
    }

    /// Leaves the queue, when the future is dropped, and gives back a permit that was handed over.
    fn cancel(&mut self, limiter: &CapacityLimiter) {
        match mem::replace(&mut self.state, LimiterAcquireState::Done) {
            LimiterAcquireState::Start | LimiterAcquireState::Done => {}
            LimiterAcquireState::Waiting { record, key } => limiter.leave(record, &key),
        }
    }
}

/// Returns the record of an acquisition without a borrower, which cannot be refused.
fn anonymous(key: Result<usize, BorrowerBusy>) -> usize {
    match key {
        Ok(key) => key,
        Err(busy) => unreachable!("an acquisition without a borrower cannot be refused: {busy}"),
    }
}

impl fmt::Debug for LimiterAcquireOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            LimiterAcquireState::Start => "Start",
            LimiterAcquireState::Waiting { .. } => "Waiting",
            LimiterAcquireState::Done => "Done",
        })
    }
}
