//! The receiving end of a watch channel: the version that it has seen, and its waits for a new one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::WatchStatistics;
use super::state::{WatchChan, WatchState};
#[cfg(doc)]
use super::watch;
use crate::blocking::block_on;
use crate::error::{RecvError, TryRecvError};
use crate::listeners::ListenerKey;
use crate::operation::{Attempt, ChannelOperation};

/// The receiving end of a [`watch`]. It can be cloned; the clone has seen what this one has.
///
/// As a [`Stream`] it gives the values that it has not seen, skipping those that came in between.
///
/// # Cancellation
///
/// Code that was woken for a value before it was cancelled may still take it (law L14), and a watch keeps the latest
/// only: if another one has come since, even after the request, that code gets this one, or looks at it in
/// [`wait_for`](WatchReceiver::wait_for).
pub struct WatchReceiver<T> {
    chan: Arc<WatchChan<T>>,
    /// The version that it has seen; none if it is to see the latest again.
    seen: Option<u64>,
    operation: ChannelOperation,
    listener: ListenerKey,
}

impl<T> WatchReceiver<T> {
    pub(super) fn new(chan: Arc<WatchChan<T>>, seen: u64) -> Self {
        WatchReceiver { chan, seen: Some(seen), operation: ChannelOperation::new(RECV), listener: ListenerKey::new() }
    }

    /// Returns the latest value, without marking it as seen.
    #[must_use]
    pub fn latest(&self) -> Arc<T> {
        self.chan.step(|state, _| state.value.clone())
    }

    /// Returns whether the latest value has not been seen.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.chan.step(|state, _| self.seen != Some(state.version))
    }

    /// Lets the next [`recv`](WatchReceiver::recv) give the latest value, whether it was seen or not.
    pub fn mark_unseen(&mut self) {
        self.seen = None;
    }

    /// Waits for a value that was not seen, and gives the latest.
    ///
    /// # Cancellation
    ///
    /// *Strict*: a value counts as seen when it is returned. Code that was woken for a value, and then cancelled, gets the
    /// latest, even if that has come after the request.
    ///
    /// # Errors
    ///
    /// [`RecvError::Disconnected`]: the latest value was seen, and there is no sender left.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    pub fn recv(&mut self) -> WatchRecv<'_, T> {
        WatchRecv { receiver: self, operation: ChannelOperation::new(RECV), listener: ListenerKey::new() }
    }

    /// Gives the latest value, if it was not seen.
    ///
    /// # Errors
    ///
    /// * [`TryRecvError::Empty`]: it was.
    /// * [`TryRecvError::Disconnected`]: it was, and there is no sender left.
    pub fn try_recv(&mut self) -> Result<Arc<T>, TryRecvError> {
        let seen = &mut self.seen;
        self.chan.step(|state, _| match take(state, seen) {
            Some(value) => Ok(value),
            None if state.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        })
    }

    /// Waits for a value that was not seen, on a thread that may block.
    ///
    /// # Errors
    ///
    /// As [`recv`](WatchReceiver::recv).
    ///
    /// # Panics
    ///
    /// On a thread that is polling a task of foster's, also if there is a value.
    #[track_caller]
    pub fn recv_blocking(&mut self) -> Result<Arc<T>, RecvError> {
        block_on("recv_blocking", "`recv`", self.recv())
    }

    /// Waits until the latest value is one that `wanted` likes, and gives it; the present one counts, seen or not.
    ///
    /// No lock is held while `wanted` runs. It looks at a value once, and each look takes from the budget of the task: so
    /// it gives way to other tasks, however fast the values come.
    ///
    /// # Cancellation
    ///
    /// *Strict*: a value counts as seen when it is returned. Code that was woken for a value, and then cancelled, looks
    /// once more, at the latest, even if that has come after the request.
    ///
    /// # Errors
    ///
    /// [`RecvError::Disconnected`]: it is not, and there is no sender left.
    ///
    /// # Panics
    ///
    /// If `wanted` does, or if polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let (tx, mut rx) = foster::channel::watch(0);
    /// foster::nursery(async |n: foster::Nursery<foster::channel::RecvError>| {
    ///     n.spawn(async move {
    ///         assert!(*rx.wait_for(|n| *n >= 3).await? >= 3);
    ///         Ok(())
    ///     });
    ///     for n in 1..=5 {
    ///         foster::yield_now().await;
    ///         tx.replace(n).unwrap();
    ///     }
    ///     Ok(())
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    pub fn wait_for<F: FnMut(&T) -> bool>(&mut self, wanted: F) -> WatchWaitFor<'_, T, F> {
        WatchWaitFor {
            receiver: self,
            wanted,
            looked_at: None,
            operation: ChannelOperation::new(WAIT_FOR),
            listener: ListenerKey::new(),
        }
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> WatchStatistics {
        self.chan.step(|state, _| WatchStatistics::of(state))
    }
}

/// The name of a wait for a value in dumps.
const RECV: &str = "watch recv";

/// The name of a wait for a value that is wanted.
const WAIT_FOR: &str = "watch wait_for";

/// Takes the latest value, if it was not seen.
fn take<T>(state: &WatchState<T>, seen: &mut Option<u64>) -> Option<Arc<T>> {
    if *seen == Some(state.version) {
        return None;
    }
    *seen = Some(state.version);
    Some(state.value.clone())
}

/// Polls a wait for a value once.
fn poll_recv<T>(
    chan: &WatchChan<T>,
    seen: &mut Option<u64>,
    operation: &mut ChannelOperation,
    listener: &mut ListenerKey,
    cx: &mut Context<'_>,
) -> Poll<Result<Arc<T>, RecvError>> {
    operation.poll(cx, |attempt_cx, cx| {
        chan.step(|state, deferred| {
            if !state.recv_listeners.may_check(listener, attempt_cx) {
                Attempt::Waiting
            } else if *seen == Some(state.version) && state.senders > 0 {
                state.recv_listeners.listen(listener, attempt_cx, cx)
            } else if !state.recv_listeners.may_take(listener, attempt_cx) {
                Attempt::Cancelled
            } else {
                let done = match take(state, seen) {
                    Some(value) => Attempt::Done(Ok(value)),
                    None => state.recv_listeners.end(listener, Err(RecvError::Disconnected)),
                };
                // L14: it was woken for this value, and not for the next one, which it may find without having waited.
                state.recv_listeners.leave(listener, deferred);
                done
            }
        })
    })
}

fn leave<T>(chan: &WatchChan<T>, listener: &mut ListenerKey) {
    if !listener.is_none() {
        chan.step(|state, deferred| state.recv_listeners.leave(listener, deferred));
    }
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> Self {
        self.chan.step(|state, _| state.receivers += 1);
        WatchReceiver {
            chan: self.chan.clone(),
            seen: self.seen,
            operation: ChannelOperation::new(RECV),
            listener: ListenerKey::new(),
        }
    }
}

impl<T> Drop for WatchReceiver<T> {
    fn drop(&mut self) {
        self.chan.step(|state, deferred| {
            state.recv_listeners.leave(&mut self.listener, deferred);
            state.receivers -= 1;
            if state.receivers == 0 {
                state.closed_listeners.notify_end(deferred);
            }
        });
    }
}

impl<T> Stream for WatchReceiver<T> {
    type Item = Arc<T>;

    /// # Cancellation
    ///
    /// *Strict*: a value counts as seen when it is returned. Of code that is cancelled see [`recv`](WatchReceiver::recv).
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arc<T>>> {
        let WatchReceiver { chan, seen, operation, listener } = &mut *self;
        let done = poll_recv(chan, seen, operation, listener, cx);
        if done.is_ready() {
            *operation = ChannelOperation::new(RECV);
        }
        done.map(Result::ok)
    }
}

impl<T> fmt::Debug for WatchReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchReceiver")
            .field("has_changed", &self.has_changed())
            .field("statistics", &self.statistics())
            .finish()
    }
}

/// Future of [`WatchReceiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct WatchRecv<'a, T> {
    receiver: &'a mut WatchReceiver<T>,
    operation: ChannelOperation,
    listener: ListenerKey,
}

impl<T> Future for WatchRecv<'_, T> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let WatchRecv { receiver, operation, listener } = &mut *self;
        poll_recv(&receiver.chan, &mut receiver.seen, operation, listener, cx)
    }
}

impl<T> Drop for WatchRecv<'_, T> {
    fn drop(&mut self) {
        leave(&self.receiver.chan, &mut self.listener);
    }
}

impl<T> fmt::Debug for WatchRecv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchRecv").finish_non_exhaustive()
    }
}

/// Future of [`WatchReceiver::wait_for`].
#[must_use = "futures do nothing unless polled"]
pub struct WatchWaitFor<'a, T, F> {
    receiver: &'a mut WatchReceiver<T>,
    wanted: F,
    /// The latest version that it has looked at; none before the first.
    looked_at: Option<u64>,
    operation: ChannelOperation,
    listener: ListenerKey,
}

// The closure is only called.
impl<T, F> Unpin for WatchWaitFor<'_, T, F> {}

impl<T, F: FnMut(&T) -> bool> Future for WatchWaitFor<'_, T, F> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let WatchWaitFor { receiver, wanted, looked_at, operation, listener } = &mut *self;
        loop {
            let value = ready!(poll_recv(&receiver.chan, looked_at, operation, listener, cx))?;
            if wanted(&value) {
                receiver.seen = *looked_at;
                return Poll::Ready(Ok(value));
            }
            // L38: to look again is another operation, which takes from the budget. Cancelled code does not start it (L14).
            *operation = ChannelOperation::new(WAIT_FOR);
        }
    }
}

impl<T, F> Drop for WatchWaitFor<'_, T, F> {
    fn drop(&mut self) {
        leave(&self.receiver.chan, &mut self.listener);
    }
}

impl<T, F> fmt::Debug for WatchWaitFor<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchWaitFor").finish_non_exhaustive()
    }
}
