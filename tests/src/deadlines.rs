//! Behaviours: deadlines and timeouts. When they fire, which of several wins, and what the code around gets to see
//! (L8–L10, L12).

use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use foster::channel::bounded;
use foster::checkpoint_if_cancelled;
use foster::cleanup::defer_within;
use foster::error::JoinError;
use foster::runtime::root;
use foster::scope::ReasonKind;
use foster::sync::Event;
use foster::{
    CancelScope, Elapsed, Instant, LocalNursery, Nursery, checkpoint, deadline, defer, fail_after, fail_at, graceful,
    interval, is_cancelled, local_nursery, move_on_after, move_on_at, nursery, remaining, shield, sleep, sleep_forever,
    sleep_until, to_thread,
};

use crate::groups::probe::runtime;
use crate::harness::ms;
use crate::running::witness::{
    Flag, LONG, Log, Shared, assert_elapsed, be_busy, both, counted, hold, on_drop, poll_once, time_is_virtual, until,
};

/// B036, L3: a deadline of a scope that has been left, or that is never entered, cancels nobody and leaves no timer.
pub async fn a_deadline_that_is_not_in_force_does_nothing() {
    let before = foster::observer::live_counts();
    let mut left = CancelScope::new().deadline_after(LONG);
    let handle = left.handle();
    left.run(checkpoint()).await.unwrap();
    assert!(!handle.set_deadline(Instant::now() + ms(1)));
    let never_entered = CancelScope::new().deadline_at(Instant::now() + ms(3));
    drop(CancelScope::new().deadline_after(ms(3)).run(sleep_forever()));
    assert_eq!(foster::observer::live_counts().map(|now| now.timers), before.map(|before| before.timers));
    sleep(ms(6)).await;
    assert!(!is_cancelled());
    assert!(!handle.is_cancelled());
    drop((never_entered, handle));
    assert_eq!(foster::observer::live_counts(), before);
}

/// L6, L8: a deadline that has passed by the clock comes before a cancel, also in a scope that was not entered yet: that keeps
/// the deadline's reason, and can only shorten the grace, which counts from the entry.
pub async fn a_deadline_that_has_passed_before_the_entry_comes_before_a_cancel() {
    // The clock of a simulation begins at 0.
    sleep(ms(20)).await;
    let late = |grace| {
        let mut scope = CancelScope::new().grace(grace).deadline_at(Instant::now());
        let handle = scope.handle();
        (scope, handle)
    };
    let (scope, handle) = late(ms(0));
    assert!(!handle.cancel("too late"));
    let cancelled = scope.run(sleep_forever()).await.map(|_| ()).unwrap_err();
    assert_eq!(cancelled.reason().kind(), ReasonKind::Deadline);

    let (scope, handle) = late(ms(9));
    assert!(!handle.cancel_within(ms(9), "no sooner"));
    assert!(handle.cancel_within(ms(5), "sooner"));
    sleep(ms(1)).await;
    let start = Instant::now();
    let cancelled = scope.run(graceful(sleep_forever())).await.map(|_| ()).unwrap_err();
    assert_eq!(cancelled.reason().kind(), ReasonKind::Deadline);
    assert_elapsed(start, ms(5));
}

/// L6: a cancel counts from when it is made, also with the reason of a deadline that has passed in another scope.
pub async fn a_reason_that_is_handed_on_brings_no_instant() {
    let mut first = CancelScope::new().deadline_after(ms(1));
    let handle = first.handle();
    assert!(first.run(sleep_forever()).await.map(|_| ()).is_err());
    let reason = handle.reason().unwrap();
    assert_eq!(reason.kind(), ReasonKind::Deadline);
    sleep(ms(10)).await;

    let log = Log::new();
    let mut second = CancelScope::new().grace(ms(5));
    let handle = second.handle();
    let start = Instant::now();
    let outcome = second.run(both(
        graceful(async {
            sleep(ms(2)).await;
            log.add("within the grace");
            sleep_forever().await
        }),
        async {
            assert!(handle.cancel(reason.clone()));
            assert_eq!(handle.reason().map(|reason| reason.kind()), Some(ReasonKind::Deadline));
        },
    ));
    assert!(outcome.await.map(|_| ()).is_err());
    assert_elapsed(start, ms(5));
    assert_eq!(log.entries(), ["within the grace"]);
}

/// B037, L8: a deadline that is moved forward fires at its new time, without anything else happening.
pub async fn a_deadline_moved_forward_fires_by_itself() {
    let start = Instant::now();
    let mut scope = CancelScope::new().deadline_after(LONG);
    let handle = scope.handle();
    let outcome = scope.run(async {
        assert!(handle.set_deadline(start + ms(4)));
        assert_eq!(handle.deadline(), start + ms(4));
        sleep_forever().await
    });
    assert_eq!(outcome.await.map(|_| ()).unwrap_err().reason().kind(), ReasonKind::Deadline);
    assert_elapsed(start, ms(4));
}

/// L8, L14: moved into the past it is a request before that returns, also while the host's timer is due for something
/// earlier: what is sent after it goes to the next receiver.
pub async fn what_is_sent_after_a_deadline_was_moved_into_the_past_goes_to_others() {
    let past = Instant::now();
    let Ok(()) = nursery(async |n: Nursery| {
        let (tx, rx) = bounded(1);
        let mut scope = CancelScope::new().deadline_after(LONG);
        let handle = scope.handle();
        let first = rx.clone();
        let cut = n.spawn(async move { Ok(scope.run(async { first.recv().await }).await) });
        until(|| tx.statistics().waiting_receivers == 1).await;
        let second = n.spawn(async move { Ok(rx.recv().await) });
        until(|| tx.statistics().waiting_receivers == 2).await;
        n.spawn(sleep(ms(1)));
        sleep(Duration::ZERO).await;
        be_busy(ms(3));
        assert!(handle.set_deadline(past));
        tx.try_send("job").expect("there is room");
        assert_eq!(second.await.unwrap(), Ok("job"));
        assert_eq!(cut.await.unwrap().unwrap_err().reason().kind(), ReasonKind::Deadline);
    })
    .await;
}

/// B037, L8: moved into the past it fires at once, also while the body is blocked already.
pub async fn a_deadline_moved_into_the_past_fires_at_once() {
    let past = Instant::now();
    let log = Log::new();
    let Ok(()) = nursery(async |n: Nursery| {
        let mut scope = CancelScope::new().deadline_after(LONG);
        let handle = scope.handle();
        let blocked = Flag::new();
        n.spawn({
            let (blocked, guard) = (blocked.clone(), log.on_drop("body"));
            async move {
                let body = both(hold::<()>(()), async move {
                    let _guard = guard;
                    blocked.set();
                    sleep_forever().await
                });
                assert!(scope.run(body).await.is_err());
            }
        });
        blocked.wait().await;
        assert!(handle.set_deadline(past));
        assert!(handle.is_cancelled());
        assert!(!handle.set_deadline(Instant::NEVER), "a request stands");
    })
    .await;
    assert_eq!(log.entries(), ["body"]);
}

/// B037, L8: moved back, or removed, a deadline does not fire at its old time.
pub async fn a_deadline_moved_back_does_not_fire_at_its_old_time() {
    for new in [Instant::now() + LONG, Instant::NEVER] {
        let mut scope = CancelScope::new().deadline_after(ms(20));
        let handle = scope.handle();
        let outcome = scope.run(async {
            if !handle.set_deadline(new) {
                // The machine was so slow that the old time has passed: there is nothing to be seen.
                assert!(!time_is_virtual());
                return;
            }
            sleep(ms(30)).await;
            assert!(!handle.is_cancelled());
            checkpoint().await;
        });
        assert!(outcome.await.is_ok());
    }
}

/// B037, L8: so it is if it is moved before the scope is entered.
pub async fn a_deadline_moved_before_entry_is_the_one_that_counts() {
    let start = Instant::now();
    for mut scope in [CancelScope::new().deadline_after(ms(1)), CancelScope::new().deadline_at(start + LONG)] {
        let handle = scope.handle();
        assert!(handle.set_deadline(Instant::NEVER));
        let outcome = scope.run(async {
            assert_eq!(deadline(), None);
            sleep(ms(3)).await;
        });
        assert!(outcome.await.is_ok(), "it fired at its old time");
    }
    let far =
        [CancelScope::new().deadline_after(LONG), CancelScope::new().deadline_at(start + LONG), CancelScope::new()];
    for mut scope in far {
        let handle = scope.handle();
        let at = Instant::now() + ms(4);
        assert!(handle.set_deadline(at));
        let outcome = scope.run(async {
            assert_eq!(handle.deadline(), at, "its new time");
            sleep_forever().await
        });
        assert!(outcome.await.is_err());
        assert!(Instant::now() >= at);
    }
}

/// B037: the last word before the entry counts, whether it is the scope's own or its handle's.
pub async fn the_last_limit_set_before_entry_counts() {
    let at = Instant::now() + LONG;
    let mut scope = CancelScope::new().deadline_at(at);
    let handle = scope.handle();
    assert_eq!(handle.deadline(), at);
    let scope = scope.deadline_after(ms(2));
    assert_eq!(handle.deadline(), Instant::NEVER, "it counts from the entry");
    assert!(scope.run(sleep_forever()).await.is_err());

    let mut scope = CancelScope::new().deadline_after(ms(2));
    let handle = scope.handle();
    let scope = scope.deadline_at(at);
    assert_eq!(handle.deadline(), at);
    assert_eq!(scope.run(async { deadline() }).await.unwrap(), Some(at));
}

/// B037, L8: a deadline can be set on a scope that had none, and moved any number of times.
pub async fn a_deadline_can_be_moved_any_number_of_times() {
    let timers = || foster::observer::live_counts().map(|live_counts| live_counts.timers);
    let start = Instant::now();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let before = timers();
        for n in 0..1000 {
            assert!(handle.set_deadline(start + LONG + ms(n)));
        }
        assert_eq!(timers(), before.map(|before| before + 1));
        assert!(handle.set_deadline(Instant::NEVER));
        assert_eq!(timers(), before);
        assert!(handle.set_deadline(start + ms(5)));
        sleep_forever().await
    });
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(5));
}

/// B039, L13: with no time at all the body runs to its first checkpoint and stops there, also if that would be ready at
/// once.
pub async fn no_time_is_time_to_the_first_checkpoint() {
    let log = Log::new();
    let past = Instant::now();
    let Ok(()) = nursery(async |n: Nursery| {
        let mut task = n.spawn(async { Ok(()) });
        task.wait().await;
        let outcome = move_on_after(ms(0), async {
            log.add("zero");
            task.await.unwrap();
            log.add("behind it");
        });
        assert!(outcome.await.is_none());
    })
    .await;
    let outcome = move_on_at(past, async {
        log.add("past");
        sleep(ms(0)).await;
        log.add("behind it");
    });
    assert!(outcome.await.is_none());
    let outcome = fail_after(ms(0), async {
        log.add("fail");
        checkpoint_if_cancelled().await;
        log.add("behind it");
    });
    assert!(outcome.await.is_err());
    let outcome = fail_at(past, async {
        log.add("fail at");
        checkpoint().await;
        log.add("behind it");
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["zero", "past", "fail", "fail at"]);
}

/// B041: the longest duration, and the instant that never comes, are no limit.
pub async fn the_longest_duration_is_no_limit() {
    let timers = || foster::observer::live_counts().map(|live_counts| live_counts.timers);
    let before = timers();
    let unlimited = || async {
        checkpoint().await;
        assert_eq!(deadline(), None);
        assert_eq!(remaining(), None);
        assert_eq!(timers(), before);
        sleep(ms(1)).await;
        7
    };
    assert_eq!(move_on_after(Duration::MAX, unlimited()).await, Some(7));
    assert_eq!(fail_after(Duration::MAX, unlimited()).await, Ok(7));
    assert_eq!(move_on_at(Instant::NEVER, unlimited()).await, Some(7));
    assert_eq!(fail_at(Instant::NEVER, unlimited()).await, Ok(7));
    assert_eq!(CancelScope::new().deadline_after(Duration::MAX).run(unlimited()).await.unwrap(), 7);
    assert_eq!(CancelScope::new().deadline_at(Instant::NEVER).run(unlimited()).await.unwrap(), 7);
    // An instant further away than the clock reaches is no limit either.
    assert_eq!(move_on_after(Duration::from_secs(u64::MAX / 2), unlimited()).await, Some(7));
    assert!(move_on_after(ms(1), sleep(Duration::MAX)).await.is_none());
}

/// B042: what is senseless and can be written is refused: an interval without a period.
pub async fn an_interval_without_a_period_is_refused() {
    let refused = std::panic::catch_unwind(|| drop(interval(ms(0)))).expect_err("it would tick for ever");
    let message = refused.downcast_ref::<&str>().expect("a text");
    assert!(message.contains("period"), "{message}");
}

/// B043, L10: the effective deadline is the earliest of the scopes around, up to the nearest shield.
pub async fn the_effective_deadline_is_the_earliest_up_to_a_shield() {
    assert_eq!(deadline(), None);
    assert_eq!(remaining(), None);
    let start = Instant::now();
    let at = move |hours: u32| start + LONG * hours;
    move_on_at(at(2), async {
        assert_eq!(deadline(), Some(at(2)));
        assert!(remaining().unwrap() <= LONG * 2);
        move_on_at(at(1), async {
            assert_eq!(deadline(), Some(at(1)));
            checkpoint().await;
            assert_eq!(deadline(), Some(at(1)));
        })
        .await;
        move_on_at(at(3), async { assert_eq!(deadline(), Some(at(2))) }).await;
        shield(async {
            assert_eq!(deadline(), None);
            move_on_at(at(3), async { assert_eq!(deadline(), Some(at(3))) }).await;
            assert_eq!(deadline(), None);
        })
        .await;
        assert_eq!(deadline(), Some(at(2)));
        CancelScope::new()
            .shielded()
            .deadline_at(at(5))
            .run(async { assert_eq!(deadline(), Some(at(5)), "a shield's own deadline is inside it") })
            .await
            .unwrap();
        let Ok(()) = nursery(async |n: Nursery| {
            n.spawn(async move { assert_eq!(deadline(), Some(at(2)), "a child inherits it") });
        })
        .await;
        defer(async move { assert_ne!(deadline(), Some(at(2)), "a finalizer has its own") });
    })
    .await;
    assert_eq!(deadline(), None);
}

/// B043, L10: it follows a deadline that is moved, and in code that is cancelled it is in the past.
pub async fn the_effective_deadline_follows_the_scope() {
    let start = Instant::now();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        assert_eq!(deadline(), None);
        assert!(handle.set_deadline(start + LONG));
        assert_eq!(deadline(), Some(start + LONG));
        assert!(handle.set_deadline(Instant::NEVER));
        assert_eq!(deadline(), None);
        handle.cancel("now");
        assert!(deadline().expect("it is cancelled") <= start);
        assert_eq!(remaining(), Some(ms(0)));
        move_on_after(LONG, async { assert!(deadline().expect("it is cancelled") <= start) }).await;
        shield(async { assert_eq!(deadline(), None) }).await;
        checkpoint().await;
    });
    assert!(outcome.await.is_err());
}

/// B043, L10: a graceful shield puts off the deadlines further out by the grace that applies to them.
pub async fn a_graceful_shield_shifts_the_effective_deadline() {
    let start = Instant::now();
    let mut scope = CancelScope::new().deadline_at(start + LONG).grace(ms(700));
    let handle = scope.handle();
    let outcome = scope.run(async {
        assert_eq!(deadline(), Some(start + LONG));
        graceful(async {
            assert_eq!(deadline(), Some(start + LONG + ms(700)));
            move_on_at(start + LONG, async { assert_eq!(deadline(), Some(start + LONG)) }).await;
            let before = Instant::now();
            handle.cancel_within(LONG, "with another grace");
            let at = deadline().expect("the hard time");
            assert!(at >= before + LONG && at <= Instant::now() + LONG, "{at:?}");
        })
        .await;
        assert!(deadline().expect("it is cancelled") <= start);
        checkpoint().await;
    });
    assert!(outcome.await.is_err());
}

/// B044, L18: of two nested timeouts, the outer one fires first: the code around the inner one never learns of it.
pub async fn an_outer_timeout_passes_the_inner_one() {
    let log = Log::new();
    let start = Instant::now();
    let outcome = move_on_after(ms(3), async {
        let _outer = log.on_drop("body of the outer one");
        let inner = move_on_after(LONG, hold(log.on_drop("body of the inner one"))).await;
        log.add(if inner.is_some() { "some" } else { "none" });
    });
    assert!(outcome.await.is_none());
    assert_elapsed(start, ms(3));
    assert_eq!(log.entries(), ["body of the inner one", "body of the outer one"]);
}

/// B044: and the other way round: the inner one fires, the outer one does not.
pub async fn an_inner_timeout_leaves_the_outer_one_alone() {
    let start = Instant::now();
    let outcome = move_on_after(LONG, async {
        let inner: Option<()> = move_on_after(ms(3), pending()).await;
        checkpoint().await;
        inner.is_none()
    });
    assert_eq!(outcome.await, Some(true));
    assert_elapsed(start, ms(3));
}

/// B045, L11: of nested timeouts with the same deadline the outermost fires, and only that one.
pub async fn of_nested_timeouts_with_one_deadline_the_outer_one_fires() {
    let log = Log::new();
    let at = Instant::now() + ms(3);
    let line = line!() + 1;
    let outer = fail_at(at, async {
        let inner = fail_at(at, async {
            let innermost: Result<(), Elapsed> = fail_at(at, pending()).await;
            log.add("innermost");
            innermost
        })
        .await;
        log.add("inner");
        inner
    });
    let elapsed = outer.await.map(|_| ()).unwrap_err();
    assert_eq!(elapsed.location().line(), line);
    assert_eq!(log.entries().len(), 0);
}

/// B045, L18: a hard timeout whose body is stopped from further out returns nothing.
pub async fn a_hard_timeout_says_nothing_about_an_outer_cancel() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let elapsed: Result<(), Elapsed> = fail_after(LONG, async {
            handle.cancel("from further out");
            pending().await
        })
        .await;
        log.add("elapsed");
        elapsed
    });
    assert_eq!(outcome.await.unwrap_err().reason().text(), Some("from further out"));
    assert_eq!(log.count("elapsed"), 0);
}

/// B046, L11: if both deadlines pass while the thread is busy, the outer one wins, although the inner one was earlier.
pub async fn of_two_deadlines_that_passed_unseen_the_outer_one_wins() {
    let log = Log::new();
    let (mut outer, mut inner) = (CancelScope::new(), CancelScope::new());
    let (far, near) = (outer.handle(), inner.handle());
    let outcome = outer.run(async {
        let _cancelled = inner
            .run(async {
                checkpoint().await;
                let now = Instant::now();
                near.set_deadline(now + ms(2));
                far.set_deadline(now + ms(4));
                be_busy(ms(6));
                checkpoint_if_cancelled().await;
                log.add("body");
            })
            .await;
        log.add("inner");
    });
    assert_eq!(outcome.await.unwrap_err().reason().kind(), ReasonKind::Deadline);
    assert_eq!(log.entries().len(), 0);
}

/// L8, L11, L14: what has become due while the thread was busy happens in the order of its instants. A sleep that was due
/// before the deadline has ended, one that was due after it has not.
pub async fn what_passed_unseen_happens_in_the_order_of_its_instants() {
    for (deadline, due, ends) in [(4, 8, false), (8, 4, true), (6, 6, true)] {
        let outcome = loop {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let start = Instant::now();
            let mut in_time = false;
            let computes = async {
                // It is polled after the sleep, which waits if it was not due by then.
                in_time = Instant::now() < start + ms(4);
                handle.set_deadline(start + ms(deadline));
                be_busy(ms(12));
            };
            let outcome = scope.run(both(sleep_until(start + ms(due)), computes)).await;
            if in_time {
                break outcome;
            }
        };
        assert_eq!(outcome.is_ok(), ends, "deadline in {deadline} ms, the sleep in {due} ms");
    }
}

/// L8, L11, L14: also if another task computes; and for the hard time of a request, and the budget of a finalizer.
pub async fn a_sleep_that_was_due_after_an_unseen_deadline_has_not_ended() {
    let log = Log::new();
    let Ok(()) = nursery(async |n: Nursery| {
        for limit in ["deadline", "hard time", "budget"] {
            let asleep = Flag::new();
            let (sets, log) = (asleep.clone(), log.clone());
            let sleeps = async move {
                sets.set();
                sleep(ms(8)).await;
                log.add(limit);
            };
            let task = n.spawn(async move {
                match limit {
                    "deadline" => _ = move_on_after(ms(4), sleeps).await,
                    "hard time" => {
                        let mut scope = CancelScope::new().grace(ms(4));
                        scope.handle().cancel("its grace begins");
                        let _cancelled = scope.run(graceful(sleeps)).await;
                    }
                    _ => {
                        let _cut = CancelScope::new().run(async { defer_within(ms(4), sleeps) }).await;
                    }
                }
            });
            asleep.wait().await;
            be_busy(ms(12));
            task.await.unwrap();
        }
    })
    .await;
    assert_eq!(log.entries().len(), 0, "{:?}", log.entries());
}

/// L11: a sleep that was due before a request has ended, whoever made that request, and though nobody had looked at the clock.
pub async fn what_was_due_before_a_request_has_ended() {
    for sort in ["by a handle", "by its task", "with its siblings", "by an error"] {
        let log = Log::new();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let asleep = Flag::new();
        let (sets, ended) = (asleep.clone(), log.clone());
        let sleeps = scope.run(async move {
            sets.set();
            sleep(ms(4)).await;
            ended.add("it has ended");
        });
        let group: Result<(), &str> = nursery(async |n: Nursery<&'static str>| {
            let task = n.spawn(async move { Ok(_ = sleeps.await) });
            asleep.wait().await;
            be_busy(ms(12));
            match sort {
                "by a handle" => _ = handle.cancel(sort),
                "by its task" => _ = task.cancel(sort),
                "with its siblings" => _ = n.cancel_children(sort),
                _ => return Err(sort),
            }
            Ok(())
        })
        .await;
        assert_eq!(group.is_err(), sort == "by an error");
        assert_eq!(log.count("it has ended"), 1, "cancelled {sort}");
    }
}

/// L6, L8: a deadline is a request at its instant, however late that is seen: its grace counts from there, and not from when
/// somebody looks.
pub async fn the_grace_of_an_unseen_deadline_counts_from_its_instant() {
    let log = Log::new();
    let scope = CancelScope::new().deadline_after(ms(4)).grace(ms(4));
    let sleeps = async {
        sleep(ms(16)).await;
        log.add("behind the hard time");
    };
    let computes = async {
        checkpoint().await;
        be_busy(ms(24));
    };
    let (outcome, ()) = both(scope.run(graceful(sleeps)), computes).await;
    assert_eq!(outcome.unwrap_err().reason().kind(), ReasonKind::Deadline);
    assert_eq!(log.entries().len(), 0);
    // One that is set when it has passed is a request then.
    let mut late = CancelScope::new().grace(ms(8));
    let handle = late.handle();
    let start = Instant::now();
    let outcome = late.run(graceful(async {
        sleep(ms(2)).await;
        assert!(handle.set_deadline(start));
        assert!(!is_cancelled(), "its grace begins");
        sleep_forever().await;
    }));
    assert!(outcome.await.is_err());
    assert!(start.elapsed() >= ms(10));
}

/// L11: a hard time that has passed unseen is no earlier for a deadline before it.
pub async fn an_unseen_hard_time_comes_in_its_turn() {
    let log = Log::new();
    loop {
        let start = Instant::now();
        let mut in_time = false;
        let mut outer = CancelScope::new();
        let handle = outer.handle();
        let inner = CancelScope::new().deadline_at(start + ms(8)).grace(LONG);
        let sleeps = inner.run(graceful(async {
            sleep_until(start + ms(12)).await;
            log.add("in time");
        }));
        let computes = async {
            in_time = Instant::now() < start + ms(8);
            handle.cancel_within(ms(20), "with a grace");
            be_busy(ms(32));
        };
        let _completed = outer.run(both(sleeps, computes)).await;
        if in_time {
            break;
        }
    }
    assert_ne!(log.count("in time"), 0);
}

/// B046, L18: also if the outer scope is cancelled while the inner one, whose own time is over, is being wound up.
pub async fn an_outer_cancel_during_the_end_of_an_inner_timeout_wins() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let inner: Option<()> = move_on_after(ms(2), async {
            let (finalizer, handle) = (log.clone(), handle.clone());
            defer(async move {
                sleep(ms(2)).await;
                handle.cancel("meanwhile");
                finalizer.add("finalizer");
            });
            pending().await
        })
        .await;
        log.add("inner");
        inner
    });
    assert_eq!(outcome.await.unwrap_err().reason().text(), Some("meanwhile"));
    assert_eq!(log.entries(), ["finalizer"]);
}

/// B046, L8, L18: also if the outer deadline passes by the clock while a destructor inside keeps the thread busy.
pub async fn an_outer_deadline_that_passes_during_the_drop_wins() {
    let log = Log::new();
    let start = Instant::now();
    let outer = move_on_at(start + ms(6), async {
        let _busy = move_on_at(start + ms(3), hold(on_drop(|| be_busy(ms(6))))).await;
        log.add("inner");
    });
    assert!(outer.await.is_none());
    assert_eq!(log.entries().len(), 0);
}

/// B047: a scope with a deadline that is cancelled by hand earlier tells of that, not of the deadline.
pub async fn a_scope_cancelled_before_its_deadline_tells_of_the_cancel() {
    let timers = foster::observer::live_counts().map(|live_counts| live_counts.timers);
    let mut scope = CancelScope::new().deadline_after(LONG);
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(async {
        handle.cancel("by hand");
        sleep_forever().await
    });
    let cancelled = outcome.await.map(|_| ()).unwrap_err();
    assert_eq!((cancelled.reason().kind(), cancelled.reason().text()), (ReasonKind::Explicit, Some("by hand")));
    assert_elapsed(start, ms(0));
    assert_eq!(foster::observer::live_counts().map(|live_counts| live_counts.timers), timers);
}

/// B049, L12: an operation that ends at the very instant of the deadline has ended: its value is returned.
pub async fn an_operation_that_ends_at_the_deadline_wins() {
    for _ in 0..3 {
        // Far enough away that a busy machine gets there in time.
        let at = Instant::now() + ms(80);
        let outcome = fail_at(at, async {
            sleep_until(at).await;
            "in time"
        });
        assert_eq!(outcome.await, Ok("in time"));
    }
}

/// B049, L14: but the operation after it does not start.
pub async fn after_the_deadline_no_further_operation_starts() {
    let log = Log::new();
    let at = Instant::now() + ms(80);
    let outcome = fail_at(at, async {
        sleep_until(at).await;
        log.add("in time");
        checkpoint_if_cancelled().await;
        log.add("too late");
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["in time"]);
}

/// B050, L31: if the deadline makes something inside fail, that error comes out, not the timeout.
pub async fn an_error_in_answer_to_the_deadline_comes_out() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(nursery(async |n| {
        let started = Flag::new();
        n.spawn({
            let started = started.clone();
            async move {
                shield(async {
                    started.set();
                    sleep(ms(6)).await;
                })
                .await;
                Err::<(), _>("could not save")
            }
        });
        started.wait().await;
        handle.set_deadline(Instant::now() + ms(2));
        sleep_forever().await;
        Ok(())
    }));
    assert_eq!(outcome.await.unwrap(), Err("could not save"));
    // Only a machine that was very slow has not come to the deadline.
    assert!(!time_is_virtual() || handle.is_cancelled());
}

/// B051, L12, L17: a body that does not stop at its deadline, because it is shielded, and then returns, has returned.
pub async fn a_body_that_returns_in_spite_of_the_deadline_has_returned() {
    let start = Instant::now();
    let outcome = fail_after(ms(3), async {
        shield(sleep(ms(6))).await;
        assert!(is_cancelled());
        "late"
    });
    assert_eq!(outcome.await, Ok("late"));
    assert_elapsed(start, ms(6));
}

/// B052, L18: a timeout returns only when what is inside has cleaned up.
pub async fn a_timeout_waits_for_the_cleanup() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(async {
        let (own, of_child) = (log.clone(), log.clone());
        defer(async move {
            sleep(ms(4)).await;
            own.add("own cleanup");
        });
        let started = Flag::new();
        let Ok(()) = nursery(async |n: Nursery| {
            n.spawn({
                let started = started.clone();
                async move {
                    defer(async move {
                        sleep(ms(4)).await;
                        of_child.add("cleanup of a child");
                    });
                    started.set();
                    sleep_forever().await
                }
            });
            started.wait().await;
            handle.set_deadline(start + ms(2));
        })
        .await;
    });
    assert!(outcome.await.is_err());
    log.add("timeout");
    assert_elapsed(start, ms(10));
    assert_eq!(log.entries(), ["cleanup of a child", "own cleanup", "timeout"]);
}

/// B053, L12, L14: work that is complete already beats a timeout of zero if it is there without waiting; joining it is
/// an operation, and does not.
pub async fn complete_work_and_a_timeout_of_zero() {
    assert_eq!(fail_after(ms(0), ready(5)).await, Ok(5));
    let Ok(()) = nursery(async |n: Nursery| {
        let mut task = n.spawn(async { Ok(6) });
        task.wait().await;
        assert!(fail_after(ms(0), &mut task).await.is_err());
        assert_eq!(fail_after(ms(0), async { task.try_join() }).await, Ok(Some(Ok::<_, JoinError>(6))));
    })
    .await;
}

/// B054: a timeout works as usual after a cancel that was absorbed.
pub async fn a_timeout_works_after_an_absorbed_cancel() {
    let start = Instant::now();
    for _ in 0..3 {
        let mut scope = CancelScope::new();
        scope.handle().cancel("absorbed");
        assert!(scope.run(sleep_forever()).await.is_err());
        assert_eq!(fail_after(LONG, async { (checkpoint().await, 5).1 }).await, Ok(5));
        assert!(fail_after(ms(2), sleep_forever()).await.is_err());
    }
    assert_elapsed(start, ms(6));
}

/// B055, L22: cleanup has timeouts of its own, which end their own blocks.
pub async fn cleanup_has_timeouts_of_its_own() {
    let log = Log::new();
    let start = Instant::now();
    let outcome = move_on_after(ms(2), async {
        let log = log.clone();
        defer(async move {
            assert!(!is_cancelled());
            let inner: Option<()> = move_on_after(ms(3), pending()).await;
            assert!(inner.is_none());
            checkpoint().await;
            log.add("cleaned up");
        });
        pending::<()>().await
    });
    assert!(outcome.await.is_none());
    assert_elapsed(start, ms(5));
    assert_eq!(log.entries(), ["cleaned up"]);
}

/// B056, L20: a shield's own deadline fires; only what comes from outside is kept out.
pub async fn a_shields_own_deadline_fires() {
    let start = Instant::now();
    let outcome = move_on_after(ms(2), async {
        let inner = CancelScope::new().shielded().deadline_after(ms(6)).run(sleep_forever());
        let inner = inner.await.map(|_| ()).unwrap_err();
        assert_eq!(inner.reason().kind(), ReasonKind::Deadline);
        assert_elapsed(start, ms(6));
        checkpoint().await;
    });
    assert!(outcome.await.is_none());
    assert!(CancelScope::new().graceful().deadline_after(ms(2)).run(sleep_forever()).await.is_err());
}

/// B057, L11: a deadline that ends a whole group, whose members have the same deadline, makes one timeout error.
pub async fn several_cancels_at_once_make_one_timeout_error() {
    let log = Log::new();
    let at = Instant::now() + ms(3);
    let outcome = fail_at(at, async {
        let group: Result<(), Elapsed> = nursery(async |n| {
            for _ in 0..3 {
                let log = log.clone();
                n.spawn(async move {
                    let member = fail_at(at, sleep_forever()).await;
                    log.add("member");
                    member.map(|_| ())
                });
            }
            let body = fail_at(at, sleep_forever()).await;
            log.add("body");
            body.map(|_| ())
        })
        .await;
        log.add("group");
        group
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries().len(), 0);
}

/// B059, L8, L11: a deadline that another thread moves wakes the body that sleeps.
pub async fn another_thread_moves_the_deadline() {
    let now = Instant::now();
    for at in [now, now + ms(5)] {
        let Ok(()) = nursery(async |n: Nursery| {
            let mut scope = CancelScope::new().deadline_after(LONG);
            let handle = scope.handle();
            let asleep = Flag::new();
            let sleeper = n.spawn({
                let asleep = asleep.clone();
                async move {
                    let outcome = scope.run(async {
                        asleep.set();
                        sleep_forever().await
                    });
                    Ok(outcome.await.map(|_| ()).unwrap_err())
                }
            });
            asleep.wait().await;
            assert!(to_thread(move || handle.set_deadline(at)).await);
            assert_eq!(sleeper.await.unwrap().reason().kind(), ReasonKind::Deadline);
            assert!(Instant::now() >= at);
        })
        .await;
    }
}

/// L8, L16: a deadline is a request at its instant, whether or not anybody polls the scope: its tasks run meanwhile,
/// and are cancelled by it; its body waits.
pub async fn a_deadline_passes_whether_or_not_anybody_polls() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let log = Log::new();
    let polls = AtomicUsize::new(0);
    let started = Flag::new();
    let group = nursery(async |n: Nursery| {
        let (guard, started) = (log.on_drop("child"), started.clone());
        n.spawn(async move {
            started.set();
            hold(guard).await;
        });
        sleep_forever().await;
    });
    let held = Shared::new(scope.run(counted(&polls, group)));
    assert!(held.poll_once().await.is_pending());
    started.wait().await;
    // Nobody polls it from here on.
    handle.set_deadline(Instant::now() + ms(3));
    sleep(ms(6)).await;
    assert!(handle.is_cancelled());
    while log.count("child") == 0 {
        checkpoint().await;
    }
    assert!(!handle.is_closed());
    assert_eq!(polls.load(Ordering::SeqCst), 1);
    assert!(held.drive().await.is_err());
    assert!(handle.is_closed());
}

/// L8, L14: a task learns of a deadline that passed while it was busy at its next checkpoint, not later.
pub async fn a_busy_task_stops_at_the_first_checkpoint_behind_its_deadline() {
    let log = Log::new();
    let outcome = move_on_after(ms(3), async {
        checkpoint().await;
        be_busy(ms(6));
        assert!(is_cancelled());
        checkpoint_if_cancelled().await;
        log.add("behind it");
    });
    assert!(outcome.await.is_none());
    assert_eq!(log.entries().len(), 0);
}

/// L8, L14: the end of another tree's task is withheld from code whose deadline has passed by the clock, also if that began to
/// wait for it before, and nobody has looked at the clock since.
pub async fn an_end_behind_an_unseen_deadline_is_withheld() {
    let (go, ended) = (Event::new(), Mutex::new(None));
    let others = local_nursery(async |n: LocalNursery<'_>| {
        let task = n.spawn(async {
            go.wait().await;
            Ok(7)
        });
        *ended.lock().unwrap() = Some(task);
        sleep_forever().await;
        Ok(())
    });
    let mut others = pin!(root(runtime(), others));
    assert!(poll_once(others.as_mut()).await.is_pending());
    let mut task = ended.lock().unwrap().take().expect("it was spawned");
    assert!(poll_once(pin!(&mut task)).await.is_pending());
    let outcome = fail_after(ms(4), async {
        be_busy(ms(8));
        go.set();
        assert!(poll_once(others.as_mut()).await.is_pending());
        assert!(task.is_finished());
        (&mut task).await
    });
    assert!(outcome.await.is_err(), "the deadline has passed");
    assert_eq!(task.await.unwrap(), 7);
}

/// L9: who is cancelled: nothing between, a graceful shield before and behind the hard time, a full shield; and a mask
/// holds off nothing of its own scope.
pub async fn masks_decide_who_is_cancelled() {
    let mut scope = CancelScope::new().grace(LONG);
    let handle = scope.handle();
    let outcome = scope.run(async {
        handle.cancel("and its grace begins");
        assert!(is_cancelled());
        CancelScope::new().run(async { assert!(is_cancelled(), "no mask between") }).await.unwrap();
        graceful(async {
            assert!(!is_cancelled(), "a graceful shield, before the hard time");
            shield(async { assert!(!is_cancelled()) }).await;
            graceful(async { assert!(!is_cancelled(), "two of them are as good as one") }).await;
        })
        .await;
        let mut own = CancelScope::new().shielded();
        own.handle().cancel("its own");
        own.run(async { assert!(is_cancelled(), "a shield does not mask its own request") }).await.unwrap();
        let mut own = CancelScope::new().graceful();
        own.handle().cancel("its own");
        own.run(async { assert!(is_cancelled(), "nor does a graceful one") }).await.unwrap();
        shield(async {
            assert!(!is_cancelled(), "a full shield");
            graceful(async { assert!(!is_cancelled()) }).await;
            assert!(handle.cancel_within(ms(3), "the hard time comes nearer"));
            sleep(ms(6)).await;
            assert!(!is_cancelled(), "a full shield has no hard time");
            checkpoint().await;
        })
        .await;
        "the end"
    });
    assert_eq!(outcome.await.unwrap(), "the end");
}

/// L9, L20: a graceful shield that is entered behind the hard time holds off nothing, and neither does what is inside
/// it.
pub async fn a_graceful_shield_behind_the_hard_time_is_cancelled() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        handle.cancel_within(ms(3), "soon");
        shield(sleep(ms(6))).await;
        graceful(async {
            assert!(is_cancelled(), "the hard time has passed");
            CancelScope::new().run(async { assert!(is_cancelled()) }).await.unwrap();
            let Ok(()) = nursery(async |n: Nursery| {
                let log = log.clone();
                n.spawn(async move { log.add("child") });
            })
            .await;
            log.add("behind the nursery");
            checkpoint().await;
            log.add("behind the checkpoint");
        })
        .await;
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries().len(), 0);
}

/// L12: the body is polled first, and what it returns stands, whatever was requested during that very poll.
pub async fn completion_wins_over_a_cancel_in_the_same_poll() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let mut polls = 0;
    let body = poll_fn(|cx| {
        polls += 1;
        if polls == 3 {
            handle.cancel("in the last poll");
            return Poll::Ready("complete");
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    assert_eq!(scope.run(body).await.unwrap(), "complete");
    assert!(handle.is_cancelled());
}

/// L12: a body that is pending in the poll in which its scope is cancelled is not polled again.
pub async fn a_pending_body_is_dropped_in_the_poll_that_cancels_it() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let polls = AtomicUsize::new(0);
    let mut run = pin!(scope.run(counted(
        &polls,
        poll_fn(|cx| {
            handle.cancel("now");
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }),
    )));
    let outcome = poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx))).await;
    assert!(matches!(outcome, Poll::Ready(Err(_))), "it takes one poll");
    assert_eq!(polls.load(Ordering::SeqCst), 1);
}

/// L8, L12: one `Result` for both: the body's value, its error, or the time that was over; and the value of a body that
/// returns in spite of it.
pub async fn a_time_that_is_over_is_an_error_of_the_bodys_type() {
    let body = async |result: std::io::Result<u8>| {
        checkpoint().await;
        result
    };
    assert_eq!(fail_after(LONG, body(Ok(5))).flatten().await.unwrap(), 5);
    let failed = fail_after(LONG, body(Err(std::io::ErrorKind::NotFound.into()))).flatten().await;
    assert_eq!(failed.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let late = fail_after(ms(2), async {
        sleep(LONG).await;
        std::io::Result::Ok(5)
    });
    assert_eq!(late.flatten().await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let in_spite = fail_at(Instant::now(), shield(body(Ok(6)))).flatten();
    assert_eq!(in_spite.await.unwrap(), 6);
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! deadlines_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; deadlines {
            a_time_that_is_over_is_an_error_of_the_bodys_type,
            a_deadline_that_has_passed_before_the_entry_comes_before_a_cancel,
            a_reason_that_is_handed_on_brings_no_instant,
            a_deadline_that_is_not_in_force_does_nothing,
            a_deadline_moved_forward_fires_by_itself,
            a_deadline_moved_into_the_past_fires_at_once,
            what_is_sent_after_a_deadline_was_moved_into_the_past_goes_to_others,
            a_deadline_moved_back_does_not_fire_at_its_old_time,
            a_deadline_moved_before_entry_is_the_one_that_counts,
            the_last_limit_set_before_entry_counts,
            a_deadline_can_be_moved_any_number_of_times,
            no_time_is_time_to_the_first_checkpoint,
            the_longest_duration_is_no_limit,
            an_interval_without_a_period_is_refused,
            the_effective_deadline_is_the_earliest_up_to_a_shield,
            the_effective_deadline_follows_the_scope,
            a_graceful_shield_shifts_the_effective_deadline,
            an_outer_timeout_passes_the_inner_one,
            an_inner_timeout_leaves_the_outer_one_alone,
            of_nested_timeouts_with_one_deadline_the_outer_one_fires,
            a_hard_timeout_says_nothing_about_an_outer_cancel,
            of_two_deadlines_that_passed_unseen_the_outer_one_wins,
            what_passed_unseen_happens_in_the_order_of_its_instants,
            a_sleep_that_was_due_after_an_unseen_deadline_has_not_ended,
            what_was_due_before_a_request_has_ended,
            the_grace_of_an_unseen_deadline_counts_from_its_instant,
            an_unseen_hard_time_comes_in_its_turn,
            an_outer_cancel_during_the_end_of_an_inner_timeout_wins,
            an_outer_deadline_that_passes_during_the_drop_wins,
            a_scope_cancelled_before_its_deadline_tells_of_the_cancel,
            an_operation_that_ends_at_the_deadline_wins,
            after_the_deadline_no_further_operation_starts,
            an_error_in_answer_to_the_deadline_comes_out,
            a_body_that_returns_in_spite_of_the_deadline_has_returned,
            a_timeout_waits_for_the_cleanup,
            complete_work_and_a_timeout_of_zero,
            a_timeout_works_after_an_absorbed_cancel,
            cleanup_has_timeouts_of_its_own,
            a_shields_own_deadline_fires,
            several_cancels_at_once_make_one_timeout_error,
            another_thread_moves_the_deadline,
            a_deadline_passes_whether_or_not_anybody_polls,
            a_busy_task_stops_at_the_first_checkpoint_behind_its_deadline,
            an_end_behind_an_unseen_deadline_is_withheld,
            masks_decide_who_is_cancelled,
            a_graceful_shield_behind_the_hard_time_is_cancelled,
            completion_wins_over_a_cancel_in_the_same_poll,
            a_pending_body_is_dropped_in_the_poll_that_cancels_it,
        });
    };
}
