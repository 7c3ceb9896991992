//! The semaphore: permits that are handed over.
//!
//! The free permits are in one atomic word (`permits.rs`), beside a mark for waiters. So as long as nobody waits,
//! taking a permit is one instruction, and so is giving it back. A task that has to wait does so by way of
//! `acquire.rs`.

mod acquire;
mod permits;

use std::fmt;
use std::sync::Arc;

use super::WouldBlock;
use super::acquire::{Acquire, QueuedResource};
use super::wait_queue::WaitQueue;
use permits::Permits;

pub use acquire::{SemaphoreAcquire, SemaphoreAcquireOwned};

/// Permits for a limited number of tasks at once.
///
/// A permit that is released goes to the longest waiter, in that instant; [`try_acquire`](Semaphore::try_acquire) fails
/// as long as somebody waits. Permits can be taken several at a time, added and removed.
///
/// To see who holds them, or to resize while in use, take a [`CapacityLimiter`](super::CapacityLimiter); around data, a
/// lock.
///
/// # Examples
///
/// ```
/// use foster::sync::Semaphore;
///
/// # foster_sim::run(1, async {
/// static DOWNLOADS: Semaphore = Semaphore::new(2);
///
/// let first = DOWNLOADS.acquire().await;
/// let second = DOWNLOADS.acquire().await;
/// assert!(DOWNLOADS.try_acquire().is_err());
/// drop(first);
/// assert!(DOWNLOADS.try_acquire().is_ok());
/// # drop(second);
/// # });
/// ```
pub struct Semaphore {
    permits: Permits,
    queue: WaitQueue,
}

impl Semaphore {
    /// As many permits as can be free at once; what is given back beyond that is gone.
    pub const MAX_PERMITS: usize = permits::MAX;

    /// Makes a semaphore with `permits` permits; with 0, nobody gets one until some are
    /// [added](Semaphore::add_permits).
    ///
    /// # Panics
    ///
    /// If `permits` is greater than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    #[must_use]
    #[track_caller]
    pub const fn new(permits: usize) -> Self {
        assert!(
            permits <= Semaphore::MAX_PERMITS,
            "a semaphore cannot have more than `Semaphore::MAX_PERMITS` permits"
        );
        Semaphore { permits: Permits::new(permits), queue: WaitQueue::new() }
    }

    /// Waits for a permit. [`run`](Semaphore::run) keeps it until all cleanup has ended, also where foreign code drops
    /// futures.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; a permit that was handed over already goes to the next waiter.
    #[inline]
    pub fn acquire(&self) -> SemaphoreAcquire<'_> {
        self.acquire_many(1)
    }

    /// Waits for `n` permits together, also if more than there are: some may be [added](Semaphore::add_permits).
    ///
    /// The first in the queue gets them when so many are free; nobody behind is served before, also not who wants
    /// fewer.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Semaphore::acquire).
    #[inline]
    pub fn acquire_many(&self, n: usize) -> SemaphoreAcquire<'_> {
        SemaphoreAcquire { semaphore: self, acquire: Acquire::new(NAME, n) }
    }

    /// Waits for a permit that can be moved into another task, a closure or a thread.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::sync::Semaphore;
    /// use std::sync::Arc;
    ///
    /// # foster_sim::run(1, async {
    /// let semaphore = Arc::new(Semaphore::new(3));
    /// let permit = semaphore.clone().acquire_owned().await;
    /// std::thread::spawn(move || drop(permit)).join().unwrap();
    /// assert_eq!(semaphore.available(), 3);
    /// # });
    /// ```
    pub fn acquire_owned(self: Arc<Self>) -> SemaphoreAcquireOwned {
        self.acquire_many_owned(1)
    }

    /// Waits for `n` permits together, that can be moved; [`acquire_many`](Semaphore::acquire_many) and
    /// [`acquire_owned`](Semaphore::acquire_owned) in one.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Semaphore::acquire).
    pub fn acquire_many_owned(self: Arc<Self>, n: usize) -> SemaphoreAcquireOwned {
        SemaphoreAcquireOwned { semaphore: self, acquire: Acquire::new(NAME, n) }
    }

    /// Takes a permit, if one is free and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, WouldBlock> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits, if so many are free and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_acquire_many(&self, n: usize) -> Result<SemaphorePermit<'_>, WouldBlock> {
        if self.try_take(n) { Ok(SemaphorePermit { semaphore: self, count: n }) } else { Err(WouldBlock) }
    }

    /// Takes a permit that can be moved, if one is free and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, WouldBlock> {
        if self.try_take(1) { Ok(OwnedSemaphorePermit { semaphore: self, count: 1 }) } else { Err(WouldBlock) }
    }

    /// Adds `n` permits; waiters get them first. More than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) are never free: one
    /// that comes back beyond that is gone.
    ///
    /// # Panics
    ///
    /// If more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) would be free.
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        assert!(
            n <= Semaphore::MAX_PERMITS - self.available(),
            "a semaphore cannot have more than `Semaphore::MAX_PERMITS` permits"
        );
        self.release(n);
    }

    /// Takes `n` free permits out of the world, or as many as are free; returns how many.
    ///
    /// Those that are in use are not touched: [`SemaphorePermit::forget`].
    pub fn forget_permits(&self, n: usize) -> usize {
        let alone = self.permits.take_up_to(n, None);
        alone.or_else(|| self.permits.take_up_to(n, Some(&self.queue.lock()))).unwrap_or(0)
    }

    /// Returns how many permits are free. If somebody waits for several, some may be, and be his.
    #[must_use]
    pub fn available(&self) -> usize {
        self.permits.free()
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> SemaphoreStatistics {
        SemaphoreStatistics { available: self.available(), waiting: self.queue.waiting() }
    }

    #[inline]
    fn queued(&self) -> QueuedResource<'_, Permits> {
        QueuedResource { resource: &self.permits, queue: &self.queue }
    }

    /// Takes `n` permits, if nobody waits.
    #[inline]
    fn take(&self, n: usize) -> bool {
        self.permits.try_acquire(n)
    }

    /// Takes `n` permits, also if the only waiters are cancelled.
    #[inline]
    fn try_take(&self, n: usize) -> bool {
        self.take(n) || (self.queued().drop_cancelled_waiters(n) && self.take(n))
    }

    /// Gives `n` permits back, to the first waiter if there is one.
    #[inline]
    fn release(&self, n: usize) {
        if !self.permits.give(n) {
            self.hand_over(n);
        }
    }

    fn hand_over(&self, mut n: usize) {
        let mut queue = self.queue.lock();
        // Waiters that need no more than these get them under the queue's lock, and the word does not change.
        while n > 0 {
            let Some(need) = queue.first().filter(|need| *need <= n) else { break };
            if queue.claim_first() {
                queue.notify_first();
                n -= need;
            }
        }
        if n > 0 {
            self.permits.add(n);
        }
        self.queued().notify_waiters_in(queue);
    }
}

/// Its name in dumps.
const NAME: &str = "semaphore";

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SemaphoreStatistics { available, waiting } = self.statistics();
        f.debug_struct("Semaphore").field("available", &available).field("waiting", &waiting).finish()
    }
}

/// A permit of a [`Semaphore`], or several; given back when dropped.
#[derive(Debug)]
#[must_use = "the permit is given back when this is dropped"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl SemaphorePermit<'_> {
    /// Returns how many permits this is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes the permit out of the world instead of giving it back.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            self.semaphore.release(self.count);
        }
    }
}

/// A permit of a [`Semaphore`], or several, that can be moved anywhere; given back when dropped.
#[derive(Debug)]
#[must_use = "the permit is given back when this is dropped"]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    count: usize,
}

impl OwnedSemaphorePermit {
    /// Returns how many permits this is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes the permit out of the world instead of giving it back.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            self.semaphore.release(self.count);
        }
    }
}

/// The snapshot that [`Semaphore::statistics`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStatistics {
    /// How many permits are free.
    pub available: usize,
    /// How many tasks wait for permits.
    pub waiting: usize,
}

#[cfg(test)]
mod tests;
