//! The condition: a wait, with a mutex released, until the value that it guards has changed.
//!
//! A waiter that is notified is moved to the queue of the mutex in that instant, and is not woken to queue for itself.
//! So it keeps its order and counts as a waiter of the mutex, and of a hundred that are notified one at a time is
//! woken.
//!
//! ```text
//!   Start(guard) ──1──▶ Waiting: here ──2──▶ Waiting: for the mutex ──3──▶ Done(guard)
//!                              │4                   │5                     ▲
//!                              └────────────────────┴───▶ Locking ────6────┘
//! ```
//!
//! 1. the first poll: joins this queue, then releases the mutex
//! 2. `notify`: `Mutex::requeue_from`
//! 3. the mutex is handed over
//! 4. skipped by a `notify` while its code was cancelled, and polled in other code: locks the mutex anew
//! 5. skipped by a release of the mutex, likewise
//! 6. the mutex was acquired
//!
//! In this queue the tag of a waiter is the address of its mutex. In the queue of the mutex the tag says how the waiter
//! was notified; `acquire.rs` treats both tags as a writer's.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::mutex::{Mutex, MutexGuard, MutexLock};
use super::wait_queue::WaitQueue;
use super::waiter_list::{LeaveOutcome, WaitOutcome, WaiterKey};
use crate::leaf::{Gate, Waiter};

/// Tag of a waiter that was notified by `notify`: if it leaves, another one is notified.
const NOTIFIED_ONE: usize = 0;
/// Tag of a waiter that was notified by `notify_all`.
const NOTIFIED_ALL: usize = 1;

/// Tasks that wait for a change of what a [`Mutex`] guards.
///
/// To wait one gives up the guard, and gets it back when one is notified and it is one's turn again. To notify one
/// needs the guard, too: who changes the value tells in the same breath, and nobody can miss it. One condition is used
/// with one mutex at a time.
///
/// # Examples
///
/// ```
/// use foster::sync::{Condition, Mutex};
///
/// # foster_sim::run(1, async {
/// static JOBS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
/// static CHANGED: Condition = Condition::new();
///
/// foster::nursery(async |n: foster::Nursery<std::convert::Infallible>| {
///     let worker = n.spawn(async {
///         let jobs = JOBS.lock().await;
///         let mut jobs = CHANGED.wait_for(jobs, |jobs| !jobs.is_empty()).await;
///         Ok(jobs.pop().unwrap())
///     });
///     let mut jobs = JOBS.lock().await;
///     jobs.push(7);
///     CHANGED.notify(&jobs, 1);
///     drop(jobs);
///     assert_eq!(worker.await.unwrap(), 7);
///     Ok(())
/// })
/// .await
/// .unwrap();
/// # });
/// ```
#[derive(Default)]
pub struct Condition {
    queue: WaitQueue,
}

impl Condition {
    /// Makes a condition that nobody waits for.
    #[must_use]
    pub const fn new() -> Self {
        Condition { queue: WaitQueue::new() }
    }

    /// Releases the mutex and waits to be notified, then until the mutex is ours again.
    ///
    /// The change may have been undone by the time the mutex is acquired, so check again, or use
    /// [`wait_for`](Condition::wait_for). A wait that goes on after the end of a cancelled scope in which it was passed
    /// over returns without a notification, since it may have missed one.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*, and the guard: code that is cancelled goes on without the mutex. A drop leaves the queue; a
    /// notification by [`notify`](Condition::notify) that was meant for it goes to the next waiter, and so does the
    /// mutex.
    ///
    /// # Panics
    ///
    /// When polled, if others wait for this condition with another mutex.
    pub fn wait<'a, T: ?Sized>(&'a self, guard: MutexGuard<'a, T>) -> ConditionWait<'a, T> {
        self.wait_from(Gate::new("condition"), guard)
    }

    fn wait_from<'a, T: ?Sized>(&'a self, gate: Gate, guard: MutexGuard<'a, T>) -> ConditionWait<'a, T> {
        ConditionWait { condition: self, mutex: MutexGuard::mutex(&guard), gate, state: ConditionState::Start(guard) }
    }

    /// Waits until `holds` says so of the value: looks at once, and after each notification.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Condition::wait).
    ///
    /// # Panics
    ///
    /// When polled, if others wait for this condition with another mutex, or if `holds` panics. The mutex is released
    /// then, and a notification by [`notify`](Condition::notify) goes to the next waiter.
    pub fn wait_for<'a, T: ?Sized, F>(&'a self, guard: MutexGuard<'a, T>, holds: F) -> ConditionWaitFor<'a, T, F>
    where
        F: FnMut(&mut T) -> bool,
    {
        ConditionWaitFor {
            condition: self,
            holds,
            gate: Gate::new("condition"),
            state: ConditionForState::Start(guard),
        }
    }

    /// Lets the `n` longest waiters queue for the mutex, or as many as there are; returns how many.
    ///
    /// # Panics
    ///
    /// If they wait with another mutex than this guard's.
    #[track_caller]
    pub fn notify<T: ?Sized>(&self, guard: &MutexGuard<'_, T>, n: usize) -> usize {
        self.requeue(guard, n, NOTIFIED_ONE)
    }

    /// Lets everybody who waits queue for the mutex; returns how many.
    ///
    /// # Panics
    ///
    /// If they wait with another mutex than this guard's.
    #[track_caller]
    pub fn notify_all<T: ?Sized>(&self, guard: &MutexGuard<'_, T>) -> usize {
        self.requeue(guard, usize::MAX, NOTIFIED_ALL)
    }

    #[track_caller]
    fn requeue<T: ?Sized>(&self, guard: &MutexGuard<'_, T>, n: usize, tag: usize) -> usize {
        let mutex = MutexGuard::mutex(guard);
        if self.queue.is_empty() {
            return 0;
        }
        let mut queue = self.queue.lock();
        let first = queue.first();
        drop(queue);
        assert!(first.is_none_or(|tag| tag == mutex.address()), "{TWO_MUTEXES_PANIC}");
        mutex.requeue_from(&self.queue, n, tag)
    }

    /// Returns how many wait to be notified. Waiters that were, and wait for the mutex now, count for the mutex.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("waiting", &self.waiting()).finish()
    }
}

const TWO_MUTEXES_PANIC: &str = "a condition was used with two mutexes at once: those who wait gave up a mutex, and can only get \
     that one back. Usual causes: a condition in a `static` for mutexes of several objects, or notifying with the guard \
     of the wrong one";

/// Future of [`Condition::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct ConditionWait<'a, T: ?Sized> {
    condition: &'a Condition,
    mutex: &'a Mutex<T>,
    gate: Gate,
    state: ConditionState<'a, T>,
}

/// See the picture at the head of this module.
enum ConditionState<'a, T: ?Sized> {
    Start(MutexGuard<'a, T>),
    Waiting(WaiterKey),
    Locking {
        lock: MutexLock<'a, T>,
        /// How it was notified.
        tag: usize,
    },
    Done,
}

// The value is never pinned: the guard is moved.
impl<T: ?Sized> Unpin for ConditionWait<'_, T> {}

impl<'a, T: ?Sized> Future for ConditionWait<'a, T> {
    type Output = MutexGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        self.poll_tagged(cx).map(|(guard, _)| guard)
    }
}

impl<'a, T: ?Sized> ConditionWait<'a, T> {
    /// Polls the wait; when it is ready, returns also how it was notified.
    fn poll_tagged(&mut self, cx: &mut Context<'_>) -> Poll<(MutexGuard<'a, T>, usize)> {
        ready!(self.gate.poll_start(cx));
        loop {
            match &mut self.state {
                ConditionState::Start(_) => {
                    let key = self.join(cx);
                    // Joined first, released second: a task that locks the mutex now and notifies will find this
                    // waiter.
                    drop(mem::replace(&mut self.state, ConditionState::Waiting(key)));
                    return Poll::Pending;
                }
                ConditionState::Waiting(key) => {
                    let queue = self.condition.queue.shared();
                    let Poll::Ready((outcome, tag)) = key.poll_slow(queue, cx) else {
                        // L14: it was notified, and then cancelled before the mutex was free. The notification is
                        // passed on now: it may be long until this waiter is dropped, if something beside it goes on.
                        if key.retag_if_skipped(queue, NOTIFIED_ONE, NOTIFIED_ALL) {
                            self.pass_on(NOTIFIED_ONE);
                        }
                        return Poll::Pending;
                    };
                    match outcome {
                        // Skipped in a scope that it has left. It does not join again: it may have missed the
                        // change.
                        WaitOutcome::Skipped => {
                            self.state = ConditionState::Locking { lock: self.mutex.lock(), tag };
                        }
                        WaitOutcome::Notified | WaitOutcome::Closed(_) => {
                            self.state = ConditionState::Done;
                            return Poll::Ready((self.mutex.reserved_guard(), tag));
                        }
                    }
                }
                ConditionState::Locking { lock, tag } => {
                    let (guard, tag) = (ready!(Pin::new(lock).poll(cx)), *tag);
                    self.state = ConditionState::Done;
                    return Poll::Ready((guard, tag));
                }
                ConditionState::Done => panic!("a `wait` for a `Condition` was polled after it was ready"),
            }
        }
    }

    fn join(&self, cx: &mut Context<'_>) -> WaiterKey {
        let waiter = Waiter::new(cx);
        let mut queue = self.condition.queue.lock();
        if queue.first().is_some_and(|tag| tag != self.mutex.address()) {
            drop(queue);
            panic!("{TWO_MUTEXES_PANIC}");
        }
        queue.enqueue(self.mutex.address(), waiter)
    }
}

impl<T: ?Sized> Drop for ConditionWait<'_, T> {
    fn drop(&mut self) {
        // L40, first the notification, then the mutex.
        match mem::replace(&mut self.state, ConditionState::Done) {
            ConditionState::Start(guard) => drop(guard),
            ConditionState::Waiting(key) => {
                let left = key.leave(self.condition.queue.shared());
                self.pass_on(left.tag);
                if left.left != LeaveOutcome::Waiting {
                    drop(self.mutex.reserved_guard());
                }
            }
            ConditionState::Locking { lock, tag } => {
                self.pass_on(tag);
                drop(lock);
            }
            ConditionState::Done => {}
        }
    }
}

impl<T: ?Sized> ConditionWait<'_, T> {
    /// Notifies another one, if this one was notified by number.
    fn pass_on(&self, tag: usize) {
        if tag == NOTIFIED_ONE {
            self.mutex.requeue_from(&self.condition.queue, 1, NOTIFIED_ONE);
        }
    }
}

impl<T: ?Sized> fmt::Debug for ConditionWait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            ConditionState::Start(_) => "ConditionWait::Start",
            ConditionState::Waiting(_) => "ConditionWait::Waiting",
            ConditionState::Locking { .. } => "ConditionWait::Locking",
            ConditionState::Done => "ConditionWait::Done",
        })
    }
}

/// Future of [`Condition::wait_for`].
#[must_use = "futures do nothing unless polled"]
pub struct ConditionWaitFor<'a, T: ?Sized, F> {
    condition: &'a Condition,
    holds: F,
    gate: Gate,
    state: ConditionForState<'a, T>,
}

enum ConditionForState<'a, T: ?Sized> {
    Start(MutexGuard<'a, T>),
    Waiting(ConditionWait<'a, T>),
    Done,
}

impl<T: ?Sized, F> Unpin for ConditionWaitFor<'_, T, F> {}

impl<'a, T: ?Sized, F: FnMut(&mut T) -> bool> Future for ConditionWaitFor<'a, T, F> {
    type Output = MutexGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        let this = &mut *self;
        ready!(this.gate.poll_start(cx));
        loop {
            match mem::replace(&mut this.state, ConditionForState::Done) {
                ConditionForState::Start(mut guard) => {
                    if (this.holds)(&mut guard) {
                        return Poll::Ready(guard);
                    }
                    this.state = this.go_on_waiting(guard);
                }
                ConditionForState::Waiting(mut wait) => match wait.poll_tagged(cx) {
                    Poll::Pending => {
                        this.state = ConditionForState::Waiting(wait);
                        return Poll::Pending;
                    }
                    Poll::Ready((mut guard, tag)) => {
                        let if_it_panics = PassOn { wait: &wait, tag };
                        let holds = (this.holds)(&mut guard);
                        mem::forget(if_it_panics);
                        if holds {
                            return Poll::Ready(guard);
                        }
                        this.state = this.go_on_waiting(guard);
                    }
                },
                ConditionForState::Done => panic!("a `wait_for` a `Condition` was polled after it was ready"),
            }
        }
    }
}

impl<'a, T: ?Sized, F> ConditionWaitFor<'a, T, F> {
    /// Past the gate: also in code that is cancelled by now, which is not to keep the mutex.
    fn go_on_waiting(&self, guard: MutexGuard<'a, T>) -> ConditionForState<'a, T> {
        ConditionForState::Waiting(self.condition.wait_from(Gate::passed("condition"), guard))
    }
}

/// Passes on, when it is dropped, the notification that ended a wait.
struct PassOn<'w, 'a, T: ?Sized> {
    wait: &'w ConditionWait<'a, T>,
    tag: usize,
}

impl<T: ?Sized> Drop for PassOn<'_, '_, T> {
    fn drop(&mut self) {
        self.wait.pass_on(self.tag);
    }
}

impl<T: ?Sized, F> fmt::Debug for ConditionWaitFor<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            ConditionForState::Start(_) => "ConditionWaitFor::Start",
            ConditionForState::Waiting(_) => "ConditionWaitFor::Waiting",
            ConditionForState::Done => "ConditionWaitFor::Done",
        })
    }
}
