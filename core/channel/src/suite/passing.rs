//! Values on their way: to whom, in what order, and what is left when somebody goes away.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::next;
use crate::future::ChannelSend;
use crate::{TryRecvError, TrySendError, bounded, unbounded};
use foster_test_support::{ManualTask, at_once};

/// B167
#[test]
fn a_rendezvous_takes_both() {
    let (tx, rx) = bounded(0);
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    let receiving = ManualTask::waiting(rx.recv());
    assert_eq!(tx.try_send(2), Ok(()));
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)), "that receiver is taken");
    assert_eq!(receiving.finish(), Ok(2));

    let sending = ManualTask::waiting(tx.send(4));
    assert_eq!(rx.try_recv(), Ok(4));
    sending.finish().unwrap();

    let receiving = ManualTask::waiting(rx.recv());
    at_once(tx.send(5)).unwrap();
    assert_eq!(receiving.finish(), Ok(5));
    let sending = ManualTask::waiting(tx.send(6));
    assert_eq!(at_once(rx.recv()), Ok(6));
    sending.finish().unwrap();
    assert_eq!(rx.statistics().peak, 0);
    rx.assert_home();
}

/// B168
#[test]
fn a_full_channel_hands_back_and_lets_in_one_for_one() {
    let (tx, rx) = bounded(2);
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    let (first, second) = (ManualTask::waiting(tx.send(4)), ManualTask::waiting(tx.send(5)));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    first.finish().unwrap();
    assert_eq!([rx.try_recv(), rx.try_recv(), rx.try_recv()], [Ok(2), Ok(4), Ok(5)]);
    second.finish().unwrap();
    rx.assert_home();
}

/// B169, B081
#[test]
fn sending_without_limit_never_waits_and_is_a_checkpoint() {
    let (tx, rx) = unbounded();
    for item in 0..5000 {
        at_once(tx.send(item)).unwrap();
    }
    for item in 0..5000 {
        assert_eq!(at_once(rx.recv()), Ok(item));
    }
    assert_eq!(tx.statistics().capacity, None);
    rx.assert_home();
}

/// B176
#[test]
fn what_was_cancelled_does_not_appear() {
    let (tx, rx) = bounded(1);
    tx.try_send(1).unwrap();
    let cancelled = ManualTask::waiting(tx.send(2));
    let other = ManualTask::waiting(tx.send(3));
    drop(cancelled);
    assert_eq!(rx.try_recv(), Ok(1));
    // 3 is in the buffer, its sender does not know: it is still its own.
    let last = ManualTask::waiting(tx.send(4));
    drop(other);
    assert_eq!(last.wakes(), 1);
    assert_eq!(rx.try_recv(), Ok(4));
    last.finish().unwrap();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));

    // From the middle of the buffer.
    let (tx, rx) = bounded(3);
    (0..3).for_each(|item| tx.try_send(item).unwrap());
    let mut sending: Vec<_> = (10..13).map(|item| ManualTask::waiting(tx.send(item))).collect();
    (0..3).for_each(|item| assert_eq!(rx.try_recv(), Ok(item)));
    drop(sending.remove(1));
    assert_eq!([rx.try_recv(), rx.try_recv()], [Ok(10), Ok(12)]);
    sending.into_iter().for_each(|hand| hand.finish().unwrap());
    rx.assert_home();
}

#[test]
fn a_withdrawn_value_comes_back() {
    let (tx, rx) = bounded(1);
    let mut unpolled = tx.send(0);
    assert_eq!((unpolled.withdraw(), unpolled.withdraw()), (Some(0), None));
    let cx = &mut Context::from_waker(Waker::noop());
    let poll = |send: &mut ChannelSend<'_, i32>, cx: &mut Context<'_>| Future::poll(Pin::new(send), cx).is_pending();
    tx.try_send(1).unwrap();
    let (mut waits, mut let_in, mut taken) = (tx.send(2), tx.send(3), tx.send(4));
    assert!(poll(&mut taken, cx) && poll(&mut let_in, cx) && poll(&mut waits, cx));
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(4)));
    assert_eq!((waits.withdraw(), let_in.withdraw(), taken.withdraw()), (Some(2), Some(3), None));
    rx.assert_home();
}

/// B179
#[test]
fn a_waiting_receiver_is_not_robbed() {
    let (tx, rx) = bounded(2);
    let (first, second) = (ManualTask::waiting(rx.recv()), ManualTask::waiting(rx.recv()));
    tx.try_send(1).unwrap();
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    tx.try_send(2).unwrap();
    tx.try_send(3).unwrap();
    assert_eq!(rx.try_recv(), Ok(3));
    assert_eq!((second.finish(), first.finish()), (Ok(2), Ok(1)));
    rx.assert_home();
}

/// B180
#[test]
fn a_waiting_sender_is_not_robbed() {
    let (tx, rx) = bounded(1);
    tx.try_send(1).unwrap();
    let (first, second) = (ManualTask::waiting(tx.send(2)), ManualTask::waiting(tx.send(3)));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
    assert_eq!(tx.try_reserve().unwrap_err(), TrySendError::Full(()));
    assert_eq!((rx.try_recv(), rx.try_recv(), rx.try_recv()), (Ok(2), Ok(3), Err(TryRecvError::Empty)));
    second.finish().unwrap();
    first.finish().unwrap();
    rx.assert_home();
}

/// L40: what was handed to a receiver that goes away goes to the next, else back to where it stood.
#[test]
fn what_a_receiver_leaves_keeps_its_place() {
    let (tx, rx) = bounded(5);
    let mut unacknowledged: Vec<_> = (0..3).map(|_| ManualTask::waiting(rx.recv())).collect();
    (0..5).for_each(|item| tx.try_send(item).unwrap());
    drop(unacknowledged.remove(1));
    drop(unacknowledged.remove(0));
    drop(unacknowledged);
    rx.inspect(|state| state.check());
    (0..5).for_each(|item| assert_eq!(rx.try_recv(), Ok(item)));

    let (dropped, next) = (ManualTask::waiting(rx.recv()), ManualTask::waiting(rx.recv()));
    tx.try_send(7).unwrap();
    drop(dropped);
    assert_eq!(next.finish(), Ok(7));
    drop(ManualTask::waiting(rx.recv())); // it only waited
    tx.try_send(8).unwrap();
    assert_eq!(rx.try_recv(), Ok(8));
    rx.assert_home();
}

/// B182
#[test]
fn statistics_agree_on_all_ends() {
    let (tx, rx) = bounded(3);
    let tx2 = tx.clone();
    (0..3).for_each(|item| tx.try_send(item).unwrap());
    let (sending, cancelled) = (ManualTask::waiting(tx.send(3)), ManualTask::waiting(tx2.send(4)));
    let full = tx.statistics();
    assert_eq!(full, rx.statistics());
    assert_eq!((full.used, full.capacity, full.peak, full.waiting_senders), (3, Some(3), 3, 2));
    assert_eq!((full.senders, full.receivers, full.waiting_receivers, full.permits), (2, 1, 0, 0));
    drop(cancelled);
    assert_eq!(rx.statistics().waiting_senders, 1);
    while rx.try_recv().is_ok() {}
    sending.finish().unwrap();
    let receiving = ManualTask::waiting(rx.recv());
    let drained = tx2.statistics();
    assert_eq!((drained.used, drained.peak, drained.waiting_senders, drained.waiting_receivers), (0, 3, 0, 1));
    drop(receiving);
    drop(tx2);
    assert_eq!((rx.statistics().waiting_receivers, rx.statistics().senders), (0, 1));
    assert!(!format!("{tx:?} {rx:?} {:?} {:?} {:?}", tx.send(1), rx.recv(), tx.reserve()).is_empty());
}

#[test]
fn a_stream_gives_what_is_there_and_waits_for_more() {
    let (tx, mut rx) = bounded(2);
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    for item in 1..=2 {
        assert_eq!(next(&mut rx), Poll::Ready(Some(item)));
    }
    assert!(next(&mut rx).is_pending());
    tx.try_send(3).unwrap();
    assert_eq!(next(&mut rx), Poll::Ready(Some(3)));
    drop(tx);
    assert_eq!(next(&mut rx), Poll::Ready(None));
    rx.assert_home();
}

/// Makes a `next()` that was thrown away: the stream keeps its place and what it was handed, until it is used in
/// another way.
#[test]
fn a_stream_that_is_set_aside_loses_nothing() {
    let (tx, mut rx) = bounded(2);
    let other = rx.clone();
    assert!(next(&mut rx).is_pending());
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2)), "in order");
    assert!(next(&mut rx).is_pending(), "and goes on as a stream");
    tx.try_send(3).unwrap();
    assert_eq!(next(&mut rx), Poll::Ready(Some(3)));
    assert!(next(&mut rx).is_pending());
    let receiving = ManualTask::waiting(rx.recv());
    assert_eq!(other.statistics().waiting_receivers, 1);
    tx.try_send(4).unwrap();
    assert_eq!(receiving.finish(), Ok(4));

    assert!(next(&mut rx).is_pending());
    let waiting = ManualTask::waiting(other.recv());
    tx.try_send(5).unwrap();
    drop(rx);
    assert_eq!(waiting.finish(), Ok(5), "what it was unacknowledged goes to others when it is dropped");

    let mut rx = other.clone();
    assert!(next(&mut rx).is_pending());
    rx.close();
    assert_eq!(next(&mut rx), Poll::Ready(None));
    other.assert_home();
}
