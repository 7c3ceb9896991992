//! The sending end of a broadcast channel, and its waits for room and for the end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use super::shared_value::TakenValue;
use super::state::{BroadcastChan, BroadcastSendState, BroadcastState};
use super::{BroadcastReceiver, BroadcastStatistics};
#[cfg(doc)]
use super::{Lag, broadcast};
use crate::blocking::block_on;
use crate::deferred::Deferred;
use crate::error::{SendError, SendErrorKind, TrySendError};
use crate::listeners::ListenerKey;
use crate::operation::{Attempt, ChannelOperation, update_waiter};

/// The sending end of a [`broadcast`]. It can be cloned.
pub struct BroadcastSender<T> {
    pub(super) chan: Arc<BroadcastChan<T>>,
    id: u64,
    /// Written under the lock only.
    closed: AtomicBool,
}

impl<T> BroadcastSender<T> {
    pub(super) fn new(chan: Arc<BroadcastChan<T>>) -> Self {
        BroadcastSender { chan, id: 0, closed: AtomicBool::new(false) }
    }

    /// Sends `value` to all receivers that are there now. With [`Lag::Wait`] it waits until there is room, longest
    /// waiter first; otherwise it only is a checkpoint.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue and drops the value, which nobody has seen; room that was given already
    /// goes to the next.
    ///
    /// # Errors
    ///
    /// The value comes back.
    /// * [`SendError::Disconnected`]: there is no receiver now, or the last one was cut off by this
    ///   ([`Lag::Disconnect`]). Others may [subscribe](BroadcastSender::subscribe) later.
    /// * [`SendError::Closed`]: this end was closed.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    pub fn send(&self, value: T) -> BroadcastSend<'_, T> {
        BroadcastSend { sender: self, value: Some(value), operation: ChannelOperation::new(SEND), key: None }
    }

    /// Sends `value` to all receivers that are there now, if that is possible without waiting. Only with [`Lag::Wait`]
    /// it may not be.
    ///
    /// # Errors
    ///
    /// The value comes back.
    /// * [`TrySendError::Full`]: there is no room, or others wait for it.
    /// * [`TrySendError::Disconnected`]: there is no receiver now, or the last one was cut off by this.
    /// * [`TrySendError::Closed`]: this end was closed.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut value = Some(value);
        let attempt = self.chan.step(|state, deferred| self.attempt(state, &mut value, deferred));
        match (attempt, value) {
            (Some(Ok(())), _) => Ok(()),
            (Some(Err(kind)), Some(value)) => Err(kind.with_value(value).into()),
            (None, Some(value)) => Err(TrySendError::Full(value)),
            (_, None) => unreachable!("a value that is not sent stays with its future"),
        }
    }

    /// Sends `value` to all receivers that are there now, on a thread that may block.
    ///
    /// # Errors
    ///
    /// As [`send`](BroadcastSender::send).
    ///
    /// # Panics
    ///
    /// On a thread that is polling a task of foster's, also if there is room.
    #[track_caller]
    pub fn send_blocking(&self, value: T) -> Result<(), SendError<T>> {
        block_on("send_blocking", "`send`", self.send(value))
    }

    fn send_error(&self, state: &BroadcastState<T>) -> Option<SendErrorKind> {
        if self.is_endpoint_closed() {
            Some(SendErrorKind::Closed)
        } else if state.receivers == 0 {
            Some(SendErrorKind::Disconnected)
        } else {
            None
        }
    }

    /// Sends, if there is room; returns `None` if there is none.
    fn attempt(
        &self,
        state: &mut BroadcastState<T>,
        value: &mut Option<T>,
        deferred: &mut Deferred<TakenValue<T>>,
    ) -> Option<Result<(), SendErrorKind>> {
        if let Some(kind) = self.send_error(state) {
            return Some(Err(kind));
        }
        if !state.has_room() {
            return None;
        }
        *value = value.take().and_then(|value| state.push(value, deferred));
        Some(if value.is_none() { Ok(()) } else { Err(SendErrorKind::Disconnected) })
    }

    /// Makes another receiver, which gets what is sent from now on.
    pub fn subscribe(&self) -> BroadcastReceiver<T> {
        let position = self.chan.step(|state, _| {
            state.receivers += 1;
            state.tail()
        });
        BroadcastReceiver::new(self.chan.clone(), position)
    }

    /// Waits until there is no receiver any more, or this end was closed. Others may
    /// [subscribe](BroadcastSender::subscribe) later.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub fn closed(&self) -> BroadcastClosed<'_, T> {
        BroadcastClosed {
            sender: self,
            listener: ListenerKey::new(),
            operation: ChannelOperation::new("broadcast closed"),
        }
    }

    /// Returns whether there is no receiver now, or this end was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.chan.step(|state, _| self.send_error(state).is_some())
    }

    /// Closes this end, and this end only: a send that waits on it gets the value back. When all are closed or dropped,
    /// the receivers get what they have not seen, and then the end. Returns whether it was open.
    pub fn close(&self) -> bool {
        self.chan.step(|state, deferred| self.close_in(state, false, deferred))
    }

    fn close_in(&self, state: &mut BroadcastState<T>, dropped: bool, deferred: &mut Deferred<TakenValue<T>>) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        state.senders -= 1;
        if !dropped {
            let mut next = state.send_waiters.first();
            while let Some(key) = next {
                next = state.send_entries.next_in_list(key);
                let own = matches!(state.send_entries[key], BroadcastSendState::Waiting { end, .. } if end == self.id);
                if own && state.claim_sender(key, deferred) {
                    state.complete_sender(key, BroadcastSendState::Refused(SendErrorKind::Closed), deferred);
                }
            }
            state.closed_listeners.notify_all(deferred);
        }
        if state.senders == 0 {
            state.recv_listeners.notify_end(deferred);
        }
        true
    }

    fn is_endpoint_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> BroadcastStatistics {
        self.chan.step(|state, _| BroadcastStatistics::of(state))
    }
}

impl<T> Clone for BroadcastSender<T> {
    /// Makes another end; a closed one, if this one was closed.
    fn clone(&self) -> Self {
        let (id, closed) = self.chan.step(|state, _| {
            let closed = self.is_endpoint_closed();
            state.senders += usize::from(!closed);
            state.next_end += 1;
            (state.next_end, closed)
        });
        BroadcastSender { chan: self.chan.clone(), id, closed: AtomicBool::new(closed) }
    }
}

impl<T> Drop for BroadcastSender<T> {
    fn drop(&mut self) {
        self.chan.step(|state, deferred| self.close_in(state, true, deferred));
    }
}

impl<T> fmt::Debug for BroadcastSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastSender").field("statistics", &self.statistics()).finish()
    }
}

/// The name of a wait for room in dumps.
const SEND: &str = "broadcast send";

/// Returns the end of an attempt. That nothing can be sent, nobody has told it.
fn outcome(done: Result<(), SendErrorKind>) -> Attempt<Result<(), SendErrorKind>> {
    match done {
        Ok(()) => Attempt::Done(done),
        Err(_) => Attempt::Found(done),
    }
}

/// Future of [`BroadcastSender::send`].
#[must_use = "futures do nothing unless polled"]
pub struct BroadcastSend<'a, T> {
    sender: &'a BroadcastSender<T>,
    value: Option<T>,
    operation: ChannelOperation,
    /// The entry of a sender that waits, or has not acknowledged the end of its wait.
    key: Option<usize>,
}

// The value is only moved.
impl<T> Unpin for BroadcastSend<'_, T> {}

impl<T> Future for BroadcastSend<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let BroadcastSend { sender, value, operation, key } = &mut *self;
        let done = operation.poll(cx, |attempt_cx, cx| {
            sender.chan.step(|state, deferred| {
                if let Some(waits) = *key {
                    let refused = sender.send_error(state).is_some();
                    match &mut state.send_entries[waits] {
                        BroadcastSendState::Waiting { waiter, .. } => return update_waiter(waiter, attempt_cx, cx),
                        BroadcastSendState::Skipped if attempt_cx.cancelled => return Attempt::Waiting,
                        // Here nobody has checked yet whether its code was cancelled before sending became impossible.
                        entry @ BroadcastSendState::Granted if attempt_cx.cancelled && refused => {
                            *entry = BroadcastSendState::Skipped;
                            state.granted -= 1;
                            state.admit_senders(deferred);
                            return Attempt::Waiting;
                        }
                        _ => {}
                    }
                    *key = None;
                    match state.send_entries.remove(waits) {
                        BroadcastSendState::Refused(kind) => return Attempt::Done(Err(kind)),
                        BroadcastSendState::Granted => {
                            // The room that was granted to it is used now.
                            state.granted -= 1;
                            let sent = sender.attempt(state, value, deferred);
                            state.admit_senders(deferred);
                            return match sent {
                                Some(done) => outcome(done),
                                None => unreachable!("a sender that was granted room need not wait"),
                            };
                        }
                        // It starts again.
                        BroadcastSendState::Skipped => {}
                        BroadcastSendState::Waiting { .. } => unreachable!("the state was matched under this lock"),
                    }
                }
                if !attempt_cx.may_take() {
                    return Attempt::Cancelled;
                }
                match sender.attempt(state, value, deferred) {
                    Some(done) => outcome(done),
                    None => {
                        let Some(waiter) = attempt_cx.waiter.take() else { return Attempt::NeedsWaiter };
                        let entry = BroadcastSendState::Waiting { waiter, end: sender.id };
                        let waits = state.send_entries.insert(entry);
                        state.send_entries.push_back(&mut state.send_waiters, waits);
                        *key = Some(waits);
                        Attempt::Waiting
                    }
                }
            })
        });
        done.map(|done| match (done, value.take()) {
            (Ok(()), _) => Ok(()),
            (Err(kind), Some(value)) => Err(kind.with_value(value)),
            (Err(_), None) => unreachable!("a value that is not sent stays with its future"),
        })
    }
}

impl<T> Drop for BroadcastSend<'_, T> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        self.sender.chan.step(|state, deferred| {
            if let BroadcastSendState::Waiting { .. } = state.send_entries[key] {
                state.send_entries.unlink(&mut state.send_waiters, key);
            }
            match state.send_entries.remove(key) {
                BroadcastSendState::Waiting { waiter, .. } => deferred.drop_waiter(waiter),
                BroadcastSendState::Granted => {
                    state.granted -= 1;
                    state.admit_senders(deferred);
                }
                BroadcastSendState::Refused(_) | BroadcastSendState::Skipped => {}
            }
        });
    }
}

impl<T> fmt::Debug for BroadcastSend<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastSend").field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// Future of [`BroadcastSender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct BroadcastClosed<'a, T> {
    sender: &'a BroadcastSender<T>,
    listener: ListenerKey,
    operation: ChannelOperation,
}

impl<T> Future for BroadcastClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let BroadcastClosed { sender, listener, operation } = &mut *self;
        operation.poll(cx, |attempt_cx, cx| {
            sender.chan.step(|state, _| {
                if !state.closed_listeners.may_check(listener, attempt_cx) {
                    return Attempt::Waiting;
                }
                match sender.send_error(state) {
                    None => state.closed_listeners.listen(listener, attempt_cx, cx),
                    // Others are woken, too, when one end is closed.
                    Some(_) if sender.is_endpoint_closed() && state.closed_listeners.was_woken(listener) => {
                        Attempt::Done(())
                    }
                    Some(_) => state.closed_listeners.end(listener, ()),
                }
            })
        })
    }
}

impl<T> Drop for BroadcastClosed<'_, T> {
    fn drop(&mut self) {
        if !self.listener.is_none() {
            self.sender.chan.step(|state, deferred| state.closed_listeners.leave(&mut self.listener, deferred));
        }
    }
}

impl<T> fmt::Debug for BroadcastClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastClosed").finish_non_exhaustive()
    }
}
