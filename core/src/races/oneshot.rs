//! The two ends of a oneshot: a value is dropped once, a waker too, and nobody waits for what has come.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use shuttle::future::block_on;
use shuttle::thread;

use super::{Count, check_all};
use crate::channel::{OneshotReceiver, OneshotSender, RecvError, SendError, TryRecvError, oneshot};

/// Counts the drops of one value, and the wakers that were waited with, and those of them that are gone.
#[derive(Clone, Default)]
struct Drops {
    value: Count,
    wakers: Count,
    gone: Count,
}

impl Drops {
    /// Polls once, with a waker that nobody hears.
    fn touch<F: Future>(&self, future: F) -> Poll<F::Output> {
        self.wakers.add();
        let waker = self.gone.on_drop_of_waker();
        pin!(future).poll(&mut Context::from_waker(&waker))
    }
}

type Value = Box<dyn Send + Sync>;

/// All schedules of what both ends do, each on a thread of its own. In the end nothing is left.
fn ends(
    give: impl Fn(OneshotSender<Value>, Value, &Drops) + Send + Sync + 'static,
    take: impl Fn(OneshotReceiver<Value>, &Drops) + Send + Sync + 'static,
) {
    let give = Arc::new(give);
    check_all(50_000, move || {
        let drops = Drops::default();
        let (sender, receiver) = oneshot::<Value>();
        let value = Box::new(drops.value.on_drop());
        let (give, there) = (give.clone(), drops.clone());
        let other = thread::spawn(move || give(sender, value, &there));
        take(receiver, &drops);
        other.join().unwrap();
        assert_eq!((drops.value.get(), drops.gone.get()), (1, drops.wakers.get()));
    });
}

fn sends(sender: OneshotSender<Value>, value: Value, _: &Drops) {
    assert!(sender.send(value).is_ok(), "the receiver is there");
}

/// Whichever it is, it is no panic.
fn tries(sender: OneshotSender<Value>, value: Value, _: &Drops) {
    if let Err(SendError::Closed(_)) = sender.send(value) {
        panic!("nobody closes the sender");
    }
}

/// Fails with `state.load` in the place of `fetch_or` in `Bell::lend`, and if it does not look at OVER there.
#[test]
fn a_value_races_with_the_wait_for_it() {
    ends(sends, |receiver, _| assert!(block_on(receiver).is_ok()));
}

/// A receiver that goes from one task to another.
///
/// Fails if `Bell::lend` keeps the waker that it has; crashes if `finish_seen` sets GIVER_GONE before the waker was fetched.
#[test]
fn a_value_races_with_a_new_waker() {
    ends(sends, |mut receiver, drops| {
        // It is polled in vain only before the value comes; or gives way.
        for _ in 0..2 {
            if let Poll::Ready(value) = drops.touch(&mut receiver) {
                return drop(value.unwrap());
            }
        }
        assert!(block_on(receiver).is_ok());
    });
}

/// Fails without the look at CLOSED in `finish_seen`.
#[test]
fn a_value_races_with_a_receiver_that_goes() {
    ends(tries, |receiver, _| drop(receiver));
    ends(tries, |mut receiver, drops| {
        let _ = drops.touch(&mut receiver);
    });
}

/// What was sent before stays; what was not comes back.
///
/// Fails without the look at CLOSED in `finish_seen`, and if `leave` does not look whether the other end is gone.
#[test]
fn a_value_races_with_a_close() {
    ends(tries, |mut receiver, drops| {
        let waited = drops.touch(&mut receiver);
        receiver.close();
        assert!(waited.is_pending() && !matches!(receiver.try_recv(), Err(TryRecvError::Empty)));
    });
}

/// Fails if `Giver::drop` does nothing.
#[test]
fn a_sender_that_goes_races_with_the_wait() {
    ends(
        |sender, _, _| drop(sender),
        |receiver, _| assert_eq!(block_on(receiver).err(), Some(RecvError::Disconnected)),
    );
}

/// Fails with `state.load` in the place of `fetch_or` in `Bell::lend`.
#[test]
fn a_receiver_that_goes_races_with_those_who_listen() {
    let listens = |mut sender: OneshotSender<Value>, value, drops: &Drops| {
        let _ = drops.touch(sender.closed());
        block_on(sender.closed());
        assert!(sender.send(value).is_err());
    };
    ends(listens, |receiver, _| drop(receiver));
    ends(listens, |mut receiver, _| {
        receiver.close();
    });
}
