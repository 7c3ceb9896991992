//! The acquiring futures of the capacity limiter: one state machine in four coats.
//!
//! ```text
//!   Start ──1──▶ Over
//!     └─────2──▶ Waiting ─3──▶ Over
//! ```
//!
//! 1. one is free: `CapacityLimiter::take`
//! 2. none is: `CapacityLimiter::join`
//! 3. handed over: `CapacityLimiter::admit`; or had anew by a waiter that was passed over: `CapacityLimiter::rejoin`. From every state
//!    a drop leads to Over: `Claim::give_up`

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::borrower::{Borrower, BorrowerBusy, Holder};
use super::capacity_limiter::{CapacityLimiter, LimiterPermit, OwnedLimiterPermit, Refusal};
use super::line::{Called, Ticket};
use crate::leaf::{Gate, Waiter};

/// Future of [`CapacityLimiter::acquire`].
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
    gate: Gate,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Start,
    Waiting { key: usize, ticket: Ticket },
    Over,
}

impl Claim {
    #[track_caller]
    pub(super) fn new(borrower: Option<Borrower>) -> Self {
        Claim { borrower, location: Location::caller(), gate: Gate::new("capacity limiter"), step: Step::Start }
    }

    fn poll(&mut self, limiter: &CapacityLimiter, cx: &mut Context<'_>) -> Poll<Result<usize, BorrowerBusy>> {
        ready!(self.gate.poll_start(cx));
        match &mut self.step {
            Step::Start => {
                let started = self.start(limiter, cx);
                match started {
                    Ok((key, None)) => self.over(Ok(key)),
                    Ok((key, Some(ticket))) => {
                        self.step = Step::Waiting { key, ticket };
                        Poll::Pending
                    }
                    Err(busy) => self.over(Err(busy)),
                }
            }
            Step::Waiting { key, ticket } => {
                let key = *key;
                if let Called::Passed { .. } = ready!(ticket.poll(limiter.queue.shared(), cx)) {
                    if let Some(ticket) = limiter.rejoin(key, Waiter::new(cx)) {
                        self.step = Step::Waiting { key, ticket };
                        return Poll::Pending;
                    }
                }
                self.over(Ok(key))
            }
            Step::Over => panic!("an `acquire` of a `CapacityLimiter` was polled after it was ready"),
        }
    }

    fn over(&mut self, result: Result<usize, BorrowerBusy>) -> Poll<Result<usize, BorrowerBusy>> {
        self.step = Step::Over;
        Poll::Ready(result)
    }

    fn start(
        &mut self,
        limiter: &CapacityLimiter,
        cx: &mut Context<'_>,
    ) -> Result<(usize, Option<Ticket>), BorrowerBusy> {
        let holder = Holder::new(self.borrower.take(), self.location);
        match limiter.take(holder) {
            Ok(key) => Ok((key, None)),
            Err(Refusal::Busy(busy)) => Err(busy),
            // L36: made before the lock is taken.
            Err(Refusal::Full(holder)) => limiter.join(holder, Waiter::new(cx)),
        }
    }

    /// The future is dropped: leaves the queue, and gives back what it was handed.
    fn give_up(&mut self, limiter: &CapacityLimiter) {
        match mem::replace(&mut self.step, Step::Over) {
            Step::Start | Step::Over => {}
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
            Step::Over => "Over",
        })
    }
}
