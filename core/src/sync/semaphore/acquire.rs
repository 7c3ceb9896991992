//! The wait for permits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use crate::sync::door::Claim;

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
        let (semaphore, count) = (self.semaphore, self.claim.need());
        if ready!(self.claim.poll_start(cx)) && semaphore.take(count) {
            self.claim.is_over();
            return Poll::Ready(SemaphorePermit { semaphore, count });
        }
        self.claim.poll_wait(semaphore.door(), cx).map(|()| SemaphorePermit { semaphore, count })
    }
}

impl Drop for SemaphoreAcquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.claim.gives_up(self.semaphore.door()) {
            self.semaphore.release(self.claim.need());
        }
    }
}

impl fmt::Debug for SemaphoreAcquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphoreAcquire")
            .field("permits", &self.claim.need())
            .field("step", &self.claim.step())
            .finish()
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
        if ready!(this.claim.poll_start(cx)) && this.semaphore.take(this.claim.need()) {
            this.claim.is_over();
        } else {
            ready!(this.claim.poll_wait(this.semaphore.door(), cx));
        }
        Poll::Ready(OwnedSemaphorePermit { semaphore: this.semaphore.clone(), count: this.claim.need() })
    }
}

impl Drop for SemaphoreAcquireOwned {
    #[inline]
    fn drop(&mut self) {
        if self.claim.gives_up(self.semaphore.door()) {
            self.semaphore.release(self.claim.need());
        }
    }
}

impl fmt::Debug for SemaphoreAcquireOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphoreAcquireOwned")
            .field("permits", &self.claim.need())
            .field("step", &self.claim.step())
            .finish()
    }
}
