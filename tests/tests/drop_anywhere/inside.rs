//! The contents of the futures under test.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use foster::{Nursery, checkpoint, defer, nursery, shield, sleep, sleep_forever, to_thread};
use foster_conformance::harness::ms;

use crate::probe::{Oops, Probe};

/// Everything that a scope may have to wait for, and a local that has to outlive it.
pub(crate) async fn busy(probe: Probe) {
    let _local = probe.local();
    defer(probe.finalizer());
    defer(probe.bad_finalizer());
    let inner = probe.clone();
    let Ok(()) = nursery(async move |n: Nursery| {
        let _local = inner.local();
        defer(inner.finalizer());
        n.spawn(child(inner.clone()));
        n.spawn_daemon(daemon(inner.clone()));
        let job = inner.job();
        n.spawn(async move { to_thread(move || drop(job)).await });
        sleep(ms(1)).await;
        shield(sleep(ms(1))).await;
    })
    .await;
    checkpoint().await;
}

pub(crate) async fn child(probe: Probe) {
    let _inside = probe.inside();
    work(probe).await;
}

pub(crate) async fn work(probe: Probe) {
    defer(probe.finalizer());
    sleep(ms(2)).await;
    shield(async {
        defer(probe.finalizer());
        sleep(ms(1)).await;
    })
    .await;
    checkpoint().await;
}

pub(crate) async fn daemon(probe: Probe) {
    let _inside = probe.inside();
    wait(probe).await;
}

pub(crate) async fn wait(probe: Probe) {
    defer(probe.finalizer());
    sleep_forever().await;
}

pub(crate) async fn grandchildren(probe: Probe, nursery: Nursery<Oops>) {
    let _inside = probe.inside();
    nursery.spawn(child(probe.clone()));
    sleep(ms(1)).await;
    nursery.spawn(child(probe.clone()));
}

pub(crate) async fn failing(probe: Probe) -> Result<(), Oops> {
    let _inside = probe.inside();
    fail(probe).await
}

pub(crate) async fn fail(probe: Probe) -> Result<(), Oops> {
    defer(probe.finalizer());
    sleep(ms(2)).await;
    Err(probe.raise())
}

/// Children of a local nursery live in the future under test, and are forgotten with it: what they hold counts as its
/// locals.
pub(crate) async fn local_child(probe: Probe) {
    let _local = probe.local();
    work(probe).await;
}

pub(crate) async fn local_daemon(probe: Probe) {
    let _local = probe.local();
    wait(probe).await;
}

pub(crate) async fn local_failing(probe: Probe) -> Result<(), Oops> {
    let _local = probe.local();
    fail(probe).await
}

/// A child of a nursery around the place where the future is dropped.
pub(crate) async fn beside(probe: Probe) {
    let _alive = probe.beside();
    sleep(ms(3)).await;
}

/// Awaits the permit, and keeps it for a while.
pub(crate) async fn holding<F: Future>(acquire: F) {
    let _permit = acquire.await;
    sleep(ms(1)).await;
}

/// Both futures, in one task.
pub(crate) fn both<A: Future, B: Future>(first: A, second: B) -> Both<A, B, A::Output, B::Output> {
    Both { first: Box::pin(first), second: Box::pin(second), one: None, two: None }
}

/// Future of [`both`]. No bound stands on it, or it would not be `Send` around what borrows.
pub(crate) struct Both<A, B, X, Y> {
    first: Pin<Box<A>>,
    second: Pin<Box<B>>,
    one: Option<X>,
    two: Option<Y>,
}

impl<A, B, X, Y> Unpin for Both<A, B, X, Y> {}

impl<A: Future<Output = X>, B: Future<Output = Y>, X, Y> Future for Both<A, B, X, Y> {
    type Output = (X, Y);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(X, Y)> {
        let this = &mut *self;
        poll_into(this.first.as_mut(), &mut this.one, cx);
        poll_into(this.second.as_mut(), &mut this.two, cx);
        match (this.one.take(), this.two.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            (one, two) => {
                (this.one, this.two) = (one, two);
                Poll::Pending
            }
        }
    }
}

fn poll_into<F: Future>(future: Pin<&mut F>, output: &mut Option<F::Output>, cx: &mut Context<'_>) {
    if output.is_none() {
        if let Poll::Ready(ready) = future.poll(cx) {
            *output = Some(ready);
        }
    }
}
