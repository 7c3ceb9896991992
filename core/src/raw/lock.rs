//! A value behind a reader-writer lock, and the guards that give access to it.
//!
//! The lock is one atomic word ([`RawRwLock`], in `lock/state.rs`). As long as nobody waits, locking is one instruction and so is unlocking.
//! The queue of waiters is not here: the word has a bit that is set while there may be waiters, and the unlock that frees a contended
//! lock calls [`QueuedLock::notify_waiters`].
//!
//! ```text
//!              ┌───────────1────────────┐
//!              │                        ▼
//!    Free ─────┴──2──▶ Reserved ──3──▶ Locked ──4──▶ Free
//! ```
//!
//! 1. `RawGuard::try_write`, `RawGuard::try_read`: the lock is compatible and not contended
//! 2. `RawRwLock::try_reserve`, `RawRwLock::reserve_for_waiter`: locked for a task that will take the guard later
//! 3. `RawGuard::reserved_write`, `RawGuard::reserved_read`: that task takes the guard
//! 4. the [`RawGuard`] is dropped; a leaked guard keeps the lock for ever
//!
//! Invariant: the word counts every [`RawGuard`] and every reservation, and a writer alone. So a writer's `RawGuard` is the only one,
//! whatever the owner of the lock does with its `RawRwLock`.

mod state;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::Arc;

pub(crate) use state::{Mode, RawRwLock};

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

// SAFETY: one guard at a time has access, so sharing the lock only sends the value between threads: `T: Send` suffices.
unsafe impl<T: ?Sized + Send> Sync for LockedValue<WriteAccess, T> {}
// SAFETY: readers on several threads share the value, so `T: Sync` too.
unsafe impl<T: ?Sized + Send + Sync> Sync for LockedValue<ReadAccess, T> {}

// As the locks of the standard library: nobody sees a value while it is being changed.
impl<M, T: ?Sized> UnwindSafe for LockedValue<M, T> {}
impl<M, T: ?Sized> RefUnwindSafe for LockedValue<M, T> {}
// For the guards, which show what a panic in a critical section has left behind.
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

/// A lock that consists of a [`LockedValue`] and a queue of waiters.
pub(crate) trait QueuedLock<T: ?Sized> {
    /// See [`LockedValue`].
    type Access;

    fn value(&self) -> &LockedValue<Self::Access, T>;

    /// Locks for the first waiters, if they are compatible now. Called when a guard of a contended lock is dropped or downgraded.
    fn notify_waiters(&self);
}

/// A reference to a lock that keeps it in its place: `&` or `Arc`.
///
/// # Safety
///
/// As long as it lives, and wherever it is moved to, its target stays alive, in its place, and not mutably borrowed.
pub(crate) unsafe trait LockRef<T: ?Sized>: Deref<Target: QueuedLock<T>> {}

// SAFETY: a shared borrow.
unsafe impl<H: QueuedLock<T> + ?Sized, T: ?Sized> LockRef<T> for &H {}
// SAFETY: it owns a part, and for a mutable borrow or a move one has to own all.
unsafe impl<H: QueuedLock<T> + ?Sized, T: ?Sized> LockRef<T> for Arc<H> {}

/// A guard: access to the value until it is dropped.
pub(crate) struct RawGuard<K: LockRef<T>, A: Access, T: ?Sized> {
    /// Stored, so that it stays the same whatever `QueuedLock::value` returns later.
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
    /// Locks for writing, if the lock is free and not contended.
    #[inline]
    pub(crate) fn try_write(lock: K) -> Option<Self> {
        Self::try_lock(NonNull::from(&lock.value().cell), lock)
    }

    /// Makes the guard of a reservation.
    pub(crate) fn reserved_write(lock: K) -> Self {
        Self::take_reserved(NonNull::from(&lock.value().cell), lock)
    }

    /// Turns write access into read access.
    pub(crate) fn downgrade(self) -> RawGuard<K, ReadAccess, T>
    where
        K::Target: QueuedLock<T, Access = ReadAccess>,
    {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used any more, and its drop does not run.
        let guard = RawGuard { cell: this.cell, lock: unsafe { ptr::read(&this.lock) }, access: PhantomData };
        if guard.cell().raw.downgrade() {
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
    /// Locks for reading, if there is no writer and the lock is not contended.
    #[inline]
    pub(crate) fn try_read(lock: K) -> Option<Self> {
        Self::try_lock(NonNull::from(&lock.value().cell), lock)
    }

    /// Makes the guard of a reservation.
    pub(crate) fn reserved_read(lock: K) -> Self {
        Self::take_reserved(NonNull::from(&lock.value().cell), lock)
    }
}

impl<K: LockRef<T>, A: Access, T: ?Sized> RawGuard<K, A, T> {
    /// To be called only with the cell of this lock, and with an access that the lock is made for.
    #[inline]
    fn try_lock(cell: NonNull<LockedCell<T>>, lock: K) -> Option<Self> {
        // SAFETY: `lock` is alive, and so is its cell.
        let enters = unsafe { cell.as_ref() }.raw.try_lock(A::MODE);
        // Subtle: made only now, for its drop goes out.
        if enters { Some(RawGuard { cell, lock, access: PhantomData }) } else { None }
    }

    fn take_reserved(cell: NonNull<LockedCell<T>>, lock: K) -> Self {
        // SAFETY: `lock` is alive, and so is its cell.
        unsafe { cell.as_ref() }.raw.take_reserved(A::MODE);
        RawGuard { cell, lock, access: PhantomData }
    }

    #[inline]
    fn cell(&self) -> &LockedCell<T> {
        // SAFETY: the cell was borrowed from the lock, which `LockRef` keeps alive, in its place and not mutably borrowed.
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
        // SAFETY: the Invariant. A writer's is the only `RawGuard`, and mutably borrowed it cannot be dereferenced; no writer is in with a
        // reader.
        unsafe { &*self.cell().value.get() }
    }
}

impl<K: LockRef<T>, T: ?Sized> DerefMut for RawGuard<K, WriteAccess, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the Invariant: the only `RawGuard`, mutably borrowed.
        unsafe { &mut *self.cell().value.get() }
    }
}

#[cfg(test)]
mod tests;
