//! Behaviours: groups. The requests that end a nursery, the children that it waits for, and its outcome.
//!
//! The submodules have the laws that no behaviour (`B…`) speaks of: `outcomes` (L31–L35), `daemons` (L24), `loss`
//! (L25–L30), `context` (L38).

pub(crate) mod both;
mod context;
mod daemons;
mod loss;
mod outcomes;
pub(crate) mod probe;
mod telling;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use foster::error::ErrorGroup;
use foster::nursery::TaskStatus;
use foster::observer::OrphanKind;
use foster::{
    CancelScope, Instant, Task, checkpoint, defer, is_cancelled, move_on_after, shield, sleep, sleep_forever,
    sleep_until, yield_now,
};

use crate::harness::ms;
use both::both;
use probe::{Count, assert_took, lingering, observed, until, until_cancelled};

pub use context::*;
pub use daemons::*;
pub use loss::*;
pub use outcomes::*;
#[doc(hidden)]
pub use telling::*;

both! {
    /// B090, L2: a body that returns early cancels nothing; the nursery waits for its children.
    a_body_that_has_returned_leaves_the_nursery_waiting, a_body_that_has_returned_leaves_the_local_nursery_waiting: {
        let ended = Count::new();
        let start = Instant::now();
        let out = open(async |n: Handle| {
            for millis in [3, 1, 2] {
                let ended = ended.clone();
                n.spawn(async move {
                    sleep(ms(millis)).await;
                    ended.up();
                });
            }
            Ok(7)
        })
        .await;
        assert_eq!(out, Ok(7));
        assert_eq!(ended.value(), 3);
        assert_took(start, ms(3));
    }

    /// B091, L7, L31: the body's error cancels the children, is held back until they have ended, and is the outcome.
    an_error_of_the_body_cancels_the_children_and_waits_for_them,
    an_error_of_the_body_cancels_the_local_children_and_waits_for_them: {
        let (started, cleaned) = (Count::new(), Count::new());
        let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
            for _ in 0..3 {
                n.spawn(lingering(&started, &cleaned));
            }
            started.reaches(3).await;
            Err("body")
        })
        .await;
        assert_eq!(out, Err("body"));
        assert_eq!(cleaned.value(), 3);
    }

    /// B092, L7, I25: a child's error stops a body that is blocked, at once, and is the outcome.
    an_error_of_a_child_cancels_the_blocked_body, an_error_of_a_local_child_cancels_the_blocked_body: {
        let (dropped, passed) = (Count::new(), Count::new());
        let start = Instant::now();
        let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
            let _local = dropped.on_drop();
            n.spawn(async {
                sleep(ms(2)).await;
                Err::<(), _>("child")
            });
            sleep(ms(60_000)).await;
            passed.up();
            Ok(())
        })
        .await;
        assert_eq!(out, Err("child"));
        assert_eq!((dropped.value(), passed.value()), (1, 0));
        assert_took(start, ms(2));
    }

    /// B093, L2, L22: siblings of a child that fails are cancelled, and have cleaned up before the nursery returns.
    siblings_of_a_failing_child_clean_up_before_the_nursery_returns,
    siblings_of_a_failing_local_child_clean_up_before_the_nursery_returns: {
        let (started, cleaned) = (Count::new(), Count::new());
        let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
            for _ in 0..3 {
                n.spawn(lingering(&started, &cleaned));
            }
            let all = started.reaches(3);
            n.spawn(async move {
                all.await;
                Err::<(), _>("child")
            });
            Ok(())
        })
        .await;
        assert_eq!(out, Err("child"));
        assert_eq!(cleaned.value(), 3);
    }

    /// B094, L31, L35: when the body and a child fail, the first error is the outcome and the other one is not lost.
    a_body_and_a_child_that_both_fail_are_both_reported, a_body_and_a_local_child_that_both_fail_are_both_reported: {
        let started = Count::new();
        let (out, observer) = observed(open(async |n: Handle<&'static str>| {
            let up = started.clone();
            n.child().named("stubborn").spawn(async move {
                up.up();
                until_cancelled().await;
                Err::<(), _>("child")
            });
            started.reaches(1).await;
            Err::<(), _>("body")
        }))
        .await;
        assert_eq!(out, Err("body"));
        let orphans = observer.orphans();
        assert_eq!(observer.errors(), [(OrphanKind::Later, "\"child\"".to_owned())]);
        assert_eq!(orphans[0].origin, "stubborn");
    }

    /// B094, L31: a collecting nursery returns both errors, in the order in which they were recorded.
    a_collecting_nursery_returns_the_errors_of_body_and_child,
    a_collecting_local_nursery_returns_the_errors_of_body_and_child: {
        let (group, observer) = observed(open_collecting(async |n: Handle<&'static str>| {
            let mut child = n.child().named("first").spawn(async { Err::<(), _>("child") });
            assert_eq!(child.wait().await, TaskStatus::Failed);
            Err::<(), _>("body")
        }))
        .await;
        let group = group.unwrap_err();
        let members: Vec<_> = group.members().iter().map(|m| (m.error, m.child.as_ref().map(|c| c.name()))).collect();
        assert_eq!(members, [("child", Some("first")), ("body", None)]);
        assert_eq!(observer.orphans(), []);
    }

    /// B095, L12, L31: two children that fail at the same moment are both heard: one is the outcome, one is an orphan.
    two_children_that_fail_at_the_same_moment_are_both_reported,
    two_local_children_that_fail_at_the_same_moment_are_both_reported: {
        let (out, observer) = observed(open(async |n: Handle<&'static str>| {
            let (waiting, go) = (Count::new(), Count::new());
            for error in ["a", "b"] {
                let (waiting, go) = (waiting.clone(), go.reaches(1));
                n.spawn(async move {
                    waiting.up();
                    // Shielded: on threads, the first failure may come before the second child is woken.
                    foster::shield(go).await;
                    Err::<(), _>(error)
                });
            }
            waiting.reaches(2).await;
            go.up();
            Ok(())
        }))
        .await;
        let mut errors = vec![format!("{:?}", out.unwrap_err())];
        for (kind, error) in observer.errors() {
            assert_eq!(kind, OrphanKind::Later);
            errors.push(error);
        }
        errors.sort();
        assert_eq!(errors, ["\"a\"", "\"b\""]);
    }

    /// B095, L31: the same in a collecting nursery, where nobody is cancelled: the group has both.
    a_collecting_nursery_has_all_errors_of_one_moment, a_collecting_local_nursery_has_all_errors_of_one_moment: {
        let out: Result<(), ErrorGroup<&str>> = open_collecting(async |n: Handle<&'static str>| {
            let at = Instant::now() + ms(2);
            for error in ["a", "b"] {
                n.spawn(async move {
                    sleep_until(at).await;
                    Err::<(), _>(error)
                });
            }
            Ok(())
        })
        .await;
        let mut errors = out.unwrap_err().into_errors();
        errors.sort_unstable();
        assert_eq!(errors, ["a", "b"]);
    }

    /// B097: the shape of the error does not depend on how many there are: a fail-fast nursery always gives one as it
    /// is, a collecting one always a group.
    one_error_has_the_same_shape_as_many, one_error_of_a_local_nursery_has_the_same_shape_as_many: {
        for failing in [1, 3] {
            let fast: Result<(), Plain> = open(async |n: Handle<Plain>| {
                for _ in 0..failing {
                    n.spawn(async { Err::<(), _>(Plain("one")) });
                }
                Ok(())
            })
            .await;
            assert_eq!(fast, Err(Plain("one")));
            let all: Result<(), ErrorGroup<Plain>> = open_collecting(async |n: Handle<Plain>| {
                for _ in 0..failing {
                    n.spawn(async { Err::<(), _>(Plain("many")) });
                }
                Ok(())
            })
            .await;
            assert_eq!(all.unwrap_err().len(), failing);
        }
    }

    /// B098, L31: a group of errors is an error of the nursery further out, in one piece; what was only cancelled,
    /// inside or outside, is in neither.
    a_group_of_errors_is_one_error_of_the_nursery_further_out,
    a_group_of_errors_is_one_error_of_the_local_nursery_further_out: {
        type Any = Box<dyn Error + Send + Sync>;
        let cut = Count::new();
        let out: Result<(), ErrorGroup<Any>> = open_collecting(async |n: Handle<Any>| {
            let (started, cleaned, go) = (Count::new(), cut.clone(), Count::new());
            n.child().named("inner").spawn({
                let (started, cleaned, go) = (started.clone(), cleaned.clone(), go.clone());
                async move {
                    open_collecting(async |inner: Handle<Plain>| {
                        inner.spawn(lingering(&started, &cleaned));
                        started.reaches(2).await;
                        inner.child().named("x").spawn(async { Err::<(), _>(Plain("x")) }).wait().await;
                        go.reaches(1).await;
                        Err::<(), _>(Plain("inner body"))
                    })
                    .await
                    .map_err(Any::from)
                }
            });
            n.spawn(lingering(&started, &cleaned));
            n.child().named("plain").spawn(async { Err::<(), _>(Any::from(Plain("plain"))) }).wait().await;
            go.up();
            while n.len() > 1 {
                sleep(ms(1)).await;
            }
            n.cancel_children("enough");
            Ok(())
        })
        .await;
        let group = out.unwrap_err();
        assert_eq!(cut.value(), 2);
        let names: Vec<_> = group.members().iter().map(|m| m.child.as_ref().unwrap().name().to_owned()).collect();
        assert_eq!(names, ["plain", "inner"]);
        let inner = group.members()[1].error.downcast_ref::<ErrorGroup<Plain>>().expect("in one piece");
        assert_eq!(inner.iter().collect::<Vec<_>>(), [&Plain("x"), &Plain("inner body")]);
    }

    /// B099, L18: a cancel that passes a nursery with many children is one outcome, and no error.
    a_cancelled_nursery_with_many_children_is_one_outcome, a_cancelled_local_nursery_with_many_children_is_one_outcome: {
        let (started, cleaned, passed) = (Count::new(), Count::new(), Count::new());
        let (_, observer) = observed(async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let out = scope
                .run(async {
                    let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
                        for _ in 0..50 {
                            n.spawn(lingering(&started, &cleaned));
                        }
                        started.reaches(50).await;
                        handle.cancel("enough");
                        sleep_forever().await;
                        Ok(())
                    })
                    .await;
                    passed.up();
                    out
                })
                .await;
            assert_eq!(out.unwrap_err().reason().text(), Some("enough"));
        })
        .await;
        assert_eq!((cleaned.value(), passed.value()), (50, 0));
        assert_eq!(observer.orphans(), []);
    }

    /// B100, L7, L33: children that were all cancelled through the nursery void nothing: it returns the body's value.
    a_nursery_whose_children_were_cancelled_by_hand_returns_its_value,
    a_local_nursery_whose_children_were_cancelled_by_hand_returns_its_value: {
        let (started, cleaned) = (Count::new(), Count::new());
        let out = open(async |n: Handle| {
            for _ in 0..3 {
                n.spawn(lingering(&started, &cleaned));
            }
            started.reaches(3).await;
            assert_eq!(n.cancel_children("enough"), 3);
            assert_eq!(n.cancel_children("enough"), 0, "they were asked before");
            checkpoint().await;
            Ok(5)
        })
        .await;
        assert_eq!(out, Ok(5));
        assert_eq!(cleaned.value(), 3);
    }

    /// B102: after a failure was handled, the code around the nursery goes on as if nothing had been cancelled.
    a_handled_failure_leaves_no_cancel_behind, a_handled_failure_of_a_local_nursery_leaves_no_cancel_behind: {
        let out = CancelScope::new()
            .run(async {
                let failed: Result<(), &str> = open(async |n: Handle<&'static str>| {
                    n.spawn(async { Err::<(), _>("child") });
                    sleep_forever().await;
                    Ok(())
                })
                .await;
                assert_eq!(failed, Err("child"));
                assert!(!is_cancelled());
                checkpoint().await;
                let again = open(async |n: Handle| {
                    let value = n.spawn(async {
                        checkpoint().await;
                        Ok(6)
                    });
                    Ok(value.await.unwrap())
                })
                .await;
                again.unwrap()
            })
            .await;
        assert_eq!(out.unwrap(), 6);
    }

    /// B103, L2, L18: a cancel from outside reaches a nursery that waits for its children: they wind down, and the wait
    /// goes on until they have.
    a_cancel_does_not_end_the_wait_for_the_children, a_cancel_does_not_end_the_wait_for_the_local_children: {
        let (started, cleaned, passed) = (Count::new(), Count::new(), Count::new());
        let start = Instant::now();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(async {
                let out = open(async |n: Handle| {
                    for _ in 0..3 {
                        n.spawn(lingering(&started, &cleaned));
                    }
                    let all = started.reaches(3);
                    n.spawn(async move {
                        all.await;
                        handle.cancel("from outside");
                    });
                    Ok(())
                })
                .await;
                passed.up();
                out
            })
            .await;
        assert!(out.is_err());
        assert_eq!((cleaned.value(), passed.value()), (3, 0));
        assert_took(start, ms(3));
    }

    /// B105, L18, L31: a body that ends with an error of its own while the nursery is cancelled from outside: the error
    /// comes out, and reaches the code around the nursery.
    an_error_of_the_body_beats_a_cancel_from_outside, an_error_of_the_local_body_beats_a_cancel_from_outside: {
        let seen = Count::new();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(async {
                let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
                    n.spawn(sleep_forever());
                    shield(async {
                        handle.cancel("from outside");
                        sleep(ms(1)).await;
                    })
                    .await;
                    Err("body")
                })
                .await;
                assert_eq!(out, Err("body"));
                seen.up();
                out
            })
            .await;
        // The body of the scope has completed, too (L12).
        assert_eq!(out.unwrap(), Err("body"));
        assert_eq!(seen.value(), 1);
    }

    /// B106, L4: while a nursery waits for a child, that child may spawn another one, which is waited for, too.
    a_child_may_spawn_while_the_nursery_waits_for_it, a_local_child_may_spawn_while_the_nursery_waits_for_it: {
        let ended = Count::new();
        let out = open(async |n: Handle| {
            let (m, ended) = (n.clone(), ended.clone());
            n.spawn(async move {
                sleep(ms(1)).await; // the body is over
                let up = ended.clone();
                m.spawn(async move {
                    sleep(ms(2)).await;
                    up.up();
                });
                ended.up();
            });
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
        assert_eq!(ended.value(), 2);
    }

    /// B107, L3, L4: a nursery that has ended, by whatever outcome, refuses a child at once, and gives the future back
    /// unpolled.
    a_nursery_that_has_ended_gives_the_future_back, a_local_nursery_that_has_ended_gives_the_future_back: {
        for fails in [false, true] {
            let mut outside = None;
            let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
                outside = Some(n.clone());
                n.spawn(async { checkpoint().await });
                if fails { Err("body") } else { Ok(()) }
            })
            .await;
            assert_eq!(out.is_err(), fails);
            let n = outside.expect("the body ran");
            assert!(n.is_closed() && n.is_empty());
            let (polled, dropped) = (Count::new(), Count::new());
            let guard = dropped.on_drop();
            let up = polled.clone();
            let child = async move {
                let _guard = guard;
                up.up();
            };
            let refused = n.try_spawn(child).unwrap_err();
            assert_eq!(refused.to_string(), "the nursery has ended; it takes no further tasks");
            assert_eq!((polled.value(), dropped.value()), (0, 0));
            // It is the future itself: it can run elsewhere.
            refused.into_inner().await;
            assert_eq!((polled.value(), dropped.value()), (1, 1));
        }
    }

    /// B107: `spawn` into a nursery that has ended panics with a message that names the usual cause and the way out,
    /// and drops the future unpolled.
    spawning_into_a_nursery_that_has_ended_panics, spawning_into_a_local_nursery_that_has_ended_panics: {
        let mut outside = None;
        let Ok(()) = open(async |n: Handle| outside = Some(n.clone())).await;
        let n = outside.expect("the body ran");
        let (polled, dropped) = (Count::new(), Count::new());
        let (guard, up) = (dropped.on_drop(), polled.clone());
        let panic = probe::caught(async move {
            n.spawn(async move {
                let _guard = guard;
                up.up();
            })
        })
        .await
        .unwrap_err();
        let text = probe::text(&*panic);
        assert!(text.contains("a handle was kept") && text.contains("try_spawn"), "{text}");
        assert_eq!((polled.value(), dropped.value()), (0, 1));
    }

    /// B111, L4: `spawn` runs nothing on the spot: the spawner goes on, and each child runs later.
    a_spawner_is_not_interrupted_by_its_children, a_local_spawner_is_not_interrupted_by_its_children: {
        thread_local! {
            static SPAWNING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
        }
        let (ran, inside) = (Count::new(), Count::new());
        let Ok(()) = open(async |n: Handle| {
            for _ in 0..10 {
                let (ran, inside) = (ran.clone(), inside.clone());
                SPAWNING.set(true);
                n.spawn(async move {
                    if SPAWNING.get() {
                        inside.up();
                    }
                    yield_now().await;
                    ran.up();
                });
                SPAWNING.set(false);
            }
            yield_now().await;
        })
        .await;
        assert_eq!((ran.value(), inside.value()), (10, 0));
    }

    /// B112, L1: a child belongs to the scopes of its nursery, not to those of whoever spawns it.
    a_child_belongs_to_the_scopes_of_its_nursery, a_local_child_belongs_to_the_scopes_of_its_nursery: {
        let ended = Count::new();
        let out = open(async |n: Handle| {
            let spawned = move_on_after(ms(60_000), async {
                let ended = ended.clone();
                let task = n.spawn(async move {
                    let limit = foster::deadline();
                    sleep(ms(2)).await;
                    ended.up();
                    Ok(limit)
                });
                assert!(foster::deadline().is_some());
                task
            })
            .await;
            let mut scope = CancelScope::new();
            scope.handle().cancel("the spawner, not the child");
            let survivor = Arc::new(std::sync::Mutex::new(None::<Task<()>>));
            let cancelled = scope
                .run(async {
                    let ended = ended.clone();
                    *survivor.lock().unwrap() = Some(n.spawn(async move {
                        sleep(ms(2)).await;
                        ended.up();
                    }));
                    sleep_forever().await
                })
                .await;
            assert!(cancelled.is_err());
            let survivor = survivor.lock().unwrap().take().expect("spawned");
            assert_eq!(survivor.await, Ok(()));
            Ok(spawned.expect("there was time").await.unwrap())
        })
        .await;
        assert_eq!(out, Ok(None), "the deadline around the spawn is not the child's");
        assert_eq!(ended.value(), 2);
    }

    /// B112: also when the spawner stands in another tree, which ends before the child does.
    a_child_spawned_from_another_tree_belongs_to_its_nursery, a_child_spawned_from_another_tree_belongs_to_its_local_nursery: {
        let ended = Count::new();
        let out = open(async |n: Handle| {
            let (_, observer) = observed(async {
                let ended = ended.clone();
                n.spawn(async move {
                    sleep(ms(2)).await;
                    ended.up();
                });
                assert_eq!(n.len(), 1);
            })
            .await;
            assert_eq!(n.len(), 1, "the other tree has ended, and has not waited for the child");
            assert_eq!(observer.hosts(), []);
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
        assert_eq!(ended.value(), 1);
    }

    /// B113: a thousand errors are collected and printed in one pass: each is formatted once, each child is named once.
    /// The children fail after their handles were dropped: the text of an error is made for a handle too.
    a_thousand_errors_are_formatted_once_each, a_thousand_errors_of_a_local_nursery_are_formatted_once_each: {
        let (formatted, unheld) = (Count::new(), Count::new());
        let group: ErrorGroup<Counted> = open_collecting(async |n: Handle<Counted>| {
            for number in 0..1000 {
                let (formatted, unheld) = (formatted.clone(), unheld.clone());
                let child = n.child().named(format!("child {number}"));
                child.spawn(async move {
                    unheld.reaches(1).await;
                    Err::<(), _>(Counted { number, formatted })
                });
            }
            unheld.up();
            Ok::<(), Counted>(())
        })
        .await
        .unwrap_err();
        assert_eq!(formatted.value(), 0, "collecting formats nothing");
        assert_eq!(group.iter().map(|error| error.number).collect::<BTreeSet<_>>().len(), 1000);
        let text = group.to_string();
        assert_eq!(formatted.value(), 1000);
        let lines: BTreeSet<_> = text.lines().skip(1).map(|line| line.trim_start_matches(['├', '└', '─', ' '])).collect();
        assert_eq!(lines.len(), 1000);
        assert!((0..1000).all(|number| lines.contains(&*format!("child {number}: error {number}"))));
    }

    /// B093, L15: inside a nursery that is cancelled the body goes at once, while the children wind down side by side.
    the_body_goes_at_once_and_the_children_wind_down_together,
    the_local_body_goes_at_once_and_the_children_wind_down_together: {
        let (started, cleaned, body) = (Count::new(), Count::new(), Count::new());
        let start = Instant::now();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let out = scope
            .run(open(async |n: Handle| {
                let _local = body.on_drop();
                for _ in 0..5 {
                    let (started, cleaned, body) = (started.clone(), cleaned.clone(), body.clone());
                    n.spawn(async move {
                        defer(async move {
                            body.reaches(1).await;
                            sleep(ms(3)).await;
                            cleaned.up();
                        });
                        started.up();
                        sleep_forever().await
                    });
                }
                started.reaches(5).await;
                handle.cancel("enough");
                sleep_forever().await
            }))
            .await;
        assert!(out.is_err());
        assert_eq!((cleaned.value(), body.value()), (5, 1));
        // Five times three milliseconds, all at once.
        assert_took(start, ms(3));
    }
}

/// B090, L41: what a local nursery is for: its children borrow, and change, what is around it.
pub async fn children_of_a_local_nursery_may_borrow() {
    let words = ["to".to_owned(), "be".to_owned()];
    let mut lengths = [0, 0];
    let out = foster::local_nursery(async |n: foster::LocalNursery<'_>| {
        for (word, length) in words.iter().zip(&mut lengths) {
            n.spawn(async move {
                sleep(ms(1)).await;
                *length = word.len();
            });
        }
        Ok(words.len())
    })
    .await;
    assert_eq!(out, Ok(2));
    assert_eq!(lengths, [2, 2]);
}

/// B090, L41: a local nursery without the demand for `Send` is the same nursery.
pub async fn children_of_an_unsend_nursery_need_not_be_send() {
    let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let failed: Result<(), &str> = foster::NurseryOptions::new()
        .run_local_unsend(async |n| {
            for millis in [1, 2] {
                let log = log.clone();
                n.spawn(async move {
                    sleep(ms(millis)).await;
                    log.borrow_mut().push(millis);
                    Err::<(), _>("after the first")
                });
            }
            Ok(())
        })
        .await;
    assert_eq!(failed, Err("after the first"));
    assert!((1..=2).contains(&log.borrow().len()));
    let group = foster::NurseryOptions::new()
        .collect_errors()
        .run_local_unsend(async |n: foster::nursery::UnsendNursery<'_, &str>| {
            let log = log.clone();
            n.spawn(async move {
                log.borrow_mut().clear();
                Err::<(), _>("collected")
            });
            Ok::<(), &str>(())
        })
        .await
        .unwrap_err();
    assert_eq!(group.into_errors(), ["collected"]);
    assert!(log.borrow().is_empty());
}

/// B091, L2: a nursery that is dropped before its first poll has never existed: its body is not called.
pub async fn a_nursery_that_is_never_polled_does_nothing() {
    let called = Count::new();
    let up = called.clone();
    drop(foster::nursery(async move |_: foster::Nursery| up.up()));
    let up = called.clone();
    drop(foster::local_nursery(async move |_: foster::LocalNursery<'_>| up.up()));
    assert_eq!(called.value(), 0);
    let mut polled = Box::pin(foster::nursery(async |n: foster::Nursery| {
        n.spawn(async {});
        called.up();
        sleep_forever().await
    }));
    until(polled.as_mut(), called.reaches(1)).await;
}

/// An error that is nothing but a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plain(&'static str);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Plain {}

/// An error that counts how often it is printed.
struct Counted {
    number: usize,
    formatted: Count,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.formatted.up();
        write!(f, "error {}", self.number)
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.formatted.up();
        write!(f, "Counted({})", self.number)
    }
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! groups_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; groups {
            an_error_that_is_handed_over_stops_nobody,
            an_error_that_is_handed_over_stops_no_local_child,
            an_error_of_the_body_still_stops_the_children,
            a_panic_of_the_handler_counts_as_one_of_the_child,
            the_handler_may_use_the_nursery,
            a_dropped_nursery_hands_over_what_its_children_fail_with,
            a_body_that_has_returned_leaves_the_nursery_waiting,
            a_body_that_has_returned_leaves_the_local_nursery_waiting,
            an_error_of_the_body_cancels_the_children_and_waits_for_them,
            an_error_of_the_body_cancels_the_local_children_and_waits_for_them,
            an_error_of_a_child_cancels_the_blocked_body,
            an_error_of_a_local_child_cancels_the_blocked_body,
            siblings_of_a_failing_child_clean_up_before_the_nursery_returns,
            siblings_of_a_failing_local_child_clean_up_before_the_nursery_returns,
            a_body_and_a_child_that_both_fail_are_both_reported,
            a_body_and_a_local_child_that_both_fail_are_both_reported,
            a_collecting_nursery_returns_the_errors_of_body_and_child,
            a_collecting_local_nursery_returns_the_errors_of_body_and_child,
            two_children_that_fail_at_the_same_moment_are_both_reported,
            two_local_children_that_fail_at_the_same_moment_are_both_reported,
            a_collecting_nursery_has_all_errors_of_one_moment,
            a_collecting_local_nursery_has_all_errors_of_one_moment,
            one_error_has_the_same_shape_as_many,
            one_error_of_a_local_nursery_has_the_same_shape_as_many,
            a_group_of_errors_is_one_error_of_the_nursery_further_out,
            a_group_of_errors_is_one_error_of_the_local_nursery_further_out,
            a_cancelled_nursery_with_many_children_is_one_outcome,
            a_cancelled_local_nursery_with_many_children_is_one_outcome,
            a_nursery_whose_children_were_cancelled_by_hand_returns_its_value,
            a_local_nursery_whose_children_were_cancelled_by_hand_returns_its_value,
            a_handled_failure_leaves_no_cancel_behind,
            a_handled_failure_of_a_local_nursery_leaves_no_cancel_behind,
            a_cancel_does_not_end_the_wait_for_the_children,
            a_cancel_does_not_end_the_wait_for_the_local_children,
            an_error_of_the_body_beats_a_cancel_from_outside,
            an_error_of_the_local_body_beats_a_cancel_from_outside,
            a_child_may_spawn_while_the_nursery_waits_for_it,
            a_local_child_may_spawn_while_the_nursery_waits_for_it,
            a_nursery_that_has_ended_gives_the_future_back,
            a_local_nursery_that_has_ended_gives_the_future_back,
            spawning_into_a_nursery_that_has_ended_panics,
            spawning_into_a_local_nursery_that_has_ended_panics,
            a_spawner_is_not_interrupted_by_its_children,
            a_local_spawner_is_not_interrupted_by_its_children,
            a_child_belongs_to_the_scopes_of_its_nursery,
            a_local_child_belongs_to_the_scopes_of_its_nursery,
            a_child_spawned_from_another_tree_belongs_to_its_nursery,
            a_child_spawned_from_another_tree_belongs_to_its_local_nursery,
            a_thousand_errors_are_formatted_once_each,
            a_thousand_errors_of_a_local_nursery_are_formatted_once_each,
            the_body_goes_at_once_and_the_children_wind_down_together,
            the_local_body_goes_at_once_and_the_children_wind_down_together,
            children_of_a_local_nursery_may_borrow,
            children_of_an_unsend_nursery_need_not_be_send,
            a_nursery_that_is_never_polled_does_nothing,
            a_cut_child_voids_the_value_of_the_nursery,
            a_cut_local_child_voids_the_value_of_the_nursery,
            a_child_that_completes_in_spite_of_the_cancel_voids_nothing,
            a_local_child_that_completes_in_spite_of_the_cancel_voids_nothing,
            a_child_that_was_cancelled_by_itself_voids_nothing,
            a_local_child_that_was_cancelled_by_itself_voids_nothing,
            errors_of_a_cancelled_nursery_are_its_outcome,
            errors_of_a_cancelled_local_nursery_are_its_outcome,
            in_a_collecting_nursery_the_siblings_go_on,
            in_a_collecting_local_nursery_the_siblings_go_on,
            each_error_ends_in_exactly_one_place,
            each_error_of_a_local_nursery_ends_in_exactly_one_place,
            a_nursery_runs_its_finalizers_after_its_children,
            a_local_nursery_runs_its_finalizers_after_its_children,
            a_bracket_returns_the_value_of_its_body,
            a_cancelled_bracket_parks_after_its_release,
            a_root_returns_the_value_of_its_body,
            a_cancel_scope_takes_an_error_for_a_value,
            a_parked_nursery_stays_pending,
            a_handle_knows_how_its_task_ended,
            daemons_are_cancelled_when_only_they_are_left,
            local_daemons_are_cancelled_when_only_they_are_left,
            a_daemon_may_end_by_itself,
            a_local_daemon_may_end_by_itself,
            an_error_of_a_daemon_counts,
            an_error_of_a_local_daemon_counts,
            a_panic_of_a_daemon_counts,
            a_panic_of_a_local_daemon_counts,
            a_cut_daemon_voids_nothing,
            a_cut_local_daemon_voids_nothing,
            a_daemon_that_comes_late_is_dismissed_too,
            a_local_daemon_that_comes_late_is_dismissed_too,
            daemons_stay_until_adopted_work_has_ended,
            local_daemons_stay_until_adopted_work_has_ended,
            a_nursery_of_daemons_ends_with_its_body,
            a_local_nursery_of_daemons_ends_with_its_body,
            a_dropped_nursery_is_finished_by_the_scope_around_it,
            a_dropped_local_nursery_is_finished_by_the_scope_around_it,
            the_children_of_a_dropped_nursery_are_cancelled_when_the_drop_returns,
            the_children_of_a_dropped_local_nursery_are_gone_when_the_drop_returns,
            a_dropped_nursery_without_children_is_closed_at_once,
            a_dropped_local_nursery_without_children_is_closed_at_once,
            a_task_waits_for_what_its_body_has_lost,
            a_local_task_waits_for_what_its_body_has_lost,
            a_finalizer_waits_for_what_it_has_lost,
            a_finalizer_waits_for_what_it_has_lost_of_a_local_nursery,
            a_cancelled_task_waits_for_the_nursery_it_has_dropped,
            a_cancelled_local_task_waits_for_the_nursery_it_has_dropped,
            a_forgotten_nursery_is_finished_by_the_scope_around_it,
            a_forgotten_local_nursery_is_finished_by_the_scope_around_it,
            an_error_in_a_dropped_nursery_goes_to_the_observer,
            an_error_in_a_dropped_local_nursery_goes_to_the_observer,
            a_destructor_that_panics_in_a_dropped_nursery_fails_the_adopter,
            a_destructor_that_panics_in_a_dropped_local_nursery_fails_the_adopter,
            a_dropped_root_ends_everything_at_once,
            a_dropped_root_ends_local_children_at_once,
            an_error_of_an_abandoned_child_goes_to_the_observer,
            the_value_of_a_dropped_nursery_is_dropped,
            lost_scopes_end_inside_out,
            a_half_run_finalizer_survives_the_loss_of_its_scope,
            a_dropped_scope_with_nothing_left_is_closed_at_once,
            a_task_that_the_runtime_drops_is_cancelled,
            what_no_reaper_can_finish_is_cut_off,
            a_body_that_is_dropped_stands_in_its_nursery,
            a_body_that_is_dropped_stands_in_its_local_nursery,
            a_child_that_is_dropped_unpolled_stands_in_its_scope,
            a_local_child_that_is_dropped_unpolled_stands_in_its_scope,
            a_body_that_foreign_code_drops_stands_in_its_nursery,
            a_body_that_foreign_code_drops_stands_in_its_local_nursery,
            a_body_that_unwinds_stands_in_its_nursery,
            a_body_that_unwinds_stands_in_its_local_nursery,
            a_child_stands_in_its_own_scope,
            a_local_child_stands_in_its_own_scope,
            scopes_that_are_polled_in_turn_keep_their_contexts,
        });
    };
}
