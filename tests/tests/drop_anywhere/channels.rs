//! Channels: a value comes through, comes back, or is dropped with who holds it, and whoever is left is served (L40).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use foster::channel::{
    Lag, OneshotReceiver, OneshotSender, Receiver, RecvError, Sender, bounded, broadcast, oneshot, unbounded, watch,
};
use foster::sleep;
use foster_conformance::harness::ms;
use futures_core::Stream;

use crate::driver::{Scene, nothing};
use crate::inside::both;
use crate::probe::{Alive, Probe};

cases! {
    /// One place, four values: three times a sender waits.
    channel_send: run, |scene: Scene| async move {
        let (tx, rx) = bounded(1);
        let sends = async {
            for _ in 0..3 {
                assert!(tx.send(scene.probe.local()).await.is_ok());
            }
            assert!(tx.send(scene.probe.local()).await.is_ok());
        };
        both(sends, receive(&rx, 4)).await;
        assert!(rx.try_recv().is_err());
    }, nothing;
    channel_send_rendezvous: run, |scene: Scene| async move {
        let (tx, rx) = bounded(0);
        let send = || async { assert!(tx.send(scene.probe.local()).await.is_ok()) };
        both(both(send(), send()), both(receive(&rx, 1), receive(&rx, 1))).await;
    }, nothing;
    channel_reserve: run, |scene: Scene| async move {
        let (tx, rx) = bounded(1);
        let sends = || async {
            let permit = tx.reserve().await.expect("there is a receiver");
            sleep(ms(1)).await;
            assert!(permit.send(scene.probe.local()).is_ok());
        };
        both(both(sends(), sends()), receive(&rx, 2)).await;
        assert!(tx.try_reserve().is_ok());
    }, nothing;
    /// Three wait for room, and one of them is dropped at each poll: what was received is what is known as sent.
    channel_reserve_beside: run.beside().holds(), |scene: Scene| {
        let (tx, rx) = bounded(0);
        let (sent, alive) = (Arc::new(AtomicUsize::new(0)), scene.probe.beside());
        for _ in 0..2 {
            let sends = count(sent.clone(), send_one(tx.clone(), scene.probe.clone()));
            let alive = scene.probe.beside();
            scene.nursery.spawn(async move { sends.await; drop(alive) });
        }
        let known = sent.clone();
        scene.nursery.spawn(async move {
            let mut received = 0;
            sleep(ms(2)).await;
            while rx.recv().await.is_ok() {
                received += 1;
                sleep(ms(1)).await;
            }
            assert_eq!(received, known.load(SeqCst));
            assert!(received >= 2, "those that were not dropped have sent");
            drop(alive);
        });
        count(sent, send_one(tx, scene.probe))
    }, nothing;
    channel_recv: run, |scene: Scene| async move {
        let (tx, rx) = unbounded();
        let sends = async {
            for _ in 0..3 {
                sleep(ms(1)).await;
                assert!(tx.try_send(scene.probe.local()).is_ok());
            }
        };
        let fast = async { assert!(rx.recv().await.is_ok()) };
        both(both(receive(&rx, 1), both(receive(&rx, 1), fast)), sends).await;
    }, nothing;
    /// Two receivers wait, and one of them is dropped at each poll: nothing is lost, and nothing is had twice.
    channel_recv_beside: run.beside().holds(), |scene: Scene| {
        let (tx, rx) = unbounded();
        let (received, alive) = (Arc::new(AtomicUsize::new(0)), scene.probe.beside());
        let (probe, all, rest) = (scene.probe.clone(), received.clone(), rx.clone());
        scene.nursery.spawn(async move {
            for _ in 0..4 {
                assert!(tx.try_send(probe.local()).is_ok());
                sleep(ms(1)).await;
            }
            drop(tx);
            // Whoever waited at the end of its line has been served by now, or is gone.
            sleep(ms(9)).await;
            while rest.recv().await.is_ok() {
                all.fetch_add(1, SeqCst);
            }
            assert_eq!(all.load(SeqCst), 4);
            drop(alive);
        });
        async move {
            let two = || async {
                for _ in 0..2 {
                    count(received.clone(), receive(&rx, 1)).await;
                }
            };
            both(two(), two()).await;
        }
    }, nothing;
    channel_stream: run, |scene: Scene| async move {
        let (tx, mut rx) = bounded(2);
        let sends = async move {
            for _ in 0..3 {
                assert!(tx.send(scene.probe.local()).await.is_ok());
            }
        };
        both(sends, async { while next(&mut rx).await.is_some() {} }).await;
    }, nothing;
    channel_closed: run, |scene: Scene| async move {
        let (tx, rx) = bounded::<Alive>(1);
        let leaves = async move {
            assert!(tx.send(scene.probe.local()).await.is_ok());
            let other = tx.clone();
            both(tx.closed(), other.closed()).await;
        };
        both(leaves, async move { sleep(ms(1)).await; drop(rx) }).await;
    }, nothing;

    oneshot_recv: run, |scene: Scene| async move {
        let (tx, rx) = oneshot();
        let value = scene.probe.local();
        both(rx, async move { sleep(ms(1)).await; assert!(tx.send(value).is_ok()) }).await.0.is_ok()
    }, nothing;
    oneshot_disconnected: run, |_| async {
        let (tx, rx): (OneshotSender<u8>, OneshotReceiver<u8>) = oneshot();
        let (received, ()) = both(rx, async move { sleep(ms(1)).await; drop(tx) }).await;
        assert_eq!(received, Err(RecvError::Disconnected));
    }, nothing;
    oneshot_closed: run, |_| async {
        let (mut tx, rx) = oneshot::<u8>();
        both(tx.closed(), async move { sleep(ms(1)).await; drop(rx) }).await;
    }, nothing;

    watch_recv: run, |scene: Scene| async move {
        let (tx, mut rx) = watch(scene.probe.local());
        let mut other = rx.clone();
        let sends = async move {
            for _ in 0..2 {
                sleep(ms(1)).await;
                assert!(tx.replace(scene.probe.local()).is_ok());
            }
        };
        both(both(async { while rx.recv().await.is_ok() {} }, async { while other.recv().await.is_ok() {} }), sends).await;
    }, nothing;
    watch_stream: run, |scene: Scene| async move {
        let (tx, mut rx) = watch(scene.probe.local());
        let sends = async move { sleep(ms(1)).await; assert!(tx.replace(scene.probe.local()).is_ok()) };
        both(async { while next(&mut rx).await.is_some() {} }, sends).await;
    }, nothing;
    watch_wait_for: run, |_| async {
        let (tx, mut rx) = watch(0);
        let mut other = rx.clone();
        let sends = async {
            for value in 1..=3 {
                sleep(ms(1)).await;
                assert!(tx.replace(value).is_ok());
            }
        };
        let (seen, ()) = both(both(rx.wait_for(|value| *value >= 2), other.wait_for(|value| *value == 3)), sends).await;
        assert!(seen.0.is_ok() && seen.1.is_ok());
    }, nothing;
    watch_closed: run, |_| async {
        let (tx, rx) = watch(0);
        both(both(tx.closed(), tx.closed()), async move { sleep(ms(1)).await; drop(rx) }).await;
    }, nothing;

    /// One place, two receivers: the sender waits for the slower.
    broadcast_send: run, |scene: Scene| async move {
        let (tx, mut one) = broadcast(1, Lag::Wait);
        let mut other = one.clone();
        let sends = async move {
            for _ in 0..3 {
                assert!(tx.send(Arc::new(scene.probe.local())).await.is_ok());
            }
        };
        let slow = async { while other.recv().await.is_ok() { sleep(ms(1)).await } };
        both(both(async { while one.recv().await.is_ok() {} }, slow), sends).await;
    }, nothing;
    /// A receiver in another task is dropped at each poll: it holds nobody back after that, and misses nothing for the
    /// other.
    broadcast_recv: run.beside().holds(), |scene: Scene| {
        let (tx, mut rx) = broadcast(1, Lag::Wait);
        let mut other = rx.clone();
        let (alive, also_alive, probe) = (scene.probe.beside(), scene.probe.beside(), scene.probe.clone());
        scene.nursery.spawn(async move {
            for _ in 0..3 {
                assert!(tx.send(Arc::new(probe.local())).await.is_ok());
            }
            drop(alive);
        });
        scene.nursery.spawn(async move {
            let mut seen = 0;
            while other.recv().await.is_ok() {
                seen += 1;
            }
            assert_eq!(seen, 3);
            drop(also_alive);
        });
        async move { while rx.recv().await.is_ok() { sleep(ms(1)).await } }
    }, nothing;
    broadcast_stream: run, |scene: Scene| async move {
        let (tx, mut rx) = broadcast(2, Lag::Skip);
        let sends = async move {
            for _ in 0..3 {
                assert!(tx.try_send(Arc::new(scene.probe.local())).is_ok());
                sleep(ms(1)).await;
            }
        };
        both(async { while next(&mut rx).await.is_some() {} }, sends).await;
    }, nothing;
    broadcast_closed: run, |_| async {
        let (tx, rx) = broadcast::<u8>(1, Lag::Wait);
        both(both(tx.closed(), tx.closed()), async move { sleep(ms(1)).await; drop(rx) }).await;
    }, nothing;
}

async fn receive(rx: &Receiver<Alive>, count: usize) {
    for _ in 0..count {
        assert!(rx.recv().await.is_ok());
    }
}

async fn send_one(tx: Sender<Alive>, probe: Probe) {
    let permit = tx.reserve().await.expect("there is a receiver");
    assert!(permit.send(probe.local()).is_ok());
}

/// Counts the future when it is ready.
async fn count<F: Future>(counter: Arc<AtomicUsize>, future: F) {
    future.await;
    counter.fetch_add(1, SeqCst);
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}
