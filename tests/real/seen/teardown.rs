//! A host that goes away under a tree whose root is polled elsewhere.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use foster::runtime::root;
use foster::{Nursery, nursery, sleep, sleep_forever};
use foster_conformance::seen::real_rounds;
use foster_smol::Smol;
use foster_tokio::Tokio;
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 20;

/// Polls a root on another thread, while `serve` runs the host's tasks until it is told that a child runs, and tears the host
/// down; and waits for that root to return or panic.
fn ends_with_its_host(
    round: usize,
    host: Arc<dyn foster::runtime::Runtime>,
    body_sleeps: bool,
    serve: impl FnOnce(&mpsc::Receiver<()>),
) {
    let ((ended, is_ended), (runs, is_running)) = (mpsc::channel(), mpsc::channel());
    let outside = std::thread::spawn(move || {
        let tree = root(host, async {
            nursery(async |n: Nursery| {
                n.spawn(async move {
                    let _ = runs.send(());
                    sleep_forever().await;
                });
                if body_sleeps {
                    sleep(Duration::from_secs(3600)).await;
                }
                Ok(())
            })
            .await
        });
        let end = catch_unwind(AssertUnwindSafe(|| futures_lite::future::block_on(tree).is_ok()));
        let _ = ended.send(end.is_err());
    });
    serve(&is_running);
    // It is far more than it needs, and only a failure takes so long. The thread is left behind then.
    let ended = is_ended.recv_timeout(Duration::from_secs(60));
    assert!(ended.is_ok(), "round {round}: the root waits for ever, though its host is gone");
    outside.join().expect("it catches what its tree throws");
}

fn ends_with_tokio(round: usize, runtime: Runtime, body_sleeps: bool) {
    let host = Arc::new(Tokio::on(runtime.handle().clone()));
    ends_with_its_host(round, host, body_sleeps, |is_running| {
        // The one on the current thread runs only meanwhile.
        runtime.block_on(async {
            while is_running.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
    });
}

fn ends_with_smol(round: usize, body_sleeps: bool) {
    let executor = Arc::new(smol::Executor::new());
    ends_with_its_host(round, Arc::new(Smol::on(&executor)), body_sleeps, |is_running| {
        futures_lite::future::block_on(executor.run(async {
            while is_running.try_recv().is_err() {
                futures_lite::future::yield_now().await;
            }
        }));
        drop(executor);
    });
}

fn one_worker() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tokio starts")
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("tokio starts")
}

/// L30: the root returns or panics; it does not wait for children that nobody will ever poll.
#[test]
fn a_root_that_waits_for_children_ends_with_its_host() {
    foster_conformance::check("a_root_that_waits_for_children_ends_with_its_host", || {
        for round in real_rounds(ROUNDS) {
            ends_with_tokio(round, one_worker(), false);
            ends_with_tokio(round, current_thread(), false);
            ends_with_smol(round, false);
        }
    });
}

/// L30: nor for a timer that will never fire.
#[test]
fn a_root_that_sleeps_ends_with_its_host() {
    foster_conformance::check("a_root_that_sleeps_ends_with_its_host", || {
        for round in real_rounds(ROUNDS) {
            ends_with_tokio(round, one_worker(), true);
            ends_with_tokio(round, current_thread(), true);
            ends_with_smol(round, true);
        }
    });
}

/// Calls its function when it is dropped.
struct AtTheEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtTheEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// L30: a destructor that runs in the drop of a root may spawn into a nursery that is still to be closed. That child is
/// closed with it: nothing of it is left behind the drop, though the runtime goes on.
#[test]
fn what_a_destructor_spawns_goes_with_its_tree() {
    current_thread().block_on(async {
        let (alive, spawned) = (Arc::new(()), Arc::new(AtomicBool::new(false)));
        let (lives, has_spawned) = (alive.clone(), spawned.clone());
        let mut root = Box::pin(foster_tokio::attach(async move {
            let _: Result<(), Infallible> = nursery(async move |outer: Nursery| {
                outer.spawn(async move {
                    let _: Result<(), Infallible> = nursery(async move |inner: Nursery| {
                        let late = inner.clone();
                        let _spawns = AtTheEnd(move || {
                            let lives = lives.clone();
                            let child = late.child().try_spawn(async move {
                                sleep_forever().await;
                                drop(lives);
                            });
                            has_spawned.store(child.is_ok(), Ordering::SeqCst);
                        });
                        sleep_forever().await;
                        Ok(())
                    })
                    .await;
                });
                sleep_forever().await;
                Ok(())
            })
            .await;
        }));
        for _ in 0..10 {
            assert!(futures_lite::future::poll_once(root.as_mut()).await.is_none());
            tokio::task::yield_now().await;
        }
        drop(root);
        assert!(spawned.load(Ordering::SeqCst), "the nursery took no child: this shows nothing");
        assert_eq!(Arc::strong_count(&alive), 1, "a child is left behind");
    });
}
