//! The state of a reader-writer lock, in one atomic word: without the value, without the queue, and without unsafe code.
//!
//! Invariant 1: `state` counts what [`try_lock`](RawRwLock::try_lock) let in and [`unlock`](RawRwLock::unlock) has not let out, and every
//! reservation; a writer is counted alone.
//! Invariant 2: `reserved` counts the reservations that no guard was made from yet. Both fields are private, so nobody gets in or out but
//! through these methods, whatever the owner of the lock does with its `RawRwLock`.
#![forbid(unsafe_code)]

use crate::sys::atomic::{AtomicUsize, Ordering};

/// Bit of `state`: there may be waiters, so only `reserve_for_waiter` locks.
const CONTENDED: usize = 1;
/// Bit of `state`: a writer has the lock.
const WRITER: usize = 2;
/// Unit of `state`: one more reader has the lock.
const READER: usize = 4;

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
}

impl Mode {
    const fn unit(self) -> usize {
        match self {
            Mode::Read => READER,
            Mode::Write => WRITER,
        }
    }

    /// Returns whether one more may lock. The number of readers has a limit, so that leaked guards cannot make the count overflow.
    const fn fits(self, state: usize) -> bool {
        match self {
            Mode::Read => state & WRITER == 0 && state < usize::MAX - READER,
            Mode::Write => state & !CONTENDED == 0,
        }
    }
}

/// The state of a reader-writer lock, without the value and without the queue.
#[derive(Debug)]
pub(crate) struct RawRwLock {
    state: AtomicUsize,
    reserved: AtomicUsize,
}

impl RawRwLock {
    pub(super) const fn new() -> Self {
        RawRwLock { state: AtomicUsize::new(0), reserved: AtomicUsize::new(0) }
    }

    /// Makes `try_lock` fail, and the last unlock notify the waiters. To be called under the lock of the waiter list, as
    /// [`clear_contended`](RawRwLock::clear_contended) is.
    pub(crate) fn set_contended(&self) {
        // Ordering: only `state` itself is at stake, and its changes have one order.
        self.state.fetch_or(CONTENDED, Ordering::Relaxed);
    }

    /// Marks the lock as having no waiters.
    pub(crate) fn clear_contended(&self) {
        // Ordering: as in `set_contended`; it passes on what others released (a release sequence).
        self.state.fetch_and(!CONTENDED, Ordering::Relaxed);
    }

    /// Locks for a task that takes the guard later, if the lock is compatible and not contended.
    pub(crate) fn try_reserve(&self, mode: Mode) -> bool {
        let enters = self.try_lock(mode);
        if enters {
            self.add_reserved(mode);
        }
        enters
    }

    /// Locks for the first waiter, which takes the guard later, if the lock is compatible.
    pub(crate) fn reserve_for_waiter(&self, mode: Mode) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while mode.fits(state) {
            match self.try_add(mode, state) {
                Ok(()) => {
                    self.add_reserved(mode);
                    return true;
                }
                Err(now) => state = now,
            }
        }
        false
    }

    /// Returns whether the lock is locked, reserved or contended.
    pub(crate) fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }

    /// Returns the number of readers and whether there is a writer, reservations included.
    pub(crate) fn readers_and_writer(&self) -> (usize, bool) {
        let state = self.state.load(Ordering::Relaxed);
        (state / READER, state & WRITER != 0)
    }

    #[inline]
    pub(super) fn try_lock(&self, mode: Mode) -> bool {
        let mut state = match mode {
            Mode::Read => self.state.load(Ordering::Relaxed),
            // A writer needs no look: any other state refuses it.
            Mode::Write => 0,
        };
        while state & CONTENDED == 0 && mode.fits(state) {
            match self.try_add(mode, state) {
                Ok(()) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    #[inline]
    fn try_add(&self, mode: Mode, state: usize) -> Result<(), usize> {
        // Ordering: Acquire sees what the former holders did; readers in between pass it on (a release sequence).
        let swap = self.state.compare_exchange_weak(state, state + mode.unit(), Ordering::Acquire, Ordering::Relaxed);
        swap.map(drop)
    }

    /// Unlocks, and returns whether the lock is free now and contended, so that waiters have to be notified.
    #[inline]
    pub(super) fn unlock(&self, mode: Mode) -> bool {
        // Ordering: Release shows the next holder what was done under the lock.
        self.state.fetch_sub(mode.unit(), Ordering::Release) == mode.unit() | CONTENDED
    }

    /// Turns a writer into a reader, and returns whether there are waiters, which have to be notified.
    pub(super) fn downgrade(&self) -> bool {
        // Ordering: Release, as in `unlock`.
        self.state.fetch_add(READER - WRITER, Ordering::Release) & CONTENDED != 0
    }

    fn add_reserved(&self, mode: Mode) {
        // Ordering: Release passes on to `take` what was acquired by coming in.
        self.reserved.fetch_add(mode.unit(), Ordering::Release);
    }

    /// Uses up a reservation.
    pub(super) fn take_reserved(&self, mode: Mode) {
        let less = |reserved: usize| match mode {
            Mode::Read if reserved < READER => None,
            Mode::Write if reserved & WRITER == 0 => None,
            _ => Some(reserved - mode.unit()),
        };
        // Ordering: Acquire, the other side of `hand`.
        let taken = self.reserved.fetch_update(Ordering::Acquire, Ordering::Relaxed, less);
        assert!(taken.is_ok(), "Invariant 2: a guard is made from a reservation");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The count must not run over, or a leak too many would let in a writer.
    #[test]
    fn there_is_an_end_to_the_readers() {
        let lock = RawRwLock::new();
        lock.state.store(usize::MAX & !(CONTENDED | WRITER) & !READER, Ordering::Relaxed);
        assert!(lock.try_lock(Mode::Read));
        assert!(!lock.try_lock(Mode::Read) && !lock.reserve_for_waiter(Mode::Read));
    }
}
