//! What becomes of a slow receiver.

#[cfg(doc)]
use super::broadcast;

/// The behaviour of a [`broadcast`] that is full because a receiver has not seen the oldest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lag {
    /// Senders wait for the slowest receiver. Nobody misses anything.
    Wait,
    /// The oldest value goes. Receivers that have missed some are told how many, and go on with the oldest that is
    /// left.
    Skip,
    /// The oldest value goes. Receivers that would miss it are cut off: they are told that they lagged, and get nothing
    /// more.
    Disconnect,
}
