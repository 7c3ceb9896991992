//! The watch: the latest value, for everybody who wants to know when it changes.
//!
//! The value is behind an `Arc`, so that it can be looked at for as long as one likes while no lock is held (law L36). The next one
//! takes its place there, unless somebody still looks at it: only then it costs an allocation.

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

/// A channel that keeps the latest value only: receivers that are slow skip what came in between.
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
