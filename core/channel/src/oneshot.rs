//! The one-shot: one value, from one sender to one receiver.
//!
//! The state that both ends share, and the steps that they take, are in `oneshot/state.rs`. It is not futures-channel's,
//! since a value is not given to a receiver whose code is cancelled: it stays with the sender (law L14).

mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::blocking::block_on;
use super::error::{RecvError, SendError, TryRecvError};
use super::operation::ChannelOperation;
use state::Shared;

/// A channel for one value.
///
/// For an answer. A value that many wait for is a [`Promise`](foster_core::sync::Promise); the result of a task has its
/// handle.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let (tx, rx) = foster::channel::oneshot();
/// tx.send("pong").unwrap();
/// assert_eq!(rx.await, Ok("pong"));
/// # });
/// ```
#[inline]
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let (sender, receiver) = Shared::new();
    let receiver = OneshotReceiver { shared: receiver, operation: ChannelOperation::new("oneshot"), closed: false };
    (OneshotSender { shared: sender, sent: false }, receiver)
}

/// The sending end of a [`oneshot`].
pub struct OneshotSender<T> {
    shared: Shared<T>,
    /// Its drop is no news.
    sent: bool,
}

impl<T> OneshotSender<T> {
    /// Sends the value. Never waits.
    ///
    /// # Errors
    ///
    /// [`SendError::Disconnected`], with the value, if the receiver was closed or dropped. `Ok` does not mean that it
    /// will be received: the receiver can still be dropped, and the value with it.
    #[inline]
    pub fn send(mut self, value: T) -> Result<(), SendError<T>> {
        self.sent = true;
        self.shared.finish(Some(value)).map_or(Ok(()), |value| Err(SendError::Disconnected(value)))
    }

    /// Waits until nobody wants the value any more: the receiver was closed or dropped.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let (mut tx, rx) = foster::channel::oneshot::<u32>();
    /// drop(rx);
    /// tx.closed().await;
    /// # });
    /// ```
    pub fn closed(&mut self) -> OneshotClosed<'_, T> {
        OneshotClosed { sender: self, operation: ChannelOperation::new("oneshot closed") }
    }

    /// Whether nobody wants the value any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}

impl<T> Drop for OneshotSender<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.sent {
            self.shared.finish(None);
        }
    }
}

impl<T> fmt::Debug for OneshotSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotSender").field("closed", &self.is_closed()).finish()
    }
}

/// The receiving end of a [`oneshot`]: a future of the value.
///
/// # Cancellation
///
/// *Strict*, awaited as `&mut`: the value stays in the channel until it is taken. Dropping the receiver drops the
/// value.
///
/// # Errors
///
/// [`RecvError::Disconnected`] if the sender was dropped without having sent, or this end was closed before it had.
///
/// # Panics
///
/// If polled after it was ready.
#[must_use = "futures do nothing unless polled"]
pub struct OneshotReceiver<T> {
    shared: Shared<T>,
    operation: ChannelOperation,
    closed: bool,
}

impl<T> OneshotReceiver<T> {
    /// Takes the value, if it is there.
    ///
    /// # Errors
    ///
    /// * [`TryRecvError::Empty`]: it is not.
    /// * [`TryRecvError::Disconnected`]: it never will be, or was taken.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.shared.try_receive() {
            Poll::Ready(value) => value.ok_or(TryRecvError::Disconnected),
            Poll::Pending => Err(TryRecvError::Empty),
        }
    }

    /// Waits for the value on a thread that may block.
    ///
    /// # Errors
    ///
    /// [`RecvError::Disconnected`] if the sender was dropped without having sent.
    ///
    /// # Panics
    ///
    /// On a thread that is polling a task of foster's, also if the value is there.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = foster::channel::oneshot();
    /// std::thread::spawn(move || tx.send(7));
    /// assert_eq!(rx.recv_blocking(), Ok(7));
    /// ```
    #[track_caller]
    pub fn recv_blocking(self) -> Result<T, RecvError> {
        block_on("recv_blocking", "the receiver", self)
    }

    /// Lets nothing more in. A value that was sent before can still be taken. Returns whether it was open.
    pub fn close(&mut self) -> bool {
        self.shared.close();
        !mem::replace(&mut self.closed, true)
    }
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let OneshotReceiver { shared, operation, .. } = &mut *self;
        let has_waited = operation.has_waited();
        operation.poll(cx, |attempt_cx, cx| shared.receive(has_waited, attempt_cx, cx))
    }
}

impl<T> Drop for OneshotReceiver<T> {
    #[inline]
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl<T> fmt::Debug for OneshotReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotReceiver").field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// Future of [`OneshotSender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct OneshotClosed<'a, T> {
    sender: &'a mut OneshotSender<T>,
    operation: ChannelOperation,
}

impl<T> Future for OneshotClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let OneshotClosed { sender, operation } = &mut *self;
        operation.poll(cx, |attempt_cx, cx| sender.shared.wait_closed(attempt_cx, cx))
    }
}

impl<T> Drop for OneshotClosed<'_, T> {
    fn drop(&mut self) {
        drop(self.sender.shared.wait_no_more());
    }
}

impl<T> fmt::Debug for OneshotClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotClosed").finish_non_exhaustive()
    }
}
