//! The futures that wait for permits of a semaphore.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use crate::sync::acquire::Acquire;

/// Future of [`Semaphore::acquire`] and its variants.
#[must_use = "futures do nothing unless polled"]
pub struct SemaphoreAcquire<'a> {
    pub(super) semaphore: &'a Semaphore,
    pub(super) acquire: Acquire,
}

impl<'a> Future for SemaphoreAcquire<'a> {
    type Output = SemaphorePermit<'a>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SemaphorePermit<'a>> {
        let (semaphore, count) = (self.semaphore, self.acquire.need());
        if ready!(self.acquire.poll_start(cx)) && semaphore.take(count) {
            return self.acquire.finish(SemaphorePermit { semaphore, count }, cx);
        }
        self.acquire.poll_wait(semaphore.queued(), cx, || SemaphorePermit { semaphore, count })
    }
}

impl Drop for SemaphoreAcquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.acquire.leave(self.semaphore.queued()) {
            self.semaphore.release(self.acquire.need());
        }
    }
}

impl fmt::Debug for SemaphoreAcquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphoreAcquire")
            .field("permits", &self.acquire.need())
            .field("state", &self.acquire.state_name())
            .finish()
    }
}

/// Future of [`Semaphore::acquire_owned`] and [`Semaphore::acquire_many_owned`].
#[must_use = "futures do nothing unless polled"]
pub struct SemaphoreAcquireOwned {
    pub(super) semaphore: Arc<Semaphore>,
    pub(super) acquire: Acquire,
}

impl Future for SemaphoreAcquireOwned {
    type Output = OwnedSemaphorePermit;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedSemaphorePermit> {
        let this = &mut *self;
        let count = this.acquire.need();
        let permit = || OwnedSemaphorePermit { semaphore: this.semaphore.clone(), count };
        if ready!(this.acquire.poll_start(cx)) && this.semaphore.take(count) {
            return this.acquire.finish(permit(), cx);
        }
        this.acquire.poll_wait(this.semaphore.queued(), cx, permit)
    }
}

impl Drop for SemaphoreAcquireOwned {
    #[inline]
    fn drop(&mut self) {
        if self.acquire.leave(self.semaphore.queued()) {
            self.semaphore.release(self.acquire.need());
        }
    }
}

impl fmt::Debug for SemaphoreAcquireOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphoreAcquireOwned")
            .field("permits", &self.acquire.need())
            .field("state", &self.acquire.state_name())
            .finish()
    }
}
