//! The reader-writer lock: many tasks read a value, or one changes it.
//!
//! It is built as the [`Mutex`](super::Mutex) is: the value is behind the raw lock of `foster-cell`, which counts
//! readers and writer, and a task that has to wait does so by way of `acquire.rs`.

mod guard;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::WouldBlock;
use super::acquire::{Acquire, QueuedResource, READ, WRITE};
use super::wait_queue::WaitQueue;
use crate::raw::lock::{LockedValue, QueuedLock, RawGuard, RawRwLock, ReadAccess};

pub use guard::{RwLockReadGuard, RwLockWriteGuard};

/// A value that many tasks can read at once, or one can change, across awaits.
///
/// Fair: who comes is served in his turn, readers and writers alike, so neither can keep out the other; neighbouring
/// readers are let in together. A reader that reads a second time waits behind a writer in between, and that one for
/// the reader: do not nest.
///
/// A guard that is leaked keeps it: a reader's keeps writers out, a writer's everybody.
///
/// # Examples
///
/// ```
/// use foster::sync::RwLock;
///
/// # foster_sim::run(1, async {
/// let config = RwLock::new(String::from("slow"));
///
/// let (one, two) = (config.read().await, config.read().await);
/// assert_eq!(*one, *two);
/// assert!(config.try_write().is_err());
/// drop((one, two));
///
/// *config.write().await = String::from("fast");
/// # });
/// ```
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    queue: WaitQueue,
    value: LockedValue<ReadAccess, T>,
}

impl<T> RwLock<T> {
    /// Makes a lock around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        RwLock { queue: WaitQueue::new(), value: LockedValue::new(value) }
    }

    /// Returns the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until it can be read.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; what was handed over already goes to the next waiter.
    pub fn read(&self) -> RwLockRead<'_, T> {
        RwLockRead { lock: self, acquire: Acquire::new(NAME, READ) }
    }

    /// Waits until it can be changed.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; what was handed over already goes to the next waiter.
    pub fn write(&self) -> RwLockWrite<'_, T> {
        RwLockWrite { lock: self, acquire: Acquire::new(NAME, WRITE) }
    }

    /// Reads, if nobody writes and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        let mut guard = RawGuard::try_lock(self);
        if guard.is_none() && self.queued().drop_cancelled_waiters(READ) {
            guard = RawGuard::try_lock(self);
        }
        guard.map(RwLockReadGuard).ok_or(WouldBlock)
    }

    /// Writes, if nobody uses it and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        let mut guard = RawGuard::try_lock(self);
        if guard.is_none() && self.queued().drop_cancelled_waiters(WRITE) {
            guard = RawGuard::try_lock(self);
        }
        guard.map(RwLockWriteGuard).ok_or(WouldBlock)
    }

    /// Returns the value, which nobody else can be using: all guards are gone, or leaked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> RwLockStatistics {
        let (waiting, (readers, writer)) = self.queue.waiting_while(|| self.value.raw().readers_and_writer());
        RwLockStatistics { readers, writer, waiting }
    }

    #[inline]
    fn queued(&self) -> QueuedResource<'_, RawRwLock> {
        QueuedResource { resource: self.value.raw(), queue: &self.queue }
    }

    /// Makes the guard of a reader that the lock was handed to.
    fn reserved_read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard(RawGuard::reserved(self))
    }

    /// Makes the guard of a writer that the lock was handed to.
    fn reserved_write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard(RawGuard::reserved(self))
    }
}

impl<T: ?Sized> QueuedLock<T> for RwLock<T> {
    type Access = ReadAccess;

    #[inline]
    fn value(&self) -> &LockedValue<ReadAccess, T> {
        &self.value
    }

    fn notify_waiters(&self) {
        self.queued().notify_waiters();
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RwLockStatistics { readers, writer, waiting } = self.statistics();
        f.debug_struct("RwLock").field("readers", &readers).field("writer", &writer).field("waiting", &waiting).finish()
    }
}

/// The snapshot that [`RwLock::statistics`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RwLockStatistics {
    /// How many tasks read, or were handed it to read.
    pub readers: usize,
    /// Whether a task writes, or was handed it to write.
    pub writer: bool,
    /// How many tasks wait for it.
    pub waiting: usize,
}

/// Its name in dumps.
const NAME: &str = "rw lock";

/// Future of [`RwLock::read`].
#[must_use = "futures do nothing unless polled"]
pub struct RwLockRead<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    acquire: Acquire,
}

impl<'a, T: ?Sized> Future for RwLockRead<'a, T> {
    type Output = RwLockReadGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RwLockReadGuard<'a, T>> {
        let this = &mut *self;
        if ready!(this.acquire.poll_start(cx)) {
            if let Some(guard) = RawGuard::try_lock(this.lock) {
                return this.acquire.finish(RwLockReadGuard(guard), cx);
            }
        }
        this.acquire.poll_wait(this.lock.queued(), cx, || this.lock.reserved_read_guard())
    }
}

impl<T: ?Sized> Drop for RwLockRead<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.acquire.leave(self.lock.queued()) {
            drop(self.lock.reserved_read_guard());
        }
    }
}

impl<T: ?Sized> fmt::Debug for RwLockRead<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acquire.fmt("RwLockRead", f)
    }
}

/// Future of [`RwLock::write`].
#[must_use = "futures do nothing unless polled"]
pub struct RwLockWrite<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    acquire: Acquire,
}

impl<'a, T: ?Sized> Future for RwLockWrite<'a, T> {
    type Output = RwLockWriteGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RwLockWriteGuard<'a, T>> {
        let this = &mut *self;
        if ready!(this.acquire.poll_start(cx)) {
            if let Some(guard) = RawGuard::try_lock(this.lock) {
                return this.acquire.finish(RwLockWriteGuard(guard), cx);
            }
        }
        this.acquire.poll_wait(this.lock.queued(), cx, || this.lock.reserved_write_guard())
    }
}

impl<T: ?Sized> Drop for RwLockWrite<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.acquire.leave(self.lock.queued()) {
            drop(self.lock.reserved_write_guard());
        }
    }
}

impl<T: ?Sized> fmt::Debug for RwLockWrite<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acquire.fmt("RwLockWrite", f)
    }
}

#[cfg(test)]
mod tests;
