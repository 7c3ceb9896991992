//! The two ends of a oneshot: a value is dropped once, a waker too, and nobody waits for what has come.

mod found;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use foster_test_support::races::{Count, check_all};
use shuttle::future::block_on;
use shuttle::thread;

use crate::{OneshotReceiver, OneshotSender, RecvError, SendError, TryRecvError, oneshot};

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

/// All schedules of what both ends do, each on a thread of its own. The value comes back to the sender, or the receiver
/// has had it. In the end nothing is left.
fn ends(
    send: impl Fn(OneshotSender<Value>, Value, &Drops) -> Option<Value> + Send + Sync + 'static,
    receive: impl Fn(OneshotReceiver<Value>, &Drops) -> bool + Send + Sync + 'static,
) {
    let send = Arc::new(send);
    check_all(50_000, move || {
        let drops = Drops::default();
        let (sender, receiver) = oneshot::<Value>();
        let value = Box::new(drops.value.on_drop());
        let (send, there) = (send.clone(), drops.clone());
        let other = thread::spawn(move || send(sender, value, &there));
        let received = receive(receiver, &drops);
        let back = other.join().unwrap();
        assert_eq!(received, back.is_none());
        drop(back);
        assert_eq!((drops.value.get(), drops.gone.get()), (1, drops.wakers.get()));
    });
}

fn sends(sender: OneshotSender<Value>, value: Value, _: &Drops) -> Option<Value> {
    assert!(sender.send(value).is_ok(), "the receiver is there");
    None
}

fn tries(sender: OneshotSender<Value>, value: Value, _: &Drops) -> Option<Value> {
    sender.send(value).err().map(SendError::into_inner)
}

/// Fails if `end_wait` does not wake, and if `receive` releases the lock between its look and the wait.
#[test]
fn a_value_races_with_the_wait_for_it() {
    ends(sends, |receiver, _| block_on(receiver).is_ok());
}

/// A receiver that goes from one task to another.
///
/// Fails if `Wait::wait` keeps the waiter that it has.
#[test]
fn a_value_races_with_a_new_waker() {
    ends(sends, |mut receiver, drops| {
        // It is polled in vain only before the value comes; or gives way.
        for _ in 0..2 {
            if let Poll::Ready(value) = drops.touch(&mut receiver) {
                return value.is_ok();
            }
        }
        block_on(receiver).is_ok()
    });
}

/// Fails without the look at the stage in `finish`, and if `leave` does nothing.
#[test]
fn a_value_races_with_a_receiver_that_goes() {
    ends(tries, |receiver, drops| {
        drop(receiver);
        drops.value.get() == 1
    });
    ends(tries, |mut receiver, drops| {
        let waited = drops.touch(&mut receiver);
        drop(receiver);
        waited.is_ready() || drops.value.get() == 1
    });
}

/// A value that was sent before stays; one that was not comes back.
///
/// Fails without the look at the stage in `finish`, and if `close` leaves the stage as it is.
#[test]
fn a_value_races_with_a_close() {
    ends(tries, |mut receiver, drops| {
        let waited = drops.touch(&mut receiver);
        receiver.close();
        match receiver.try_recv() {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, TryRecvError::Disconnected, "nothing more comes");
                waited.is_ready()
            }
        }
    });
}

/// Fails if the drop of a sender does nothing.
#[test]
fn a_sender_that_goes_races_with_the_wait() {
    let goes = |sender, value, _: &Drops| {
        drop::<OneshotSender<Value>>(sender);
        Some(value)
    };
    ends(goes, |receiver, _| {
        assert_eq!(block_on(receiver).err(), Some(RecvError::Disconnected));
        false
    });
}

/// Fails if `end_wait` does not wake, and if `leave` does not call it.
#[test]
fn a_receiver_that_goes_races_with_those_who_listen() {
    let listens = |mut sender: OneshotSender<Value>, value, drops: &Drops| {
        let _ = drops.touch(sender.closed());
        block_on(sender.closed());
        tries(sender, value, drops)
    };
    ends(listens, |receiver, _| {
        drop(receiver);
        false
    });
    ends(listens, |mut receiver, _| {
        receiver.close();
        false
    });
}
