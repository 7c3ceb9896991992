//! Behaviours: task handles. The results that a handle gives, and its requests to its task.

use std::sync::{Arc, Mutex};

use foster::error::JoinError;
use foster::nursery::TaskStatus;
use foster::scope::ReasonKind;
use foster::{
    CancelScope, Task, checkpoint, defer, graceful, move_on_after, shield, sleep, sleep_forever, stopping, yield_now,
};

use crate::groups::both::both;
use crate::groups::probe::{Count, Finally, caught, crash, is_virtual, lingering, observed, poll_once, text};
use crate::harness::ms;

both! {
    /// B114, L34: the value of a child comes from its handle: awaited before the child ends or after it, inside the
    /// nursery or outside, when the nursery is long over. Waiting for the end may be repeated, and leaves the value.
    a_handle_gives_the_value_inside_and_after_the_nursery, a_local_handle_gives_the_value_inside_and_after_the_nursery: {
        let outside = open(async |n: Handle| {
            let early = n.spawn(async {
                sleep(ms(1)).await;
                Ok("early")
            });
            assert_eq!(early.await, Ok("early"));
            let mut late = n.spawn(async { Ok("late") });
            sleep(ms(1)).await;
            assert_eq!((late.wait().await, late.wait().await), (TaskStatus::Finished, TaskStatus::Finished));
            assert_eq!(late.await, Ok("late"));
            Ok(n.spawn(async {
                sleep(ms(1)).await;
                Ok("outside")
            }))
        })
        .await;
        let mut outside = outside.unwrap();
        assert!(outside.is_finished());
        assert_eq!(outside.wait().await, TaskStatus::Finished);
        assert_eq!(outside.await, Ok("outside"));
    }

    /// B114: an error is told as often as one asks; a value can be taken once, and asking again is a panic that says
    /// so.
    a_value_is_taken_once_and_an_error_any_number_of_times, a_local_value_is_taken_once_and_an_error_any_number_of_times: {
        let group = open_collecting(async |n: Handle<&'static str>| {
            let mut failing = n.spawn(async { Err::<(), _>("child") });
            let Err(JoinError::Failed(failure)) = (&mut failing).await else { panic!("it has failed") };
            // L34: the failure names the task and where it was spawned, and has the text of the error.
            assert_eq!((failure.task().location().file(), failure.text()), (file!(), "\"child\""));
            assert_eq!((&mut failing).await, Err(JoinError::Failed(failure.clone())));
            assert_eq!(failing.try_join(), Some(Err(JoinError::Failed(failure))));
            let mut task = n.spawn(async { Ok(1) });
            assert_eq!((&mut task).await, Ok(1));
            assert_eq!(task.status(), TaskStatus::Finished);
            let again = caught(&mut task).await.unwrap_err();
            let message = text(&*again);
            assert!(message.starts_with("the value of task `") && message.ends_with("was taken before"), "{message}");
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(group.into_errors(), ["child"]);
    }

    /// B115: asked without waiting, an unfinished child answers "not finished": no value, no error, not cancelled.
    an_unfinished_child_says_so, an_unfinished_local_child_says_so: {
        let Ok(()) = open(async |n: Handle| {
            let (started, go) = (Count::new(), Count::new());
            let (up, wait) = (started.clone(), go.reaches(1));
            let mut task = n.spawn(async move {
                up.up();
                wait.await;
                Ok(1)
            });
            for _ in 0..2 {
                assert_eq!(task.try_join(), None);
                assert_eq!(task.status(), TaskStatus::Running);
                assert!(!task.is_finished());
                assert!(task.reason().is_none());
                started.reaches(1).await;
            }
            go.up();
            assert_eq!(task.wait().await, TaskStatus::Finished);
            assert_eq!(task.try_join(), Some(Ok(1)));
        })
        .await;
    }

    /// B117, L13: a child that is cancelled before its first poll is not polled at all; here foster decides otherwise
    /// than AnyIO. One that has begun in parallel stops at its first checkpoint.
    a_child_that_is_cancelled_right_after_its_spawn_does_not_begin,
    a_local_child_that_is_cancelled_right_after_its_spawn_does_not_begin: {
        let (polled, passed, dropped) = (Count::new(), Count::new(), Count::new());
        let Ok(()) = open(async |n: Handle| {
            let (up, beyond, gone) = (polled.clone(), passed.clone(), dropped.on_drop());
            let task = n.spawn(async move {
                let _gone = gone;
                up.up();
                checkpoint().await;
                sleep_forever().await;
                beyond.up();
            });
            assert!(task.cancel("at once"));
            assert_eq!(task.await, Err(JoinError::Cancelled));
        })
        .await;
        assert_eq!((passed.value(), dropped.value()), (0, 1));
        if LOCAL || is_virtual() {
            assert_eq!(polled.value(), 0);
        }
    }

    /// B117, L4, L13: spawning into a nursery that is cancelled is admitted; the child is dropped unpolled, on every
    /// runtime.
    a_child_spawned_into_a_cancelled_nursery_is_never_polled, a_child_spawned_into_a_cancelled_local_nursery_is_never_polled: {
        let (polled, dropped) = (Count::new(), Count::new());
        let spawned = Arc::new(Mutex::new(None::<Task<()>>));
        let mut scope = CancelScope::new();
        scope.handle().cancel("before");
        let out = scope
            .run(open(async |n: Handle| {
                let (up, gone) = (polled.clone(), dropped.on_drop());
                let task = n.try_spawn(async move {
                    let _gone = gone;
                    up.up();
                });
                *spawned.lock().unwrap() = Some(task.expect("admitted"));
                sleep_forever().await
            }))
            .await;
        assert!(out.is_err());
        assert_eq!((polled.value(), dropped.value()), (0, 1));
        let task = spawned.lock().unwrap().take().expect("spawned");
        assert_eq!(task.await, Err(JoinError::Cancelled));
    }

    /// B118, L34: a child that was asked to stop and has not ended is "cancelling"; when its cleanup is over,
    /// "cancelled".
    a_child_that_was_asked_to_stop_is_cancelling_until_it_has_ended,
    a_local_child_that_was_asked_to_stop_is_cancelling_until_it_has_ended: {
        let Ok(()) = open(async |n: Handle| {
            let (started, clean) = (Count::new(), Count::new());
            let (up, wait) = (started.clone(), clean.reaches(1));
            let mut task = n.spawn(async move {
                defer(wait);
                up.up();
                sleep_forever().await
            });
            started.reaches(1).await;
            assert_eq!(task.status(), TaskStatus::Running);
            assert!(task.cancel("enough"));
            for _ in 0..3 {
                assert_eq!(task.status(), TaskStatus::Cancelling);
                assert_eq!(task.try_join().map(|out| out.is_ok()), None);
                sleep(ms(1)).await;
            }
            clean.up();
            assert_eq!(task.wait().await, TaskStatus::Cancelled);
            assert_eq!(task.reason().and_then(|reason| reason.text().map(str::to_owned)), Some("enough".to_owned()));
        })
        .await;
    }

    /// B118: also when it was not asked itself, but everything around it.
    a_child_of_a_cancelled_nursery_is_cancelling_until_it_has_ended,
    a_child_of_a_cancelled_local_nursery_is_cancelling_until_it_has_ended: {
        let (started, clean) = (Count::new(), Count::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let kept = Arc::new(Mutex::new(None::<Task<()>>));
        let out = scope
            .run(open(async |n: Handle| {
                let (up, wait) = (started.clone(), clean.reaches(1));
                let task = n.spawn(async move {
                    defer(wait);
                    up.up();
                    sleep_forever().await;
                });
                started.reaches(1).await;
                *kept.lock().unwrap() = Some(task);
                shield(async {
                    handle.cancel("from outside");
                    sleep(ms(1)).await;
                    let kept = kept.lock().unwrap();
                    let task = kept.as_ref().expect("put there");
                    assert_eq!(task.status(), TaskStatus::Cancelling);
                    assert!(task.reason().is_none(), "it was not asked itself");
                })
                .await;
                clean.up();
                sleep_forever().await
            }))
            .await;
        assert!(out.is_err());
        assert_eq!(kept.lock().unwrap().as_ref().expect("put there").status(), TaskStatus::Cancelled);
    }

    /// B119, L33: a child that is cancelled through its handle does not fail the nursery, and its siblings go on.
    a_cancelled_child_is_no_failure, a_cancelled_local_child_is_no_failure: {
        let (started, cleaned, ended) = (Count::new(), Count::new(), Count::new());
        let out: Result<i32, &str> = open(async |n: Handle<&'static str>| {
            let up = ended.clone();
            n.spawn(async move {
                sleep(ms(2)).await;
                up.up();
            });
            let task = n.spawn(lingering(&started, &cleaned));
            started.reaches(1).await;
            assert!(task.cancel("you alone"));
            assert!(!task.cancel("again"), "it was asked before");
            assert!(matches!(task.await, Err(JoinError::Cancelled)));
            checkpoint().await;
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3));
        assert_eq!((cleaned.value(), ended.value()), (1, 1));
    }

    /// B121: waiting for the end of a child that fails raises nothing.
    waiting_for_a_failing_child_raises_nothing, waiting_for_a_failing_local_child_raises_nothing: {
        let reached = Count::new();
        let group = open_collecting(async |n: Handle<&'static str>| {
            let mut task = n.spawn(async {
                sleep(ms(1)).await;
                Err::<(), _>("child")
            });
            assert_eq!(task.wait().await, TaskStatus::Failed);
            assert_eq!(task.status(), TaskStatus::Failed);
            reached.up();
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!((group.len(), reached.value()), (1, 1));
    }

    /// B121: in a fail-fast nursery, from outside: the handle knows who failed, and who was cancelled for it.
    handles_tell_who_failed_and_who_was_cancelled_for_it, local_handles_tell_who_failed_and_who_was_cancelled_for_it: {
        let kept = Arc::new(Mutex::new(Vec::<Task<()>>::new()));
        let started = Count::new();
        let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
            let up = started.clone();
            let sibling = n.spawn(async move {
                up.up();
                sleep_forever().await;
                Ok(())
            });
            let ready = started.reaches(1);
            let failing = n.spawn(async move {
                ready.await;
                Err("child")
            });
            kept.lock().unwrap().extend([failing, sibling]);
            Ok(())
        })
        .await;
        assert_eq!(out, Err("child"));
        let mut kept = kept.lock().unwrap().drain(..).collect::<Vec<_>>();
        assert_eq!(kept.pop().expect("two").await, Err(JoinError::Cancelled));
        assert!(matches!(kept.pop().expect("two").await, Err(JoinError::Failed(_))));
    }

    /// B122, L3: cancelling a child that has ended changes nothing, and says so.
    cancelling_a_finished_child_changes_nothing, cancelling_a_finished_local_child_changes_nothing: {
        let out = open(async |n: Handle| {
            let mut task = n.spawn(async { Ok(1) });
            assert_eq!(task.wait().await, TaskStatus::Finished);
            assert!(!task.cancel("too late"));
            assert_eq!((task.status(), task.reason().is_none()), (TaskStatus::Finished, true));
            Ok(task.await.unwrap())
        })
        .await;
        assert_eq!(out, Ok(1));
    }

    /// B123, L40: a joiner that is cancelled while it waits takes nothing along: the child goes on, and can be joined
    /// again.
    a_cancelled_joiner_leaves_the_child_alone, a_cancelled_joiner_leaves_the_local_child_alone: {
        let out = open(async |n: Handle| {
            let go = Count::new();
            let wait = go.reaches(1);
            let mut task = n.spawn(async move {
                wait.await;
                Ok(4)
            });
            assert_eq!(move_on_after(ms(1), &mut task).await, None);
            assert_eq!(move_on_after(ms(1), task.wait()).await, None);
            assert_eq!(task.status(), TaskStatus::Running);
            go.up();
            Ok(task.await.unwrap())
        })
        .await;
        assert_eq!(out, Ok(4));
    }

    /// B123, L14: a cancelled joiner does not begin to wait, even if the child has ended long ago.
    a_cancelled_joiner_does_not_begin_to_wait, a_cancelled_joiner_does_not_begin_to_wait_for_a_local_child: {
        let Ok(()) = open(async |n: Handle| {
            let mut task = n.spawn(async { Ok(5) });
            task.wait().await;
            let mut scope = CancelScope::new();
            scope.handle().cancel("before");
            assert!(scope.run(&mut task).await.is_err());
            assert_eq!(task.await, Ok(5));
        })
        .await;
    }

    /// B124, L34: a handle that is dropped at once neither cancels its child nor hides the error.
    a_dropped_handle_hides_no_error, a_dropped_local_handle_hides_no_error: {
        let ended = Count::new();
        let out: Result<(), &str> = open(async |n: Handle<&'static str>| {
            let up = ended.clone();
            drop(n.spawn(async move {
                sleep(ms(1)).await;
                up.up();
                Err::<(), _>("child")
            }));
            Ok(())
        })
        .await;
        assert_eq!(out, Err("child"));
        assert_eq!(ended.value(), 1);
    }

    /// B124: the value of a child whose handle is gone is dropped, once, before the nursery returns.
    the_value_of_a_child_without_a_handle_is_dropped, the_value_of_a_local_child_without_a_handle_is_dropped: {
        let value = Count::new();
        let Ok(()) = open(async |n: Handle| {
            let guard = value.on_drop();
            drop(n.spawn(async move {
                yield_now().await;
                Ok(guard)
            }));
        })
        .await;
        assert_eq!(value.value(), 1);
    }

    /// L34, I23: a handle resolves after the child's scope is Closed and its future dropped: finalizers, residue and
    /// locals are over.
    a_handle_resolves_when_nothing_of_the_child_is_left, a_local_handle_resolves_when_nothing_of_the_child_is_left: {
        let Ok(()) = open(async |n: Handle| {
            for cancels in [false, true] {
                let (started, finalized, dropped) = (Count::new(), Count::new(), Count::new());
                let (up, done, captured, local) =
                    (started.clone(), finalized.clone(), dropped.on_drop(), dropped.on_drop());
                let task = n.spawn(async move {
                    let (_captured, _local) = (captured, local);
                    defer(async move {
                        sleep(ms(1)).await;
                        done.up();
                    });
                    up.up();
                    if cancels {
                        sleep_forever().await;
                    }
                });
                started.reaches(1).await;
                if cancels {
                    assert!(task.cancel("enough"));
                }
                assert_eq!(task.await.is_err(), cancels);
                assert_eq!((finalized.value(), dropped.value()), (1, 2));
            }
        })
        .await;
    }

    /// L34: any number of tasks may wait for the end of one: a handle can wander.
    a_handle_may_be_awaited_in_another_task, a_local_handle_may_be_awaited_in_another_task: {
        let out = open(async |n: Handle| {
            let go = Count::new();
            let wait = go.reaches(1);
            let mut first = n.spawn(async move {
                wait.await;
                Ok(6)
            });
            // Waits here, then elsewhere: the waker of this task must not be the one that is kept.
            assert!(poll_once(Box::pin(first.wait()).as_mut()).await.is_pending());
            let second = n.spawn(async move { Ok(first.await.unwrap() + 1) });
            yield_now().await;
            go.up();
            Ok(second.await.unwrap())
        })
        .await;
        assert_eq!(out, Ok(7));
    }

    /// L6, L20: a child may be asked to stop with a grace, in which its graceful shields go on.
    a_child_may_be_given_a_grace, a_local_child_may_be_given_a_grace: {
        let (finished, passed) = (Count::new(), Count::new());
        let Ok(()) = open(async |n: Handle| {
            let (started, done, beyond) = (Count::new(), finished.clone(), passed.clone());
            let up = started.clone();
            let task = n.spawn(async move {
                graceful(async {
                    up.up();
                    stopping().await;
                    sleep(ms(1)).await;
                    done.up();
                })
                .await;
                checkpoint().await;
                beyond.up();
            });
            started.reaches(1).await;
            assert!(task.cancel_within(ms(60_000), "finish what you do"));
            assert_eq!(task.await, Err(JoinError::Cancelled));
        })
        .await;
        assert_eq!((finished.value(), passed.value()), (1, 0));
    }

    /// L6: `cancel_children` reaches those that are present; the nursery stays open, and children that come later are
    /// free.
    children_that_come_later_are_not_cancelled, local_children_that_come_later_are_not_cancelled: {
        let out = open(async |n: Handle| {
            let (started, cleaned) = (Count::new(), Count::new());
            n.spawn(lingering(&started, &cleaned));
            started.reaches(1).await;
            assert_eq!(n.cancel_children("those that are here"), 1);
            let later = n.spawn(async {
                sleep(ms(1)).await;
                Ok(8)
            });
            Ok(later.await.unwrap())
        })
        .await;
        assert_eq!(out, Ok(8));
    }

    /// B118: a child may cancel itself, through its own handle or with all others: it stops at its next checkpoint.
    a_child_may_cancel_itself, a_local_child_may_cancel_itself: {
        let (asked, passed) = (Count::new(), Count::new());
        let Ok(()) = open(async |n: Handle| {
            let (m, up, beyond) = (n.clone(), asked.clone(), passed.clone());
            let task = n.spawn(async move {
                assert_eq!(m.cancel_children("me, too"), 1);
                up.up();
                checkpoint().await;
                beyond.up();
            });
            assert_eq!(task.await, Err(JoinError::Cancelled));
        })
        .await;
        assert_eq!((asked.value(), passed.value()), (1, 0));
    }

    /// B280: a child has the name it was given, and without one that of its future's type; and the place of its spawn.
    a_child_has_a_name_and_a_place, a_local_child_has_a_name_and_a_place: {
        async fn indexer() {}
        let Ok(()) = open(async |n: Handle| {
            let named = n.child().named("crawler").spawn(indexer());
            assert_eq!(named.name(), "crawler");
            assert!(named.location().file().ends_with("tasks.rs"));
            let plain = n.spawn(indexer());
            assert!(plain.name().contains("indexer"), "{}", plain.name());
            assert!(format!("{named:?}").contains("crawler"));
        })
        .await;
    }

    /// L35, L4: what a value's or an error's destructor does is its own affair: it may spawn into the nursery, or
    /// cancel it.
    destructors_may_use_the_nursery, destructors_may_use_the_local_nursery: {
        let (spawned, ran) = (Count::new(), Count::new());
        let Ok(()) = open(async |n: Handle| {
            let (m, up, done) = (n.clone(), spawned.clone(), ran.clone());
            let guard = Finally::new(move || {
                up.up();
                // Admitted or not: that depends on what is left at this moment.
                if m.try_spawn(async move { done.up() }).is_err() {
                    assert!(m.is_closed());
                }
                m.cancel_children("all");
            });
            let task = n.spawn(async move {
                let _guard = guard;
                checkpoint().await;
            });
            task.await.unwrap();
        })
        .await;
        assert_eq!(spawned.value(), 1);
        assert!(ran.value() <= 1);
    }
}

/// B114, L34: a handle may outlive the whole tree, and still says what there was.
pub async fn a_handle_outlives_its_tree() {
    let (tasks, _) = observed(async {
        foster::nursery(async |n: foster::Nursery| {
            let cancelled = n.spawn(async {
                sleep_forever().await;
                Ok(0)
            });
            cancelled.cancel("enough");
            Ok([n.spawn(async { Ok(1) }), cancelled])
        })
        .await
        .unwrap()
    })
    .await;
    let [finished, cancelled] = tasks;
    assert!(!finished.cancel("too late"));
    assert_eq!(finished.await, Ok(1));
    assert_eq!(cancelled.reason().map(|reason| reason.kind()), Some(ReasonKind::Explicit));
    assert_eq!(cancelled.await, Err(JoinError::Cancelled));
}

/// L32, L34: a child that panics says so to its handle, while the nursery keeps the panic for its end.
pub async fn a_handle_of_a_panicking_child_says_so() {
    let kept = Mutex::new(None);
    let panic = caught(foster::nursery(async |n: foster::Nursery| {
        *kept.lock().unwrap() = Some(n.spawn(async { crash("a child") }));
    }))
    .await
    .unwrap_err();
    assert_eq!(text(&*panic), "a child");
    let mut task = kept.into_inner().unwrap().expect("spawned");
    assert_eq!(task.status(), TaskStatus::Panicked);
    assert_eq!(task.try_join(), Some(Err(JoinError::Panicked)));
    assert_eq!(task.await, Err(JoinError::Panicked));
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! tasks_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; tasks {
            a_handle_gives_the_value_inside_and_after_the_nursery,
            a_local_handle_gives_the_value_inside_and_after_the_nursery,
            a_value_is_taken_once_and_an_error_any_number_of_times,
            a_local_value_is_taken_once_and_an_error_any_number_of_times,
            an_unfinished_child_says_so,
            an_unfinished_local_child_says_so,
            a_child_that_is_cancelled_right_after_its_spawn_does_not_begin,
            a_local_child_that_is_cancelled_right_after_its_spawn_does_not_begin,
            a_child_spawned_into_a_cancelled_nursery_is_never_polled,
            a_child_spawned_into_a_cancelled_local_nursery_is_never_polled,
            a_child_that_was_asked_to_stop_is_cancelling_until_it_has_ended,
            a_local_child_that_was_asked_to_stop_is_cancelling_until_it_has_ended,
            a_child_of_a_cancelled_nursery_is_cancelling_until_it_has_ended,
            a_child_of_a_cancelled_local_nursery_is_cancelling_until_it_has_ended,
            a_cancelled_child_is_no_failure,
            a_cancelled_local_child_is_no_failure,
            waiting_for_a_failing_child_raises_nothing,
            waiting_for_a_failing_local_child_raises_nothing,
            handles_tell_who_failed_and_who_was_cancelled_for_it,
            local_handles_tell_who_failed_and_who_was_cancelled_for_it,
            cancelling_a_finished_child_changes_nothing,
            cancelling_a_finished_local_child_changes_nothing,
            a_cancelled_joiner_leaves_the_child_alone,
            a_cancelled_joiner_leaves_the_local_child_alone,
            a_cancelled_joiner_does_not_begin_to_wait,
            a_cancelled_joiner_does_not_begin_to_wait_for_a_local_child,
            a_dropped_handle_hides_no_error,
            a_dropped_local_handle_hides_no_error,
            the_value_of_a_child_without_a_handle_is_dropped,
            the_value_of_a_local_child_without_a_handle_is_dropped,
            a_handle_resolves_when_nothing_of_the_child_is_left,
            a_local_handle_resolves_when_nothing_of_the_child_is_left,
            a_handle_may_be_awaited_in_another_task,
            a_local_handle_may_be_awaited_in_another_task,
            a_child_may_be_given_a_grace,
            a_local_child_may_be_given_a_grace,
            children_that_come_later_are_not_cancelled,
            local_children_that_come_later_are_not_cancelled,
            a_child_may_cancel_itself,
            a_local_child_may_cancel_itself,
            a_child_has_a_name_and_a_place,
            a_local_child_has_a_name_and_a_place,
            destructors_may_use_the_nursery,
            destructors_may_use_the_local_nursery,
            a_handle_outlives_its_tree,
            a_handle_of_a_panicking_child_says_so,
        });
    };
}
