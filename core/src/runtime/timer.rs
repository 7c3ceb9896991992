//! The host's timer.

use std::task::Waker;

use crate::Instant;

/// A timer of the runtime (R6, R7).
pub trait Timer: Send {
    /// Wakes `waker` when the clock reaches `at`, instead of what was armed before.
    fn arm(&mut self, at: Instant, waker: &Waker);

    /// Wakes nobody any more, and releases the waker.
    fn disarm(&mut self);
}
