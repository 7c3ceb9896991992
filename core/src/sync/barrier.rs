//! The barrier: a number of tasks that wait for each other.
//!
//! The round that is filling is the wait queue itself: tasks that arrive wait in it, and the last one notifies them
//! all, so those that were notified belong to no round any more. A task that may be the last first skips waiters whose
//! code was cancelled meanwhile: they have not arrived.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::wait_queue::{WaitQueue, WaitState};
use super::waiter_list::WaitOutcome;
use crate::leaf::{self, Gate, Waiter};

/// A place where `n` tasks meet: each waits until all have arrived, then all go on, and the next round begins.
///
/// # Examples
///
/// ```
/// use foster::sync::Barrier;
///
/// # foster_sim::run(1, async {
/// static START: Barrier = Barrier::new(3);
///
/// foster::nursery(async |n: foster::Nursery<std::convert::Infallible>| {
///     for _ in 0..3 {
///         n.spawn(async {
///             // ... prepare
///             if START.wait().await.is_leader() {
///                 println!("off we go"); // one of the three
///             }
///         });
///     }
///     Ok(())
/// })
/// .await
/// .unwrap();
/// # });
/// ```
pub struct Barrier {
    size: usize,
    queue: WaitQueue,
}

impl Barrier {
    /// Makes a barrier for `n` tasks.
    ///
    /// # Panics
    ///
    /// If `n` is 0: nobody could arrive.
    #[must_use]
    #[track_caller]
    pub const fn new(n: usize) -> Self {
        assert!(n > 0, "a barrier is for one task at least");
        Barrier { size: n, queue: WaitQueue::new() }
    }

    /// Arrives, and waits until all have. The last one to arrive is the leader of the round.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*: a drop takes the arrival back, unless all have arrived already; then the round is over for
    /// the others all the same, if need be without a leader.
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait { barrier: self, gate: Gate::new("barrier"), state: WaitState::Start }
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> BarrierStatistics {
        BarrierStatistics { size: self.size, waiting: self.queue.waiting() }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BarrierStatistics { size, waiting } = self.statistics();
        f.debug_struct("Barrier").field("size", &size).field("waiting", &waiting).finish()
    }
}

/// The snapshot that [`Barrier::statistics`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierStatistics {
    /// How many tasks have to arrive.
    pub size: usize,
    /// How many have arrived in this round, and wait.
    pub waiting: usize,
}

/// The output of [`Barrier::wait`], when all have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    leader: bool,
}

impl Arrival {
    /// Returns whether this was the last one to arrive; true of one in each round.
    #[must_use]
    pub fn is_leader(self) -> bool {
        self.leader
    }
}

/// Future of [`Barrier::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    gate: Gate,
    state: WaitState,
}

impl Future for BarrierWait<'_> {
    type Output = Arrival;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Arrival> {
        let this = &mut *self;
        ready!(this.gate.poll_start(cx));
        match &mut this.state {
            WaitState::Start => {}
            WaitState::Waiting(key) => {
                if let WaitOutcome::Notified = ready!(key.poll(this.barrier.queue.shared(), cx)) {
                    this.state = WaitState::Done;
                    return Poll::Ready(Arrival { leader: false });
                }
                // Its arrival did not count: it arrives now.
                this.state = WaitState::Start;
            }
            WaitState::Done => panic!("a `wait` at a `Barrier` was polled after it was ready"),
        }
        let waiter = Waiter::new(cx);
        let mut queue = this.barrier.queue.lock();
        let others = this.barrier.size - 1;
        let is_last = queue.waiting() >= others;
        // L14: the others may have come after another thread has cancelled this code.
        if is_last && !leaf::may_take() {
            drop(queue);
            return this.gate.restart(cx);
        }
        if !is_last || !queue.notify_at_least(others) {
            this.state = WaitState::Waiting(queue.enqueue(0, waiter));
            return Poll::Pending;
        }
        drop(queue);
        this.state = WaitState::Done;
        Poll::Ready(Arrival { leader: true })
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        self.state.leave(&self.barrier.queue);
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BarrierWait::{}", self.state.name())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use foster_test_support::{ManualTask, at_once, block_on};

    #[test]
    fn all_go_on_when_the_last_one_arrives() {
        let barrier = Barrier::new(3);
        for _ in 0..2 {
            let waiters = [ManualTask::waiting(barrier.wait()), ManualTask::waiting(barrier.wait())];
            assert_eq!(barrier.statistics(), BarrierStatistics { size: 3, waiting: 2 });
            assert!(at_once(barrier.wait()).is_leader());
            assert_eq!(barrier.statistics().waiting, 0, "the next round has begun");
            for waiter in waiters {
                assert!(!waiter.finish().is_leader());
            }
        }
    }

    #[test]
    fn a_dropped_arrival_is_taken_back() {
        let barrier = Barrier::new(2);
        drop(ManualTask::waiting(barrier.wait()));
        let first = ManualTask::waiting(barrier.wait());
        assert!(at_once(barrier.wait()).is_leader());
        assert!(!first.finish().is_leader());
        assert_eq!(barrier.statistics().waiting, 0);
    }

    #[test]
    fn a_barrier_for_one_is_a_checkpoint() {
        assert!(at_once(Barrier::new(1).wait()).is_leader());
    }

    #[test]
    #[should_panic(expected = "one task at least")]
    fn a_barrier_for_nobody_is_refused() {
        let _ = Barrier::new(0);
    }

    /// B198
    #[test]
    fn threads_meet_round_after_round() {
        static BARRIER: Barrier = Barrier::new(3);
        static ARRIVED: AtomicUsize = AtomicUsize::new(0);
        static LEADERS: AtomicUsize = AtomicUsize::new(0);
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    for round in 1..=500 {
                        ARRIVED.fetch_add(1, Ordering::SeqCst);
                        let arrival = block_on(BARRIER.wait());
                        assert!(ARRIVED.load(Ordering::SeqCst) >= 3 * round);
                        LEADERS.fetch_add(usize::from(arrival.is_leader()), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(LEADERS.load(Ordering::SeqCst), 500);
    }
}
