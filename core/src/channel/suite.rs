//! Bounded and unbounded channels, driven poll by poll.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use futures_core::Stream;

use super::*;
use crate::sync::testing::{Dice, Hand, at_once, block_on, yields_once};

impl<T> Receiver<T> {
    #[track_caller]
    fn assert_home(&self) {
        self.inspect(|state| {
            state.check();
            assert!(state.is_home(), "{:?}", state.statistics());
        });
    }
}

/// Polls a stream with a waker that wakes nobody.
fn next<T>(rx: &mut Receiver<T>) -> Poll<Option<T>> {
    Pin::new(rx).poll_next(&mut Context::from_waker(Waker::noop()))
}

/// B167
#[test]
fn a_rendezvous_takes_both() {
    let (tx, rx) = bounded(0);
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    let receiving = Hand::waiting(rx.recv());
    assert_eq!(tx.try_send(2), Ok(()));
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)), "that receiver is taken");
    assert_eq!(receiving.finish(), Ok(2));

    let sending = Hand::waiting(tx.send(4));
    assert_eq!(rx.try_recv(), Ok(4));
    sending.finish().unwrap();

    let receiving = Hand::waiting(rx.recv());
    yields_once(tx.send(5)).unwrap();
    assert_eq!(receiving.finish(), Ok(5));
    let sending = Hand::waiting(tx.send(6));
    assert_eq!(yields_once(rx.recv()), Ok(6));
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
    let (first, second) = (Hand::waiting(tx.send(4)), Hand::waiting(tx.send(5)));
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
        yields_once(tx.send(item)).unwrap();
    }
    at_once(tx.fast_send(5000)).unwrap();
    for item in 0..5000 {
        assert_eq!(yields_once(rx.recv()), Ok(item));
    }
    assert_eq!(at_once(rx.fast_recv()), Ok(5000));
    assert_eq!(tx.statistics().capacity, None);
    rx.assert_home();
}

/// B170
#[test]
fn what_was_sent_comes_before_the_end_and_the_end_stays() {
    let (tx, mut rx) = bounded(3);
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    let other = rx.clone();
    drop(tx);
    assert!(!rx.is_closed());
    assert_eq!((rx.try_recv(), yields_once(other.recv())), (Ok(1), Ok(2)));
    for _ in 0..3 {
        assert_eq!(yields_once(rx.recv()), Err(RecvError::Disconnected));
        assert_eq!(other.try_recv(), Err(TryRecvError::Disconnected));
        assert!(next(&mut rx).is_pending());
        assert_eq!(next(&mut rx), Poll::Ready(None));
    }
    assert!(rx.is_closed());

    let (tx, rx) = bounded::<u8>(3);
    let waiting = [Hand::waiting(rx.recv()), Hand::waiting(rx.recv())];
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
        let mut empty = Hand::waiting(tx.send(None::<u8>));
        assert!(empty.poll().is_pending());
        let reserving = Hand::waiting(tx.reserve());
        assert!(rx.close());
        assert_eq!(empty.finish(), Err(SendError::Disconnected(None)));
        assert_eq!(reserving.finish().unwrap_err(), SendError::Disconnected(()));
        assert_eq!(yields_once(tx.send(Some(1))), Err(SendError::Disconnected(Some(1))));
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
    let sending = Hand::waiting(tx.send(2));
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
    let (mine, other) = (Hand::waiting(tx.send(1)), Hand::waiting(tx2.send(2)));
    let reserving = Hand::waiting(tx.reserve());
    assert!(tx.close());
    assert_eq!(other.wakes(), 0);
    assert_eq!(mine.finish(), Err(SendError::Closed(1)));
    assert_eq!(reserving.finish().unwrap_err(), SendError::Closed(()));
    assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(0), Ok(2)));
    other.finish().unwrap();

    let (mine, other) = (Hand::waiting(rx.recv()), Hand::waiting(rx2.recv()));
    assert!(rx.close());
    assert_eq!(other.wakes(), 0);
    assert_eq!(mine.finish(), Err(RecvError::Closed));
    assert_eq!((rx.try_recv(), yields_once(rx.recv())), (Err(TryRecvError::Closed), Err(RecvError::Closed)));
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

/// B176
#[test]
fn what_was_cancelled_does_not_appear() {
    let (tx, rx) = bounded(1);
    let mut yielding = Hand::new(tx.send(0));
    assert!(yielding.poll().is_pending());
    drop(yielding);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));

    tx.try_send(1).unwrap();
    let cancelled = Hand::waiting(tx.send(2));
    let other = Hand::waiting(tx.send(3));
    drop(cancelled);
    assert_eq!(rx.try_recv(), Ok(1));
    // 3 is in the buffer, its sender does not know: it is still its own.
    let last = Hand::waiting(tx.send(4));
    drop(other);
    assert_eq!(last.wakes(), 1);
    assert_eq!(rx.try_recv(), Ok(4));
    last.finish().unwrap();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));

    // From the middle of the buffer.
    let (tx, rx) = bounded(3);
    (0..3).for_each(|item| tx.try_send(item).unwrap());
    let mut sending: Vec<_> = (10..13).map(|item| Hand::waiting(tx.send(item))).collect();
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
    let (first, second) = (Hand::waiting(rx.recv()), Hand::waiting(rx.recv()));
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
    let (first, second) = (Hand::waiting(tx.send(2)), Hand::waiting(tx.send(3)));
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
    let mut handed: Vec<_> = (0..3).map(|_| Hand::waiting(rx.recv())).collect();
    (0..5).for_each(|item| tx.try_send(item).unwrap());
    drop(handed.remove(1));
    drop(handed.remove(0));
    drop(handed);
    rx.inspect(|state| state.check());
    (0..5).for_each(|item| assert_eq!(rx.try_recv(), Ok(item)));

    let (gone, next) = (Hand::waiting(rx.recv()), Hand::waiting(rx.recv()));
    tx.try_send(7).unwrap();
    drop(gone);
    assert_eq!(next.finish(), Ok(7));
    drop(Hand::waiting(rx.recv())); // it only waited
    tx.try_send(8).unwrap();
    assert_eq!(rx.try_recv(), Ok(8));
    rx.assert_home();
}

/// B170, L40: while a value may still come back, it is not the end.
#[test]
fn the_end_waits_for_what_may_come_back() {
    for taken in [true, false] {
        let (tx, rx) = bounded(1);
        let (first, second) = (Hand::waiting(rx.recv()), Hand::waiting(rx.recv()));
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

/// B182
#[test]
fn statistics_agree_on_all_ends() {
    let (tx, rx) = bounded(3);
    let tx2 = tx.clone();
    (0..3).for_each(|item| tx.try_send(item).unwrap());
    let (sending, cancelled) = (Hand::waiting(tx.send(3)), Hand::waiting(tx2.send(4)));
    let full = tx.statistics();
    assert_eq!(full, rx.statistics());
    assert_eq!((full.used, full.capacity, full.peak, full.waiting_senders), (3, Some(3), 3, 2));
    assert_eq!((full.senders, full.receivers, full.waiting_receivers, full.permits), (2, 1, 0, 0));
    drop(cancelled);
    assert_eq!(rx.statistics().waiting_senders, 1);
    while rx.try_recv().is_ok() {}
    sending.finish().unwrap();
    let receiving = Hand::waiting(rx.recv());
    let drained = tx2.statistics();
    assert_eq!((drained.used, drained.peak, drained.waiting_senders, drained.waiting_receivers), (0, 3, 0, 1));
    drop(receiving);
    drop(tx2);
    assert_eq!((rx.statistics().waiting_receivers, rx.statistics().senders), (0, 1));
    assert!(!format!("{tx:?} {rx:?} {:?} {:?} {:?}", tx.send(1), rx.recv(), tx.reserve()).is_empty());
}

/// B186
#[test]
fn a_gentle_shutdown_drains_first() {
    let (tx, rx) = bounded(1);
    tx.try_send(1).unwrap();
    let permit_later = Hand::waiting(tx.reserve());
    let sending = Hand::waiting(tx.send(2));
    rx.shutdown();
    rx.shutdown();
    assert_eq!(sending.finish(), Err(SendError::Closed(2)));
    assert!(permit_later.finish().is_err());
    assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
    assert!(tx.is_closed() && !rx.is_closed() && tx.statistics().shut_down);
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Err(TryRecvError::Disconnected)));
    assert_eq!(yields_once(rx.recv()), Err(RecvError::Disconnected));

    let (tx, rx) = bounded::<u8>(1);
    let receiving = Hand::waiting(rx.recv());
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
    let sending = Hand::waiting(tx.send(token.clone()));
    tx.shutdown_now();
    assert_eq!(Arc::strong_count(&token), 2, "the one that waits comes back");
    assert!(matches!(sending.finish(), Err(SendError::Closed(_))));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    assert!(matches!(permit.send(token.clone()), Err(SendError::Closed(_))));
    rx.assert_home();

    let (tx, rx) = bounded(2);
    let (handed, receiving) = (Hand::waiting(rx.recv()), Hand::waiting(rx.recv()));
    tx.try_send(token.clone()).unwrap();
    let permit = tx.try_reserve().unwrap();
    rx.shutdown_now();
    assert_eq!(receiving.finish(), Err(RecvError::Disconnected));
    drop(handed);
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
fn permits_take_room_and_turns() {
    let (tx, rx) = bounded(2);
    let permit = yields_once(tx.reserve()).unwrap();
    tx.try_send(1).unwrap();
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    let (reserving, sending) = (Hand::waiting(tx.reserve()), Hand::waiting(tx.send(3)));
    drop(permit);
    assert_eq!((reserving.wakes(), sending.wakes(), tx.statistics().permits), (1, 0, 1));
    assert_eq!(rx.try_recv(), Ok(1));
    sending.finish().unwrap();
    reserving.finish().unwrap().send(4).unwrap();
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(3), Ok(4)));

    // Granted, and dropped before it knew.
    let (one, other) = (tx.try_reserve().unwrap(), tx.try_reserve().unwrap());
    let (gone, sending) = (Hand::waiting(tx.reserve()), Hand::waiting(tx.send(5)));
    drop(one);
    assert_eq!(gone.wakes(), 1);
    drop(gone);
    sending.finish().unwrap();
    assert_eq!(rx.try_recv(), Ok(5));

    // A permit keeps the channel from its end, also on an end that was closed.
    let receiving = Hand::waiting(rx.recv());
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
    let receiving = Hand::waiting(rx.recv());
    drop(permit);
    assert_eq!(receiving.finish(), Err(RecvError::Disconnected));

    let (tx, rx) = bounded(1);
    let permit = tx.try_reserve().unwrap();
    drop(rx);
    assert_eq!(permit.send(1), Err(SendError::Disconnected(1)));
}

/// A rendezvous promises a receiver that waits; with all the room promised, values pass hand to hand.
#[test]
fn permits_of_a_rendezvous_are_receivers() {
    let (tx, rx) = bounded(0);
    assert!(tx.try_reserve().is_err());
    let reserving = Hand::waiting(tx.reserve());
    let sending = Hand::waiting(tx.send(1));
    assert_eq!(rx.try_recv(), Ok(1), "who does not wait cannot be promised");
    sending.finish().unwrap();
    let receiving = Hand::waiting(rx.recv());
    let permit = reserving.finish().unwrap();
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    let second = Hand::waiting(rx.recv());
    assert_eq!(tx.try_send(3), Ok(()));
    assert_eq!(receiving.finish(), Ok(3), "the longest waiter first, whoever sends");
    drop(second);
    permit.send(4).unwrap();
    assert_eq!(rx.statistics().used, 1, "the receiver it was promised has gone");
    assert_eq!((tx.try_send(5), rx.try_recv()), (Err(TrySendError::Full(5)), Ok(4)));

    // Nor does a newcomer overtake a receiver that was promised.
    let receiving = Hand::waiting(rx.recv());
    let permit = tx.try_reserve().unwrap();
    let sending = Hand::waiting(tx.send(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    let newcomer = Hand::waiting(rx.recv());
    assert_eq!(receiving.finish(), Ok(1));
    sending.finish().unwrap();
    permit.send(2).unwrap();
    assert_eq!(newcomer.finish(), Ok(2));

    let (tx, rx) = bounded(1);
    let permit = tx.try_reserve().unwrap();
    let sending = Hand::waiting(tx.send(1));
    assert_eq!(yields_once(rx.recv()), Ok(1), "past the permit that has all the room");
    sending.finish().unwrap();
    permit.send(2).unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
    rx.assert_home();
}

#[test]
fn a_stream_gives_each_item_after_a_checkpoint() {
    let (tx, mut rx) = bounded(2);
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    for item in 1..=2 {
        assert!(next(&mut rx).is_pending());
        assert_eq!(next(&mut rx), Poll::Ready(Some(item)));
    }
    assert!(next(&mut rx).is_pending());
    tx.try_send(3).unwrap();
    assert_eq!(next(&mut rx), Poll::Ready(Some(3)));
    drop(tx);
    assert!(next(&mut rx).is_pending());
    assert_eq!(next(&mut rx), Poll::Ready(None));
    rx.assert_home();
}

/// A `next()` that was thrown away: the stream keeps its place and what it was handed, until it is used in another way.
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
    let receiving = Hand::waiting(rx.recv());
    assert_eq!(other.statistics().waiting_receivers, 1);
    tx.try_send(4).unwrap();
    assert_eq!(receiving.finish(), Ok(4));

    assert!(next(&mut rx).is_pending());
    let waiting = Hand::waiting(other.recv());
    tx.try_send(5).unwrap();
    drop(rx);
    assert_eq!(waiting.finish(), Ok(5), "what it was handed goes to others when it is dropped");

    let mut rx = other.clone();
    assert!(next(&mut rx).is_pending());
    rx.close();
    assert_eq!(next(&mut rx), Poll::Ready(None));
    other.assert_home();
}

#[test]
fn closed_is_heard_by_those_who_wait_for_it() {
    let (tx, rx) = bounded::<u8>(1);
    let tx2 = tx.clone();
    let (gone, one, other) = (Hand::waiting(tx.closed()), Hand::waiting(tx.closed()), Hand::waiting(tx2.closed()));
    drop(gone);
    drop(tx2.clone());
    assert_eq!((one.wakes(), other.wakes()), (0, 0));
    tx.close();
    one.finish();
    drop(rx);
    other.finish();
    yields_once(tx2.closed());
    let (tx, rx) = bounded::<u8>(1);
    let hand = Hand::waiting(tx.closed());
    rx.shutdown();
    hand.finish();
    rx.assert_home();
}

/// L36: wakers and values that use the channel themselves find it unlocked.
#[test]
fn foreign_code_runs_with_the_channel_unlocked() {
    type Shared = Arc<Mutex<Option<(Sender<Nosy>, Receiver<Nosy>)>>>;
    #[derive(Clone)]
    struct Nosy(Shared, Arc<AtomicUsize>);
    impl Nosy {
        fn look(&self) {
            // Not held by others on this thread: a lock of the channel would hang here.
            if let Some((tx, rx)) = &*self.0.lock().unwrap() {
                let _ = (tx.statistics(), rx.is_closed());
                self.1.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.look();
        }
    }
    struct Waking(Nosy);
    impl Wake for Waking {
        fn wake(self: Arc<Self>) {
            self.0.look();
        }
    }
    let nosy = Nosy(Arc::default(), Arc::default());
    let (tx, rx) = bounded(1);
    *nosy.0.lock().unwrap() = Some((tx.clone(), rx.clone()));
    let poll = |future: &mut dyn FnMut(&mut Context<'_>) -> bool| {
        let waker = Waker::from(Arc::new(Waking(nosy.clone())));
        future(&mut Context::from_waker(&waker))
    };
    let mut recv = rx.recv();
    // Twice: the first waker is replaced, and dropped.
    for _ in 0..2 {
        assert!(poll(&mut |cx| Future::poll(Pin::new(&mut recv), cx).is_pending()));
    }
    tx.try_send(nosy.clone()).unwrap();
    tx.try_send(nosy.clone()).unwrap();
    let mut send = tx.send(nosy.clone());
    for _ in 0..2 {
        assert!(poll(&mut |cx| Future::poll(Pin::new(&mut send), cx).is_pending()));
    }
    let mut closed = tx.closed();
    for _ in 0..2 {
        assert!(poll(&mut |cx| Future::poll(Pin::new(&mut closed), cx).is_pending()));
    }
    drop(rx.try_recv());
    drop(send);
    drop(recv);
    drop(closed);
    rx.shutdown_now();
    let seen = nosy.1.load(Ordering::SeqCst);
    assert!(seen >= 10, "{seen}");
    let ends = nosy.0.lock().unwrap().take();
    drop(ends);
}

#[test]
fn threads_and_tasks_wait_in_one_line() {
    let (tx, rx) = bounded(2);
    let sum = thread::scope(|threads| {
        for n in 0..4 {
            let tx = tx.clone();
            threads.spawn(move || {
                for item in 0..500 {
                    if n % 2 == 0 {
                        tx.send_blocking(item).unwrap();
                    } else {
                        block_on(tx.send(item)).unwrap();
                    }
                }
            });
        }
        drop(tx);
        let consumers: Vec<_> = (0..3)
            .map(|n| {
                let rx = &rx;
                threads.spawn(move || {
                    let mut sum = 0;
                    while let Ok(item) = if n == 0 { block_on(rx.recv()) } else { rx.recv_blocking() } {
                        sum += item;
                    }
                    sum
                })
            })
            .collect();
        consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum::<usize>()
    });
    assert_eq!(sum, 4 * (0..500).sum::<usize>());
    rx.assert_home();
}

/// B181, L40: random sends, receives, drops and closings; every item is accounted for exactly once.
#[test]
fn storm() {
    /// Counts itself away.
    struct Item(usize, Arc<Mutex<Vec<usize>>>);
    impl Drop for Item {
        fn drop(&mut self) {
            self.1.lock().unwrap()[self.0] += 1;
        }
    }
    let mut covered = [0; 6];
    for seed in 1..600 {
        let mut dice = Dice::new(seed);
        let drops = Arc::new(Mutex::new(Vec::new()));
        let item = || {
            let mut drops = drops.lock().unwrap();
            drops.push(0);
            drops.len() - 1
        };
        let (tx, rx) = bounded([0, 1, 2, 5, usize::MAX][dice.below(5)]);
        let senders = [tx.clone(), tx.clone(), tx];
        let receivers = [rx.clone(), rx.clone(), rx.clone()];
        let mut streams = [rx.clone(), rx];
        let mut received = BTreeSet::new();
        let mut back = BTreeSet::new();
        let (mut sends, mut recvs, mut reserves, mut permits) = (vec![], vec![], vec![], vec![]);
        let closing = dice.below(3) == 0;
        let dropped = || drops.lock().unwrap().iter().sum::<usize>();
        let mut withdrawn = 0;
        let mut take = |item: Item, covered: &mut [usize; 6]| {
            covered[0] += 1;
            assert!(received.insert(item.0), "twice: {}", item.0);
        };
        for step in 0..150 {
            let (s, r) = (dice.below(3), dice.below(3));
            match dice.below(if closing && step > 60 { 15 } else { 12 }) {
                0 | 1 => {
                    let mut hand = Hand::new(senders[s].send(Item(item(), drops.clone())));
                    if hand.poll().is_pending() {
                        sends.push(hand);
                    }
                }
                2 | 3 => {
                    let mut hand = Hand::new(receivers[r].recv());
                    if hand.poll().is_pending() {
                        recvs.push(hand);
                    }
                }
                4 if !sends.is_empty() => {
                    let mut hand = sends.swap_remove(dice.below(sends.len()));
                    match hand.poll() {
                        Poll::Ready(Err(error)) => {
                            covered[1] += 1;
                            assert!(back.insert(error.into_inner().0));
                        }
                        Poll::Ready(Ok(())) => {}
                        Poll::Pending => sends.push(hand),
                    }
                }
                5 if !recvs.is_empty() => {
                    let mut hand = recvs.swap_remove(dice.below(recvs.len()));
                    match hand.poll() {
                        Poll::Ready(Ok(item)) => take(item, &mut covered),
                        Poll::Ready(Err(_)) => covered[2] += 1,
                        Poll::Pending => recvs.push(hand),
                    }
                }
                6 if !sends.is_empty() => {
                    let gone = sends.swap_remove(dice.below(sends.len()));
                    covered[3] += usize::from(gone.wakes() > 0);
                    let before = dropped();
                    drop(gone);
                    withdrawn += dropped() - before;
                }
                7 if !recvs.is_empty() => {
                    let gone = recvs.swap_remove(dice.below(recvs.len()));
                    covered[4] += usize::from(gone.wakes() > 0);
                }
                8 => {
                    if let Err(error) = senders[s].try_send(Item(item(), drops.clone())) {
                        assert!(back.insert(error.into_inner().0));
                    }
                }
                9 => {
                    if let Ok(item) = receivers[r].try_recv() {
                        take(item, &mut covered);
                    }
                }
                10 => {
                    let mut hand = Hand::new(senders[s].reserve());
                    if hand.poll().is_pending() {
                        reserves.push(hand);
                    }
                    if !reserves.is_empty() {
                        let mut hand = reserves.swap_remove(dice.below(reserves.len()));
                        match (dice.below(4), hand.poll()) {
                            (0, _) => drop(hand),
                            (_, Poll::Ready(Ok(permit))) => permits.push(permit),
                            (_, Poll::Ready(Err(_))) => {}
                            (_, Poll::Pending) => reserves.push(hand),
                        }
                    }
                    if !permits.is_empty() && dice.below(2) == 0 {
                        covered[5] += 1;
                        let permit = permits.swap_remove(dice.below(permits.len()));
                        if dice.below(3) == 0 {
                            drop(permit);
                        } else if let Err(error) = permit.send(Item(item(), drops.clone())) {
                            assert!(back.insert(error.into_inner().0));
                        }
                    }
                }
                11 => {
                    if let Poll::Ready(Some(item)) = next(&mut streams[r % 2]) {
                        take(item, &mut covered);
                    }
                }
                12 => drop(senders[s].close()),
                13 => drop(receivers[r].close()),
                14 if dice.below(4) == 0 => {
                    if dice.below(2) == 0 {
                        senders[s].shutdown();
                    } else {
                        receivers[r].shutdown_now();
                    }
                }
                _ => {}
            }
            receivers[0].inspect(|state| state.check());
        }
        // What is under way goes, in any order; what is left in the channel is received.
        while !(sends.is_empty() && recvs.is_empty() && reserves.is_empty() && permits.is_empty()) {
            match dice.below(4) {
                0 if !sends.is_empty() => {
                    let before = dropped();
                    drop(sends.swap_remove(dice.below(sends.len())));
                    withdrawn += dropped() - before;
                }
                1 if !recvs.is_empty() => drop(recvs.swap_remove(dice.below(recvs.len()))),
                2 if !reserves.is_empty() => drop(reserves.swap_remove(dice.below(reserves.len()))),
                3 if !permits.is_empty() => drop(permits.swap_remove(dice.below(permits.len()))),
                _ => {}
            }
        }
        let left = receivers[0].statistics();
        assert_eq!((left.waiting_senders, left.permits), (0, 0), "seed {seed}");
        for receiver in receivers.iter().chain(&streams) {
            while let Ok(item) = receiver.try_recv() {
                take(item, &mut covered);
            }
        }
        drop((sends, recvs, reserves, permits));
        drop(senders);
        drop((receivers, streams));
        let drops = drops.lock().unwrap();
        assert!(drops.iter().all(|&times| times == 1), "seed {seed}: {drops:?}");
        assert!(received.is_disjoint(&back), "seed {seed}");
        if !closing {
            assert_eq!(received.len() + back.len() + withdrawn, drops.len(), "seed {seed}: nothing is lost");
        }
    }
    assert!(covered.iter().all(|&count| count > 100), "{covered:?}");
}
