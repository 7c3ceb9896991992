//! The wait for permits.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{ONE, OwnedSemaphorePermit, QUEUED, Semaphore, SemaphorePermit};
use crate::checkpoint::Gate;
use crate::sync::line::{Left, Ticket};
use crate::sys::atomic::Ordering;

/// Future of [`Semaphore::acquire`] and its variants.
#[must_use = "futures do nothing unless polled"]
pub struct SemaphoreAcquire<'a> {
    pub(super) semaphore: &'a Semaphore,
    pub(super) claim: Claim,
}

impl<'a> Future for SemaphoreAcquire<'a> {
    type Output = SemaphorePermit<'a>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SemaphorePermit<'a>> {
        let semaphore = self.semaphore;
        self.claim.poll(semaphore, cx).map(|count| SemaphorePermit { semaphore, count })
    }
}

impl Drop for SemaphoreAcquire<'_> {
    #[inline]
    fn drop(&mut self) {
        self.claim.give_up(self.semaphore);
    }
}

impl fmt::Debug for SemaphoreAcquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt("SemaphoreAcquire", f)
    }
}

/// Future of [`Semaphore::acquire_owned`] and [`Semaphore::acquire_many_owned`].
#[must_use = "futures do nothing unless polled"]
pub struct SemaphoreAcquireOwned {
    pub(super) semaphore: Arc<Semaphore>,
    pub(super) claim: Claim,
}

impl Future for SemaphoreAcquireOwned {
    type Output = OwnedSemaphorePermit;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedSemaphorePermit> {
        let this = &mut *self;
        this.claim
            .poll(&this.semaphore, cx)
            .map(|count| OwnedSemaphorePermit { semaphore: this.semaphore.clone(), count })
    }
}

impl Drop for SemaphoreAcquireOwned {
    #[inline]
    fn drop(&mut self) {
        self.claim.give_up(&self.semaphore);
    }
}

impl fmt::Debug for SemaphoreAcquireOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt("SemaphoreAcquireOwned", f)
    }
}

/// What the acquiring futures have in common.
pub(super) struct Claim {
    need: usize,
    fast: bool,
    gate: Gate,
    step: Step,
}

enum Step {
    Start,
    Waiting(Ticket),
    /// Had at once: has still to give way.
    Held,
    Over,
}

impl Claim {
    #[inline]
    pub(super) fn new(need: usize, fast: bool) -> Self {
        Claim { need, fast, gate: Gate::to("semaphore"), step: Step::Start }
    }

    #[inline]
    fn poll(&mut self, semaphore: &Semaphore, cx: &mut Context<'_>) -> Poll<usize> {
        if self.gate.poll_start().is_pending() {
            return Poll::Pending;
        }
        if self.fast && matches!(self.step, Step::Start) && semaphore.take(self.need) {
            self.step = Step::Over;
            return Poll::Ready(self.need);
        }
        self.poll_step(semaphore, cx)
    }

    fn poll_step(&mut self, semaphore: &Semaphore, cx: &mut Context<'_>) -> Poll<usize> {
        match &mut self.step {
            Step::Start => {
                if !semaphore.take(self.need) {
                    // L36: cloned before the lock is taken.
                    let waker = cx.waker().clone();
                    let mut line = semaphore.queue.lock();
                    let free = semaphore.word.fetch_or(QUEUED, Ordering::Acquire) / ONE;
                    if !line.is_empty() || free < self.need {
                        self.step = Step::Waiting(line.enter(self.need, Some(waker)));
                        return Poll::Pending;
                    }
                    semaphore.settle(&line, free - self.need);
                }
                if self.fast {
                    self.step = Step::Over;
                    return Poll::Ready(self.need);
                }
                self.step = Step::Held;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Waiting(ticket) => {
                if ticket.poll(true, cx).is_pending() {
                    return Poll::Pending;
                }
                self.step = Step::Over;
                Poll::Ready(self.need)
            }
            Step::Held => {
                self.step = Step::Over;
                Poll::Ready(self.need)
            }
            Step::Over => panic!("an `acquire` of a `Semaphore` was polled after it was ready"),
        }
    }

    /// The future is dropped: leaves the line, and gives back what it was handed.
    #[inline]
    fn give_up(&mut self, semaphore: &Semaphore) {
        if !matches!(self.step, Step::Start | Step::Over) {
            self.leave(semaphore);
        }
    }

    fn leave(&mut self, semaphore: &Semaphore) {
        match mem::replace(&mut self.step, Step::Over) {
            Step::Start | Step::Over => {}
            Step::Held => semaphore.release(self.need),
            Step::Waiting(ticket) => {
                let mut line = semaphore.queue.lock();
                let (left, _waker) = line.remove(&ticket);
                // Also who was not served makes way: those behind may want fewer.
                let handed = if left == Left::Waiting { 0 } else { self.need };
                semaphore.hand_over(line, handed);
            }
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match &self.step {
            Step::Start => "Start",
            Step::Waiting(_) => "Waiting",
            Step::Held => "Held",
            Step::Over => "Over",
        };
        f.debug_struct(name).field("permits", &self.need).field("step", &step).finish()
    }
}
