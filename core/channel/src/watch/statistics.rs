//! The statistics of a watch channel.

use super::state::WatchState;
#[cfg(doc)]
use super::{WatchReceiver, WatchSender};

/// The snapshot that [`WatchSender::statistics`] and [`WatchReceiver::statistics`] return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStatistics {
    /// How often the value was changed.
    pub version: u64,
    /// How many sending ends are open.
    pub senders: usize,
    /// How many receivers there are.
    pub receivers: usize,
    /// How many of them wait.
    pub waiting_receivers: usize,
}

impl WatchStatistics {
    pub(super) fn of<T>(state: &WatchState<T>) -> Self {
        let WatchState { version, senders, receivers, recv_listeners, .. } = state;
        WatchStatistics {
            version: *version,
            senders: *senders,
            receivers: *receivers,
            waiting_receivers: recv_listeners.len(),
        }
    }
}
