use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::*;
use crate::{RecvError, SendError, TryRecvError};
use foster_test_support::{ManualTask, at_once};

fn assert_home<T>(tx: &WatchSender<T>) {
    tx.chan.step(|state, _| assert!(state.recv_listeners.is_idle() && state.closed_listeners.is_idle()));
}

/// B081
#[test]
fn every_receiver_gets_the_latest_once() {
    let (tx, mut one) = watch(0);
    let (mut two, mut three) = (one.clone(), tx.subscribe());
    assert!(!one.has_changed());
    {
        let waiting = [ManualTask::waiting(one.recv()), ManualTask::waiting(two.recv())];
        tx.send(1).unwrap();
        tx.send(2).unwrap();
        for hand in waiting {
            assert_eq!(hand.wakes(), 1);
            assert_eq!(*hand.finish().unwrap(), 2);
        }
    }
    assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
    assert!(three.has_changed());
    assert_eq!(*at_once(three.recv()).unwrap(), 2);
    assert_eq!(*three.latest(), 2);
    three.mark_unseen();
    assert_eq!(**three.try_recv().as_ref().unwrap(), 2);
    drop(ManualTask::waiting(three.recv()));
    assert_eq!(tx.statistics().waiting_receivers, 0);
    assert_home(&tx);
}

/// B170
#[test]
fn the_last_value_comes_before_the_end() {
    let (tx, mut rx) = watch(0);
    let tx2 = tx.clone();
    tx.send(1).unwrap();
    assert!(tx.close() && !tx.close());
    assert_eq!(tx.send(5), Err(SendError::Closed(5)));
    assert_eq!(tx.clone().replace(6), Err(SendError::Closed(6)));
    assert_eq!(tx.update(|_| Some(7)), Err(SendError::Closed(())));
    assert_eq!(rx.statistics().senders, 1);
    drop(tx2);
    assert_eq!(*at_once(rx.recv()).unwrap(), 1);
    assert_eq!(at_once(rx.recv()), Err(RecvError::Disconnected));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));

    let (tx, mut rx) = watch(0);
    let waiting = ManualTask::waiting(rx.recv());
    drop(tx);
    assert_eq!(waiting.finish(), Err(RecvError::Disconnected));
}

/// B171
#[test]
fn a_value_that_nobody_watches_comes_back() {
    let (tx, rx) = watch(0);
    let (gone, waiting) = (ManualTask::waiting(tx.closed()), ManualTask::waiting(tx.closed()));
    drop(gone);
    drop(rx.clone());
    assert_eq!(waiting.wakes(), 0);
    drop(rx);
    waiting.finish();
    assert!(tx.is_closed());
    assert_eq!(tx.send(1), Err(SendError::Disconnected(1)));
    assert_eq!(*tx.replace(2).unwrap(), 0);
    assert_eq!(*tx.subscribe().latest(), 2);
    assert_home(&tx);
}

#[test]
fn an_update_sees_what_came_before_it() {
    let (tx, mut rx) = watch(1);
    let raced = Cell::new(false);
    let changed = tx.update(|value| {
        if !raced.replace(true) {
            tx.replace(10).unwrap();
        }
        Some(value + 1)
    });
    assert_eq!((changed, *tx.latest()), (Ok(true), 11));
    assert_eq!(tx.update(|_| None), Ok(false));
    assert_eq!(rx.statistics().version, 2);
    assert_eq!(**rx.try_recv().as_ref().unwrap(), 11);
}

#[test]
fn waiting_for_a_value_skips_the_others() {
    let (tx, mut rx) = watch(5);
    assert_eq!(*at_once(rx.wait_for(|n| *n == 5)).unwrap(), 5, "the present one counts");
    let mut waiting = ManualTask::waiting(rx.wait_for(|n| *n > 6));
    tx.send(6).unwrap();
    assert!(waiting.poll().is_pending());
    tx.send(7).unwrap();
    assert_eq!(waiting.wakes(), 2);
    assert_eq!(*waiting.finish().unwrap(), 7);
    assert!(!rx.has_changed());
    let waiting = ManualTask::waiting(rx.wait_for(|n| *n == 9));
    drop(tx);
    assert_eq!(waiting.finish(), Err(RecvError::Disconnected));
}

#[test]
fn a_stream_of_changes() {
    let (tx, mut rx) = watch(0);
    let next = |rx: &mut WatchReceiver<i32>| {
        Pin::new(rx).poll_next(&mut Context::from_waker(Waker::noop())).map(|next| next.map(|value| *value))
    };
    assert!(next(&mut rx).is_pending());
    tx.send(1).unwrap();
    assert_eq!(next(&mut rx), Poll::Ready(Some(1)));
    tx.send(2).unwrap();
    tx.send(3).unwrap();
    assert_eq!(next(&mut rx), Poll::Ready(Some(3)));
    drop(tx);
    assert_eq!(next(&mut rx), Poll::Ready(None));
}
