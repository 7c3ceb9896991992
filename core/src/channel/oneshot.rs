//! The one-shot: one value, from one sender to one receiver.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::blocking::{block_on, refuse_in_task};
use super::error::{RecvError, SendError, TryRecvError};
use super::turn::{Attempt, Turn, wait_with};

/// A channel for one value.
///
/// For an answer. A value that many wait for is a [`Promise`](crate::sync::Promise); the result of a task has its handle.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let (tx, rx) = foster::channel::oneshot();
/// tx.send("pong").unwrap();
/// assert_eq!(rx.await, Ok("pong"));
/// # });
/// ```
#[inline]
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    // Made where it stays, not moved there.
    let shot = Arc::<Shot<T>>::default();
    (OneshotSender { shot: Some(shot.clone()) }, OneshotReceiver { shot: Some(shot), turn: Turn::new("oneshot") })
}

#[derive(Debug)]
struct Shot<T>(Mutex<State<T>>);

impl<T> Default for Shot<T> {
    #[inline]
    fn default() -> Self {
        Shot(Mutex::new(State { value: None, sent: false, closed: false, waits: None, listens: None }))
    }
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    /// No value will come any more, but the one that is there.
    sent: bool,
    /// Nobody wants one any more, but the one that is there.
    closed: bool,
    /// The receiver's waker.
    waits: Option<Waker>,
    /// The waker of a sender that waits for the receiver to be gone.
    listens: Option<Waker>,
}

impl<T> Shot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sender leaves, with this value for the receiver. Gives it back if nobody wants it.
    #[inline]
    fn finish(self: Arc<Self>, value: Option<T>) -> Option<T> {
        let mut state = self.lock();
        let unwanted = if state.closed { value } else { mem::replace(&mut state.value, value) };
        state.sent = true;
        let waits = state.waits.take();
        drop(state);
        // The receiver that is woken may find itself alone.
        drop(self);
        if let Some(waker) = waits {
            waker.wake();
        }
        unwanted
    }
}

impl<T> State<T> {
    /// Whether the receiver has to wait.
    fn is_awaited(&self) -> bool {
        self.value.is_none() && !self.sent && !self.closed
    }

    /// Says whether it was open, and whom to wake with no lock held.
    #[must_use]
    fn close_receiver(&mut self) -> (bool, Option<Waker>) {
        (!mem::replace(&mut self.closed, true), self.listens.take())
    }
}

/// The sending end of a [`oneshot`].
pub struct OneshotSender<T> {
    /// Until it has sent.
    shot: Option<Arc<Shot<T>>>,
}

impl<T> OneshotSender<T> {
    /// Sends the value. Never waits.
    ///
    /// # Errors
    ///
    /// [`SendError::Disconnected`], with the value, if the receiver was closed or dropped. `Ok` does not mean that it will be
    /// received: the receiver can still be dropped, and the value with it.
    #[inline]
    pub fn send(mut self, value: T) -> Result<(), SendError<T>> {
        match self.shot.take().and_then(|shot| shot.finish(Some(value))) {
            None => Ok(()),
            Some(value) => Err(SendError::Disconnected(value)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        let Some(shot) = &self.shot else { unreachable!("a sender that has sent is gone") };
        shot.lock()
    }

    /// Waits until nobody wants the value any more: the receiver was closed or dropped.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// let (mut tx, rx) = foster::channel::oneshot::<u32>();
    /// drop(rx);
    /// tx.closed().await;
    /// # });
    /// ```
    pub fn closed(&mut self) -> OneshotClosed<'_, T> {
        OneshotClosed { sender: self, turn: Turn::new("oneshot closed") }
    }

    /// Whether nobody wants the value any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }
}

impl<T> Drop for OneshotSender<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(shot) = self.shot.take() {
            shot.finish(None);
        }
    }
}

impl<T> fmt::Debug for OneshotSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotSender").field("closed", &self.is_closed()).finish()
    }
}

/// The receiving end of a [`oneshot`]: a future of the value.
///
/// # Cancellation
///
/// *Strict*, awaited as `&mut`: the value stays in the channel until it is taken. Dropping the receiver drops the value.
///
/// # Errors
///
/// [`RecvError::Disconnected`] if the sender was dropped without having sent, or this end was closed before it had.
///
/// # Panics
///
/// If polled after it was ready.
#[must_use = "futures do nothing unless polled"]
pub struct OneshotReceiver<T> {
    /// Until there is nothing more to come.
    shot: Option<Arc<Shot<T>>>,
    turn: Turn,
}

impl<T> OneshotReceiver<T> {
    /// What a sender that is gone has left; none as long as it is there.
    #[inline]
    fn left(&mut self) -> Option<Option<T>> {
        // No other can be made from the only one, so it stays the only one.
        self.shot
            .take_if(|shot| Arc::strong_count(shot) == 1)
            .and_then(Arc::into_inner)
            .map(|Shot(state)| state.into_inner().unwrap_or_else(PoisonError::into_inner).value)
    }

    /// Takes the value, if it is there.
    ///
    /// # Errors
    ///
    /// * [`TryRecvError::Empty`]: it is not.
    /// * [`TryRecvError::Disconnected`]: it never will be, or was taken.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if let Some(value) = self.left() {
            return value.ok_or(TryRecvError::Disconnected);
        }
        let Some(shot) = &self.shot else { return Err(TryRecvError::Disconnected) };
        let mut state = shot.lock();
        if state.is_awaited() { Err(TryRecvError::Empty) } else { state.value.take().ok_or(TryRecvError::Disconnected) }
    }

    /// Waits for the value on a thread that may block.
    ///
    /// # Errors
    ///
    /// [`RecvError::Disconnected`] if the sender was dropped without having sent.
    ///
    /// # Panics
    ///
    /// On a thread that is polling a task of foster's, also if the value is there.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = foster::channel::oneshot();
    /// std::thread::spawn(move || tx.send(7));
    /// assert_eq!(rx.recv_blocking(), Ok(7));
    /// ```
    #[track_caller]
    pub fn recv_blocking(mut self) -> Result<T, RecvError> {
        refuse_in_task("recv_blocking", "the receiver");
        self.turn = Turn::fast("oneshot");
        block_on(self)
    }

    /// Lets nothing more in. A value that was sent before can still be taken. Says whether it was open.
    pub fn close(&mut self) -> bool {
        let Some(shot) = &self.shot else { return false };
        let (was_open, listens) = shot.lock().close_receiver();
        if let Some(waker) = listens {
            waker.wake();
        }
        was_open
    }
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let OneshotReceiver { shot, turn } = &mut *self;
        turn.poll(cx, |act, spare, cx| {
            let Some(shot) = shot else { return Attempt::Done(Err(RecvError::Disconnected)) };
            let mut state = shot.lock();
            if state.is_awaited() {
                wait_with(&mut state.waits, spare, cx)
            } else if act {
                Attempt::Done(state.value.take().ok_or(RecvError::Disconnected))
            } else {
                Attempt::Ready
            }
        })
    }
}

impl<T> Drop for OneshotReceiver<T> {
    fn drop(&mut self) {
        if let Some(value) = self.left() {
            return drop(value);
        }
        let Some(shot) = self.shot.take() else { return };
        let mut state = shot.lock();
        let (_, listens) = state.close_receiver();
        let unused = (state.waits.take(), state.value.take());
        drop(state);
        drop(shot);
        if let Some(waker) = listens {
            waker.wake();
        }
        drop(unused);
    }
}

impl<T> fmt::Debug for OneshotReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotReceiver").field("turn", &self.turn).finish_non_exhaustive()
    }
}

/// Future of [`OneshotSender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct OneshotClosed<'a, T> {
    sender: &'a mut OneshotSender<T>,
    turn: Turn,
}

impl<T> Future for OneshotClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let OneshotClosed { sender, turn } = &mut *self;
        turn.poll(cx, |act, spare, cx| {
            let mut state = sender.state();
            match state.closed {
                false => wait_with(&mut state.listens, spare, cx),
                true if act => Attempt::Done(()),
                true => Attempt::Ready,
            }
        })
    }
}

impl<T> Drop for OneshotClosed<'_, T> {
    fn drop(&mut self) {
        let listens = self.sender.state().listens.take();
        drop(listens);
    }
}

impl<T> fmt::Debug for OneshotClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotClosed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::{Hand, yields_once};

    /// B081
    #[test]
    fn the_value_comes_whoever_is_first() {
        let (tx, rx) = oneshot();
        tx.send(1).unwrap();
        assert_eq!(yields_once(rx), Ok(1));
        let (tx, rx) = oneshot();
        let receiving = Hand::waiting(rx);
        tx.send(2).unwrap();
        assert_eq!(receiving.wakes(), 1);
        assert_eq!(receiving.finish(), Ok(2));
    }

    /// B170, B171
    #[test]
    fn each_end_sees_that_the_other_has_gone() {
        let (tx, rx) = oneshot::<()>();
        let receiving = Hand::waiting(rx);
        drop(tx);
        assert_eq!(receiving.finish(), Err(RecvError::Disconnected));

        let (mut tx, rx) = oneshot();
        drop(Hand::waiting(tx.closed()));
        let closed = Hand::waiting(tx.closed());
        drop(rx);
        closed.finish();
        yields_once(tx.closed());
        assert!(tx.is_closed());
        assert_eq!(tx.send(()), Err(SendError::Disconnected(())));

        let (tx, mut rx) = oneshot();
        assert!(rx.close() && !rx.close());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(tx.send(1), Err(SendError::Disconnected(1)));
        assert_eq!(yields_once(rx), Err(RecvError::Disconnected));
    }

    #[test]
    fn what_was_sent_survives_a_close_and_a_wait_that_was_dropped() {
        let (tx, mut rx) = oneshot();
        drop(Hand::waiting(&mut rx));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        tx.send(1).unwrap();
        assert!(rx.close());
        drop(Hand::new(&mut rx));
        assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Err(TryRecvError::Disconnected)));

        let token = Arc::new(());
        let (tx, rx) = oneshot();
        tx.send(token.clone()).unwrap();
        drop(rx);
        assert_eq!(Arc::strong_count(&token), 1);
    }
}
