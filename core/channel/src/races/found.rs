//! Values found at once: an operation that need not wait takes nothing, and sends nothing, that another thread makes
//! possible after it has cancelled the operation's code. As `core/src/races/found.rs`, for channels.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};

use foster_core::runtime::{BlockingError, Job, Runtime, Timer, Work, root};
use foster_core::{CancelScope, Instant};
use foster_test_support::races::{Count, check};
use futures_core::Stream;
use shuttle::future::block_on;
use shuttle::thread;

use crate::{Lag, Receiver, Sender, bounded, broadcast, oneshot, watch};

/// A runtime of a tree without tasks, whose clock stands still.
struct Alone;

impl Runtime for Alone {
    fn name(&self) -> &'static str {
        "alone"
    }

    fn spawn(&self, _: Job) {
        unreachable!("no model spawns")
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(0)
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Still)
    }

    fn blocking(&self, _: Work) -> Result<(), BlockingError> {
        unreachable!("no model blocks")
    }
}

/// Its timer: no model has a deadline.
struct Still;

impl Timer for Still {
    fn arm(&mut self, _: Instant, _: &Waker) {}

    fn disarm(&mut self) {}
}

/// L14: another thread cancels code that is about to `operate`, and then makes that possible. That code does not succeed.
///
/// Fails if that operation does not ask `may_take`.
fn made_possible_after_the_request<R: Send + 'static, G: Send + 'static, T>(
    ends: fn() -> (G, R),
    give: fn(&mut G) -> bool,
    operate: impl AsyncFn(R) -> T + Send + Sync + 'static,
) {
    let (given, operate) = (Count::default(), Arc::new(operate));
    let gives = given.clone();
    check(move || {
        let (mut giver, taker) = ends();
        let (operate, gives) = (operate.clone(), gives.clone());
        let body = async move {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let other = thread::spawn(move || {
                let in_time = handle.cancel("now");
                // Not if the code is gone by then, and its end with it.
                (give(&mut giver) && in_time, giver)
            });
            let done = scope.run(operate(taker)).await;
            let (was_given, _giver) = other.join().unwrap();
            if was_given {
                assert!(done.is_err(), "code that was cancelled before has gone on");
                gives.add();
            }
        };
        block_on(root(Arc::new(Alone), body).polled_by_its_runtime());
    });
    assert!(given.get() > 0, "nothing was given");
}

/// Polls it once, where nothing is cancelled: it may be met then.
fn touch<F: Future>(future: F) -> bool {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    true
}

/// From the buffer, from a sender that waits, and by way of a stream.
#[test]
fn a_value_comes_after_the_request() {
    made_possible_after_the_request(
        || bounded(1),
        |sender| sender.try_send(7).is_ok(),
        async |receiver| receiver.recv().await,
    );
    made_possible_after_the_request(
        || bounded(0),
        |sender| touch(sender.send(7)),
        async |receiver| receiver.recv().await,
    );
    made_possible_after_the_request(
        || bounded(1),
        |sender| sender.try_send(7).is_ok(),
        async |mut receiver| poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await,
    );
    made_possible_after_the_request(
        || {
            let (sender, receiver) = oneshot();
            (Some(sender), receiver)
        },
        |sender| sender.take().is_some_and(|sender| sender.send(7).is_ok()),
        async |receiver| receiver.await,
    );
}

/// For a value, and for a permit; in the buffer, and with a receiver that waits.
#[test]
fn room_comes_after_the_request() {
    fn full() -> (Receiver<i32>, Sender<i32>) {
        let (sender, receiver) = bounded(1);
        sender.try_send(1).unwrap();
        (receiver, sender)
    }
    let makes = |receiver: &mut Receiver<i32>| receiver.try_recv().is_ok();
    made_possible_after_the_request(full, makes, async |sender| sender.send(2).await);
    made_possible_after_the_request(full, makes, async |sender| drop(sender.reserve().await));
    made_possible_after_the_request(
        || {
            let (sender, receiver) = bounded(0);
            (receiver, sender)
        },
        |receiver| touch(receiver.recv()),
        async |sender| sender.send(2).await,
    );
}

#[test]
fn a_version_comes_after_the_request() {
    made_possible_after_the_request(
        || watch(0),
        |sender| sender.send(1).is_ok(),
        async |mut receiver| {
            let _seen = receiver.try_recv();
            receiver.recv().await
        },
    );
    made_possible_after_the_request(
        || watch(0),
        |sender| sender.send(1).is_ok(),
        async |mut receiver| receiver.wait_for(|version| *version == 1).await,
    );
}

#[test]
fn news_comes_after_the_request() {
    made_possible_after_the_request(
        || broadcast(1, Lag::Wait),
        |sender| sender.try_send(7).is_ok(),
        async |mut receiver| receiver.recv().await,
    );
    made_possible_after_the_request(
        || {
            let (sender, receiver) = broadcast(1, Lag::Wait);
            sender.try_send(1).unwrap();
            (receiver, sender)
        },
        |receiver| receiver.try_recv().is_ok(),
        async |sender| sender.send(2).await,
    );
}
