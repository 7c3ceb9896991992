//! The reader-writer lock: many look, or one changes.
//!
//! This crate has no unsafe code, so the value lies in an `Arc`: each reader has a reference of its own, and a writer takes
//! the only one there is out of the lock. Making a lock allocates once, using it does not.
//!
//! Invariant 1: `writer` (somebody writes, or was handed it) excludes `readers` (as many read, or were handed it).
//! Invariant 2: somebody waits only while he has to: the first in line does not fit in, the others stand behind him.
//! Invariant 3: without a writer the value is here; a reader's reference goes before `readers` is counted down.
//! Invariant 4: the state is locked before the queue, and both are released before anybody is woken.

mod guard;

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::WouldBlock;
use super::line::{Left, Ticket};
use super::wait_queue::{WaitQueue, Wakes};
use crate::checkpoint::Gate;
use crate::sys::MutexGuard;

pub use guard::{RwLockReadGuard, RwLockWriteGuard};

/// A value that many tasks can read at once, or one can change, across awaits.
///
/// Fair: who comes is served in his turn, readers and writers alike, so neither can keep out the other; neighbouring readers
/// are let in together. A reader that reads a second time waits behind a writer in between, and that one for the reader: do
/// not nest.
///
/// A guard that is leaked keeps it: a reader's keeps writers out, a writer's takes the value along.
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
pub struct RwLock<T> {
    state: crate::sys::Mutex<State<T>>,
    queue: WaitQueue,
}

struct State<T> {
    /// With a writer's guard while that lives.
    value: Option<Arc<T>>,
    readers: usize,
    writer: bool,
    /// Somebody may stand in the queue.
    queued: bool,
}

/// What one wants to do; its number is the tag in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Read = 0,
    Write = 1,
}

impl<T> State<T> {
    fn fits(&self, mode: Mode) -> bool {
        !self.writer && (mode == Mode::Read || self.readers == 0)
    }

    fn admit(&mut self, mode: Mode) {
        debug_assert!(self.fits(mode), "Invariant 1");
        match mode {
            Mode::Read => self.readers += 1,
            Mode::Write => self.writer = true,
        }
    }
}

impl<T> RwLock<T> {
    /// A lock around `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        let state = State { value: Some(Arc::new(value)), readers: 0, writer: false, queued: false };
        RwLock { state: crate::sys::Mutex::new(state), queue: WaitQueue::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it can be read.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; what was handed over already goes to the next waiter.
    pub fn read(&self) -> RwLockRead<'_, T> {
        RwLockRead { lock: self, claim: Claim::new(Mode::Read, false) }
    }

    /// Waits until it can be read, without giving way to other tasks if that is at once.
    ///
    /// # Cancellation
    ///
    /// As [`read`](RwLock::read).
    pub fn fast_read(&self) -> RwLockRead<'_, T> {
        RwLockRead { lock: self, claim: Claim::new(Mode::Read, true) }
    }

    /// Waits until it can be changed.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; what was handed over already goes to the next waiter.
    pub fn write(&self) -> RwLockWrite<'_, T> {
        RwLockWrite { lock: self, claim: Claim::new(Mode::Write, false) }
    }

    /// Waits until it can be changed, without giving way to other tasks if that is at once.
    ///
    /// # Cancellation
    ///
    /// As [`write`](RwLock::write).
    pub fn fast_write(&self) -> RwLockWrite<'_, T> {
        RwLockWrite { lock: self, claim: Claim::new(Mode::Write, true) }
    }

    /// Reads, if nobody writes and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        let mut state = self.lock();
        if !self.enter(&mut state, Mode::Read) {
            return Err(WouldBlock);
        }
        Ok(RwLockReadGuard { lock: self, value: state.value.clone() })
    }

    /// Writes, if nobody uses it and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        let mut state = self.lock();
        if !self.enter(&mut state, Mode::Write) {
            return Err(WouldBlock);
        }
        Ok(RwLockWriteGuard { lock: self, value: state.value.take() })
    }

    /// The value, which nobody else can be using; none if a guard was leaked.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).value.as_mut().and_then(Arc::get_mut)
    }

    /// The value; none if a guard was leaked.
    pub fn into_inner(self) -> Option<T> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).value.and_then(Arc::into_inner)
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> RwLockStatistics {
        let state = self.lock();
        RwLockStatistics { readers: state.readers, writer: state.writer, waiting: self.queue.waiting() }
    }

    /// Lets the caller in, if he fits and does not pass anybody who waits.
    fn enter(&self, state: &mut State<T>, mode: Mode) -> bool {
        if state.queued {
            state.queued = !self.queue.is_empty();
        }
        let enters = !state.queued && state.fits(mode);
        if enters {
            state.admit(mode);
        }
        enters
    }

    /// Lets in whoever fits now, in order; to be woken when no lock is held.
    fn serve(&self, state: &mut State<T>) -> Option<Wakes> {
        if !state.queued {
            return None;
        }
        let mut line = self.queue.lock();
        while let Some(tag) = line.first() {
            let mode = if tag == Mode::Read as usize { Mode::Read } else { Mode::Write };
            if !state.fits(mode) {
                break;
            }
            state.admit(mode);
            line.serve();
        }
        state.queued = !line.is_empty();
        Some(line.finish())
    }

    /// Somebody who was in goes; a writer brings the value back.
    fn release(&self, mode: Mode, value: Option<Arc<T>>) {
        let mut state = self.lock();
        match mode {
            Mode::Read => state.readers -= 1,
            Mode::Write => state.writer = false,
        }
        if value.is_some() {
            debug_assert!(state.value.is_none(), "Invariant 3");
            state.value = value;
        }
        if !state.queued {
            return;
        }
        let wakes = self.serve(&mut state);
        drop(state);
        drop(wakes);
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> fmt::Debug for RwLock<T> {
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

/// Future of [`RwLock::read`] and [`RwLock::fast_read`].
#[must_use = "futures do nothing unless polled"]
pub struct RwLockRead<'a, T> {
    lock: &'a RwLock<T>,
    claim: Claim,
}

impl<'a, T> Future for RwLockRead<'a, T> {
    type Output = RwLockReadGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RwLockReadGuard<'a, T>> {
        let lock = self.lock;
        if self.claim.is_fast() {
            if let Ok(guard) = lock.try_read() {
                self.claim.step = Step::Over;
                return Poll::Ready(guard);
            }
        }
        self.claim.poll(lock, cx).map(|()| RwLockReadGuard { lock, value: lock.lock().value.clone() })
    }
}

impl<T> Drop for RwLockRead<'_, T> {
    fn drop(&mut self) {
        self.claim.give_up(self.lock);
    }
}

impl<T> fmt::Debug for RwLockRead<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt("RwLockRead", f)
    }
}

/// Future of [`RwLock::write`] and [`RwLock::fast_write`].
#[must_use = "futures do nothing unless polled"]
pub struct RwLockWrite<'a, T> {
    lock: &'a RwLock<T>,
    claim: Claim,
}

impl<'a, T> Future for RwLockWrite<'a, T> {
    type Output = RwLockWriteGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RwLockWriteGuard<'a, T>> {
        let lock = self.lock;
        if self.claim.is_fast() {
            if let Ok(guard) = lock.try_write() {
                self.claim.step = Step::Over;
                return Poll::Ready(guard);
            }
        }
        self.claim.poll(lock, cx).map(|()| RwLockWriteGuard { lock, value: lock.lock().value.take() })
    }
}

impl<T> Drop for RwLockWrite<'_, T> {
    fn drop(&mut self) {
        self.claim.give_up(self.lock);
    }
}

impl<T> fmt::Debug for RwLockWrite<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt("RwLockWrite", f)
    }
}

/// What the two futures have in common.
struct Claim {
    mode: Mode,
    fast: bool,
    gate: Gate,
    step: Step,
}

enum Step {
    Start,
    Waiting(Ticket),
    /// Had at once: has still to give way.
    Held,
    Over,
}

impl Claim {
    const fn new(mode: Mode, fast: bool) -> Self {
        Claim { mode, fast, gate: Gate::to("rw lock"), step: Step::Start }
    }

    /// Whether it may be had without giving way, if nobody is in its way now.
    #[inline]
    fn is_fast(&mut self) -> bool {
        self.fast && matches!(self.step, Step::Start) && self.gate.poll_start().is_ready()
    }

    fn poll<T>(&mut self, lock: &RwLock<T>, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.poll_start().is_pending() {
            return Poll::Pending;
        }
        match &mut self.step {
            Step::Start => {
                // L36: the waker is cloned before the lock is taken, if it is needed.
                let mut spare: Option<Waker> = None;
                loop {
                    let mut state = lock.lock();
                    if lock.enter(&mut state, self.mode) {
                        break;
                    }
                    if spare.is_some() {
                        state.queued = true;
                        self.step = Step::Waiting(lock.queue.lock().enter(self.mode as usize, spare));
                        return Poll::Pending;
                    }
                    drop(state);
                    spare = Some(cx.waker().clone());
                }
                if self.fast {
                    self.step = Step::Over;
                    return Poll::Ready(());
                }
                self.step = Step::Held;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Waiting(ticket) => {
                if ticket.poll(true, cx).is_pending() {
                    return Poll::Pending;
                }
                self.step = Step::Over;
                Poll::Ready(())
            }
            Step::Held => {
                self.step = Step::Over;
                Poll::Ready(())
            }
            Step::Over => panic!("a `read` or `write` of an `RwLock` was polled after it was ready"),
        }
    }

    /// The future is dropped: leaves the queue, and hands on what it was handed.
    fn give_up<T>(&mut self, lock: &RwLock<T>) {
        match mem::replace(&mut self.step, Step::Over) {
            Step::Start | Step::Over => {}
            Step::Held => lock.release(self.mode, None),
            Step::Waiting(ticket) => {
                let mut state = lock.lock();
                let mut line = lock.queue.lock();
                let (left, waker) = line.remove(&ticket);
                drop(line);
                if left != Left::Waiting {
                    drop(state);
                    return lock.release(self.mode, None);
                }
                // Readers may have stood behind this writer only for its sake.
                let wakes = lock.serve(&mut state);
                drop(state);
                drop((waker, wakes));
            }
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match &self.step {
            Step::Start => "Start",
            Step::Waiting(_) => "Waiting",
            Step::Held => "Held",
            Step::Over => "Over",
        };
        write!(f, "{name}::{step}")
    }
}

#[cfg(test)]
mod tests;
