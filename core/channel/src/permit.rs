//! Permits: room in a channel that is kept for one value.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::error::SendError;
use super::sender::{SendOperation, Sender};

/// Room for one value, made by [`Sender::reserve`]; given back when dropped.
///
/// While it is out the channel is not at its end, though all senders be closed or the channel shut down.
///
/// In a rendezvous it is kept with a receiver that waits. If that one has gone away before the value is sent, the value
/// waits in the channel for the next receiver.
#[must_use = "the room is given back when this is dropped"]
pub struct Permit<'a, T> {
    sender: &'a Sender<T>,
}

impl<'a, T> Permit<'a, T> {
    pub(super) fn new(sender: &'a Sender<T>) -> Self {
        Permit { sender }
    }

    /// Sends `value`, at once. In a rendezvous whose receiver has gone away it leaves the value for the next one.
    ///
    /// # Errors
    ///
    /// The value comes back.
    /// * [`SendError::Disconnected`]: there is no receiver left.
    /// * [`SendError::Closed`]: the channel was [shut down at once](Sender::shutdown_now).
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        let sender = self.sender;
        // Not here: the drop. The step below uses the permit up.
        mem::forget(self);
        sender
            .step(|state, deferred| state.send_permitted(value, deferred))
            .map_err(|(kind, value)| kind.with_value(value))
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.sender.step(|state, deferred| state.drop_permit(deferred));
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Future of [`Sender::reserve`].
#[must_use = "futures do nothing unless polled"]
pub struct ChannelReserve<'a, T> {
    pub(super) sender: &'a Sender<T>,
    pub(super) op: SendOperation<T>,
}

// It holds no value.
impl<T> Unpin for ChannelReserve<'_, T> {}

impl<'a, T> Future for ChannelReserve<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.op.poll(this.sender, cx).map(|done| match done {
            Ok(()) => Ok(Permit::new(this.sender)),
            Err(kind) => Err(kind.with_value(())),
        })
    }
}

impl<T> Drop for ChannelReserve<'_, T> {
    fn drop(&mut self) {
        self.op.cancel(self.sender);
    }
}

impl<T> fmt::Debug for ChannelReserve<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelReserve").field("operation", self.op.operation()).finish_non_exhaustive()
    }
}
