//! The state of a reader-writer lock, in one atomic word: without the value, without the queue, and without unsafe
//! code.
//!
//! ```text
//!   state     ┌─ readers ──────────────┬─ WRITER ─┬─ CONTENDED ─┐      counts guards and reservations
//!   reserved  └─ readers reserved ─────┴─ reserved┴─ 0 ─────────┘      counts reservations alone
//! ```
//!
//! # Invariants
//!
//! 1. `state` counts what [`try_lock`](RawRwLock::try_lock) let in and [`unlock`](RawRwLock::unlock) has not let out,
//!    and every reservation; a writer is counted alone.
//! 2. `reserved` counts the reservations that no guard was made from yet. Both fields are private, so nobody gets in
//!    or out but through these methods, whatever the owner of the lock does with its `RawRwLock`.
//!
//! CONTENDED is set and cleared under the lock of the waiter list: set before the first waiter makes its last
//! attempt, so that the unlock that comes after that attempt notifies; cleared when the list is empty.
#![forbid(unsafe_code)]

use crate::sys::atomic::{AtomicUsize, Ordering};

/// Bit of `state`: there may be waiters. Then only `reserve_for_waiter` locks, so that nobody comes before those who
/// wait, and the last unlock notifies. It may be set without a waiter, never the other way round.
const CONTENDED: usize = 1;
/// Bit of `state`: a writer has the lock, by a guard or a reservation. Never together with readers.
const WRITER: usize = 2;
/// Unit of `state`: one more reader has the lock, by a guard or a reservation.
const READER: usize = 4;

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Together with other readers.
    Read,
    /// Alone.
    Write,
}

impl Mode {
    /// Returns what one of this kind adds to `state`, and to `reserved`.
    const fn unit(self) -> usize {
        match self {
            Mode::Read => READER,
            Mode::Write => WRITER,
        }
    }

    /// Returns whether one more may lock. The number of readers has a limit, so that leaked guards cannot make the
    /// count overflow.
    const fn fits(self, state: usize) -> bool {
        match self {
            Mode::Read => state & WRITER == 0 && state < usize::MAX - READER,
            Mode::Write => state & !CONTENDED == 0,
        }
    }
}

/// A mode as a type: the access that a guard gives.
pub trait Access {
    /// The mode of the lock that gives this access.
    const MODE: Mode;
}

/// Access of one alone, to look and to change.
#[derive(Debug, Default)]
pub struct WriteAccess;

impl Access for WriteAccess {
    const MODE: Mode = Mode::Write;
}

/// Access together with others, to look.
#[derive(Debug, Default)]
pub struct ReadAccess;

impl Access for ReadAccess {
    const MODE: Mode = Mode::Read;
}

/// Implemented by the most that a lock is made for, for what it has guards of.
pub trait Allows<A: Access> {}

impl Allows<WriteAccess> for WriteAccess {}
impl Allows<WriteAccess> for ReadAccess {}
impl Allows<ReadAccess> for ReadAccess {}

/// The state of a reader-writer lock, without the value and without the queue.
#[derive(Debug, Default)]
pub struct RawRwLock {
    /// Readers, writer and contention: see the head of the file.
    state: AtomicUsize,
    /// Which of them are reservations; changed only by those that make and take one.
    reserved: AtomicUsize,
}

impl RawRwLock {
    /// Makes a lock that is free. (One that is not in a `LockedValue` protects nothing.)
    pub(super) const fn new() -> Self {
        RawRwLock { state: AtomicUsize::new(0), reserved: AtomicUsize::new(0) }
    }

    /// Makes `try_lock` fail, and the last unlock notify the waiters. To be called under the lock of the waiter list,
    /// as [`clear_contended`](RawRwLock::clear_contended) is.
    ///
    /// A waiter that marks, and then fails to lock once more, can wait: the unlock that frees the lock sees the mark.
    pub fn set_contended(&self) {
        // Ordering: only `state` itself is at stake, and its changes have one order.
        self.state.fetch_or(CONTENDED, Ordering::Relaxed);
    }

    /// Marks the lock as having no waiters: under the lock of the waiter list, which is empty.
    pub fn clear_contended(&self) {
        // Ordering: as in `set_contended`; it passes on what others released (a release sequence).
        self.state.fetch_and(!CONTENDED, Ordering::Relaxed);
    }

    /// Locks for the first waiter, which takes the guard later, if the lock is compatible.
    ///
    /// Called under the lock of the waiter list, by whoever unlocks or gives up a wait. It ignores CONTENDED, as the
    /// first waiter is the one for whom that bit keeps others out.
    pub fn reserve_for_waiter(&self, mode: Mode) -> bool {
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
    // Ordering: for statistics and guesses; the answer may be out of date at once.
    pub fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }

    /// Returns the number of readers and whether there is a writer, reservations included.
    pub fn readers_and_writer(&self) -> (usize, bool) {
        let state = self.state.load(Ordering::Relaxed);
        (state / READER, state & WRITER != 0)
    }

    /// Locks for a guard, if the lock is compatible and not contended.
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

    /// Adds one of this kind to `state`, if that is still what it was; else returns what it is.
    #[inline]
    fn try_add(&self, mode: Mode, state: usize) -> Result<(), usize> {
        // Ordering: Acquire pairs with the Release in `unlock`: sees what the former holders did; readers in between
        // pass it on (a release sequence).
        let swap = self.state.compare_exchange_weak(state, state + mode.unit(), Ordering::Acquire, Ordering::Relaxed);
        swap.map(drop)
    }

    /// Unlocks, and returns whether the lock is free now and contended, so that waiters have to be notified.
    #[inline]
    pub(super) fn unlock(&self, mode: Mode) -> bool {
        // Ordering: Release shows the next holder what was done under the lock. One step, so of several readers the
        // last one sees that it is.
        self.state.fetch_sub(mode.unit(), Ordering::Release) == mode.unit() | CONTENDED
    }

    /// Turns a writer into a reader, and returns whether there are waiters, which have to be notified: readers among
    /// them are compatible now.
    pub(super) fn downgrade(&self) -> bool {
        // Ordering: Release, as in `unlock`.
        self.state.fetch_add(READER - WRITER, Ordering::Release) & CONTENDED != 0
    }

    /// Counts a reservation, which `state` has counted already: in this order, so that there is never a reservation
    /// without its lock.
    fn add_reserved(&self, mode: Mode) {
        // Ordering: Release passes on to `take_reserved` what was acquired by locking.
        self.reserved.fetch_add(mode.unit(), Ordering::Release);
    }

    /// Uses up a reservation: a guard is made of it. Panics if there is none: without this check safe code could make
    /// a second writer's guard.
    pub(super) fn take_reserved(&self, mode: Mode) {
        let less = |reserved: usize| match mode {
            Mode::Read if reserved < READER => None,
            Mode::Write if reserved & WRITER == 0 => None,
            _ => Some(reserved - mode.unit()),
        };
        // Ordering: Acquire, the other side of `add_reserved`: the task that takes the guard sees what the former
        // holders did.
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
