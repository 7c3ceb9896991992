//! The mutex: one task at a time on a value.
//!
//! This crate has no unsafe code, so the guard cannot point into the mutex: it *holds* the value, and gives it back when it
//! is dropped. That is a move of `size_of::<T>()` bytes each way, no allocation, and guards that are `Send` wherever the
//! value is.
//!
//! ```text
//!   Free(T) ──1──▶ Held ──3──▶ Free(T)
//!     2│            3│ ▲4
//!      └──────▶ Handed(T)
//! ```
//!
//! 1. `try_lock` and `fast_lock`: the guard has the value
//! 2. `lock` when it is free: it belongs to a task that still has to give way
//! 3. the guard is dropped: to the longest waiter, or free: `Mutex::release`
//! 4. its owner takes it: `Mutex::claim`; a drop of who never took it is 4 and 3
//!
//! Invariant 1: somebody waits only while the slot is not Free, and then `queued` is set.
//! Invariant 2: the slot is locked before the queue, and both are released before anybody is woken.

mod guard;

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use super::WouldBlock;
use super::line::{Left, Ticket};
use super::wait_queue::WaitQueue;
use crate::checkpoint::Gate;

pub use guard::{MutexGuard, OwnedMutexGuard};

/// A value that one task at a time can use, across awaits.
///
/// Whoever releases it hands it over: it belongs to the longest waiter in that instant, and nobody can come between. A task
/// that acquires it twice waits for itself, for ever; the simulator reports it.
///
/// The guard holds the value itself, not a pointer to it, so put something large into a `Box`. A guard that is leaked takes
/// the value along.
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
/// foster::checkpoint().await; // still ours
/// log.push("end");
/// drop(log);
/// assert_eq!(LOG.lock().await.len(), 2);
/// # });
/// ```
#[derive(Default)]
pub struct Mutex<T> {
    state: crate::sys::Mutex<State<T>>,
    queue: WaitQueue,
}

struct State<T> {
    slot: Slot<T>,
    /// Somebody may stand in the queue.
    queued: bool,
}

/// See the picture at the head of this module.
enum Slot<T> {
    Free(T),
    Held,
    Handed(T),
}

impl<T: Default> Default for State<T> {
    fn default() -> Self {
        State { slot: Slot::Free(T::default()), queued: false }
    }
}

impl<T> Mutex<T> {
    /// A mutex around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        let state = State { slot: Slot::Free(value), queued: false };
        Mutex { state: crate::sys::Mutex::new(state), queue: WaitQueue::new() }
    }

    fn state(&self) -> crate::sys::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is ours. [`run`](Mutex::run) keeps it until all cleanup has ended, also where foreign code drops futures.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; if it was handed over already it goes to the next waiter.
    pub fn lock(&self) -> MutexLock<'_, T> {
        MutexLock { mutex: self, claim: Claim::new(false) }
    }

    /// Waits until it is ours, without giving way to other tasks if it is free.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Mutex::lock).
    pub fn fast_lock(&self) -> MutexLock<'_, T> {
        MutexLock { mutex: self, claim: Claim::new(true) }
    }

    /// Waits until it is ours, for a guard that can be moved into another task, a closure or a thread.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Mutex::lock).
    pub fn lock_owned(self: Arc<Self>) -> MutexLockOwned<T> {
        MutexLockOwned { mutex: self, claim: Claim::new(false) }
    }

    /// Takes it, if it is free. It is not as long as somebody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, WouldBlock> {
        match self.take() {
            Some(value) => Ok(MutexGuard { mutex: self, value: Some(value) }),
            None => Err(WouldBlock),
        }
    }

    /// Takes it, if it is free, for a guard that can be moved.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    pub fn try_lock_owned(self: Arc<Self>) -> Result<OwnedMutexGuard<T>, WouldBlock> {
        match self.take() {
            Some(value) => Ok(OwnedMutexGuard { mutex: self, value: Some(value) }),
            None => Err(WouldBlock),
        }
    }

    /// The value, which nobody else can be using; none if a guard was leaked with it.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        match &mut self.state.get_mut().unwrap_or_else(PoisonError::into_inner).slot {
            Slot::Free(value) | Slot::Handed(value) => Some(value),
            Slot::Held => None,
        }
    }

    /// The value; none if a guard was leaked with it.
    pub fn into_inner(self) -> Option<T> {
        match self.state.into_inner().unwrap_or_else(PoisonError::into_inner).slot {
            Slot::Free(value) | Slot::Handed(value) => Some(value),
            Slot::Held => None,
        }
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> MutexStatistics {
        let state = self.state();
        MutexStatistics { held: !matches!(state.slot, Slot::Free(_)), waiting: self.queue.waiting() }
    }

    #[inline]
    fn take(&self) -> Option<T> {
        let mut state = self.state();
        if !matches!(state.slot, Slot::Free(_)) {
            return None;
        }
        match mem::replace(&mut state.slot, Slot::Held) {
            Slot::Free(value) => Some(value),
            Slot::Held | Slot::Handed(_) => None,
        }
    }

    /// Takes what was handed to the caller.
    fn claim(&self) -> T {
        let mut state = self.state();
        match mem::replace(&mut state.slot, Slot::Held) {
            Slot::Handed(value) => value,
            Slot::Free(_) | Slot::Held => unreachable!("only the owner of a handed mutex claims it"),
        }
    }

    /// The guard is dropped.
    #[inline]
    fn release(&self, value: T) {
        let mut state = self.state();
        debug_assert!(matches!(state.slot, Slot::Held), "only a guard releases");
        if !state.queued {
            state.slot = Slot::Free(value);
            return;
        }
        self.hand_over(state, value);
    }

    fn hand_over(&self, mut state: crate::sys::MutexGuard<'_, State<T>>, value: T) {
        let mut line = self.queue.lock();
        state.slot = if line.serve().is_some() { Slot::Handed(value) } else { Slot::Free(value) };
        state.queued = !line.is_empty();
        // Invariant 2.
        let wakes = line.finish();
        drop(state);
        drop(wakes);
    }

    /// What marks those in the queue of a condition who gave up this mutex. Never 0 or 1.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Moves the `n` longest of those who wait for a condition with this mutex to the end of its own queue.
    pub(super) fn adopt(&self, from: &WaitQueue, n: usize, tag: usize) -> usize {
        let mut state = self.state();
        let count = from.repark_as(n, &self.queue, Some((self.address(), tag)));
        if count == 0 {
            return 0;
        }
        let mut line = self.queue.lock();
        // Invariant 1.
        state.slot = match mem::replace(&mut state.slot, Slot::Held) {
            Slot::Free(value) if line.serve().is_some() => Slot::Handed(value),
            other => other,
        };
        state.queued = !line.is_empty();
        let wakes = line.finish();
        drop(state);
        drop(wakes);
        count
    }

    /// The guard of a waiter that was served.
    pub(super) fn claim_guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, value: Some(self.claim()) }
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MutexStatistics { held, waiting } = self.statistics();
        f.debug_struct("Mutex").field("held", &held).field("waiting", &waiting).finish()
    }
}

/// What [`Mutex::statistics`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MutexStatistics {
    /// Whether somebody has it, or was handed it.
    pub held: bool,
    /// How many tasks wait for it.
    pub waiting: usize,
}

/// Future of [`Mutex::lock`] and [`Mutex::fast_lock`].
#[must_use = "futures do nothing unless polled"]
pub struct MutexLock<'a, T> {
    mutex: &'a Mutex<T>,
    claim: Claim,
}

impl<'a, T> Future for MutexLock<'a, T> {
    type Output = MutexGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        let mutex = self.mutex;
        if self.claim.is_fast() {
            if let Ok(guard) = mutex.try_lock() {
                self.claim.step = Step::Over;
                return Poll::Ready(guard);
            }
        }
        self.claim.poll(mutex, cx).map(|()| mutex.claim_guard())
    }
}

impl<T> Drop for MutexLock<'_, T> {
    fn drop(&mut self) {
        self.claim.give_up(self.mutex);
    }
}

impl<T> fmt::Debug for MutexLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.step.fmt("MutexLock", f)
    }
}

/// Future of [`Mutex::lock_owned`].
#[must_use = "futures do nothing unless polled"]
pub struct MutexLockOwned<T> {
    mutex: Arc<Mutex<T>>,
    claim: Claim,
}

impl<T> Future for MutexLockOwned<T> {
    type Output = OwnedMutexGuard<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedMutexGuard<T>> {
        let this = &mut *self;
        let poll = this.claim.poll(&this.mutex, cx);
        poll.map(|()| OwnedMutexGuard { mutex: this.mutex.clone(), value: Some(this.mutex.claim()) })
    }
}

impl<T> Drop for MutexLockOwned<T> {
    fn drop(&mut self) {
        self.claim.give_up(&self.mutex);
    }
}

impl<T> fmt::Debug for MutexLockOwned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.step.fmt("MutexLockOwned", f)
    }
}

/// What the acquiring futures have in common.
struct Claim {
    fast: bool,
    gate: Gate,
    step: Step,
}

enum Step {
    Start,
    Waiting(Ticket),
    /// Had at once, and left in the slot: has still to give way.
    Handed,
    Over,
}

impl Step {
    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self {
            Step::Start => "Start",
            Step::Waiting(_) => "Waiting",
            Step::Handed => "Handed",
            Step::Over => "Over",
        };
        write!(f, "{name}::{step}")
    }
}

impl Claim {
    #[inline]
    const fn new(fast: bool) -> Self {
        Claim { fast, gate: Gate::to("mutex"), step: Step::Start }
    }

    /// Whether it may be had without giving way, if it is free now.
    #[inline]
    fn is_fast(&mut self) -> bool {
        self.fast && matches!(self.step, Step::Start) && self.gate.poll_start().is_ready()
    }

    /// Ready once it was handed to us.
    fn poll<T>(&mut self, mutex: &Mutex<T>, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.poll_start().is_pending() {
            return Poll::Pending;
        }
        match &mut self.step {
            Step::Start => {
                // L36: cloned before the lock is taken.
                let waker = cx.waker().clone();
                let mut state = mutex.state();
                if let Slot::Free(_) = state.slot {
                    if let Slot::Free(value) = mem::replace(&mut state.slot, Slot::Held) {
                        state.slot = Slot::Handed(value);
                    }
                    drop(state);
                    self.step = Step::Handed;
                    waker.wake();
                    return Poll::Pending;
                }
                state.queued = true;
                self.step = Step::Waiting(mutex.queue.lock().enter(0, Some(waker)));
                Poll::Pending
            }
            Step::Waiting(ticket) => {
                if ticket.poll(true, cx).is_pending() {
                    return Poll::Pending;
                }
                self.step = Step::Over;
                Poll::Ready(())
            }
            Step::Handed => {
                self.step = Step::Over;
                Poll::Ready(())
            }
            Step::Over => panic!("a `lock` of a `Mutex` was polled after it was ready"),
        }
    }

    /// The future is dropped: leaves the queue, and hands on what it was handed.
    #[inline]
    fn give_up<T>(&mut self, mutex: &Mutex<T>) {
        if !matches!(self.step, Step::Start | Step::Over) {
            self.leave(mutex);
        }
    }

    fn leave<T>(&mut self, mutex: &Mutex<T>) {
        let handed = match mem::replace(&mut self.step, Step::Over) {
            Step::Start | Step::Over => false,
            Step::Handed => true,
            Step::Waiting(ticket) => ticket.leave().left != Left::Waiting,
        };
        if handed {
            mutex.release(mutex.claim());
        }
    }
}

#[cfg(test)]
mod tests;
