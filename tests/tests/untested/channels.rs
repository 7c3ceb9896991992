//! Channels whose ends are closed by the very request that cancels those who wait at them (L14).

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::channel::{
    Lag, RecvError, SendError, WatchReceiver, WatchSender, bounded, broadcast, oneshot, unbounded, watch,
};
use foster::{CancelScope, Nursery, nursery, sleep};
use futures_lite::future::{block_on, poll_once};
use futures_lite::{Stream, StreamExt};

use super::requests::{at_drop, is_told};

/// L14: a request on another thread comes while an operation looks at its channel. A channel that it has closed is not
/// news.
#[test]
fn code_that_is_cancelled_while_it_looks_is_not_told_what_the_request_has_closed() {
    let mut told = Vec::new();
    let mut expect = |what: (bool, &'static str), is_told: bool| {
        if is_told {
            told.push(what);
        }
    };
    for has_waited in [false, true] {
        let (tx, rx) = bounded::<u8>(1);
        expect((has_waited, "recv"), is_told(has_waited, tx, rx.recv()));
        let (tx, mut rx) = bounded::<u8>(1);
        expect((has_waited, "stream"), is_told(has_waited, tx, rx.next()));
        let (tx, rx) = bounded(1);
        tx.try_send(0).unwrap();
        expect((has_waited, "send"), is_told(has_waited, rx, tx.send(1)));
        let (tx, rx) = bounded(1);
        tx.try_send(0).unwrap();
        expect((has_waited, "reserve"), is_told(has_waited, rx, tx.reserve()));
        let (tx, rx) = unbounded::<u8>();
        expect((has_waited, "closed"), is_told(has_waited, rx, tx.closed()));

        let (tx, rx) = oneshot::<u8>();
        expect((has_waited, "oneshot"), is_told(has_waited, tx, rx));
        let (mut tx, rx) = oneshot::<u8>();
        expect((has_waited, "oneshot closed"), is_told(has_waited, rx, tx.closed()));

        let (tx, rx) = broadcast(1, Lag::Wait);
        tx.try_send(0).unwrap();
        expect((has_waited, "broadcast send"), is_told(has_waited, rx, tx.send(1)));
        let (tx, mut rx) = broadcast::<u8>(1, Lag::Wait);
        expect((has_waited, "broadcast recv"), is_told(has_waited, tx, rx.recv()));
        let (tx, mut rx) = broadcast::<u8>(1, Lag::Wait);
        expect((has_waited, "broadcast stream"), is_told(has_waited, tx, rx.next()));
        let (tx, rx) = broadcast::<u8>(1, Lag::Wait);
        expect((has_waited, "broadcast closed"), is_told(has_waited, rx, tx.closed()));

        let (tx, mut rx) = watch(0);
        expect((has_waited, "watch recv"), is_told(has_waited, tx, rx.recv()));
        let (tx, mut rx) = watch(0);
        expect((has_waited, "watch stream"), is_told(has_waited, tx, rx.next()));
        let (tx, mut rx) = watch(0);
        expect((has_waited, "watch wait_for"), is_told(has_waited, tx, rx.wait_for(|n| *n > 0)));
        let (tx, rx) = watch(0);
        expect((has_waited, "watch closed"), is_told(has_waited, rx, tx.closed()));
    }
    assert!(told.is_empty(), "{told:?}");
}

/// L14: a value that is sent after the request stays in the oneshot, also if the receiver is just being polled.
#[test]
fn a_oneshot_keeps_what_comes_after_the_request() {
    struct Sends(Option<foster::channel::OneshotSender<u8>>);
    impl Drop for Sends {
        fn drop(&mut self) {
            self.0.take().unwrap().send(1).unwrap();
        }
    }
    for has_waited in [false, true] {
        let (tx, mut rx) = oneshot();
        assert!(!is_told(has_waited, Sends(Some(tx)), &mut rx));
        assert_eq!(rx.try_recv(), Ok(1));
    }
}

/// Lets a stream wait for an item, and takes that. Outside of any tree.
fn has_waited<S: Stream + Unpin>(stream: &mut S, give: impl FnOnce()) {
    let item = block_on(async {
        let mut next = pin!(stream.next());
        assert!(poll_once(next.as_mut()).await.is_none(), "it has to wait");
        give();
        next.await
    });
    assert!(item.is_some());
}

/// L14: a stream that has waited for an item, and has it, is given no other one that comes with the request.
#[test]
fn a_stream_was_woken_for_one_item_only() {
    let (tx, mut rx) = watch(0);
    has_waited(&mut rx, || tx.send(1).unwrap());
    assert!(!is_told(false, at_drop(move || tx.send(2).unwrap()), rx.next()), "watch");
    assert!(rx.has_changed());

    let (tx, mut rx) = broadcast(2, Lag::Wait);
    has_waited(&mut rx, || tx.try_send(1).unwrap());
    assert!(!is_told(false, at_drop(move || tx.try_send(2).unwrap()), rx.next()), "broadcast");
    assert_eq!(rx.try_recv(), Ok(2));

    let (tx, mut rx) = bounded(2);
    has_waited(&mut rx, || tx.try_send(1).unwrap());
    assert!(!is_told(false, at_drop(move || tx.try_send(2).unwrap()), rx.next()), "bounded");
    assert_eq!(rx.try_recv(), Ok(2));
}

/// L14: a wait for a value looks in cancelled code at the one that it was woken for, and at none that comes then.
#[test]
fn a_wait_for_a_value_looks_once_in_cancelled_code() {
    for seed in 0..20 {
        for (wanted, in_time) in [(1, true), (2, false)] {
            let (tx, mut rx) = watch(0);
            let tx = Arc::new(tx);
            let sends = tx.clone();
            let waits = move || async move {
                let look = |value: &u8| {
                    if *value == 1 {
                        tx.send(2).unwrap();
                    }
                    *value == wanted
                };
                assert_eq!(*rx.wait_for(look).await.unwrap(), wanted);
            };
            let acts = move || -> Box<dyn std::any::Any + Send> {
                sends.send(1).unwrap();
                Box::new(())
            };
            assert_eq!(goes_on(seed, waits, acts), in_time, "seed {seed}");
        }
    }
}

/// Runs a task that waits beside one that acts, then asks both to stop, and is dropped with all that it owns. Returns
/// whether the one that waits went on.
fn goes_on<W: Future + Send>(
    seed: u64,
    waits: impl FnOnce() -> W + Send + 'static,
    acts: impl FnOnce() -> Box<dyn std::any::Any + Send> + Send + 'static,
) -> bool {
    foster_sim::run(seed, async {
        let told = Arc::new(AtomicBool::new(false));
        let tells = told.clone();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(nursery(async |n: Nursery| {
            n.spawn(async move {
                waits().await;
                tells.store(true, Ordering::SeqCst);
            });
            n.spawn(async move {
                sleep(Duration::from_millis(1)).await;
                let _owned = acts();
                assert!(handle.cancel("stop"));
                pending::<()>().await;
            });
        }));
        assert!(outcome.await.is_err());
        told.load(Ordering::SeqCst)
    })
}

/// L14: who was woken for something else is not told of an end that came with the request. An end that came before it
/// is told.
#[test]
fn who_was_woken_for_something_else_is_not_told_of_the_end() {
    async fn waits_for_two(mut rx: WatchReceiver<u8>) {
        assert_eq!(rx.wait_for(|n| *n == 2).await, Err(RecvError::Disconnected));
    }
    async fn watches(tx: Arc<WatchSender<u8>>) {
        tx.closed().await;
    }
    for seed in 0..20 {
        let (tx, rx) = watch(0);
        let acts = move || -> Box<dyn std::any::Any + Send> {
            tx.send(1).unwrap();
            Box::new(tx)
        };
        assert!(!goes_on(seed, || waits_for_two(rx), acts), "seed {seed}");
        let (tx, rx) = watch(0);
        let acts = move || -> Box<dyn std::any::Any + Send> {
            drop(tx);
            Box::new(())
        };
        assert!(goes_on(seed, || waits_for_two(rx), acts), "seed {seed}");

        // Others are woken when one end is closed, and when that is the own one it is news.
        for own in [false, true] {
            let (tx, rx) = watch(0);
            let tx = Arc::new(tx);
            let closes = if own { tx.clone() } else { Arc::new(WatchSender::clone(&tx)) };
            let acts = move || -> Box<dyn std::any::Any + Send> {
                closes.close();
                Box::new(rx)
            };
            assert_eq!(goes_on(seed, || watches(tx), acts), own, "watch, seed {seed}");

            let (tx, rx) = bounded::<u8>(1);
            let tx = Arc::new(tx);
            let closes = if own { tx.clone() } else { Arc::new((*tx).clone()) };
            let acts = move || -> Box<dyn std::any::Any + Send> {
                closes.close();
                Box::new(rx)
            };
            assert_eq!(goes_on(seed, || async move { tx.closed().await }, acts), own, "bounded, seed {seed}");

            let (tx, rx) = broadcast::<u8>(1, Lag::Wait);
            let tx = Arc::new(tx);
            let closes = if own { tx.clone() } else { Arc::new((*tx).clone()) };
            let acts = move || -> Box<dyn std::any::Any + Send> {
                closes.close();
                Box::new(rx)
            };
            assert_eq!(goes_on(seed, || async move { tx.closed().await }, acts), own, "broadcast, seed {seed}");
        }
    }
}

/// L14: a waiter that was skipped is woken, once: in cancelled code it does not wait again.
#[test]
fn who_was_skipped_does_not_wait_again_in_cancelled_code() {
    /// Polls `wait` in code that is cancelled then, has it skipped by `give`, polls it, and has it skipped again, if it is
    /// still there. Returns how often it was woken.
    fn wakes<A>(wait: impl Future<Output = A>, mut give: impl FnMut()) -> usize {
        let (woken, mut wait) = (Arc::new(Woken::default()), pin!(wait));
        let waker = Waker::from(woken.clone());
        foster_sim::run(1, async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let in_scope = scope.run(poll_fn(|_| {
                let mut cx = Context::from_waker(&waker);
                assert!(wait.as_mut().poll(&mut cx).is_pending());
                handle.cancel("it waits");
                for _ in 0..2 {
                    give();
                    assert!(wait.as_mut().poll(&mut cx).is_pending());
                }
                Poll::Ready(woken.0.load(Ordering::SeqCst))
            }));
            in_scope.await.expect("it is ready in its only poll")
        })
    }

    let (tx, rx) = bounded(1);
    let passes = || {
        tx.try_send(1).expect("it has room");
        assert_eq!(rx.try_recv(), Ok(1));
    };
    assert_eq!(wakes(rx.recv(), passes), 1, "a receiver");
    tx.try_send(1).expect("it has room");
    let passes = || {
        assert_eq!(rx.try_recv(), Ok(1));
        tx.try_send(1).expect("it has room");
    };
    assert_eq!(wakes(tx.send(2), passes), 1, "a sender");
}

/// Counts its calls.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// L14: a send that was refused before the request is told, though its code is cancelled when it is polled.
#[test]
fn who_was_refused_before_the_request_is_told() {
    for seed in 0..20 {
        let (tx, rx) = broadcast(1, Lag::Wait);
        tx.try_send(0).unwrap();
        let sends = || async move { assert_eq!(tx.send(1).await, Err(SendError::Disconnected(1))) };
        let acts = move || -> Box<dyn std::any::Any + Send> {
            drop(rx);
            Box::new(())
        };
        assert!(goes_on(seed, sends, acts), "seed {seed}");
    }
}
