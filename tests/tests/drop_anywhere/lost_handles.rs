//! The handle of a local child whose future is gone.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use foster::error::JoinError;
use foster::{LocalNursery, Nursery, defer, local_nursery, move_on_after, nursery, sleep, sleep_forever};
use foster_conformance::check;
use foster_conformance::harness::ms;

use crate::probe::{Expect, Probe};

/// L28, L34, L41: who awaits a child of a local nursery that is forgotten learns that the child was cancelled, and does
/// not wait for ever.
#[test]
fn handle_of_a_forgotten_local_child_resolves() {
    check("handle_of_a_forgotten_local_child_resolves", || {
        let probe = Probe::default();
        // Where the future is, instead of nowhere: so the suite can still count.
        let forgotten = Arc::new(Mutex::new(None));
        let hide = forgotten.clone();
        let Ok(joined) = foster_sim::run(1, async {
            nursery(async |n: Nursery| {
                let (sender, handle) = (Arc::new(Mutex::new(None)), probe.clone());
                let kept = sender.clone();
                n.spawn(async move {
                    let mut local = Box::pin(local_nursery(async move |l: LocalNursery<'static>| {
                        let probe = handle.clone();
                        let child = async move {
                            defer(probe.finalizer());
                            sleep_forever().await
                        };
                        *kept.lock().unwrap() = Some(l.spawn(child));
                        sleep_forever().await
                    }));
                    // Twice, so that the child has begun.
                    assert!(poll_fn(|cx| Poll::Ready(local.as_mut().poll(cx).is_pending())).await);
                    assert!(poll_fn(|cx| Poll::Ready(local.as_mut().poll(cx).is_pending())).await);
                    sleep(ms(5)).await;
                    *hide.lock().unwrap() = Some(local);
                });
                sleep(ms(1)).await;
                let task = sender.lock().unwrap().take().expect("spawned in the first poll");
                assert_eq!(probe.finalizers(), 1, "the child has begun");
                let joined = task.await;
                probe.assert_settled(Expect::All);
                Ok(joined.map(|_| ()))
            })
            .await
        });
        assert_eq!(joined, Err(JoinError::Cancelled));
        drop(forgotten);
    });
}

/// L34, L41: the handle of a local child resolves when the child's scope is Closed, its finalizers included, also if
/// the nursery's future is dropped.
#[test]
fn handle_of_a_dropped_local_child_resolves_after_its_finalizers() {
    check("handle_of_a_dropped_local_child_resolves_after_its_finalizers", || {
        let probe = Probe::default();
        let Ok(joined) = foster_sim::run(1, async {
            local_nursery(async |n: LocalNursery<'_>| {
                let (sender, inside) = (Arc::new(Mutex::new(None)), probe.clone());
                let kept = sender.clone();
                n.spawn(async move {
                    move_on_after(ms(5), async move {
                        let mut local = Box::pin(local_nursery(async move |l: LocalNursery<'_>| {
                            let child = async move {
                                defer(inside.finalizer());
                                sleep_forever().await
                            };
                            *kept.lock().unwrap() = Some(l.spawn(child));
                            sleep_forever().await
                        }));
                        assert!(poll_fn(|cx| Poll::Ready(local.as_mut().poll(cx).is_pending())).await);
                        assert!(poll_fn(|cx| Poll::Ready(local.as_mut().poll(cx).is_pending())).await);
                        drop(local);
                    })
                    .await;
                });
                sleep(ms(1)).await;
                let task = sender.lock().unwrap().take().expect("spawned in the first poll");
                assert_eq!(probe.finalizers(), 1, "the child has begun");
                let joined = task.await;
                probe.assert_settled(Expect::All);
                Ok(joined.map(|_| ()))
            })
            .await
        });
        assert_eq!(joined, Err(JoinError::Cancelled));
    });
}
