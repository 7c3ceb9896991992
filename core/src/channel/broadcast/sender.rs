//! The sending end of a broadcast, and its waits: for room, and for the end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use super::ring::{Cast, Refusal, Stage, State};
use super::seat::Leaving;
use super::{BroadcastReceiver, BroadcastStatistics};
#[cfg(doc)]
use super::{Lag, broadcast};
use crate::channel::after::After;
use crate::channel::bell::Listener;
use crate::channel::blocking::{block_on, refuse_in_task};
use crate::channel::error::{SendError, TrySendError};
use crate::channel::turn::{Attempt, Turn, wait_with};

/// The sending end of a [`broadcast`]. It can be cloned.
pub struct BroadcastSender<T> {
    pub(super) cast: Arc<Cast<T>>,
    id: u64,
    /// Written under the lock only.
    closed: AtomicBool,
}

impl<T> BroadcastSender<T> {
    pub(super) fn new(cast: Arc<Cast<T>>) -> Self {
        BroadcastSender { cast, id: 0, closed: AtomicBool::new(false) }
    }

    /// Sends `value` to all receivers that are there now. With [`Lag::Wait`] it waits until there is room, longest waiter first;
    /// otherwise it only is a checkpoint.
    ///
    /// # Cancellation
    ///
    /// *Strict*. A drop leaves the line and drops the value, which nobody has seen; room that was given already goes to the next.
    ///
    /// # Errors
    ///
    /// The value comes back.
    /// * [`SendError::Disconnected`]: there is no receiver now. Others may [subscribe](BroadcastSender::subscribe) later.
    /// * [`SendError::Closed`]: this end was closed.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    pub fn send(&self, value: T) -> BroadcastSend<'_, T> {
        BroadcastSend { sender: self, value: Some(value), turn: Turn::new(SEND), key: None }
    }

    /// Sends `value` to all receivers that are there now, if that is possible without waiting. Only with [`Lag::Wait`] it may
    /// not be.
    ///
    /// # Errors
    ///
    /// The value comes back.
    /// * [`TrySendError::Full`]: there is no room, or others wait for it.
    /// * [`TrySendError::Disconnected`]: there is no receiver now.
    /// * [`TrySendError::Closed`]: this end was closed.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut value = Some(value);
        let attempt = self.cast.step(|state, after| self.attempt(state, &mut value, after));
        match (attempt, value) {
            (Some(Ok(())), _) => Ok(()),
            (Some(Err(refusal)), Some(value)) => Err(refusal.error(value).into()),
            (None, Some(value)) => Err(TrySendError::Full(value)),
            (_, None) => unreachable!("what is not sent is handed back"),
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
        refuse_in_task("send_blocking", "send");
        block_on(BroadcastSend { sender: self, value: Some(value), turn: Turn::new(SEND), key: None })
    }

    fn refusal(&self, state: &State<T>) -> Option<Refusal> {
        if self.is_off() {
            Some(Refusal::Closed)
        } else if state.receivers == 0 {
            Some(Refusal::Disconnected)
        } else {
            None
        }
    }

    /// Sends, if there is room; none if there is none.
    fn attempt(
        &self,
        state: &mut State<T>,
        value: &mut Option<T>,
        after: &mut After<Leaving<T>>,
    ) -> Option<Result<(), Refusal>> {
        if let Some(refusal) = self.refusal(state) {
            return Some(Err(refusal));
        }
        if !state.has_room() {
            return None;
        }
        if let Some(value) = value.take() {
            state.push(value, after);
        }
        Some(Ok(()))
    }

    /// Another receiver, which gets what is sent from now on.
    pub fn subscribe(&self) -> BroadcastReceiver<T> {
        let place = self.cast.step(|state, _| {
            state.receivers += 1;
            state.tail()
        });
        BroadcastReceiver::new(self.cast.clone(), place)
    }

    /// Waits until there is no receiver any more, or this end was closed. Others may [subscribe](BroadcastSender::subscribe)
    /// later.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub fn closed(&self) -> BroadcastClosed<'_, T> {
        BroadcastClosed { sender: self, listener: Listener::new(), turn: Turn::new("broadcast closed") }
    }

    /// Whether there is no receiver now, or this end was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.cast.step(|state, _| self.refusal(state).is_some())
    }

    /// Closes this end, and this end only: whoever waits on it gets the value back. When all are closed or dropped, the receivers
    /// get what they have not seen, and then the end. Says whether it was open.
    pub fn close(&self) -> bool {
        self.cast.step(|state, after| self.close_in(state, false, after))
    }

    fn close_in(&self, state: &mut State<T>, gone: bool, after: &mut After<Leaving<T>>) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        state.senders -= 1;
        if !gone {
            let mut next = state.line.first();
            while let Some(key) = next {
                next = state.entries.after(key);
                let own = matches!(state.entries[key], Stage::Waiting { end, .. } if end == self.id);
                if own && !state.passes_over(key, after) {
                    state.call(key, Stage::Refused, after);
                }
            }
            state.closing.ring(after);
        }
        if state.senders == 0 {
            state.waits.ring(after);
        }
        true
    }

    fn is_off(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> BroadcastStatistics {
        self.cast.step(|state, _| BroadcastStatistics::of(state))
    }
}

impl<T> Clone for BroadcastSender<T> {
    /// Another end; a closed one, if this one was closed.
    fn clone(&self) -> Self {
        let (id, closed) = self.cast.step(|state, _| {
            let closed = self.is_off();
            state.senders += usize::from(!closed);
            state.next_end += 1;
            (state.next_end, closed)
        });
        BroadcastSender { cast: self.cast.clone(), id, closed: AtomicBool::new(closed) }
    }
}

impl<T> Drop for BroadcastSender<T> {
    fn drop(&mut self) {
        self.cast.step(|state, after| self.close_in(state, true, after));
    }
}

impl<T> fmt::Debug for BroadcastSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastSender").field("statistics", &self.statistics()).finish()
    }
}

/// What a wait for room is called in dumps.
const SEND: &str = "broadcast send";

/// Future of [`BroadcastSender::send`].
#[must_use = "futures do nothing unless polled"]
pub struct BroadcastSend<'a, T> {
    sender: &'a BroadcastSender<T>,
    value: Option<T>,
    turn: Turn,
    /// The entry of a sender that waits, or has waited and did not take note.
    key: Option<usize>,
}

// The value is only moved.
impl<T> Unpin for BroadcastSend<'_, T> {}

impl<T> Future for BroadcastSend<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let BroadcastSend { sender, value, turn, key } = &mut *self;
        let done = turn.poll(cx, |visit, cx| {
            sender.cast.step(|state, after| {
                if let Some(waits) = *key {
                    let refused = sender.refusal(state).is_some();
                    match &mut state.entries[waits] {
                        Stage::Waiting { waiter, .. } => return wait_with(waiter, visit, cx),
                        Stage::Passed if visit.cancelled => return Attempt::Waits,
                        // Nobody has looked whether its code was cancelled before it could not be sent any more.
                        entry @ Stage::Granted if visit.cancelled && refused => {
                            *entry = Stage::Passed;
                            state.granted -= 1;
                            state.admit(after);
                            return Attempt::Waits;
                        }
                        _ => {}
                    }
                    *key = None;
                    let entry = state.entries.remove(waits);
                    if !matches!(entry, Stage::Passed) {
                        // Called: what room it was granted is room for it now.
                        state.granted -= usize::from(matches!(entry, Stage::Granted));
                        let sent = sender.attempt(state, value, after);
                        state.admit(after);
                        return match sent {
                            Some(done) => Attempt::Done(done),
                            None => unreachable!("it was granted room, or refused"),
                        };
                    }
                }
                match sender.attempt(state, value, after) {
                    Some(done) => Attempt::Done(done),
                    None => {
                        let Some(waiter) = visit.waiter.take() else { return Attempt::NoWaiter };
                        let entry = Stage::Waiting { waiter, end: sender.id };
                        let waits = state.entries.insert(entry);
                        state.entries.push(&mut state.line, waits);
                        *key = Some(waits);
                        Attempt::Waits
                    }
                }
            })
        });
        done.map(|done| match (done, value.take()) {
            (Ok(()), _) => Ok(()),
            (Err(refusal), Some(value)) => Err(refusal.error(value)),
            (Err(_), None) => unreachable!("what is not sent is handed back"),
        })
    }
}

impl<T> Drop for BroadcastSend<'_, T> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        self.sender.cast.step(|state, after| {
            if let Stage::Waiting { .. } = state.entries[key] {
                state.entries.unlink(&mut state.line, key);
            }
            match state.entries.remove(key) {
                Stage::Waiting { waiter, .. } => after.forget(waiter),
                Stage::Granted => {
                    state.granted -= 1;
                    state.admit(after);
                }
                Stage::Refused | Stage::Passed => {}
            }
        });
    }
}

impl<T> fmt::Debug for BroadcastSend<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastSend").field("turn", &self.turn).finish_non_exhaustive()
    }
}

/// Future of [`BroadcastSender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct BroadcastClosed<'a, T> {
    sender: &'a BroadcastSender<T>,
    listener: Listener,
    turn: Turn,
}

impl<T> Future for BroadcastClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let BroadcastClosed { sender, listener, turn } = &mut *self;
        turn.poll(cx, |visit, cx| {
            sender.cast.step(|state, _| {
                if !state.closing.may_look(listener, visit) {
                    return Attempt::Waits;
                }
                match sender.refusal(state) {
                    None => state.closing.listen(listener, visit, cx),
                    Some(_) => Attempt::Done(()),
                }
            })
        })
    }
}

impl<T> Drop for BroadcastClosed<'_, T> {
    fn drop(&mut self) {
        if !self.listener.is_home() {
            self.sender.cast.step(|state, after| state.closing.leave(&mut self.listener, after));
        }
    }
}

impl<T> fmt::Debug for BroadcastClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastClosed").finish_non_exhaustive()
    }
}
