//! Behaviours: nesting and shielding. Which of several scopes stops the code, and what holds a cancel off (L9, L11,
//! L20).

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use foster::scope::ReasonKind;
use foster::sync::Semaphore;
use foster::{
    CancelScope, Elapsed, Instant, Nursery, bracket, checkpoint, deadline, defer, fail_after, graceful, is_cancelled,
    move_on_after, nursery, shield, sleep, sleep_forever, stopping, yield_now,
};

use crate::harness::ms;
use crate::running::witness::{
    Flag, LONG, Log, Shared, abandon, assert_elapsed, both, counted, first, hold, on_drop, poll_once, until, yields,
};

/// B060, L18: if an outer and an inner scope are both cancelled before a checkpoint, the outer one ends; the inner one
/// says nothing, whichever was cancelled first.
pub async fn of_two_cancelled_scopes_the_outer_one_ends() {
    for inner_first in [true, false] {
        let log = Log::new();
        let (mut outer, mut inner) = (CancelScope::new(), CancelScope::new());
        let (outer_handle, inner_handle) = (outer.handle(), inner.handle());
        let outcome = outer.run(async {
            let outcome = inner
                .run(async {
                    if inner_first {
                        inner_handle.cancel("the inner one");
                    }
                    outer_handle.cancel("the outer one");
                    inner_handle.cancel("the inner one");
                    checkpoint().await;
                    log.add("body");
                })
                .await;
            log.add("inner");
            outcome
        });
        assert_eq!(outcome.await.unwrap_err().reason().text(), Some("the outer one"));
        assert!(inner_handle.is_closed());
        assert_eq!(log.entries().len(), 0);
    }
}

/// L9, L14, L20: code in a shield takes what it finds, although the scope around was cancelled since the shield was entered.
pub async fn what_is_found_in_a_shield_is_taken() {
    let semaphore = Semaphore::new(1);
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        shield(async {
            handle.cancel("held off");
            let mut acquire = pin!(semaphore.acquire());
            let Poll::Ready(permit) = poll_once(acquire.as_mut()).await else { panic!("it did not take it at once") };
            permit.forget();
        })
        .await;
        checkpoint().await;
    });
    assert!(outcome.await.is_err());
    assert_eq!(semaphore.available(), 0, "the permit was taken");
}

/// B063, L9, L20: what is under a shield goes on while an outer scope is cancelled, its children, too; the cancel is
/// delivered at the first checkpoint behind the shield.
pub async fn a_shield_holds_off_a_cancel_from_further_out() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        shield(async {
            let Ok(()) = nursery(async |n: Nursery| {
                let (started, go_on) = (Flag::new(), Flag::new());
                let (log_of_child, up, last) = (log.clone(), started.clone(), go_on.clone());
                n.spawn(async move {
                    up.set();
                    last.wait().await;
                    sleep(ms(2)).await;
                    checkpoint().await;
                    log_of_child.add("child");
                });
                started.wait().await;
                handle.cancel("from further out");
                assert!(!is_cancelled());
                sleep(ms(2)).await;
                checkpoint().await;
                log.add("body");
                go_on.set();
                // A child that is started now is under the shield as well.
                let late = n.spawn(async { (sleep(ms(1)).await, Ok(7)).1 });
                assert_eq!(late.await, Ok(7));
            })
            .await;
            log.add("nursery");
        })
        .await;
        assert!(is_cancelled());
        log.add("behind the shield");
        checkpoint().await;
        log.add("behind the checkpoint");
    });
    assert_eq!(outcome.await.unwrap_err().reason().text(), Some("from further out"));
    assert_eq!(log.entries(), ["body", "child", "nursery", "behind the shield"]);
}

/// B063, L20: without bound: a shield is waited for as long as it takes, also by the scope that was cancelled.
pub async fn a_shield_is_waited_for() {
    let log = Log::new();
    let mut scope = CancelScope::new().deadline_after(ms(2));
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(async {
        let _local = log.on_drop("local around the shield");
        let value = shield(async {
            sleep(ms(20)).await;
            log.add("shield");
            5
        })
        .await;
        checkpoint().await;
        value
    });
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(20));
    assert_eq!(handle.reason().expect("its time was over").kind(), ReasonKind::Deadline);
    assert_eq!(log.entries(), ["shield", "local around the shield"]);
}

/// B064, L9, L20: a shield does not protect from its own cancel, the only way to end it early.
pub async fn a_shield_does_not_protect_from_its_own_cancel() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let mut inner = CancelScope::new().shielded();
        let inner_handle = inner.handle();
        let outcome = inner.run(async {
            let _local = log.on_drop("body");
            handle.cancel("from further out");
            checkpoint().await;
            log.add("held off");
            inner_handle.cancel("its own");
            checkpoint().await;
            log.add("behind it");
        });
        assert_eq!(outcome.await.unwrap_err().reason().text(), Some("its own"));
        log.add("behind the shield");
        checkpoint().await;
        log.add("behind the checkpoint");
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["held off", "body", "behind the shield"]);
}

/// B064, L11: a request on the shield itself reaches the tasks under it.
pub async fn a_cancelled_shield_stops_the_tasks_under_it() {
    let stopped = Arc::new(AtomicUsize::new(0));
    let mut scope = CancelScope::new().shielded();
    let handle = scope.handle();
    let outcome = scope.run(nursery(async |n: Nursery| {
        for _ in 0..3 {
            let stopped = stopped.clone();
            n.spawn(hold(on_drop(move || _ = stopped.fetch_add(1, Ordering::SeqCst))));
        }
        handle.cancel("all of it");
        sleep_forever().await;
    }));
    assert!(outcome.await.is_err());
    assert_eq!(stopped.load(Ordering::SeqCst), 3);
}

/// B067: three scopes, the innermost shielded, the others cancelled from inside it: behind the shield the next
/// checkpoint stops the code, in the middle scope or in the outer one.
pub async fn behind_a_shield_the_cancel_of_any_outer_scope_counts() {
    for in_the_middle in [true, false] {
        for cancel_middle in [true, false] {
            let log = Log::new();
            let (mut outer, mut middle) = (CancelScope::new(), CancelScope::new());
            let (outer_handle, middle_handle) = (outer.handle(), middle.handle());
            let outcome = outer.run(async {
                let middle = middle
                    .run(async {
                        shield(async {
                            outer_handle.cancel("the outer one");
                            if cancel_middle {
                                middle_handle.cancel("the middle one");
                            }
                            checkpoint().await;
                            log.add("shield");
                        })
                        .await;
                        if in_the_middle {
                            checkpoint().await;
                            log.add("behind the checkpoint");
                        }
                    })
                    .await;
                assert!(!in_the_middle && middle.is_ok(), "the middle scope was not left by a cancel");
                log.add("middle");
                checkpoint().await;
                log.add("behind the checkpoint");
            });
            assert_eq!(outcome.await.unwrap_err().reason().text(), Some("the outer one"));
            let entries = log.entries();
            assert_eq!(entries, if in_the_middle { vec!["shield"] } else { vec!["shield", "middle"] });
        }
    }
}

/// B069: code under a shield that cancels an outer scope goes on itself, and stops behind the shield.
pub async fn code_under_a_shield_cancels_what_is_around_it() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        shield(async {
            assert!(handle.cancel("from inside"));
            for _ in 0..3 {
                checkpoint().await;
            }
            sleep(ms(2)).await;
            log.add("goes on");
        })
        .await;
        checkpoint().await;
        log.add("behind it");
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["goes on"]);
}

/// B070: a timeout under a shield fires although the scope around is cancelled, and its error survives that.
pub async fn a_timeout_under_a_shield_fires() {
    let mut scope = CancelScope::new();
    scope.handle().cancel("before it starts");
    let outcome: Result<Result<(), Elapsed>, _> = scope.run(shield(fail_after(ms(2), pending()))).await;
    assert!(outcome.expect("a shield has returned its value").is_err());
}

/// B071, L10: under a shield only the deadlines inside it count.
pub async fn under_a_shield_only_the_deadlines_inside_count() {
    let start = Instant::now();
    let outcome = move_on_after(LONG, async {
        shield(foster::move_on_at(start + LONG * 100, async {
            checkpoint().await;
            deadline()
        }))
        .await
    });
    assert_eq!(outcome.await, Some(Some(Some(start + LONG * 100))));
}

/// B072, L9, L22: code that cleans up is cancelled outside of a shield, not under one, and again behind it; a finalizer
/// is not.
pub async fn cleanup_knows_whether_it_is_cancelled() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |what| {
        let seen = seen.clone();
        move || seen.lock().unwrap().push((what, is_cancelled()))
    };
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let in_finalizer = note("finalizer");
        defer(async move { in_finalizer() });
        let _in_destructor = on_drop(note("destructor"));
        note("before")();
        handle.cancel("enough");
        note("after")();
        shield(async { note("shield")() }).await;
        note("behind the shield")();
        sleep_forever().await
    });
    assert!(outcome.await.is_err());
    note("left")();
    let expected = [
        ("before", false),
        ("after", true),
        ("shield", false),
        ("behind the shield", true),
        ("destructor", true),
        ("finalizer", false),
        ("left", false),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// B074, L28: a scope that was forgotten when its task ended is closed with that task; cancelling it later does
/// nothing, and above all wakes nobody.
pub async fn a_scope_whose_task_has_ended_is_not_cancelled_for_ever() {
    type Slot = Arc<Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

    let slot: Slot = Arc::default();
    let (polls, finalized) = (Arc::new(AtomicUsize::new(0)), Log::new());
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let Ok(()) = nursery(async |n: Nursery| {
        let (slot, polls, log) = (slot.clone(), polls.clone(), finalized.clone());
        let body = async move {
            defer(async move { log.add("finalizer") });
            counted(&polls, sleep_forever()).await
        };
        let host = n.spawn(async move {
            let mut forgotten: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                let _ended = scope.run(body).await;
            });
            assert!(poll_once(forgotten.as_mut()).await.is_pending());
            // It lives on, in a place where nobody polls it.
            *slot.lock().unwrap() = Some(forgotten);
            Ok(())
        });
        host.await.unwrap();
        assert!(handle.is_closed(), "its task has waited for its end");
        assert_eq!(finalized.count("finalizer"), 1);
        assert!(!handle.cancel("long after"));
        for _ in 0..20 {
            checkpoint().await;
        }
    })
    .await;
    assert_eq!(polls.load(Ordering::SeqCst), 1);
    let forgotten = slot.lock().unwrap().take();
    drop(forgotten);
    assert_eq!(finalized.count("finalizer"), 1);
}

/// B076, L26, L27: a scope that is dropped half-way takes its timers with it; its body goes at once, its children are
/// cancelled, its finalizers run, and the scope around waits for them.
pub async fn a_scope_dropped_half_way_is_finished_by_the_scope_around_it() {
    let log = Log::new();
    let before = foster::observer::live_counts().map(|live_counts| live_counts.timers);
    let mut scope = CancelScope::new().deadline_after(LONG);
    let handle = scope.handle();
    CancelScope::new()
        .run(async {
            let (started, go_on) = (Flag::new(), Flag::new());
            let body = async {
                let finalizer = log.clone();
                defer(async move {
                    sleep(ms(2)).await;
                    finalizer.add("finalizer");
                });
                let Ok(()) = nursery(async |n: Nursery| {
                    let _local = log.on_drop("body");
                    let (child, up, last) = (log.clone(), started.clone(), go_on.clone());
                    n.spawn(async move {
                        let late = child.clone();
                        defer(async move {
                            last.wait().await;
                            sleep(ms(2)).await;
                            late.add("child");
                        });
                        up.set();
                        sleep(LONG).await;
                        child.add("not reached");
                    });
                    sleep(LONG).await;
                })
                .await;
            };
            let dropped = Shared::new(scope.run(body));
            while !started.is_set() {
                assert!(dropped.poll_once().await.is_pending());
                checkpoint().await;
            }
            dropped.discard();
            assert_eq!(log.entries(), ["body"], "the body is dropped before the drop returns");
            assert_eq!(handle.reason().expect("it was lost").kind(), ReasonKind::Abandoned);
            assert!(!handle.is_closed());
            checkpoint().await;
            log.add("goes on");
            go_on.set();
        })
        .await
        .unwrap();
    assert!(handle.is_closed());
    assert_eq!(log.entries(), ["body", "goes on", "child", "finalizer"]);
    assert_eq!(foster::observer::live_counts().map(|live_counts| live_counts.timers), before);
}

/// B076: a scope that was never polled leaves nothing at all, and neither does one that is dropped where nothing is
/// left in it.
pub async fn a_scope_dropped_with_nothing_in_it_is_gone_at_once() {
    // One timer serves all limits that the scope around has inside; it is left for those that come later.
    abandon(move_on_after(LONG, sleep(LONG))).await;
    let before = foster::observer::live_counts();
    drop(shield(sleep(LONG)));
    drop(nursery(async |_: Nursery| sleep_forever().await));
    drop(bracket(async { 1 }, async |one| *one, |_, _| async {}));
    assert_eq!(foster::observer::live_counts(), before);
    abandon(shield(sleep(LONG))).await;
    abandon(move_on_after(LONG, sleep(LONG))).await;
    abandon(nursery(async |_: Nursery| sleep(LONG).await)).await;
    abandon(CancelScope::new().named("dropped").grace(LONG).run(graceful(sleep(LONG)))).await;
    assert_eq!(foster::observer::live_counts(), before);
}

/// L20: a graceful shield holds a cancel off until the hard time, and is then cancelled like any scope: inside-out,
/// with its finalizers; the code around it never goes on.
pub async fn a_graceful_shield_holds_until_the_hard_time() {
    let log = Log::new();
    let mut scope = CancelScope::new().grace(ms(6));
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(async {
        let _local = log.on_drop("local around it");
        handle.cancel("please");
        graceful(async {
            let finalizer = log.clone();
            defer(async move {
                sleep(ms(2)).await;
                finalizer.add("finalizer");
            });
            let Ok(()) = nursery(async |n: Nursery| {
                let guard = log.on_drop("child");
                n.spawn(hold(guard));
                let _local = log.on_drop("body");
                sleep_forever().await;
            })
            .await;
        })
        .await;
        log.add("behind it");
    });
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(8));
    let entries = log.entries();
    assert_eq!(entries.len(), 4, "{entries:?}");
    assert_eq!(entries[2..], ["finalizer", "local around it"]);
}

/// L20, L12: what a graceful shield finishes before the hard time is finished, and the code stops behind it.
pub async fn a_graceful_shield_that_ends_in_time_returns() {
    let timers = foster::observer::live_counts().map(|live_counts| live_counts.timers);
    let log = Log::new();
    let mut scope = CancelScope::new().grace(LONG);
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(async {
        handle.cancel("please");
        let value = graceful(async {
            sleep(ms(3)).await;
            "saved"
        })
        .await;
        log.add(value);
        checkpoint().await;
        log.add("behind it");
    });
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(3));
    assert_eq!(log.entries(), ["saved"]);
    assert_eq!(
        foster::observer::live_counts().map(|live_counts| live_counts.timers),
        timers,
        "the timer of the hard time is gone"
    );
}

/// L20: without a grace a graceful shield holds nothing off.
pub async fn without_a_grace_a_graceful_shield_holds_nothing_off() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(graceful(async {
        handle.cancel("at once");
        log.add("to the checkpoint");
        checkpoint().await;
        log.add("behind it");
    }));
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(0));
    assert_eq!(log.entries(), ["to the checkpoint"]);
}

/// L9, L20: a full shield inside a graceful one holds beyond the hard time; of two graceful ones the outer one gains
/// nothing.
pub async fn a_full_shield_inside_a_graceful_one_holds() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(graceful(graceful(async {
        handle.cancel_within(ms(2), "please");
        shield(sleep(ms(8))).await;
        log.add("behind the shield");
        checkpoint().await;
        log.add("behind the checkpoint");
    })));
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(8));
    assert_eq!(log.entries(), ["behind the shield"]);
}

/// L9, L11: a request that is held off by a graceful shield reaches the tasks under it at the hard time, and not
/// before.
pub async fn the_hard_time_reaches_the_tasks_under_a_graceful_shield() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(graceful(nursery(async |n: Nursery| {
        let ready = Flag::new();
        n.spawn({
            let (log, ready) = (log.clone(), ready.clone());
            async move {
                ready.set();
                stopping().await;
                assert!(!is_cancelled());
                log.add("asked to stop");
                let _local = log.on_drop("stopped");
                sleep_forever().await
            }
        });
        ready.wait().await;
        let asked = Instant::now();
        assert!(handle.cancel_within(LONG, "please"));
        until(|| log.count("asked to stop") == 1).await;
        handle.cancel_within(ms(4), "now");
        hold(on_drop(move || assert!(asked.elapsed() >= ms(4)))).await;
    })));
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["asked to stop", "stopped"]);
}

/// L20: `stopping` waits while nobody has asked, ends when somebody does, and at once if somebody has; a full shield
/// hides what is asked for further out.
pub async fn stopping_tells_that_a_grace_is_running() {
    let log = Log::new();
    let mut scope = CancelScope::new().grace(LONG);
    let handle = scope.handle();
    let outcome = scope.run(graceful(async {
        let mut asked = pin!(stopping());
        assert!(poll_once(asked.as_mut()).await.is_pending());
        let mut hidden = pin!(shield(stopping()));
        assert!(poll_once(hidden.as_mut()).await.is_pending());
        handle.cancel("please");
        asked.await;
        stopping().await;
        // Under the shield nobody has asked: the other branch wins.
        first(hidden, async {
            sleep(ms(3)).await;
            log.add("hidden");
        })
        .await;
        log.add("done");
    }));
    assert!(outcome.await.is_ok());
    assert_eq!(log.entries(), ["hidden", "done"]);
}

/// L15, L20: a cancelled scope that waits for a shield does not use the processor meanwhile.
pub async fn waiting_for_a_shield_costs_no_polls() {
    let polls = Arc::new(AtomicUsize::new(0));
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(both(counted(&polls, sleep_forever()), async {
        let Ok(()) = nursery(async |n: Nursery| {
            let started = Flag::new();
            let up = started.clone();
            n.spawn(shield(async move {
                up.set();
                sleep(ms(20)).await;
            }));
            started.wait().await;
            handle.cancel("now");
            sleep_forever().await;
        })
        .await;
    }));
    assert!(outcome.await.is_err());
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls <= 20, "{polls} polls");
}

/// B063, L13: a shield that is opened in cancelled code protects from the beginning, however it is nested.
pub async fn a_shield_protects_code_that_is_cancelled_already() {
    let mut scope = CancelScope::new();
    scope.handle().cancel("before it starts");
    let outcome = scope.run(async {
        let Ok(sum) = shield(nursery(async |n: Nursery| {
            let tasks: Vec<_> = (1..=3).map(|i| n.spawn(async move { (sleep(ms(1)).await, Ok(i)).1 })).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            Ok(sum)
        }))
        .await;
        let pauses = shield(move_on_after(LONG, yields(yield_now()))).await;
        assert_eq!(pauses, Some(1));
        sum
    });
    assert_eq!(outcome.await.unwrap(), 6);
}

/// B076, L20: a shield that nobody polls any more, because its future is dropped, is dropped with what is in it.
pub async fn a_dropped_shield_protects_nothing() {
    let log = Log::new();
    let fut = shield(hold(log.on_drop("under the shield")));
    abandon(fut).await;
    assert_eq!(log.entries(), ["under the shield"]);
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! shields_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; shields {
            of_two_cancelled_scopes_the_outer_one_ends,
            what_is_found_in_a_shield_is_taken,
            a_shield_holds_off_a_cancel_from_further_out,
            a_shield_is_waited_for,
            a_shield_does_not_protect_from_its_own_cancel,
            a_cancelled_shield_stops_the_tasks_under_it,
            behind_a_shield_the_cancel_of_any_outer_scope_counts,
            code_under_a_shield_cancels_what_is_around_it,
            a_timeout_under_a_shield_fires,
            under_a_shield_only_the_deadlines_inside_count,
            cleanup_knows_whether_it_is_cancelled,
            a_scope_whose_task_has_ended_is_not_cancelled_for_ever,
            a_scope_dropped_half_way_is_finished_by_the_scope_around_it,
            a_scope_dropped_with_nothing_in_it_is_gone_at_once,
            a_graceful_shield_holds_until_the_hard_time,
            a_graceful_shield_that_ends_in_time_returns,
            without_a_grace_a_graceful_shield_holds_nothing_off,
            a_full_shield_inside_a_graceful_one_holds,
            the_hard_time_reaches_the_tasks_under_a_graceful_shield,
            stopping_tells_that_a_grace_is_running,
            waiting_for_a_shield_costs_no_polls,
            a_shield_protects_code_that_is_cancelled_already,
            a_dropped_shield_protects_nothing,
        });
    };
}
