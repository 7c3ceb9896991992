//! The sending end of a watch, and its wait until nobody watches.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use super::state::{State, Watched};
#[cfg(doc)]
use super::watch;
use super::{WatchReceiver, WatchStatistics};
use crate::channel::after::After;
use crate::channel::bell::Listener;
use crate::channel::error::SendError;
use crate::channel::turn::{Attempt, Turn};

/// The sending end of a [`watch`]. It can be cloned.
pub struct WatchSender<T> {
    pub(super) watched: Arc<Watched<T>>,
    /// Written under the lock only.
    closed: AtomicBool,
}

impl<T> WatchSender<T> {
    pub(super) fn new(watched: Arc<Watched<T>>) -> Self {
        WatchSender { watched, closed: AtomicBool::new(false) }
    }

    /// Makes `value` the latest. Never waits.
    ///
    /// # Errors
    ///
    /// The value comes back, and the one before stays.
    /// * [`SendError::Disconnected`]: there is no receiver now. [`replace`](WatchSender::replace) does without.
    /// * [`SendError::Closed`]: this end was closed.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let sent = self.watched.step(|state, after| {
            if self.is_off() {
                Err(SendError::Closed(value))
            } else if state.receivers == 0 {
                Err(SendError::Disconnected(value))
            } else {
                Ok(state.renew(value, after))
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
        self.watched
            .step(|state, after| if self.is_off() { Err(value) } else { Ok(state.replace(value, after)) })
            .map_err(|value| match Arc::into_inner(value) {
                Some(value) => SendError::Closed(value),
                None => unreachable!("nobody else has seen it"),
            })
    }

    /// Makes the latest value out of the one before, whether or not anybody watches. `None` from `change` leaves it as it is, and
    /// wakes nobody. Says whether it changed.
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
            let (value, version) = self.watched.step(|state, _| (state.value.clone(), state.version));
            if self.is_off() {
                return Err(SendError::Closed(()));
            }
            let Some(new) = change(&value) else { return Ok(false) };
            // What nobody looks at is not allocated anew.
            drop(value);
            let done = self.watched.step(|state, after| {
                if state.version != version || self.is_off() { Err(new) } else { Ok(state.renew(new, after)) }
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

    /// The latest value.
    #[must_use]
    pub fn latest(&self) -> Arc<T> {
        self.watched.step(|state, _| state.value.clone())
    }

    /// Another receiver, which has seen the latest value.
    pub fn subscribe(&self) -> WatchReceiver<T> {
        let version = self.watched.step(|state, _| {
            state.receivers += 1;
            state.version
        });
        WatchReceiver::new(self.watched.clone(), version)
    }

    /// Waits until nobody watches any more, or this end was closed. Others may [subscribe](WatchSender::subscribe) later.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub fn closed(&self) -> WatchClosed<'_, T> {
        WatchClosed { sender: self, listener: Listener::new(), turn: Turn::new("watch closed") }
    }

    /// Whether nobody watches now, or this end was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.watched.step(|state, _| self.is_off() || state.receivers == 0)
    }

    /// Closes this end, and this end only. When all are closed or dropped, the receivers get the latest value, if they have
    /// not, and then the end. Says whether it was open.
    pub fn close(&self) -> bool {
        self.watched.step(|state, after| self.close_in(state, true, after))
    }

    fn close_in(&self, state: &mut State<T>, ring: bool, after: &mut After<Arc<T>>) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        state.senders -= 1;
        if state.senders == 0 {
            state.changed.ring(after);
        }
        if ring {
            state.closing.ring(after);
        }
        true
    }

    fn is_off(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> WatchStatistics {
        self.watched.step(|state, _| WatchStatistics::of(state))
    }
}

impl<T> Clone for WatchSender<T> {
    /// Another end; a closed one, if this one was closed.
    fn clone(&self) -> Self {
        let closed = self.watched.step(|state, _| {
            let closed = self.is_off();
            state.senders += usize::from(!closed);
            closed
        });
        WatchSender { watched: self.watched.clone(), closed: AtomicBool::new(closed) }
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        self.watched.step(|state, after| self.close_in(state, false, after));
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
    listener: Listener,
    turn: Turn,
}

impl<T> Future for WatchClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let WatchClosed { sender, listener, turn } = &mut *self;
        turn.poll(cx, |visit, cx| {
            sender.watched.step(|state, _| {
                if !state.closing.may_look(listener, visit) {
                    Attempt::Waits
                } else if state.receivers > 0 && !sender.is_off() {
                    state.closing.listen(listener, visit, cx)
                } else {
                    Attempt::Done(())
                }
            })
        })
    }
}

impl<T> Drop for WatchClosed<'_, T> {
    fn drop(&mut self) {
        if !self.listener.is_home() {
            self.sender.watched.step(|state, after| state.closing.leave(&mut self.listener, after));
        }
    }
}

impl<T> fmt::Debug for WatchClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchClosed").finish_non_exhaustive()
    }
}
