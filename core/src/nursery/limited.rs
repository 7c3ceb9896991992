//! Spawning within a nursery's limit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::checkpoint::checkpoint;
use crate::sync::{OwnedSemaphorePermit, Semaphore};

/// A child that holds its place until it has ended. An implementation detail that shows in bounds.
#[doc(hidden)]
#[expect(unnameable_types, reason = "users have no use for it")]
#[must_use = "futures do nothing unless polled"]
pub struct Limited<F> {
    // Boxed, because it waits for its place in one future and runs in another.
    future: Pin<Box<F>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl<F> Limited<F> {
    /// Waits for a place; without a limit this is a checkpoint all the same.
    pub(crate) async fn admitted(future: Pin<Box<F>>, limit: Option<Arc<Semaphore>>) -> Self {
        let permit = match limit {
            Some(limit) => Some(limit.acquire_owned().await),
            None => {
                checkpoint().await;
                None
            }
        };
        Limited { future, permit }
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let output = self.future.as_mut().poll(cx);
        if output.is_ready() {
            self.permit = None;
        }
        output
    }
}

impl<F> fmt::Debug for Limited<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited").field("permit", &self.permit).finish_non_exhaustive()
    }
}
