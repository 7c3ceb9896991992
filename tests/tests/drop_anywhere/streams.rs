//! Streams that are left before their end, or whose bodies give up: no item is kept, and what is inside is waited for.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use foster::combine::Emitter;
use foster::combine::{batch, merge, produce, race, throttle, try_produce};
use foster::{defer, move_on_after, shield, sleep};
use foster_conformance::harness::ms;
use futures_core::Stream;

use crate::driver::{Scene, nothing};
use crate::inside::{both, work};
use crate::probe::{Alive, Probe};

cases! {
    /// Closed while the body has more to say, which a shield lets it say: it is waited for.
    produce_close_shielded: run, |scene: Scene| async move {
        let mut items = produce(async move |mut out: Emitter<Alive>| {
            let _local = scene.probe.local();
            shield(async {
                defer(scene.probe.finalizer());
                out.emit(scene.probe.local()).await;
                sleep(ms(2)).await;
                out.emit(scene.probe.local()).await;
            })
            .await;
            source(scene.probe, out, 9).await;
        });
        assert!(items.next().await.is_some());
        items.close().await;
    }, nothing;
    try_produce_next: run, |scene: Scene| async move {
        let mut items = try_produce(async move |out: Emitter<Alive>| fails(scene.probe, out).await);
        while let Some(Ok(item)) = items.next().await {
            both(sleep(ms(1)), async move { drop(item) }).await;
        }
    }, nothing;
    /// The body gives up an item before anybody could take it, and goes on to the next.
    emit_given_up: run, |scene: Scene| async move {
        let mut items = produce(async move |mut out: Emitter<Alive>| {
            let _local = scene.probe.local();
            out.emit(scene.probe.local()).await;
            race((out.emit(scene.probe.local()), async {})).await;
            out.emit(scene.probe.local()).await;
        });
        let mut seen = 0;
        while items.next().await.is_some() {
            sleep(ms(1)).await;
            seen += 1;
        }
        assert_eq!(seen, 2);
    }, nothing;
    /// One of the merged streams is not at its end.
    merge_given_up: run, |scene: Scene| async move {
        let mut all = merge([1, 9].map(|count| boxed(scene.probe.clone(), count)));
        for _ in 0..4 {
            assert!(all.next().await.is_some());
        }
    }, nothing;
    /// Collected items come out when their time is over; the rest is asked for by hand.
    batch_given_up: run, |scene: Scene| async move {
        let mut batches = batch(boxed(scene.probe, 2), usize::MAX, ms(1));
        assert_eq!(batches.next().await.map(|items| items.len()), Some(1));
        let _ = move_on_after(ms(1), batches.next()).await;
        let (mut rest, items) = batches.into_parts();
        drop(items);
        while next(&mut rest).await.is_some() {}
    }, nothing;
    throttle_given_up: run, |scene: Scene| async move {
        let mut slow = throttle(boxed(scene.probe, 2), Duration::MAX);
        assert!(slow.next().await.is_some());
        assert!(move_on_after(ms(9), slow.next()).await.is_none());
    }, nothing;
}

/// An error that is a value like any other.
#[derive(Debug)]
struct Failed;

/// Yields so many items, and one more, and does everything in between.
async fn source(probe: Probe, mut out: Emitter<Alive>, count: usize) {
    let _local = probe.local();
    defer(probe.finalizer());
    for _ in 0..count {
        out.emit(probe.local()).await;
        work(probe.clone()).await;
    }
    shield(async {
        defer(probe.finalizer());
        sleep(ms(1)).await;
    })
    .await;
    out.emit(probe.local()).await;
}

async fn fails(probe: Probe, mut out: Emitter<Alive>) -> Result<(), Failed> {
    let _local = probe.local();
    out.emit(probe.local()).await;
    work(probe).await;
    Err(Failed)
}

/// A source, of one type wherever it is made.
fn boxed(probe: Probe, count: usize) -> Pin<Box<dyn Stream<Item = Alive> + Send>> {
    Box::pin(produce(async move |out: Emitter<Alive>| source(probe, out, count).await))
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}
