//! The errors of the receivers of a broadcast channel.

use std::fmt;

#[cfg(doc)]
use super::broadcast;

/// No value was received from a [`broadcast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastRecvError {
    /// So many values were missed.
    Lagged(u64),
    /// All was seen, and there is no sender left; or this receiver was cut off.
    Disconnected,
}

impl fmt::Display for BroadcastRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BroadcastRecvError::Lagged(missed) => Lagged(*missed).fmt(f),
            BroadcastRecvError::Disconnected => f.write_str(ENDED),
        }
    }
}

impl std::error::Error for BroadcastRecvError {}

/// No value was received from a [`broadcast`] without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastTryRecvError {
    /// There is nothing new.
    Empty,
    /// So many values were missed.
    Lagged(u64),
    /// All was seen, and there is no sender left; or this receiver was cut off.
    Disconnected,
}

impl fmt::Display for BroadcastTryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BroadcastTryRecvError::Empty => f.write_str("the channel is empty"),
            BroadcastTryRecvError::Lagged(missed) => Lagged(*missed).fmt(f),
            BroadcastTryRecvError::Disconnected => f.write_str(ENDED),
        }
    }
}

impl std::error::Error for BroadcastTryRecvError {}

const ENDED: &str = "nothing more will come from this channel";

/// A receiver of a [`broadcast`] was slow, and missed so many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the receiver was slow and missed {} values", self.0)
    }
}

impl std::error::Error for Lagged {}
