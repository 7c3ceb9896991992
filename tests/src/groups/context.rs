//! The current scope: which one it is while code is polled, and while it is dropped (L38).

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use foster::scope::ReasonKind;
use foster::{CancelScope, Instant, deadline, defer, is_cancelled, move_on_after, sleep, sleep_forever, yield_now};

use super::both::both;
use super::probe::{Count, Finally, Log, caught, crash, until};
use crate::harness::ms;

both! {
    /// L38, L5: what the body of a nursery does in a destructor, it does in its nursery: also when it is dropped.
    a_body_that_is_dropped_stands_in_its_nursery, a_body_that_is_dropped_stands_in_its_local_nursery: {
        let log = Log::new();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(async {
                let inside = log.clone();
                defer(async move { inside.add("finalizer of the scope") });
                open(async |n: Handle| {
                    let inside = log.clone();
                    let _local = Finally::new(move || {
                        assert!(is_cancelled());
                        inside.add("body dropped");
                        let inside = inside.clone();
                        defer(async move {
                            yield_now().await;
                            inside.add("finalizer of the nursery");
                        });
                    });
                    let inside = log.clone();
                    n.spawn(async move {
                        defer(async move { inside.add("finalizer of the child") });
                        handle.cancel("enough");
                    });
                    sleep_forever().await
                })
                .await
            })
            .await;
        assert!(out.is_err());
        let mut entries = log.entries();
        // The child and the body end side by side.
        entries[..2].sort_unstable();
        assert_eq!(
            entries,
            ["body dropped", "finalizer of the child", "finalizer of the nursery", "finalizer of the scope"]
        );
    }

    /// L38, L13, L22: a child that is dropped unpolled is dropped in its own scope: it may still register a finalizer,
    /// which runs before the nursery ends.
    a_child_that_is_dropped_unpolled_stands_in_its_scope, a_local_child_that_is_dropped_unpolled_stands_in_its_scope: {
        let (polled, finalized) = (Count::new(), Count::new());
        let mut scope = CancelScope::new();
        scope.handle().cancel("before");
        let out = scope
            .run(open(async |n: Handle| {
                let (up, done) = (polled.clone(), finalized.clone());
                let captured = Finally::new(move || {
                    assert!(is_cancelled());
                    defer(async move {
                        sleep(ms(1)).await;
                        done.up();
                    });
                });
                n.spawn(async move {
                    let _captured = captured;
                    up.up();
                });
                sleep_forever().await
            }))
            .await;
        assert!(out.is_err());
        assert_eq!((polled.value(), finalized.value()), (0, 1));
    }

    /// L38, L26: a body that foreign code drops stands in its nursery as well: a finalizer that it registers then is
    /// run in its place, and waited for.
    a_body_that_foreign_code_drops_stands_in_its_nursery, a_body_that_foreign_code_drops_stands_in_its_local_nursery: {
        let (polled, finalized) = (Count::new(), Count::new());
        CancelScope::new()
            .run(async {
                let done = finalized.clone();
                let mut lost = Box::pin(open(async |_: Handle| {
                    let _local = Finally::new(move || {
                        assert!(is_cancelled());
                        assert_eq!(foster::scope::reason().map(|reason| reason.kind()), Some(ReasonKind::Abandoned));
                        defer(async move {
                            sleep(ms(1)).await;
                            done.up();
                        });
                    });
                    polled.up();
                    sleep_forever().await
                }));
                until(lost.as_mut(), polled.reaches(1)).await;
                drop(lost);
                assert!(!is_cancelled());
            })
            .await
            .unwrap();
        assert_eq!(finalized.value(), 1);
    }

    /// L38, L32: and so does a body that panics, while it unwinds.
    a_body_that_unwinds_stands_in_its_nursery, a_body_that_unwinds_stands_in_its_local_nursery: {
        let finalized = Count::new();
        let done = finalized.clone();
        let panic = caught(open(async |_: Handle| {
            let _local = Finally::new(move || {
                defer(async move {
                    sleep(ms(1)).await;
                    done.up();
                });
            });
            yield_now().await;
            crash("the body");
        }))
        .await;
        assert!(panic.is_err());
        assert_eq!(finalized.value(), 1);
    }

    /// L38, L5: a child stands in its own scope: its finalizers run at its end, not at that of the nursery.
    a_child_stands_in_its_own_scope, a_local_child_stands_in_its_own_scope: {
        let log = Log::new();
        let out = open(async |n: Handle| {
            let inside = log.clone();
            let child = n.spawn(async move {
                let then = inside.clone();
                defer(async move {
                    sleep(ms(1)).await;
                    then.add("finalizer of the child");
                });
                inside.add("child");
            });
            child.await.unwrap();
            log.add("joined");
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
        assert_eq!(log.entries(), ["child", "finalizer of the child", "joined"]);
    }
}

/// L38: two scopes that are polled in turn by one task do not get into each other's context.
pub async fn scopes_that_are_polled_in_turn_keep_their_contexts() {
    let start = Instant::now();
    let turns = Count::new();
    let limited = |millis| {
        let turns = turns.clone();
        move_on_after(ms(millis), async move {
            let mine = deadline().expect("a limit");
            assert!(mine >= start + ms(millis));
            for _ in 0..5 {
                yield_now().await;
                assert_eq!(deadline(), Some(mine));
                turns.up();
            }
            mine
        })
    };
    let (mut near, mut far) = (pin!(limited(10_000)), pin!(limited(20_000)));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none() {
            if let Poll::Ready(out) = near.as_mut().poll(cx) {
                first = out;
            }
        }
        if second.is_none() {
            if let Poll::Ready(out) = far.as_mut().poll(cx) {
                second = out;
            }
        }
        assert_eq!(deadline(), None, "outside of both");
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert!(first.expect("in time") < second.expect("in time"));
    assert_eq!(turns.value(), 10);
}
