//! The statistics of a broadcast channel.

use super::state::BroadcastState;
#[cfg(doc)]
use super::{BroadcastReceiver, BroadcastSender};

/// The snapshot that [`BroadcastSender::statistics`] and [`BroadcastReceiver::statistics`] return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastStatistics {
    /// How many values somebody has still to see.
    pub used: usize,
    /// How many have room.
    pub capacity: usize,
    /// How many there were at most.
    pub peak: usize,
    /// How many sending ends are open.
    pub senders: usize,
    /// How many receivers there are, without those that were cut off.
    pub receivers: usize,
    /// How many senders wait for room.
    pub waiting_senders: usize,
    /// How many receivers wait for a value.
    pub waiting_receivers: usize,
}

impl BroadcastStatistics {
    pub(super) fn of<T>(state: &BroadcastState<T>) -> Self {
        BroadcastStatistics {
            used: state.queue.len(),
            capacity: state.capacity,
            peak: state.peak,
            senders: state.senders,
            receivers: state.receivers,
            waiting_senders: state.send_waiters.len(),
            waiting_receivers: state.recv_listeners.len(),
        }
    }
}
