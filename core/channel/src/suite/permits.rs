//! Permits: room that is promised.

use crate::{RecvError, SendError, TryRecvError, TrySendError, bounded};
use foster_test_support::{ManualTask, at_once};

#[test]
fn permits_take_room_and_turns() {
    let (tx, rx) = bounded(2);
    let permit = at_once(tx.reserve()).unwrap();
    tx.try_send(1).unwrap();
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    let (reserving, sending) = (ManualTask::waiting(tx.reserve()), ManualTask::waiting(tx.send(3)));
    drop(permit);
    assert_eq!((reserving.wakes(), sending.wakes(), tx.statistics().permits), (1, 0, 1));
    assert_eq!(rx.try_recv(), Ok(1));
    sending.finish().unwrap();
    reserving.finish().unwrap().send(4).unwrap();
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(3), Ok(4)));

    // Granted, and dropped before it knew.
    let (one, other) = (tx.try_reserve().unwrap(), tx.try_reserve().unwrap());
    let (dropped, sending) = (ManualTask::waiting(tx.reserve()), ManualTask::waiting(tx.send(5)));
    drop(one);
    assert_eq!(dropped.wakes(), 1);
    drop(dropped);
    sending.finish().unwrap();
    assert_eq!(rx.try_recv(), Ok(5));

    // A permit keeps the channel from its end, also on an end that was closed.
    let receiving = ManualTask::waiting(rx.recv());
    tx.close();
    assert_eq!(receiving.wakes(), 0);
    other.send(6).unwrap();
    assert_eq!(receiving.finish(), Ok(6));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    rx.assert_home();
}

#[test]
fn a_permit_that_goes_away_may_be_the_end() {
    let (tx, rx) = bounded::<u8>(1);
    let permit = tx.try_reserve().unwrap();
    tx.close();
    let receiving = ManualTask::waiting(rx.recv());
    drop(permit);
    assert_eq!(receiving.finish(), Err(RecvError::Disconnected));

    let (tx, rx) = bounded(1);
    let permit = tx.try_reserve().unwrap();
    drop(rx);
    assert_eq!(permit.send(1), Err(SendError::Disconnected(1)));
}

/// Makes a rendezvous promises a receiver that waits; with all the room promised, values pass hand to hand.
#[test]
fn permits_of_a_rendezvous_are_receivers() {
    let (tx, rx) = bounded(0);
    assert!(tx.try_reserve().is_err());
    let reserving = ManualTask::waiting(tx.reserve());
    let sending = ManualTask::waiting(tx.send(1));
    assert_eq!(rx.try_recv(), Ok(1), "who does not wait cannot be promised");
    sending.finish().unwrap();
    let receiving = ManualTask::waiting(rx.recv());
    let permit = reserving.finish().unwrap();
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    let second = ManualTask::waiting(rx.recv());
    assert_eq!(tx.try_send(3), Ok(()));
    assert_eq!(receiving.finish(), Ok(3), "the longest waiter first, whoever sends");
    drop(second);
    permit.send(4).unwrap();
    assert_eq!(rx.statistics().used, 1, "the receiver it was promised has dropped");
    assert_eq!((tx.try_send(5), rx.try_recv()), (Err(TrySendError::Full(5)), Ok(4)));

    // Nor does a newcomer overtake a receiver that was promised.
    let receiving = ManualTask::waiting(rx.recv());
    let permit = tx.try_reserve().unwrap();
    let sending = ManualTask::waiting(tx.send(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    let newcomer = ManualTask::waiting(rx.recv());
    assert_eq!(receiving.finish(), Ok(1));
    sending.finish().unwrap();
    permit.send(2).unwrap();
    assert_eq!(newcomer.finish(), Ok(2));

    let (tx, rx) = bounded(1);
    let permit = tx.try_reserve().unwrap();
    let sending = ManualTask::waiting(tx.send(1));
    assert_eq!(at_once(rx.recv()), Ok(1), "past the permit that has all the room");
    sending.finish().unwrap();
    permit.send(2).unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
    rx.assert_home();
}
