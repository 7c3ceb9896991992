//! Values whose drop may await.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use foster::cleanup::DeferGuard;
use foster::{CancelScope, defer, dump, is_cancelled, sleep};
use futures_lite::future::poll_once;

/// A guard with a finalizer that waits, and is counted at its end.
fn guard(ended: &Arc<AtomicUsize>) -> DeferGuard {
    let ended = ended.clone();
    DeferGuard::new("guard", || {
        defer(async move {
            sleep(Duration::from_secs(1)).await;
            assert!(!is_cancelled());
            ended.fetch_add(1, Ordering::SeqCst);
        });
    })
}

/// L12, L16.5: blocked code that has a guard is dropped where it waits, unpolled: what the same request has done to
/// others is none of its business (I26). And the scope waits for the finalizer.
#[test]
fn code_that_has_a_guard_is_not_polled_when_it_is_cancelled() {
    foster_sim::run(1, async {
        let (polls, ended) = (AtomicUsize::new(0), Arc::default());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let mut run = pin!(scope.run(async {
            let _guard = guard(&ended);
            poll_fn(|_| {
                polls.fetch_add(1, Ordering::SeqCst);
                Poll::<()>::Pending
            })
            .await;
        }));
        assert!(poll_once(run.as_mut()).await.is_none());
        assert!(dump().to_string().contains("guard"), "{}", dump());
        handle.cancel("enough");
        run.await.unwrap_err();
        assert_eq!((polls.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (1, 1));
    });
}

/// L26: the finalizers begin when the guard is dropped, and the code goes on; the scope around waits for them.
#[test]
fn a_guard_that_is_dropped_by_its_code_holds_up_only_the_scope_around() {
    foster_sim::run(1, async {
        let ended = Arc::default();
        CancelScope::new()
            .run(async {
                drop(guard(&ended));
                assert_eq!(ended.load(Ordering::SeqCst), 0, "the code goes on");
            })
            .await
            .unwrap();
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    });
}

/// L28: a guard that leaves its scope, or is forgotten, ends with that.
#[test]
fn a_guard_ends_with_its_scope_wherever_it_is() {
    foster_sim::run(1, async {
        let ended = Arc::default();
        let outlives = CancelScope::new().run(async { guard(&ended) }).await.unwrap();
        assert_eq!(ended.load(Ordering::SeqCst), 1);
        drop(outlives);
        CancelScope::new().run(async { std::mem::forget(guard(&ended)) }).await.unwrap();
        assert_eq!(ended.load(Ordering::SeqCst), 2);
    });
}

/// A closure that panics leaves no guard: what it has deferred by then is run.
#[test]
fn what_was_deferred_before_a_panic_is_run() {
    foster_sim::run(1, async {
        let ended = Arc::new(AtomicUsize::new(0));
        CancelScope::new()
            .run(async {
                let ends = ended.clone();
                let panics = || {
                    let _guard = DeferGuard::new("guard", || {
                        defer(async move {
                            ends.fetch_add(1, Ordering::SeqCst);
                        });
                        panic!("on purpose");
                    });
                };
                catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
            })
            .await
            .unwrap();
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    });
}

/// L30: nothing is run when the host is dropped, and nothing is left.
#[test]
fn a_guard_without_a_host_runs_nothing() {
    foster_sim::run(1, async {
        let ended = Arc::default();
        let by_hand = super::runtimes::ByHand::over_current();
        let mut root = Box::pin(foster::runtime::root(by_hand, async {
            let _guard = guard(&ended);
            pending::<()>().await;
        }));
        assert!(poll_once(root.as_mut()).await.is_none());
        drop(root);
        assert_eq!(ended.load(Ordering::SeqCst), 0);
    });
}
