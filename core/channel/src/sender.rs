//! The sending end of a bounded or unbounded channel.

mod closed;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::blocking::block_on;
use super::deferred::Deferred;
use super::error::{CloneError, SendError, SendErrorKind, TrySendError};
use super::listeners::ListenerKey;
use super::operation::{Attempt, AttemptCx, ChannelOperation};
use super::permit::{ChannelReserve, Permit};
use super::state::{Chan, ChannelState, Endpoint, SendKind};
use super::statistics::ChannelStatistics;
use foster_cell::sys::MutexGuard;
use foster_core::leaf;

pub use closed::ChannelClosed;

/// The sending end of a channel; made by [`bounded`](super::bounded) and [`unbounded`](super::unbounded).
///
/// It can be cloned. The receivers learn that nothing will come any more when all clones are [closed](Sender::close) or
/// dropped.
pub struct Sender<T> {
    chan: Arc<Chan<T>>,
    end: Endpoint,
}

impl<T> Sender<T> {
    /// Makes the first sender of a channel.
    #[inline]
    pub(super) fn new(chan: Arc<Chan<T>>) -> Self {
        Sender { chan, end: Endpoint::first() }
    }

    pub(super) fn step<R>(&self, f: impl FnOnce(&mut ChannelState<T>, &mut Deferred<T>) -> R) -> R {
        self.chan.step(f)
    }

    /// Sends without waiting, if that is possible.
    #[inline]
    fn attempt(&self, kind: SendKind, value: &mut Option<T>) -> Attempt<Result<(), SendErrorKind>> {
        let mut state = self.chan.lock();
        if state.send_at_once(&self.end, value) {
            return Attempt::Done(Ok(()));
        }
        self.attempt_slow(state, kind, value)
    }

    // Out of line, so that a send which need not wait is short.
    #[inline(never)]
    fn attempt_slow<'a>(
        &'a self,
        held: MutexGuard<'a, ChannelState<T>>,
        kind: SendKind,
        value: &mut Option<T>,
    ) -> Attempt<Result<(), SendErrorKind>> {
        self.chan.step_with(Some(held), |state, deferred| {
            state.send(&self.end, kind, value, &mut AttemptCx::none(), &mut None, deferred)
        })
    }

    /// Waits for room, and sends `value`.
    ///
    /// Room is given to the longest waiting sender in the instant in which it comes to be: its value is in the channel
    /// then, before the sender has run. With capacity 0 room is a receiver that waits.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*, with one limit. A drop takes the value back out of the channel, wherever it stands there, and drops
    /// it; [`ChannelSend::withdraw`] hands it back instead. The limit: if a receiver got it between the moment in which
    /// room was found for it and the drop, it was sent. Code that is cancelled is not dropped in between; what loses a
    /// `select!` or a `race` may be, and [`reserve`](Sender::reserve) has no such limit.
    ///
    /// # Errors
    ///
    /// The value comes back.
    /// * [`SendError::Disconnected`]: there is no receiver, or the last one was closed before the value was received.
    /// * [`SendError::Closed`]: this end was closed, or the channel shut down.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let (tx, rx) = foster::channel::bounded(1);
    /// tx.send("one").await.unwrap();
    /// drop(rx);
    /// assert_eq!(tx.send("two").await.unwrap_err().into_inner(), "two");
    /// # });
    /// ```
    #[inline]
    pub fn send(&self, value: T) -> ChannelSend<'_, T> {
        ChannelSend {
            sender: self,
            op: SendOperation::new(SendKind::Value, Some(value), ChannelOperation::new("channel send")),
        }
    }

    /// Sends `value`, if there is room and nobody waits for it. Never waits; in an unbounded channel there always is.
    ///
    /// # Errors
    ///
    /// The value comes back.
    /// * [`TrySendError::Full`]: there is no room, or others wait for it. With capacity 0: no receiver waits.
    /// * [`TrySendError::Disconnected`]: there is no receiver.
    /// * [`TrySendError::Closed`]: this end was closed, or the channel shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::channel::{TrySendError, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// tx.try_send("one").unwrap();
    /// assert_eq!(tx.try_send("two"), Err(TrySendError::Full("two")));
    /// assert_eq!(rx.try_recv(), Ok("one"));
    /// ```
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut value = Some(value);
        let attempt = self.attempt(SendKind::Value, &mut value);
        match attempt {
            Attempt::Done(Ok(())) | Attempt::Found(Ok(())) => Ok(()),
            Attempt::Done(Err(kind)) | Attempt::Found(Err(kind)) => Err(refused(kind, value).into()),
            Attempt::Waiting | Attempt::NeedsWaiter | Attempt::Cancelled => Err(TrySendError::Full(unsent(value))),
        }
    }

    /// Waits for room on a thread that may block, and sends `value`. Threads and tasks wait in one queue.
    ///
    /// Such a wait cannot be cancelled: it ends when there is room, or when an end is closed.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send).
    ///
    /// # Panics
    ///
    /// On a thread that is polling a task of foster's, also if there is room.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let (tx, rx) = foster::channel::bounded(3);
    /// foster::to_thread(move || (1..=3).for_each(|n| tx.send_blocking(n).unwrap())).await;
    /// assert_eq!(rx.recv().await, Ok(1));
    /// # });
    /// ```
    #[track_caller]
    pub fn send_blocking(&self, value: T) -> Result<(), SendError<T>> {
        block_on("send_blocking", "`send`", self.send(value))
    }

    /// Waits for room and keeps it: the [`Permit`] sends one value, without waiting.
    ///
    /// For a value that is made, or taken from elsewhere, only when it is certain that it can be sent. Waits in one
    /// queue with those that [`send`](Sender::send).
    ///
    /// With capacity 0 the room is a receiver that waits. It may go away before the permit is used: what is sent then is
    /// left in the channel for the next receiver.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; room that was given already goes to the next.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send), with nothing to come back.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let (tx, rx) = foster::channel::bounded(1);
    /// let permit = tx.reserve().await.unwrap();
    /// assert!(tx.try_send(2).is_err());
    /// permit.send(1).unwrap();
    /// assert_eq!(rx.recv().await, Ok(1));
    /// # });
    /// ```
    pub fn reserve(&self) -> ChannelReserve<'_, T> {
        ChannelReserve {
            sender: self,
            op: SendOperation::new(SendKind::Permit, None, ChannelOperation::new("channel reserve")),
        }
    }

    /// Keeps room for one value, if there is some and nobody waits for it.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Sender::try_send), with nothing to come back.
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        let attempt = self.attempt(SendKind::Permit, &mut None);
        match attempt {
            Attempt::Done(Ok(())) | Attempt::Found(Ok(())) => Ok(Permit::new(self)),
            Attempt::Done(Err(kind)) | Attempt::Found(Err(kind)) => Err(refused(kind, Some(())).into()),
            Attempt::Waiting | Attempt::NeedsWaiter | Attempt::Cancelled => Err(TrySendError::Full(())),
        }
    }

    /// Waits until nothing can be sent here any more: there is no receiver, this end was closed, or the channel shut
    /// down.
    ///
    /// For a producer that has nothing to send for the moment, to stop when nobody wants it any more.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let (tx, rx) = foster::channel::unbounded::<u32>();
    /// foster::nursery(async |n: foster::Nursery<std::convert::Infallible>| {
    ///     n.spawn(async move { tx.closed().await });
    ///     drop(rx);
    ///     Ok(())
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    pub fn closed(&self) -> ChannelClosed<'_, T> {
        ChannelClosed { sender: self, listener: ListenerKey::new(), operation: ChannelOperation::new("channel closed") }
    }

    /// Returns whether nothing can be sent here any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.step(|state, _| state.send_error(&self.end)).is_some()
    }

    /// Closes this end, and this end only: a `send` that waits on it gets the value back, and nothing more can be sent
    /// through it. Its clones go on. [Permits](Permit) that are out stay good. Returns whether it was open.
    pub fn close(&self) -> bool {
        self.step(|state, deferred| state.close_sender(&self.end, false, deferred))
    }

    /// Shuts the channel down, with all ends: nothing more is let in, who waits to send gets the value back, receivers
    /// get what is in the channel and then the end.
    pub fn shutdown(&self) {
        self.step(|state, deferred| state.shut_down(false, deferred));
    }

    /// Shuts the channel down at once: as [`shutdown`](Sender::shutdown), but what is in the channel is dropped, and
    /// receivers get the end now.
    pub fn shutdown_now(&self) {
        self.step(|state, deferred| state.shut_down(true, deferred));
    }

    /// Makes another end, if this one is open. A `clone` of a closed end is closed, too.
    ///
    /// # Errors
    ///
    /// [`CloneError`] if this end was closed.
    pub fn try_clone(&self) -> Result<Self, CloneError> {
        let end = self.step(|state, _| state.clone_end(&self.end, ChannelState::open_sender)).ok_or(CloneError)?;
        Ok(Sender { chan: self.chan.clone(), end })
    }

    /// Returns a snapshot of the channel.
    #[must_use]
    pub fn statistics(&self) -> ChannelStatistics {
        self.step(|state, _| state.statistics())
    }
}

impl<T> Clone for Sender<T> {
    /// Makes another end; a closed one, if this one was closed.
    fn clone(&self) -> Self {
        let end = self.step(|state, _| state.clone_end(&self.end, ChannelState::open_sender));
        Sender { chan: self.chan.clone(), end: end.unwrap_or_else(Endpoint::new_closed) }
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.end.is_closed() {
            self.step(|state, deferred| state.close_sender(&self.end, true, deferred));
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChannelStatistics { used, capacity, waiting_senders, .. } = self.statistics();
        f.debug_struct("Sender")
            .field("closed", &self.end.is_closed())
            .field("used", &used)
            .field("capacity", &capacity)
            .field("waiting_senders", &waiting_senders)
            .finish_non_exhaustive()
    }
}

fn refused<T>(kind: SendErrorKind, value: Option<T>) -> SendError<T> {
    kind.with_value(unsent(value))
}

fn unsent<T>(value: Option<T>) -> T {
    match value {
        Some(value) => value,
        None => unreachable!("a value that is not sent stays with the caller"),
    }
}

/// Future of [`Sender::send`].
#[must_use = "futures do nothing unless polled"]
pub struct ChannelSend<'a, T> {
    sender: &'a Sender<T>,
    op: SendOperation<T>,
}

// The value is only moved.
impl<T> Unpin for ChannelSend<'_, T> {}

impl<T> ChannelSend<'_, T> {
    /// Ends the attempt, and hands the value back; none if it was sent, or came back in the error before.
    ///
    /// Does what a drop does, and tells the result: after a `select!` or a `race` over `&mut send`, this tells exactly
    /// whether it was sent. Polling it afterwards panics.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let (tx, rx) = foster::channel::bounded(1);
    /// let mut send = tx.send("late");
    /// assert_eq!(send.withdraw(), Some("late"));
    /// assert!(rx.try_recv().is_err());
    /// # });
    /// ```
    #[inline]
    pub fn withdraw(&mut self) -> Option<T> {
        self.op.cancel(self.sender)
    }
}

impl<T> Future for ChannelSend<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let done = this.op.poll(this.sender, cx);
        done.map(|done| done.map_err(|kind| refused(kind, this.op.value.take())))
    }
}

impl<T> Drop for ChannelSend<'_, T> {
    #[inline]
    fn drop(&mut self) {
        drop(self.withdraw());
    }
}

impl<T> fmt::Debug for ChannelSend<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSend").field("operation", &self.op.operation).finish_non_exhaustive()
    }
}

/// The common part of [`ChannelSend`] and [`ChannelReserve`].
pub(super) struct SendOperation<T> {
    kind: SendKind,
    value: Option<T>,
    operation: ChannelOperation,
    /// The entry of a sender that waits, or has not acknowledged the end of its wait.
    key: Option<usize>,
}

impl<T> SendOperation<T> {
    #[inline]
    pub(super) fn new(kind: SendKind, value: Option<T>, operation: ChannelOperation) -> Self {
        SendOperation { kind, value, operation, key: None }
    }

    pub(super) fn operation(&self) -> &ChannelOperation {
        &self.operation
    }

    #[inline]
    pub(super) fn poll(&mut self, sender: &Sender<T>, cx: &mut Context<'_>) -> Poll<Result<(), SendErrorKind>> {
        ready!(self.operation.poll_start(cx));
        if let Some(key) = self.key {
            return self.poll_again(key, sender, cx);
        }
        let mut state = sender.chan.lock();
        if !leaf::may_take() {
            drop(state);
            return self.operation.restart(cx);
        }
        if state.send_at_once(&sender.end, &mut self.value) {
            self.operation.finish();
            return Poll::Ready(Ok(()));
        }
        self.poll_slow(Some(state), sender, cx)
    }

    /// Has waited.
    // As `attempt_slow`.
    #[inline(never)]
    fn poll_again(&mut self, key: usize, sender: &Sender<T>, cx: &mut Context<'_>) -> Poll<Result<(), SendErrorKind>> {
        let mut state = sender.chan.lock();
        let admitted = state.acknowledge(key);
        drop(state);
        if admitted.is_some() {
            self.key = None;
            self.operation.finish();
            return Poll::Ready(Ok(()));
        }
        self.poll_slow(None, sender, cx)
    }

    // As `attempt_slow`.
    #[inline(never)]
    fn poll_slow<'a>(
        &mut self,
        mut held: Option<MutexGuard<'a, ChannelState<T>>>,
        sender: &'a Sender<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendErrorKind>> {
        let SendOperation { kind, value, operation, key } = self;
        operation.poll_attempts(cx, |attempt_cx, cx| {
            sender.chan.step_with(held.take(), |state, deferred| {
                if let Some(waits) = *key {
                    let attempt = state.poll_sender(waits, value, attempt_cx, cx, deferred);
                    if !matches!(attempt, Some(Attempt::Waiting | Attempt::NeedsWaiter)) {
                        // Here: the entry is free, and the drop of a waker that comes next may panic.
                        *key = None;
                    }
                    if let Some(attempt) = attempt {
                        return attempt;
                    }
                }
                state.send(&sender.end, *kind, value, attempt_cx, key, deferred)
            })
        })
    }

    /// Ends the attempt; the value comes back if it was not sent.
    #[inline]
    pub(super) fn cancel(&mut self, sender: &Sender<T>) -> Option<T> {
        self.operation.finish();
        match self.key.take() {
            Some(key) => sender.chan.leave_sender(key),
            None => self.value.take(),
        }
    }
}
