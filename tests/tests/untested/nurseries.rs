//! Nurseries that are to take a child, and a child that is ready.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use foster::cleanup::DeferGuard;
use foster::error::JoinError;
use foster::runtime::{current, root};
use foster::sync::Event;
use foster::{
    CancelScope, LocalNursery, Nursery, NurseryOptions, defer, graceful, local_nursery, nursery, sleep, stopping,
};
use futures_lite::future::poll_once;

/// L4: a nursery that has nothing left to wait for takes no further child, also as long as nobody has polled it to
/// notice.
#[test]
fn a_nursery_that_waits_for_nothing_takes_no_more() {
    foster_sim::run(1, async {
        let handle = Arc::new(OnceLock::new());
        let leaked = handle.clone();
        let mut nursery = pin!(nursery(async move |n: Nursery<Infallible>| {
            n.spawn(sleep(Duration::from_millis(1)));
            drop(leaked.set(n.clone()));
        }));
        assert!(poll_once(nursery.as_mut()).await.is_none());
        let n: &Nursery<Infallible> = handle.get().unwrap();
        assert!(n.try_spawn(async {}).is_ok(), "it waits for its child");
        sleep(Duration::from_millis(2)).await;
        assert!(n.is_empty() && !n.is_closed());
        assert!(n.try_spawn(async {}).is_err(), "it has waited for all");
        let Ok(()) = nursery.await;
    });
}

/// L4, L41: a child that somebody else spawns into a local nursery runs at once, though nothing else wakes the nursery.
#[test]
fn a_local_nursery_hears_of_a_child_that_another_task_spawns() {
    foster_sim::run(1, async {
        let Ok(()) = nursery(async |outer: Nursery| {
            let done = Arc::new(Event::new());
            let Ok(()) = local_nursery(async |n: LocalNursery<'static>| {
                let set = done.clone();
                outer.spawn(async move {
                    sleep(Duration::from_millis(1)).await;
                    n.spawn(async move { set.set() });
                });
                done.wait().await;
            })
            .await;
        })
        .await;
    });
}

/// B141, L1, L9: a scope inside a child forgets, when the child is ready, the request that its caller had. (That the
/// hard time does not reach it either is among the behaviours of `starting`.)
#[test]
fn a_request_of_the_caller_is_forgotten_inside_a_child_that_is_ready() {
    foster_sim::run(1, async {
        let out = nursery(async |n: Nursery<JoinError>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let child = n.start(async move |status| {
                let mut around = CancelScope::new();
                let _handle = around.handle();
                let inside = async {
                    assert!(handle.cancel_within(Duration::from_millis(4), "soon"));
                    assert!(poll_once(stopping()).await.is_some());
                    assert!(status.started(()));
                    assert!(poll_once(stopping()).await.is_none());
                };
                around.run(inside).await.expect("nobody cancels it");
            });
            scope.run(graceful(child)).await.expect("ready before the hard time")
        })
        .await;
        assert!(out.is_ok());
    });
}

/// A child may be declared started by the closure that makes its future, before it is spawned.
#[test]
fn a_child_is_declared_started_by_the_closure_that_makes_its_future() {
    foster_sim::run(1, async {
        let started: Result<(), JoinError> = nursery(async |n| {
            let (port, child) = n
                .start_task(|status| {
                    assert!(status.started(80));
                    async {
                        sleep(Duration::from_millis(1)).await;
                        Ok(9)
                    }
                })
                .await?;
            assert_eq!((port, n.len()), (80, 1), "it is a child of the nursery now");
            assert_eq!(child.await?, 9);
            Ok(())
        })
        .await;
        started.unwrap();
        let local: Result<(), JoinError> = local_nursery(async |n| {
            let (port, child) = n
                .start_task(|status| {
                    assert!(status.started(80));
                    async { Ok(9) }
                })
                .await?;
            assert_eq!((port, child.await?), (80, 9));
            let (port, child) = n
                .start_task(|status| {
                    assert!(status.started(81));
                    async {
                        sleep(Duration::from_millis(1)).await;
                        Ok(10)
                    }
                })
                .await?;
            assert_eq!((port, n.len()), (81, 1), "it is a child of the nursery now");
            assert_eq!(child.await?, 10);
            Ok(())
        })
        .await;
        local.unwrap();
        // Its error is the nursery's from then on.
        let failed: Result<(), JoinError> = nursery(async |n| {
            n.start(|status| {
                assert!(status.started(()));
                async { Err::<(), _>(JoinError::Panicked) }
            })
            .await?;
            sleep(Duration::from_secs(1)).await;
            Ok(())
        })
        .await;
        assert_eq!(failed, Err(JoinError::Panicked));
    });
}

/// A child would begin on the clock and the timers of a tree that it may outlive.
#[test]
#[should_panic(expected = "in another tree than the nursery's")]
fn a_start_into_a_nursery_of_another_tree_is_refused() {
    foster_sim::run(1, async {
        let Ok(()) = nursery(async |n: Nursery<JoinError>| {
            let inside = root(current().unwrap(), async move {
                n.start(async |status| {
                    status.started(());
                    Ok(())
                })
                .await
            });
            inside.await
        })
        .await
        else {
            unreachable!("it panics")
        };
    });
}

/// L2, L28: what an error handler opens while its nursery waits for children has ended when the nursery has.
#[test]
fn a_scope_that_an_error_handler_leaves_is_waited_for() {
    foster_sim::run(1, async {
        let (kept, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (keeps, ends) = (kept.clone(), ended.clone());
        let handled = NurseryOptions::new().on_error(move |error: &'static str, _| {
            assert_eq!(error, "on purpose");
            let ends = ends.clone();
            let guard = DeferGuard::new("kept", || {
                defer(async move {
                    sleep(Duration::from_secs(1)).await;
                    ends.fetch_add(1, Ordering::SeqCst);
                });
            });
            keeps.lock().unwrap().push(guard);
        });
        let outcome = handled
            .run(async |n| {
                n.spawn(async {
                    sleep(Duration::from_millis(1)).await;
                    Err::<(), _>("on purpose")
                });
            })
            .await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(ended.load(Ordering::SeqCst), 1);
        drop(std::mem::take(&mut *kept.lock().unwrap()));
    });
}
