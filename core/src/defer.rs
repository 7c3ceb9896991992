//! Finalizers: cleanup that may await.

pub(crate) mod guard;

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::finalizer::{self, Failure};
use crate::tree::current;
use crate::tree::node::Life;

/// The time a finalizer gets if nothing else is said.
pub const DEFAULT_BUDGET: Duration = Duration::from_secs(10);

/// The output of a finalizer: nothing, or a `Result` whose error goes to the tree's
/// [`Observer`](crate::observer::Observer), because the scope's own type has no place for it.
pub trait FinalizerOutput: Send {
    /// The error, if there is one.
    fn into_error(self) -> Option<Box<dyn Debug + Send>>;
}

impl FinalizerOutput for () {
    fn into_error(self) -> Option<Box<dyn Debug + Send>> {
        None
    }
}

impl<E: Debug + Send + 'static> FinalizerOutput for Result<(), E> {
    fn into_error(self) -> Option<Box<dyn Debug + Send>> {
        match self {
            Ok(()) => None,
            Err(error) => Some(Box::new(error)),
        }
    }
}

/// Runs `future` when the innermost scope around the call has come to rest: its body, its children and all that it
/// adopted are over (law L22).
///
/// Finalizers of a scope run one at a time, the newest first, each exactly once: also after a cancellation, an error, a
/// panic, or when the scope's future was dropped. They are shielded from everything but their budget, here
/// [`DEFAULT_BUDGET`], which counts from the start of each; past it the finalizer is cancelled.
///
/// The finalizer is not run if the host of the whole tree is dropped (law L30).
///
/// # Panics
///
/// Outside of any scope; also if an [installed](crate::runtime::install) runtime serves there, whose root never ends: open
/// a scope for it, such as `CancelScope::new().run(…)`. A panic of the finalizer is recorded in its scope, and the next
/// finalizer still runs.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let log = Arc::new(Mutex::new(Vec::new()));
/// let (first, second) = (log.clone(), log.clone());
/// foster::move_on_after(Duration::from_secs(1), async move {
///     foster::defer(async move { first.lock().unwrap().push("close the file") });
///     foster::defer(async move { second.lock().unwrap().push("flush the buffer") });
///     foster::sleep_forever().await;
/// })
/// .await;
/// assert_eq!(*log.lock().unwrap(), ["flush the buffer", "close the file"]);
/// # });
/// ```
#[track_caller]
pub fn defer<F>(future: F)
where
    F: Future<Output: FinalizerOutput> + Send + 'static,
{
    defer_within(DEFAULT_BUDGET, future);
}

/// As [`defer`], with a budget of its own; [`Duration::MAX`] is no limit.
///
/// # Panics
///
/// As [`defer`].
#[track_caller]
pub fn defer_within<F>(budget: Duration, future: F)
where
    F: Future<Output: FinalizerOutput> + Send + 'static,
{
    let finalizer = finalizer::new("finalizer", Location::caller(), budget, Fallible { future });
    let node = current::scope_for("`defer`");
    assert!(
        current::DEFAULT_ROOT.get() != Some(&node),
        "`defer` was called outside of any scope, where only an installed runtime serves: its root never ends, so the \
         finalizer would never run. Open a scope around the code, such as `CancelScope::new().run(..)`, or a bracket"
    );
    let mut state = node.lock();
    if state.life == Life::Closed {
        // Only where the host of the tree was dropped while this code was running on another thread (L30), or where
        // this code had escaped from its scope (L28).
        drop(state);
        drop(finalizer);
        return;
    }
    state.cold_mut().finalizers.push(finalizer);
}

pin_project! {
    /// A finalizer's future; gives the error, if there is one.
    pub(crate) struct Fallible<F> {
        #[pin]
        pub(crate) future: F,
    }
}

impl<F: Future<Output: FinalizerOutput>> Future for Fallible<F> {
    type Output = Failure;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Failure> {
        self.project().future.poll(cx).map(FinalizerOutput::into_error)
    }
}
