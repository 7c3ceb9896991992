//! The races of the tree, on real threads: request against close, adopt against close, spawn against drain, handle
//! against end.
//!
//! Each round builds a small tree on two or more workers and lets other threads and tasks disturb it at random moments.
//! A round that loses a wake-up hangs, and the watchdog says so; one that leaves something behind is found by the
//! live_counts.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;

use foster::channel::bounded;
use foster::combine::{as_completed, gather_results, merge};
use foster::error::JoinError;
use foster::nursery::{Started, TaskStatus};
use foster::sync::Barrier;
use foster::{
    CancelScope, Cancelled, Nursery, Task, checkpoint, defer, graceful, move_on_after, nursery, shield, sleep,
    sleep_forever, yield_now,
};
use futures_lite::future::poll_once;

/// How many rounds each test runs; `FOSTER_ROUNDS` overrides it.
fn rounds() -> u64 {
    std::env::var("FOSTER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400)
}

/// A small generator, so that a round can be told from another; the threads make the rest of the chance.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Runs `round` many times on both multi-threaded runtimes. A hang fails the test instead of blocking it.
fn race<F, Fut>(name: &'static str, round: F)
where
    F: Fn(Dice) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    foster_conformance::check(name, || {
        let (done, finished) = mpsc::channel();
        let round = Arc::new(round);
        let at = Arc::new(AtomicUsize::new(0));
        let reached = at.clone();
        let worker = std::thread::spawn(move || {
            let each = |on: &str| {
                let (round, at) = (round.clone(), at.clone());
                let on = on.len() as u64;
                async move {
                    for seed in 0..rounds() {
                        at.fetch_add(1, Ordering::Relaxed);
                        round(Dice(seed * 7919 + on)).await;
                    }
                }
            };
            foster_tokio::Builder::new().worker_threads(3).run(each("tokio"));
            foster_smol::Builder::new().threads(3).run(each("smol"));
            let _ = done.send(());
        });
        let outcome = finished.recv_timeout(Duration::from_secs(120));
        let reached = reached.load(Ordering::Relaxed);
        match outcome {
            Ok(()) => worker.join().expect("the worker has ended"),
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name} hangs in round {reached}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(worker.join().unwrap_err()),
        }
        println!("{name}: {reached} rounds");
        assert!(reached > 0);
    });
}

/// Runs `test` once on both multi-threaded runtimes. A hang fails the test.
fn check_on_each<F, Fut>(name: &'static str, test: F)
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    within(name, move || {
        foster_tokio::Builder::new().worker_threads(3).run(test());
        foster_smol::Builder::new().threads(3).run(test());
    });
}

/// Runs `test` in a thread, and holds that it ends, in time, and leaves nothing.
fn within(name: &'static str, test: impl FnOnce() + Send + 'static) {
    foster_conformance::check(name, || {
        let (done, finished) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            test();
            let _ = done.send(());
        });
        if let Err(mpsc::RecvTimeoutError::Timeout) = finished.recv_timeout(Duration::from_secs(120)) {
            panic!("{name} hangs");
        }
        worker.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
    });
}

/// Gives way a few times, so that the moment differs.
async fn a_moment(dice: &mut Dice) {
    for _ in 0..dice.roll(6) {
        yield_now().await;
    }
}

/// I7, L6, L11: a request that comes while its scope is closing is either delivered or too late; nobody waits for ever.
#[test]
fn request_against_close() {
    race("request_against_close", |mut dice| async move {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let steps = dice.roll(5);
        let outcome = scope
            .run(async {
                let Ok(()) = nursery(async |n: Nursery| {
                    n.spawn(async move {
                        a_moment(&mut dice).await;
                        handle.cancel("race");
                    });
                    for _ in 0..steps {
                        checkpoint().await;
                    }
                })
                .await;
            })
            .await;
        drop(outcome);
    });
}

/// L4, L14: a child that comes while its nursery drains is run or handed back; every one that was admitted is waited
/// for.
#[test]
fn spawn_against_drain() {
    race("spawn_against_drain", |mut dice| async move {
        let (admitted, ran, refused) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (in_thread, seen, back) = (admitted.clone(), ran.clone(), refused.clone());
        let mut intruder = None;
        let Ok(()) = nursery(async |n: Nursery| {
            let inner = n.clone();
            intruder = Some(std::thread::spawn(move || {
                for _ in 0..20 {
                    let seen = seen.clone();
                    let child = async move {
                        seen.fetch_add(1, Ordering::SeqCst);
                    };
                    match inner.try_spawn(child) {
                        Ok(_) => in_thread.fetch_add(1, Ordering::SeqCst),
                        Err(_) => back.fetch_add(1, Ordering::SeqCst),
                    };
                }
            }));
            a_moment(&mut dice).await;
        })
        .await;
        let before = ran.load(Ordering::SeqCst);
        intruder.expect("started").join().expect("spawning does not panic");
        assert_eq!(ran.load(Ordering::SeqCst), before, "a child ran after its nursery had returned");
        assert_eq!(admitted.load(Ordering::SeqCst), before);
        assert_eq!(admitted.load(Ordering::SeqCst) + refused.load(Ordering::SeqCst), 20);
    });
}

/// L25–L27: a scope whose future is dropped is adopted by a scope that may be closing; its finalizers run, and somebody
/// waits.
#[test]
fn adopt_against_close() {
    race("adopt_against_close", |mut dice| async move {
        let finalized = Arc::<AtomicUsize>::default();
        let count = finalized.clone();
        move_on_after(Duration::from_secs(60), async move {
            let mut lost = Box::pin(nursery(async move |n: Nursery| {
                for _ in 0..3 {
                    let count = count.clone();
                    n.spawn(async move {
                        defer(async move {
                            yield_now().await;
                            count.fetch_add(1, Ordering::SeqCst);
                        });
                        yield_now().await;
                    });
                }
                yield_now().await;
            }));
            let polls = 1 + dice.roll(4);
            let mut polled = 0;
            poll_fn(|cx| {
                polled += 1;
                if lost.as_mut().poll(cx).is_ready() || polled >= polls {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            // On some other thread, half of the time.
            if dice.roll(2) == 0 {
                drop(lost)
            } else {
                std::thread::spawn(move || drop(lost)).join().expect("no panic")
            }
        })
        .await;
        // A child that was cancelled before its first poll registers no finalizer.
        assert!(finalized.load(Ordering::SeqCst) <= 3);
    });
}

/// L31, L33, L34: a child is cancelled by its handle, by a sibling's failure and by its own end at once.
#[test]
fn cancel_against_completion() {
    race("cancel_against_completion", |mut dice| async move {
        let fails = dice.roll(2) == 0;
        let moments = [dice.roll(4), dice.roll(4), dice.roll(4)];
        let outcome: Result<u32, &str> = nursery(async |n| {
            let child = n.spawn(async move {
                for _ in 0..moments[0] {
                    checkpoint().await;
                }
                Ok(7)
            });
            n.spawn(async move {
                for _ in 0..moments[1] {
                    yield_now().await;
                }
                if fails { Err("failed") } else { Ok(()) }
            });
            for _ in 0..moments[2] {
                yield_now().await;
            }
            child.cancel("race");
            Ok(child.await.unwrap_or(0))
        })
        .await;
        match outcome {
            Ok(value) => assert!(!fails && (value == 7 || value == 0)),
            Err(error) => assert!(fails && error == "failed"),
        }
    });
}

/// L8, L20, L22: deadlines fire from another thread while shields, graceful shields and finalizers are coming and
/// going.
#[test]
fn deadlines_against_everything() {
    race("deadlines_against_everything", |mut dice| async move {
        let micros = dice.roll(300);
        let scope = CancelScope::new()
            .deadline_after(Duration::from_micros(micros))
            .grace(Duration::from_micros(dice.roll(300)));
        let outcome = scope
            .run(async {
                let Ok(()) = nursery(async |n: Nursery| {
                    n.spawn(async {
                        loop {
                            shield(yield_now()).await;
                            checkpoint().await;
                        }
                    });
                    n.spawn(graceful(async {
                        loop {
                            yield_now().await;
                        }
                    }));
                    n.spawn(async {
                        loop {
                            move_on_after(Duration::from_micros(20), async {
                                defer(async { yield_now().await });
                                sleep(Duration::from_micros(50)).await;
                            })
                            .await;
                        }
                    });
                })
                .await;
            })
            .await;
        assert!(outcome.is_err(), "nothing in there ends by itself");
    });
}

/// L16, L38: scopes are polled by one task and then by another, while they are being cancelled.
#[test]
fn futures_that_wander() {
    race("futures_that_wander", |mut dice| async move {
        let polls = 1 + dice.roll(3);
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let mut wanderer: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let _ = scope
                .run(async {
                    let Ok(()) = nursery(async |n: Nursery| {
                        n.spawn(async { sleep(Duration::from_millis(1)).await });
                        yield_now().await;
                    })
                    .await;
                })
                .await;
        });
        let Ok(()) = nursery(async |n: Nursery| {
            let mut polled = 0;
            poll_fn(|cx| {
                polled += 1;
                if wanderer.as_mut().poll(cx).is_ready() {
                    wanderer = Box::pin(async {});
                }
                if polled >= polls {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            n.spawn(async move {
                handle.cancel("race");
            });
            let mut here = pin!(wanderer);
            here.as_mut().await;
        })
        .await;
    });
}

/// L30, I24: the host of a tree is dropped while its tasks are running on other threads.
#[test]
fn host_drop_against_everything() {
    foster_conformance::check("host_drop_against_everything", || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_time()
            .build()
            .expect("a runtime can be built");
        let dropped = Arc::<AtomicUsize>::default();
        runtime.block_on(async {
            for seed in 0..rounds() {
                let mut dice = Dice(seed);
                let counted = Counted(dropped.clone());
                let tree = foster_tokio::attach(async move {
                    let _counted = counted;
                    let Ok(()) = nursery(async |n: Nursery| {
                        for _ in 0..8 {
                            n.spawn(async {
                                defer(async { yield_now().await });
                                loop {
                                    move_on_after(Duration::from_micros(30), sleep(Duration::from_micros(60))).await;
                                    shield(yield_now()).await;
                                }
                            });
                        }
                    })
                    .await;
                });
                let limit = Duration::from_micros(dice.roll(400));
                assert!(tokio::time::timeout(limit, tree).await.is_err(), "nothing in there ends by itself");
            }
        });
        drop(runtime);
        assert_eq!(dropped.load(Ordering::SeqCst) as u64, rounds(), "every body was dropped, once");
    });
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Looks, when it is given up, whether the last child of its nursery is cancelled.
struct GivenUp {
    last: Arc<OnceLock<Task<()>>>,
    too_early: Arc<AtomicUsize>,
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        if self.last.get().is_some_and(|last| last.status() == TaskStatus::Running) {
            self.too_early.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// L11: what a cancelled child gives up finds all others of the same request cancelled, although the first children run
/// on other threads while the last are being marked: those that were runnable, those that wait and are woken meanwhile,
/// and those that nobody has polled.
#[test]
fn what_is_given_up_against_the_marks_of_its_request() {
    const CHILDREN: usize = 60;
    race("what_is_given_up_against_the_marks_of_its_request", |mut dice| async move {
        let (last, too_early) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
        let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
        let Ok(()) = nursery(async |around: Nursery| {
            let wakes = wakers.clone();
            around.spawn_daemon(async move {
                loop {
                    let woken = std::mem::take(&mut *wakes.lock().unwrap());
                    woken.into_iter().for_each(Waker::wake);
                    yield_now().await;
                }
            });
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let children = async {
                let Ok(()) = nursery(async |n: Nursery| {
                    for number in 0..CHILDREN {
                        let given_up = GivenUp { last: last.clone(), too_early: too_early.clone() };
                        let wakers = wakers.clone();
                        let child = n.spawn(async move {
                            let _given_up = given_up;
                            let mut waits = number % 2 == 0;
                            poll_fn::<(), _>(|cx| {
                                // The one half waits, the other half goes on; by turns.
                                waits = !waits;
                                if waits {
                                    wakers.lock().unwrap().push(cx.waker().clone())
                                } else {
                                    cx.waker().wake_by_ref()
                                }
                                Poll::Pending
                            })
                            .await;
                        });
                        if number == CHILDREN - 1 {
                            assert!(last.set(child).is_ok());
                        }
                    }
                    a_moment(&mut dice).await;
                    handle.cancel("race");
                })
                .await;
            };
            assert!(scope.run(children).await.is_err());
        })
        .await;
        assert_eq!(too_early.load(Ordering::Relaxed), 0);
    });
}

/// L11, L14: what comes while a request marks others is not dropped before these are marked: a child that awaits it
/// would see that.
///
/// Few rounds of many children: the marks have to take their time.
#[test]
fn what_is_spawned_against_the_marks_of_a_request() {
    check_on_each("what_is_spawned_against_the_marks_of_a_request", || async {
        for _ in 0..20 {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let spawned = Arc::new(AtomicUsize::new(0));
            let counted = spawned.clone();
            let outcome = scope.run(nursery(async move |n: Nursery<JoinError>| {
                for _ in 0..10_000 {
                    n.spawn(pending::<Result<(), JoinError>>());
                }
                let (spawner, spawns) = (n.clone(), counted.clone());
                n.spawn(async move {
                    loop {
                        if let Err(error) = spawner.spawn(async { Ok(()) }).await {
                            break Err::<(), _>(error);
                        }
                        spawns.fetch_add(1, Ordering::Relaxed);
                    }
                });
                while counted.load(Ordering::Relaxed) < 10 {
                    yield_now().await;
                }
                handle.cancel("race");
                pending::<Result<(), JoinError>>().await
            }));
            let cancelled: Result<Result<(), JoinError>, Cancelled> = outcome.await;
            assert!(spawned.load(Ordering::Relaxed) > 0);
            assert!(cancelled.is_err(), "a child has seen what the request did to another: {cancelled:?}");
        }
    });
}

/// L16, L19: a shield is not taken for one that was passed over while the drivers of its request are still being
/// called.
#[test]
fn a_shield_against_the_wake_ups_of_a_request() {
    const CHILDREN: usize = 5_000;
    check_on_each("a_shield_against_the_wake_ups_of_a_request", || async {
        for _ in 0..5 {
            let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let counted = (begun.clone(), ended.clone());
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope.run(nursery(async move |n: Nursery| {
                for _ in 0..CHILDREN {
                    let (begun, ended) = counted.clone();
                    n.spawn(async move {
                        let shielded = async move {
                            begun.fetch_add(1, Ordering::SeqCst);
                            sleep(Duration::from_millis(200)).await;
                            ended.fetch_add(1, Ordering::SeqCst);
                        };
                        gather_results([shield(shielded)]).await;
                    });
                }
                while counted.0.load(Ordering::SeqCst) < CHILDREN {
                    yield_now().await;
                }
                sleep(Duration::from_millis(50)).await;
                handle.cancel("race");
            }));
            // Children that have ended with their shields were not cut.
            assert!(outcome.await.is_err() || ended.load(Ordering::SeqCst) == CHILDREN);
            assert_eq!(begun.load(Ordering::SeqCst), CHILDREN);
            assert_eq!(ended.load(Ordering::SeqCst), begun.load(Ordering::SeqCst));
        }
    });
}

/// L32: a root that is polled while the panic of an orphan is being requested sees that request.
#[test]
fn a_root_against_the_panic_of_an_orphan() {
    const ORPHANS: usize = 3_000;
    let run = || async {
        for number in 0..ORPHANS {
            let mut lost = Box::pin(CancelScope::new().run(async move {
                defer(async move {
                    sleep(Duration::from_millis(100)).await;
                    assert!(number != 0, "seen");
                });
                sleep_forever().await
            }));
            assert!(poll_once(&mut lost).await.is_none());
        }
        loop {
            yield_now().await;
        }
    };
    let panicked = |run: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it cannot return");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"seen"));
    };
    within("a_root_against_the_panic_of_an_orphan", move || {
        for _ in 0..3 {
            panicked(&|| foster_tokio::Builder::new().worker_threads(3).run(run()));
            panicked(&|| foster_smol::Builder::new().threads(3).run(run()));
        }
    });
}

/// L28, L40: streams that are merged are asked in a limit for each item, and so are futures as they complete: no limit that
/// comes while an item does loses the item, nor the wake-up that the next poll waits for.
#[test]
fn merged_items_against_a_limit_for_each() {
    const ITEMS: u64 = 12;
    race("merged_items_against_a_limit_for_each", |mut dice| async move {
        let limit = Duration::from_micros(20 + dice.roll(200));
        let (pauses, ends) = ([dice.roll(3), dice.roll(3)], [dice.roll(300), dice.roll(300), dice.roll(300)]);
        let Ok(()) = nursery(async |n: Nursery| {
            let receivers = pauses.map(|pause| {
                let (tx, rx) = bounded(2);
                n.spawn(async move {
                    for item in 0..ITEMS {
                        match pause {
                            0 => {}
                            1 => yield_now().await,
                            _ => sleep(Duration::from_micros(30)).await,
                        }
                        tx.send(item).await.expect("somebody receives");
                    }
                });
                rx
            });
            // A limit that was too short is doubled, so that a slow machine comes to an end as well.
            let (mut items, mut sum, mut count, mut patience) = (merge(receivers), 0, 0, limit);
            loop {
                match move_on_after(patience, items.next()).await {
                    Some(Some(item)) => (sum, count, patience) = (sum + item, count + 1, limit),
                    Some(None) => break,
                    None => patience *= 2,
                }
            }
            assert_eq!((sum, count), (ITEMS * (ITEMS - 1), 2 * ITEMS));
            let mut ended = as_completed(ends.map(|micros| sleep(Duration::from_micros(micros))));
            let mut left = ends.len();
            while left > 0 {
                match move_on_after(patience, ended.next()).await {
                    Some(ended) => (left, patience) = (left - usize::from(ended.is_some()), limit),
                    None => patience *= 2,
                }
            }
        })
        .await;
    });
}

/// L12, L14: one gives, another one cancels the waiter. Anything that was given is taken: a sender whose value was
/// received knows that it was sent, a task that was met at a barrier goes on, and the child that was told that it was
/// heard has a caller that goes on.
#[test]
fn what_is_given_against_a_request() {
    let given = Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    race("what_is_given_against_a_request", move |mut dice| {
        let count = count.clone();
        async move {
            let kind = dice.roll(3);
            let (gave, took) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (gives, takes) = (gave.clone(), took.clone());
            let (tx, rx) = bounded(0);
            let barrier = Arc::new(Barrier::new(2));
            let met = barrier.clone();
            let outcome = nursery(async |n: Nursery<JoinError>| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let (mut one, mut other) = (Dice(dice.roll(1 << 30)), Dice(dice.roll(1 << 30)));
                n.spawn(async move {
                    a_moment(&mut one).await;
                    handle.cancel("in the moment in which it is given");
                    Ok(())
                });
                let tells = gives.clone();
                let starter = n.clone();
                let waits = n.spawn(async move {
                    let waits = scope.run(async {
                        match kind {
                            0 => tx.send(1).await.expect("the other end is there"),
                            1 => drop(barrier.wait().await),
                            _ => {
                                let tells = tells.clone();
                                let child = async move |status: Started<()>| {
                                    tells.fetch_add(usize::from(status.started(())), Ordering::SeqCst);
                                    Ok(())
                                };
                                starter.start(child).await.expect("nothing fails");
                            }
                        }
                        takes.fetch_add(1, Ordering::SeqCst);
                    });
                    drop(waits.await);
                    Ok(())
                });
                a_moment(&mut other).await;
                let is_given = match kind {
                    0 => rx.try_recv().is_ok(),
                    // Met by the one that waits, or to be taken back.
                    1 => poll_once(met.wait()).await.is_some(),
                    _ => false,
                };
                gives.fetch_add(usize::from(is_given), Ordering::SeqCst);
                drop(waits.await);
                Ok(())
            });
            outcome.await.expect("nothing fails");
            let (gave, took) = (gave.load(Ordering::SeqCst), took.load(Ordering::SeqCst));
            assert!(gave <= took, "it was given something, kind {kind}, and was dropped with it");
            count.fetch_add(gave, Ordering::Relaxed);
        }
    });
    let given = given.load(Ordering::Relaxed);
    println!("something was given in {given} rounds");
    assert!(given > 0);
}
