//! Outcomes of a nursery, a bracket and a root, where no behaviour (`B…`) says so: the table of outcomes in
//! docs/src/laws.md.

use std::collections::BTreeMap;

use foster::error::{ErrorGroup, JoinError};
use foster::nursery::TaskStatus;
use foster::observer::OrphanKind;
use foster::{CancelScope, bracket, checkpoint, defer, move_on_after, shield, sleep, sleep_forever, yield_now};

use super::both::both;
use super::probe::{Count, lingering, observed, poll_once, until};
use crate::harness::ms;

both! {
    /// L33, L18, I22: a child that is cut from outside voids the value, though the body had returned: the nursery
    /// parks.
    a_cut_child_voids_the_value_of_the_nursery, a_cut_local_child_voids_the_value_of_the_nursery: {
        for collecting in [false, true] {
            let (started, cleaned, passed, value) = (Count::new(), Count::new(), Count::new(), Count::new());
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let out = scope
                .run(async {
                    let body = async |n: Handle<&'static str>| {
                        n.spawn(lingering(&started, &cleaned));
                        let (up, handle) = (started.reaches(1), handle.clone());
                        n.spawn(async move {
                            up.await;
                            handle.cancel("after the body has returned");
                        });
                        Ok(value.on_drop())
                    };
                    if collecting {
                        let _value = open_collecting(body).await;
                        passed.up();
                    } else {
                        let _value = open(body).await;
                        passed.up();
                    }
                })
                .await;
            assert!(out.is_err());
            assert_eq!((passed.value(), cleaned.value(), value.value()), (0, 1, 1));
        }
    }

    /// L33, L12, I9: a child that completes in spite of the cancel voids nothing: the value is returned, and the code
    /// around the nursery goes on to its next checkpoint.
    a_child_that_completes_in_spite_of_the_cancel_voids_nothing,
    a_local_child_that_completes_in_spite_of_the_cancel_voids_nothing: {
        let (came, passed) = (Count::new(), Count::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(async {
                let value = open(async |n: Handle| {
                    let handle = handle.clone();
                    n.spawn(shield(async move {
                        handle.cancel("while the child is shielded");
                        sleep(ms(1)).await;
                    }));
                    Ok(3)
                })
                .await;
                assert_eq!(value, Ok(3));
                came.up();
                checkpoint().await;
                passed.up();
            })
            .await;
        assert!(out.is_err());
        assert_eq!((came.value(), passed.value()), (1, 0));
    }

    /// L33: a child that was asked to stop itself voids nothing, also when everything around it is cancelled as well.
    a_child_that_was_cancelled_by_itself_voids_nothing, a_local_child_that_was_cancelled_by_itself_voids_nothing: {
        let (started, cleaned) = (Count::new(), Count::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(open(async |n: Handle| {
                let task = n.spawn(lingering(&started, &cleaned));
                started.reaches(1).await;
                assert!(task.cancel("itself"));
                handle.cancel("and everything");
                Ok(4)
            }))
            .await;
        assert_eq!(out.unwrap(), Ok(4));
        assert_eq!(cleaned.value(), 1);
    }

    /// L31: an error that is recorded in a nursery that is cancelled from outside is its outcome: fail-fast the first
    /// as it is, collecting all of them.
    errors_of_a_cancelled_nursery_are_its_outcome, errors_of_a_cancelled_local_nursery_are_its_outcome: {
        for collecting in [false, true] {
            let (out, observer) = observed(async {
                let waiting = Count::new();
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                scope
                    .run(async {
                        let body = async |n: Handle<u64>| {
                            for number in 1..=2 {
                                let waiting = waiting.clone();
                                n.spawn(async move {
                                    shield(async {
                                        waiting.up();
                                        // On a busy machine the first may have ended before the second begins.
                                        waiting.reaches(2).await;
                                        sleep(ms(number)).await;
                                    })
                                    .await;
                                    Err::<(), _>(number)
                                });
                            }
                            n.spawn(sleep_forever());
                            waiting.reaches(2).await;
                            handle.cancel("from outside");
                            sleep_forever().await;
                            Ok(())
                        };
                        if collecting {
                            open_collecting(body).await.map_err(ErrorGroup::into_errors)
                        } else {
                            open(body).await.map_err(|error| vec![error])
                        }
                    })
                    .await
            })
            .await;
            let mut errors = out.expect("the code around has completed").unwrap_err();
            for (kind, error) in observer.errors() {
                assert_eq!((collecting, kind), (false, OrphanKind::Later));
                errors.push(error.parse().unwrap());
            }
            errors.sort_unstable();
            assert_eq!(errors, [1, 2]);
        }
    }

    /// L7, L31: in a collecting nursery siblings go on when one fails, and so does the body.
    in_a_collecting_nursery_the_siblings_go_on, in_a_collecting_local_nursery_the_siblings_go_on: {
        let ended = Count::new();
        let group = open_collecting(async |n: Handle<&'static str>| {
            let mut failing = n.spawn(async { Err::<(), _>("child") });
            let up = ended.clone();
            n.spawn(async move {
                sleep(ms(2)).await;
                up.up();
            });
            assert_eq!(failing.wait().await, TaskStatus::Failed);
            checkpoint().await;
            ended.up();
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(group.into_errors(), ["child"]);
        assert_eq!(ended.value(), 2);
    }

    /// L35, L31, I10: of many errors raised in many places each ends in exactly one.
    each_error_ends_in_exactly_one_place, each_error_of_a_local_nursery_ends_in_exactly_one_place: {
        let (outcomes, observer) = observed(async {
            let mut outcomes = Vec::new();
            // 1, 2, 3: a fail-fast nursery; the first is its outcome, the others have no caller.
            let fast: Result<(), u32> = open(async |n: Handle<u32>| {
                let (waiting, go) = (Count::new(), Count::new());
                for number in 1..=3 {
                    let (waiting, go) = (waiting.clone(), go.reaches(1));
                    n.spawn(async move {
                        waiting.up();
                        // Shielded: on threads, the first failure may come before the second child is woken.
                        foster::shield(go).await;
                        Err::<(), _>(number)
                    });
                }
                waiting.reaches(3).await;
                go.up();
                Ok(())
            })
            .await;
            outcomes.push(fast.unwrap_err());
            // 4, 5: a collecting one; with a finalizer that fails, 6.
            let group = open_collecting(async |n: Handle<u32>| {
                defer(async { Err(6) });
                n.spawn(async { Err::<(), _>(4) }).wait().await;
                Err::<(), _>(5)
            })
            .await
            .unwrap_err();
            outcomes.extend(group.into_errors());
            // 7: its nursery is dropped when it was recorded.
            let failed = Count::new();
            let mut lost = Box::pin(open_collecting(async |n: Handle<u32>| {
                n.spawn(async { Err::<(), _>(7) }).wait().await;
                failed.up();
                sleep_forever().await;
                Ok(())
            }));
            until(lost.as_mut(), failed.reaches(1)).await;
            drop(lost);
            // 8: taken by the code that raised it.
            let taken: Result<(), u32> = move_on_after(ms(60_000), async { Err(8) }).await.expect("no wait in it");
            outcomes.push(taken.unwrap_err());
            outcomes
        })
        .await;
        let mut places: BTreeMap<u32, Vec<Option<OrphanKind>>> = BTreeMap::new();
        for number in &outcomes {
            places.entry(*number).or_default().push(None);
        }
        for (kind, error) in observer.errors() {
            places.entry(error.parse().unwrap()).or_default().push(Some(kind));
        }
        assert_eq!(places.keys().copied().collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
        assert!(places.values().all(|places| places.len() == 1), "{places:?}");
        assert_eq!((1..=3).filter(|number| places[number] == [Some(OrphanKind::Later)]).count(), 2);
        assert_eq!((&places[&4], &places[&5], &places[&8]), (&vec![None], &vec![None], &vec![None]));
        assert_eq!((&places[&6], &places[&7]), (&vec![Some(OrphanKind::Finalizer)], &vec![Some(OrphanKind::Reaped)]));
    }

    /// L2, L22: the value of a nursery is held back until its finalizers have run, and they until the last child has
    /// ended.
    a_nursery_runs_its_finalizers_after_its_children, a_local_nursery_runs_its_finalizers_after_its_children: {
        let (ended, finalized) = (Count::new(), Count::new());
        let out = open(async |n: Handle| {
            let (seen, done) = (ended.clone(), finalized.clone());
            defer(async move {
                assert_eq!(seen.value(), 2);
                yield_now().await;
                done.up();
            });
            for _ in 0..2 {
                let ended = ended.clone();
                n.spawn(async move {
                    sleep(ms(1)).await;
                    ended.up();
                });
            }
            Ok(1)
        })
        .await;
        assert_eq!(out, Ok(1));
        assert_eq!((ended.value(), finalized.value()), (2, 1));
    }
}

/// L23: a bracket gives the body's value, after the release.
pub async fn a_bracket_returns_the_value_of_its_body() {
    let released = Count::new();
    let up = released.clone();
    let out = bracket(
        async { 20 },
        async |lent| *lent + 1,
        |resource, exit| async move {
            assert!(exit.is_success());
            assert_eq!(resource, 20);
            sleep(ms(1)).await;
            up.up();
        },
    )
    .await;
    assert_eq!((out, released.value()), (21, 1));
}

/// L18, L23: a bracket that is cancelled from outside parks after the release; the code around it never goes on.
pub async fn a_cancelled_bracket_parks_after_its_release() {
    let (released, passed) = (Count::new(), Count::new());
    let up = released.clone();
    let out = move_on_after(ms(1), async {
        bracket(
            async {},
            async |_lent| sleep_forever().await,
            |(), exit| async move {
                assert!(!exit.is_success());
                sleep(ms(1)).await;
                up.up();
            },
        )
        .await;
        passed.up();
    })
    .await;
    assert_eq!(out, None);
    assert_eq!((released.value(), passed.value()), (1, 0));
}

/// L2: a root gives the body's value, when everything in it has ended.
pub async fn a_root_returns_the_value_of_its_body() {
    let cleaned = Count::new();
    let (out, observer) = observed(async {
        let started = Count::new();
        let mut lost = Box::pin(foster::nursery(async |n: foster::Nursery| {
            n.spawn(lingering(&started, &cleaned));
            sleep_forever().await
        }));
        until(lost.as_mut(), started.reaches(1)).await;
        drop(lost);
        9
    })
    .await;
    assert_eq!((out, cleaned.value()), (9, 1));
    assert_eq!((observer.orphans(), observer.hosts()), (vec![], vec![]));
}

/// L31: a plain cancel scope does not look into results: an `Err` is a value like any other.
pub async fn a_cancel_scope_takes_an_error_for_a_value() {
    let out = CancelScope::new().run(async { Err::<(), _>("mine") }).await;
    assert_eq!(out.unwrap(), Err("mine"));
}

/// L18: a parked nursery stays Pending, however often it is polled, until the code around it drops it.
pub async fn a_parked_nursery_stays_pending() {
    let polls = Count::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let out = scope
        .run(async {
            handle.cancel("before");
            let mut parked = Box::pin(foster::nursery(async |_: foster::Nursery| sleep_forever().await));
            for _ in 0..5 {
                assert!(poll_once(parked.as_mut()).await.is_pending());
                polls.up();
            }
            parked.await
        })
        .await;
    assert!(out.is_err());
    assert_eq!(polls.value(), 5);
}

/// L34: what the handle of a task says about each way to end.
pub async fn a_handle_knows_how_its_task_ended() {
    let started = Count::new();
    let group = foster::NurseryOptions::new()
        .collect_errors()
        .run(async |n: foster::Nursery<&'static str>| {
            assert_eq!(n.spawn(async { Ok(1) }).await, Ok(1));
            assert!(matches!(n.spawn(async { Err::<(), _>("child") }).await, Err(JoinError::Failed(_))));
            let mut task = n.spawn(lingering(&started, &Count::new()));
            started.reaches(1).await;
            task.cancel("itself");
            assert_eq!(task.wait().await, TaskStatus::Cancelled);
            assert_eq!(task.await, Err(JoinError::Cancelled));
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(group.into_errors(), ["child"]);
}
