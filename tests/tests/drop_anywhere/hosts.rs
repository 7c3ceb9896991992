//! Blocking jobs, roots, and the jobs of the runtime.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use foster::runtime::{current, root};
use foster::sync::CapacityLimiter;
use foster::thread::Unblock;
use foster::thread::{to_thread_abandon, try_to_thread};
use foster::{move_on_after, to_thread, yield_now};
use foster_conformance::check;
use foster_conformance::harness::ms;

use crate::driver::{Scene, nothing};
use crate::inside::{both, busy};
use crate::jobs;
use crate::probe::{Expect, Probe};

cases! {
    to_thread_: run, |scene: Scene| {
        let job = scene.probe.job();
        to_thread(move || drop(job))
    }, nothing;
    try_to_thread_: run, |scene: Scene| {
        let job = scene.probe.job();
        try_to_thread(move || drop(job))
    }, nothing;
    /// Two jobs, one permit: the second waits for the first, abandoned or not.
    to_thread_limited: run, |scene: Scene| async move {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let one = || {
            let job = scene.probe.job();
            to_thread(move || drop(job)).limiter(limiter.clone())
        };
        both(one(), one()).await;
        assert_eq!(limiter.borrowed(), 0);
    }, nothing;
    /// Two jobs, one value: the second waits for the first.
    unblock_with_mut: run, |scene: Scene| async move {
        let value = Unblock::new(0);
        let one = || {
            let job = scene.probe.job();
            value.with_mut(move |value| {
                *value += 1;
                drop(job);
            })
        };
        both(one(), one()).await;
        assert_eq!(value.into_inner(), Some(2));
    }, nothing;
    /// Whoever stands behind the one that is dropped has the value when its job has ended.
    unblock_with_mut_beside: run.beside().holds(), |scene: Scene| {
        let (value, alive) = (Unblock::new(0), scene.probe.beside());
        let (other, job) = (value.clone(), scene.probe.job());
        scene.nursery.spawn(async move {
            for _ in 0..3 {
                other.with_mut(|value| *value += 1).await;
            }
            drop(alive);
        });
        async move {
            value.with_mut(move |value| {
                *value += 1;
                drop(job);
            })
            .await
        }
    }, nothing;
    to_thread_abandon_: run, |scene: Scene| {
        let job = scene.probe.job();
        to_thread_abandon(move || drop(job))
    }, nothing;
    to_thread_abandon_limited: run, |scene: Scene| async move {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let one = || {
            let job = scene.probe.job();
            to_thread_abandon(move || drop(job)).limiter(limiter.clone())
        };
        let (first, second) = both(one(), one()).await;
        assert!(first.is_ok() && second.is_ok());
    }, nothing;

    /// A tree in the tree: dropping it cuts off what is in it (L30).
    root_: run.host(), |scene: Scene| {
        let runtime = current().expect("the simulator");
        root(runtime, busy(scene.probe.clone())).observe(Arc::new(scene.probe))
    }, nothing;
}

/// L26, L37: an executor drops one job, of a task or of a reaper, at one of its polls. A task is then lost as if
/// foreign code had dropped it; what a reaper was to finish is cut off. The tree ends all the same.
#[test]
fn job() {
    check("job", || {
        let (mut tasks, mut reapers) = (0, 0);
        for nth in 0.. {
            let mut existed = false;
            for polls in 0.. {
                let probe = Probe::default();
                let seen = foster_sim::run(1, async {
                    let body = async {
                        move_on_after(ms(4), busy(probe.clone())).await;
                        busy(probe.clone()).await;
                        // Lost, so there are reapers.
                        let mut lost = Box::pin(busy(probe.clone()));
                        for _ in 0..2 {
                            assert!(poll_fn(|cx| Poll::Ready(lost.as_mut().poll(cx).is_pending())).await);
                            yield_now().await;
                        }
                        drop(lost);
                    };
                    jobs::run_and_drop(&probe, body, nth, polls).await
                });
                probe.assert_quiet();
                if seen.reaper && seen.dropped {
                    reapers += 1;
                } else {
                    probe.assert_settled(Expect::All);
                    tasks += usize::from(seen.dropped);
                }
                existed |= seen.existed;
                if !seen.dropped {
                    break;
                }
                assert!(polls < 100, "job {nth} never ends");
            }
            if !existed {
                break;
            }
        }
        println!("job: {tasks} tasks and {reapers} reapers dropped");
        assert!(tasks > 10 && reapers > 1, "{tasks} tasks and {reapers} reapers were dropped");
    });
}

/// L26, L37: the same on real threads. A nursery whose children run is dropped by a thread that knows nothing of
/// foster, and by the task that polls it; on smol and on tokio.
#[test]
fn dropped_while_children_run_elsewhere() {
    async fn dropped_from(thread: bool, polls: usize, probe: Probe) -> bool {
        let mut lost = Box::pin(busy(probe));
        let mut polled = 0;
        let ready = poll_fn(|cx| {
            if polled == polls {
                return Poll::Ready(false);
            }
            polled += 1;
            lost.as_mut().poll(cx).map(|()| true)
        })
        .await;
        if thread {
            std::thread::spawn(move || drop(lost)).join().expect("the drop does not panic");
        } else {
            drop(lost);
        }
        !ready
    }

    async fn all(probe: Probe) -> usize {
        let mut lost = 0;
        for polls in 1..8 {
            for thread in [false, true] {
                let scope = move_on_after(ms(10_000), dropped_from(thread, polls, probe.clone()));
                lost += usize::from(scope.await.expect("in time"));
                probe.assert_quiet();
            }
        }
        lost
    }

    fn proves(name: &str, run: impl FnOnce(Probe) -> usize) {
        check(name, || {
            let probe = Probe::default();
            let lost = run(probe.clone());
            probe.assert_settled(Expect::All);
            println!("{name}: {lost} dropped while children ran");
            assert!(lost > 4);
        });
    }

    proves("tokio", |probe| {
        foster_tokio::Builder::new().worker_threads(2).observer(Arc::new(probe.clone())).run(all(probe))
    });
    proves("smol", |probe| foster_smol::Builder::new().threads(2).observer(Arc::new(probe.clone())).run(all(probe)));
}
