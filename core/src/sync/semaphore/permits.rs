//! The free permits of a semaphore, in one atomic word.
//!
//! Invariant 1: `CONTENDED` is set whenever the queue has waiters. Invariant 2: while `CONTENDED` is set, only the
//! holder of the queue's lock changes the word; so permits that are free then are kept for the first waiter, and a
//! newcomer cannot take them.

use crate::sync::WaitQueueGuard;
use crate::sync::acquire::Resource;
use crate::sys::atomic::{AtomicUsize, Ordering};

/// The number of permits that can be free at most.
pub(super) const MAX: usize = usize::MAX >> 2;

/// Bit of the word: there may be waiters.
const CONTENDED: usize = 1;
/// Unit of the word: one permit.
const ONE: usize = 2;

#[derive(Debug)]
pub(super) struct Permits(AtomicUsize);

impl Permits {
    pub(super) const fn new(free: usize) -> Self {
        Permits(AtomicUsize::new(free * ONE))
    }

    pub(super) fn free(&self) -> usize {
        self.0.load(Ordering::Acquire) / ONE
    }

    /// Takes as many as are free, at most `n`, and returns how many; `None` if there are waiters, unless the caller has
    /// locked the queue.
    pub(super) fn take_up_to(&self, n: usize, queue: Option<&WaitQueueGuard<'_>>) -> Option<usize> {
        let less = |word| {
            let may = word & CONTENDED == 0 || queue.is_some();
            may.then(|| word - n.min(word / ONE) * ONE)
        };
        let word = self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, less).ok()?;
        Some(n.min(word / ONE))
    }

    /// Gives back `n` and returns `true`, unless there are waiters.
    #[inline]
    pub(super) fn give(&self, n: usize) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & CONTENDED == 0 {
            // Ordering: Release shows the next holder of these permits what was done before.
            match self.0.compare_exchange_weak(word, more(word, n), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Gives back `n`, under the lock of the queue.
    pub(super) fn add(&self, n: usize) {
        // Ordering: as in `give`; waiters take them by `acquire_for_waiter`.
        let add = |word| Some(more(word, n));
        let _ = self.0.fetch_update(Ordering::Release, Ordering::Relaxed, add);
    }

    #[inline]
    fn take(&self, need: usize, shield: usize) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & shield == 0 && word / ONE >= need {
            // Ordering: Acquire sees what the releasers of these permits did before.
            match self.0.compare_exchange_weak(word, word - need * ONE, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes `need` permits, if they are free and nobody waits.
    #[inline]
    pub(super) fn try_acquire(&self, need: usize) -> bool {
        self.take(need, CONTENDED)
    }
}

impl Resource for Permits {
    fn acquire_for_waiter(&self, need: usize) -> bool {
        self.take(need, 0)
    }

    fn is_available(&self, need: usize) -> bool {
        self.free() >= need
    }

    fn set_contended(&self) {
        // Ordering: only the word itself is at stake, and its changes have one order.
        self.0.fetch_or(CONTENDED, Ordering::Relaxed);
    }

    fn clear_contended(&self) {
        self.0.fetch_and(!CONTENDED, Ordering::Relaxed);
    }
}

/// Returns the word with `n` permits more, without ever reaching the bits beyond: each of the two is at most the
/// maximum.
const fn more(word: usize, n: usize) -> usize {
    let sum = (word / ONE).saturating_add(n);
    let free = if sum > MAX { MAX } else { sum };
    (free * ONE) | (word & CONTENDED)
}
