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
//! 1. `RawGuard::try_lock`: the lock is compatible and not contended
//! 2. `RawRwLock::reserve_for_waiter`: locked for a task that will take the guard later
//! 3. `RawGuard::reserved`: that task takes the guard
//! 4. the [`RawGuard`] is dropped; a leaked guard keeps the lock for ever
//!
//! A reservation is what a waiter is given by whoever unlocks: the lock is never free in between, so nobody can come
//! before the waiter, and a waiter that is dropped passes it on (L40).
//!
//! Not `lock_api`, which offers a value and guards for such a word: its guard of an `Arc` is for an `Arc` of the lock
//! alone, while `OwnedMutexGuard` has one of the whole mutex, and its `raw`, which the queue needs, is unsafe. So most
//! of this file would stay, beside a second kind of guard.
//!
//! Invariant: the word counts every [`RawGuard`] and every reservation, and a writer alone. So a writer's `RawGuard`
//! is the only one, whatever the owner of the lock does with its `RawRwLock`.
//!
//! The users are `core/src/sync/mutex.rs` and `rw_lock.rs`; races have models in `core/src/races/locks.rs`.

mod state;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;

pub use state::{Access, Allows, Mode, RawRwLock, ReadAccess, WriteAccess};

/// The value with its word. `M` is the most that it is made for: [`WriteAccess`] of a mutex, or [`ReadAccess`]
/// besides, of a reader-writer lock. It decides which bounds make the lock `Sync`, and which guards it has
/// ([`Allows`]).
#[derive(Default)]
pub struct LockedValue<M, T: ?Sized> {
    access: PhantomData<M>,
    /// The state. Only this file locks and unlocks it; its owner may reserve.
    raw: RawRwLock,
    /// The value. Reached through a guard, or a mutable borrow of the lock.
    value: UnsafeCell<T>,
}

// SAFETY: `Sync`: with this access there is one guard at a time (the Invariant), so sharing the lock only sends the
// value between threads: `T: Send` suffices. A read guard needs a lock of `ReadAccess` (`Allows`, `downgrade`).
unsafe impl<T: ?Sized + Send> Sync for LockedValue<WriteAccess, T> {}
// SAFETY: `Sync`: a writer sends the value between threads, and readers on several threads share it, so `T: Sync`,
// too.
unsafe impl<T: ?Sized + Send + Sync> Sync for LockedValue<ReadAccess, T> {}

// As the locks of the standard library: nobody sees a value while it is being changed.
impl<M, T: ?Sized> UnwindSafe for LockedValue<M, T> {}
impl<M, T: ?Sized> RefUnwindSafe for LockedValue<M, T> {}

impl<M, T> LockedValue<M, T> {
    /// Makes a lock that is free.
    pub const fn new(value: T) -> Self {
        LockedValue { access: PhantomData, raw: RawRwLock::new(), value: UnsafeCell::new(value) }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<M, T: ?Sized> LockedValue<M, T> {
    /// Returns the word of the lock, for the queue of its waiters. Nothing that can be done with it breaks the
    /// Invariant: a reservation that was not made cannot be taken.
    pub fn raw(&self) -> &RawRwLock {
        &self.raw
    }

    /// Returns the value, which nobody else refers to.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// A lock that consists of a [`LockedValue`] and a queue of waiters. Safe to implement: a guard keeps what `value`
/// has returned when it was made, and asks for no other.
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

/// The kind of access that the lock of a `K` allows.
type AccessOf<K, T> = <<K as Deref>::Target as QueuedLock<T>>::Access;

/// A guard: access to the value until it is dropped. `K` keeps the lock, `A` is the access that it gives.
pub struct RawGuard<K: LockRef<T>, A: Access, T: ?Sized> {
    /// The locked value. It is stored so that the same value is unlocked, whatever `QueuedLock::value` returns later.
    locked: NonNull<LockedValue<AccessOf<K, T>, T>>,
    /// Keeps it alive, and knows the queue.
    lock: K,
    /// As a pointer to the value, for `UnwindSafe`: a guard shows what a panic in a critical section has left behind.
    access: PhantomData<(A, NonNull<T>)>,
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

impl<K: LockRef<T>, A: Access, T: ?Sized> RawGuard<K, A, T>
where
    K::Target: QueuedLock<T, Access: Allows<A>>,
{
    /// Locks, if the lock is compatible and not contended. Never waits; for writing it is one compare-exchange.
    #[inline]
    pub fn try_lock(lock: K) -> Option<Self> {
        let value = lock.value();
        let (locked, enters) = (NonNull::from(value), value.raw.try_lock(A::MODE));
        // Subtle: the guard is made only if it has locked, for its drop unlocks.
        if enters { Some(RawGuard { locked, lock, access: PhantomData }) } else { None }
    }

    /// Makes the guard of a reservation, which is used up. Panics if there is none.
    pub fn reserved(lock: K) -> Self {
        let value = lock.value();
        value.raw.take_reserved(A::MODE);
        RawGuard { locked: NonNull::from(value), lock, access: PhantomData }
    }
}

impl<'a, H: QueuedLock<T, Access = ReadAccess> + ?Sized, T: ?Sized> RawGuard<&'a H, WriteAccess, T> {
    /// Turns write access into read access.
    pub fn downgrade(self) -> RawGuard<&'a H, ReadAccess, T> {
        let guard = RawGuard { locked: self.locked, lock: self.lock, access: PhantomData };
        // From here on the new guard counts instead of the old one.
        mem::forget(self);
        // Readers that wait may come in now. After the guard is whole: it unlocks if this panics.
        if guard.value().raw.downgrade() {
            guard.lock.notify_waiters();
        }
        guard
    }
}

impl<K: LockRef<T>, A: Access, T: ?Sized> RawGuard<K, A, T> {
    /// Returns what was locked.
    #[inline]
    fn value(&self) -> &LockedValue<AccessOf<K, T>, T> {
        // SAFETY: lifetime and aliasing: it was borrowed from the lock, and this guard has the `LockRef` that keeps it
        // alive, in its place and not mutably borrowed, wherever the guard was moved since.
        unsafe { self.locked.as_ref() }
    }

    /// Returns the reference to the lock.
    #[inline]
    pub fn lock_ref(&self) -> &K {
        &self.lock
    }
}

impl<K: LockRef<T>, A: Access, T: ?Sized> Drop for RawGuard<K, A, T> {
    /// Unlocks. If the lock is contended and free by this, the first waiters are given it, before this returns.
    #[inline]
    fn drop(&mut self) {
        if self.value().raw.unlock(A::MODE) {
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
        // long as its lock.
        unsafe { &*self.value().value.get() }
    }
}

impl<K: LockRef<T>, T: ?Sized> DerefMut for RawGuard<K, WriteAccess, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: aliasing: a writer's is the only `RawGuard` (the Invariant), and it is mutably borrowed for as long
        // as the value. Lifetime: the value is there as long as its lock.
        unsafe { &mut *self.value().value.get() }
    }
}

#[cfg(test)]
mod tests;
