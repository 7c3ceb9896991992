//! The broadcast channel: every receiver gets every value.
//!
//! Values are in one queue, each with the number of receivers that have not seen it; a receiver has a position in that
//! queue. A value is dropped when all receivers have seen it, and its allocation is reused for another
//! (`shared_value.rs`). [`Lag`] decides what happens to slow receivers.
//!
//! ```text
//!   head                         tail
//!    │ 7 │ 8 │ 9 │ 10 │ 11 │      one receiver is at 12, one at 9; one is at 4: it lags, and has missed 4, 5 and 6
//! ```
//!
//! Invariant 1: `unseen` of a value is the number of receivers whose position is at it or before. It never grows
//! towards the head, and it is 0 nowhere. Invariant 2: with [`Lag::Wait`], `queue + granted <= capacity`, and no sender
//! waits while it is less. Invariant 3: under the lock no value is cloned or dropped, and no waker cloned, called or
//! dropped (L36).

mod error;
mod lag;
mod receiver;
mod sender;
mod shared_value;
mod state;
mod statistics;
#[cfg(test)]
mod suite;

use std::sync::Arc;

pub use error::{BroadcastRecvError, BroadcastTryRecvError, Lagged};
pub use lag::Lag;
pub use receiver::{BroadcastReceiver, BroadcastRecv};
pub use sender::{BroadcastClosed, BroadcastSend, BroadcastSender};
pub use statistics::BroadcastStatistics;

use state::BroadcastChan;

/// Makes a channel in which every receiver gets every value that is sent while it is there, with room for `capacity`
/// values that somebody has still to see.
///
/// # Panics
///
/// If `capacity` is 0: a value has to be somewhere until the last receiver has seen it.
///
/// # Examples
///
/// ```
/// use foster::channel::{Lag, broadcast};
///
/// # foster_sim::run(1, async {
/// let (tx, mut one) = broadcast(8, Lag::Wait);
/// let mut other = one.clone();
/// tx.send("to all").await.unwrap();
/// assert_eq!(one.recv().await, Ok("to all"));
/// assert_eq!(other.recv().await, Ok("to all"));
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn broadcast<T>(capacity: usize, lag: Lag) -> (BroadcastSender<T>, BroadcastReceiver<T>) {
    assert!(capacity > 0, "a broadcast channel needs room for at least one value; for a rendezvous use `bounded(0)`");
    let chan = Arc::new(BroadcastChan::new(capacity, lag));
    let receiver = BroadcastReceiver::new(chan.clone(), 0);
    (BroadcastSender::new(chan), receiver)
}
