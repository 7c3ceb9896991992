//! Broadcasts, driven poll by poll.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::*;
use crate::{SendError, TrySendError};
use foster_test_support::{Dice, ManualTask, at_once};

impl<T> BroadcastSender<T> {
    fn check(&self) {
        self.chan.step(|state, _| {
            assert!(state.queue.iter().all(|message| message.unseen > 0), "Invariant 1");
            let unseen: Vec<_> = state.queue.iter().map(|message| message.unseen).collect();
            assert!(
                unseen.is_sorted() && unseen.iter().all(|&unseen| unseen <= state.receivers),
                "Invariant 1: {unseen:?}"
            );
            assert!(state.lag != Lag::Wait || state.queue.len() + state.granted <= state.capacity, "Invariant 2");
            assert!(state.send_waiters.is_empty() || !state.has_room(), "Invariant 2");
        });
    }

    fn assert_home(&self) {
        self.check();
        self.chan.step(|state, _| {
            assert!(state.send_entries.is_empty() && state.send_waiters.is_empty() && state.granted == 0);
            assert!(state.recv_listeners.is_idle() && state.closed_listeners.is_idle());
        });
    }
}

fn next<T: Clone>(rx: &mut BroadcastReceiver<T>) -> Poll<Option<Result<T, Lagged>>> {
    Pin::new(rx).poll_next(&mut Context::from_waker(Waker::noop()))
}

/// A value that lets another receiver see it while it is being cloned.
#[derive(Debug)]
struct Nosy(u8, Arc<Mutex<Option<BroadcastReceiver<Nosy>>>>);

impl Clone for Nosy {
    fn clone(&self) -> Self {
        let other = self.1.lock().unwrap().take();
        if let Some(mut other) = other {
            assert_eq!(other.try_recv().unwrap().0, self.0);
        }
        Nosy(self.0, self.1.clone())
    }
}

/// L36
#[test]
fn who_clones_a_value_has_it_while_the_last_one_sees_it() {
    let (tx, mut one) = broadcast(2, Lag::Wait);
    let other = Arc::new(Mutex::new(None));
    for round in 0..3 {
        *other.lock().unwrap() = Some(one.clone());
        assert!(tx.try_send(Nosy(round, other.clone())).is_ok());
        assert_eq!(one.try_recv().unwrap().0, round);
        assert_eq!((tx.statistics().used, tx.statistics().receivers), (0, 1));
    }
    tx.assert_home();
}

/// A value whose clone panics, if it is the first.
#[derive(Debug, PartialEq)]
struct Unclonable(u8);

impl Clone for Unclonable {
    fn clone(&self) -> Self {
        assert!(self.0 > 0, "a clone that panics, on purpose");
        Unclonable(self.0)
    }
}

#[test]
fn who_could_not_clone_a_value_goes_on_with_the_next() {
    let (tx, mut stream) = broadcast(4, Lag::Wait);
    let (mut recv, keeper) = (stream.clone(), stream.clone());
    (0..3).for_each(|n| tx.try_send(Unclonable(n)).unwrap());
    assert!(catch_unwind(AssertUnwindSafe(|| next(&mut stream))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| at_once(recv.recv()))).is_err());
    for n in 1..3 {
        assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(Unclonable(n)))));
        assert_eq!(at_once(recv.recv()), Ok(Unclonable(n)));
    }
    drop(keeper);
    tx.assert_home();
}

/// Values that one receiver was to move are shared from when there is another, each from its place on.
#[test]
fn a_clone_gets_what_the_other_has_not_seen() {
    let (tx, mut one) = broadcast(8, Lag::Wait);
    (0..5).for_each(|n| tx.try_send(n).unwrap());
    assert_eq!((one.try_recv(), one.try_recv()), (Ok(0), Ok(1)));
    let mut ahead = one.clone();
    assert_eq!(ahead.try_recv(), Ok(2));
    let mut third = ahead.clone();
    tx.check();
    let rest = |rx: &mut BroadcastReceiver<_>| std::iter::from_fn(|| rx.try_recv().ok()).collect::<Vec<_>>();
    assert_eq!((rest(&mut third), rest(&mut one), rest(&mut ahead)), (vec![3, 4], vec![2, 3, 4], vec![3, 4]));
    assert_eq!(tx.statistics().used, 0);
}

/// B081
#[test]
fn every_receiver_gets_every_value_from_when_it_came() {
    for lag in [Lag::Wait, Lag::Skip, Lag::Disconnect] {
        let (tx, mut one) = broadcast(4, lag);
        at_once(tx.send(1)).unwrap();
        let (mut two, mut late) = (one.clone(), tx.subscribe());
        tx.try_send(2).unwrap();
        assert_eq!((at_once(one.recv()), one.try_recv()), (Ok(1), Ok(2)));
        assert_eq!((two.try_recv(), two.try_recv()), (Ok(1), Ok(2)));
        assert_eq!(tx.statistics().used, 1);
        assert_eq!(late.try_recv(), Ok(2));
        assert_eq!((tx.statistics().used, tx.statistics().peak), (0, 2), "all have seen all");
        let waiting = [ManualTask::waiting(one.recv()), ManualTask::waiting(two.recv())];
        assert_eq!(tx.statistics().waiting_receivers, 2);
        tx.try_send(3).unwrap();
        for hand in waiting {
            assert_eq!(hand.wakes(), 1);
            assert_eq!(hand.finish(), Ok(3));
        }
        drop(ManualTask::waiting(one.recv()));
        tx.assert_home();
    }
}

/// Nobody clones what the last one takes.
#[test]
fn the_last_to_see_it_gets_the_value_itself() {
    let token = Arc::new(());
    let (tx, mut one) = broadcast(2, Lag::Wait);
    let mut two = one.clone();
    tx.try_send(token.clone()).unwrap();
    let (first, last) = (one.try_recv().unwrap(), two.try_recv().unwrap());
    assert_eq!(Arc::strong_count(&token), 3);
    drop((first, last));
    tx.try_send(token.clone()).unwrap();
    drop(one);
    assert_eq!(Arc::strong_count(&token), 2);
    drop(two);
    assert_eq!(Arc::strong_count(&token), 1, "nobody will see it");
}

#[test]
fn who_skips_is_told_how_many() {
    let (tx, mut rx) = broadcast(2, Lag::Skip);
    let mut fast = rx.clone();
    for item in 0..5 {
        tx.try_send(item).unwrap();
        assert_eq!(fast.try_recv(), Ok(item));
        tx.check();
    }
    assert_eq!(rx.try_recv(), Err(BroadcastTryRecvError::Lagged(3)));
    assert_eq!((rx.try_recv(), rx.try_recv(), rx.try_recv()), (Ok(3), Ok(4), Err(BroadcastTryRecvError::Empty)));
    (5..8).for_each(|item| tx.try_send(item).unwrap());
    assert_eq!(next(&mut rx), Poll::Ready(Some(Err(Lagged(1)))));
    assert_eq!(next(&mut rx), Poll::Ready(Some(Ok(6))));
    drop(tx);
    assert_eq!(at_once(rx.recv()), Ok(7));
    assert_eq!(at_once(rx.recv()), Err(BroadcastRecvError::Disconnected));
}

#[test]
fn who_lags_is_cut_off() {
    let (tx, mut rx) = broadcast(2, Lag::Disconnect);
    let mut fast = rx.clone();
    for item in 0..4 {
        tx.try_send(item).unwrap();
        assert_eq!(fast.try_recv(), Ok(item));
        tx.check();
    }
    assert_eq!(tx.statistics().receivers, 1);
    let mut clone = rx.clone();
    assert_eq!(tx.statistics().receivers, 1, "as cut off as the other");
    for rx in [&mut rx, &mut clone] {
        assert!(matches!(rx.try_recv(), Err(BroadcastTryRecvError::Lagged(_))));
        assert_eq!(rx.try_recv(), Err(BroadcastTryRecvError::Disconnected));
        assert_eq!(at_once(rx.recv()), Err(BroadcastRecvError::Disconnected));
    }
    drop((rx, clone));
    let closed = ManualTask::waiting(tx.closed());
    (4..6).for_each(|item| tx.try_send(item).unwrap());
    assert_eq!(closed.wakes(), 0);
    assert_eq!(tx.try_send(6), Err(TrySendError::Disconnected(6)), "nobody is left to see it");
    closed.finish();
    assert_eq!(tx.try_send(7), Err(TrySendError::Disconnected(7)));
    drop(fast);
    tx.assert_home();
}

/// B180
#[test]
fn senders_wait_for_the_slowest_in_their_order() {
    let (tx, mut slow) = broadcast(1, Lag::Wait);
    let mut fast = slow.clone();
    tx.try_send(0).unwrap();
    assert_eq!(fast.try_recv(), Ok(0));
    let (dropped, first, second) =
        (ManualTask::waiting(tx.send(9)), ManualTask::waiting(tx.send(1)), ManualTask::waiting(tx.send(2)));
    assert_eq!(slow.try_recv(), Ok(0));
    assert_eq!((dropped.wakes(), first.wakes()), (1, 0));
    assert_eq!(tx.try_send(8), Err(TrySendError::Full(8)), "it belongs to the one that was called");
    drop(dropped);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    first.finish().unwrap();
    assert_eq!(fast.try_recv(), Ok(1));
    drop(slow);
    second.finish().unwrap();
    assert_eq!(fast.try_recv(), Ok(2));
    tx.assert_home();
}

/// B171, B172, B173
#[test]
fn closing_hands_values_back() {
    let (tx, rx) = broadcast(1, Lag::Wait);
    let tx2 = tx.clone();
    tx.try_send(0).unwrap();
    let (mine, other) = (ManualTask::waiting(tx.send(1)), ManualTask::waiting(tx2.send(2)));
    assert!(tx.close() && !tx.close());
    assert_eq!(mine.finish(), Err(SendError::Closed(1)));
    assert_eq!(tx.clone().try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!((other.wakes(), rx.statistics().senders), (0, 1));
    drop(rx);
    assert_eq!(other.finish(), Err(SendError::Disconnected(2)));
    assert_eq!(at_once(tx2.send(4)), Err(SendError::Disconnected(4)));
    assert!(tx2.is_closed());
    let mut again = tx2.subscribe();
    tx2.try_send(5).unwrap();
    assert_eq!(again.try_recv(), Ok(5));
    let waiting = ManualTask::waiting(again.recv());
    drop(tx2);
    assert_eq!(waiting.finish(), Err(BroadcastRecvError::Disconnected));
    tx.assert_home();

    // Granted room, and closed or left alone before it was used.
    let (tx, mut rx) = broadcast(1, Lag::Wait);
    let tx2 = tx.clone();
    tx.try_send(0).unwrap();
    let (granted, next) = (ManualTask::waiting(tx.send(1)), ManualTask::waiting(tx2.send(2)));
    rx.try_recv().unwrap();
    tx.close();
    assert_eq!(granted.finish(), Err(SendError::Closed(1)));
    next.finish().unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
    tx.assert_home();
}

/// B171: who was refused because no receiver was left gets the value back, though somebody has subscribed since.
#[test]
fn who_was_refused_stays_refused_when_somebody_subscribes_again() {
    let (tx, rx) = broadcast(1, Lag::Wait);
    tx.try_send(0).unwrap();
    let sends = [ManualTask::waiting(tx.send(1)), ManualTask::waiting(tx.send(2))];
    drop(rx);
    let mut again = tx.subscribe();
    for (value, send) in [1, 2].into_iter().zip(sends) {
        assert_eq!(send.wakes(), 1);
        assert_eq!(send.finish(), Err(SendError::Disconnected(value)));
    }
    tx.try_send(3).unwrap();
    assert_eq!(again.try_recv(), Ok(3), "no room was lost");

    // The same with an end that is closed, while the others and the receiver go on.
    let tx2 = tx.clone();
    tx.try_send(4).unwrap();
    let (mine, other) = (ManualTask::waiting(tx2.send(5)), ManualTask::waiting(tx.send(6)));
    tx2.close();
    assert_eq!(mine.finish(), Err(SendError::Closed(5)));
    assert_eq!(again.try_recv(), Ok(4));
    other.finish().unwrap();
    assert_eq!(again.try_recv(), Ok(6));
    tx.assert_home();
}

#[test]
#[should_panic(expected = "needs room for at least one value")]
fn without_capacity_it_is_refused() {
    let _ = broadcast::<u8>(0, Lag::Skip);
}

/// Each receiver gets what was sent from its beginning on, in order, without holes where nobody may miss any.
#[test]
fn storm() {
    let mut received = 0;
    for seed in 1..500 {
        let mut dice = Dice::new(seed);
        let lag = [Lag::Wait, Lag::Skip, Lag::Disconnect][dice.below(3)];
        let (tx, first) = broadcast(1 + dice.below(4), lag);
        let senders = [tx.clone(), tx.clone()];
        let (mut sends, mut receivers) = (vec![], vec![(first, None)]);
        // The numbers in the order in which they were sent for certain are not known: a counter taken when the value is
        // taken is.
        let mut item = 0u32;
        for _ in 0..200 {
            match dice.below(10) {
                9 if dice.below(4) == 0 => {
                    // All go, and then one comes.
                    receivers.clear();
                    tx.check();
                    assert!(tx.is_closed());
                    receivers.push((tx.subscribe(), None));
                }
                0 | 1 => {
                    item += 1;
                    let mut hand = ManualTask::new(senders[dice.below(2)].send(item));
                    if hand.poll().is_pending() {
                        sends.push(hand);
                    }
                }
                2 | 3 if !sends.is_empty() => {
                    let mut hand = sends.swap_remove(dice.below(sends.len()));
                    if dice.below(3) > 0 && hand.poll().is_pending() {
                        sends.push(hand);
                    }
                }
                4 => receivers.push((tx.subscribe(), None)),
                5 if receivers.len() > 1 => drop(receivers.swap_remove(dice.below(receivers.len()))),
                6 => {
                    let (original, seen) = &receivers[dice.below(receivers.len())];
                    let clone = (original.clone(), seen.clone());
                    receivers.push(clone);
                }
                _ => {
                    let index = dice.below(receivers.len());
                    let (rx, seen) = &mut receivers[index];
                    let got = if dice.below(2) == 0 {
                        rx.try_recv().ok()
                    } else {
                        match next(rx) {
                            Poll::Ready(Some(Ok(item))) => Some(item),
                            _ => None,
                        }
                    };
                    if let Some(item) = got {
                        received += 1;
                        seen.get_or_insert_with(Vec::new).push(item);
                    }
                }
            }
            tx.check();
        }
        drop(sends);
        // A receiver that saw two values saw all between them, and in the order of everybody else.
        let mut after = std::collections::HashMap::new();
        for (rx, seen) in &mut receivers {
            let seen = seen.get_or_insert_with(Vec::new);
            while let Ok(item) = rx.try_recv() {
                seen.push(item);
            }
            if lag == Lag::Wait {
                for pair in seen.windows(2) {
                    assert_eq!(*after.entry(pair[0]).or_insert(pair[1]), pair[1], "seed {seed}");
                }
            }
        }
        drop(receivers);
        tx.assert_home();
        assert_eq!((tx.statistics().used, tx.statistics().receivers), (0, 0), "seed {seed}");
    }
    assert!(received > 5000, "{received}");
}
