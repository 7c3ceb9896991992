//! Items that pass through a channel allocate nothing once the channel has its size.

use std::sync::Arc;

use foster::channel::{Lag, bounded, broadcast, oneshot, unbounded, watch};

use super::made;

/// How many allocations each of `rounds` costs, after some for the channel to find its size.
#[track_caller]
fn assert_each(allocations: usize, mut round: impl FnMut(u64)) {
    const WARM: u64 = 200;
    (0..WARM).for_each(&mut round);
    let before = made();
    (WARM..2 * WARM).for_each(round);
    assert_eq!(made() - before, allocations * WARM as usize);
}

#[test]
fn a_value_that_is_sent_and_received_allocates_nothing() {
    for (tx, rx) in [bounded(3), unbounded()] {
        assert_each(0, |i| {
            tx.try_send(i).unwrap();
            assert_eq!(rx.try_recv(), Ok(i));
        });
    }
}

#[test]
fn a_oneshot_is_one_allocation() {
    assert_each(1, |i| {
        let (tx, mut rx) = oneshot();
        tx.send(i).unwrap();
        assert_eq!(rx.try_recv(), Ok(i));
    });
}

#[test]
fn a_value_that_is_broadcast_allocates_nothing() {
    for receivers in 1..4 {
        let (tx, rx) = broadcast(3, Lag::Skip);
        let mut receivers = vec![rx; receivers];
        assert_each(0, |i| {
            tx.try_send(i).unwrap();
            receivers.iter_mut().for_each(|rx| assert_eq!(rx.try_recv(), Ok(i)));
        });
        // Nobody receives: each value drives the oldest out.
        assert_each(0, |i| tx.try_send(i).unwrap());
    }
}

/// It takes the place of the one before, unless that one is looked at.
#[test]
fn a_value_that_is_watched_allocates_only_beside_one_that_is_looked_at() {
    let (tx, mut rx) = watch(0);
    assert_each(0, |i| {
        tx.send(i).unwrap();
        assert_eq!(*rx.try_recv().unwrap(), i);
        tx.update(|n| Some(n + 1)).unwrap();
    });
    let mut looked: Arc<u64> = rx.latest();
    assert_each(1, |i| {
        let before = *looked;
        tx.send(i).unwrap();
        assert_eq!(*looked, before, "what is looked at stays");
        looked = rx.latest();
    });
}
