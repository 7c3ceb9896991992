//! The acquiring futures of the capacity limiter: one state machine in four coats.
//!
//! ```text
//!   Start ──1──▶ Held ──3──▶ Over
//!     └─────2──▶ Waiting ─4──▶ Over
//! ```
//!
//! 1. one is free: `CapacityLimiter::take`; it is held while the task gives way once
//! 2. none is: `CapacityLimiter::join`
//! 3. the next poll
//! 4. handed over: `CapacityLimiter::admit`. From every state a drop leads to Over: `Claim::give_up`

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::borrower::{Borrower, BorrowerBusy, Holder};
use super::capacity_limiter::{CapacityLimiter, LimiterPermit, OwnedLimiterPermit, Refusal};
use super::line::Ticket;
use crate::checkpoint::Gate;

/// Future of [`CapacityLimiter::acquire`] and [`CapacityLimiter::fast_acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LimiterAcquire<'a> {
    pub(super) limiter: &'a CapacityLimiter,
    pub(super) claim: Claim,
}

impl<'a> Future for LimiterAcquire<'a> {
    type Output = LimiterPermit<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LimiterPermit<'a>> {
        let limiter = self.limiter;
        self.claim.poll(limiter, cx).map(|key| LimiterPermit { limiter, key: anonymous(key) })
    }
}

impl Drop for LimiterAcquire<'_> {
    fn drop(&mut self) {
        self.claim.give_up(self.limiter);
    }
}

/// Future of [`CapacityLimiter::acquire_on_behalf_of`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LimiterAcquireOnBehalfOf<'a> {
    pub(super) limiter: &'a CapacityLimiter,
    pub(super) claim: Claim,
}

impl<'a> Future for LimiterAcquireOnBehalfOf<'a> {
    type Output = Result<LimiterPermit<'a>, BorrowerBusy>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let limiter = self.limiter;
        self.claim.poll(limiter, cx).map_ok(|key| LimiterPermit { limiter, key })
    }
}

impl Drop for LimiterAcquireOnBehalfOf<'_> {
    fn drop(&mut self) {
        self.claim.give_up(self.limiter);
    }
}

/// Future of [`CapacityLimiter::acquire_owned`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LimiterAcquireOwned {
    pub(super) limiter: Arc<CapacityLimiter>,
    pub(super) claim: Claim,
}

impl Future for LimiterAcquireOwned {
    type Output = OwnedLimiterPermit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedLimiterPermit> {
        let this = &mut *self;
        let poll = this.claim.poll(&this.limiter, cx);
        poll.map(|key| OwnedLimiterPermit { limiter: this.limiter.clone(), key: anonymous(key) })
    }
}

impl Drop for LimiterAcquireOwned {
    fn drop(&mut self) {
        self.claim.give_up(&self.limiter);
    }
}

/// Future of [`CapacityLimiter::acquire_owned_on_behalf_of`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LimiterAcquireOwnedOnBehalfOf {
    pub(super) limiter: Arc<CapacityLimiter>,
    pub(super) claim: Claim,
}

impl Future for LimiterAcquireOwnedOnBehalfOf {
    type Output = Result<OwnedLimiterPermit, BorrowerBusy>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let poll = this.claim.poll(&this.limiter, cx);
        poll.map_ok(|key| OwnedLimiterPermit { limiter: this.limiter.clone(), key })
    }
}

impl Drop for LimiterAcquireOwnedOnBehalfOf {
    fn drop(&mut self) {
        self.claim.give_up(&self.limiter);
    }
}

/// What the acquiring futures have in common.
pub(super) struct Claim {
    borrower: Option<Borrower>,
    location: &'static Location<'static>,
    fast: bool,
    gate: Gate,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Start,
    Waiting {
        key: usize,
        ticket: Ticket,
    },
    /// Had at once: has still to give way.
    Held {
        key: usize,
    },
    Over,
}

impl Claim {
    #[track_caller]
    pub(super) fn new(borrower: Option<Borrower>, fast: bool) -> Self {
        Claim { borrower, location: Location::caller(), fast, gate: Gate::to("capacity limiter"), step: Step::Start }
    }

    fn poll(&mut self, limiter: &CapacityLimiter, cx: &mut Context<'_>) -> Poll<Result<usize, BorrowerBusy>> {
        if self.gate.poll_start().is_pending() {
            return Poll::Pending;
        }
        match &mut self.step {
            Step::Start => match self.start(limiter, cx) {
                Ok(Step::Held { key }) if self.fast => {
                    self.step = Step::Over;
                    Poll::Ready(Ok(key))
                }
                Ok(step) => {
                    if matches!(step, Step::Held { .. }) {
                        cx.waker().wake_by_ref();
                    }
                    self.step = step;
                    Poll::Pending
                }
                Err(busy) => {
                    self.step = Step::Over;
                    Poll::Ready(Err(busy))
                }
            },
            Step::Waiting { key, ticket } => {
                let key = *key;
                if ticket.poll(limiter.queue.shared(), true, cx).is_pending() {
                    return Poll::Pending;
                }
                self.step = Step::Over;
                Poll::Ready(Ok(key))
            }
            Step::Held { key } => {
                let key = *key;
                self.step = Step::Over;
                Poll::Ready(Ok(key))
            }
            Step::Over => panic!("an `acquire` of a `CapacityLimiter` was polled after it was ready"),
        }
    }

    fn start(&mut self, limiter: &CapacityLimiter, cx: &mut Context<'_>) -> Result<Step, BorrowerBusy> {
        let holder = Holder::new(self.borrower.take(), self.location);
        match limiter.take(holder) {
            Ok(key) => Ok(Step::Held { key }),
            Err(Refusal::Busy(busy)) => Err(busy),
            // L36: the waker is cloned before the lock is taken.
            Err(Refusal::Full(holder)) => Ok(match limiter.join(holder, cx.waker().clone())? {
                (key, None) => Step::Held { key },
                (key, Some(ticket)) => Step::Waiting { key, ticket },
            }),
        }
    }

    /// The future is dropped: leaves the queue, and gives back what it was handed.
    fn give_up(&mut self, limiter: &CapacityLimiter) {
        match mem::replace(&mut self.step, Step::Over) {
            Step::Start | Step::Over => {}
            Step::Held { key } => limiter.release(key),
            Step::Waiting { key, ticket } => limiter.leave(key, &ticket),
        }
    }
}

/// The key of an acquisition without a borrower.
fn anonymous(key: Result<usize, BorrowerBusy>) -> usize {
    match key {
        Ok(key) => key,
        Err(busy) => unreachable!("nobody was named, and yet: {busy}"),
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.step {
            Step::Start => "Start",
            Step::Waiting { .. } => "Waiting",
            Step::Held { .. } => "Held",
            Step::Over => "Over",
        })
    }
}
