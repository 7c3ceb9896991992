//! A value, and a word that says who may touch it: one alone, or many together.
//!
//! Coming in is one instruction, and so is going out, as long as nobody waits. Who waits, and in which order, is no matter of this
//! file: the word has a bit for it, and whoever goes out last and finds that bit set tells the [`QueuedLock`].
//!
//! ```text
//!            ┌──────1──────┐
//!            │             ▼
//!   Free ────┴──2──▶ Handed ──3──▶ Held ──4──▶ Free
//! ```
//!
//! 1. `RawGuard::try_write`, `RawGuard::try_read`: nobody is in the way, nor in line
//! 2. `RawRwLock::try_reserve`, `RawRwLock::reserve_for_waiter`: for somebody who takes it later
//! 3. he takes it: `RawGuard::reserved_write`, `RawGuard::reserved_read`
//! 4. the [`RawGuard`] is dropped; one that is leaked stays in for ever
//!
//! Invariant 1: `state` counts each [`RawGuard`], and what is handed besides; a writer is in there alone.
//! Invariant 2: `reserved` counts what of it nobody has taken yet. Both fields are private, so whatever the house does with its word,
//! a writer's `RawGuard` is the only one.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::sys::atomic::{AtomicUsize, Ordering};

/// The word: somebody may stand in line, so nobody comes in by himself.
const CONTENDED: usize = 1;
/// The word: one is in, alone.
const WRITER: usize = 2;
/// The word: one more is in, together with others.
const READER: usize = 4;

/// What one wants to do.
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

    /// Whether one more has a place. There is an end also to the readers: leaked ones must not make the count run over.
    const fn fits(self, state: usize) -> bool {
        match self {
            Mode::Read => state & WRITER == 0 && state < usize::MAX - READER,
            Mode::Write => state & !CONTENDED == 0,
        }
    }
}

/// Who is in.
#[derive(Debug)]
pub(crate) struct RawRwLock {
    state: AtomicUsize,
    reserved: AtomicUsize,
}

impl RawRwLock {
    const fn new() -> Self {
        RawRwLock { state: AtomicUsize::new(0), reserved: AtomicUsize::new(0) }
    }

    /// From now on nobody comes in by himself, and who goes out last tells the house. To be called under the lock of the line, as
    /// [`clear_contended`](RawRwLock::unmark).
    pub(crate) fn set_contended(&self) {
        // Ordering: only `state` itself is at stake, and its changes have one order.
        self.state.fetch_or(CONTENDED, Ordering::Relaxed);
    }

    /// Nobody stands in line.
    pub(crate) fn clear_contended(&self) {
        // Ordering: as in `set_contended`; it passes on what others released (a release sequence).
        self.state.fetch_and(!CONTENDED, Ordering::Relaxed);
    }

    /// Hands it to somebody who takes it later, if nobody is in his way, nor in line.
    pub(crate) fn try_reserve(&self, mode: Mode) -> bool {
        let enters = self.try_lock(mode);
        if enters {
            self.add_reserved(mode);
        }
        enters
    }

    /// Hands it to somebody who takes it later, if nobody is in his way: for the first in line.
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

    /// Whether somebody is in, was handed it, or is about to be.
    pub(crate) fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }

    /// How many read, and whether somebody writes, or were handed it to do so.
    pub(crate) fn readers_and_writer(&self) -> (usize, bool) {
        let state = self.state.load(Ordering::Relaxed);
        (state / READER, state & WRITER != 0)
    }

    #[inline]
    fn try_lock(&self, mode: Mode) -> bool {
        let mut state = match mode {
            Mode::Read => self.state.load(Ordering::Relaxed),
            // What else it could be, a writer does not need to know.
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
        // Ordering: Acquire sees what those did who were in before; readers in between pass it on (a release sequence).
        let swap = self.state.compare_exchange_weak(state, state + mode.unit(), Ordering::Acquire, Ordering::Relaxed);
        swap.map(drop)
    }

    /// Goes out; says whether that was the last one, and somebody may stand in line.
    #[inline]
    fn unlock(&self, mode: Mode) -> bool {
        // Ordering: Release shows to who comes in next what was done inside.
        self.state.fetch_sub(mode.unit(), Ordering::Release) == mode.unit() | CONTENDED
    }

    fn add_reserved(&self, mode: Mode) {
        // Ordering: Release passes on to `take` what was acquired by coming in.
        self.reserved.fetch_add(mode.unit(), Ordering::Release);
    }

    /// Takes what was handed.
    fn take_reserved(&self, mode: Mode) {
        let less = |reserved: usize| match mode {
            Mode::Read if reserved < READER => None,
            Mode::Write if reserved & WRITER == 0 => None,
            _ => Some(reserved - mode.unit()),
        };
        // Ordering: Acquire, the other side of `hand`.
        let taken = self.reserved.fetch_update(Ordering::Acquire, Ordering::Relaxed, less);
        assert!(taken.is_ok(), "a lock is taken only by whom it was reserved");
    }
}

/// The value with its word. `M` is the most that it is made for: [`WriteAccess`], or [`ReadAccess`] besides.
pub(crate) struct LockedValue<M, T: ?Sized> {
    access: PhantomData<M>,
    cell: LockedCell<T>,
}

struct LockedCell<T: ?Sized> {
    raw: RawRwLock,
    value: UnsafeCell<T>,
}

/// A use alone, to look and to change.
#[derive(Debug)]
pub(crate) enum WriteAccess {}

/// A use together with others, to look.
#[derive(Debug)]
pub(crate) enum ReadAccess {}

/// [`WriteAccess`] or [`ReadAccess`].
pub(crate) trait Access {
    const MODE: Mode;
}

impl Access for WriteAccess {
    const MODE: Mode = Mode::Write;
}

impl Access for ReadAccess {
    const MODE: Mode = Mode::Read;
}

// SAFETY: of all who share it, one at a time has the value, so this sends it to and fro.
unsafe impl<T: ?Sized + Send> Sync for LockedValue<WriteAccess, T> {}
// SAFETY: as above; and many look at it together.
unsafe impl<T: ?Sized + Send + Sync> Sync for LockedValue<ReadAccess, T> {}

// As the locks of the standard library: nobody sees a value while it is being changed.
impl<M, T: ?Sized> UnwindSafe for LockedValue<M, T> {}
impl<M, T: ?Sized> RefUnwindSafe for LockedValue<M, T> {}
// For the guards: whoever has one sees what its uses leave behind.
impl<T: ?Sized + RefUnwindSafe> RefUnwindSafe for LockedCell<T> {}

impl<M, T> LockedValue<M, T> {
    pub(crate) const fn new(value: T) -> Self {
        LockedValue { access: PhantomData, cell: LockedCell { raw: RawRwLock::new(), value: UnsafeCell::new(value) } }
    }

    pub(crate) fn into_inner(self) -> T {
        self.cell.value.into_inner()
    }
}

impl<M, T: Default> Default for LockedValue<M, T> {
    fn default() -> Self {
        LockedValue::new(T::default())
    }
}

impl<M, T: ?Sized> LockedValue<M, T> {
    pub(crate) fn raw(&self) -> &RawRwLock {
        &self.cell.raw
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.cell.value.get_mut()
    }
}

/// What a lock is built into, with the line of those who wait for it.
pub(crate) trait QueuedLock<T: ?Sized> {
    /// See [`LockedValue`].
    type Access;

    fn value(&self) -> &LockedValue<Self::Access, T>;

    /// Lets in those who stand first in line: one went out, and may have been in their way.
    fn notify_waiters(&self);
}

/// What keeps a house in its place: a reference, or an `Arc`.
///
/// # Safety
///
/// For as long as it lives, wherever it is moved to, what it points to is there, the same, and borrowed by nobody mutably.
pub(crate) unsafe trait LockRef<T: ?Sized>: Deref<Target: QueuedLock<T>> {}

// SAFETY: a shared borrow.
unsafe impl<H: QueuedLock<T> + ?Sized, T: ?Sized> LockRef<T> for &H {}
// SAFETY: it owns a part, and for a mutable borrow or a move one has to own all.
unsafe impl<H: QueuedLock<T> + ?Sized, T: ?Sized> LockRef<T> for Arc<H> {}

/// The use of the value.
pub(crate) struct RawGuard<K: LockRef<T>, A: Access, T: ?Sized> {
    /// Remembered, so that it is the same one whatever the house shows.
    cell: NonNull<LockedCell<T>>,
    lock: K,
    access: PhantomData<A>,
}

// SAFETY: it lends the value to another thread, mutably, and comes back from there.
unsafe impl<K: LockRef<T> + Send, T: ?Sized + Send> Send for RawGuard<K, WriteAccess, T> {}
// SAFETY: others look at the value at the same time.
unsafe impl<K: LockRef<T> + Send, T: ?Sized + Sync> Send for RawGuard<K, ReadAccess, T> {}
// SAFETY: shared, either of them shares the value.
unsafe impl<K: LockRef<T> + Sync, A: Access, T: ?Sized + Sync> Sync for RawGuard<K, A, T> {}

impl<K: LockRef<T>, T: ?Sized> RawGuard<K, WriteAccess, T> {
    /// Comes in alone, if nobody is in, nor in line.
    #[inline]
    pub(crate) fn try_write(lock: K) -> Option<Self> {
        Self::try_lock(NonNull::from(&lock.value().cell), lock)
    }

    /// Takes what was handed.
    pub(crate) fn reserved_write(lock: K) -> Self {
        Self::take_reserved(NonNull::from(&lock.value().cell), lock)
    }

    /// Goes on together with others.
    pub(crate) fn downgrade(self) -> RawGuard<K, ReadAccess, T>
    where
        K::Target: QueuedLock<T, Access = ReadAccess>,
    {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used any more, and its drop does not run.
        let guard = RawGuard { cell: this.cell, lock: unsafe { ptr::read(&this.lock) }, access: PhantomData };
        // Ordering: Release, as in `unlock`.
        let state = guard.cell().raw.state.fetch_add(READER - WRITER, Ordering::Release);
        if state & CONTENDED != 0 {
            guard.lock.notify_waiters();
        }
        guard
    }
}

impl<K, T: ?Sized> RawGuard<K, ReadAccess, T>
where
    K: LockRef<T>,
    K::Target: QueuedLock<T, Access = ReadAccess>,
{
    /// Comes in, if nobody writes, nor stands in line.
    #[inline]
    pub(crate) fn try_read(lock: K) -> Option<Self> {
        Self::try_lock(NonNull::from(&lock.value().cell), lock)
    }

    /// Takes what was handed.
    pub(crate) fn reserved_read(lock: K) -> Self {
        Self::take_reserved(NonNull::from(&lock.value().cell), lock)
    }
}

impl<K: LockRef<T>, A: Access, T: ?Sized> RawGuard<K, A, T> {
    /// Only with the cell of this keeper, of a lock that is made for this use.
    #[inline]
    fn try_lock(cell: NonNull<LockedCell<T>>, lock: K) -> Option<Self> {
        // SAFETY: the keeper is alive.
        let enters = unsafe { cell.as_ref() }.raw.try_lock(A::MODE);
        // Subtle: made only now, for its drop goes out.
        if enters { Some(RawGuard { cell, lock, access: PhantomData }) } else { None }
    }

    fn take_reserved(cell: NonNull<LockedCell<T>>, lock: K) -> Self {
        // SAFETY: the keeper is alive.
        unsafe { cell.as_ref() }.raw.take_reserved(A::MODE);
        RawGuard { cell, lock, access: PhantomData }
    }

    #[inline]
    fn cell(&self) -> &LockedCell<T> {
        // SAFETY: it was borrowed of the keeper's house, which has stayed as it was since: see `LockRef`.
        unsafe { self.cell.as_ref() }
    }

    #[inline]
    pub(crate) fn lock_ref(&self) -> &K {
        &self.lock
    }
}

impl<K: LockRef<T>, A: Access, T: ?Sized> Drop for RawGuard<K, A, T> {
    #[inline]
    fn drop(&mut self) {
        if self.cell().raw.unlock(A::MODE) {
            self.lock.notify_waiters();
        }
    }
}

impl<K: LockRef<T>, A: Access, T: ?Sized> Deref for RawGuard<K, A, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: Invariant 1. A writer's is the only `RawGuard`, and mutably borrowed it cannot be dereferenced; no writer is in with a
        // reader.
        unsafe { &*self.cell().value.get() }
    }
}

impl<K: LockRef<T>, T: ?Sized> DerefMut for RawGuard<K, WriteAccess, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: Invariant 1: the only `RawGuard`, mutably borrowed.
        unsafe { &mut *self.cell().value.get() }
    }
}

#[cfg(test)]
mod tests;
