//! The broadcast: every receiver gets every value.
//!
//! Values stand in one queue, behind an `Arc` each, with the number of receivers that have still to see them; a receiver has
//! its place in it. A value is dropped when all have seen it. What happens to receivers that are slow is said by [`Lag`].
//!
//! ```text
//!   head                         tail
//!    │ 7 │ 8 │ 9 │ 10 │ 11 │      one receiver is at 12, one at 9; one is at 4: it lags, and has missed 4, 5 and 6
//! ```
//!
//! Invariant 1: `left` of a value is the number of receivers whose place is at it or before; it never grows towards the head,
//! and is 0 nowhere.
//! Invariant 2: with [`Lag::Wait`], `queue + granted <= capacity`, and no sender waits while it is less.
//! Invariant 3: under the lock no value is cloned or dropped, and no waker cloned, called or dropped (L36).

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::after::After;
use super::bell::{Bell, Listener};
use super::blocking::{block_on, refuse_in_task};
use super::error::{SendError, TrySendError};
use super::slots::{Row, Slots};
use super::turn::{Attempt, Turn, wait_with};

/// What happens when a [`broadcast`] is full because a receiver has not seen the oldest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lag {
    /// Senders wait for the slowest receiver. Nobody misses anything.
    Wait,
    /// The oldest value goes. Receivers that have missed some are told how many, and go on with the oldest that is left.
    Skip,
    /// The oldest value goes. Receivers that would miss it are cut off: they are told that they lagged, and get nothing more.
    Disconnect,
}

/// A channel in which every receiver gets every value that is sent while it is there, with room for `capacity` values that
/// somebody has still to see.
///
/// # Panics
///
/// If `capacity` is 0: a value has to be somewhere until the last receiver has seen it.
///
/// # Examples
///
/// ```
/// use foster::channel::{Lag, broadcast};
///
/// # foster_sim::run(1, async {
/// let (tx, mut one) = broadcast(8, Lag::Wait);
/// let mut other = one.clone();
/// tx.send("to all").await.unwrap();
/// assert_eq!(one.recv().await, Ok("to all"));
/// assert_eq!(other.recv().await, Ok("to all"));
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn broadcast<T>(capacity: usize, lag: Lag) -> (BroadcastSender<T>, BroadcastReceiver<T>) {
    assert!(capacity > 0, "a broadcast channel needs room for at least one value; for a rendezvous use `bounded(0)`");
    let cast = Arc::new(Cast(Mutex::new(State {
        lag,
        capacity,
        queue: VecDeque::new(),
        head: 0,
        senders: 1,
        next_end: 1,
        receivers: 1,
        waits: Bell::new(),
        closing: Bell::new(),
        entries: Slots::new(),
        line: Row::new(),
        granted: 0,
        peak: 0,
    })));
    let receiver = BroadcastReceiver::new(cast.clone(), 0);
    (BroadcastSender { cast, id: 0, closed: AtomicBool::new(false) }, receiver)
}

#[derive(Debug)]
struct Cast<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    lag: Lag,
    capacity: usize,
    queue: VecDeque<Queued<T>>,
    /// The number of the first in the queue.
    head: u64,
    senders: usize,
    next_end: u64,
    /// Those that can still receive: who was cut off does not count.
    receivers: usize,
    /// Receivers that wait.
    waits: Bell,
    /// Senders that wait until nobody listens.
    closing: Bell,
    entries: Slots<Stage>,
    /// Senders that wait for room.
    line: Row,
    /// Room that was given to senders which have not used it yet.
    granted: usize,
    peak: usize,
}

#[derive(Debug)]
struct Queued<T> {
    value: Arc<T>,
    left: usize,
}

/// A sender that waits for room. Its value stays with it until it has some.
#[derive(Debug)]
enum Stage {
    Waiting { waker: Option<Waker>, end: u64 },
    Granted,
    Refused,
}

/// Why nothing can be sent.
#[derive(Clone, Copy)]
enum Refusal {
    Closed,
    Disconnected,
}

impl Refusal {
    fn error<T>(self, value: T) -> SendError<T> {
        match self {
            Refusal::Closed => SendError::Closed(value),
            Refusal::Disconnected => SendError::Disconnected(value),
        }
    }
}

impl<T> Cast<T> {
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
    fn tail(&self) -> u64 {
        self.head + self.queue.len() as u64
    }

    fn has_room(&self) -> bool {
        self.lag != Lag::Wait || self.queue.len() + self.granted < self.capacity
    }

    /// Sends. With `Lag::Wait` there is room.
    fn push(&mut self, value: Arc<T>, after: &mut After<Arc<T>>) {
        if self.queue.len() == self.capacity {
            debug_assert!(self.lag != Lag::Wait, "Invariant 2");
            if let Some(oldest) = self.queue.pop_front() {
                self.head += 1;
                after.discard(oldest.value);
                if self.lag == Lag::Disconnect {
                    self.cut(oldest.left, after);
                }
            }
        }
        if self.receivers == 0 {
            // The last one has just been cut off.
            after.discard(value);
            return;
        }
        self.queue.push_back(Queued { value, left: self.receivers });
        self.peak = self.peak.max(self.queue.len());
        self.waits.ring(after);
    }

    /// Receivers that had still to see the value before the head get nothing more.
    fn cut(&mut self, count: usize, after: &mut After<Arc<T>>) {
        for queued in &mut self.queue {
            queued.left -= count;
        }
        self.leave(count, after);
    }

    /// A receiver that was at `place` goes away, unless it was cut off before.
    fn remove_receiver(&mut self, place: u64, after: &mut After<Arc<T>>) {
        if self.is_cut(place) {
            return;
        }
        let seen = usize::try_from(place.saturating_sub(self.head)).unwrap_or(usize::MAX);
        for queued in self.queue.iter_mut().skip(seen) {
            queued.left -= 1;
        }
        self.leave(1, after);
    }

    fn leave(&mut self, count: usize, after: &mut After<Arc<T>>) {
        self.receivers -= count;
        self.drop_seen(after);
        if self.receivers == 0 {
            while let Some(key) = self.line.first() {
                self.call(key, Stage::Refused, after);
            }
            self.closing.ring(after);
        }
    }

    fn is_cut(&self, place: u64) -> bool {
        self.lag == Lag::Disconnect && place < self.head
    }

    /// Drops what all have seen, and lets senders in.
    fn drop_seen(&mut self, after: &mut After<Arc<T>>) {
        while self.queue.front().is_some_and(|queued| queued.left == 0) {
            if let Some(queued) = self.queue.pop_front() {
                self.head += 1;
                after.discard(queued.value);
            }
        }
        self.admit(after);
    }

    fn admit(&mut self, after: &mut After<Arc<T>>) {
        while let Some(key) = self.line.first().filter(|_| self.has_room()) {
            self.granted += 1;
            self.call(key, Stage::Granted, after);
        }
    }

    fn call(&mut self, key: usize, stage: Stage, after: &mut After<Arc<T>>) {
        self.entries.unlink(&mut self.line, key);
        if let Stage::Waiting { waker, .. } = mem::replace(&mut self.entries[key], stage) {
            after.wake(waker);
        }
    }

    /// The value at `place`, which moves on; none if all were seen.
    fn take(&mut self, place: &mut u64, after: &mut After<Arc<T>>) -> Option<Result<Arc<T>, Missed>> {
        if *place < self.head {
            let missed = self.head - *place;
            if self.lag == Lag::Disconnect {
                return Some(Err(Missed::CutOff(missed)));
            }
            *place = self.head;
            return Some(Err(Missed::Skipped(missed)));
        }
        let index = usize::try_from(*place - self.head).ok()?;
        let queued = self.queue.get_mut(index)?;
        *place += 1;
        queued.left -= 1;
        if queued.left > 0 {
            return Some(Ok(queued.value.clone()));
        }
        // Invariant 1: it is the first, for those before it have been seen by all, too.
        let queued = self.queue.pop_front()?;
        self.head += 1;
        self.admit(after);
        Some(Ok(queued.value))
    }
}

enum Missed {
    Skipped(u64),
    CutOff(u64),
}

/// The sending end of a [`broadcast`]. It can be cloned.
pub struct BroadcastSender<T> {
    cast: Arc<Cast<T>>,
    id: u64,
    /// Written under the lock only.
    closed: AtomicBool,
}

impl<T> BroadcastSender<T> {
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
        let attempt = self.cast.step(|state, after| self.attempt(state, &mut value, true, after));
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
        block_on(BroadcastSend { sender: self, value: Some(value), turn: Turn::fast(SEND), key: None })
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

    /// Sends, if there is room and `act` says so; none if there is no room.
    fn attempt(
        &self,
        state: &mut State<T>,
        value: &mut Option<T>,
        act: bool,
        after: &mut After<Arc<T>>,
    ) -> Option<Result<(), Refusal>> {
        if let Some(refusal) = self.refusal(state) {
            return Some(Err(refusal));
        }
        if !state.has_room() {
            return None;
        }
        if act {
            if let Some(value) = value.take() {
                state.push(Arc::new(value), after);
            }
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

    fn close_in(&self, state: &mut State<T>, gone: bool, after: &mut After<Arc<T>>) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        state.senders -= 1;
        if !gone {
            let mut next = state.line.first();
            while let Some(key) = next {
                next = state.entries.after(key);
                if matches!(state.entries[key], Stage::Waiting { end, .. } if end == self.id) {
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

/// The receiving end of a [`broadcast`]. It can be cloned: the clone gets the same values from here on.
///
/// As a [`Stream`] it gives `Err(`[`Lagged`]`)` where it has missed some.
pub struct BroadcastReceiver<T> {
    cast: Arc<Cast<T>>,
    /// The number of the value that comes next.
    place: u64,
    /// It was cut off, and knows.
    over: bool,
    turn: Turn,
    listener: Listener,
}

impl<T> BroadcastReceiver<T> {
    fn new(cast: Arc<Cast<T>>, place: u64) -> Self {
        BroadcastReceiver { cast, place, over: false, turn: Turn::new(RECV), listener: Listener::new() }
    }

    /// A snapshot.
    #[must_use]
    pub fn statistics(&self) -> BroadcastStatistics {
        self.cast.step(|state, _| BroadcastStatistics::of(state))
    }

    /// Receives, if there is something or nothing will come any more; none if one has to wait.
    fn take(
        state: &mut State<T>,
        place: &mut u64,
        over: &mut bool,
        after: &mut After<Arc<T>>,
    ) -> Option<Result<Arc<T>, BroadcastRecvError>> {
        if *over {
            return Some(Err(BroadcastRecvError::Disconnected));
        }
        match state.take(place, after) {
            Some(Ok(value)) => Some(Ok(value)),
            Some(Err(Missed::Skipped(missed))) => Some(Err(BroadcastRecvError::Lagged(missed))),
            Some(Err(Missed::CutOff(missed))) => {
                *over = true;
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
    /// *Strict*: the place moves on when a value is returned.
    ///
    /// # Errors
    ///
    /// * [`BroadcastRecvError::Lagged`]: so many values were missed. With [`Lag::Skip`] the next call goes on with the oldest
    ///   that is left; with [`Lag::Disconnect`] this was the end.
    /// * [`BroadcastRecvError::Disconnected`]: all was seen, and there is no sender left.
    ///
    /// # Panics
    ///
    /// If polled after it was ready, or if the value's `clone` does.
    pub fn recv(&mut self) -> BroadcastRecv<'_, T> {
        BroadcastRecv { receiver: self, turn: Turn::new(RECV), listener: Listener::new() }
    }

    /// Takes the next value, if there is one.
    ///
    /// # Errors
    ///
    /// * [`BroadcastTryRecvError::Empty`]: there is none.
    /// * [`BroadcastTryRecvError::Lagged`], [`BroadcastTryRecvError::Disconnected`]: as [`recv`](BroadcastReceiver::recv).
    pub fn try_recv(&mut self) -> Result<T, BroadcastTryRecvError> {
        let BroadcastReceiver { cast, place, over, .. } = self;
        match cast.step(|state, after| Self::take(state, place, over, after)) {
            Some(Ok(value)) => Ok(Arc::unwrap_or_clone(value)),
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
        refuse_in_task("recv_blocking", "recv");
        block_on(BroadcastRecv { receiver: self, turn: Turn::fast(RECV), listener: Listener::new() })
    }
}

/// What the waits are called in dumps.
const SEND: &str = "broadcast send";
const RECV: &str = "broadcast recv";

/// One poll of a `recv` or of a stream.
fn poll_recv<T: Clone>(
    cast: &Cast<T>,
    (place, over): (&mut u64, &mut bool),
    turn: &mut Turn,
    listener: &mut Listener,
    cx: &mut Context<'_>,
) -> Poll<Result<T, BroadcastRecvError>> {
    let done = turn.poll(cx, |act, spare, cx| {
        cast.step(|state, after| {
            let ready = *over || *place < state.tail() || state.senders == 0;
            if !ready {
                return state.waits.listen(listener, spare, cx);
            }
            if !act {
                return Attempt::Ready;
            }
            match BroadcastReceiver::take(state, place, over, after) {
                Some(done) => Attempt::Done(done),
                None => unreachable!("just seen"),
            }
        })
    });
    // L36: cloned with the lock released.
    done.map(|done| done.map(Arc::unwrap_or_clone))
}

impl<T> Clone for BroadcastReceiver<T> {
    fn clone(&self) -> Self {
        self.cast.step(|state, _| {
            if state.is_cut(self.place) {
                return;
            }
            state.receivers += 1;
            let seen = usize::try_from(self.place.saturating_sub(state.head)).unwrap_or(usize::MAX);
            for queued in state.queue.iter_mut().skip(seen) {
                queued.left += 1;
            }
        });
        let mut clone = BroadcastReceiver::new(self.cast.clone(), self.place);
        clone.over = self.over;
        clone
    }
}

impl<T> Drop for BroadcastReceiver<T> {
    fn drop(&mut self) {
        self.cast.step(|state, after| {
            state.waits.leave(&mut self.listener, after);
            state.remove_receiver(self.place, after);
        });
    }
}

impl<T: Clone> Stream for BroadcastReceiver<T> {
    type Item = Result<T, Lagged>;

    /// # Cancellation
    ///
    /// *Strict*: the place moves on when a value is returned.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let BroadcastReceiver { cast, place, over, turn, listener } = &mut *self;
        let done = poll_recv(cast, (place, over), turn, listener, cx);
        if done.is_ready() {
            *turn = Turn::new(RECV);
        }
        done.map(|done| match done {
            Ok(value) => Some(Ok(value)),
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
        let done = turn.poll(cx, |act, spare, cx| {
            sender.cast.step(|state, after| {
                if let Some(waits) = *key {
                    if let Stage::Waiting { waker, .. } = &mut state.entries[waits] {
                        return wait_with(waker, spare, cx);
                    }
                    // Called: what room it was granted is room for it now.
                    state.granted -= usize::from(matches!(state.entries.remove(waits), Stage::Granted));
                    *key = None;
                    let sent = sender.attempt(state, value, true, after);
                    state.admit(after);
                    return match sent {
                        Some(done) => Attempt::Done(done),
                        None => unreachable!("it was granted room, or refused"),
                    };
                }
                match sender.attempt(state, value, act, after) {
                    Some(done) if act => Attempt::Done(done),
                    Some(_) => Attempt::Ready,
                    None => {
                        let Some(waker) = spare.take() else { return Attempt::NoWaker };
                        let entry = Stage::Waiting { waker: Some(waker), end: sender.id };
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
                Stage::Waiting { waker, .. } => after.forget(waker),
                Stage::Granted => {
                    state.granted -= 1;
                    state.admit(after);
                }
                Stage::Refused => {}
            }
        });
    }
}

impl<T> fmt::Debug for BroadcastSend<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastSend").field("turn", &self.turn).finish_non_exhaustive()
    }
}

/// Future of [`BroadcastReceiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct BroadcastRecv<'a, T> {
    receiver: &'a mut BroadcastReceiver<T>,
    turn: Turn,
    listener: Listener,
}

impl<T: Clone> Future for BroadcastRecv<'_, T> {
    type Output = Result<T, BroadcastRecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let BroadcastRecv { receiver, turn, listener } = &mut *self;
        let BroadcastReceiver { cast, place, over, .. } = &mut **receiver;
        poll_recv(cast, (place, over), turn, listener, cx)
    }
}

impl<T> Drop for BroadcastRecv<'_, T> {
    fn drop(&mut self) {
        if !self.listener.is_home() {
            self.receiver.cast.step(|state, after| state.waits.leave(&mut self.listener, after));
        }
    }
}

impl<T> fmt::Debug for BroadcastRecv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastRecv").finish_non_exhaustive()
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
        turn.poll(cx, |act, spare, cx| {
            sender.cast.step(|state, _| match sender.refusal(state) {
                None => state.closing.listen(listener, spare, cx),
                Some(_) if act => Attempt::Done(()),
                Some(_) => Attempt::Ready,
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

/// No value was received from a [`broadcast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastRecvError {
    /// So many values were missed.
    Lagged(u64),
    /// All was seen, and there is no sender left; or this receiver was cut off.
    Disconnected,
}

impl fmt::Display for BroadcastRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BroadcastRecvError::Lagged(missed) => Lagged(*missed).fmt(f),
            BroadcastRecvError::Disconnected => f.write_str(ENDED),
        }
    }
}

impl std::error::Error for BroadcastRecvError {}

/// No value was received from a [`broadcast`] without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastTryRecvError {
    /// There is nothing new.
    Empty,
    /// So many values were missed.
    Lagged(u64),
    /// All was seen, and there is no sender left; or this receiver was cut off.
    Disconnected,
}

impl fmt::Display for BroadcastTryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BroadcastTryRecvError::Empty => f.write_str("the channel is empty"),
            BroadcastTryRecvError::Lagged(missed) => Lagged(*missed).fmt(f),
            BroadcastTryRecvError::Disconnected => f.write_str(ENDED),
        }
    }
}

impl std::error::Error for BroadcastTryRecvError {}

const ENDED: &str = "nothing more will come from this channel";

/// A receiver of a [`broadcast`] was slow, and missed so many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the receiver was slow and missed {} values", self.0)
    }
}

impl std::error::Error for Lagged {}

/// What [`BroadcastSender::statistics`] and [`BroadcastReceiver::statistics`] tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastStatistics {
    /// How many values somebody has still to see.
    pub used: usize,
    /// How many have room.
    pub capacity: usize,
    /// How many there were at most.
    pub peak: usize,
    /// How many sending ends are open.
    pub senders: usize,
    /// How many receivers there are, without those that were cut off.
    pub receivers: usize,
    /// How many senders wait for room.
    pub waiting_senders: usize,
    /// How many receivers wait for a value.
    pub waiting_receivers: usize,
}

impl BroadcastStatistics {
    fn of<T>(state: &State<T>) -> Self {
        BroadcastStatistics {
            used: state.queue.len(),
            capacity: state.capacity,
            peak: state.peak,
            senders: state.senders,
            receivers: state.receivers,
            waiting_senders: state.line.len(),
            waiting_receivers: state.waits.listening(),
        }
    }
}

#[cfg(test)]
mod suite;
