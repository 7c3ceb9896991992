//! The watch channel: the latest value, for tasks that want to know when it changes.
//!
//! The value is behind an `Arc`, so a receiver can look at it for as long as it likes while no lock is held (law L36).
//! The next value reuses the allocation, unless a receiver still looks at the last one: only then it costs a new one.

mod receiver;
mod sender;
mod state;
mod statistics;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use receiver::{WatchReceiver, WatchRecv, WatchWaitFor};
pub use sender::{WatchClosed, WatchSender};
pub use statistics::WatchStatistics;

use state::WatchChan;

/// Makes a channel that keeps the latest value only: receivers that are slow skip what came in between.
///
/// For configuration, state, progress. The receivers have seen `value`; they are told of the next.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let (tx, mut rx) = foster::channel::watch("starting");
/// assert_eq!(*rx.latest(), "starting");
/// tx.send("running").unwrap();
/// tx.send("stopping").unwrap();
/// assert_eq!(*rx.recv().await.unwrap(), "stopping");
/// # });
/// ```
#[must_use]
pub fn watch<T>(value: T) -> (WatchSender<T>, WatchReceiver<T>) {
    let chan = Arc::new(WatchChan::new(value));
    let receiver = WatchReceiver::new(chan.clone(), 0);
    (WatchSender::new(chan), receiver)
}
