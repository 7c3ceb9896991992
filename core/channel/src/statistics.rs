//! The statistics of a bounded or unbounded channel.

/// The snapshot that [`Sender::statistics`](super::Sender::statistics) and
/// [`Receiver::statistics`](super::Receiver::statistics) return, the same on every end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// How many values are in the buffer. More than the capacity only if receivers went away without taking what they
    /// had been handed.
    pub used: usize,
    /// How many have room in it. `None`: any number.
    pub capacity: Option<usize>,
    /// How many were in it at most.
    pub peak: usize,
    /// How many [permits](super::Permit) are out.
    pub permits: usize,
    /// How many sending ends are open.
    pub senders: usize,
    /// How many receiving ends are open.
    pub receivers: usize,
    /// How many wait for room.
    pub waiting_senders: usize,
    /// How many wait for a value.
    pub waiting_receivers: usize,
    /// Whether the channel was shut down.
    pub shut_down: bool,
}
