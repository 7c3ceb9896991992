//! The mutex: one task at a time uses a value.
//!
//! The value is behind the raw lock of `foster-cell`. An uncontended lock is one change of its word, and the guard is a
//! pointer. A task that has to wait does so by way of `acquire.rs`, which the mutex shares with the
//! [`RwLock`](super::RwLock).

mod guard;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::WouldBlock;
use super::acquire::{Acquire, QueuedResource, WRITE};
use super::wait_queue::WaitQueue;
use crate::raw::lock::{LockedValue, QueuedLock, RawGuard, RawRwLock, WriteAccess};

pub use guard::{MutexGuard, OwnedMutexGuard};

/// A value that one task at a time can use, across awaits.
///
/// A release hands it over: it belongs to the longest waiter in that instant, and nobody can come between. A task
/// that acquires it twice waits for itself, for ever; the simulator reports it.
///
/// A guard that is leaked keeps it locked.
///
/// If no await happens while it is held, [`std::sync::Mutex`] is cheaper. Where half a change must not be seen, after a
/// panic or a cancellation in its midst, take a [`PoisonMutex`](super::PoisonMutex).
///
/// # Examples
///
/// ```
/// use foster::sync::Mutex;
///
/// # foster_sim::run(1, async {
/// static LOG: Mutex<Vec<&str>> = Mutex::new(Vec::new());
///
/// let mut log = LOG.lock().await;
/// log.push("begin");
/// foster::yield_now().await; // still ours
/// log.push("end");
/// drop(log);
/// assert_eq!(LOG.lock().await.len(), 2);
/// # });
/// ```
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    queue: WaitQueue,
    value: LockedValue<WriteAccess, T>,
}

impl<T> Mutex<T> {
    /// Makes a mutex around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Mutex { queue: WaitQueue::new(), value: LockedValue::new(value) }
    }

    /// Returns the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until it is ours. [`run`](Mutex::run) keeps it until all cleanup has ended, also where foreign code drops
    /// futures.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; if it was handed over already it goes to the next waiter.
    pub fn lock(&self) -> MutexLock<'_, T> {
        MutexLock { mutex: self, acquire: Acquire::new(NAME, WRITE) }
    }

    /// Waits until it is ours, for a guard that can be moved into another task, a closure or a thread.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Mutex::lock).
    pub fn lock_owned(self: Arc<Self>) -> MutexLockOwned<T> {
        MutexLockOwned { mutex: self, acquire: Acquire::new(NAME, WRITE) }
    }

    /// Takes it, if it is free. It is not as long as somebody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, WouldBlock> {
        RawGuard::try_lock(self).map(MutexGuard).ok_or(WouldBlock)
    }

    /// Takes it, if it is free, for a guard that can be moved.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_lock_owned(self: Arc<Self>) -> Result<OwnedMutexGuard<T>, WouldBlock> {
        RawGuard::try_lock(self).map(OwnedMutexGuard).ok_or(WouldBlock)
    }

    /// Returns the value, which nobody else can be using: all guards are gone, or leaked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> MutexStatistics {
        let (waiting, held) = self.queue.waiting_while(|| self.value.raw().is_locked());
        MutexStatistics { held, waiting }
    }

    #[inline]
    fn queued(&self) -> QueuedResource<'_, RawRwLock> {
        QueuedResource { resource: self.value.raw(), queue: &self.queue }
    }

    /// Returns the tag, in the queue of a condition, of waiters that have released this mutex. It is not a tag of
    /// `acquire.rs`.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(&self.queue).addr()
    }

    /// Moves the `n` longest waiters of a condition, which wait with this mutex, to the end of its own queue.
    pub(super) fn requeue_from(&self, from: &WaitQueue, n: usize, tag: usize) -> usize {
        self.queued().requeue_from(from, n, self.address(), tag)
    }

    /// Makes the guard of a waiter that the mutex was handed to.
    pub(super) fn reserved_guard(&self) -> MutexGuard<'_, T> {
        MutexGuard(RawGuard::reserved(self))
    }
}

impl<T: ?Sized> QueuedLock<T> for Mutex<T> {
    type Access = WriteAccess;

    #[inline]
    fn value(&self) -> &LockedValue<WriteAccess, T> {
        &self.value
    }

    fn notify_waiters(&self) {
        self.queued().notify_waiters();
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MutexStatistics { held, waiting } = self.statistics();
        f.debug_struct("Mutex").field("held", &held).field("waiting", &waiting).finish()
    }
}

/// The snapshot that [`Mutex::statistics`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MutexStatistics {
    /// Whether somebody has it, or was handed it.
    pub held: bool,
    /// How many tasks wait for it.
    pub waiting: usize,
}

/// Its name in dumps.
const NAME: &str = "mutex";

/// Future of [`Mutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct MutexLock<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    acquire: Acquire,
}

impl<T: ?Sized> MutexLock<'_, T> {
    /// Returns whether it has its place among those who wait, or was handed the lock there.
    pub(super) fn has_waited(&self) -> bool {
        self.acquire.is_waiting()
    }

    /// Starts again, because what it was ready with is not for the code that it runs in: see [`Gate::restart`].
    pub(super) fn restart<R>(&mut self, cx: &Context<'_>) -> Poll<R> {
        self.acquire.restart(cx)
    }
}

impl<'a, T: ?Sized> Future for MutexLock<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        let this = &mut *self;
        if ready!(this.acquire.poll_start(cx)) {
            if let Ok(guard) = this.mutex.try_lock() {
                return this.acquire.finish(guard, cx);
            }
        }
        this.acquire.poll_wait(this.mutex.queued(), cx, || this.mutex.reserved_guard())
    }
}

impl<T: ?Sized> Drop for MutexLock<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.acquire.leave(self.mutex.queued()) {
            drop(self.mutex.reserved_guard());
        }
    }
}

impl<T: ?Sized> fmt::Debug for MutexLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acquire.fmt("MutexLock", f)
    }
}

/// Future of [`Mutex::lock_owned`].
#[must_use = "futures do nothing unless polled"]
pub struct MutexLockOwned<T: ?Sized> {
    mutex: Arc<Mutex<T>>,
    acquire: Acquire,
}

impl<T: ?Sized> Future for MutexLockOwned<T> {
    type Output = OwnedMutexGuard<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedMutexGuard<T>> {
        let this = &mut *self;
        if ready!(this.acquire.poll_start(cx)) {
            if let Ok(guard) = this.mutex.clone().try_lock_owned() {
                return this.acquire.finish(guard, cx);
            }
        }
        let guard = || OwnedMutexGuard(RawGuard::reserved(this.mutex.clone()));
        this.acquire.poll_wait(this.mutex.queued(), cx, guard)
    }
}

impl<T: ?Sized> Drop for MutexLockOwned<T> {
    fn drop(&mut self) {
        if self.acquire.leave(self.mutex.queued()) {
            drop(self.mutex.reserved_guard());
        }
    }
}

impl<T: ?Sized> fmt::Debug for MutexLockOwned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acquire.fmt("MutexLockOwned", f)
    }
}

#[cfg(test)]
mod tests;
