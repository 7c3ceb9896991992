//! Checkpoints: whether an operation stops when it is cancelled, and whether a loop of it lets others run.
//!
//! Both are found from outside, with foster's public API: the operation is run once in a scope that is already
//! cancelled, and once in a task that has used up its budget.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Context;
use std::time::Duration;

/// The findings of [`probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// In a cancelled scope the operation did not come to its end. All that is pending can be cancelled, so this
    /// is also true of an operation that does not look at cancellation but yields.
    pub stops: bool,
    /// In a task that had done enough for one poll it returned `Pending` at least once: other tasks have their turns,
    /// however often it is repeated.
    pub yields: bool,
}

/// Runs an operation twice, first in a scope that is cancelled, then in the present one, when the budget of the task is
/// used up (see [`checkpoint`](foster::checkpoint())), and tells what it did.
///
/// All of foster's operations that wait do both, also where they have not to wait.
///
/// # Cancellation
///
/// *As its future*: that of the operation.
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
    let mut fresh = true;
    poll_fn(|context| {
        if std::mem::take(&mut fresh) {
            spend(context);
        }
        let poll = second.as_mut().poll(context);
        yields.set(yields.get() || poll.is_pending());
        poll
    })
    .await;
    Probe { stops, yields: yields.get() }
}

/// Uses up the budget of the task that is being polled.
fn spend(context: &mut Context<'_>) {
    // Code outside of any tree has no budget.
    for _ in 0..10_000 {
        if pin!(foster::checkpoint()).poll(context).is_pending() {
            break;
        }
    }
}

/// Runs an operation as [`probe`] does, and panics unless it both can be cancelled and lets other tasks run.
///
/// # Cancellation
///
/// *As its future*: that of the operation.
///
/// # Panics
///
/// The operation came to its end in a cancelled scope, or without a pause in a task that had used up its budget.
pub async fn assert_checkpoints<Fut: Future>(operation: impl Fn() -> Fut) {
    let Probe { stops, yields } = probe(operation).await;
    assert!(stops, "no checkpoint: the operation came to its end although its scope was cancelled");
    assert!(yields, "no checkpoint: the operation came to its end without letting other tasks run");
}

/// Runs an operation as [`probe`] does, and panics if it can be cancelled or lets other tasks run.
///
/// # Cancellation
///
/// *As its future*: that of the operation.
///
/// # Panics
///
/// The operation stopped in a cancelled scope, or was pending in a task that had used up its budget.
pub async fn assert_no_checkpoints<Fut: Future>(operation: impl Fn() -> Fut) {
    let Probe { stops, yields } = probe(operation).await;
    assert!(!stops, "a checkpoint: the operation stopped because its scope was cancelled");
    assert!(!yields, "a checkpoint: the operation let other tasks run");
}
