//! The reader-writer lock: many look, or one changes.
//!
//! As the [`Mutex`](super::Mutex): the value lies behind the word of `raw/lock.rs`, which counts who is in, and who does not fit
//! in waits at the door (`door.rs`).

mod guard;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::WouldBlock;
use super::door::{Claim, Door, READ, WRITE};
use super::wait_queue::WaitQueue;
use crate::raw::lock::{Hold, House, Lock, Reading, Word};

pub use guard::{RwLockReadGuard, RwLockWriteGuard};

/// A value that many tasks can read at once, or one can change, across awaits.
///
/// Fair: who comes is served in his turn, readers and writers alike, so neither can keep out the other; neighbouring readers
/// are let in together. A reader that reads a second time waits behind a writer in between, and that one for the reader: do
/// not nest.
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
    lock: Lock<Reading, T>,
}

impl<T> RwLock<T> {
    /// A lock around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        RwLock { queue: WaitQueue::new(), lock: Lock::new(value) }
    }

    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.lock.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until it can be read.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; what was handed over already goes to the next waiter.
    pub fn read(&self) -> RwLockRead<'_, T> {
        RwLockRead { lock: self, claim: Claim::new(WHAT, READ) }
    }

    /// Waits until it can be changed.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; what was handed over already goes to the next waiter.
    pub fn write(&self) -> RwLockWrite<'_, T> {
        RwLockWrite { lock: self, claim: Claim::new(WHAT, WRITE) }
    }

    /// Reads, if nobody writes and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        let mut hold = Hold::try_read(self);
        if hold.is_none() && self.door().clears(READ) {
            hold = Hold::try_read(self);
        }
        hold.map(RwLockReadGuard).ok_or(WouldBlock)
    }

    /// Writes, if nobody uses it and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        let mut hold = Hold::try_write(self);
        if hold.is_none() && self.door().clears(WRITE) {
            hold = Hold::try_write(self);
        }
        hold.map(RwLockWriteGuard).ok_or(WouldBlock)
    }

    /// The value, which nobody else can be using: all guards are gone, or leaked.
    pub fn get_mut(&mut self) -> &mut T {
        self.lock.get_mut()
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> RwLockStatistics {
        let (waiting, (readers, writer)) = self.queue.waiting_while(|| self.lock.word().readers_and_writer());
        RwLockStatistics { readers, writer, waiting }
    }

    #[inline]
    fn door(&self) -> Door<'_, Word> {
        Door { room: self.lock.word(), queue: &self.queue }
    }

    /// The guard of a reader that was let in.
    fn claim_read(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard(Hold::read(self))
    }

    /// The guard of a writer that was let in.
    fn claim_write(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard(Hold::write(self))
    }
}

impl<T: ?Sized> House<T> for RwLock<T> {
    type Most = Reading;

    #[inline]
    fn lock(&self) -> &Lock<Reading, T> {
        &self.lock
    }

    fn serve(&self) {
        self.door().serve();
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

/// What [`RwLock::statistics`] tells.
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

/// What it is called in dumps.
const WHAT: &str = "rw lock";

/// Future of [`RwLock::read`].
#[must_use = "futures do nothing unless polled"]
pub struct RwLockRead<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    claim: Claim,
}

impl<'a, T: ?Sized> Future for RwLockRead<'a, T> {
    type Output = RwLockReadGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RwLockReadGuard<'a, T>> {
        let this = &mut *self;
        if ready!(this.claim.poll_start(cx)) {
            if let Some(guard) = Hold::try_read(this.lock) {
                this.claim.is_over();
                return Poll::Ready(RwLockReadGuard(guard));
            }
        }
        this.claim.poll_wait(this.lock.door(), cx).map(|()| this.lock.claim_read())
    }
}

impl<T: ?Sized> Drop for RwLockRead<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.claim.gives_up(self.lock.door()) {
            drop(self.lock.claim_read());
        }
    }
}

impl<T: ?Sized> fmt::Debug for RwLockRead<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt("RwLockRead", f)
    }
}

/// Future of [`RwLock::write`].
#[must_use = "futures do nothing unless polled"]
pub struct RwLockWrite<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    claim: Claim,
}

impl<'a, T: ?Sized> Future for RwLockWrite<'a, T> {
    type Output = RwLockWriteGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RwLockWriteGuard<'a, T>> {
        let this = &mut *self;
        if ready!(this.claim.poll_start(cx)) {
            if let Some(guard) = Hold::try_write(this.lock) {
                this.claim.is_over();
                return Poll::Ready(RwLockWriteGuard(guard));
            }
        }
        this.claim.poll_wait(this.lock.door(), cx).map(|()| this.lock.claim_write())
    }
}

impl<T: ?Sized> Drop for RwLockWrite<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.claim.gives_up(self.lock.door()) {
            drop(self.lock.claim_write());
        }
    }
}

impl<T: ?Sized> fmt::Debug for RwLockWrite<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt("RwLockWrite", f)
    }
}

#[cfg(test)]
mod tests;
