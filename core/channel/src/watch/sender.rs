//! The sending end of a watch channel, and its wait until there is no receiver.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use super::state::{WatchChan, WatchState};
#[cfg(doc)]
use super::watch;
use super::{WatchReceiver, WatchStatistics};
use crate::deferred::Deferred;
use crate::error::SendError;
use crate::listeners::ListenerKey;
use crate::operation::{Attempt, ChannelOperation};

/// The sending end of a [`watch`]. It can be cloned.
pub struct WatchSender<T> {
    pub(super) chan: Arc<WatchChan<T>>,
    /// Written under the lock only.
    closed: AtomicBool,
}

impl<T> WatchSender<T> {
    pub(super) fn new(chan: Arc<WatchChan<T>>) -> Self {
        WatchSender { chan, closed: AtomicBool::new(false) }
    }

    /// Makes `value` the latest. Never waits.
    ///
    /// # Errors
    ///
    /// The value comes back, and the one before stays.
    /// * [`SendError::Disconnected`]: there is no receiver now. [`replace`](WatchSender::replace) does without.
    /// * [`SendError::Closed`]: this end was closed.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let sent = self.chan.step(|state, deferred| {
            if self.is_endpoint_closed() {
                Err(SendError::Closed(value))
            } else if state.receivers == 0 {
                Err(SendError::Disconnected(value))
            } else {
                Ok(state.set_value(value, deferred))
            }
        });
        sent.map(drop)
    }

    /// Makes `value` the latest, whether or not anybody watches, and gives the one before.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the value, if this end was closed.
    pub fn replace(&self, value: T) -> Result<Arc<T>, SendError<T>> {
        let value = Arc::new(value);
        self.chan
            .step(
                |state, deferred| {
                    if self.is_endpoint_closed() { Err(value) } else { Ok(state.replace(value, deferred)) }
                },
            )
            .map_err(|value| match Arc::into_inner(value) {
                Some(value) => SendError::Closed(value),
                None => unreachable!("a value that was not sent is not shared"),
            })
    }

    /// Makes the latest value out of the one before, whether or not anybody watches. `None` from `change` leaves it as
    /// it is, and wakes nobody. Returns whether it changed.
    ///
    /// No lock is held while `change` runs: if another sender is faster, it is called again, with that one's value.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] if this end was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = foster::channel::watch(1);
    /// tx.update(|n| Some(n + 1)).unwrap();
    /// assert_eq!(*rx.latest(), 2);
    /// ```
    pub fn update(&self, mut change: impl FnMut(&T) -> Option<T>) -> Result<bool, SendError<()>> {
        loop {
            let (value, version) = self.chan.step(|state, _| (state.value.clone(), state.version));
            if self.is_endpoint_closed() {
                return Err(SendError::Closed(()));
            }
            let Some(new) = change(&value) else { return Ok(false) };
            // Released, so that the next value can reuse the allocation.
            drop(value);
            let done = self.chan.step(|state, deferred| {
                if state.version != version || self.is_endpoint_closed() {
                    Err(new)
                } else {
                    Ok(state.set_value(new, deferred))
                }
            });
            match done {
                Ok(past) => {
                    drop(past);
                    return Ok(true);
                }
                Err(new) => drop(new),
            }
        }
    }

    /// Returns the latest value.
    #[must_use]
    pub fn latest(&self) -> Arc<T> {
        self.chan.step(|state, _| state.value.clone())
    }

    /// Makes another receiver, which has seen the latest value.
    pub fn subscribe(&self) -> WatchReceiver<T> {
        let version = self.chan.step(|state, _| {
            state.receivers += 1;
            state.version
        });
        WatchReceiver::new(self.chan.clone(), version)
    }

    /// Waits until nobody watches any more, or this end was closed. Others may [subscribe](WatchSender::subscribe)
    /// later.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub fn closed(&self) -> WatchClosed<'_, T> {
        WatchClosed { sender: self, listener: ListenerKey::new(), operation: ChannelOperation::new("watch closed") }
    }

    /// Returns whether nobody watches now, or this end was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.chan.step(|state, _| self.is_endpoint_closed() || state.receivers == 0)
    }

    /// Closes this end, and this end only. When all are closed or dropped, the receivers get the latest value, if they
    /// have not, and then the end. Returns whether it was open.
    pub fn close(&self) -> bool {
        self.chan.step(|state, deferred| self.close_in(state, true, deferred))
    }

    fn close_in(&self, state: &mut WatchState<T>, notify: bool, deferred: &mut Deferred<Arc<T>>) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        state.senders -= 1;
        if state.senders == 0 {
            state.recv_listeners.notify_end(deferred);
        }
        if notify {
            state.closed_listeners.notify_all(deferred);
        }
        true
    }

    fn is_endpoint_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> WatchStatistics {
        self.chan.step(|state, _| WatchStatistics::of(state))
    }
}

impl<T> Clone for WatchSender<T> {
    /// Makes another end; a closed one, if this one was closed.
    fn clone(&self) -> Self {
        let closed = self.chan.step(|state, _| {
            let closed = self.is_endpoint_closed();
            state.senders += usize::from(!closed);
            closed
        });
        WatchSender { chan: self.chan.clone(), closed: AtomicBool::new(closed) }
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        self.chan.step(|state, deferred| self.close_in(state, false, deferred));
    }
}

impl<T> fmt::Debug for WatchSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchSender").field("statistics", &self.statistics()).finish()
    }
}

/// Future of [`WatchSender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct WatchClosed<'a, T> {
    sender: &'a WatchSender<T>,
    listener: ListenerKey,
    operation: ChannelOperation,
}

impl<T> Future for WatchClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let WatchClosed { sender, listener, operation } = &mut *self;
        operation.poll(cx, |attempt_cx, cx| {
            sender.chan.step(|state, _| {
                if !state.closed_listeners.may_check(listener, attempt_cx) {
                    Attempt::Waiting
                } else if state.receivers > 0 && !sender.is_endpoint_closed() {
                    state.closed_listeners.listen(listener, attempt_cx, cx)
                } else if sender.is_endpoint_closed() && state.closed_listeners.was_woken(listener) {
                    // Others are woken, too, when one end is closed.
                    Attempt::Done(())
                } else {
                    state.closed_listeners.end(listener, ())
                }
            })
        })
    }
}

impl<T> Drop for WatchClosed<'_, T> {
    fn drop(&mut self) {
        if !self.listener.is_none() {
            self.sender.chan.step(|state, deferred| state.closed_listeners.leave(&mut self.listener, deferred));
        }
    }
}

impl<T> fmt::Debug for WatchClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchClosed").finish_non_exhaustive()
    }
}
