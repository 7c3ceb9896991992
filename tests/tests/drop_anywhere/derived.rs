//! Streams that own a scope, rate limits, pools, scoped values: what is inside is waited for, wherever the whole is
//! dropped.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use foster::cleanup::BracketExit;
use foster::combine::Emitter;
use foster::combine::{batch, join, merge, produce, throttle, try_produce};
use foster::pool::{Manage, Pool, PoolError};
use foster::rate::RateLimiter;
use foster::{CancelScope, ScopedValue, sleep};
use foster_conformance::harness::ms;
use futures_core::Stream;

use crate::driver::{Scene, nothing};
use crate::inside::{busy, work};
use crate::probe::{Probe, Resource};

static KEY: ScopedValue<u8> = ScopedValue::inherited();

cases! {
    value_scope: run, |scene: Scene| KEY.scope(1, busy(scene.probe)), nothing;
    run_here_: run, |scene: Scene| async move {
        let placed = CancelScope::new().run_here(busy(scene.probe));
        sleep(ms(1)).await;
        placed.await.unwrap();
    }, nothing;
    produce_stream: run, |scene: Scene| async move {
        let mut items = produce(|out| emits(scene.probe, out, 2));
        while next(&mut items).await.is_some() {}
    }, nothing;
    produce_next: run, |scene: Scene| async move {
        let mut items = produce(|out| emits(scene.probe, out, 2));
        while items.next().await.is_some() {}
    }, nothing;
    /// The consumer is elsewhere while the body stands in `emit`.
    produce_aside: run, |scene: Scene| async move {
        let mut items = produce(|out| emits(scene.probe, out, 2));
        while items.next().await.is_some() {
            sleep(ms(2)).await;
        }
    }, nothing;
    produce_close: run, |scene: Scene| async move {
        let mut items = produce(|out| emits(scene.probe, out, 2));
        assert_eq!(items.next().await, Some(2));
        items.close().await;
    }, nothing;
    try_produce_stream: run, |scene: Scene| async move {
        let mut items = try_produce(|out| fails(scene.probe, out));
        while next(&mut items).await.is_some() {}
    }, nothing;
    try_produce_close: run, |scene: Scene| async move {
        let mut items = try_produce(|out| fails(scene.probe, out));
        assert!(items.next().await.is_some());
        assert!(items.close().await.is_ok());
    }, nothing;
    merge_stream: run, |scene: Scene| async move {
        let mut items = merge([1, 2].map(|n| Box::pin(produce(|out| emits(scene.probe.clone(), out, n)))));
        while items.next().await.is_some() {}
    }, nothing;
    batch_stream: run, |scene: Scene| async move {
        let mut batches = batch(produce(|out| emits(scene.probe, out, 3)), 2, ms(1));
        while batches.next().await.is_some() {}
    }, nothing;
    throttle_stream: run, |scene: Scene| async move {
        let mut items = throttle(produce(|out| emits(scene.probe, out, 2)), ms(4));
        while items.next().await.is_some() {}
    }, nothing;
    /// The first waits for the bucket, the second for the first.
    rate_acquire: run, |scene: Scene| async move {
        let limit = RateLimiter::new(1, ms(2));
        limit.acquire().await;
        join((limit.acquire(), limit.acquire(), work(scene.probe))).await;
        assert_eq!(limit.waiting(), 0);
    }, nothing;
    pool_use: run, |scene: Scene| async move {
        let pool = Pool::new(1, Opens(scene.probe.clone()));
        for _ in 0..2 {
            let used: Result<(), Refused> = pool.run(async |_| {
                busy(scene.probe.clone()).await;
                Ok(())
            })
            .await;
            used.unwrap();
        }
    }, nothing;
    pool_close: run, |scene: Scene| async move {
        let pool = Pool::new(1, Opens(scene.probe.clone()));
        let used = pool.run(async |_| -> Result<(), Refused> {
            busy(scene.probe.clone()).await;
            Ok(())
        });
        let closing = async {
            sleep(ms(2)).await;
            pool.close(ms(1)).await
        };
        let (used, cut) = join((used, closing)).await;
        assert_eq!(used.is_err(), cut == 1);
    }, nothing;
}

/// An error that is a value like any other.
#[derive(Debug)]
struct Failed;

type Refused = PoolError<Infallible>;

/// Resources whose release is in the books: none is used again.
struct Opens(Probe);

impl Manage for Opens {
    type Resource = Resource;
    type Error = Infallible;

    async fn open(&self) -> Result<Resource, Infallible> {
        let resource = self.0.acquire();
        sleep(ms(1)).await;
        Ok(resource.keep())
    }

    async fn reset(&self, _: &mut Resource, _: &BracketExit) -> bool {
        false
    }

    async fn close(&self, resource: Resource) {
        resource.release().await;
    }
}

async fn emits(probe: Probe, mut out: Emitter<u8>, count: u8) {
    let _local = probe.local();
    for n in (1..=count).rev() {
        work(probe.clone()).await;
        out.emit(n).await;
    }
    busy(probe).await;
}

async fn fails(probe: Probe, out: Emitter<u8>) -> Result<(), Failed> {
    emits(probe, out, 1).await;
    Err(Failed)
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}
