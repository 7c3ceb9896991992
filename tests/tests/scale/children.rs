//! A million short children, in nurseries that live for long.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foster::observer::live_counts;
use foster::{LocalNursery, Nursery, checkpoint, local_nursery, nursery, sleep_forever, yield_now};
use foster_conformance::check;

use crate::{made, peak_of};

/// So many children are alive at the same time, or a few more.
const AT_ONCE: usize = 64;

/// The most that each of them may add: its scope, its future, its place in the tables of the runtime.
const BYTES_EACH: usize = 4096;

/// Children that have ended.
#[derive(Clone, Default)]
struct Ended(Arc<AtomicUsize>);

impl Ended {
    async fn child(self) {
        checkpoint().await;
        self.0.fetch_add(1, Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Comes back when no more than [`AT_ONCE`] of so many children are alive.
    async fn few_of(&self, spawned: usize) {
        while spawned.saturating_sub(self.count()) >= AT_ONCE {
            yield_now().await;
        }
    }
}

/// The scopes that are alive, in builds that count them.
fn scopes() -> usize {
    live_counts().map_or(0, |live_counts| live_counts.scopes)
}

/// Runs it, and proves that it was never bigger than a few children.
fn stays_small(name: &str, children: usize, run: impl FnOnce(Ended)) {
    check(name, || {
        let ended = Ended::default();
        let peak = peak_of(|| run(ended.clone()));
        println!("{name:<55} {children:>8} children, {peak:>7} bytes at the most");
        assert_eq!(ended.count(), children);
        assert!(peak < AT_ONCE * BYTES_EACH, "{peak} bytes were in use for {AT_ONCE} children");
    });
}

async fn through_a_nursery(children: usize, ended: Ended) {
    let outside = scopes();
    let Ok(most) = nursery(async move |n: Nursery| {
        let mut most: usize = 0;
        for spawned in 1..=children {
            n.spawn(ended.clone().child());
            ended.few_of(spawned).await;
            most = most.max(scopes().saturating_sub(outside));
        }
        Ok(most)
    })
    .await;
    // The nursery, its children, and one that has ended and is about to be dropped for each worker.
    assert!(most <= AT_ONCE + 16, "{most} scopes are alive for {AT_ONCE} children");
}

/// Law L2, I2 of the issue: a nursery is as big as its live children, on the simulator.
#[test]
fn nursery_forgets_children_that_have_ended() {
    const CHILDREN: usize = 150_000;
    stays_small("nursery_forgets_children_that_have_ended", CHILDREN, |ended| {
        foster_sim::run(1, through_a_nursery(CHILDREN, ended));
    });
}

#[test]
fn nursery_on_smol_forgets_children_that_have_ended() {
    const CHILDREN: usize = 100_000;
    stays_small("nursery_on_smol_forgets_children_that_have_ended", CHILDREN, |ended| {
        foster_smol::run(through_a_nursery(CHILDREN, ended));
    });
}

#[test]
fn nursery_on_tokio_forgets_children_that_have_ended() {
    const CHILDREN: usize = 100_000;
    stays_small("nursery_on_tokio_forgets_children_that_have_ended", CHILDREN, |ended| {
        foster_tokio::run(through_a_nursery(CHILDREN, ended));
    });
}

#[test]
fn local_nursery_forgets_children_that_have_ended() {
    const CHILDREN: usize = 1_000_000;
    stays_small("local_nursery_forgets_children_that_have_ended", CHILDREN, |ended| {
        foster_sim::run(1, async move {
            let outside = scopes();
            let Ok(most) = local_nursery(async move |n: LocalNursery<'_>| {
                let mut most = 0;
                for spawned in 1..=CHILDREN {
                    n.spawn(ended.clone().child());
                    ended.few_of(spawned).await;
                    most = most.max(scopes().saturating_sub(outside));
                }
                Ok(most)
            })
            .await;
            assert!(most <= AT_ONCE + 16, "{most} scopes are alive for {AT_ONCE} children");
        });
    });
}

/// Handles that are dropped, awaited, or of children that were cancelled leave nothing either.
#[test]
fn nursery_forgets_children_however_they_end() {
    const CHILDREN: usize = 60_000;
    stays_small("nursery_forgets_children_however_they_end", CHILDREN, |ended| {
        foster_sim::run(1, async move {
            let Ok(()) = nursery(async move |n: Nursery| {
                for spawned in 0..CHILDREN {
                    let mut task = n.spawn(stays(ended.clone()));
                    match spawned % 3 {
                        0 => drop(task.cancel("not needed")),
                        1 => {
                            yield_now().await;
                            task.cancel("not needed any more");
                            task.wait().await;
                        }
                        _ => {
                            task.cancel("not needed");
                            assert!(task.await.is_err());
                        }
                    }
                    ended.few_of(spawned).await;
                }
            })
            .await;
        });
    });
}

/// Counts as ended when it is dropped, also unpolled.
fn stays(ended: Ended) -> impl Future<Output = ()> + Send + 'static {
    struct Gone(Ended);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.0.fetch_add(1, Relaxed);
        }
    }
    let gone = Gone(ended);
    async move {
        let _gone = gone;
        foster::sleep_forever().await;
    }
}

/// R9: a turn of a local nursery ends with the budget of the host, also when there is more to do. The simulator allows
/// 128 questions.
#[test]
fn local_nursery_gives_way_when_its_turn_is_used_up() {
    const CHILDREN: usize = 2_000;
    check("local_nursery_gives_way_when_its_turn_is_used_up", || {
        let ended = Ended::default();
        let program = local_nursery(async |n: LocalNursery<'_>| {
            for _ in 0..CHILDREN {
                n.spawn(ended.clone().child());
            }
        });
        let run = foster_sim::Builder::new(1).observe(program);
        println!("{CHILDREN} children in {} turns", run.steps);
        assert_eq!(ended.count(), CHILDREN);
        // Each child has two polls.
        assert!(run.steps as usize >= 2 * CHILDREN / 128, "{CHILDREN} children in {} turns", run.steps);
    });
}

/// L2: the children are counted, and not looked at, to know how many there are.
#[test]
fn to_ask_how_many_children_there_are_allocates_nothing() {
    check("how many children there are", || {
        foster_sim::run(1, async {
            let Ok(()) = nursery(async |n: Nursery| {
                for _ in 0..100 {
                    n.spawn_daemon(sleep_forever());
                }
                let before = made();
                assert_eq!((n.len(), n.is_empty()), (100, false));
                assert_eq!(made(), before);
            })
            .await;
        });
    });
}
