//! Behaviours: panics. Where a panic of a body, a child, a destructor, a blocking job or a hook ends up, and what is
//! finished before anybody sees it.

mod unwinding;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::or;

use foster::combine::race;
use foster::error::JoinError;
use foster::nursery::TaskStatus;
use foster::observer::{HostDropped, Observer, Orphan, OrphanKind};
use foster::runtime::root;
use foster::sync::CapacityLimiter;
use foster::thread::{to_thread_abandon, try_to_thread};
use foster::{
    CancelScope, Nursery, checkpoint, defer, is_cancelled, move_on_after, nursery, shield, sleep, sleep_forever,
    to_thread,
};

use crate::groups::both::both;
use crate::groups::probe::{Count, Finally, Log, caught, crash, lingering, observed, runtime, text};
use crate::harness::ms;
use crate::running::witness::LONG;

pub use unwinding::*;

both! {
    /// B145, L31, L32, L35: a panic takes precedence over the error that came before it; the error goes to the
    /// observer.
    a_panic_after_an_error_takes_precedence, a_panic_after_an_error_takes_precedence_in_a_local_nursery: {
        let started = Count::new();
        let (out, observer) = observed(caught(open(async |n: Handle<&'static str>| {
            let up = started.clone();
            n.spawn(async move {
                let _crash = Finally::new(|| crash("while it is cancelled"));
                up.up();
                sleep_forever().await
            });
            started.reaches(1).await;
            Err::<(), _>("error")
        })))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "while it is cancelled");
        assert_eq!(observer.errors(), [(OrphanKind::Panicked, "\"error\"".to_owned())]);
    }

    /// B145, L31, L32, L35: and over the error that comes after it.
    a_panic_before_an_error_takes_precedence, a_panic_before_an_error_takes_precedence_in_a_local_nursery: {
        let started = Count::new();
        let (out, observer) = observed(caught(open(async |n: Handle<&'static str>| {
            let (up, go) = (started.clone(), Count::new());
            let panicked = go.reaches(1);
            let _go = go.on_drop();
            n.spawn(async move {
                shield(async move {
                    up.up();
                    panicked.await;
                })
                .await;
                Err::<(), _>("error")
            });
            started.reaches(1).await;
            n.spawn(async { crash("first") });
            sleep_forever().await;
            Ok(())
        })))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "first");
        assert_eq!(observer.errors(), [(OrphanKind::Panicked, "\"error\"".to_owned())]);
    }

    /// B145: a collecting nursery resumes a panic, too; all its errors go to the observer.
    a_panic_takes_precedence_over_a_group_of_errors, a_panic_takes_precedence_over_a_local_group_of_errors: {
        let (out, observer) = observed(caught(open_collecting(async |n: Handle<&'static str>| {
            for error in ["a", "b"] {
                assert_eq!(n.spawn(async move { Err::<(), _>(error) }).wait().await, TaskStatus::Failed);
            }
            n.spawn(async { crash("after the errors") });
            Ok(())
        })))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "after the errors");
        let errors = ["a", "b"].map(|error| (OrphanKind::Panicked, format!("{error:?}")));
        assert_eq!(observer.errors(), errors);
    }

    /// B146, L32: two children that panic at the same moment: one panic comes out, both handles know, nothing aborts.
    two_children_that_panic_are_one_panic, two_local_children_that_panic_are_one_panic: {
        let (waiting, go) = (Count::new(), Count::new());
        let mut handles = Vec::new();
        let out = caught(open(async |n: Handle| {
            for _ in 0..2 {
                let (waiting, go) = (waiting.clone(), go.reaches(1));
                handles.push(n.spawn(async move {
                    waiting.up();
                    // Shielded: on threads, the first panic may come before the second child is woken.
                    foster::shield(go).await;
                    crash("both");
                }));
            }
            waiting.reaches(2).await;
            go.up();
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "both");
        for handle in handles {
            assert_eq!(handle.await, Err(JoinError::Panicked));
        }
    }

    /// B146, L32: the first panic is the one that comes out, also if the body and a destructor follow with theirs.
    the_first_of_several_panics_comes_out, the_first_of_several_panics_comes_out_of_a_local_nursery: {
        let later = Count::new();
        let out = caught(open(async |n: Handle| {
            let up = later.clone();
            let _late = Finally::new(move || {
                up.up();
                crash("the body's locals");
            });
            n.spawn(async { crash("first") });
            sleep_forever().await;
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "first");
        assert_eq!(later.value(), 1);
    }

    /// B146, L36: the payload of the panic that is not resumed may itself panic when it is dropped; nothing aborts.
    a_payload_that_panics_when_dropped_is_harmless, a_payload_that_panics_when_dropped_in_a_local_nursery_is_harmless: {
        let (dropped, started) = (Count::new(), Count::new());
        let out = caught(open(async |n: Handle| {
            let (up, count) = (started.clone(), dropped.clone());
            n.spawn(async move {
                let _late = Finally::new(move || {
                    std::panic::panic_any(Finally::new(move || {
                        count.up();
                        crash("in a payload");
                    }));
                });
                up.up();
                sleep_forever().await
            });
            started.reaches(1).await;
            n.spawn(async { crash("first") });
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "first");
        assert_eq!(dropped.value(), 1);
    }

    /// B147, L2, L32: when the body panics, its children are cancelled, and have cleaned up before the caller sees it.
    a_panic_of_the_body_waits_for_the_children, a_panic_of_the_body_waits_for_the_local_children: {
        let (started, cleaned, log) = (Count::new(), Count::new(), Log::new());
        let out = caught(open(async |n: Handle| {
            let _local = log.on_drop("body");
            for _ in 0..3 {
                n.spawn(lingering(&started, &cleaned));
            }
            let entry = log.clone();
            defer(async move {
                sleep(ms(1)).await;
                entry.add("finalizer");
            });
            started.reaches(3).await;
            crash("body");
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "body");
        assert_eq!(cleaned.value(), 3);
        assert_eq!(log.entries(), ["body", "finalizer"]);
    }

    /// B147, L2, L7: when a child panics, the body and the siblings are cancelled and finished first.
    a_panic_of_a_child_waits_for_the_others, a_panic_of_a_local_child_waits_for_the_others: {
        let (started, cleaned, passed) = (Count::new(), Count::new(), Count::new());
        let out = caught(open(async |n: Handle| {
            for _ in 0..3 {
                n.spawn(lingering(&started, &cleaned));
            }
            started.reaches(3).await;
            n.spawn(async { crash("child") });
            sleep_forever().await;
            passed.up();
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "child");
        assert_eq!((cleaned.value(), passed.value()), (3, 0));
    }

    /// B147: a panic that was caught outside leaves no cancel behind: the code around goes on.
    a_caught_panic_leaves_no_cancel_behind, a_caught_panic_of_a_local_nursery_leaves_no_cancel_behind: {
        let out = CancelScope::new()
            .run(async {
                let crashed = caught(open(async |n: Handle| {
                    n.spawn(async { crash("child") });
                    Ok(())
                }))
                .await;
                assert!(crashed.is_err());
                assert!(!is_cancelled());
                checkpoint().await;
                open(async |n: Handle| Ok(n.spawn(async { Ok(5) }).await.unwrap())).await.unwrap()
            })
            .await;
        assert_eq!(out.unwrap(), 5);
    }

    /// B147, L32: a panic passes the nurseries further out one after the other; each waits for what is its own.
    a_panic_passes_from_nursery_to_nursery, a_panic_passes_from_local_nursery_to_local_nursery: {
        let (started, cleaned) = (Count::new(), Count::new());
        let out = caught(open(async |outer: Handle| {
            outer.spawn(lingering(&started, &cleaned));
            let (start, clean) = (started.clone(), cleaned.clone());
            outer.spawn(async move {
                open(async |inner: Handle| {
                    inner.spawn(lingering(&start, &clean));
                    start.reaches(2).await;
                    inner.spawn(async { crash("innermost") });
                    Ok(())
                })
                .await
            });
            sleep_forever().await;
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "innermost");
        assert_eq!(cleaned.value(), 2);
    }

    /// B148, L32: a destructor that panics while its child is cancelled is a panic of that child; the others are waited
    /// for.
    a_destructor_that_panics_keeps_nobody_from_ending, a_destructor_that_panics_keeps_no_local_child_from_ending: {
        let (started, cleaned) = (Count::new(), Count::new());
        let mut handle = None;
        let out = caught(open(async |n: Handle| {
            for _ in 0..3 {
                n.spawn(lingering(&started, &cleaned));
            }
            let (up, clean) = (started.clone(), cleaned.clone());
            handle = Some(n.spawn(async move {
                defer(async move { clean.up() });
                let _crash = Finally::new(|| crash("in a destructor"));
                up.up();
                sleep_forever().await;
            }));
            started.reaches(4).await;
            n.cancel_children("enough");
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "in a destructor");
        assert_eq!(cleaned.value(), 4, "its own finalizer runs, too");
        assert_eq!(handle.unwrap().await, Err(JoinError::Panicked));
    }

    /// B148, L22: a finalizer that panics is a panic of its scope, whose value is gone; the finalizers behind it still run.
    a_finalizer_that_panics_stops_no_other, a_finalizer_of_a_local_child_that_panics_stops_no_other: {
        let log = Log::new();
        let mut handle = None;
        let out = caught(open(async |n: Handle| {
            let log = log.clone();
            handle = Some(n.spawn(async move {
                let last = log.clone();
                defer(async move { last.add("last") });
                defer(async { crash("in a finalizer") });
                defer(async move { log.add("first") });
                Ok(7)
            }));
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "in a finalizer");
        assert_eq!(log.entries(), ["first", "last"]);
        assert_eq!(handle.unwrap().await, Err(JoinError::Panicked), "and not the value that the body has left");
    }

    /// B149: a child that panics before it is ready: the panic comes out of `start`, and does not touch the nursery.
    a_panic_before_ready_comes_out_of_start, a_panic_before_ready_comes_out_of_a_local_start: {
        let (started, cleaned) = (Count::new(), Count::new());
        let out: Result<u32, JoinError> = open(async |n: Handle<JoinError>| {
            n.spawn(lingering(&started, &cleaned));
            started.reaches(1).await;
            let crashed = caught(n.start::<u32, _, _, _>(|_ready| async { crash("not ready") })).await;
            assert_eq!(text(&*crashed.unwrap_err()), "not ready");
            checkpoint().await;
            assert_eq!((n.len(), cleaned.value()), (1, 0), "the nursery goes on");
            n.cancel_children("enough");
            Ok(4)
        })
        .await;
        assert_eq!(out, Ok(4));
        assert_eq!(cleaned.value(), 1);
    }

    /// B149: so does a panic of the closure that makes the child.
    a_panic_while_the_child_is_made_comes_out_of_start, a_panic_while_the_local_child_is_made_comes_out_of_start: {
        let out: Result<u32, JoinError> = open(async |n: Handle<JoinError>| {
            let starting = n.start::<u32, (), _, _>(|_ready| {
                crash("not even made");
                std::future::ready(())
            });
            assert_eq!(text(&*caught(starting).await.unwrap_err()), "not even made");
            checkpoint().await;
            Ok(4)
        })
        .await;
        assert_eq!(out, Ok(4));
    }

    /// B149, L32: a child that panics after it was ready is a child of the nursery: the panic comes out there.
    a_panic_after_ready_comes_out_of_the_nursery, a_panic_after_ready_comes_out_of_the_local_nursery: {
        let ready = Count::new();
        let out = caught(open(async |n: Handle<JoinError>| {
            let seen = ready.reaches(1);
            let value = n
                .start(async move |word| {
                    word.started(6);
                    seen.await;
                    crash("ready long ago");
                })
                .await;
            assert_eq!(value, Ok(6));
            ready.up();
            sleep_forever().await;
            Ok(())
        }))
        .await;
        assert_eq!(text(&*out.unwrap_err()), "ready long ago");
        assert_eq!(ready.value(), 1);
    }

    /// B151: an observer that panics disturbs neither the tree nor the outcome; it is told about what comes next all
    /// the same.
    an_observer_that_panics_disturbs_nothing, an_observer_that_panics_does_not_disturb_a_local_nursery: {
        let observer = Arc::new(Crashing::default());
        let out = root(runtime(), open(async |n: Handle<&'static str>| {
            let (started, go) = (Count::new(), Count::new());
            for error in ["a", "b", "c"] {
                let (up, go) = (started.clone(), go.clone());
                n.spawn(async move {
                    shield(async move {
                        up.up();
                        go.reaches(1).await;
                    })
                    .await;
                    Err::<(), _>(error)
                });
            }
            started.reaches(3).await;
            go.up();
            Err::<(), _>("body")
        }))
        .observe(observer.clone())
        .await;
        assert!(out.is_err());
        assert_eq!(observer.calls.load(Ordering::SeqCst), 3, "three of four errors have no caller");
    }
}

/// An observer that panics whenever it is told something.
#[derive(Default)]
struct Crashing {
    calls: AtomicUsize,
}

impl Observer for Crashing {
    fn orphan(&self, _: &Orphan<'_>) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        crash("in the observer");
    }

    fn host_dropped(&self, _: &HostDropped) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        crash("in the observer");
    }
}

/// B151, L37: the same inside the drop of a host, where a panic would be fatal.
pub async fn an_observer_may_panic_while_its_host_is_dropped() {
    let observer = Arc::new(Crashing::default());
    let started = Count::new();
    let up = started.clone();
    let mut host = Box::pin(
        root(runtime(), async move {
            defer(async {});
            up.up();
            sleep_forever().await
        })
        .observe(observer.clone()),
    );
    crate::groups::probe::until(host.as_mut(), started.reaches(1)).await;
    drop(host);
    assert_eq!(observer.calls.load(Ordering::SeqCst), 1);
}

/// B150, L32: a panic in blocking work comes out of the await; the permit is back by then, and the next job finds a
/// thread.
pub async fn a_panic_in_a_blocking_job_comes_out_of_its_await() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let dropped = Count::new();
    for way in 0..3 {
        let guard = dropped.on_drop();
        let work = move || {
            let _guard = guard;
            crash("in a job");
        };
        let out = match way {
            0 => caught(to_thread(work).limiter(limiter.clone())).await,
            1 => caught(async { try_to_thread(work).limiter(limiter.clone()).await.unwrap() }).await,
            _ => caught(async { to_thread_abandon(work).limiter(limiter.clone()).await.unwrap() }).await,
        };
        assert_eq!(text(&*out.unwrap_err()), "in a job");
        assert_eq!((limiter.available(), dropped.value()), (1, way + 1));
        assert_eq!(to_thread(|| 3).limiter(limiter.clone()).await, 3);
    }
    // Caught, so it is nobody else's: the code around goes on.
    assert!(!is_cancelled());
    checkpoint().await;
}

/// B150, L32: not caught, it is a panic of the child that awaits the job.
pub async fn a_panic_in_a_childs_blocking_job_fails_the_nursery() {
    let (started, cleaned) = (Count::new(), Count::new());
    let out = caught(nursery(async |n: Nursery| {
        n.spawn(lingering(&started, &cleaned));
        started.reaches(1).await;
        n.spawn(async { to_thread(|| crash("in a job")).await });
        sleep_forever().await;
    }))
    .await;
    assert_eq!(text(&*out.unwrap_err()), "in a job");
    assert_eq!(cleaned.value(), 1);
}

/// B150, L18: a panic of a job whose awaiting code had been cancelled meanwhile still comes out.
pub async fn a_panic_in_a_job_beats_the_cancel() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let job = to_thread(move || {
        handle.cancel("while the job runs");
        crash("in a cancelled job");
    });
    let out = caught(scope.run(job)).await;
    assert_eq!(text(&*out.unwrap_err()), "in a cancelled job");
}

/// B152, L7, L32: what another thread has handed in and panics ends the nursery with that panic, after the body was
/// cancelled.
pub async fn a_panic_of_what_another_thread_spawned_ends_the_nursery() {
    let (dropped, passed) = (Count::new(), Count::new());
    let out = caught(nursery(async |n: Nursery| {
        let _local = dropped.on_drop();
        let stranger = std::thread::spawn(move || drop(n.spawn(async { crash("from another thread") })));
        stranger.join().expect("`spawn` does not panic");
        sleep_forever().await;
        passed.up();
    }))
    .await;
    assert_eq!(text(&*out.unwrap_err()), "from another thread");
    assert_eq!((dropped.value(), passed.value()), (1, 0));
}

/// L29, L35: a panic that a combinator keeps until the others have ended, and is dropped with, fails the scope around: if
/// that in which it was caught has ended by then, the next one further out.
pub async fn a_panic_that_a_combinator_keeps_is_not_lost_with_the_scope_it_was_caught_in() {
    let outcome = caught(CancelScope::new().run(async {
        let mut two = Box::pin(race((shield(sleep_forever()), async {
            sleep(ms(1)).await;
            crash("kept");
            pending().await
        })));
        // Two scopes end by themselves, and know nothing more of what is around them.
        let polled = async { move_on_after(LONG, or(async { _ = two.as_mut().await }, sleep(ms(4)))).await };
        assert_eq!(move_on_after(LONG, polled).await, Some(Some(())));
        drop(two);
        sleep_forever().await;
    }));
    assert_eq!(text(&*outcome.await.unwrap_err()), "kept");
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! panics_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; panics {
            a_panic_after_an_error_takes_precedence,
            a_panic_after_an_error_takes_precedence_in_a_local_nursery,
            a_panic_before_an_error_takes_precedence,
            a_panic_before_an_error_takes_precedence_in_a_local_nursery,
            a_panic_takes_precedence_over_a_group_of_errors,
            a_panic_takes_precedence_over_a_local_group_of_errors,
            two_children_that_panic_are_one_panic,
            two_local_children_that_panic_are_one_panic,
            the_first_of_several_panics_comes_out,
            the_first_of_several_panics_comes_out_of_a_local_nursery,
            a_payload_that_panics_when_dropped_is_harmless,
            a_payload_that_panics_when_dropped_in_a_local_nursery_is_harmless,
            a_panic_of_the_body_waits_for_the_children,
            a_panic_of_the_body_waits_for_the_local_children,
            a_panic_of_a_child_waits_for_the_others,
            a_panic_of_a_local_child_waits_for_the_others,
            a_caught_panic_leaves_no_cancel_behind,
            a_caught_panic_of_a_local_nursery_leaves_no_cancel_behind,
            a_panic_passes_from_nursery_to_nursery,
            a_panic_passes_from_local_nursery_to_local_nursery,
            a_destructor_that_panics_keeps_nobody_from_ending,
            a_destructor_that_panics_keeps_no_local_child_from_ending,
            an_error_survives_the_panic_of_its_future,
            an_error_survives_the_panic_of_its_body,
            an_error_survives_the_panic_of_its_local_future,
            an_error_survives_the_panic_of_its_local_body,
            a_finalizer_that_panics_stops_no_other,
            a_finalizer_of_a_local_child_that_panics_stops_no_other,
            a_panic_before_ready_comes_out_of_start,
            a_panic_before_ready_comes_out_of_a_local_start,
            a_panic_while_the_child_is_made_comes_out_of_start,
            a_panic_while_the_local_child_is_made_comes_out_of_start,
            a_panic_after_ready_comes_out_of_the_nursery,
            a_panic_after_ready_comes_out_of_the_local_nursery,
            an_observer_that_panics_disturbs_nothing,
            an_observer_that_panics_does_not_disturb_a_local_nursery,
            an_observer_may_panic_while_its_host_is_dropped,
            a_panic_in_a_blocking_job_comes_out_of_its_await,
            a_panic_in_a_childs_blocking_job_fails_the_nursery,
            a_panic_in_a_job_beats_the_cancel,
            a_panic_of_what_another_thread_spawned_ends_the_nursery,
            a_panic_that_a_combinator_keeps_is_not_lost_with_the_scope_it_was_caught_in,
            inner_scopes_of_a_panicking_body_are_finished,
            inner_scopes_of_a_panicking_local_body_are_finished,
            a_destructor_of_an_unpolled_child_may_panic,
            a_destructor_of_an_unpolled_local_child_may_panic,
            a_value_that_nobody_takes_may_panic_when_it_is_dropped,
            a_local_value_that_nobody_takes_may_panic_when_it_is_dropped,
            an_error_that_panics_when_it_is_printed_is_an_error_all_the_same,
            an_error_that_panics_when_it_is_printed_is_an_error_of_a_local_nursery_all_the_same,
            the_payload_resumes_as_it_was_thrown,
            the_payload_of_a_local_child_resumes_as_it_was_thrown,
            the_panic_hook_hears_of_a_panic_when_it_happens,
            the_panic_hook_hears_of_a_local_panic_when_it_happens,
            a_panic_is_the_reason_of_the_cancel,
            a_panic_of_a_local_child_is_the_reason_of_the_cancel,
            a_panic_resumes_out_of_a_cancelled_nursery,
            a_panic_resumes_out_of_a_cancelled_local_nursery,
            a_panic_of_the_root_resumes_when_everything_has_ended,
            a_panic_at_the_first_poll_unwinds_like_any_other,
        });
    };
}
