//! The semaphore: permits that are handed over.
//!
//! The free permits are in one atomic word, with a mark beside them, so that taking one and giving it back are one
//! instruction each as long as nobody waits.
//!
//! Invariant 1: `QUEUED` is set whenever somebody stands in the line.
//! Invariant 2: while `QUEUED` is set, only the holder of the line's lock changes the word; so permits that are free then
//! are there for the first in line, and a newcomer cannot take them.

mod acquire;

use std::fmt;
use std::sync::Arc;

use super::WouldBlock;
use super::wait_queue::{Line, WaitQueue};
use crate::sys::atomic::{AtomicUsize, Ordering};
use acquire::Claim;

pub use acquire::{SemaphoreAcquire, SemaphoreAcquireOwned};

/// The word: somebody waits.
const QUEUED: usize = 1;
/// The word: one permit.
const ONE: usize = 2;

/// Permits for a limited number of tasks at once.
///
/// A permit that is released goes to the longest waiter, in that instant; [`try_acquire`](Semaphore::try_acquire) fails as
/// long as somebody waits. Permits can be taken several at a time, added and removed.
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
    word: AtomicUsize,
    queue: WaitQueue,
}

impl Semaphore {
    /// As many permits as can be free at once; what is given back beyond that is gone.
    pub const MAX_PERMITS: usize = usize::MAX >> 2;

    /// A semaphore with `permits` permits; with 0, nobody gets one until some are [added](Semaphore::add_permits).
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
        Semaphore { word: AtomicUsize::new(permits * ONE), queue: WaitQueue::new() }
    }

    /// Waits for a permit. [`run`](Semaphore::run) keeps it until all cleanup has ended, also where foreign code drops futures.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; a permit that was handed over already goes to the next waiter.
    pub fn acquire(&self) -> SemaphoreAcquire<'_> {
        self.acquire_many(1)
    }

    /// Waits for a permit, without giving way to other tasks if there is one at once.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Semaphore::acquire).
    #[inline]
    pub fn fast_acquire(&self) -> SemaphoreAcquire<'_> {
        SemaphoreAcquire { semaphore: self, claim: Claim::new(1, true) }
    }

    /// Waits for `n` permits together, also if more than there are: some may be [added](Semaphore::add_permits).
    ///
    /// The first in the queue gets them when so many are free; nobody behind is served before, also not who wants fewer.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Semaphore::acquire).
    pub fn acquire_many(&self, n: usize) -> SemaphoreAcquire<'_> {
        SemaphoreAcquire { semaphore: self, claim: Claim::new(n, false) }
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

    /// Waits for a permit that can be moved, without giving way to other tasks if there is one at once.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Semaphore::acquire).
    pub fn fast_acquire_owned(self: Arc<Self>) -> SemaphoreAcquireOwned {
        SemaphoreAcquireOwned { semaphore: self, claim: Claim::new(1, true) }
    }

    /// Waits for `n` permits together, that can be moved; [`acquire_many`](Semaphore::acquire_many) and
    /// [`acquire_owned`](Semaphore::acquire_owned) in one.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Semaphore::acquire).
    pub fn acquire_many_owned(self: Arc<Self>, n: usize) -> SemaphoreAcquireOwned {
        SemaphoreAcquireOwned { semaphore: self, claim: Claim::new(n, false) }
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
        if self.take(n) { Ok(SemaphorePermit { semaphore: self, count: n }) } else { Err(WouldBlock) }
    }

    /// Takes a permit that can be moved, if one is free and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, WouldBlock> {
        if self.take(1) { Ok(OwnedSemaphorePermit { semaphore: self, count: 1 }) } else { Err(WouldBlock) }
    }

    /// Adds `n` permits; waiters get them first. More than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) are never free: one that comes
    /// back beyond that is gone.
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

    /// Takes `n` free permits out of the world, or as many as are free; says how many.
    ///
    /// Those that are in use are not touched: [`SemaphorePermit::forget`].
    pub fn forget_permits(&self, n: usize) -> usize {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let line = if word & QUEUED == 0 { None } else { Some(self.queue.lock()) };
            if line.is_some() {
                word = self.word.load(Ordering::Acquire);
            }
            let taken = n.min(word / ONE);
            // Invariant 2: with QUEUED set and the lock held this cannot fail.
            match self.word.compare_exchange(word, word - taken * ONE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return taken,
                Err(now) => word = now,
            }
        }
    }

    /// How many permits are free. If somebody waits for several, some may be, and be his.
    #[must_use]
    pub fn available(&self) -> usize {
        self.word.load(Ordering::Acquire) / ONE
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> SemaphoreStatistics {
        SemaphoreStatistics { available: self.available(), waiting: self.queue.waiting() }
    }

    /// Takes `n` permits, if nobody waits.
    #[inline]
    fn take(&self, n: usize) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & QUEUED != 0 || word / ONE < n {
                return false;
            }
            // Ordering: Acquire sees what the releaser of these permits did before.
            match self.word.compare_exchange_weak(word, word - n * ONE, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Gives `n` permits back, to the first in line if there is one.
    #[inline]
    fn release(&self, n: usize) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & QUEUED != 0 {
                return self.release_queued(n);
            }
            match self.word.compare_exchange_weak(word, plus(word / ONE, n) * ONE, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    fn release_queued(&self, n: usize) {
        self.hand_over(self.queue.lock(), n);
    }

    /// Serves the line with what is free and `n` permits more. Wakes after unlocking.
    fn hand_over(&self, mut line: Line<'_>, n: usize) {
        // The mark may be gone by now; set, it keeps everybody else from the word (Invariant 2).
        let mut free = plus(self.word.fetch_or(QUEUED, Ordering::Acquire) / ONE, n);
        while let Some(need) = line.first() {
            if need > free {
                break;
            }
            free -= need;
            line.serve();
        }
        self.settle(&line, free);
    }

    /// Writes the word under the line's lock.
    fn settle(&self, line: &Line<'_>, free: usize) {
        let queued = if line.is_empty() { 0 } else { QUEUED };
        // Ordering: Release passes on what those did who released these permits; their writes were acquired with the word.
        self.word.store((free * ONE) | queued, Ordering::Release);
    }
}

/// Adds without ever reaching the mark's bit: each of the two is at most the maximum.
const fn plus(free: usize, more: usize) -> usize {
    let sum = free.saturating_add(more);
    if sum > Semaphore::MAX_PERMITS { Semaphore::MAX_PERMITS } else { sum }
}

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
    /// How many permits this is.
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
    /// How many permits this is.
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

/// What [`Semaphore::statistics`] tells.
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
