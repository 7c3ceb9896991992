//! The door: who comes to a [`Mutex`](super::Mutex), an [`RwLock`](super::RwLock) or a [`Semaphore`](super::Semaphore), stands in
//! line, and is let in.
//!
//! ```text
//!   Start ──1──▶ Line ──2──▶ Over
//!     └──────────3────────────▲
//! ```
//!
//! 1. no room, or somebody stands in line
//! 2. `QueuedResource::notify_one` let it in, in its turn: it belongs to the task in that instant
//! 3. had at once
//!
//! What a future has that was let in (2) and is dropped, it has to give back.
//!
//! Invariant 1: the room is marked whenever somebody stands in the line, and it is marked and unmarked under the line's lock. So who
//! comes then joins the line, and who goes out then serves it: nobody comes between.
//! Invariant 2: somebody waits only while he has to: the first in line does not fit in, the others stand behind him. One whose code is
//! cancelled stands in nobody's way once anybody looks: who goes out, comes or gives up.
//! Invariant 3: of a release and of one who joins at the same time one finds the other, for both change the one word of the room:
//! who goes out finds the mark, or who has set it finds the room that there is.

use std::fmt;
use std::mem;
use std::task::{Context, Poll, ready};

use super::wait_queue::{Line, WaitQueue};
use super::waiter_list::{LeaveOutcome, WaitOutcome, WaiterKey};
use crate::leaf::{Gate, Waiter};
use crate::raw::lock::{Mode, RawRwLock};

/// What there is behind the door: a word that says how much more fits in, and whether somebody stands in line.
pub(super) trait Resource {
    /// Lets in somebody who wants so much, if that fits in and there is no mark.
    fn try_acquire(&self, need: usize) -> bool;

    /// Lets in the first in line, if that fits in.
    fn acquire_for_waiter(&self, need: usize) -> bool;

    /// Whether somebody who wants so much fits in, if nobody stands in line.
    fn is_available(&self, need: usize) -> bool;

    /// Sets the mark: from now on nobody enters, and who goes out serves the line.
    fn set_contended(&self);

    /// Takes it away.
    fn clear_contended(&self);
}

/// A room and the line before it. In the line, one's tag is what one needs.
pub(super) struct QueuedResource<'a, R> {
    pub(super) resource: &'a R,
    pub(super) queue: &'a WaitQueue,
}

impl<R: Resource> QueuedResource<'_, R> {
    /// Lets in whoever fits now, in order.
    pub(super) fn notify_waiters(self) {
        let line = self.queue.lock();
        self.notify_waiters_in(line);
    }

    pub(super) fn notify_waiters_in(self, mut line: Line<'_>) {
        if self.admit_waiters(&mut line) {
            self.resource.clear_contended();
        }
        line.finish().finish();
    }

    /// Says whether nobody is left.
    fn admit_waiters(&self, line: &mut Line<'_>) -> bool {
        while let Some(need) = line.first() {
            if !self.resource.acquire_for_waiter(need) {
                return false;
            }
            line.notify_one();
        }
        true
    }

    /// For one who was not let in, and does not wait: whether it should try again, because those in line were in its way only
    /// until somebody saw that their code is cancelled.
    pub(super) fn drop_cancelled_waiters(self, need: usize) -> bool {
        if !self.resource.is_available(need) || self.queue.is_empty() {
            return false;
        }
        let mut line = self.queue.lock();
        let clear = self.admit_waiters(&mut line);
        if clear {
            self.resource.clear_contended();
        }
        line.finish().finish();
        clear
    }

    /// Moves the `n` longest of those whose tag is `only` from another queue to the end of this line, where they need `need`.
    pub(super) fn requeue_from(self, from: &WaitQueue, n: usize, only: usize, need: usize) -> usize {
        // Invariant 1.
        let count = from.requeue_tagged(n, self.queue, Some((only, need)), || self.resource.set_contended());
        // Also if nobody has moved: the mark has to go.
        self.notify_waiters();
        count
    }
}

/// What a reader needs.
pub(super) const READ: usize = 2;
/// What a writer needs, or who comes for a mutex. So does everybody else who is no reader: a [`Condition`](super::Condition) tells its
/// own apart.
pub(super) const WRITE: usize = 0;

const fn mode(need: usize) -> Mode {
    if need == READ { Mode::Read } else { Mode::Write }
}

/// Of a lock. Who is in takes a `RawGuard`.
impl Resource for RawRwLock {
    fn try_acquire(&self, need: usize) -> bool {
        self.try_reserve(mode(need))
    }

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

/// What the acquiring futures have in common.
pub(super) struct Acquire {
    need: usize,
    gate: Gate,
    state: AcquireState,
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

    /// The first half of a poll. Ready with whether it may be had at once: then that is tried, and if it fails, the second half follows.
    #[inline]
    pub(super) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.gate.poll_start(cx).map(|()| matches!(self.state, AcquireState::Start))
    }

    /// It was had at once.
    #[inline]
    pub(super) fn finish(&mut self) {
        // It was at the start: nothing is there to be dropped, and no code for that where this is inlined.
        mem::forget(mem::replace(&mut self.state, AcquireState::Done));
    }

    /// The second half. Ready once it is in: then that has to be taken.
    #[inline(never)]
    pub(super) fn poll_wait<R: Resource>(&mut self, queued: QueuedResource<'_, R>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            AcquireState::Start => {}
            AcquireState::Waiting(key) => {
                if let WaitOutcome::Notified = ready!(key.poll(queued.queue.shared(), cx)) {
                    self.state = AcquireState::Done;
                    return Poll::Ready(());
                }
                // It was passed over: the ticket is used up.
                self.state = AcquireState::Start;
            }
            AcquireState::Done => panic!("the wait for a {} was polled after it was ready", self.gate.what()),
        }
        // L36: made before the lock is taken, and dropped after it is released.
        let waiter = Waiter::new(cx);
        let mut line = queued.queue.lock();
        queued.resource.set_contended();
        let nobody = queued.admit_waiters(&mut line);
        if nobody && queued.resource.acquire_for_waiter(self.need) {
            queued.resource.clear_contended();
            line.finish().finish();
            self.state = AcquireState::Done;
            return Poll::Ready(());
        }
        self.state = AcquireState::Waiting(line.enqueue(self.need, waiter));
        line.finish().finish();
        Poll::Pending
    }

    /// The future is dropped: leaves the line. `true` if it is in: then that has to be given back.
    #[inline]
    pub(super) fn leave<R: Resource>(&mut self, queued: QueuedResource<'_, R>) -> bool {
        matches!(self.state, AcquireState::Waiting(_)) && self.leave_waiting(queued)
    }

    #[inline(never)]
    fn leave_waiting<R: Resource>(&mut self, queued: QueuedResource<'_, R>) -> bool {
        let AcquireState::Waiting(key) = mem::replace(&mut self.state, AcquireState::Done) else { return false };
        let mut line = queued.queue.lock();
        let (left, waiter) = line.remove(&key);
        if left != LeaveOutcome::Waiting {
            return true;
        }
        // Invariant 2: others may have stood behind this one only for its sake.
        queued.notify_waiters_in(line);
        drop(waiter);
        false
    }

    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{name}::{}", self.state_name())
    }

    /// For `Debug`.
    pub(super) fn state_name(&self) -> &'static str {
        match &self.state {
            AcquireState::Start => "Start",
            AcquireState::Waiting(_) => "Waiting",
            AcquireState::Done => "Done",
        }
    }
}
