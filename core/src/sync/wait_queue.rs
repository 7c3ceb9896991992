//! The wait queue: tasks wait in it, and are notified longest waiter first.
//!
//! Every primitive of [`sync`](crate::sync) is built on it. It is a `WaiterList` behind one mutex, allocated at the first wait.
//! A primitive decides and queues under [`lock`](WaitQueue::lock); the guard collects the waiters that are to be woken, and
//! wakes them when it has released the lock. `announce` and `lock_to_wait` serve a primitive whose state is an atomic
//! (`wait_state.rs`: `AnnouncedWait`). The list itself, and the states of a waiter, are in `waiter_list.rs`.
//!
//! # Why not event-listener
//!
//! It was the first candidate. It is not used, because
//!
//! * it calls wakers while it holds the lock of its list, which law L36 forbids;
//! * a waiter cannot be moved to another queue, so a notified [`Condition`](super::Condition) waiter could not queue
//!   for the lock in the instant of the notification (B208, B214);
//! * a waiter carries no data: permits of a number that each waiter chooses could not be handed over in order, only
//!   announced, and then a newcomer would take them first (B187, B202);
//! * notified listeners count as listeners until they are polled, so statistics are not exact (B201);
//! * each wait allocates, unless the listener lives on the stack of an async function, which a named future does not
//!   have.

mod closed;
mod wait_state;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pub use super::waiter_list::WakeList;
use super::waiter_list::{self, LeaveOutcome, SharedWaiterList, WaitOutcome, WaiterKey, WaiterList};
use crate::leaf::{self, Gate, Waiter};
use crate::sys::atomic::{Ordering, fence};
use crate::sys::{MutexGuard, OnceLock};
pub use closed::Closed;
pub(super) use wait_state::{AnnouncedWait, WaitState};

/// A queue of waiting tasks; what locks, events and limiters are made of.
///
/// Tasks [`park`](WaitQueue::park); [`unpark(n)`](WaitQueue::unpark) ends the waits of the `n` that have waited
/// longest. Unparking an empty queue does nothing: no wake-up is stored. A waiter whose code is
/// cancelled is skipped, as if it were not there.
///
/// The queue knows nothing about *why* one waits. To build a primitive out of it, decide and queue in one step: either
/// below the queue's own lock, which [`lock`](WaitQueue::lock) takes, or below a lock of your own that is held around
/// it.
///
/// Making one costs nothing and needs no runtime, so it can live in a `static`. The first wait allocates; later ones
/// only when more tasks wait at once than ever before.
///
/// # Examples
///
/// One task waits, another calls it:
///
/// ```
/// use foster::sync::{ParkOutcome, WaitQueue};
///
/// # foster_sim::run(1, async {
/// static QUEUE: WaitQueue = WaitQueue::new();
/// assert_eq!(QUEUE.unpark(1), 0); // nobody there, and nothing is stored
///
/// foster::nursery(async |n: foster::Nursery<foster::sync::Closed>| {
///     let parked = n.spawn(QUEUE.park());
///     while QUEUE.unpark(1) == 0 {
///         foster::yield_now().await;
///     }
///     assert_eq!(parked.await, Ok(ParkOutcome::Unparked));
///     Ok(())
/// })
/// .await
/// .unwrap();
/// # });
/// ```
///
/// A counter of permits that is handed over, and not lost when a waiter goes away between being unparked and being
/// polled:
///
/// ```
/// use foster::leaf::{Waiter, may_take};
/// use foster::sync::future::Park;
/// use foster::sync::{ParkOutcome, WaitQueue};
/// use std::sync::Mutex;
///
/// struct Counter {
///     free: Mutex<usize>, // more than 0 only if nobody waits
///     queue: WaitQueue,
/// }
///
/// /// A wait in the queue, which gives back a permit that it was handed.
/// struct Waiting<'a>(&'a Counter, Park<'a>);
///
/// impl Drop for Waiting<'_> {
///     fn drop(&mut self) {
///         if self.1.leave() {
///             self.0.release();
///         }
///     }
/// }
///
/// impl Counter {
///     async fn acquire(&self) {
///         loop {
///             foster::checkpoint().await;
///             let mut waiting = {
///                 let waiter = Waiter::unpolled(); // made before a lock is taken
///                 let mut free = self.free.lock().unwrap();
///                 if !may_take() {
///                     continue; // cancelled since the checkpoint, which now does not return
///                 }
///                 if *free > 0 {
///                     *free -= 1;
///                     return;
///                 }
///                 Waiting(self, self.queue.lock().park(0, waiter))
///             };
///             match (&mut waiting.1).await.expect("nobody closes this queue") {
///                 ParkOutcome::Unparked => return,
///                 ParkOutcome::Skipped => {} // there may be a free one by now
///             }
///         }
///     }
///
///     fn release(&self) {
///         let mut free = self.free.lock().unwrap();
///         let mut queue = self.queue.lock();
///         if queue.unpark(1) == 0 {
///             *free += 1;
///         }
///         let wakes = queue.finish();
///         drop(free);
///         drop(wakes); // calls the waker, now that no lock is held
///     }
/// }
///
/// # foster_sim::run(1, async {
/// let counter = Counter { free: Mutex::new(1), queue: WaitQueue::new() };
/// counter.acquire().await;
/// counter.release();
/// counter.acquire().await;
/// # });
/// ```
#[derive(Default)]
pub struct WaitQueue {
    /// Allocated on first use. Shared, so that the key of a waiter that was moved here can hold a reference.
    shared: OnceLock<Arc<SharedWaiterList>>,
}

impl WaitQueue {
    /// Makes an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        WaitQueue { shared: OnceLock::new() }
    }

    #[inline]
    pub(super) fn shared(&self) -> &Arc<SharedWaiterList> {
        self.shared.get_or_init(Arc::default)
    }

    /// Waits at the end of the queue until unparked.
    ///
    /// The place is taken at the first poll; [`WaitQueueGuard::park`] takes one at once. The wait also ends, with
    /// [`ParkOutcome::Skipped`], if it was skipped because its code was cancelled, and is polled in other code
    /// then.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue. If it had been unparked by [`unpark`](WaitQueue::unpark) and not
    /// polled since, the next waiter is unparked in its stead; [`Park::leave`] lets you decide otherwise.
    ///
    /// # Errors
    ///
    /// [`Closed`], once the queue was [closed](WaitQueue::close).
    pub fn park(&self) -> Park<'_> {
        Park { state: ParkState::New(self), gate: Gate::new("wait queue") }
    }

    /// Unparks the `n` longest waiters, or as many as there are; returns how many.
    pub fn unpark(&self, n: usize) -> usize {
        self.shared.get().map_or(0, |_| self.lock().unpark(n))
    }

    /// Unparks everybody who waits now; returns how many.
    pub fn unpark_all(&self) -> usize {
        self.shared.get().map_or(0, |_| {
            let mut queue = self.lock();
            let count = queue.unpark_all();
            queue.finish().finish();
            count
        })
    }

    /// Moves the `n` longest waiters, or as many as there are, to the end of queue `to`, in their order; returns how
    /// many.
    ///
    /// They are not woken: from now on they wait there, and leave from there. Moving a queue onto itself does nothing.
    pub fn requeue(&self, n: usize, to: &WaitQueue) -> usize {
        self.requeue_tagged(n, to, None, || {})
    }

    /// Does what [`requeue`](WaitQueue::requeue) does, for waiters that have the one tag, giving them the other. Wakes
    /// nobody, unless `to` is closed. `before_move` runs under the locks of both, before any waiter is moved; it must
    /// not use either.
    pub(super) fn requeue_tagged(
        &self,
        n: usize,
        to: &WaitQueue,
        tags: Option<(usize, usize)>,
        before_move: impl FnOnce(),
    ) -> usize {
        let Some(from) = self.shared.get() else { return 0 };
        let mut wakes = WakeList::default();
        waiter_list::requeue(from, to.shared(), n, tags, before_move, &mut wakes)
    }

    /// Moves everybody who waits now to the end of queue `to`; returns how many. As [`requeue`](WaitQueue::requeue).
    pub fn requeue_all(&self, to: &WaitQueue) -> usize {
        self.requeue(usize::MAX, to)
    }

    /// Closes the queue for good: all who wait, and all who park later, get [`Closed`] with this text, the place of
    /// this call and the task that called. Returns how many waited. If it is closed several times, those who come later
    /// get the first error.
    ///
    /// For those who know that nobody is left to unpark.
    #[track_caller]
    pub fn close(&self, text: impl Into<Cow<'static, str>>) -> usize {
        let closed = Closed::new(text.into());
        let mut queue = self.lock();
        let WaitQueueGuard { list, wakes, .. } = &mut queue;
        list.close(&closed, wakes)
    }

    /// Returns how many wait. Waiters that were unparked and have not run yet do not count.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.lock().waiting())
    }

    /// Returns how many wait, and the result of `look`, which runs under the lock. It must not use the queue.
    pub(super) fn waiting_while<R>(&self, look: impl FnOnce() -> R) -> (usize, R) {
        let list = self.shared.get().map(|shared| shared.lock());
        (list.as_ref().map_or(0, |list| list.waiting()), look())
    }

    /// Returns whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Returns the error of the queue, if it was closed.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.shared.get().and_then(|shared| shared.lock().closed().cloned())
    }

    /// Returns a snapshot of the queue.
    #[must_use]
    pub fn statistics(&self) -> WaitQueueStatistics {
        WaitQueueStatistics { waiting: self.waiting(), closed: self.closed() }
    }

    /// Locks the queue: until the [`WaitQueueGuard`] is dropped nobody joins, leaves, or is unparked by others.
    ///
    /// This is a thread's lock, to be held for a few instructions: do not call anything foreign while you hold it, and
    /// above all nothing that uses this queue, or the thread waits for itself.
    #[inline]
    pub fn lock(&self) -> WaitQueueGuard<'_> {
        let shared = self.shared();
        WaitQueueGuard { list: shared.lock(), shared, wakes: WakeList::default() }
    }

    /// Locks the queue to wait for something that is announced by an atomic: look at it after this.
    ///
    /// Ordering: the announcer writes and then looks for the queue, the waiter makes the queue and then reads. With the
    /// two fences at least one of them sees the other, so an announcement to an unused queue needs no lock.
    pub(super) fn lock_to_wait(&self) -> WaitQueueGuard<'_> {
        let queue = self.lock();
        fence(Ordering::SeqCst);
        queue
    }

    /// Unparks everybody after something was announced by an atomic; see [`lock_to_wait`](WaitQueue::lock_to_wait).
    pub(super) fn announce(&self) {
        fence(Ordering::SeqCst);
        self.unpark_all();
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").field("waiting", &self.waiting()).field("closed", &self.closed()).finish()
    }
}

/// A [`WaitQueue`] that is locked; made by [`WaitQueue::lock`].
///
/// Waiters that are unparked through it are woken when it is dropped, after the lock is released.
#[must_use = "the queue is unlocked when this is dropped"]
pub struct WaitQueueGuard<'a> {
    // Subtle: the fields are dropped in this order: unlock, then wake.
    list: MutexGuard<'a, WaiterList>,
    shared: &'a SharedWaiterList,
    wakes: WakeList,
}

impl<'a> WaitQueueGuard<'a> {
    /// Returns how many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.list.waiting()
    }

    /// Returns whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.waiting() == 0
    }

    /// Returns the tag of the longest waiter whose code is not cancelled, which is the one that would be unparked.
    #[must_use]
    pub fn first(&mut self) -> Option<usize> {
        self.list.first(&mut self.wakes)
    }

    /// Takes a place at the end of the queue, now, with a `tag` of your choice to recognise it by.
    ///
    /// Waiting for it is [`WaitQueue::park`], except that the place is taken already. Cancelled code ought not to take
    /// one (law L14), so pass a [`checkpoint`](crate::checkpoint()) before. The queue is unlocked when this returns.
    ///
    /// `waiter` is [`Waiter::unpolled`], or [`Waiter::new`] inside `poll`: made before any lock is taken (law L36),
    /// that of the queue and your own around it.
    pub fn park(mut self, tag: usize, waiter: Waiter) -> Park<'a> {
        let key = self.list.enqueue_unless_closed(tag, waiter, &mut self.wakes);
        Park {
            state: ParkState::Queued { list: self.shared, key: Some(WaiterKey::new(key)) },
            gate: Gate::passed("wait queue"),
        }
    }

    /// Unparks the `n` longest waiters, or as many as there are; returns how many.
    pub fn unpark(&mut self, n: usize) -> usize {
        (0..n).take_while(|_| self.list.notify_one(true, &mut self.wakes).is_some()).count()
    }

    /// Unparks everybody who waits now; returns how many.
    pub fn unpark_all(&mut self) -> usize {
        let mut count = 0;
        while self.list.notify_one(false, &mut self.wakes).is_some() {
            count += 1;
        }
        count
    }

    /// Unlocks; the waiters that were unparked are woken when what it returns is dropped.
    ///
    /// For callers that hold another lock, to be released first.
    #[inline]
    pub fn finish(self) -> WakeList {
        let WaitQueueGuard { list, wakes, .. } = self;
        drop(list);
        wakes
    }

    /// Notifies the longest waiter and returns its tag. A waiter that then leaves has to pass on by itself what it was
    /// given.
    #[inline]
    pub(super) fn notify_one(&mut self) -> Option<usize> {
        self.list.notify_one(false, &mut self.wakes)
    }

    /// Returns whether the longest waiter may be notified, and decides it. Skips it if not.
    #[inline]
    pub(super) fn claim_first(&mut self) -> bool {
        self.list.claim_first(&mut self.wakes)
    }

    /// Notifies the waiter that was [claimed](WaitQueueGuard::claim_first).
    #[inline]
    pub(super) fn notify_first(&mut self) {
        self.list.notify_first(false, &mut self.wakes);
    }

    /// Notifies all, if there are at least `n`, and returns whether there were. Those whose code is cancelled do not
    /// count.
    pub(super) fn notify_at_least(&mut self, n: usize) -> bool {
        self.list.notify_at_least(n, &mut self.wakes)
    }

    /// Adds a waiter at the end of a queue that is never closed.
    #[inline]
    pub(super) fn enqueue(&mut self, tag: usize, waiter: Waiter) -> WaiterKey {
        WaiterKey::new(self.list.enqueue(tag, waiter))
    }

    /// Removes a waiter of this queue. It is to be dropped after the lock is released.
    pub(super) fn remove(&mut self, key: &WaiterKey) -> (LeaveOutcome, Option<Waiter>) {
        self.list.remove(key.key())
    }
}

impl fmt::Debug for WaitQueueGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueueGuard").field("waiting", &self.waiting()).finish()
    }
}

/// Future of [`WaitQueue::park`] and [`WaitQueueGuard::park`].
#[must_use = "futures do nothing unless polled"]
pub struct Park<'a> {
    state: ParkState<'a>,
    gate: Gate,
}

enum ParkState<'a> {
    New(&'a WaitQueue),
    /// The key is taken once the wait is over.
    Queued {
        list: &'a SharedWaiterList,
        key: Option<WaiterKey>,
    },
}

impl Park<'_> {
    /// Ends the wait, as a drop does, but unparks nobody in its stead: returns whether it had been unparked and not
    /// polled since, so that what it was given can be given to another.
    ///
    /// `false` also for a wait that is over, was not begun, or was closed.
    pub fn leave(&mut self) -> bool {
        match self.take() {
            Some((list, key)) => matches!(key.leave(list).left, LeaveOutcome::Notified { .. }),
            None => false,
        }
    }

    fn take(&mut self) -> Option<(&SharedWaiterList, WaiterKey)> {
        match &mut self.state {
            ParkState::New(_) => None,
            ParkState::Queued { list, key, .. } => Some((list, key.take()?)),
        }
    }
}

/// How a wait in a [`WaitQueue`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "who was skipped was not unparked: it has to look again at what it waits for"]
pub enum ParkOutcome {
    /// It was unparked.
    Unparked,
    /// Its code was cancelled, so the queue skipped it, and unparked others instead, if anybody; and it went on in
    /// other code. It has no place in the queue any more. The event that it waits for may have come meanwhile: look,
    /// and take another place if it has not, in one step as for the first one.
    Skipped,
}

impl Future for Park<'_> {
    type Output = Result<ParkOutcome, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(this.gate.poll_start(cx));
        let mut begun = None;
        if let ParkState::New(queue) = this.state {
            begun = Some(queue);
            // L36: made before the lock is taken.
            let waiter = Waiter::new(cx);
            let mut wakes = WakeList::default();
            let list = queue.shared();
            let key = list.lock().enqueue_unless_closed(0, waiter, &mut wakes);
            this.state = ParkState::Queued { list, key: Some(WaiterKey::new(key)) };
        }
        let ParkState::Queued { list, key } = &mut this.state else {
            unreachable!("the state was set to Queued above")
        };
        let Some(held) = key else { panic!("`Park` was polled after it was ready") };
        let result = match ready!(held.poll(list, cx)) {
            WaitOutcome::Notified => Ok(ParkOutcome::Unparked),
            WaitOutcome::Closed(closed) => Err(closed),
            WaitOutcome::Skipped => Ok(ParkOutcome::Skipped),
        };
        *key = None;
        // It may have been closed because of a request that has come since the gate (L14).
        if let Some(queue) = begun.filter(|_| result.is_err() && leaf::is_cancelled()) {
            this.state = ParkState::New(queue);
            return this.gate.restart(cx);
        }
        Poll::Ready(result)
    }
}

impl Drop for Park<'_> {
    fn drop(&mut self) {
        let Some((list, key)) = self.take() else { return };
        // L40.
        let left = key.leave(list);
        if let LeaveOutcome::Notified { pass_on: true } = left.left {
            let mut wakes = WakeList::default();
            left.moved_to.as_deref().unwrap_or(list).lock().notify_one(true, &mut wakes);
        }
    }
}

impl fmt::Debug for Park<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            ParkState::New(_) => "Park::New",
            ParkState::Queued { key: Some(_), .. } => "Park::Queued",
            ParkState::Queued { key: None, .. } => "Park::Done",
        })
    }
}

/// The snapshot that [`WaitQueue::statistics`] returns.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WaitQueueStatistics {
    /// How many wait.
    pub waiting: usize,
    /// The error of the queue, if it was closed.
    pub closed: Option<Closed>,
}

#[cfg(test)]
mod tests;
