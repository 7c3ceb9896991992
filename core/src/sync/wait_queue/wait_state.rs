//! The states of a future that waits in one queue, for as long as it takes; and such a wait for something that comes
//! once.

use std::mem;
use std::task::{Context, Poll, ready};

use super::WaitQueue;
use crate::leaf::{self, Gate, Waiter};
use crate::sync::waiter_list::{WaitOutcome, WaiterKey};

/// The states of a future that waits in one queue.
pub(in crate::sync) enum WaitState {
    Start,
    Waiting(WaiterKey),
    Done,
}

impl WaitState {
    /// Leaves the queue, if it waits: the future is dropped.
    #[inline]
    pub(in crate::sync) fn leave(&mut self, queue: &WaitQueue) {
        if let WaitState::Waiting(key) = mem::replace(self, WaitState::Done) {
            key.leave(queue.shared());
        }
    }

    pub(in crate::sync) fn name(&self) -> &'static str {
        match self {
            WaitState::Start => "Start",
            WaitState::Waiting(_) => "Waiting",
            WaitState::Done => "Done",
        }
    }
}

/// A wait for something that comes once, and then stays: an atomic says so, and it is
/// [announced](WaitQueue::announce) in a queue. The future around this has both, and leaves the queue when it is dropped.
pub(in crate::sync) struct AnnouncedWait {
    gate: Gate,
    pub(in crate::sync) state: WaitState,
}

impl AnnouncedWait {
    #[inline]
    pub(in crate::sync) const fn new(what: &'static str) -> Self {
        AnnouncedWait { gate: Gate::new(what), state: WaitState::Start }
    }

    /// Polls the wait. `has_come` looks at the atomic; also under the lock of the queue.
    #[inline]
    pub(in crate::sync) fn poll(
        &mut self,
        queue: &WaitQueue,
        has_come: impl Fn() -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        ready!(self.gate.poll_start(cx));
        if let WaitState::Waiting(key) = &mut self.state {
            let outcome = ready!(key.poll(queue.shared(), cx));
            self.state = if let WaitOutcome::Notified = outcome { WaitState::Done } else { WaitState::Start };
        }
        if matches!(self.state, WaitState::Start) {
            if !has_come() {
                // L36: made before the lock is taken, and dropped after it is released.
                let waiter = Waiter::new(cx);
                let mut queue = queue.lock_to_wait();
                if !has_come() {
                    self.state = WaitState::Waiting(queue.enqueue(0, waiter));
                    return Poll::Pending;
                }
            }
            // L14: it may have come of a request that was made since the gate.
            if leaf::is_cancelled() {
                return self.gate.restart(cx);
            }
        }
        self.state = WaitState::Done;
        Poll::Ready(())
    }
}
