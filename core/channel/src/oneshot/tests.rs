use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::*;
use foster_test_support::counter;
use foster_test_support::{ManualTask, at_once};

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

    let (mut tx, mut rx) = oneshot();
    let closed = ManualTask::waiting(tx.closed());
    assert!(rx.close() && !rx.close());
    closed.finish();
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

/// Polls once with `waker`.
fn touch<F: Future>(future: F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn wakers_are_replaced_taken_back_and_called_once() {
    let ((old, old_waker), (new, new_waker)) = (counter(), counter());
    let held = || (Arc::strong_count(&old), Arc::strong_count(&new));
    let (tx, mut rx) = oneshot();
    assert!(touch(&mut rx, &old_waker).is_pending() && touch(&mut rx, &old_waker).is_pending());
    assert_eq!(held(), (3, 2), "once");
    assert!(touch(&mut rx, &new_waker).is_pending());
    assert_eq!(held(), (2, 3));
    tx.send(1).unwrap();
    assert_eq!((old.wakes(), new.wakes()), (0, 1));
    assert_eq!(touch(&mut rx, &old_waker), Poll::Ready(Ok(1)));
    assert_eq!(held(), (2, 2));

    let (mut tx, rx) = oneshot::<u8>();
    // A wait that is dropped takes its waker with it, and one that is forgotten gives way to the next.
    assert!(touch(tx.closed(), &old_waker).is_pending());
    assert_eq!(held(), (2, 2));
    let mut forgotten = tx.closed();
    assert!(touch(&mut forgotten, &old_waker).is_pending());
    mem::forget(forgotten);
    let mut closed = tx.closed();
    assert!(touch(&mut closed, &new_waker).is_pending());
    assert_eq!(held(), (2, 3));
    drop(rx);
    assert_eq!((old.wakes(), new.wakes()), (0, 2));
    assert_eq!(touch(closed, &old_waker), Poll::Ready(()));
    assert_eq!(held(), (2, 2));
}

/// Looks at the channel when it is dropped.
struct Looks(Arc<OneshotSender<u8>>);

impl Drop for Looks {
    fn drop(&mut self) {
        assert!(!self.0.is_closed());
    }
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {}
}

/// L36
#[test]
fn wakers_are_dropped_with_the_channel_unlocked() {
    let (tx, mut rx) = oneshot();
    let tx = Arc::new(tx);
    let looks = || Waker::from(Arc::new(Looks(tx.clone())));
    for _ in 0..2 {
        assert!(touch(&mut rx, &looks()).is_pending());
    }
    assert_eq!(Arc::strong_count(&tx), 2);
    assert!(touch(&mut rx, Waker::noop()).is_pending());
    let Ok(tx) = Arc::try_unwrap(tx) else { panic!("a waker is left") };
    tx.send(1).unwrap();
    assert_eq!(at_once(rx), Ok(1));
}

/// Its drop panics.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom");
    }
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_destructor_that_panics_leaves_nothing_half_done() {
    let (tx, rx) = oneshot();
    tx.send(Bomb).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());

    // The waker's, of a receiver that goes: the sender is woken all the same.
    let (kept, waker) = counter();
    let (mut tx, mut rx) = oneshot::<Arc<()>>();
    let token = Arc::new(());
    assert!(touch(&mut rx, &Waker::from(Arc::new(Bomb))).is_pending());
    let mut closed = tx.closed();
    assert!(touch(&mut closed, &waker).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
    assert_eq!(kept.wakes(), 1);
    drop(closed);
    assert!(tx.send(token.clone()).is_err());
    assert_eq!((Arc::strong_count(&token), Arc::strong_count(&kept)), (1, 2));

    // The waker's, when it is called: it is no matter of the sender's.
    let (tx, mut rx) = oneshot();
    assert!(touch(&mut rx, &Waker::from(Arc::new(Bomb))).is_pending());
    tx.send(1).unwrap();
    assert_eq!(rx.try_recv(), Ok(1));
}
