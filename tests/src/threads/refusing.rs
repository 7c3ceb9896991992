//! Runtimes that are as good as the one of the test, but for their threads.

use std::future::Future;
use std::io;
use std::sync::Arc;

use foster::Instant;
use foster::runtime::{BlockingError, Job, Runtime, Timer, Work, root};

/// Runs a future as a tree of its own on `runtime`.
pub(crate) async fn on<F: Future>(runtime: impl Runtime, future: F) -> F::Output {
    root(Arc::new(runtime), future).await
}

/// Hands every closure back.
pub(crate) struct Refuses(pub(crate) Arc<dyn Runtime>);

/// Drops every closure, as a runtime does that is being torn down.
pub(crate) struct Drops(pub(crate) Arc<dyn Runtime>);

macro_rules! but_for_blocking {
    ($runtime:ident, $work:ident => $blocking:expr) => {
        impl Runtime for $runtime {
            fn name(&self) -> &'static str {
                self.0.name()
            }

            fn spawn(&self, job: Job) {
                self.0.spawn(job);
            }

            fn now(&self) -> Instant {
                self.0.now()
            }

            fn timer(&self) -> Box<dyn Timer> {
                self.0.timer()
            }

            fn blocking(&self, $work: Work) -> Result<(), BlockingError> {
                $blocking
            }

            fn poll_budget(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
                self.0.poll_budget(cx)
            }

            fn should_yield(&self) -> bool {
                self.0.should_yield()
            }
        }
    };
}

but_for_blocking!(Refuses, work => Err(BlockingError::new(work, io::Error::other("no thread to be had"))));
but_for_blocking!(Drops, work => {
    drop(work);
    Ok(())
});
