//! The acquisition of a [`Mutex`](super::Mutex), an [`RwLock`](super::RwLock) or a [`Semaphore`](super::Semaphore): at
//! once, or by way of the queue.
//!
//! ```text
//!   Start ──1──▶ Waiting ──2──▶ Done
//!     └────────────3─────────────▲
//! ```
//!
//! 1. the resource is not available, or others wait: `Acquire::poll_wait`
//! 2. handed over, first waiter first: `QueuedResource::notify_waiters`. The resource belongs to the task from that
//!    instant.
//! 3. available at once: the future tries before it waits (`Mutex::try_lock`, `RawGuard::try_lock`, `Semaphore::take`),
//!    and once more before it joins the queue, if nobody waits there any more: `Resource::acquire_for_waiter`. It is
//!    given back if the code was cancelled before (`Acquire::finish`): it may have become available since.
//!
//! A future that is dropped after 2 and before its next poll has to release the resource: `Acquire::leave` tells it so.
//!
//! Invariant 1: the resource is marked as contended whenever the queue is not empty, and the mark is set and cleared
//! under the queue's lock. So a newcomer joins the queue, a release serves it, and nobody barges in. Invariant 2: a
//! task waits only while it has to: the resource is not available to the first waiter, and the others are behind it. A
//! waiter whose code is cancelled is skipped by every release that may serve the first one, every newcomer, every waiter
//! that leaves, and its own next poll. Invariant 3: of a release and a newcomer that race, one sees the other, because
//! both change the same atomic word: the release finds the mark, or the newcomer, having set the mark, finds the
//! resource available.

use std::fmt;
use std::mem;
use std::task::{Context, Poll, ready};

use super::wait_queue::{WaitQueue, WaitQueueGuard};
use super::waiter_list::{LeaveOutcome, WaitOutcome, WaiterKey};
use crate::leaf::{self, Gate, Waiter};
use crate::raw::lock::{Mode, RawRwLock};

/// Something to be acquired: an atomic word that knows how much is available, and whether there may be waiters.
pub(super) trait Resource {
    /// Acquires `need` for the first waiter, if that is available.
    fn acquire_for_waiter(&self, need: usize) -> bool;

    /// Returns whether `need` is available, contended or not.
    fn is_available(&self, need: usize) -> bool;

    /// Keeps out who has not waited, and makes every release notify the waiters.
    fn set_contended(&self);

    /// Takes the mark away: there are no waiters.
    fn clear_contended(&self);
}

/// A resource and the queue of its waiters. A waiter's tag is what it needs.
pub(super) struct QueuedResource<'a, R> {
    pub(super) resource: &'a R,
    pub(super) queue: &'a WaitQueue,
}

impl<R: Resource> QueuedResource<'_, R> {
    /// Hands the resource over to the first waiters, as long as it is available to them.
    pub(super) fn notify_waiters(self) {
        let queue = self.queue.lock();
        self.notify_waiters_in(queue);
    }

    pub(super) fn notify_waiters_in(self, mut queue: WaitQueueGuard<'_>) {
        if self.admit_waiters(&mut queue) {
            self.resource.clear_contended();
        }
        queue.finish().finish();
    }

    /// Hands over to the first waiters, and returns whether the queue is empty now.
    fn admit_waiters(&self, queue: &mut WaitQueueGuard<'_>) -> bool {
        while let Some(need) = queue.first() {
            if !self.resource.is_available(need) {
                return false;
            }
            // Claimed first: what was acquired for one that turns out to be cancelled would be that of the next one, who
            // may need something else.
            if queue.claim_first() {
                if !self.resource.acquire_for_waiter(need) {
                    return false;
                }
                queue.notify_first();
            }
        }
        true
    }

    /// Skips waiters whose code is cancelled, for a `try_` method that has failed. Returns whether it is to try again,
    /// because no waiter is left.
    pub(super) fn drop_cancelled_waiters(self, need: usize) -> bool {
        if !self.resource.is_available(need) || self.queue.is_empty() {
            return false;
        }
        let mut queue = self.queue.lock();
        let clear = self.admit_waiters(&mut queue);
        if clear {
            self.resource.clear_contended();
        }
        queue.finish().finish();
        clear
    }

    /// Moves the `n` longest waiters of another queue to the end of this one, where they need `need`; stops at a tag
    /// other than `only`.
    pub(super) fn requeue_from(self, from: &WaitQueue, n: usize, only: usize, need: usize) -> usize {
        // Invariant 1.
        let count = from.requeue_tagged(n, self.queue, Some((only, need)), || self.resource.set_contended());
        // Also if nobody was moved: the mark has to be cleared.
        self.notify_waiters();
        count
    }
}

/// The need of a reader.
pub(super) const READ: usize = 2;
/// The need of a writer, and of a mutex. Every other tag than [`READ`] means the same: a
/// [`Condition`](super::Condition) marks its waiters with tags of its own.
pub(super) const WRITE: usize = 0;

const fn mode(need: usize) -> Mode {
    if need == READ { Mode::Read } else { Mode::Write }
}

/// A lock. A task that has acquired it makes a `RawGuard` of the reservation.
impl Resource for RawRwLock {
    fn acquire_for_waiter(&self, need: usize) -> bool {
        self.reserve_for_waiter(mode(need))
    }

    fn is_available(&self, need: usize) -> bool {
        let (readers, writer) = self.readers_and_writer();
        !writer && (need == READ || readers == 0)
    }

    fn set_contended(&self) {
        self.set_contended();
    }

    fn clear_contended(&self) {
        self.clear_contended();
    }
}

/// The common part of the acquiring futures.
pub(super) struct Acquire {
    need: usize,
    gate: Gate,
    state: AcquireState,
}

/// The way in which a resource was acquired.
enum Acquired {
    /// By step 2 of the picture at the head of this module: it is for the code that waited, whatever came since.
    HandedOver,
    /// By step 3: still to be [finished](Acquire::finish).
    AtOnce,
}

/// See the picture at the head of this module.
enum AcquireState {
    Start,
    Waiting(WaiterKey),
    Done,
}

impl Acquire {
    #[inline]
    pub(super) const fn new(what: &'static str, need: usize) -> Self {
        Acquire { need, gate: Gate::new(what), state: AcquireState::Start }
    }

    #[inline]
    pub(super) fn need(&self) -> usize {
        self.need
    }

    /// Begins a poll. Ready with `true` if the caller is to try to acquire at once; if that fails, `poll_wait` follows.
    #[inline]
    pub(super) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.gate.poll_start(cx).map(|()| matches!(self.state, AcquireState::Start))
    }

    /// Returns whether it is in the queue, or was handed the resource there.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, AcquireState::Waiting(_))
    }

    /// Starts again, when what was acquired has been released: see [`Gate::restart`].
    pub(super) fn restart<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.state = AcquireState::Start;
        self.gate.restart(cx)
    }

    /// Ends the acquisition, which succeeded at once with `acquired`: Ready with that. Code that another thread has
    /// cancelled meanwhile gives it back, and starts again (L14).
    #[inline(always)]
    pub(super) fn finish<T>(&mut self, acquired: T, cx: &Context<'_>) -> Poll<T> {
        if !leaf::may_take() {
            drop(acquired);
            return self.restart(cx);
        }
        // `Start` owns nothing: this spares the drop code where this is inlined.
        mem::forget(mem::replace(&mut self.state, AcquireState::Done));
        Poll::Ready(acquired)
    }

    /// Continues a poll in the queue. Ready once the resource is acquired, with its guard.
    #[inline]
    pub(super) fn poll_wait<R: Resource, T>(
        &mut self,
        queued: QueuedResource<'_, R>,
        cx: &mut Context<'_>,
        guard: impl FnOnce() -> T,
    ) -> Poll<T> {
        match ready!(self.poll_queue(queued, cx)) {
            Acquired::HandedOver => Poll::Ready(guard()),
            Acquired::AtOnce => self.finish(guard(), cx),
        }
    }

    /// Does the work of `poll_wait`.
    #[inline(never)]
    fn poll_queue<R: Resource>(&mut self, queued: QueuedResource<'_, R>, cx: &mut Context<'_>) -> Poll<Acquired> {
        match &mut self.state {
            AcquireState::Start => {}
            AcquireState::Waiting(key) => {
                match key.poll(queued.queue.shared(), cx) {
                    Poll::Ready(WaitOutcome::Notified) => {
                        self.state = AcquireState::Done;
                        return Poll::Ready(Acquired::HandedOver);
                    }
                    // It was skipped: the key is used up.
                    Poll::Ready(_) => self.state = AcquireState::Start,
                    Poll::Pending => {
                        // Invariant 2: it may have been cancelled, and is polled since a shield beside it is. Those
                        // behind do not wait for that.
                        if leaf::is_cancelled() {
                            queued.notify_waiters();
                        }
                        return Poll::Pending;
                    }
                }
            }
            AcquireState::Done => panic!("the wait for a {} was polled after it was ready", self.gate.what()),
        }
        // L36: made before the lock is taken, and dropped after it is released.
        let waiter = Waiter::new(cx);
        let mut queue = queued.queue.lock();
        queued.resource.set_contended();
        if queued.admit_waiters(&mut queue) && queued.resource.acquire_for_waiter(self.need) {
            queued.resource.clear_contended();
            queue.finish().finish();
            return Poll::Ready(Acquired::AtOnce);
        }
        self.state = AcquireState::Waiting(queue.enqueue(self.need, waiter));
        queue.finish().finish();
        Poll::Pending
    }

    /// Leaves the queue, when the future is dropped. Returns `true` if the resource was handed over already and has to
    /// be released.
    #[inline]
    pub(super) fn leave<R: Resource>(&mut self, queued: QueuedResource<'_, R>) -> bool {
        matches!(self.state, AcquireState::Waiting(_)) && self.leave_waiting(queued)
    }

    #[inline(never)]
    fn leave_waiting<R: Resource>(&mut self, queued: QueuedResource<'_, R>) -> bool {
        let AcquireState::Waiting(key) = mem::replace(&mut self.state, AcquireState::Done) else { return false };
        let mut queue = queued.queue.lock();
        let (left, waiter) = queue.remove(&key);
        if left != LeaveOutcome::Waiting {
            return true;
        }
        // Invariant 2: those behind may have waited only because of this one.
        queued.notify_waiters_in(queue);
        drop(waiter);
        false
    }

    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{name}::{}", self.state_name())
    }

    /// Returns the name of the state, for `Debug`.
    pub(super) fn state_name(&self) -> &'static str {
        match &self.state {
            AcquireState::Start => "Start",
            AcquireState::Waiting(_) => "Waiting",
            AcquireState::Done => "Done",
        }
    }
}
