//! The receiving end of a bounded or unbounded channel.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::blocking::block_on;
use super::deferred::Deferred;
use super::error::{CloneError, RecvError, TryRecvError};
use super::operation::{Attempt, ChannelOperation};
use super::state::{Chan, ChannelState, Endpoint};
use super::statistics::ChannelStatistics;
use foster_cell::sys::MutexGuard;
use foster_core::leaf;

/// The receiving end of a channel; made by [`bounded`](super::bounded) and [`unbounded`](super::unbounded).
///
/// It can be cloned; each value goes to one of the clones. When all are [closed](Receiver::close) or dropped, what is
/// in the channel is dropped, and senders get their values back.
///
/// # As a stream
///
/// It is a [`Stream`] that ends when nothing will come any more, or when this end was closed. Each item is a
/// checkpoint.
///
/// A stream that was polled is in the queue, and may be handed a value, until it is polled again, received from in
/// another way, or dropped. So where *several* receivers share the values, do not throw a `next()` away half-way to do
/// something else for long: use [`recv`](Receiver::recv) in a `select!`, which leaves the queue when it is dropped.
pub struct Receiver<T> {
    chan: Arc<Chan<T>>,
    end: Endpoint,
    stream: RecvOperation,
}

impl<T> Receiver<T> {
    /// Makes the first receiver of a channel.
    #[inline]
    pub(super) fn new(chan: Arc<Chan<T>>) -> Self {
        Receiver { chan, end: Endpoint::first(), stream: RecvOperation::new(ChannelOperation::new(RECV)) }
    }

    fn step<R>(&self, f: impl FnOnce(&mut ChannelState<T>, &mut Deferred<T>) -> R) -> R {
        self.chan.step(f)
    }

    /// Waits for a value.
    ///
    /// A value that is sent is handed to the longest waiting receiver in that instant: nobody else can take it.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; a value that was handed over already goes to the next receiver, or back
    /// to its place in the channel. With one receiver there is no place to lose.
    ///
    /// # Errors
    ///
    /// * [`RecvError::Disconnected`]: everything was received, and there is no sender left, or the channel was shut
    ///   down.
    /// * [`RecvError::Closed`]: this end was closed.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::channel::{RecvError, bounded};
    ///
    /// # foster_sim::run(1, async {
    /// let (tx, rx) = bounded(1);
    /// tx.send("last words").await.unwrap();
    /// drop(tx);
    /// assert_eq!(rx.recv().await, Ok("last words"));
    /// assert_eq!(rx.recv().await, Err(RecvError::Disconnected));
    /// # });
    /// ```
    #[inline]
    pub fn recv(&self) -> ChannelRecv<'_, T> {
        ChannelRecv { receiver: self, wait: RecvOperation::new(ChannelOperation::new(RECV)) }
    }

    /// Takes a value, if there is one that nobody waits for. Never waits; with capacity 0 it takes one from a sender
    /// that waits.
    ///
    /// # Errors
    ///
    /// * [`TryRecvError::Empty`]: there is none.
    /// * [`TryRecvError::Disconnected`]: everything was received, and there is no sender left, or the channel was shut
    ///   down.
    /// * [`TryRecvError::Closed`]: this end was closed.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.chan.lock();
        if let Some(value) = state.recv_at_once(&self.end, self.stream.key) {
            return Ok(value);
        }
        self.try_recv_slow(state)
    }

    // Out of line, so that a receive which need not wait is short.
    #[inline(never)]
    fn try_recv_slow<'a>(&'a self, held: MutexGuard<'a, ChannelState<T>>) -> Result<T, TryRecvError> {
        let own = self.stream.key;
        let tried = self.chan.step_with(Some(held), |state, deferred| state.try_recv(&self.end, own, deferred));
        tried?.ok_or(TryRecvError::Empty)
    }

    /// Waits for a value on a thread that may block. Threads and tasks wait in one queue.
    ///
    /// Such a wait cannot be cancelled: it ends when there is a value, or when an end is closed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Receiver::recv).
    ///
    /// # Panics
    ///
    /// On a thread that is polling a task of foster's, also if there is a value.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = foster::channel::bounded(1);
    /// let consumer = std::thread::spawn(move || rx.recv_blocking());
    /// tx.send_blocking(7).unwrap();
    /// assert_eq!(consumer.join().unwrap(), Ok(7));
    /// ```
    #[track_caller]
    pub fn recv_blocking(&self) -> Result<T, RecvError> {
        block_on("recv_blocking", "`recv`", self.recv())
    }

    /// Returns whether nothing can be received here any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.end.is_closed() || self.step(|state, _| state.is_finished())
    }

    /// Closes this end, and this end only: a wait on it ends with [`RecvError::Closed`], and nothing more can be
    /// received through it. Its clones go on; with the last one, what is in the channel is dropped. Returns whether it
    /// was open.
    pub fn close(&self) -> bool {
        self.step(|state, deferred| state.close_receiver(&self.end, false, deferred))
    }

    /// Shuts the channel down, with all ends: nothing more is let in, who waits to send gets the value back, receivers
    /// get what is in the channel and then the end.
    pub fn shutdown(&self) {
        self.step(|state, deferred| state.shut_down(false, deferred));
    }

    /// Shuts the channel down at once: as [`shutdown`](Receiver::shutdown), but what is in the channel is dropped, and
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
        let end = self.step(|state, _| state.clone_end(&self.end, ChannelState::open_receiver)).ok_or(CloneError)?;
        Ok(Receiver { chan: self.chan.clone(), end, stream: RecvOperation::new(ChannelOperation::new(RECV)) })
    }

    /// Returns a snapshot of the channel.
    #[must_use]
    pub fn statistics(&self) -> ChannelStatistics {
        self.step(|state, _| state.statistics())
    }

    #[cfg(test)]
    pub(super) fn inspect<R>(&self, f: impl FnOnce(&mut ChannelState<T>) -> R) -> R {
        self.step(|state, _| f(state))
    }
}

impl<T> Clone for Receiver<T> {
    /// Makes another end; a closed one, if this one was closed.
    fn clone(&self) -> Self {
        let end = self.step(|state, _| state.clone_end(&self.end, ChannelState::open_receiver));
        Receiver {
            chan: self.chan.clone(),
            end: end.unwrap_or_else(Endpoint::new_closed),
            stream: RecvOperation::new(ChannelOperation::new(RECV)),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // First: what the stream was handed goes to others, if there are any.
        self.stream.cancel(&self.chan);
        if !self.end.is_closed() {
            self.step(|state, deferred| state.close_receiver(&self.end, true, deferred));
        }
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    /// # Cancellation
    ///
    /// *Strict*: an item that is not taken stays with this receiver.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let done = this.stream.poll(&this.chan, &this.end, cx);
        if done.is_ready() {
            this.stream = RecvOperation::new(ChannelOperation::new(RECV));
        }
        done.map(Result::ok)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChannelStatistics { used, capacity, waiting_receivers, .. } = self.statistics();
        f.debug_struct("Receiver")
            .field("closed", &self.end.is_closed())
            .field("used", &used)
            .field("capacity", &capacity)
            .field("waiting_receivers", &waiting_receivers)
            .finish_non_exhaustive()
    }
}

/// Future of [`Receiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct ChannelRecv<'a, T> {
    receiver: &'a Receiver<T>,
    wait: RecvOperation,
}

impl<T> Future for ChannelRecv<'_, T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Receiver { chan, end, stream } = this.receiver;
        this.wait.own = stream.key;
        this.wait.poll(chan, end, cx)
    }
}

impl<T> Drop for ChannelRecv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.wait.cancel(&self.receiver.chan);
    }
}

impl<T> fmt::Debug for ChannelRecv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelRecv").field("operation", &self.wait.operation).finish_non_exhaustive()
    }
}

/// The name of a wait for a value in dumps.
const RECV: &str = "channel recv";

/// A wait for a value: of a `recv`, or of a stream.
#[derive(Debug)]
struct RecvOperation {
    operation: ChannelOperation,
    /// The entry of a receiver that waits, or has not acknowledged the end of its wait.
    key: Option<usize>,
    /// The entry of the endpoint's stream, if it has one.
    own: Option<usize>,
}

impl RecvOperation {
    #[inline]
    const fn new(operation: ChannelOperation) -> Self {
        RecvOperation { operation, key: None, own: None }
    }

    #[inline]
    fn poll<T>(&mut self, chan: &Chan<T>, end: &Endpoint, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        ready!(self.operation.poll_start(cx));
        if let Some(key) = self.key {
            return self.poll_again(key, chan, end, cx);
        }
        let mut state = chan.lock();
        if !leaf::may_take() {
            drop(state);
            return self.operation.restart(cx);
        }
        if let Some(value) = state.recv_at_once(end, self.own) {
            self.operation.finish();
            return Poll::Ready(Ok(value));
        }
        self.poll_slow(Some(state), chan, end, cx)
    }

    /// Polls again after a wait.
    // Out of line, as `try_recv_slow`.
    #[inline(never)]
    fn poll_again<T>(
        &mut self,
        key: usize,
        chan: &Chan<T>,
        end: &Endpoint,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        let mut state = chan.lock();
        if let Some(value) = state.take_delivered(key) {
            drop(state);
            self.key = None;
            self.operation.finish();
            return Poll::Ready(Ok(value));
        }
        drop(state);
        self.poll_slow(None, chan, end, cx)
    }

    // As `try_recv_slow`.
    #[inline(never)]
    fn poll_slow<'a, T>(
        &mut self,
        mut held: Option<MutexGuard<'a, ChannelState<T>>>,
        chan: &'a Chan<T>,
        end: &Endpoint,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        let RecvOperation { operation, key, own } = self;
        operation.poll_attempts(cx, |attempt_cx, cx| {
            chan.step_with(held.take(), |state, deferred| {
                if let Some(waits) = *key {
                    let attempt = state.poll_receiver(waits, attempt_cx, cx, deferred);
                    if !matches!(attempt, Some(Attempt::Waiting | Attempt::NeedsWaiter)) {
                        // Here: the entry is free, and the drop of a waker that comes next may panic.
                        *key = None;
                    }
                    if let Some(attempt) = attempt {
                        return attempt;
                    }
                }
                state.recv(end, *own, attempt_cx, key, deferred)
            })
        })
    }

    #[inline]
    fn cancel<T>(&mut self, chan: &Chan<T>) {
        self.operation.finish();
        if let Some(key) = self.key.take() {
            chan.leave_receiver(key);
        }
    }
}
