//! The end of a channel, and of one of its ends.

use std::sync::Arc;
use std::task::Poll;

use super::next;
use crate::{RecvError, SendError, TryRecvError, TrySendError, bounded};
use foster_test_support::{ManualTask, at_once};

/// B170
#[test]
fn what_was_sent_comes_before_the_end_and_the_end_stays() {
    let (tx, mut rx) = bounded(3);
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    let other = rx.clone();
    drop(tx);
    assert!(!rx.is_closed());
    assert_eq!((rx.try_recv(), at_once(other.recv())), (Ok(1), Ok(2)));
    for _ in 0..3 {
        assert_eq!(at_once(rx.recv()), Err(RecvError::Disconnected));
        assert_eq!(other.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(next(&mut rx), Poll::Ready(None));
    }
    assert!(rx.is_closed());

    let (tx, rx) = bounded::<u8>(3);
    let waiting = [ManualTask::waiting(rx.recv()), ManualTask::waiting(rx.recv())];
    drop(tx);
    for hand in waiting {
        assert_eq!(hand.finish(), Err(RecvError::Disconnected));
    }
    rx.assert_home();
}

/// B171
#[test]
fn closing_the_receiver_hands_values_back() {
    for capacity in [0, 1] {
        let (tx, rx) = bounded(capacity);
        let _ = tx.try_send(None);
        let mut empty = ManualTask::waiting(tx.send(None::<u8>));
        assert!(empty.poll().is_pending());
        let reserving = ManualTask::waiting(tx.reserve());
        assert!(rx.close());
        assert_eq!(empty.finish(), Err(SendError::Disconnected(None)));
        assert_eq!(reserving.finish().unwrap_err(), SendError::Disconnected(()));
        assert_eq!(at_once(tx.send(Some(1))), Err(SendError::Disconnected(Some(1))));
        assert_eq!(tx.try_send(None), Err(TrySendError::Disconnected(None)));
        assert_eq!(tx.try_reserve().unwrap_err(), TrySendError::Disconnected(()));
        assert!(tx.is_closed());
        rx.assert_home();
    }
    let (tx, rx) = bounded(1);
    drop(rx);
    assert_eq!(tx.send_blocking(()), Err(SendError::Disconnected(())));
}

/// B171: room was found, and the receiver has gone before the sender knew.
#[test]
fn a_sender_that_has_not_taken_note_gets_its_value_back() {
    let (tx, rx) = bounded(1);
    tx.try_send(1).unwrap();
    let sending = ManualTask::waiting(tx.send(2));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!((sending.wakes(), rx.statistics().used), (1, 1));
    drop(rx);
    assert_eq!(sending.finish(), Err(SendError::Disconnected(2)));
}

/// B172, B171: what an end waits for is ended with it; clones go on.
#[test]
fn closing_an_end_ends_its_own_waits() {
    let (tx, rx) = bounded(1);
    let (tx2, rx2) = (tx.clone(), rx.clone());
    tx.try_send(0).unwrap();
    let (mine, other) = (ManualTask::waiting(tx.send(1)), ManualTask::waiting(tx2.send(2)));
    let reserving = ManualTask::waiting(tx.reserve());
    assert!(tx.close());
    assert_eq!(other.wakes(), 0);
    assert_eq!(mine.finish(), Err(SendError::Closed(1)));
    assert_eq!(reserving.finish().unwrap_err(), SendError::Closed(()));
    assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(0), Ok(2)));
    other.finish().unwrap();

    let (mine, other) = (ManualTask::waiting(rx.recv()), ManualTask::waiting(rx2.recv()));
    assert!(rx.close());
    assert_eq!(other.wakes(), 0);
    assert_eq!(mine.finish(), Err(RecvError::Closed));
    assert_eq!((rx.try_recv(), at_once(rx.recv())), (Err(TryRecvError::Closed), Err(RecvError::Closed)));
    tx2.try_send(4).unwrap();
    assert_eq!(other.finish(), Ok(4));
    rx2.assert_home();
}

/// B173, B174
#[test]
fn ends_are_counted_once_each() {
    let (tx, rx) = bounded::<u8>(1);
    let tx2 = tx.clone();
    let rx2 = rx.clone();
    assert!(tx.close() && !tx.close());
    assert!(rx.close() && !rx.close());
    assert!(tx.try_clone().is_err() && rx.try_clone().is_err());
    assert_eq!(
        (tx.clone().try_send(1), rx.clone().try_recv()),
        (Err(TrySendError::Closed(1)), Err(TryRecvError::Closed))
    );
    drop((tx, rx));
    let both = tx2.statistics();
    assert_eq!((both.senders, both.receivers), (1, 1));
    tx2.try_send(1).unwrap();
    assert_eq!(rx2.try_recv(), Ok(1));
    let tx3 = tx2.try_clone().unwrap();
    drop(tx2);
    tx3.try_send(2).unwrap();
    drop(tx3);
    assert_eq!((rx2.try_recv(), rx2.try_recv()), (Ok(2), Err(TryRecvError::Disconnected)));
}

/// B170, L40: while a value may still come back, it is not the end.
#[test]
fn the_end_waits_for_what_may_come_back() {
    for taken in [true, false] {
        let (tx, rx) = bounded(1);
        let (first, second) = (ManualTask::waiting(rx.recv()), ManualTask::waiting(rx.recv()));
        tx.try_send(1).unwrap();
        drop(tx);
        assert_eq!(second.wakes(), 0);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        if taken {
            assert_eq!(first.finish(), Ok(1));
            assert_eq!(second.finish(), Err(RecvError::Disconnected));
        } else {
            drop(first);
            assert_eq!(second.finish(), Ok(1));
        }
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        rx.assert_home();
    }
}

/// B186
#[test]
fn a_gentle_shutdown_drains_first() {
    let (tx, rx) = bounded(1);
    tx.try_send(1).unwrap();
    let permit_later = ManualTask::waiting(tx.reserve());
    let sending = ManualTask::waiting(tx.send(2));
    rx.shutdown();
    rx.shutdown();
    assert_eq!(sending.finish(), Err(SendError::Closed(2)));
    assert!(permit_later.finish().is_err());
    assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
    assert!(tx.is_closed() && !rx.is_closed() && tx.statistics().shut_down);
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Err(TryRecvError::Disconnected)));
    assert_eq!(at_once(rx.recv()), Err(RecvError::Disconnected));

    let (tx, rx) = bounded::<u8>(1);
    let receiving = ManualTask::waiting(rx.recv());
    tx.shutdown();
    assert_eq!(receiving.finish(), Err(RecvError::Disconnected));
}

/// B186
#[test]
fn a_shutdown_now_drops_what_is_queued_and_wakes_everybody() {
    let token = Arc::new(());
    let (tx, rx) = bounded(2);
    tx.try_send(token.clone()).unwrap();
    let permit = tx.try_reserve().unwrap();
    let sending = ManualTask::waiting(tx.send(token.clone()));
    tx.shutdown_now();
    assert_eq!(Arc::strong_count(&token), 2, "the one that waits comes back");
    assert!(matches!(sending.finish(), Err(SendError::Closed(_))));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    assert!(matches!(permit.send(token.clone()), Err(SendError::Closed(_))));
    rx.assert_home();

    let (tx, rx) = bounded(2);
    let (unacknowledged, receiving) = (ManualTask::waiting(rx.recv()), ManualTask::waiting(rx.recv()));
    tx.try_send(token.clone()).unwrap();
    let permit = tx.try_reserve().unwrap();
    rx.shutdown_now();
    assert_eq!(receiving.finish(), Err(RecvError::Disconnected));
    drop(unacknowledged);
    drop(permit);
    assert_eq!(Arc::strong_count(&token), 1);
    rx.assert_home();
}

#[test]
fn dropping_the_receivers_drops_what_is_queued() {
    let token = Arc::new(());
    let (tx, rx) = bounded(4);
    let other = rx.clone();
    (0..3).for_each(|_| tx.try_send(token.clone()).unwrap());
    drop(rx);
    assert_eq!(Arc::strong_count(&token), 4);
    drop(other);
    assert_eq!(Arc::strong_count(&token), 1, "also while a sender lives");
    assert!(tx.is_closed());
}

#[test]
fn closed_is_heard_by_those_who_wait_for_it() {
    let (tx, rx) = bounded::<u8>(1);
    let tx2 = tx.clone();
    let (dropped, one, other) =
        (ManualTask::waiting(tx.closed()), ManualTask::waiting(tx.closed()), ManualTask::waiting(tx2.closed()));
    drop(dropped);
    drop(tx2.clone());
    assert_eq!((one.wakes(), other.wakes()), (0, 0));
    tx.close();
    one.finish();
    drop(rx);
    other.finish();
    at_once(tx2.closed());
    let (tx, rx) = bounded::<u8>(1);
    let hand = ManualTask::waiting(tx.closed());
    rx.shutdown();
    hand.finish();
    rx.assert_home();
}
