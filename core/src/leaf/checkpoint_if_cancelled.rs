//! The lightest checkpoint: it takes nothing from the budget.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Gate;

/// Stops here if the scope is cancelled; otherwise goes on at once, and takes nothing from the task's budget.
///
/// # Cancellation
///
/// *Strict*: nothing is held, nothing is lost.
pub fn checkpoint_if_cancelled() -> CheckpointIfCancelled {
    CheckpointIfCancelled { gate: Gate::new("checkpoint") }
}

/// Future of [`checkpoint_if_cancelled`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct CheckpointIfCancelled {
    gate: Gate,
}

impl Future for CheckpointIfCancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.gate.poll_unless_cancelled(cx)
    }
}
