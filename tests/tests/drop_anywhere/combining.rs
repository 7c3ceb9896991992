//! Combinators, and trying again: what a branch or an attempt leaves is waited for, wherever the whole is dropped.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use foster::combine::{
    as_completed, first_ok, for_each_concurrent, gather, gather_results, join, map_concurrent, map_concurrent_results,
    quorum, race, race_all, staggered, try_join,
};
use foster::retry::retry;
use foster::{sleep, sleep_forever};
use foster_conformance::harness::ms;
use futures_core::Stream;

use crate::driver::{Scene, nothing};
use crate::inside::{busy, work};
use crate::probe::Probe;

cases! {
    join_: run, |scene: Scene| join((busy(scene.probe.clone()), work(scene.probe))), nothing;
    join_of_eight: run, |scene: Scene| {
        let nap = |time| sleep(ms(time));
        join((work(scene.probe), nap(1), nap(0), nap(2), nap(1), nap(3), nap(2), nap(1)))
    }, nothing;
    try_join_: run, |scene: Scene| try_join((good(scene.probe.clone(), 1), good(scene.probe, 2))), nothing;
    /// One fails, and the others are cancelled.
    try_join_fails: run, |scene: Scene| {
        try_join((good(scene.probe.clone(), 9), bad(scene.probe.clone(), 1), bad(scene.probe, 1)))
    }, nothing;
    race_: run, |scene: Scene| race((loses(scene.probe.clone()), wins(scene.probe.clone()), loses(scene.probe))), nothing;
    race_of_eight: run, |scene: Scene| {
        let nap = |time| sleep(ms(time));
        race((work(scene.probe), nap(5), nap(6), nap(2), nap(9), nap(9), nap(9), nap(9)))
    }, nothing;
    race_array: run, |scene: Scene| race([9, 1].map(|time| good(scene.probe.clone(), time))), nothing;
    race_all_: run, |scene: Scene| race_all([9, 1, 9].map(|time| good(scene.probe.clone(), time))), nothing;
    first_ok_: run, |scene: Scene| first_ok([branch(&scene, 1, 1), branch(&scene, 2, 0), branch(&scene, 9, 0)]), nothing;
    first_ok_fails: run, |scene: Scene| first_ok([branch(&scene, 1, 1), branch(&scene, 2, 1)]), nothing;
    quorum_: run, |scene: Scene| quorum(2, [1, 2, 9].map(|time| good(scene.probe.clone(), time))), nothing;
    no_quorum: run, |scene: Scene| quorum(2, [branch(&scene, 1, 0), branch(&scene, 2, 1), branch(&scene, 3, 1)]), nothing;
    gather_: run, |scene: Scene| gather([2, 1].map(|time| good(scene.probe.clone(), time))), nothing;
    gather_fails: run, |scene: Scene| gather([branch(&scene, 9, 0), branch(&scene, 1, 1)]), nothing;
    gather_settled_: run, |scene: Scene| gather_results([branch(&scene, 2, 0), branch(&scene, 1, 1)]), nothing;
    map_concurrent_: run, |scene: Scene| map_concurrent(2, [2, 1, 1], move |time| good(scene.probe.clone(), time)), nothing;
    map_concurrent_settled_: run, |scene: Scene| {
        map_concurrent_results(2, 0..3, move |n| attempt(scene.probe.clone(), 1, n % 2))
    }, nothing;
    for_each_concurrent_: run, |scene: Scene| for_each_concurrent(2, 0..3, move |_| work(scene.probe.clone())), nothing;
    for_each_concurrent_fails: run, |scene: Scene| {
        for_each_concurrent(2, 0.., move |n| {
            let attempt = attempt(scene.probe.clone(), 1, u8::from(n == 2));
            async move { attempt.await.map(drop) }
        })
    }, nothing;
    /// The second begins because the first is slow, the third because the second fails.
    staggered_: run, |scene: Scene| {
        staggered(ms(1), [branch(&scene, 9, 0), branch(&scene, 1, 1), branch(&scene, 2, 0)])
    }, nothing;
    as_completed_stream: run, |scene: Scene| async move {
        let mut done = as_completed([2, 1].map(|time| good(scene.probe.clone(), time)));
        while next(&mut done).await.is_some() {}
        assert!(done.is_empty());
    }, nothing;
    as_completed_next: run, |scene: Scene| async move {
        let mut done = as_completed([2, 1].map(|time| good(scene.probe.clone(), time)));
        while done.next().await.is_some() {}
    }, nothing;
    as_completed_close: run, |scene: Scene| async move {
        let mut done = as_completed([9, 1, 9].map(|time| good(scene.probe.clone(), time)));
        assert!(done.next().await.is_some());
        done.close().await;
    }, nothing;
    indexed_stream: run, |scene: Scene| async move {
        let mut done = as_completed([2, 1].map(|time| good(scene.probe.clone(), time))).indexed();
        while next(&mut done).await.is_some() {}
    }, nothing;
    indexed_next: run, |scene: Scene| async move {
        let mut done = as_completed([9, 1].map(|time| good(scene.probe.clone(), time))).indexed();
        assert_eq!(done.next().await.map(|(index, _)| index), Some(1));
        done.close().await;
    }, nothing;

    retry_: run, |scene: Scene| {
        let mut failures = [1, 1, 0].into_iter();
        retry([ms(1); 2], move || attempt(scene.probe.clone(), 1, failures.next().expect("three attempts")))
    }, nothing;
    retry_gives_up: run, |scene: Scene| retry([Duration::ZERO], move || bad(scene.probe.clone(), 1)), nothing;
    /// The first attempt takes too long: it has cleaned up before the second begins.
    retry_attempt_timeout: run, |scene: Scene| {
        let mut times = [9, 1].into_iter();
        let attempt = move || {
            let (probe, time) = (scene.probe.clone(), times.next().expect("two attempts"));
            async move { good(probe, time).await.map_err(|Failed| std::io::Error::other("failed")) }
        };
        retry([ms(1)], attempt).attempt_timeout(ms(5))
    }, nothing;
}

/// An error that is a value like any other.
#[derive(Debug)]
struct Failed;

/// A branch that does everything in its time, and fails or not.
async fn attempt(probe: Probe, time: u64, failures: u8) -> Result<u64, Failed> {
    let _local = probe.local();
    sleep(ms(time)).await;
    work(probe.clone()).await;
    if failures > 0 { Err(Failed) } else { Ok(time) }
}

fn branch(scene: &Scene, time: u64, failures: u8) -> impl Future<Output = Result<u64, Failed>> + Send + use<> {
    attempt(scene.probe.clone(), time, failures)
}

async fn good(probe: Probe, time: u64) -> Result<u64, Failed> {
    attempt(probe, time, 0).await
}

async fn bad(probe: Probe, time: u64) -> Result<u64, Failed> {
    attempt(probe, time, 1).await
}

/// A branch that has begun to do everything when it loses.
async fn loses(probe: Probe) {
    busy(probe).await;
    sleep_forever().await;
}

async fn wins(probe: Probe) {
    sleep(ms(2)).await;
    work(probe).await;
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}
