//! The receiving end of a broadcast channel: a position in the queue.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::shared_value::TakenValue;
use super::state::{BroadcastChan, BroadcastState, Missed};
use super::{BroadcastRecvError, BroadcastStatistics, BroadcastTryRecvError, Lagged};
#[cfg(doc)]
use super::{Lag, broadcast};
use crate::blocking::block_on;
use crate::deferred::Deferred;
use crate::listeners::ListenerKey;
use crate::operation::{Attempt, ChannelOperation};

/// The receiving end of a [`broadcast`]. It can be cloned: the clone gets the same values from here on.
///
/// As a [`Stream`] it gives `Err(`[`Lagged`]`)` where it has missed some.
///
/// # Cancellation
///
/// Code that was woken for a value before it was cancelled may still take it (law L14). With [`Lag::Skip`] and
/// [`Lag::Disconnect`] that value may be gone by then, pushed out by those that came since, even after the request: then
/// that code is told that it has lagged.
pub struct BroadcastReceiver<T> {
    pub(super) chan: Arc<BroadcastChan<T>>,
    /// The number of the next value.
    position: u64,
    /// It was cut off, and its user was told.
    disconnected: bool,
    operation: ChannelOperation,
    listener: ListenerKey,
}

impl<T> BroadcastReceiver<T> {
    pub(super) fn new(chan: Arc<BroadcastChan<T>>, position: u64) -> Self {
        BroadcastReceiver {
            chan,
            position,
            disconnected: false,
            operation: ChannelOperation::new(RECV),
            listener: ListenerKey::new(),
        }
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> BroadcastStatistics {
        self.chan.step(|state, _| BroadcastStatistics::of(state))
    }

    /// Receives, if there is a value or none will come any more; returns `None` if the caller has to wait.
    fn take(
        state: &mut BroadcastState<T>,
        position: &mut u64,
        disconnected: &mut bool,
        deferred: &mut Deferred<TakenValue<T>>,
    ) -> Option<Result<TakenValue<T>, BroadcastRecvError>> {
        if *disconnected {
            return Some(Err(BroadcastRecvError::Disconnected));
        }
        match state.take(position, deferred) {
            Some(Ok(value)) => Some(Ok(value)),
            Some(Err(Missed::Skipped(missed))) => Some(Err(BroadcastRecvError::Lagged(missed))),
            Some(Err(Missed::CutOff(missed))) => {
                *disconnected = true;
                Some(Err(BroadcastRecvError::Lagged(missed)))
            }
            None if state.senders == 0 => Some(Err(BroadcastRecvError::Disconnected)),
            None => None,
        }
    }
}

impl<T: Clone> BroadcastReceiver<T> {
    /// Waits for the next value. It is cloned, unless this is the last receiver to see it.
    ///
    /// # Cancellation
    ///
    /// *Strict*: the place moves on when a value is returned. Code that was woken for a value, and then cancelled, is told
    /// that it has lagged if that value has been pushed out meanwhile, even after the request.
    ///
    /// # Errors
    ///
    /// * [`BroadcastRecvError::Lagged`]: so many values were missed. With [`Lag::Skip`] the next call goes on with the
    ///   oldest that is left; with [`Lag::Disconnect`] this was the end.
    /// * [`BroadcastRecvError::Disconnected`]: all was seen, and there is no sender left.
    ///
    /// # Panics
    ///
    /// If polled after it was ready, or if the value's `clone` does.
    pub fn recv(&mut self) -> BroadcastRecv<'_, T> {
        BroadcastRecv { receiver: self, operation: ChannelOperation::new(RECV), listener: ListenerKey::new() }
    }

    /// Takes the next value, if there is one.
    ///
    /// # Errors
    ///
    /// * [`BroadcastTryRecvError::Empty`]: there is none.
    /// * [`BroadcastTryRecvError::Lagged`], [`BroadcastTryRecvError::Disconnected`]: as
    ///   [`recv`](BroadcastReceiver::recv).
    pub fn try_recv(&mut self) -> Result<T, BroadcastTryRecvError> {
        let BroadcastReceiver { chan, position, disconnected, .. } = self;
        match chan.step(|state, deferred| Self::take(state, position, disconnected, deferred)) {
            Some(Ok(value)) => Ok(value.into_value()),
            Some(Err(BroadcastRecvError::Lagged(missed))) => Err(BroadcastTryRecvError::Lagged(missed)),
            Some(Err(BroadcastRecvError::Disconnected)) => Err(BroadcastTryRecvError::Disconnected),
            None => Err(BroadcastTryRecvError::Empty),
        }
    }

    /// Waits for the next value on a thread that may block.
    ///
    /// # Errors
    ///
    /// As [`recv`](BroadcastReceiver::recv).
    ///
    /// # Panics
    ///
    /// On a thread that is polling a task of foster's, also if there is a value; or if the value's `clone` does.
    #[track_caller]
    pub fn recv_blocking(&mut self) -> Result<T, BroadcastRecvError> {
        block_on("recv_blocking", "`recv`", self.recv())
    }
}

/// The name of a wait for a value in dumps.
const RECV: &str = "broadcast recv";

/// Polls a `recv` or a stream once.
fn poll_recv<T>(
    chan: &BroadcastChan<T>,
    (position, disconnected): (&mut u64, &mut bool),
    operation: &mut ChannelOperation,
    listener: &mut ListenerKey,
    cx: &mut Context<'_>,
) -> Poll<Result<TakenValue<T>, BroadcastRecvError>> {
    operation.poll(cx, |attempt_cx, cx| {
        chan.step(|state, deferred| {
            if !state.recv_listeners.may_check(listener, attempt_cx) {
                return Attempt::Waiting;
            }
            let ready = *disconnected || *position < state.tail() || state.senders == 0;
            if !ready {
                return state.recv_listeners.listen(listener, attempt_cx, cx);
            }
            if !state.recv_listeners.may_take(listener, attempt_cx) {
                return Attempt::Cancelled;
            }
            let done = match BroadcastReceiver::take(state, position, disconnected, deferred) {
                Some(Err(BroadcastRecvError::Disconnected)) => {
                    state.recv_listeners.end(listener, Err(BroadcastRecvError::Disconnected))
                }
                Some(done) => Attempt::Done(done),
                None => unreachable!("there is a value or an end, checked under this lock"),
            };
            // L14: it was woken for this value, and not for the next one, which it may find without having waited.
            state.recv_listeners.leave(listener, deferred);
            done
        })
    })
}

impl<T> Clone for BroadcastReceiver<T> {
    fn clone(&self) -> Self {
        self.chan.step(|state, _| state.add_receiver(self.position));
        let mut clone = BroadcastReceiver::new(self.chan.clone(), self.position);
        clone.disconnected = self.disconnected;
        clone
    }
}

impl<T> Drop for BroadcastReceiver<T> {
    fn drop(&mut self) {
        self.chan.step(|state, deferred| {
            state.recv_listeners.leave(&mut self.listener, deferred);
            state.remove_receiver(self.position, deferred);
        });
    }
}

impl<T: Clone> Stream for BroadcastReceiver<T> {
    type Item = Result<T, Lagged>;

    /// # Cancellation
    ///
    /// *Strict*: the place moves on when a value is returned. Of code that is cancelled see
    /// [`recv`](BroadcastReceiver::recv).
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let BroadcastReceiver { chan, position, disconnected, operation, listener } = &mut *self;
        let done = poll_recv(chan, (position, disconnected), operation, listener, cx);
        if done.is_ready() {
            // Before the clone, which may panic: the stream goes on with the next value.
            *operation = ChannelOperation::new(RECV);
        }
        done.map(|done| match done {
            Ok(value) => Some(Ok(value.into_value())),
            Err(BroadcastRecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(BroadcastRecvError::Disconnected) => None,
        })
    }
}

impl<T> fmt::Debug for BroadcastReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastReceiver").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

/// Future of [`BroadcastReceiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct BroadcastRecv<'a, T> {
    receiver: &'a mut BroadcastReceiver<T>,
    operation: ChannelOperation,
    listener: ListenerKey,
}

impl<T: Clone> Future for BroadcastRecv<'_, T> {
    type Output = Result<T, BroadcastRecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let BroadcastRecv { receiver, operation, listener } = &mut *self;
        let BroadcastReceiver { chan, position, disconnected, .. } = &mut **receiver;
        // L36: cloned with the lock released.
        poll_recv(chan, (position, disconnected), operation, listener, cx).map(|done| done.map(TakenValue::into_value))
    }
}

impl<T> Drop for BroadcastRecv<'_, T> {
    fn drop(&mut self) {
        if !self.listener.is_none() {
            self.receiver.chan.step(|state, deferred| state.recv_listeners.leave(&mut self.listener, deferred));
        }
    }
}

impl<T> fmt::Debug for BroadcastRecv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastRecv").finish_non_exhaustive()
    }
}
