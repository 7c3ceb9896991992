//! Behaviours: cancel scopes. The code that is stopped, what is known about it, and how a scope ends (L1–L7, L18).

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use foster::checkpoint_if_cancelled;
use foster::nursery::TaskStatus;
use foster::scope::{Reason, ReasonKind};
use foster::{
    CancelScope, Cancelled, Instant, Nursery, ScopeHandle, checkpoint, defer, fail_after, graceful, interval,
    is_cancelled, move_on_after, nursery, shield, sleep, sleep_forever, sleep_until, stopping, to_thread, yield_now,
};

use crate::harness::ms;
use crate::running::witness::{
    Flag, LONG, Log, Shared, abandon, assert_elapsed, be_busy, both, hold, on_drop, until, yields,
};

/// B016, L18: a scope that is cancelled from inside stops its body at the next checkpoint, and its owner goes on.
pub async fn a_scope_cancelled_from_inside_stops_at_the_next_checkpoint() {
    let log = Log::new();
    let mut scope = CancelScope::new().named("inner");
    let handle = scope.handle();
    assert!(!handle.is_cancelled());
    let outcome = scope.run(async {
        assert!(handle.cancel("enough"));
        log.add("before the checkpoint");
        checkpoint().await;
        log.add("behind it");
    });
    let cancelled = outcome.await.unwrap_err();
    log.add("the owner");
    assert_eq!(log.entries(), ["before the checkpoint", "the owner"]);
    assert!(handle.is_cancelled());
    assert_eq!(cancelled.reason().text(), Some("enough"));
    assert_eq!(cancelled.scope().name(), "inner");
}

/// B017, L6: cancelling again changes nothing, and says so.
pub async fn a_second_cancel_changes_nothing() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    assert!(handle.cancel("first"));
    assert!(!handle.cancel("second"));
    let cancelled = scope.run(async {
        assert!(!handle.cancel("third"));
        checkpoint().await;
    });
    assert_eq!(cancelled.await.unwrap_err().reason().text(), Some("first"));
    assert_eq!(handle.reason().and_then(|reason| reason.text().map(str::to_owned)).as_deref(), Some("first"));
}

/// Whether an operation that starts in a cancelled scope gets no further.
async fn stops<F: Future>(operation: F) -> bool {
    let mut scope = CancelScope::new();
    scope.handle().cancel("before it starts");
    scope.run(operation).await.is_err()
}

/// B018, L14: every operation that could wait stops code that is cancelled, also if it could be ready at once.
pub async fn every_operation_stops_cancelled_code() {
    let past = Instant::now();
    assert!(stops(checkpoint()).await);
    assert!(stops(checkpoint_if_cancelled()).await);
    assert!(stops(yield_now()).await);
    assert!(stops(sleep(ms(0))).await);
    assert!(stops(sleep(ms(1))).await);
    assert!(stops(sleep_until(past)).await);
    assert!(stops(sleep_until(Instant::NEVER)).await);
    assert!(stops(sleep_forever()).await);
    assert!(stops(interval(ms(1)).tick()).await);
    assert!(stops(stopping()).await);
    assert!(stops(pending::<()>()).await);
}

/// B018, L14: waiting for a child that has ended already, too; its value stays where it is.
pub async fn joining_an_ended_child_stops_cancelled_code() {
    let Ok(()) = nursery(async |n: Nursery| {
        let mut task = n.spawn(async { Ok(7) });
        assert_eq!(task.wait().await, TaskStatus::Finished);
        assert!(stops(task.wait()).await);
        assert!(stops(&mut task).await);
        assert_eq!(task.await, Ok(7));
    })
    .await;
}

/// B018, L14: a blocking job is not started by code that is cancelled.
pub async fn cancelled_code_starts_no_thread() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = ran.clone();
    assert!(stops(to_thread(move || counter.fetch_add(1, Ordering::SeqCst))).await);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

/// B018: giving way under a shield gives way, and goes on whatever is cancelled.
pub async fn giving_way_under_a_shield_goes_on() {
    let mut scope = CancelScope::new();
    scope.handle().cancel("before it starts");
    let pauses = scope.run(yields(shield(yield_now()))).await;
    assert!(pauses.expect("the body has returned") >= 1, "it did not give way");
}

/// B020, L9: when a cancelled scope has been left, the code around it passes its checkpoints.
pub async fn a_cancelled_scope_is_forgotten_once_it_was_left() {
    for _ in 0..3 {
        assert!(stops(sleep_forever()).await);
        assert!(!is_cancelled());
        assert!(foster::scope::reason().is_none());
        checkpoint().await;
        sleep(ms(0)).await;
    }
    let outer = CancelScope::new().run(async {
        assert!(stops(sleep_forever()).await);
        checkpoint().await;
        "went on"
    });
    assert_eq!(outer.await.unwrap(), "went on");
}

/// B021, L13: a scope that was cancelled before it was entered lets its body run to the first checkpoint.
pub async fn a_scope_cancelled_before_entry_runs_to_its_first_checkpoint() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    assert!(scope.handle().cancel("too late"));
    let outcome = scope.run(async {
        assert!(is_cancelled());
        log.add("entered");
        checkpoint_if_cancelled().await;
        log.add("behind it");
    });
    assert_eq!(outcome.await.unwrap_err().reason().text(), Some("too late"));
    assert_eq!(log.entries(), ["entered"]);
}

/// B022, L7: a task that has a handle to somebody else's scope stops what is in there, and nothing else.
pub async fn another_task_cancels_only_what_is_in_the_scope() {
    let Ok(()) = nursery(async |n: Nursery| {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let stopped = Flag::new();
        let victim = n.spawn({
            let stopped = stopped.clone();
            async move {
                let outcome = scope.run(sleep_forever()).await;
                stopped.set();
                checkpoint().await;
                Ok(outcome.is_err())
            }
        });
        let canceller = n.spawn(async move {
            handle.cancel("by somebody else");
            checkpoint().await;
            Ok(!is_cancelled())
        });
        let sibling = n.spawn(async move {
            stopped.wait().await;
            checkpoint().await;
            Ok(!is_cancelled())
        });
        assert_eq!((victim.await, canceller.await, sibling.await), (Ok(true), Ok(true), Ok(true)));
    })
    .await;
}

/// B022, L7: so does a child that was started inside the scope: it is stopped itself, what is outside goes on.
pub async fn a_child_cancels_the_scope_around_its_nursery() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(nursery(async |n: Nursery| {
        let (log, guard) = (log.clone(), log.on_drop("body"));
        n.spawn(async move {
            handle.cancel("by a child");
            log.add("goes on to its checkpoint");
            checkpoint().await;
            log.add("behind it");
        });
        hold(guard).await;
    }));
    assert_eq!(outcome.await.unwrap_err().reason().text(), Some("by a child"));
    checkpoint().await;
    let mut entries = log.entries();
    entries.sort_unstable();
    assert_eq!(entries, ["body", "goes on to its checkpoint"]);
}

/// B024, L3: a scope that has ended takes no cancel: nothing happens, and the handle says so.
pub async fn a_scope_that_has_ended_takes_no_cancel() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    assert!(!handle.is_closed());
    assert_eq!(scope.run(async { 5 }).await.unwrap(), 5);
    assert!(handle.is_closed());
    assert!(!handle.cancel("too late"));
    assert!(!handle.cancel_within(ms(1), "too late"));
    assert!(!handle.set_deadline(Instant::now()));
    assert!(!handle.set_deadline(Instant::now() + ms(1)));
    assert!(!handle.is_cancelled());
    assert!(handle.reason().is_none());
    checkpoint().await;
}

/// B025, L8: a deadline that has passed before the scope was entered is a cancel; moving it later does not undo it.
pub async fn a_deadline_that_passed_before_entry_stands() {
    let log = Log::new();
    let past = Instant::now();
    sleep(ms(2)).await;
    let mut scope = CancelScope::new().deadline_at(past);
    let handle = scope.handle();
    assert!(handle.is_cancelled());
    assert!(!handle.set_deadline(Instant::now() + LONG));
    assert!(handle.is_cancelled());
    let outcome = scope.run(async {
        log.add("entered");
        checkpoint().await;
        log.add("behind it");
    });
    assert_eq!(outcome.await.unwrap_err().reason().kind(), ReasonKind::Deadline);
    assert_eq!(log.entries(), ["entered"]);
}

/// B025, L8: also if it passes while the scope is waiting to be entered, and nobody looks at it meanwhile.
pub async fn a_deadline_that_passes_before_entry_cancels() {
    let mut scope = CancelScope::new().deadline_at(Instant::now() + ms(3));
    let handle = scope.handle();
    sleep(ms(5)).await;
    assert!(handle.is_cancelled());
    let outcome = scope.run(sleep_forever()).await;
    assert_eq!(outcome.map(|_| ()).unwrap_err().reason().kind(), ReasonKind::Deadline);
}

/// B025, L6: the grace of a scope that is cancelled before its entry counts from the entry.
pub async fn the_grace_of_a_cancel_before_entry_counts_from_the_entry() {
    let mut scope = CancelScope::new().grace(ms(8));
    scope.handle().cancel("early");
    sleep(ms(5)).await;
    let start = Instant::now();
    let outcome = scope.run(graceful(async {
        stopping().await;
        sleep_forever().await
    }));
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(8));
}

/// B025, B036: a scope whose deadline passed before its entry leaves no timer behind, entered or not.
pub async fn a_deadline_that_passed_before_entry_leaves_no_timer() {
    let before = foster::observer::live_counts();
    let mut unused = CancelScope::new().deadline_at(Instant::now()).grace(LONG);
    assert!(unused.handle().is_cancelled());
    drop(unused);
    assert_eq!(foster::observer::live_counts(), before);

    let mut used = CancelScope::new().deadline_at(Instant::now()).grace(LONG);
    assert!(used.handle().is_cancelled());
    assert!(used.run(sleep_forever()).await.is_err());
    assert_eq!(foster::observer::live_counts(), before);
}

/// B026, L11: a cancel reaches every descendant, however deep, before any of them runs.
pub async fn a_cancel_reaches_all_descendants_at_once() {
    const DEPTH: usize = 4;
    const WIDTH: usize = 3;

    /// The counts that all levels share.
    #[derive(Clone, Default)]
    struct Seen {
        waiting: Arc<AtomicUsize>,
        stopped: Arc<AtomicUsize>,
        told_late: Arc<AtomicUsize>,
        cancelled: Flag,
    }

    /// Waits for ever, and notes if it is polled after the cancel and does not know of it.
    async fn wait(seen: Seen) {
        let stopped = seen.stopped.clone();
        let _guard = on_drop(move || {
            stopped.fetch_add(1, Ordering::SeqCst);
        });
        seen.waiting.fetch_add(1, Ordering::SeqCst);
        poll_fn(|_| {
            if seen.cancelled.is_set() && !is_cancelled() {
                seen.told_late.fetch_add(1, Ordering::SeqCst);
            }
            Poll::Pending
        })
        .await
    }

    fn level(depth: usize, seen: Seen) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Ok(()) = nursery(move |n: Nursery| async move {
                for _ in 0..WIDTH {
                    n.spawn(wait(seen.clone()));
                }
                if depth > 1 {
                    n.spawn(level(depth - 1, seen.clone()));
                }
                wait(seen).await;
            })
            .await;
        })
    }

    let seen = Seen::default();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(both(level(DEPTH, seen.clone()), async {
        until(|| seen.waiting.load(Ordering::SeqCst) == DEPTH * (WIDTH + 1)).await;
        handle.cancel("all of you");
        // From here on everybody knows.
        seen.cancelled.set();
        sleep_forever().await
    }));
    assert!(outcome.await.is_err());
    assert_eq!(seen.stopped.load(Ordering::SeqCst), DEPTH * (WIDTH + 1));
    assert_eq!(seen.told_late.load(Ordering::SeqCst), 0);
    assert_elapsed(start, ms(0));
}

/// B027, L12, L31: a body that fails although its scope is cancelled has failed: a scope does not interpret its value.
pub async fn a_cancelled_body_that_fails_returns_its_error() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        handle.cancel("enough");
        Err::<(), _>("out of paper")
    });
    assert_eq!(outcome.await.unwrap(), Err("out of paper"));
    assert!(handle.is_cancelled());
}

/// B029, L12: an outer scope that is cancelled after the last checkpoint inside is left with its value.
pub async fn a_cancel_after_the_last_checkpoint_escapes_nowhere() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        assert!(move_on_after(ms(1), sleep_forever()).await.is_none());
        handle.cancel("nobody is listening");
        "left"
    });
    assert_eq!(outcome.await.unwrap(), "left");
    checkpoint().await;
}

/// B029, L18: a `Cancelled` that is carried into another scope is a value like any other there.
pub async fn a_cancelled_of_another_scope_is_only_a_value() {
    let mut inner = CancelScope::new().named("inner");
    inner.handle().cancel("stop");
    let inner = inner.run(sleep_forever()).await.map(|_| ()).unwrap_err();
    let mut outer = CancelScope::new().named("outer");
    let handle = outer.handle();
    let outcome: Result<Result<(), Cancelled>, Cancelled> = outer.run(async { Err(inner) }).await;
    assert_eq!(outcome.unwrap().unwrap_err().scope().name(), "inner");
    assert!(!handle.is_cancelled());
}

/// B031, L6: of an explicit cancel and a deadline, whichever comes first is the reason.
pub async fn the_first_reason_stays() {
    let mut scope = CancelScope::new().deadline_after(ms(80));
    let handle = scope.handle();
    let cancelled = scope.run(async {
        handle.cancel("first");
        // The deadline passes while the code cannot be stopped.
        shield(sleep(ms(90))).await;
        checkpoint().await;
    });
    assert_eq!(cancelled.await.unwrap_err().reason().text(), Some("first"));

    let mut scope = CancelScope::new().deadline_after(ms(3));
    let handle = scope.handle();
    let cancelled = scope.run(async {
        shield(sleep(ms(6))).await;
        assert!(!handle.cancel("second"));
        checkpoint().await;
    });
    let cancelled = cancelled.await.unwrap_err();
    assert_eq!(cancelled.reason().kind(), ReasonKind::Deadline);
    assert_eq!(cancelled.reason().text(), None);
}

/// B031, L6, L8: a deadline that passed while nobody could act on it came before the cancel that follows.
pub async fn a_deadline_that_passed_unseen_comes_first() {
    let mut scope = CancelScope::new().deadline_after(ms(3));
    let handle = scope.handle();
    let outcome = scope.run(async {
        be_busy(ms(6));
        assert!(!handle.cancel("too late"), "the deadline had passed");
        checkpoint().await;
    });
    assert_eq!(outcome.await.unwrap_err().reason().kind(), ReasonKind::Deadline);
}

/// Stores the result of `foster::scope::reason` in the destructor of code that is cancelled: there it can still ask
/// why.
fn reason_at_the_end(slot: &Arc<Mutex<Option<Reason>>>) -> impl Drop + Send + use<> {
    let slot = slot.clone();
    on_drop(move || *slot.lock().unwrap() = foster::scope::reason())
}

/// B032: the reason of an explicit cancel has its text, its kind, its source location and the task that asked.
pub async fn a_cancel_tells_who_asked_and_where() {
    let here = file!();
    let seen = Arc::new(Mutex::new(None));
    let mut scope = CancelScope::new().named("victim");
    let handle = scope.handle();
    let Ok(cancelled) = nursery(async |n: Nursery| {
        n.child().named("the boss").spawn(async move {
            handle.cancel("no longer needed");
        });
        let _guard = reason_at_the_end(&seen);
        Ok(scope.run(hold(reason_at_the_end(&seen))).await.map(|_: ()| ()).unwrap_err())
    })
    .await;
    let inside = seen.lock().unwrap().take();
    assert!(inside.is_none(), "the scope had ended when the last guard was dropped");
    let reason = cancelled.reason();
    assert_eq!((reason.kind(), reason.text()), (ReasonKind::Explicit, Some("no longer needed")));
    assert_eq!(reason.task().expect("a task has asked").name(), "the boss");
    assert_eq!(reason.location().expect("it is known").file(), here);
    assert_eq!(cancelled.scope().name(), "victim");
    assert_eq!(cancelled.scope().location().file(), here);
    let text = cancelled.to_string();
    assert!(text.contains("victim") && text.contains("no longer needed") && text.contains("the boss"), "{text}");
}

/// B032: code that is cancelled can ask why while it is dropped, and what asks for one child's end tells who asked,
/// too.
pub async fn cancelled_code_can_ask_why() {
    let seen = Arc::new(Mutex::new(None));
    let Ok(()) = nursery(async |n: Nursery| {
        let started = Flag::new();
        let victim = n.spawn({
            let (guard, started) = (reason_at_the_end(&seen), started.clone());
            async move {
                started.set();
                hold(guard).await;
            }
        });
        started.wait().await;
        let mut victim = n.child().named("the boss").spawn(async move {
            victim.cancel("one of many");
            Ok(victim)
        });
        victim.wait().await;
        let mut victim = victim.await.unwrap();
        assert_eq!(victim.wait().await, TaskStatus::Cancelled);
    })
    .await;
    let reason = seen.lock().unwrap().take().expect("it was cancelled");
    assert_eq!((reason.kind(), reason.text()), (ReasonKind::Explicit, Some("one of many")));
    assert_eq!(reason.task().expect("a task has asked").name(), "the boss");
}

/// B032: a reason that was made once serves for several scopes, and each tells who asked.
pub async fn one_reason_serves_for_several_scopes() {
    let reason = Reason::from("shutting down");
    let Ok(()) = nursery(async |n: Nursery| {
        let (mut a, mut b) = (CancelScope::new(), CancelScope::new());
        let handles = [a.handle(), b.handle()];
        let ended = n.child().named("the boss").spawn(async move {
            for handle in handles {
                handle.cancel(reason.clone());
            }
            Ok(())
        });
        ended.await.unwrap();
        for scope in [a, b] {
            let cancelled = scope.run(sleep_forever()).await.map(|_| ()).unwrap_err();
            assert_eq!(cancelled.reason().text(), Some("shutting down"));
            assert_eq!(cancelled.reason().task().expect("a task has asked").name(), "the boss");
        }
    })
    .await;
}

/// B032: the reason of a deadline has the instant, and where the limit was set; so has the error.
pub async fn a_deadline_tells_when_and_where() {
    let seen = Arc::new(Mutex::new(None));
    let start = Instant::now();
    let line = line!() + 1;
    let elapsed = fail_after(ms(2), hold(reason_at_the_end(&seen))).await.map(|_: ()| ()).unwrap_err();
    let reason = seen.lock().unwrap().take().expect("it was cancelled");
    assert_eq!(reason.kind(), ReasonKind::Deadline);
    let at = reason.deadline().expect("it is known");
    assert!(at >= start + ms(2) && at <= Instant::now());
    assert_eq!((elapsed.location().file(), elapsed.location().line()), (file!(), line));
    let location = reason.location().expect("it is known");
    assert_eq!((location.file(), location.line()), (file!(), line));
}

/// B033, L7: siblings of a child that failed learn which child it was, and its error.
pub async fn siblings_learn_which_child_failed() {
    let (of_sibling, of_body) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let failed: Result<(), String> = nursery(async |n| {
        let started = Flag::new();
        n.spawn({
            let (guard, started) = (reason_at_the_end(&of_sibling), started.clone());
            async move {
                started.set();
                hold(guard).await;
            }
        });
        n.child().named("the weak one").spawn(async move {
            started.wait().await;
            Err::<(), _>("tired".to_owned())
        });
        hold(reason_at_the_end(&of_body)).await;
        Ok(())
    })
    .await;
    assert_eq!(failed.unwrap_err(), "tired");
    for seen in [of_sibling, of_body] {
        let reason = seen.lock().unwrap().take().expect("it was cancelled");
        assert_eq!(reason.kind(), ReasonKind::ChildFailed);
        assert_eq!(reason.task().expect("a child has failed").name(), "the weak one");
        assert!(reason.text().expect("the error is told").contains("tired"));
    }
}

/// B033, L7: if it was the body that failed, they learn that.
pub async fn children_learn_that_the_body_failed() {
    let seen = Arc::new(Mutex::new(None));
    let failed: Result<(), &str> = nursery(async |n| {
        let started = Flag::new();
        n.spawn({
            let (guard, started) = (reason_at_the_end(&seen), started.clone());
            async move {
                started.set();
                hold(guard).await;
            }
        });
        started.wait().await;
        Err("tired")
    })
    .await;
    assert_eq!(failed, Err("tired"));
    let reason = seen.lock().unwrap().take().expect("it was cancelled");
    assert_eq!(reason.kind(), ReasonKind::BodyFailed);
    assert!(reason.task().is_none());
    assert!(reason.text().expect("the error is told").contains("tired"));
}

/// B033, L7, L32: and if it was a panic, they learn that.
pub async fn siblings_learn_of_a_panic() {
    let seen = Arc::new(Mutex::new(None));
    let group = nursery(async |n: Nursery| {
        let started = Flag::new();
        n.spawn({
            let (guard, started) = (reason_at_the_end(&seen), started.clone());
            async move {
                started.set();
                hold(guard).await;
            }
        });
        n.spawn(async move {
            started.wait().await;
            throw("on purpose");
        });
    });
    let payload = caught(group).await.expect_err("the panic of the child resumes");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
    let reason = seen.lock().unwrap().take().expect("it was cancelled");
    assert_eq!(reason.kind(), ReasonKind::Panicked);
}

/// Panics without a message on standard error.
fn throw(payload: &'static str) {
    std::panic::resume_unwind(Box::new(payload));
}

/// Catches the panic of a future.
async fn caught<F: Future>(future: F) -> std::thread::Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let poll = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.as_mut().poll(cx)));
        match poll {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await
}

/// B034: code in an inner scope gets the reason of the outer one that is cancelled.
pub async fn an_inner_scope_tells_the_reason_of_the_outer_one() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let inner = CancelScope::new().deadline_after(LONG).run(move_on_after(LONG, async {
            assert!(foster::scope::reason().is_none());
            handle.cancel("from further out");
            let reason = foster::scope::reason().expect("it is cancelled");
            assert_eq!(reason.text(), Some("from further out"));
            shield(async { assert!(foster::scope::reason().is_none(), "nothing reaches this") }).await;
            sleep_forever().await;
        }));
        inner.await.unwrap();
    });
    assert_eq!(outcome.await.unwrap_err().reason().text(), Some("from further out"));
}

/// B034, L8: and that of a deadline as soon as it has passed by the clock.
pub async fn the_reason_is_exact_to_the_clock() {
    let outcome = move_on_after(ms(2), async {
        checkpoint().await;
        be_busy(ms(4));
        assert_eq!(foster::scope::reason().expect("the deadline has passed").kind(), ReasonKind::Deadline);
        checkpoint().await;
        unreachable!("it is cancelled");
    });
    assert!(outcome.await.is_none());
}

/// B035: a scope can be printed in any state, also from inside and while it ends, and says what matters.
pub async fn a_scope_can_be_printed_in_any_state() {
    let mut scope = CancelScope::new().named("printed").deadline_after(LONG).grace(ms(7)).shielded();
    let fresh = format!("{scope:?}");
    for part in ["printed", "3600s", "7ms", "Full", "cancelled: false"] {
        assert!(fresh.contains(part), "{part} is missing in {fresh}");
    }
    let handle = scope.handle();
    assert!(format!("{scope:?} {handle:?}").contains("printed"));
    let printed = handle.clone();
    let outcome = scope.run(async {
        let open = format!("{printed:?}");
        for part in ["printed", "Open", "deadline", "Full", "None"] {
            assert!(open.contains(part), "{part} is missing in {open}");
        }
        assert!(!open.contains("never"), "the deadline is set: {open}");
        let _guard = on_drop(|| assert!(format!("{printed:?}").contains("no more")));
        defer({
            let printed = printed.clone();
            async move { assert!(format!("{printed:?}").contains("Finalizing")) }
        });
        printed.cancel("no more");
        let cancelled = format!("{printed:?}");
        assert!(cancelled.contains("no more"), "{cancelled}");
        checkpoint().await;
    });
    assert!(format!("{outcome:?}").contains("CancelScopeFuture"));
    assert!(outcome.await.is_err());
    let closed = format!("{handle:?}");
    assert!(closed.contains("Closed") && closed.contains("no more"), "{closed}");

    let mut scope = CancelScope::new();
    scope.handle().cancel("early");
    assert!(format!("{scope:?}").contains("cancelled: true"));
}

/// L1: a scope keeps the parent of its first poll, whoever polls it later.
pub async fn a_scope_keeps_the_parent_of_its_first_poll() {
    let log = Log::new();
    let (mut home, mut away) = (CancelScope::new().named("home"), CancelScope::new().named("away"));
    let (home_handle, away_handle) = (home.handle(), away.handle());
    let guard = log.on_drop("wanderer");
    let wanderer = Shared::new(CancelScope::new().run(async move {
        let _guard = guard;
        sleep_forever().await
    }));
    let outcome = home.run(async {
        assert!(wanderer.poll_once().await.is_pending());
        // Driven from inside `away`, whose cancellation does not concern it.
        let outcome = away.run(async {
            away_handle.cancel("does not concern it");
            assert!(is_cancelled());
            assert!(wanderer.poll_once().await.is_pending());
            assert!(wanderer.poll_once().await.is_pending());
            checkpoint().await;
        });
        assert!(outcome.await.is_err());
        assert!(wanderer.poll_once().await.is_pending());
        assert_eq!(log.count("wanderer"), 0, "it was stopped by a scope that is not around it");
        // Driven from inside a shield, it is stopped with its parent; and says that the shield would wait for ever
        // (L18).
        home_handle.cancel("concerns it");
        shield(async {
            assert!(!is_cancelled());
            let polled = poll_fn(|cx| {
                let mut poll = Box::pin(wanderer.poll_once());
                Poll::Ready(catch_unwind(AssertUnwindSafe(|| poll.as_mut().poll(cx).is_pending())))
            });
            let payload = polled.await.expect_err("code that is not cancelled does not wait for it");
            let text = payload.downcast::<String>().expect("a text");
            assert!(text.contains("`home`") && text.contains("never returns"), "{text}");
            assert_eq!(log.count("wanderer"), 1);
        })
        .await;
        log.add("end of home");
        checkpoint().await;
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["wanderer", "end of home"]);
}

/// L3, L4: a nursery takes children while something is left in it, in any state; later the future comes back unpolled.
pub async fn a_nursery_admits_children_until_it_is_empty() {
    let log = Log::new();
    let leaked = Arc::new(Mutex::new(None));
    let Ok(()) = nursery(async |n: Nursery| {
        let (log, later) = (log.clone(), n.clone());
        *leaked.lock().unwrap() = Some(n.clone());
        n.spawn(async move {
            // The body is over by then; this child is what the nursery waits for.
            sleep(ms(2)).await;
            log.add("first");
            later.spawn(async move { log.add("second") });
        });
    })
    .await;
    assert_eq!(log.entries(), ["first", "second"]);
    let n = leaked.lock().unwrap().take().unwrap();
    assert!(n.is_closed());
    let polls = Arc::new(AtomicUsize::new(0));
    let counter = polls.clone();
    let refused = n.try_spawn(async move {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let future = refused.expect_err("the nursery has ended").into_inner();
    assert_eq!(polls.load(Ordering::SeqCst), 0);
    future.await;
    assert_eq!(polls.load(Ordering::SeqCst), 1, "it is the very future");
    assert_eq!(n.cancel_children("nobody is there"), 0);
}

/// L4, L13: a cancelled nursery admits children, and drops them unpolled; `spawn` works inside a destructor.
pub async fn a_cancelled_nursery_admits_children_and_drops_them_unpolled() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    scope.handle().cancel("before anything was spawned");
    let outcome = scope.run(nursery(async |n: Nursery| {
        let child = |name| {
            let (log, guard) = (log.clone(), log.on_drop(name));
            async move {
                log.add("polled");
                drop(guard);
            }
        };
        let task = n.spawn(child("dropped"));
        let _guard = on_drop({
            let n = n.clone();
            let child = child("dropped, too");
            move || {
                n.spawn(child);
            }
        });
        task.await.unwrap();
    }));
    assert!(outcome.await.is_err());
    let mut entries = log.entries();
    entries.sort_unstable();
    assert_eq!(entries, ["dropped", "dropped, too"]);
}

/// L5: `defer` registers on the innermost scope around the call; in a child on the child itself.
pub async fn defer_registers_on_the_innermost_scope() {
    let log = Log::new();
    let noted = |entry| {
        let log = log.clone();
        async move { log.add(entry) }
    };
    CancelScope::new()
        .run(async {
            defer(noted("outer"));
            CancelScope::new().run(async { defer(noted("inner")) }).await.unwrap();
            log.add("inner scope left");
            move_on_after(LONG, async { defer(noted("timeout")) }).await;
            log.add("timeout left");
            shield(async { defer(noted("shield")) }).await;
            log.add("shield left");
            let Ok(()) = nursery(async |n: Nursery| {
                defer(noted("nursery"));
                n.spawn({
                    let (later, earlier) = (noted("child"), log.clone());
                    async move {
                        defer(later);
                        earlier.add("child's body over");
                    }
                });
            })
            .await;
            log.add("nursery left");
        })
        .await
        .unwrap();
    let expected = [
        ["inner", "inner scope left"],
        ["timeout", "timeout left"],
        ["shield", "shield left"],
        ["child's body over", "child"],
        ["nursery", "nursery left"],
    ];
    assert_eq!(log.entries(), [expected.as_flattened(), &["outer"]].concat());
}

/// L5: a finalizer can register another one, which runs next.
pub async fn a_finalizer_can_register_another() {
    let log = Log::new();
    let (first, second, third) = (log.clone(), log.clone(), log.clone());
    CancelScope::new()
        .run(async {
            defer(async move { first.add("registered first") });
            defer(async move {
                defer(async move { third.add("registered by a finalizer") });
                second.add("registered second");
            });
        })
        .await
        .unwrap();
    assert_eq!(log.entries(), ["registered second", "registered by a finalizer", "registered first"]);
}

/// L6: a later cancel may bring the hard time forward, which wakes the subtree again; it cannot push it back.
pub async fn a_later_cancel_can_only_shorten_the_grace() {
    let log = Log::new();
    let mut scope = CancelScope::new().grace(LONG);
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(both(
        graceful(async {
            let _guard = log.on_drop("graceful");
            stopping().await;
            log.add("asked");
            sleep_forever().await
        }),
        async {
            assert!(handle.cancel("please"));
            // No checkpoint any more: the code is cancelled. The event is the only way to go on.
            until(|| log.count("asked") == 1).await;
            assert!(handle.cancel_within(ms(5), "now"), "it brings the hard time forward");
            assert!(!handle.cancel_within(LONG, "take your time"), "the hard time stands");
            assert!(!handle.cancel("please"), "the hard time stands");
        },
    ));
    let cancelled = outcome.await.map(|_| ()).unwrap_err();
    assert_elapsed(start, ms(5));
    assert_eq!(cancelled.reason().text(), Some("please"));
    assert_eq!(log.entries(), ["asked", "graceful"]);
}

/// L6: cancelling a second time without grace cuts what the first has left time for.
pub async fn a_second_cancel_without_grace_is_at_once() {
    let mut scope = CancelScope::new().grace(LONG);
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(both(graceful(sleep_forever()), async {
        assert!(handle.cancel("please"));
        futures_lite::future::yield_now().await;
        assert!(handle.cancel_within(ms(0), "now"));
    }));
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(0));
}

/// L6: a cancel is an explicit one whatever reason it is given, such as that of another scope's deadline; also if it names no
/// grace, and the scope's own has become shorter.
pub async fn a_second_cancel_with_a_reason_that_is_handed_on_is_at_once() {
    let mut late = CancelScope::new().deadline_after(ms(0));
    let handle = late.handle();
    assert!(late.run(sleep_forever()).await.map(|_| ()).is_err());
    let reason = &handle.reason().unwrap();

    type Cancel = fn(&ScopeHandle, Reason) -> bool;
    let second: [Cancel; 2] =
        [|handle, reason| handle.cancel_within(ms(0), reason), |handle, reason| handle.cancel(reason)];
    for cancel in second {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let start = Instant::now();
        let outcome = scope.run(both(graceful(sleep_forever()), async {
            assert!(handle.cancel_within(LONG, "please"));
            futures_lite::future::yield_now().await;
            assert!(cancel(&handle, reason.clone()));
        }));
        assert!(outcome.await.is_err());
        assert_elapsed(start, ms(0));
    }
}

/// L7: a nursery whose body has failed, or one of whose children has, is cancelled; a child that ends well cancels
/// nobody.
pub async fn an_error_cancels_the_nursery_and_success_does_not() {
    let log = Log::new();
    let guarded = |name| {
        let guard = log.on_drop(name);
        async move { hold(guard).await }
    };
    let failed: Result<(), &str> = nursery(async |n| {
        n.spawn(guarded("sibling"));
        n.spawn(async { Err::<(), _>("a child") });
        guarded("body").await;
        Ok(())
    })
    .await;
    assert_eq!(failed, Err("a child"));
    let failed: Result<(), &str> = nursery(async |n| {
        n.spawn(guarded("child"));
        Err("the body")
    })
    .await;
    assert_eq!(failed, Err("the body"));
    let mut entries = log.entries();
    entries.sort_unstable();
    assert_eq!(entries, ["body", "child", "sibling"]);

    let fine: Result<u32, &str> = nursery(async |n| {
        n.spawn(async { Ok(()) }).await.unwrap();
        checkpoint().await;
        n.spawn(async { Ok(()) });
        checkpoint().await;
        Ok(7)
    })
    .await;
    assert_eq!(fine, Ok(7));
}

/// L7: children learn that the future which drove their nursery was dropped.
pub async fn loss_of_the_driver_is_a_request() {
    let seen = Arc::new(Mutex::new(None));
    CancelScope::new()
        .run(async {
            let started = Flag::new();
            let group = nursery(async |n: Nursery| {
                let (guard, started) = (reason_at_the_end(&seen), started.clone());
                n.spawn(async move {
                    started.set();
                    hold(guard).await;
                });
                sleep_forever().await;
            });
            let group = Shared::new(group);
            while !started.is_set() {
                assert!(group.poll_once().await.is_pending());
                checkpoint().await;
            }
            group.discard();
            // L27: the adopter is not cancelled.
            checkpoint().await;
        })
        .await
        .unwrap();
    let reason = seen.lock().unwrap().take().expect("it was cancelled");
    assert_eq!(reason.kind(), ReasonKind::Abandoned);
}

/// L7, L24: daemons learn that only they are left.
pub async fn daemons_learn_that_only_they_are_left() {
    let seen = Arc::new(Mutex::new(None));
    let Ok(()) = nursery(async |n: Nursery| {
        let started = Flag::new();
        n.spawn_daemon({
            let (guard, started) = (reason_at_the_end(&seen), started.clone());
            async move {
                started.set();
                hold(guard).await;
            }
        });
        started.wait().await;
    })
    .await;
    assert_eq!(seen.lock().unwrap().take().expect("it was cancelled").kind(), ReasonKind::OnlyDaemonsLeft);
}

/// L7: the children of a nursery can be cancelled all at once; the body goes on, and so do children that come later.
pub async fn cancelling_the_children_leaves_the_body_alone() {
    let log = Log::new();
    let Ok(value) = nursery(async |n: Nursery| {
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let guard = log.on_drop("child");
            tasks.push(n.spawn(async move { hold(guard).await }));
        }
        assert_eq!(n.cancel_children("all of you"), 3);
        for mut task in tasks {
            assert_eq!(task.wait().await, TaskStatus::Cancelled);
        }
        checkpoint().await;
        Ok(n.spawn(async { (checkpoint().await, Ok(9)).1 }).await.unwrap())
    })
    .await;
    assert_eq!((value, log.count("child")), (9, 3));
}

/// L18: after the body was dropped the children end, then the finalizers run, then the scope is closed and its owner
/// goes on.
pub async fn a_cancelled_scope_ends_in_order() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let state = handle.clone();
    let outcome = scope.run(async {
        let _body = log.on_drop("outer body");
        let finalizer = log.clone();
        defer(async move {
            assert!(!state.is_closed());
            sleep(ms(2)).await;
            finalizer.add("outer finalizer");
        });
        let Ok(()) = nursery(async |n: Nursery| {
            let _body = log.on_drop("inner body");
            let started = Flag::new();
            let (child, up) = (log.clone(), started.clone());
            n.spawn(async move {
                let finalizer = child.clone();
                defer(async move {
                    sleep(ms(2)).await;
                    finalizer.add("child's finalizer");
                });
                up.set();
                sleep_forever().await
            });
            let finalizer = log.clone();
            defer(async move { finalizer.add("inner finalizer") });
            started.wait().await;
            handle.cancel("all of it");
            sleep_forever().await;
        })
        .await;
        log.add("goes on");
    });
    assert!(outcome.await.is_err());
    log.add("owner");
    let expected = ["inner body", "child's finalizer", "inner finalizer", "outer body", "outer finalizer", "owner"];
    assert_eq!(log.entries(), expected);
}

/// L18: the code around an inner scope that was cancelled from further out never goes on, however many lie between.
pub async fn code_around_an_inherited_cancel_never_goes_on() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let middle = CancelScope::new().run(async {
            let inner = CancelScope::new().run(async {
                handle.cancel("from far out");
                sleep_forever().await
            });
            let _cancelled = inner.await;
            log.add("inner");
            let _nothing = move_on_after(LONG, sleep_forever()).await;
        });
        let _cancelled = middle.await;
        log.add("middle");
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries().len(), 0);
}

/// L18, L31: errors that were recorded while a nursery was being cancelled are its outcome, and its owner does go on
/// with them.
pub async fn an_error_during_a_cancel_is_still_an_error() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let failed: Result<(), &str> = nursery(async |n| {
            let handle = handle.clone();
            n.spawn(async move {
                handle.cancel("from further out");
                shield(sleep(ms(2))).await;
                Err::<(), _>("could not save")
            });
            sleep_forever().await;
            Ok(())
        })
        .await;
        failed
    });
    assert_eq!(outcome.await.unwrap(), Err("could not save"));
}

/// L3, L28: nothing is polled under a scope that has ended: its future, found again, says so.
pub async fn a_future_that_outlived_its_scope_says_so() {
    let log = Log::new();
    let escaped = Shared::new(CancelScope::new().named("escaped").run(hold(log.on_drop("locals"))));
    CancelScope::new()
        .run(async {
            assert!(escaped.poll_once().await.is_pending());
        })
        .await
        .unwrap();
    assert_eq!(log.count("locals"), 0, "its body cannot be reached");
    let panicked = caught(escaped.drive()).await.map(|_| ()).expect_err("it is polled after its end");
    let message = panicked.downcast_ref::<String>().expect("a text");
    assert!(message.contains("escaped") && message.contains("cancel scope"), "{message}");
    escaped.discard();
    assert_eq!(log.count("locals"), 1);
}

/// L36: no lock is held while user code runs: handles may be used by destructors, wakers and finalizers of the scope
/// itself.
pub async fn handles_work_from_the_scopes_own_destructors() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let (in_drop, in_finalizer) = (handle.clone(), handle.clone());
    let outcome = scope.run(async move {
        let _guard = on_drop(move || {
            assert!(!in_drop.cancel("again"));
            assert!(!in_drop.set_deadline(Instant::NEVER));
            assert!(in_drop.is_cancelled());
        });
        defer(async move {
            assert!(!in_finalizer.cancel("again"));
            assert!(in_finalizer.is_cancelled());
        });
        handle.cancel("once");
        sleep_forever().await
    });
    assert!(outcome.await.is_err());
}

/// B009, L38: a leaf polled with a waker that leads nowhere is none the worse for it.
pub async fn a_waker_that_leads_nowhere_does_no_harm() {
    let mut pause = pin!(sleep(ms(2)));
    poll_fn(|_| {
        assert!(pause.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        Poll::Ready(())
    })
    .await;
    pause.await;
    abandon(CancelScope::new().run(sleep_forever())).await;
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! scopes_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; scopes {
            a_scope_cancelled_from_inside_stops_at_the_next_checkpoint,
            a_second_cancel_changes_nothing,
            every_operation_stops_cancelled_code,
            joining_an_ended_child_stops_cancelled_code,
            cancelled_code_starts_no_thread,
            giving_way_under_a_shield_goes_on,
            a_cancelled_scope_is_forgotten_once_it_was_left,
            a_scope_cancelled_before_entry_runs_to_its_first_checkpoint,
            another_task_cancels_only_what_is_in_the_scope,
            a_child_cancels_the_scope_around_its_nursery,
            a_scope_that_has_ended_takes_no_cancel,
            a_deadline_that_passed_before_entry_stands,
            a_deadline_that_passes_before_entry_cancels,
            the_grace_of_a_cancel_before_entry_counts_from_the_entry,
            a_deadline_that_passed_before_entry_leaves_no_timer,
            a_cancel_reaches_all_descendants_at_once,
            a_cancelled_body_that_fails_returns_its_error,
            a_cancel_after_the_last_checkpoint_escapes_nowhere,
            a_cancelled_of_another_scope_is_only_a_value,
            the_first_reason_stays,
            a_deadline_that_passed_unseen_comes_first,
            a_cancel_tells_who_asked_and_where,
            cancelled_code_can_ask_why,
            one_reason_serves_for_several_scopes,
            a_deadline_tells_when_and_where,
            siblings_learn_which_child_failed,
            children_learn_that_the_body_failed,
            siblings_learn_of_a_panic,
            an_inner_scope_tells_the_reason_of_the_outer_one,
            the_reason_is_exact_to_the_clock,
            a_scope_can_be_printed_in_any_state,
            a_scope_keeps_the_parent_of_its_first_poll,
            a_nursery_admits_children_until_it_is_empty,
            a_cancelled_nursery_admits_children_and_drops_them_unpolled,
            defer_registers_on_the_innermost_scope,
            a_finalizer_can_register_another,
            a_later_cancel_can_only_shorten_the_grace,
            a_second_cancel_without_grace_is_at_once,
            a_second_cancel_with_a_reason_that_is_handed_on_is_at_once,
            an_error_cancels_the_nursery_and_success_does_not,
            loss_of_the_driver_is_a_request,
            daemons_learn_that_only_they_are_left,
            cancelling_the_children_leaves_the_body_alone,
            a_cancelled_scope_ends_in_order,
            code_around_an_inherited_cancel_never_goes_on,
            an_error_during_a_cancel_is_still_an_error,
            a_future_that_outlived_its_scope_says_so,
            handles_work_from_the_scopes_own_destructors,
            a_waker_that_leads_nowhere_does_no_harm,
        });
    };
}
