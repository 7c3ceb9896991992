//! The watch: the latest value, for everybody who wants to know when it changes.
//!
//! Values are behind an `Arc`, so that one can be looked at for as long as one likes while no lock is held (law L36).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;

use super::after::After;
use super::bell::{Bell, Listener};
use super::blocking::{block_on, refuse_in_task};
use super::error::{RecvError, SendError, TryRecvError};
use super::turn::{Attempt, Turn};

/// A channel that keeps the latest value only: receivers that are slow skip what came in between.
///
/// For configuration, state, progress. The receivers have seen `value`; they are told of the next.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let (tx, mut rx) = foster::channel::watch("starting");
/// assert_eq!(*rx.latest(), "starting");
/// tx.send("running").unwrap();
/// tx.send("stopping").unwrap();
/// assert_eq!(*rx.recv().await.unwrap(), "stopping");
/// # });
/// ```
#[must_use]
pub fn watch<T>(value: T) -> (WatchSender<T>, WatchReceiver<T>) {
    let watched = Arc::new(Watched(Mutex::new(State {
        value: Arc::new(value),
        version: 0,
        senders: 1,
        receivers: 1,
        changed: Bell::new(),
        closing: Bell::new(),
    })));
    let receiver = WatchReceiver::new(watched.clone(), 0);
    (WatchSender { watched, closed: AtomicBool::new(false) }, receiver)
}

#[derive(Debug)]
struct Watched<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    value: Arc<T>,
    version: u64,
    senders: usize,
    receivers: usize,
    /// Receivers that wait for another value, or the end.
    changed: Bell,
    /// Senders that wait until nobody watches.
    closing: Bell,
}

impl<T> Watched<T> {
    fn step<R>(&self, f: impl FnOnce(&mut State<T>, &mut After<Arc<T>>) -> R) -> R {
        let mut after = After::new();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut state, &mut after);
        drop(state);
        drop(after);
        result
    }
}

impl<T> State<T> {
    fn replace(&mut self, value: Arc<T>, after: &mut After<Arc<T>>) -> Arc<T> {
        self.version += 1;
        self.changed.ring(after);
        std::mem::replace(&mut self.value, value)
    }
}

/// The sending end of a [`watch`]. It can be cloned.
pub struct WatchSender<T> {
    watched: Arc<Watched<T>>,
    /// Written under the lock only.
    closed: AtomicBool,
}

impl<T> WatchSender<T> {
    /// Makes `value` the latest. Never waits.
    ///
    /// # Errors
    ///
    /// The value comes back, and the one before stays.
    /// * [`SendError::Disconnected`]: there is no receiver now. [`replace`](WatchSender::replace) does without.
    /// * [`SendError::Closed`]: this end was closed.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let value = Arc::new(value);
        self.watched
            .step(|state, after| {
                if self.is_off() {
                    return Err((value, true));
                }
                if state.receivers == 0 {
                    return Err((value, false));
                }
                let old = state.replace(value, after);
                after.discard(old);
                Ok(())
            })
            .map_err(|(value, closed)| match (Arc::into_inner(value), closed) {
                (Some(value), true) => SendError::Closed(value),
                (Some(value), false) => SendError::Disconnected(value),
                (None, _) => unreachable!("nobody else has seen it"),
            })
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
            let new = Arc::new(new);
            let done = self.watched.step(|state, after| {
                if state.version != version || self.is_off() {
                    after.discard(new);
                    return false;
                }
                let old = state.replace(new, after);
                after.discard(old);
                true
            });
            if done {
                return Ok(true);
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

/// The receiving end of a [`watch`]. It can be cloned; the clone has seen what this one has.
///
/// As a [`Stream`] it gives the values that it has not seen, skipping those that came in between.
pub struct WatchReceiver<T> {
    watched: Arc<Watched<T>>,
    /// The version that it has seen; none if it is to see the latest again.
    seen: Option<u64>,
    turn: Turn,
    listener: Listener,
}

impl<T> WatchReceiver<T> {
    fn new(watched: Arc<Watched<T>>, seen: u64) -> Self {
        WatchReceiver { watched, seen: Some(seen), turn: Turn::new(RECV), listener: Listener::new() }
    }

    /// The latest value, without marking it as seen.
    #[must_use]
    pub fn latest(&self) -> Arc<T> {
        self.watched.step(|state, _| state.value.clone())
    }

    /// Whether the latest value has not been seen.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.watched.step(|state, _| self.seen != Some(state.version))
    }

    /// Lets the next [`recv`](WatchReceiver::recv) give the latest value, whether it was seen or not.
    pub fn mark_unseen(&mut self) {
        self.seen = None;
    }

    /// Waits for a value that was not seen, and gives the latest.
    ///
    /// # Cancellation
    ///
    /// *Strict*: a value counts as seen when it is returned.
    ///
    /// # Errors
    ///
    /// [`RecvError::Disconnected`]: the latest value was seen, and there is no sender left.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    pub fn recv(&mut self) -> WatchRecv<'_, T> {
        WatchRecv { receiver: self, turn: Turn::new(RECV), listener: Listener::new() }
    }

    /// Gives the latest value, if it was not seen.
    ///
    /// # Errors
    ///
    /// * [`TryRecvError::Empty`]: it was.
    /// * [`TryRecvError::Disconnected`]: it was, and there is no sender left.
    pub fn try_recv(&mut self) -> Result<Arc<T>, TryRecvError> {
        let seen = &mut self.seen;
        self.watched.step(|state, _| match take(state, seen) {
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
        refuse_in_task("recv_blocking", "recv");
        block_on(WatchRecv { receiver: self, turn: Turn::fast(RECV), listener: Listener::new() })
    }

    /// Waits until the latest value is one that `wanted` likes, and gives it; the present one counts, seen or not.
    ///
    /// No lock is held while `wanted` runs.
    ///
    /// # Cancellation
    ///
    /// *Strict*: a value counts as seen when it is returned.
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
    ///         foster::checkpoint().await;
    ///         tx.replace(n).unwrap();
    ///     }
    ///     Ok(())
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    pub fn wait_for<F: FnMut(&T) -> bool>(&mut self, wanted: F) -> WatchWaitFor<'_, T, F> {
        WatchWaitFor { receiver: self, wanted, turn: Turn::new("watch wait_for"), listener: Listener::new() }
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> WatchStatistics {
        self.watched.step(|state, _| WatchStatistics::of(state))
    }
}

/// What a wait for a value is called in dumps.
const RECV: &str = "watch recv";

/// The latest value, if it was not seen.
fn take<T>(state: &State<T>, seen: &mut Option<u64>) -> Option<Arc<T>> {
    if *seen == Some(state.version) {
        return None;
    }
    *seen = Some(state.version);
    Some(state.value.clone())
}

fn poll_recv<T>(
    watched: &Watched<T>,
    seen: &mut Option<u64>,
    turn: &mut Turn,
    listener: &mut Listener,
    cx: &mut Context<'_>,
) -> Poll<Result<Arc<T>, RecvError>> {
    turn.poll(cx, |act, spare, cx| {
        watched.step(|state, _| {
            if *seen == Some(state.version) && state.senders > 0 {
                state.changed.listen(listener, spare, cx)
            } else if act {
                Attempt::Done(take(state, seen).ok_or(RecvError::Disconnected))
            } else {
                Attempt::Ready
            }
        })
    })
}

fn leave<T>(watched: &Watched<T>, listener: &mut Listener) {
    if !listener.is_home() {
        watched.step(|state, after| state.changed.leave(listener, after));
    }
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> Self {
        self.watched.step(|state, _| state.receivers += 1);
        WatchReceiver {
            watched: self.watched.clone(),
            seen: self.seen,
            turn: Turn::new(RECV),
            listener: Listener::new(),
        }
    }
}

impl<T> Drop for WatchReceiver<T> {
    fn drop(&mut self) {
        self.watched.step(|state, after| {
            state.changed.leave(&mut self.listener, after);
            state.receivers -= 1;
            if state.receivers == 0 {
                state.closing.ring(after);
            }
        });
    }
}

impl<T> Stream for WatchReceiver<T> {
    type Item = Arc<T>;

    /// # Cancellation
    ///
    /// *Strict*: a value counts as seen when it is returned.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arc<T>>> {
        let WatchReceiver { watched, seen, turn, listener } = &mut *self;
        let done = poll_recv(watched, seen, turn, listener, cx);
        if done.is_ready() {
            *turn = Turn::new(RECV);
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
    turn: Turn,
    listener: Listener,
}

impl<T> Future for WatchRecv<'_, T> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let WatchRecv { receiver, turn, listener } = &mut *self;
        poll_recv(&receiver.watched, &mut receiver.seen, turn, listener, cx)
    }
}

impl<T> Drop for WatchRecv<'_, T> {
    fn drop(&mut self) {
        leave(&self.receiver.watched, &mut self.listener);
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
    turn: Turn,
    listener: Listener,
}

// The closure is only called.
impl<T, F> Unpin for WatchWaitFor<'_, T, F> {}

impl<T, F: FnMut(&T) -> bool> Future for WatchWaitFor<'_, T, F> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let WatchWaitFor { receiver, wanted, turn, listener } = &mut *self;
        let WatchReceiver { watched, seen, .. } = &mut **receiver;
        // The version that was looked at, and not wanted.
        let mut refused = None;
        turn.poll(cx, |act, spare, cx| {
            loop {
                let looked = watched.step(|state, _| {
                    if refused != Some(state.version) {
                        return Ok((state.value.clone(), state.version));
                    }
                    Err(match (state.senders, act) {
                        (0, true) => Attempt::Done(Err(RecvError::Disconnected)),
                        (0, false) => Attempt::Ready,
                        _ => state.changed.listen(listener, spare, cx),
                    })
                });
                match looked {
                    Err(attempt) => return attempt,
                    Ok((value, version)) if wanted(&value) => {
                        if !act {
                            return Attempt::Ready;
                        }
                        *seen = Some(version);
                        return Attempt::Done(Ok(value));
                    }
                    Ok((_, version)) => refused = Some(version),
                }
            }
        })
    }
}

impl<T, F> Drop for WatchWaitFor<'_, T, F> {
    fn drop(&mut self) {
        leave(&self.receiver.watched, &mut self.listener);
    }
}

impl<T, F> fmt::Debug for WatchWaitFor<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchWaitFor").finish_non_exhaustive()
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
        turn.poll(cx, |act, spare, cx| {
            sender.watched.step(|state, _| {
                if state.receivers > 0 && !sender.is_off() {
                    state.closing.listen(listener, spare, cx)
                } else if act {
                    Attempt::Done(())
                } else {
                    Attempt::Ready
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

/// What [`WatchSender::statistics`] and [`WatchReceiver::statistics`] tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStatistics {
    /// How often the value was changed.
    pub version: u64,
    /// How many sending ends are open.
    pub senders: usize,
    /// How many receivers there are.
    pub receivers: usize,
    /// How many of them wait.
    pub waiting_receivers: usize,
}

impl WatchStatistics {
    fn of<T>(state: &State<T>) -> Self {
        let State { version, senders, receivers, changed, .. } = state;
        WatchStatistics {
            version: *version,
            senders: *senders,
            receivers: *receivers,
            waiting_receivers: changed.listening(),
        }
    }
}

#[cfg(test)]
mod tests;
