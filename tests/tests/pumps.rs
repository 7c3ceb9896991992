//! R11: the tasks of a tree share a few jobs of the host. Nobody notices but the allocator: a task that holds up its thread holds up no
//! other, the host's own tasks get their turns, and what a task's turn leaves behind is seen to by whoever comes next.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use foster::sync::Event;
use foster::{Nursery, checkpoint, nursery, yield_now};
use foster_conformance::check;

/// `children` block their threads one after the other, each until the next one has begun; the last one lets all go.
async fn chain(children: usize, block: fn(mpsc::Receiver<()>)) -> usize {
    let ended = Arc::new(AtomicUsize::new(0));
    let Ok(()) = nursery(async |n: Nursery| {
        let mut next: Option<mpsc::Sender<()>> = None;
        for _ in 0..children {
            let (sender, receiver) = mpsc::channel();
            let (waits_for, wakes, ended) = (receiver, next.replace(sender), ended.clone());
            n.spawn(async move {
                drop(wakes);
                block(waits_for);
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        n.spawn(async move { drop(next) });
    })
    .await;
    ended.load(Ordering::Relaxed)
}

/// The other end is dropped, not used.
fn wait(end: mpsc::Receiver<()>) {
    end.recv().expect_err("nobody sends");
}

#[test]
fn a_child_that_holds_up_its_thread_holds_up_no_other() {
    check("smol", || assert_eq!(foster_smol::Builder::new().threads(3).run(chain(2, wait)), 2));
    check("tokio", || assert_eq!(foster_tokio::Builder::new().worker_threads(3).run(chain(2, wait)), 2));
}

/// What it has woken in its turn may have to wait for the end of that (tokio keeps that for the same thread); what others wake does not.
#[test]
fn a_child_that_has_woken_another_holds_up_no_third() {
    async fn woken_by_two() -> usize {
        let ended = Arc::new(AtomicUsize::new(0));
        let (near, far) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let (both_wait, waiting) = mpsc::channel();
        let Ok(()) = nursery(async |n: Nursery| {
            let (third_ran, lets_go) = mpsc::channel::<()>();
            for (event, runs) in [(near.clone(), None), (far.clone(), Some(third_ran))] {
                let (both_wait, ended) = (both_wait.clone(), ended.clone());
                n.spawn(async move {
                    both_wait.send(()).expect("the other one waits");
                    event.wait().await;
                    drop(runs);
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
            let ended = ended.clone();
            n.spawn(async move {
                (0..2).for_each(|_| waiting.recv().expect("they begin"));
                // Meanwhile the other two come to wait, and the other pumps to rest: so the next one is called in this turn. Where they do
                // not, this run shows nothing, hence several; the model of a host (core/src/races/host.rs) does not depend on it.
                for _ in 0..1_000 {
                    yield_now().await;
                }
                near.set();
                std::thread::spawn(move || far.set());
                wait(lets_go);
                ended.fetch_add(1, Ordering::Relaxed);
            });
        })
        .await;
        ended.load(Ordering::Relaxed)
    }
    for _ in 0..10 {
        check("smol", || assert_eq!(foster_smol::Builder::new().threads(3).run(woken_by_two()), 3));
        check("tokio", || assert_eq!(foster_tokio::Builder::new().worker_threads(3).run(woken_by_two()), 3));
    }
}

/// tokio replaces a worker that blocks in place, as often as it takes.
#[test]
fn children_that_block_in_place_need_no_workers() {
    let block = |end| tokio::task::block_in_place(|| wait(end));
    check("tokio", || assert_eq!(foster_tokio::Builder::new().worker_threads(1).run(chain(8, block)), 8));
}

/// Gives way, and goes on.
async fn more() -> bool {
    yield_now().await;
    true
}

/// Children that are always ready, of which there are many more than a turn takes.
async fn busy<F: Future<Output = ()> + Send + 'static>(until: F) {
    let Ok(()) = nursery(async |n: Nursery| {
        for _ in 0..100 {
            n.child().daemon().spawn(async { while more().await {} });
        }
        n.spawn(until);
    })
    .await;
}

#[test]
fn the_tasks_of_the_host_get_their_turns() {
    let until = |flag: Arc<AtomicBool>| async move {
        while !flag.load(Ordering::Relaxed) {
            checkpoint().await;
        }
    };
    check("tokio", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _context = runtime.enter();
        runtime.block_on(foster_tokio::attach(async {
            let flag = Arc::new(AtomicBool::new(false));
            #[expect(clippy::disallowed_methods, reason = "a task of the host's")]
            let host = tokio::spawn({
                let flag = flag.clone();
                async move {
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    flag.store(true, Ordering::Relaxed);
                }
            });
            busy(until(flag)).await;
            host.await.expect("it does not panic");
        }));
    });
    check("smol", || {
        let executor = Arc::new(smol::Executor::new());
        let runtime = Arc::new(foster_smol::Smol::on(&executor));
        let flag = Arc::new(AtomicBool::new(false));
        let host = executor.spawn({
            let flag = flag.clone();
            async move {
                for _ in 0..100 {
                    smol::future::yield_now().await;
                }
                flag.store(true, Ordering::Relaxed);
            }
        });
        let tree = foster::runtime::root(runtime, busy(until(flag)));
        smol::block_on(executor.run(async { smol::future::zip(tree, host).await }));
    });
}

/// The pumps sleep between the waves, and come back for each.
#[test]
fn waves_from_a_foreign_thread_reach_every_child() {
    const WAVES: usize = 200;
    const CHILDREN: usize = 40;
    async fn waves() -> usize {
        let seen = Arc::new(AtomicUsize::new(0));
        let Ok(()) = nursery(async |n: Nursery| {
            let events: Arc<Vec<Event>> = Arc::new((0..WAVES).map(|_| Event::new()).collect());
            let (arrived, arrivals) = mpsc::channel();
            for _ in 0..CHILDREN {
                let (events, seen, arrived) = (events.clone(), seen.clone(), arrived.clone());
                n.spawn(async move {
                    for event in events.iter() {
                        arrived.send(()).expect("the other thread waits");
                        event.wait().await;
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            std::thread::spawn(move || {
                for event in events.iter() {
                    (0..CHILDREN).for_each(|_| arrivals.recv().expect("a child arrives"));
                    event.set();
                }
            });
        })
        .await;
        seen.load(Ordering::Relaxed)
    }
    check("smol, one thread", || assert_eq!(foster_smol::run(waves()), WAVES * CHILDREN));
    check("smol, three", || assert_eq!(foster_smol::Builder::new().threads(3).run(waves()), WAVES * CHILDREN));
    check("tokio, one thread", || {
        assert_eq!(foster_tokio::Builder::new().current_thread().run(waves()), WAVES * CHILDREN);
    });
    check("tokio", || assert_eq!(foster_tokio::Builder::new().worker_threads(3).run(waves()), WAVES * CHILDREN));
}

/// R10, L26: a runtime that is torn down under its tree, with children in every state: never polled, waiting, and about to be polled.
#[test]
fn a_runtime_that_goes_away_takes_its_tasks_with_it() {
    check("smol", || {
        let executor = Arc::new(smol::Executor::new());
        let dropped = Arc::new(());
        let runtime = Arc::new(foster_smol::Smol::on(&executor));
        let inside = dropped.clone();
        let mut tree = Box::pin(foster::runtime::root(runtime, async move {
            let Ok(()) = nursery(async |n: Nursery| {
                for kind in 0..60 {
                    let held = inside.clone();
                    n.spawn(async move {
                        let _held = held;
                        if kind % 2 == 0 {
                            pending::<()>().await
                        }
                        loop {
                            yield_now().await;
                        }
                    });
                }
                pending::<()>().await;
            })
            .await;
        }));
        assert!(smol::block_on(smol::future::poll_once(tree.as_mut())).is_none());
        for _ in 0..3 {
            assert!(executor.try_tick());
        }
        assert_eq!(Arc::strong_count(&dropped), 62);
        drop(executor);
        assert_eq!(Arc::strong_count(&dropped), 2, "a child is still somewhere");
        // The nursery learns that its children are gone.
        assert!(smol::block_on(smol::future::poll_once(tree.as_mut())).is_none());
        drop(tree);
        assert_eq!(Arc::strong_count(&dropped), 1);
    });
}
