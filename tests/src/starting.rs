//! Behaviours: starting. A child that says when it is ready, whose it is until then, and whose afterwards.

mod moving;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use foster::error::JoinError;
use foster::nursery::Started;
use foster::nursery::TaskStatus;
use foster::{CancelScope, Instant, checkpoint, defer, is_cancelled, shield, sleep, sleep_forever, yield_now};

use crate::groups::both::both;
use crate::groups::probe::{Count, Finally, assert_took, lingering, observed, poll_once};
use crate::harness::ms;
use crate::running::witness::abandon;

pub use moving::*;

/// The error of the children in here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Oops {
    Said(&'static str),
    Start(JoinError),
}

impl From<JoinError> for Oops {
    fn from(error: JoinError) -> Self {
        Oops::Start(error)
    }
}

/// The body of a nursery with handles of this type.
type Body<H> = Box<dyn FnOnce(H) -> Pin<Box<dyn Future<Output = Result<(), Oops>> + Send>> + Send>;

/// Opens a nursery whose body gives its handle away and ends when a child has begun, and polls it once: after that
/// nothing but a pending start keeps it open. Returns the handle, and the nursery's future.
async fn waiting_for_a_child<H, G>(begun: &Count, open: impl FnOnce(Body<H>) -> G) -> (H, Pin<Box<G>>)
where
    H: Send + 'static,
    G: Future,
{
    let (slot, begun) = (Arc::new(Mutex::new(None)), begun.reaches(1));
    let given = slot.clone();
    let body = move |handle| {
        *given.lock().unwrap() = Some(handle);
        let waits: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async {
            begun.await;
            Ok(())
        });
        waits
    };
    let mut group = Box::pin(open(Box::new(body)));
    assert!(poll_once(group.as_mut()).await.is_pending());
    let handle = slot.lock().unwrap().take().expect("the body has run");
    (handle, group)
}

both! {
    /// B128: `start` returns what the child passes, at that moment; the child goes on in the nursery, which waits for
    /// it.
    start_returns_when_the_child_is_ready, start_returns_when_the_local_child_is_ready: {
        let ended = Count::new();
        let start = Instant::now();
        let out: Result<(), Oops> = open(async |n: Handle<Oops>| {
            let (up, go) = (ended.clone(), Count::new());
            let gone_on = go.reaches(1);
            let port = n
                .start(async move |status: Started<u16>| {
                    sleep(ms(2)).await;
                    assert!(status.started(8080));
                    gone_on.await;
                    sleep(ms(3)).await;
                    up.up();
                })
                .await?;
            assert_eq!((port, n.len(), ended.value()), (8080, 1, 0));
            assert_took(start, ms(2));
            go.up();
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
        assert_eq!(ended.value(), 1);
        assert_took(start, ms(5));
    }

    /// B128: several starts at once, each with its own child; a ready that is said at once, without waiting, is heard,
    /// too.
    several_children_start_side_by_side, several_local_children_start_side_by_side: {
        let out: Result<(), Oops> = open(async |n: Handle<Oops>| {
            let one = n.start(async |status: Started<u32>| {
                sleep(ms(2)).await;
                status.started(1);
                sleep_forever().await;
            });
            let two = n.start(async |status: Started<u32>| {
                status.started(2);
                sleep_forever().await;
            });
            let (one, two) = crate::running::witness::both(one, two).await;
            assert_eq!((one, two, n.len()), (Ok(1), Ok(2), 2));
            assert_eq!(n.cancel_children("enough"), 2);
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
    }

    /// B129, L35: an error before ready comes out of `start` as it is; the nursery is not touched, and nobody else
    /// hears of it.
    an_error_before_ready_comes_out_of_start, an_error_before_ready_comes_out_of_a_local_start: {
        let (started, cleaned) = (Count::new(), Count::new());
        let (out, observer) = observed(open(async |n: Handle<Oops>| {
            n.spawn(lingering(&started, &cleaned));
            started.reaches(1).await;
            let failed = n
                .start::<u16, Result<(), Oops>, _, _>(async |_ready| {
                    sleep(ms(1)).await;
                    Err(Oops::Said("no such port"))
                })
                .await;
            assert_eq!(failed, Err(Oops::Said("no such port")));
            assert!(!is_cancelled());
            checkpoint().await;
            assert_eq!((n.len(), cleaned.value()), (1, 0), "the nursery goes on");
            n.cancel_children("enough");
            Ok(3)
        }))
        .await;
        assert_eq!(out, Ok(3));
        assert_eq!(observer.orphans(), []);
    }

    /// B130: a child that ends without having been ready: `start` says exactly that, whether it kept its word or
    /// dropped it.
    a_child_that_ends_without_being_ready_is_an_error, a_local_child_that_ends_without_being_ready_is_an_error: {
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            let kept = n
                .start::<u16, (), _, _>(async |status| {
                    sleep(ms(1)).await;
                    drop(status);
                })
                .await;
            assert_eq!(kept, Err(Oops::Start(JoinError::NotStarted)));
            let ended = Count::new();
            let up = ended.clone();
            let dropped = n
                .start::<u16, (), _, _>(async move |status| {
                    drop(status);
                    sleep(ms(2)).await;
                    up.up();
                })
                .await;
            assert_eq!(dropped, Err(Oops::Start(JoinError::NotStarted)));
            assert_eq!(ended.value(), 1, "it is waited for");
            checkpoint().await;
            assert_eq!(n.len(), 0);
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3));
    }

    /// B132, L7: an error after ready is one of the nursery; `start` had returned its value.
    an_error_after_ready_is_the_nurserys, an_error_after_ready_is_the_local_nurserys: {
        let (seen, passed) = (Count::new(), Count::new());
        let out: Result<(), Oops> = open(async |n: Handle<Oops>| {
            let seen_by_child = seen.reaches(1);
            let value = n
                .start(async move |status: Started<u16>| {
                    status.started(80);
                    seen_by_child.await;
                    Err::<(), _>(Oops::Said("went down"))
                })
                .await;
            assert_eq!(value, Ok(80));
            seen.up();
            sleep_forever().await;
            passed.up();
            Ok(())
        })
        .await;
        assert_eq!(out, Err(Oops::Said("went down")));
        assert_eq!((seen.value(), passed.value()), (1, 0));
    }

    /// B134, L13: the caller was cancelled before the child is ready: its word is ignored, and it is told so; it is not
    /// adopted, but cancelled with the caller, who waits for it.
    a_ready_after_the_cancel_of_the_caller_is_ignored, a_local_ready_after_the_cancel_of_the_caller_is_ignored: {
        let (ignored, cleaned, passed) = (Count::new(), Count::new(), Count::new());
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let (ignore, clean) = (ignored.clone(), cleaned.clone());
            let starting = n.start(async move |status: Started<u16>| {
                defer(async move {
                    sleep(ms(1)).await;
                    clean.up();
                });
                shield(async {
                    handle.cancel("the caller");
                    sleep(ms(1)).await;
                })
                .await;
                if !status.started(80) {
                    ignore.up();
                }
                sleep_forever().await;
            });
            let out = scope
                .run(async {
                    let _started = starting.await;
                    passed.up();
                })
                .await;
            assert!(out.is_err());
            assert_eq!((ignored.value(), cleaned.value(), passed.value(), n.len()), (1, 1, 0, 0));
            checkpoint().await;
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3), "the nursery is not touched");
    }

    /// L13: a caller that is cancelled after the child was ready, and has ended, gets what the child has passed; then
    /// it stops.
    a_cancelled_caller_gets_what_a_ready_child_has_passed, a_cancelled_caller_gets_what_a_ready_local_child_has_passed: {
        let (ended, seen, passed) = (Count::new(), Count::new(), Count::new());
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let ends = ended.clone();
            let starting = n.start(async move |status: Started<u16>| {
                assert!(status.started(80));
                ends.up();
            });
            let out = scope
                .run(async {
                    let mut starting = pin!(starting);
                    let early = poll_once(starting.as_mut()).await;
                    while ended.value() == 0 || !n.is_empty() {
                        yield_now().await;
                    }
                    handle.cancel("the caller");
                    let answer = match early {
                        Poll::Ready(answer) => answer,
                        Poll::Pending => starting.await,
                    };
                    assert_eq!(answer, Ok(80));
                    seen.up();
                    sleep_forever().await;
                    passed.up();
                })
                .await;
            assert!(out.is_err());
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3));
        assert_eq!((seen.value(), passed.value()), (1, 0));
    }

    /// B136, L31: a child that fails after its word was ignored: the error comes out of `start`.
    an_error_after_an_ignored_ready_comes_out_of_start, an_error_after_an_ignored_ready_comes_out_of_a_local_start: {
        let (seen, passed) = (Count::new(), Count::new());
        let (out, observer) = observed(open(async |n: Handle<Oops>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let starting = n.start(async move |status: Started<u16>| {
                handle.cancel("the caller");
                assert!(!status.started(80));
                Err::<(), _>(Oops::Said("too late"))
            });
            let out = scope
                .run(async {
                    let started = starting.await;
                    assert_eq!(started, Err(Oops::Said("too late")));
                    seen.up();
                    checkpoint().await;
                    passed.up();
                })
                .await;
            assert!(out.is_err());
            checkpoint().await;
            Ok::<_, Oops>(3)
        }))
        .await;
        assert_eq!(out, Ok(3));
        assert_eq!((seen.value(), passed.value()), (1, 0));
        assert_eq!(observer.orphans(), []);
    }

    /// B139, L20: a child under a shield when the caller of `start` is cancelled: it is cancelled when it leaves the
    /// shield.
    a_shielded_child_outlasts_the_cancel_of_the_caller, a_shielded_local_child_outlasts_the_cancel_of_the_caller: {
        let (shielded, left, passed) = (Count::new(), Count::new(), Count::new());
        let start = Instant::now();
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let (inside, behind, beyond) = (shielded.clone(), left.clone(), passed.clone());
            let starting = n.start::<u16, (), _, _>(async move |_ready| {
                shield(async {
                    handle.cancel("the caller");
                    sleep(ms(3)).await;
                    assert!(!is_cancelled());
                    inside.up();
                })
                .await;
                assert!(is_cancelled());
                behind.up();
                checkpoint().await;
                beyond.up();
            });
            assert!(scope.run(starting).await.is_err());
            assert_eq!((shielded.value(), left.value(), passed.value()), (1, 1, 0));
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3));
        assert_took(start, ms(3));
    }

    /// B140, L2: a start into the outer nursery, made in the body of an inner one that fails: it is cancelled, and
    /// nothing is left.
    a_pending_start_is_cancelled_with_its_caller, a_pending_local_start_is_cancelled_with_its_caller: {
        let (started, cleaned, passed) = (Count::new(), Count::new(), Count::new());
        let out: Result<u32, Oops> = open(async |outer: Handle<Oops>| {
            let inner: Result<(), Oops> = open(async |inner: Handle<Oops>| {
                let up = started.reaches(1);
                inner.spawn(async move {
                    up.await;
                    Err::<(), _>(Oops::Said("inner"))
                });
                let (start, clean) = (started.clone(), cleaned.clone());
                let _never = outer
                    .start::<u16, (), _, _>(async move |status| {
                        lingering(&start, &clean).await;
                        status.started(1);
                    })
                    .await;
                passed.up();
                Ok(())
            })
            .await;
            assert_eq!(inner, Err(Oops::Said("inner")));
            assert_eq!((outer.len(), cleaned.value(), passed.value()), (0, 1, 0));
            checkpoint().await;
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3));
    }

    /// B141, L1: until it is ready the child belongs to its caller; from then on to the nursery, and a cancel of the
    /// caller reaches it no more.
    a_child_changes_hands_when_it_is_ready, a_local_child_changes_hands_when_it_is_ready: {
        let (ended, before) = (Count::new(), Count::new());
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let (m, up, see) = (n.clone(), ended.clone(), before.clone());
            let go = Count::new();
            let gone_on = go.reaches(1);
            let out = scope
                .run(async {
                    n.start(async move |status: Started<u16>| {
                        checkpoint().await;
                        if m.is_empty() {
                            see.up();
                        }
                        assert!(status.started(80));
                        assert_eq!(m.len(), 1);
                        drop(m);
                        gone_on.await;
                        up.up();
                    })
                    .await
                    .unwrap();
                    handle.cancel("after it was ready");
                    checkpoint().await;
                })
                .await;
            assert!(out.is_err());
            assert_eq!((n.len(), ended.value()), (1, 0), "not waited for by the caller any more");
            go.up();
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3));
        assert_eq!((before.value(), ended.value()), (1, 1));
    }

    /// B142, L3: a start into a nursery that has ended is an error at once; the child is not even made.
    a_start_into_a_nursery_that_has_ended_is_refused, a_start_into_a_local_nursery_that_has_ended_is_refused: {
        let mut outside = None;
        let out: Result<(), Oops> = open(async |n: Handle<Oops>| {
            outside = Some(n.clone());
            Ok(())
        })
        .await;
        assert_eq!(out, Ok(()));
        let (n, made) = (outside.unwrap(), Count::new());
        let up = made.clone();
        let refused = n.start::<u16, (), _, _>(move |_ready| {
            up.up();
            std::future::ready(())
        });
        assert_eq!(refused.await, Err(Oops::Start(JoinError::NurseryClosed)));
        assert_eq!(made.value(), 0);
    }

    /// B137, L4: a start that was not answered keeps its nursery open, as if the child were in it; the child's end is
    /// what closes it.
    a_pending_start_keeps_its_nursery_open, a_pending_start_keeps_its_local_nursery_open: {
        let (start, begun) = (Instant::now(), Count::new());
        let (closing, group): (Handle<Oops>, _) = waiting_for_a_child(&begun, |body| open(body)).await;
        let starting = closing.start::<u16, (), _, _>(async move |status| {
            begun.up();
            sleep(ms(3)).await;
            assert!(status.started(80), "its nursery waits for it");
            sleep(ms(2)).await;
        });
        let (port, _) = crate::running::witness::both(starting, async {
            assert_eq!(group.await, Ok(()));
            assert_took(start, ms(5));
        })
        .await;
        assert_eq!(port, Ok(80));
    }

    /// B137, L4: a start whose child does not get ready keeps its nursery open until that is known, and no longer.
    a_start_that_fails_lets_its_nursery_end, a_start_that_fails_lets_its_local_nursery_end: {
        let (start, begun) = (Instant::now(), Count::new());
        let (closing, group): (Handle<Oops>, _) = waiting_for_a_child(&begun, |body| open(body)).await;
        let starting = closing.start::<u16, (), _, _>(async move |_ready| {
            begun.up();
            sleep(ms(3)).await;
        });
        let (refused, _) = crate::running::witness::both(starting, async {
            assert_eq!(group.await, Ok(()));
            assert_took(start, ms(3));
        })
        .await;
        assert_eq!(refused, Err(Oops::Start(JoinError::NotStarted)));
        assert!(closing.is_closed());
    }

    /// B143, L34: with a handle: what the child passed stays with the caller when the child is cancelled by its handle
    /// later.
    a_started_task_is_cancelled_by_its_handle, a_started_local_task_is_cancelled_by_its_handle: {
        let cleaned = Count::new();
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            let clean = cleaned.clone();
            let (port, mut task) = n
                .start_task::<u32, (), _, _, _>(async move |status: Started<u32>| {
                    defer(async move {
                        sleep(ms(1)).await;
                        clean.up();
                    });
                    status.started(80);
                    sleep_forever().await;
                })
                .await?;
            assert_eq!(task.status(), TaskStatus::Running);
            assert!(task.cancel("enough"));
            assert_eq!(task.wait().await, TaskStatus::Cancelled);
            assert_eq!((task.await, cleaned.value()), (Err(JoinError::Cancelled), 1));
            Ok(port)
        })
        .await;
        assert_eq!(out, Ok(80));
    }

    /// B143: the handle has the child's own value in the end; both values are the caller's.
    a_started_task_has_a_value_of_its_own, a_started_local_task_has_a_value_of_its_own: {
        let out: Result<(u32, &str), Oops> = open(async |n: Handle<Oops>| {
            let (port, task) = n
                .start_task(async |status: Started<u32>| {
                    status.started(80);
                    sleep(ms(1)).await;
                    Ok::<_, Oops>("served")
                })
                .await?;
            Ok((port, task.await.unwrap()))
        })
        .await;
        assert_eq!(out, Ok((80, "served")));
    }

    /// L26, L27, L41: a start that is dropped half-way takes its child with it; the nursery is not touched.
    a_start_that_is_dropped_takes_its_child_along, a_local_start_that_is_dropped_takes_its_child_along: {
        let (dropped, passed) = (Count::new(), Count::new());
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            CancelScope::new()
                .run(async {
                    let (guard, up) = (dropped.on_drop(), passed.clone());
                    abandon(n.start::<u16, (), _, _>(async move |status| {
                        let _guard = guard;
                        sleep(ms(60_000)).await;
                        up.up();
                        status.started(1);
                    }))
                    .await;
                })
                .await
                .unwrap();
            assert_eq!((dropped.value(), passed.value(), n.len()), (1, 0, 0));
            checkpoint().await;
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3));
    }

    /// L14: cancelled code starts nothing: the child does not run, and the nursery is not touched.
    cancelled_code_starts_no_child, cancelled_code_starts_no_local_child: {
        let (ran, passed) = (Count::new(), Count::new());
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            let mut scope = CancelScope::new();
            scope.handle().cancel("before the start");
            let (up, behind) = (ran.clone(), passed.clone());
            let out = scope
                .run(async {
                    let _never = n
                        .start::<u16, (), _, _>(async move |status| {
                            up.up();
                            status.started(1);
                        })
                        .await;
                    behind.up();
                })
                .await;
            assert!(out.is_err());
            assert_eq!((ran.value(), passed.value(), n.len()), (0, 0, 0));
            Ok(3)
        })
        .await;
        assert_eq!(out, Ok(3));
    }

    /// B128, L36: `ready` may be said in a destructor, and from another thread.
    ready_may_be_said_from_anywhere, local_ready_may_be_said_from_anywhere: {
        let out: Result<u32, Oops> = open(async |n: Handle<Oops>| {
            let dropped = n
                .start(async |status: Started<u32>| {
                    drop(Finally::new(move || assert!(status.started(1))));
                    sleep(ms(1)).await;
                })
                .await?;
            let elsewhere = n
                .start(async |status: Started<u32>| {
                    let stranger = std::thread::spawn(move || status.started(2));
                    assert!(stranger.join().unwrap());
                    sleep(ms(1)).await;
                })
                .await?;
            Ok(dropped + elsewhere)
        })
        .await;
        assert_eq!(out, Ok(3));
    }
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! starting_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; starting {
            start_returns_when_the_child_is_ready,
            start_returns_when_the_local_child_is_ready,
            several_children_start_side_by_side,
            several_local_children_start_side_by_side,
            an_error_before_ready_comes_out_of_start,
            an_error_before_ready_comes_out_of_a_local_start,
            a_child_that_ends_without_being_ready_is_an_error,
            a_local_child_that_ends_without_being_ready_is_an_error,
            an_error_after_ready_is_the_nurserys,
            an_error_after_ready_is_the_local_nurserys,
            a_ready_after_the_cancel_of_the_caller_is_ignored,
            a_local_ready_after_the_cancel_of_the_caller_is_ignored,
            a_cancelled_caller_gets_what_a_ready_child_has_passed,
            a_cancelled_caller_gets_what_a_ready_local_child_has_passed,
            an_error_after_an_ignored_ready_comes_out_of_start,
            an_error_after_an_ignored_ready_comes_out_of_a_local_start,
            a_shielded_child_outlasts_the_cancel_of_the_caller,
            a_shielded_local_child_outlasts_the_cancel_of_the_caller,
            a_pending_start_is_cancelled_with_its_caller,
            a_pending_local_start_is_cancelled_with_its_caller,
            a_child_changes_hands_when_it_is_ready,
            a_local_child_changes_hands_when_it_is_ready,
            a_start_into_a_nursery_that_has_ended_is_refused,
            a_start_into_a_local_nursery_that_has_ended_is_refused,
            a_pending_start_keeps_its_nursery_open,
            a_pending_start_keeps_its_local_nursery_open,
            a_start_that_fails_lets_its_nursery_end,
            a_start_that_fails_lets_its_local_nursery_end,
            a_started_task_is_cancelled_by_its_handle,
            a_started_local_task_is_cancelled_by_its_handle,
            a_started_task_has_a_value_of_its_own,
            a_started_local_task_has_a_value_of_its_own,
            a_start_that_is_dropped_takes_its_child_along,
            a_local_start_that_is_dropped_takes_its_child_along,
            cancelled_code_starts_no_child,
            cancelled_code_starts_no_local_child,
            ready_may_be_said_from_anywhere,
            local_ready_may_be_said_from_anywhere,
            a_token_does_not_outlive_its_child,
            a_local_token_does_not_outlive_its_child,
            a_child_moves_from_the_caller_to_the_nursery,
            a_local_child_moves_from_the_caller_to_the_nursery,
            the_callers_deadline_does_not_reach_the_child_any_more,
            the_callers_deadline_does_not_reach_the_local_child_any_more,
            the_callers_hard_time_does_not_reach_the_child,
            the_callers_hard_time_does_not_reach_the_local_child,
            a_child_that_moves_into_a_cancelled_nursery_is_cancelled,
            a_child_that_moves_into_a_cancelled_local_nursery_is_cancelled,
            a_token_may_be_handed_to_a_child_of_the_child,
            a_local_token_may_be_handed_to_a_child_of_the_child,
            a_token_may_be_used_by_a_sibling,
            a_token_may_be_used_by_a_local_sibling,
            a_child_that_has_moved_survives_its_caller,
            a_local_child_that_has_moved_survives_its_caller,
        });
    };
}
