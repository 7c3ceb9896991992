//! Checkpoints: whether an operation stops when it is cancelled, and whether it lets others run.
//!
//! Both are found from outside, with foster's public API: the operation is run once in a scope that is already cancelled,
//! and once in one that is not.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

/// What [`probe`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// In a cancelled scope the operation did not come to its end. Whatever is pending can be cancelled, so this is also
    /// true of an operation that does not look at cancellation but yields.
    pub stops: bool,
    /// Outside of one it returned `Pending` at least once: the other tasks had a turn.
    pub yields: bool,
}

/// Runs an operation twice, first in a scope that is cancelled, then in the present one, and tells what it did.
///
/// An operation that can do its work at once, such as locking a free mutex, should stop and need not yield.
///
/// # Cancellation
///
/// That of the operation.
///
/// # Examples
///
/// ```
/// foster_sim::run(7, async {
///     let probe = foster_sim::probe(foster::checkpoint).await;
///     assert!(probe.stops);
///     let probe = foster_sim::probe(|| async { 7 }).await;
///     assert!(!probe.stops && !probe.yields);
/// });
/// ```
pub async fn probe<Fut: Future>(operation: impl Fn() -> Fut) -> Probe {
    let stops = foster::move_on_after(Duration::ZERO, operation()).await.is_none();
    let yields = Cell::new(false);
    let mut second = pin!(operation());
    poll_fn(|context| {
        let poll = second.as_mut().poll(context);
        yields.set(yields.get() || poll.is_pending());
        poll
    })
    .await;
    Probe { stops, yields: yields.get() }
}

/// Runs an operation twice, and panics unless it both can be cancelled and lets other tasks run.
///
/// # Cancellation
///
/// That of the operation.
///
/// # Panics
///
/// The operation came to its end in a cancelled scope, or without having been pending in one that is not.
pub async fn assert_checkpoints<Fut: Future>(operation: impl Fn() -> Fut) {
    let Probe { stops, yields } = probe(operation).await;
    assert!(stops, "no checkpoint: the operation came to its end although its scope was cancelled");
    assert!(yields, "no checkpoint: the operation came to its end without letting other tasks run");
}

/// Runs an operation twice, and panics if it can be cancelled or lets other tasks run.
///
/// # Cancellation
///
/// That of the operation.
///
/// # Panics
///
/// The operation stopped in a cancelled scope, or was pending in one that is not.
pub async fn assert_no_checkpoints<Fut: Future>(operation: impl Fn() -> Fut) {
    let Probe { stops, yields } = probe(operation).await;
    assert!(!stops, "a checkpoint: the operation stopped because its scope was cancelled");
    assert!(!yields, "a checkpoint: the operation let other tasks run");
}
