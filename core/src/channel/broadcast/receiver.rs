//! The receiving end of a broadcast: a place in the queue.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::ring::{Cast, Missed, State};
use super::seat::Leaving;
use super::{BroadcastRecvError, BroadcastStatistics, BroadcastTryRecvError, Lagged};
#[cfg(doc)]
use super::{Lag, broadcast};
use crate::channel::after::After;
use crate::channel::bell::Listener;
use crate::channel::blocking::{block_on, refuse_in_task};
use crate::channel::turn::{Attempt, Turn};

/// The receiving end of a [`broadcast`]. It can be cloned: the clone gets the same values from here on.
///
/// As a [`Stream`] it gives `Err(`[`Lagged`]`)` where it has missed some.
pub struct BroadcastReceiver<T> {
    pub(super) cast: Arc<Cast<T>>,
    /// The number of the value that comes next.
    place: u64,
    /// It was cut off, and knows.
    over: bool,
    turn: Turn,
    listener: Listener,
}

impl<T> BroadcastReceiver<T> {
    pub(super) fn new(cast: Arc<Cast<T>>, place: u64) -> Self {
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
        after: &mut After<Leaving<T>>,
    ) -> Option<Result<Leaving<T>, BroadcastRecvError>> {
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
        refuse_in_task("recv_blocking", "recv");
        block_on(BroadcastRecv { receiver: self, turn: Turn::new(RECV), listener: Listener::new() })
    }
}

/// What a wait for a value is called in dumps.
const RECV: &str = "broadcast recv";

/// One poll of a `recv` or of a stream.
fn poll_recv<T: Clone>(
    cast: &Cast<T>,
    (place, over): (&mut u64, &mut bool),
    turn: &mut Turn,
    listener: &mut Listener,
    cx: &mut Context<'_>,
) -> Poll<Result<T, BroadcastRecvError>> {
    let done = turn.poll(cx, |visit, cx| {
        cast.step(|state, after| {
            if !state.waits.may_look(listener, visit) {
                return Attempt::Waits;
            }
            let ready = *over || *place < state.tail() || state.senders == 0;
            if !ready {
                return state.waits.listen(listener, visit, cx);
            }
            match BroadcastReceiver::take(state, place, over, after) {
                Some(done) => Attempt::Done(done),
                None => unreachable!("just seen"),
            }
        })
    });
    // L36: cloned with the lock released.
    done.map(|done| done.map(Leaving::into_value))
}

impl<T> Clone for BroadcastReceiver<T> {
    fn clone(&self) -> Self {
        self.cast.step(|state, _| state.add_receiver(self.place));
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
