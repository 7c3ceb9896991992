//! A value behind a reader-writer lock, and the guards that give access to it.
//!
//! The lock is one atomic word ([`RawRwLock`], in `lock/state.rs`). As long as nobody waits, locking is one
//! instruction and so is unlocking. The queue of waiters is not here: the word has a bit that is set while there may
//! be waiters, and the unlock that frees a contended lock calls [`QueuedLock::notify_waiters`].
//!
//! ```text
//!              ┌───────────1────────────┐
//!              │                        ▼
//!    Free ─────┴──2──▶ Reserved ──3──▶ Locked ──4──▶ Free
//! ```
//!
//! 1. `RawGuard::try_write`, `RawGuard::try_read`: the lock is compatible and not contended
//! 2. `RawRwLock::reserve_for_waiter`: locked for a task that will take the guard later
//! 3. `RawGuard::reserved_write`, `RawGuard::reserved_read`: that task takes the guard
//! 4. the [`RawGuard`] is dropped; a leaked guard keeps the lock for ever
//!
//! A reservation is what a waiter is given by whoever unlocks: the lock is never free in between, so nobody can come
//! before the waiter, and a waiter that is dropped passes it on (L40).
//!
//! Invariant: the word counts every [`RawGuard`] and every reservation, and a writer alone. So a writer's `RawGuard`
//! is the only one, whatever the owner of the lock does with its `RawRwLock`.
//!
//! The users are `core/src/sync/mutex.rs` and `rw_lock.rs`; races have models in `core/src/races/locks.rs`.

mod state;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::Arc;

pub use state::{Mode, RawRwLock};

/// The value with its word. `M` is the most that it is made for: [`WriteAccess`] of a mutex, or [`ReadAccess`]
/// besides, of a reader-writer lock. It decides which bounds make the lock `Sync`.
pub struct LockedValue<M, T: ?Sized> {
    access: PhantomData<M>,
    // Apart from `M`, so that a guard of either access can point to it.
    cell: LockedCell<T>,
}

/// The word and what it protects: what a guard points to.
struct LockedCell<T: ?Sized> {
    /// The state. Only this file locks and unlocks it; its owner may reserve.
    raw: RawRwLock,
    /// The value. Reached through a guard, or a mutable borrow of the lock.
    value: UnsafeCell<T>,
}

/// Access of one alone, to look and to change.
#[derive(Debug)]
pub enum WriteAccess {}

/// Access together with others, to look.
#[derive(Debug)]
pub enum ReadAccess {}

/// [`WriteAccess`] or [`ReadAccess`].
pub trait Access {
    /// The mode of the lock that gives this access.
    const MODE: Mode;
}

impl Access for WriteAccess {
    const MODE: Mode = Mode::Write;
}

impl Access for ReadAccess {
    const MODE: Mode = Mode::Read;
}

// SAFETY: `Sync`: with this access there is one guard at a time (the Invariant), so sharing the lock only sends the
// value between threads: `T: Send` suffices. A read guard needs a lock of `ReadAccess` (`try_read`, `downgrade`).
unsafe impl<T: ?Sized + Send> Sync for LockedValue<WriteAccess, T> {}
// SAFETY: `Sync`: a writer sends the value between threads, and readers on several threads share it, so `T: Sync`,
// too.
unsafe impl<T: ?Sized + Send + Sync> Sync for LockedValue<ReadAccess, T> {}

// As the locks of the standard library: nobody sees a value while it is being changed.
impl<M, T: ?Sized> UnwindSafe for LockedValue<M, T> {}
impl<M, T: ?Sized> RefUnwindSafe for LockedValue<M, T> {}
// For the guards, which show what a panic in a critical section has left behind.
impl<T: ?Sized + RefUnwindSafe> RefUnwindSafe for LockedCell<T> {}

impl<M, T> LockedValue<M, T> {
    /// Makes a lock that is free.
    pub const fn new(value: T) -> Self {
        LockedValue { access: PhantomData, cell: LockedCell { raw: RawRwLock::new(), value: UnsafeCell::new(value) } }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.cell.value.into_inner()
    }
}

impl<M, T: Default> Default for LockedValue<M, T> {
    fn default() -> Self {
        LockedValue::new(T::default())
    }
}

impl<M, T: ?Sized> LockedValue<M, T> {
    /// Returns the word of the lock, for the queue of its waiters. Nothing that can be done with it breaks the
    /// Invariant: a reservation that was not made cannot be taken.
    pub fn raw(&self) -> &RawRwLock {
        &self.cell.raw
    }

    /// Returns the value, which nobody else refers to.
    pub fn get_mut(&mut self) -> &mut T {
        self.cell.value.get_mut()
    }
}

/// A lock that consists of a [`LockedValue`] and a queue of waiters. Safe to implement: a guard keeps the cell that
/// `value` has returned when it was made, and asks for no other.
pub trait QueuedLock<T: ?Sized> {
    /// The most that the lock is made for: see [`LockedValue`].
    type Access;

    /// Returns the value with its word.
    fn value(&self) -> &LockedValue<Self::Access, T>;

    /// Locks for the first waiters, if they are compatible now. Called when a guard of a contended lock is dropped or
    /// downgraded, with no lock held; it may run wakers.
    fn notify_waiters(&self);
}

/// A reference to a lock that keeps it in its place: `&` or `Arc`.
///
/// # Safety
///
/// As long as it lives, and wherever it is moved to, its target stays alive, in its place, and not mutably borrowed.
pub unsafe trait LockRef<T: ?Sized>: Deref<Target: QueuedLock<T>> {}

// SAFETY: lifetime, place and aliasing: a shared borrow keeps its target alive, unmoved, and not mutably borrowed,
// for as long as the reference lives.
unsafe impl<H: QueuedLock<T> + ?Sized, T: ?Sized> LockRef<T> for &H {}
// SAFETY: lifetime: it owns a part of the target. Place and aliasing: for a mutable borrow (`Arc::get_mut`) or a move
// (`Arc::try_unwrap`) one has to own all, and this reference is in the guard, which does not give it away.
unsafe impl<H: QueuedLock<T> + ?Sized, T: ?Sized> LockRef<T> for Arc<H> {}

/// A guard: access to the value until it is dropped. `K` keeps the lock, `A` is the access that it gives.
pub struct RawGuard<K: LockRef<T>, A: Access, T: ?Sized> {
    /// The cell that was locked. Stored, so that it stays the same whatever `QueuedLock::value` returns later: what
    /// is unlocked is what was locked.
    cell: NonNull<LockedCell<T>>,
    /// Keeps the cell alive, and knows the queue.
    lock: K,
    access: PhantomData<A>,
}

// SAFETY: `Send`: it lends the value to another thread, mutably, and comes back from there: so `T: Send`. The pointer
// adds nothing: the word is atomic, and the lock goes along (`K: Send`).
unsafe impl<K: LockRef<T> + Send, T: ?Sized + Send> Send for RawGuard<K, WriteAccess, T> {}
// SAFETY: `Send`: it lends the value to another thread, shared, since others look at the value at the same time: so
// `T: Sync`. `K: Send` for the lock.
unsafe impl<K: LockRef<T> + Send, T: ?Sized + Sync> Send for RawGuard<K, ReadAccess, T> {}
// SAFETY: `Sync`: a shared guard of either access only shares the value (`T: Sync`) and the reference to the lock
// (`K: Sync`).
unsafe impl<K: LockRef<T> + Sync, A: Access, T: ?Sized + Sync> Sync for RawGuard<K, A, T> {}

impl<K: LockRef<T>, T: ?Sized> RawGuard<K, WriteAccess, T> {
    /// Locks for writing, if the lock is free and not contended. Never waits; one compare-exchange.
    #[inline]
    pub fn try_write(lock: K) -> Option<Self> {
        Self::try_lock(NonNull::from(&lock.value().cell), lock)
    }

    /// Makes the guard of a reservation, which is used up. Panics if there is none.
    pub fn reserved_write(lock: K) -> Self {
        Self::take_reserved(NonNull::from(&lock.value().cell), lock)
    }

    /// Turns write access into read access.
    pub fn downgrade(self) -> RawGuard<K, ReadAccess, T>
    where
        K::Target: QueuedLock<T, Access = ReadAccess>,
    {
        let this = ManuallyDrop::new(self);
        // SAFETY: aliasing: `this` is not used any more, and its drop does not run, so `lock` is owned once: by the
        // new guard, which from here on counts instead of the old one.
        let guard = RawGuard { cell: this.cell, lock: unsafe { ptr::read(&this.lock) }, access: PhantomData };
        // Readers that wait may come in now. After the guard is whole: it unlocks if this panics.
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
    pub fn try_read(lock: K) -> Option<Self> {
        Self::try_lock(NonNull::from(&lock.value().cell), lock)
    }

    /// Makes the guard of a reservation, which is used up. Panics if there is none.
    pub fn reserved_read(lock: K) -> Self {
        Self::take_reserved(NonNull::from(&lock.value().cell), lock)
    }
}

impl<K: LockRef<T>, A: Access, T: ?Sized> RawGuard<K, A, T> {
    /// Locks the cell, if that can be done at once. To be called only with the cell of this lock, and with an access
    /// that the lock is made for.
    #[inline]
    fn try_lock(cell: NonNull<LockedCell<T>>, lock: K) -> Option<Self> {
        // SAFETY: lifetime and aliasing: `cell` was borrowed from `lock`, which is alive in this call and keeps it in
        // its place, not mutably borrowed (`LockRef`).
        let enters = unsafe { cell.as_ref() }.raw.try_lock(A::MODE);
        // Subtle: the guard is made only if it has locked, for its drop unlocks.
        if enters { Some(RawGuard { cell, lock, access: PhantomData }) } else { None }
    }

    /// Turns a reservation into a guard. As for `try_lock`, the cell is that of this lock.
    fn take_reserved(cell: NonNull<LockedCell<T>>, lock: K) -> Self {
        // SAFETY: lifetime and aliasing: `cell` was borrowed from `lock`, which is alive in this call and keeps it in
        // its place, not mutably borrowed (`LockRef`).
        unsafe { cell.as_ref() }.raw.take_reserved(A::MODE);
        RawGuard { cell, lock, access: PhantomData }
    }

    /// Returns the cell that was locked.
    #[inline]
    fn cell(&self) -> &LockedCell<T> {
        // SAFETY: lifetime and aliasing: the cell was borrowed from the lock, and this guard has the `LockRef` that
        // keeps it alive, in its place and not mutably borrowed, wherever the guard was moved since.
        unsafe { self.cell.as_ref() }
    }

    #[inline]
    /// Returns the reference to the lock.
    pub fn lock_ref(&self) -> &K {
        &self.lock
    }
}

impl<K: LockRef<T>, A: Access, T: ?Sized> Drop for RawGuard<K, A, T> {
    /// Unlocks. If the lock is contended and free by this, the first waiters are given it, before this returns.
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
        // SAFETY: aliasing: the Invariant. A writer's is the only `RawGuard`, and while it is mutably borrowed it
        // cannot be dereferenced; with a reader there are only readers, which share. Lifetime: the value is there as
        // long as the cell.
        unsafe { &*self.cell().value.get() }
    }
}

impl<K: LockRef<T>, T: ?Sized> DerefMut for RawGuard<K, WriteAccess, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: aliasing: a writer's is the only `RawGuard` (the Invariant), and it is mutably borrowed for as long
        // as the value. Lifetime: the value is there as long as the cell.
        unsafe { &mut *self.cell().value.get() }
    }
}

#[cfg(test)]
mod tests;
