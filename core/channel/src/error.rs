//! The errors of channels. A value that could not be sent comes back in the error.

use std::fmt;

/// The value was not sent, and comes back.
///
/// For [`Sender::reserve`](super::Sender::reserve) the value is `()`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// This end was closed, or the whole channel shut down.
    Closed(T),
    /// There is no receiver.
    Disconnected(T),
}

impl<T> SendError<T> {
    /// Returns the value.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Closed(value) | SendError::Disconnected(value) => value,
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed(_) => CLOSED,
            SendError::Disconnected(_) => NO_RECEIVER,
        })
    }
}

// Without the value: an error can be unwrapped whatever it carries.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed(_) => "Closed(..)",
            SendError::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> std::error::Error for SendError<T> {}

/// The value was not sent without waiting, and comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room, or others have waited for it longer.
    Full(T),
    /// This end was closed, or the whole channel shut down.
    Closed(T),
    /// There is no receiver.
    Disconnected(T),
}

impl<T> TrySendError<T> {
    /// Returns the value.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(value) | TrySendError::Closed(value) | TrySendError::Disconnected(value) => value,
        }
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(error: SendError<T>) -> Self {
        match error {
            SendError::Closed(value) => TrySendError::Closed(value),
            SendError::Disconnected(value) => TrySendError::Disconnected(value),
        }
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Closed(_) => CLOSED,
            TrySendError::Disconnected(_) => NO_RECEIVER,
        })
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
            TrySendError::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> std::error::Error for TrySendError<T> {}

/// Why a value cannot be sent: a [`SendError`] without the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendErrorKind {
    Closed,
    Disconnected,
}

impl SendErrorKind {
    pub(super) fn with_value<T>(self, value: T) -> SendError<T> {
        match self {
            SendErrorKind::Closed => SendError::Closed(value),
            SendErrorKind::Disconnected => SendError::Disconnected(value),
        }
    }
}

/// Nothing was received, and nothing will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// This end was closed.
    Closed,
    /// Everything was received, and there is no sender left, or the channel was shut down.
    Disconnected,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Closed => CLOSED,
            RecvError::Disconnected => NO_SENDER,
        })
    }
}

impl std::error::Error for RecvError {}

/// Nothing was received without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is nothing, or what there is belongs to others who have waited for it.
    Empty,
    /// This end was closed.
    Closed,
    /// Everything was received, and there is no sender left, or the channel was shut down.
    Disconnected,
}

impl From<RecvError> for TryRecvError {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Closed => TryRecvError::Closed,
            RecvError::Disconnected => TryRecvError::Disconnected,
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "the channel is empty",
            TryRecvError::Closed => CLOSED,
            TryRecvError::Disconnected => NO_SENDER,
        })
    }
}

impl std::error::Error for TryRecvError {}

/// A closed end cannot be cloned into an open one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloneError;

impl fmt::Display for CloneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl std::error::Error for CloneError {}

const CLOSED: &str = "this end of the channel was closed";
const NO_RECEIVER: &str = "the channel has no receiver";
const NO_SENDER: &str = "the channel is drained and has no sender";
