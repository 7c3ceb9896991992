//! The one-shot: one value, from one sender to one receiver.
//!
//! Who has what of it, and when, says `raw/oneshot.rs`; here is when an end waits, and whether it may have what came (law L14).
//!
//! An end that waits leaves a [`Witness`] with the other one, in the place of its waker. It is called when the other end has done its
//! part, and notes whether the code that waits was cancelled by then: if so, the wait does not end there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::blocking::{block_on, refuse_in_task};
use super::error::{RecvError, SendError, TryRecvError};
use super::operation::{Attempt, AttemptCx, Operation};
use crate::leaf::Waiter;
use crate::raw::oneshot::{Giver, Taker, oneshot as ends};

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
    let (giver, taker) = ends();
    (OneshotSender { giver }, OneshotReceiver { taker, operation: Operation::new("oneshot"), witness: None })
}

/// The sending end of a [`oneshot`].
pub struct OneshotSender<T> {
    giver: Giver<T>,
}

impl<T> OneshotSender<T> {
    /// Sends the value. Never waits.
    ///
    /// # Errors
    ///
    /// [`SendError::Disconnected`], with the value, if the receiver was closed or dropped. `Ok` does not mean that it will be
    /// received: the receiver can still be dropped, and the value with it.
    #[inline]
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        self.giver.give(value).map_or(Ok(()), |value| Err(SendError::Disconnected(value)))
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
        OneshotClosed { sender: self, operation: Operation::new("oneshot closed"), witness: None }
    }

    /// Whether nobody wants the value any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.giver.is_closed()
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
    taker: Taker<T>,
    operation: Operation,
    witness: Option<Arc<Witness>>,
}

impl<T> OneshotReceiver<T> {
    /// Takes the value, if it is there.
    ///
    /// # Errors
    ///
    /// * [`TryRecvError::Empty`]: it is not.
    /// * [`TryRecvError::Disconnected`]: it never will be, or was taken.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if self.taker.is_over() {
            self.taker.take().ok_or(TryRecvError::Disconnected)
        } else {
            Err(TryRecvError::Empty)
        }
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
    pub fn recv_blocking(self) -> Result<T, RecvError> {
        refuse_in_task("recv_blocking", "the receiver");
        block_on(self)
    }

    /// Lets nothing more in. A value that was sent before can still be taken. Says whether it was open.
    pub fn close(&mut self) -> bool {
        self.taker.close()
    }
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let OneshotReceiver { taker, operation, witness } = &mut *self;
        operation.poll(cx, |attempt_cx, cx| {
            if !Witness::may_look(witness.as_ref(), attempt_cx) {
                return Attempt::Waiting;
            }
            if !taker.is_over() && taker.wait(&Witness::waker(witness, cx)) {
                return Attempt::Waiting;
            }
            Attempt::Done(taker.take().ok_or(RecvError::Disconnected))
        })
    }
}

impl<T> fmt::Debug for OneshotReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotReceiver").field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// Future of [`OneshotSender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct OneshotClosed<'a, T> {
    sender: &'a mut OneshotSender<T>,
    operation: Operation,
    witness: Option<Arc<Witness>>,
}

impl<T> Future for OneshotClosed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let OneshotClosed { sender, operation, witness } = &mut *self;
        operation.poll(cx, |attempt_cx, cx| {
            if !Witness::may_look(witness.as_ref(), attempt_cx) {
                return Attempt::Waiting;
            }
            if !sender.is_closed() && sender.giver.listen(&Witness::waker(witness, cx)) {
                return Attempt::Waiting;
            }
            Attempt::Done(())
        })
    }
}

impl<T> Drop for OneshotClosed<'_, T> {
    fn drop(&mut self) {
        drop(self.sender.giver.turn_away());
    }
}

impl<T> fmt::Debug for OneshotClosed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotClosed").finish_non_exhaustive()
    }
}

/// Whoever waits for the other end, and whether its code was cancelled when that end did its part. Called as a waker.
struct Witness {
    waiter: Waiter,
    in_time: AtomicBool,
}

impl Witness {
    /// The waker to leave with the other end: the one before, if the same code waits.
    fn waker(witness: &mut Option<Arc<Self>>, cx: &Context<'_>) -> Waker {
        let current = witness.take().filter(|witness| witness.waiter.is_current(cx));
        let new = || Arc::new(Witness { waiter: Waiter::new(cx), in_time: AtomicBool::new(false) });
        Waker::from(witness.insert(current.unwrap_or_else(new)).clone())
    }

    fn may_look(witness: Option<&Arc<Self>>, attempt_cx: &AttemptCx) -> bool {
        !attempt_cx.cancelled || witness.is_some_and(|witness| witness.in_time.load(Ordering::Acquire))
    }
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.waiter.is_cancelled() {
            self.in_time.store(true, Ordering::Release);
            self.waiter.wake_by_ref();
        }
    }
}
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sync::testing::{ManualTask, at_once};

    /// B081
    #[test]
    fn the_value_comes_whoever_is_first() {
        let (tx, rx) = oneshot();
        tx.send(1).unwrap();
        assert_eq!(at_once(rx), Ok(1));
        let (tx, rx) = oneshot();
        let receiving = ManualTask::waiting(rx);
        tx.send(2).unwrap();
        assert_eq!(receiving.wakes(), 1);
        assert_eq!(receiving.finish(), Ok(2));
    }

    /// B170, B171
    #[test]
    fn each_end_sees_that_the_other_has_gone() {
        let (tx, rx) = oneshot::<()>();
        let receiving = ManualTask::waiting(rx);
        drop(tx);
        assert_eq!(receiving.finish(), Err(RecvError::Disconnected));

        let (mut tx, rx) = oneshot();
        drop(ManualTask::waiting(tx.closed()));
        let closed = ManualTask::waiting(tx.closed());
        drop(rx);
        closed.finish();
        at_once(tx.closed());
        assert!(tx.is_closed());
        assert_eq!(tx.send(()), Err(SendError::Disconnected(())));

        let (tx, mut rx) = oneshot();
        assert!(rx.close() && !rx.close());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(tx.send(1), Err(SendError::Disconnected(1)));
        assert_eq!(at_once(rx), Err(RecvError::Disconnected));
    }

    #[test]
    fn what_was_sent_survives_a_close_and_a_wait_that_was_dropped() {
        let (tx, mut rx) = oneshot();
        drop(ManualTask::waiting(&mut rx));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        tx.send(1).unwrap();
        assert!(rx.close());
        drop(ManualTask::new(&mut rx));
        assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Err(TryRecvError::Disconnected)));

        let token = Arc::new(());
        let (tx, rx) = oneshot();
        tx.send(token.clone()).unwrap();
        drop(rx);
        assert_eq!(Arc::strong_count(&token), 1);
    }
}
