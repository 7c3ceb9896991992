//! Behaviours: delivery and checkpoints. Where cancelled code stops, what may still complete, what delays it (L13–L18).

mod last_poll;
mod skipping;
mod swallowed;

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use foster::checkpoint_if_cancelled;
use foster::{
    CancelScope, Instant, LocalNursery, Nursery, bracket, checkpoint, defer, graceful, interval, is_cancelled,
    local_nursery, move_on_after, nursery, shield, sleep, sleep_forever, sleep_until, stopping, to_thread, yield_now,
};

use foster::sync::Event;

pub use last_poll::*;
pub use skipping::*;
pub use swallowed::*;

use crate::harness::ms;
use crate::running::witness::{
    Flag, LONG, Log, assert_elapsed, both, counted, first, hold, lazily, on_drop, poll_once, until, yields,
};

/// Counts its wakes.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Starts an operation in cancelled code and polls it three times: it gets nowhere, and wakes nobody. It registers nothing but
/// its waker, once, in the scope.
fn assert_parks<F: Future>(name: &str, operation: F) {
    let before = foster::observer::live_counts().map(|live_counts| (live_counts.timers, live_counts.scopes));
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let mut operation = pin!(operation);
    for _ in 0..3 {
        let poll = operation.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending(), "{name} has completed in cancelled code");
    }
    assert_eq!(counter.0.load(Ordering::SeqCst), 0, "{name} wakes its task in cancelled code");
    assert_eq!(
        foster::observer::live_counts().map(|live_counts| (live_counts.timers, live_counts.scopes)),
        before,
        "{name} has registered something"
    );
    drop(waker);
    // The test holds one.
    assert!(Arc::strong_count(&counter) <= 2, "{name} keeps wakers in cancelled code");
}

/// B077, L14: code that is cancelled is told each time: every operation that it starts parks, registers nothing, wakes
/// nobody, as often as it is polled.
pub async fn every_operation_started_in_cancelled_code_parks() {
    let past = Instant::now();
    let Ok(()) = nursery(async |n: Nursery| {
        let mut ended = n.spawn(async { Ok(()) });
        ended.wait().await;
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            handle.cancel("now");
            for _ in 0..2 {
                assert_parks("checkpoint", checkpoint());
                assert_parks("checkpoint_if_cancelled", checkpoint_if_cancelled());
                assert_parks("yield_now", yield_now());
                assert_parks("sleep(0)", sleep(ms(0)));
                assert_parks("sleep", sleep(LONG));
                assert_parks("sleep_until", sleep_until(past));
                assert_parks("sleep_forever", sleep_forever());
                assert_parks("interval", interval(ms(1)).tick());
                assert_parks("stopping", stopping());
                assert_parks("wait", ended.wait());
                assert_parks("join", &mut ended);
                assert_parks("to_thread", to_thread(|| unreachable!("it never starts")));
            }
            "still here"
        });
        assert_eq!(outcome.await.unwrap(), "still here");
        assert_eq!(ended.await, Ok(()));
    })
    .await;
}

/// B077, L14, L17: code that goes on beside something shielded is stopped at each of its checkpoints, and does not spin
/// there.
pub async fn cancelled_code_that_is_kept_alive_stays_stopped() {
    let log = Log::new();
    let polls = Arc::new(AtomicUsize::new(0));
    for operation in 0..3 {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let stopped = counted(&polls, async {
            loop {
                match operation {
                    0 => checkpoint().await,
                    1 => yield_now().await,
                    _ => sleep(ms(0)).await,
                }
                if is_cancelled() {
                    log.add("passed a checkpoint");
                }
            }
        });
        let outcome: Result<((), ()), _> = scope
            .run(both(
                stopped,
                shield(async {
                    handle.cancel("now");
                    sleep(ms(5)).await;
                }),
            ))
            .await;
        assert!(outcome.is_err());
    }
    // An operation that had started before the cancel may complete.
    assert!(log.entries().len() <= 3, "{} operations were started in cancelled code", log.entries().len());
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls <= 60, "{polls} polls");
}

/// B078, L21: an operation that cannot be interrupted goes on and completes; the code stops at the next checkpoint.
pub async fn what_cannot_be_interrupted_completes() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let canceller = handle.clone();
        let value = to_thread(move || {
            assert!(canceller.cancel("meanwhile"));
            7
        })
        .await;
        assert_eq!(value, 7);
        assert!(is_cancelled());
        log.add("has its value");
        checkpoint().await;
        log.add("behind the checkpoint");
    });
    assert_eq!(outcome.await.unwrap_err().reason().text(), Some("meanwhile"));
    assert_eq!(log.entries(), ["has its value"]);
}

/// B079, L22, L23: cleanup that takes its time runs once, although a second scope further out is cancelled meanwhile.
pub async fn cleanup_runs_once_under_two_cancels() {
    let log = Log::new();
    let (mut outer, mut inner) = (CancelScope::new(), CancelScope::new());
    let (outer_handle, inner_handle) = (outer.handle(), inner.handle());
    let outcome = outer.run(async {
        let (finalizer, release) = (log.clone(), log.clone());
        let _cancelled = inner
            .run(async {
                defer(async move {
                    finalizer.add("finalizer begins");
                    outer_handle.cancel("while it runs");
                    sleep(ms(2)).await;
                    finalizer.add("finalizer ends");
                });
                bracket(
                    async {},
                    async |_| {
                        inner_handle.cancel("first");
                        sleep_forever().await
                    },
                    |(), _| async move {
                        sleep(ms(2)).await;
                        release.add("release");
                    },
                )
                .await
            })
            .await;
        log.add("not reached");
    });
    assert_eq!(outcome.await.unwrap_err().reason().text(), Some("while it runs"));
    assert_eq!(log.entries(), ["release", "finalizer begins", "finalizer ends"]);
}

/// B081: operations that could succeed at once do so until the budget is used up, and give way then; those that are
/// there to give way always do.
pub async fn operations_that_succeed_at_once_give_way_at_the_end_of_the_budget() {
    let past = Instant::now();
    yield_now().await;
    assert_eq!(yields(checkpoint()).await, 0);
    let given_way = yields(async {
        for _ in 0..10_000 {
            checkpoint().await;
        }
    });
    assert!((10..2_000).contains(&given_way.await), "once in so many operations");
    assert_eq!(yields(yield_now()).await, 1);
    assert!(yields(sleep(ms(0))).await >= 1);
    assert!(yields(sleep_until(past)).await >= 1);
    let mut ticks = interval(LONG);
    assert!(yields(ticks.tick()).await >= 1);
    assert_eq!(yields(checkpoint_if_cancelled()).await, 0);
}

/// B081: giving way lets everybody else run who can.
pub async fn giving_way_lets_others_run() {
    let log = Log::new();
    local_nursery(async |n| {
        n.spawn(async {
            log.add("child");
            yield_now().await;
            log.add("child");
        });
        while log.count("child") < 2 {
            log.add("body");
            yield_now().await;
        }
        Ok::<_, std::convert::Infallible>(())
    })
    .await
    .unwrap_or_else(|never| match never {});
    assert!(log.count("body") < 10, "{:?}", log.entries());
}

/// B085, L12, L13: in cancelled code a group in which nothing blocks is opened, closed, and returns its value: finished
/// work is not thrown away.
pub async fn a_group_in_which_nothing_blocks_returns_in_cancelled_code() {
    let mut scope = CancelScope::new();
    scope.handle().cancel("before it starts");
    let outcome = scope.run(async {
        let Ok(parallel) = nursery(async |_: Nursery| Ok(1)).await;
        let local: Result<i32, std::convert::Infallible> = local_nursery(async |_| Ok(2)).await;
        let timeout = move_on_after(LONG, ready(3)).await;
        let shielded = shield(ready(4)).await;
        let bracketed = bracket(async { 4 }, async |four| *four + 1, |_, _| async {}).await;
        let inner = CancelScope::new().run(ready(6)).await.ok();
        (parallel, local, timeout, shielded, bracketed, inner)
    });
    assert_eq!(outcome.await.unwrap(), (1, Ok(2), Some(3), 4, 5, Some(6)));
}

/// B085, L33: a group whose children had ended before the cancel has its value, too.
pub async fn a_group_whose_children_have_ended_returns_in_cancelled_code() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(nursery(async |n: Nursery| {
        let value = n.spawn(async { Ok(5) }).await.unwrap();
        handle.cancel("nothing is left to stop");
        Ok(value)
    }));
    assert_eq!(outcome.await.unwrap(), Ok(5));
}

/// B086, L31: a body that fails in a cancelled group: the error comes out rather than the cancel.
pub async fn an_error_of_the_body_comes_out_of_a_cancelled_group() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(nursery(async |n| {
        n.spawn(async { (sleep_forever().await, Ok(())).1 });
        handle.cancel("from further out");
        Err::<(), _>("out of paper")
    }));
    assert_eq!(outcome.await.unwrap(), Err("out of paper"));
}

/// L13: a task that is cancelled before its first poll is dropped unpolled; a scope inside a task is polled once
/// whatever was cancelled.
pub async fn cancelled_tasks_are_not_started_but_scopes_are() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    scope.handle().cancel("before it starts");
    let outcome = scope.run(nursery(async |n: Nursery| {
        log.add("nursery");
        CancelScope::new().run(async { log.add("scope") }).await.unwrap();
        shield(async { log.add("shield") }).await;
        let (child, dropped) = (log.clone(), log.on_drop("child dropped"));
        n.spawn(async move {
            let _dropped = dropped;
            child.add("child");
        });
        sleep_forever().await;
    }));
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["nursery", "scope", "shield", "child dropped"]);
}

/// L13, L22: a task that was dropped unpolled has no finalizers to run, and its nursery does not wait for anything.
pub async fn an_unpolled_task_costs_no_time() {
    let start = Instant::now();
    let mut scope = CancelScope::new();
    scope.handle().cancel("before it starts");
    let outcome = scope.run(nursery(async |n: Nursery| {
        for _ in 0..10 {
            n.spawn(async { defer(sleep(LONG)) });
        }
    }));
    assert!(outcome.await.is_err(), "children were cut: there is no value (L33)");
    assert_elapsed(start, ms(0));
}

/// L14: an operation takes what it was given before the request, although its code is cancelled by then; one that was
/// given nothing does not complete, not even a sleep whose time is over, and the next one does not start.
pub async fn an_operation_that_has_started_may_complete() {
    let (log, given) = (Log::new(), Event::new());
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome: Result<((), ((), ())), _> = scope
        .run(both(
            async {
                given.wait().await;
                log.add("given before");
                assert!(is_cancelled());
                sleep(ms(0)).await;
                log.add("started after");
            },
            both(
                async {
                    sleep(ms(4)).await;
                    log.add("slept");
                },
                shield(async {
                    given.set();
                    handle.cancel("now");
                    sleep(ms(8)).await;
                    log.add("shield");
                }),
            ),
        ))
        .await;
    assert!(outcome.is_err());
    assert_eq!(log.entries(), ["given before", "shield"]);
}

/// L14: a task that ends after the code that awaits it was cancelled hands nothing over to it.
pub async fn a_join_whose_task_ends_after_the_cancel_does_not_complete() {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let Ok(()) = nursery(async |n: Nursery| {
        let go = Flag::new();
        let wait = go.clone();
        let task = n.spawn(async move {
            wait.wait().await;
            Ok(5)
        });
        let outcome = scope.run(both(
            task,
            shield(async {
                handle.cancel("now");
                go.set();
                until(|| n.is_empty()).await;
                yield_now().await;
            }),
        ));
        assert!(outcome.await.is_err(), "the task ended after the cancel: that is none of cancelled code's");
    })
    .await;
}

/// L14: a checkpoint looks at both ends: it stops code that is cancelled while it gives way, because its budget is used
/// up.
pub async fn a_checkpoint_looks_at_both_ends() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(both(
        async {
            let mut checkpoints = 0;
            let mut last = checkpoint();
            poll_fn(|cx| {
                // Those before it use up the budget.
                while checkpoints < 10_000 && Pin::new(&mut last).poll(cx).is_ready() {
                    checkpoints += 1;
                    last = checkpoint();
                }
                if checkpoints < 10_000 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            log.add("behind it");
        },
        shield(async {
            handle.cancel("while it gives way");
            sleep(ms(2)).await;
        }),
    ));
    assert!(outcome.await.is_err());
    assert_eq!(log.entries().len(), 0);
}

/// L14: entering a shield, `defer` and `spawn` are no operations that wait: cancelled code may still do them.
pub async fn cancelled_code_may_clean_up_and_spawn() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(nursery(async |n: Nursery| {
        handle.cancel("now");
        let (finalizer, guard) = (log.clone(), log.on_drop("child, unpolled"));
        defer(async move { finalizer.add("finalizer") });
        n.spawn(hold(guard));
        shield(async {
            checkpoint().await;
            log.add("shield");
        })
        .await;
        log.add("behind all that");
        checkpoint().await;
        log.add("behind the checkpoint");
    }));
    assert!(outcome.await.is_err());
    let mut entries = log.entries();
    entries.retain(|entry| *entry != "child, unpolled");
    assert_eq!((entries, log.count("child, unpolled")), (vec!["shield", "behind all that", "finalizer"], 1));
}

/// L15: children do not delay: the body of a nursery goes at once, while its children wind down.
pub async fn children_do_not_delay_the_body() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(nursery(async |n: Nursery| {
        let (started, gone) = (Flag::new(), Flag::new());
        n.spawn({
            let (log, started, gone) = (log.clone(), started.clone(), gone.clone());
            shield(async move {
                started.set();
                // Hangs unless the body goes first.
                gone.wait().await;
                log.add("child");
            })
        });
        started.wait().await;
        let _gone = on_drop(|| gone.set());
        let _body = log.on_drop("body");
        handle.cancel("now");
        sleep_forever().await;
    }));
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["body", "child"]);
}

/// L15: an inner scope delays its parent until it is closed: shields, and the exit of scopes with children and
/// finalizers.
pub async fn an_inner_scope_delays_its_parent_until_it_is_closed() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let _outer = log.on_drop("outer local");
        move_on_after(LONG, async {
            let finalizer = log.clone();
            defer(async move {
                sleep(ms(2)).await;
                finalizer.add("inner finalizer");
            });
            let _inner = log.on_drop("inner local");
            let Ok(()) = nursery(async |n: Nursery| {
                let (started, gone, late) = (Flag::new(), Flag::new(), log.clone());
                let (up, body_gone) = (started.clone(), gone.clone());
                n.spawn(async move {
                    defer(async move {
                        body_gone.wait().await;
                        late.add("child");
                    });
                    up.set();
                    sleep_forever().await
                });
                let _gone = on_drop(|| gone.set());
                let _innermost = log.on_drop("innermost local");
                started.wait().await;
                handle.cancel("now");
                shield(sleep(ms(2))).await;
                log.add("shield");
                sleep_forever().await;
            })
            .await;
        })
        .await;
    });
    assert!(outcome.await.is_err());
    let expected = ["shield", "innermost local", "child", "inner local", "inner finalizer", "outer local"];
    assert_eq!(log.entries(), expected);
}

/// L16: a scope that is held but not polled, as by a `select!` over `&mut`, does not block the cancel: it is dropped
/// with the body, its shield with it.
pub async fn a_scope_that_nobody_polls_does_not_block_a_cancel() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let start = Instant::now();
    let outcome = scope.run(async {
        let mut held = pin!(shield(hold(log.on_drop("held"))));
        // The branch of a `select!` that has lost, and is kept for later.
        first(held.as_mut(), checkpoint()).await;
        handle.cancel("now");
        sleep_forever().await;
    });
    assert!(outcome.await.is_err());
    assert_elapsed(start, ms(0));
    assert_eq!(log.entries(), ["held"]);
}

/// L16, L19, L27: the children of such a scope are not awaited before the body is dropped, which they may be waiting
/// for; but the cancelled scope does wait for them.
pub async fn children_of_a_held_scope_outlive_the_body_but_not_the_scope() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let (started, gone) = (Flag::new(), Flag::new());
        let child = {
            let (log, started, gone) = (log.clone(), started.clone(), gone.clone());
            shield(async move {
                started.set();
                gone.wait().await;
                sleep(ms(2)).await;
                log.add("child");
            })
        };
        let mut held = pin!(nursery(async |n: Nursery| {
            n.spawn(child);
            sleep_forever().await;
        }));
        assert!(poll_once(held.as_mut()).await.is_pending());
        started.wait().await;
        let _gone = on_drop(|| gone.set());
        let _local = log.on_drop("local of the body");
        handle.cancel("now");
        sleep_forever().await;
    });
    assert!(outcome.await.is_err());
    log.add("owner");
    assert_eq!(log.entries(), ["local of the body", "child", "owner"]);
}

/// L16: an inner scope that is polled only when it was woken, as `FuturesUnordered` does, is driven: it delays its
/// parent.
pub async fn a_lazily_driven_scope_delays_its_parent() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let shielded = |entry, millis| -> Pin<Box<dyn Future<Output = ()>>> {
        let log = log.clone();
        Box::pin(shield(async move {
            sleep(ms(millis)).await;
            log.add(entry);
        }))
    };
    let outcome = scope.run(async {
        let _local = log.on_drop("local");
        let canceller = async {
            handle.cancel("now");
            sleep_forever().await;
        };
        lazily(vec![shielded("short", 3), shielded("long", 9), Box::pin(canceller)]).await;
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["short", "long", "local"]);
}

/// L15, L16: a scope that gets its node while it is polled in cancelled code was not passed over, though it is polled
/// again only at its end.
pub async fn a_lazily_driven_scope_of_cancelled_code_delays_its_parent() {
    let (log, event) = (Log::new(), Flag::new());
    let sets = event.clone();
    let Ok(()) = nursery(async |n: Nursery| {
        n.spawn(async move {
            sleep(ms(3)).await;
            sets.set();
        });
        let limited = move_on_after(ms(0), async {
            assert!(is_cancelled());
            let shielded = shield(async {
                event.wait().await;
                log.add("shield");
            });
            lazily(vec![Box::pin(shielded)]).await;
            sleep_forever().await;
        });
        assert!(limited.await.is_none());
        assert_eq!(log.entries(), ["shield"]);
    })
    .await;
}

/// L16: one that waits for an event and was not woken has nothing to do; it is not passed over, however often its
/// parent is polled.
pub async fn a_scope_that_was_not_woken_delays_its_parent() {
    let log = Log::new();
    let event = Flag::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let (quiet, waits) = (log.clone(), event.clone());
    let waiting: Pin<Box<dyn Future<Output = ()>>> = Box::pin(shield(async move {
        waits.wait().await;
        quiet.add("shield");
    }));
    let busy: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
        checkpoint().await;
        handle.cancel("now");
        let polls = Cell::new(0);
        until(|| {
            polls.set(polls.get() + 1);
            polls.get() == 50
        })
        .await;
        event.set();
        pending().await
    });
    let outcome = scope.run(lazily(vec![waiting, busy]));
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["shield"]);
}

/// Drives a shield through a combinator that skips it `skipped` times before each poll, after the first one, in which the
/// code around is cancelled.
async fn skip(skipped: usize, wakes_itself: bool, cancel: impl Fn(), log: Log) {
    let mut inner = pin!(shield(async {
        for _ in 0..5 {
            sleep(ms(1)).await;
        }
        log.add("shield");
    }));
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        if polls % (skipped + 1) == 1 {
            let poll = inner.as_mut().poll(cx);
            cancel();
            return poll;
        }
        if wakes_itself {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    log.add("body");
    checkpoint().await;
    log.add("behind the checkpoint");
}

/// L16: a combinator on a budget may skip a scope that was woken once or twice; and far more often, if it wakes itself each
/// time, as one does that gives way before it has come to all that were woken. In scopes, and in tasks.
pub async fn a_scope_may_be_skipped_now_and_then() {
    for (skipped, wakes_itself) in [(2, false), (2, true), (60, true)] {
        let log = Log::new();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let cancel = || _ = handle.cancel("now");
        assert!(scope.run(skip(skipped, wakes_itself, cancel, log.clone())).await.is_err());
        assert_eq!(log.entries(), ["shield", "body"], "{skipped}");

        let log = Log::new();
        let mut scope = CancelScope::new();
        let (handle, child) = (scope.handle(), log.clone());
        let ended = scope.run(nursery(async |n: Nursery| {
            n.spawn(async move { skip(skipped, wakes_itself, || _ = handle.cancel("now"), child).await });
        }));
        assert!(ended.await.is_err());
        assert_eq!(log.entries(), ["shield", "body"], "{skipped}, in a task");
    }
}

/// L16: a scope that is held is not waited for, also where foreign code beside it wakes itself in each poll.
pub async fn a_held_scope_does_not_delay_a_busy_body_for_ever() {
    let event = Event::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let mut polls = 0;
    let outcome = scope.run(async {
        let mut inner = pin!(shield(event.wait()));
        assert!(poll_once(inner.as_mut()).await.is_pending());
        handle.cancel("now");
        event.set();
        poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls < 1_000 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    });
    assert!(outcome.await.is_err());
    assert!((3..1_000).contains(&polls), "{polls}");
}

/// L16: the waker that an inner scope has seen last may lead nowhere, because the combinator that it belonged to is
/// gone: once the parent is cancelled, the scope wakes the parent past it. It makes no difference in which poll the
/// cancel comes.
pub async fn a_scope_wakes_its_parent_past_a_dead_waker() {
    for cancelled_in in 0..=3 {
        let log = Log::new();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            let mut inner = pin!(shield(async {
                sleep(ms(3)).await;
                sleep(ms(3)).await;
                log.add("shield");
            }));
            let mut polls = 0;
            poll_fn(|cx| {
                if cancelled_in == 0 {
                    // The scope has not begun: it stands in cancelled code from the start.
                    handle.cancel("now");
                }
                let poll = inner.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                polls += 1;
                if polls < cancelled_in {
                    cx.waker().wake_by_ref();
                } else if polls == cancelled_in {
                    handle.cancel("now");
                }
                poll
            })
            .await;
            log.add("body");
        });
        assert!(outcome.await.is_ok(), "the body has returned");
        assert_eq!(log.entries(), ["shield", "body"]);
    }
}

/// L16: a scope that is woken wakes its own driver first, then those it delays: whoever of them is polled at once, on
/// another thread, must not find it passed over.
pub async fn a_scope_wakes_its_driver_before_those_it_delays() {
    struct Named(&'static str, Log);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.add(self.0);
        }
    }

    let (log, flag) = (Log::new(), Flag::new());
    let waker = |name| Waker::from(Arc::new(Named(name, log.clone())));
    let (of_inner, of_outer) = (waker("inner"), waker("outer"));
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let waits = flag.clone();
    let mut inner = Box::pin(shield(async move { waits.wait().await }));
    let mut outer = pin!(scope.run(poll_fn(move |_| inner.as_mut().poll(&mut Context::from_waker(&of_inner)))));
    let mut poll = || outer.as_mut().poll(&mut Context::from_waker(&of_outer));
    poll_fn(|_| {
        assert!(poll().is_pending());
        handle.cancel("now");
        assert!(poll().is_pending());
        Poll::Ready(())
    })
    .await;
    let before = log.entries().len();
    flag.set();
    assert!(log.entries()[before..].ends_with(&["inner", "outer"]), "{:?}", log.entries());
    poll_fn(|_| poll().map(drop)).await;
}

/// L16.1, L41: the same for the children of a local nursery, whether whoever drives it polls it on or not.
pub async fn a_local_child_wakes_past_a_dead_waker() {
    for (cancelled_in, held) in [(1, false), (2, false), (3, false), (2, true)] {
        let log = Log::new();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            let mut inner = pin!(local_nursery(async |n: LocalNursery<'_>| {
                n.spawn(shield(async {
                    // Often enough that a nursery that did not count as driven would be given up.
                    for _ in 0..6 {
                        sleep(ms(1)).await;
                    }
                    log.add("child");
                }));
            }));
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                // Once after the cancel, so that the nursery knows of it.
                if held && polls > cancelled_in + 1 {
                    return Poll::Pending;
                }
                let poll = inner.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if polls < cancelled_in {
                    cx.waker().wake_by_ref();
                } else if polls == cancelled_in {
                    handle.cancel("now");
                }
                poll
            })
            .await
        });
        assert_eq!(outcome.await.is_err(), held);
        assert_eq!(log.entries(), if held { vec![] } else { vec!["child"] });
    }
}

/// L11, L16.1: the hard time of a request wakes the scope whose delivery a graceful shield has held up, past a waker of
/// the shield's that leads nowhere.
pub async fn a_hard_time_wakes_past_a_dead_waker() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let mut inner = pin!(graceful(async {
            let _end = log.on_drop("graceful shield");
            sleep_forever().await
        }));
        let mut asked = false;
        poll_fn(|cx| {
            let poll = inner.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if !asked {
                asked = true;
                // Polls it once more, so that nothing is left to wait for but the hard time.
                cx.waker().wake_by_ref();
                assert!(handle.cancel_within(ms(3), "now"));
            }
            poll.map(|never| match never {})
        })
        .await;
        log.add("body");
    });
    assert!(outcome.await.is_err());
    assert_eq!(log.entries(), ["graceful shield"]);
}

/// L16: two lazy drivers in one task, one inside the other, wind down without waking each other for ever.
pub async fn nested_lazy_drivers_do_not_livelock() {
    let log = Log::new();
    let polls = AtomicUsize::new(0);
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let shielded = |millis| -> Pin<Box<dyn Future<Output = ()>>> {
        let log = log.clone();
        Box::pin(shield(async move {
            sleep(ms(millis)).await;
            log.add("shield");
        }))
    };
    let nested: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
        let _ended = CancelScope::new().run(lazily(vec![shielded(2), shielded(6)])).await;
        log.add("nested scope");
    });
    let body = both(lazily(vec![shielded(3), nested]), lazily(vec![shielded(5), shielded(7)]));
    let outcome = scope.run(counted(
        &polls,
        both(body, async {
            checkpoint().await;
            handle.cancel("now");
            sleep_forever().await
        }),
    ));
    assert!(outcome.await.is_err());
    // Whether the nested scope's value comes before the scope around has dropped it is of no concern here.
    assert_eq!(log.count("shield"), 5);
    let polls = polls.into_inner();
    assert!(polls <= 100, "{polls} polls");
}

/// L17: while it waits for an inner scope, a cancelled scope goes on polling its body; what completes meanwhile stands.
pub async fn a_body_that_completes_while_its_scope_waits_has_completed() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let event = Flag::new();
    let outcome = scope.run(both(
        async {
            event.wait().await;
            log.add("other branch");
            "left"
        },
        shield(async {
            handle.cancel("now");
            sleep(ms(2)).await;
            event.set();
            sleep(ms(2)).await;
            "right"
        }),
    ));
    assert_eq!(outcome.await.unwrap(), ("left", "right"));
    assert_eq!(log.entries(), ["other branch"]);
}

/// L18: a scope that was cancelled from further out parks, also as a branch of a `join` whose other branch goes on.
pub async fn a_parked_scope_stays_parked() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome: Result<((), ()), _> = scope
        .run(both(
            async {
                let _nothing = move_on_after(LONG, hold(log.on_drop("inner body"))).await;
                log.add("inner");
            },
            async {
                shield(async {
                    checkpoint().await;
                    handle.cancel("now");
                    // The other branch is polled again and again meanwhile.
                    for _ in 0..5 {
                        sleep(ms(1)).await;
                    }
                    log.add("shield");
                })
                .await;
                checkpoint().await;
            },
        ))
        .await;
    assert!(outcome.is_err());
    assert_eq!(log.entries(), ["inner body", "shield"]);
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! checkpoints_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; checkpoints {
            every_operation_started_in_cancelled_code_parks,
            cancelled_code_that_is_kept_alive_stays_stopped,
            what_cannot_be_interrupted_completes,
            cleanup_runs_once_under_two_cancels,
            operations_that_succeed_at_once_give_way_at_the_end_of_the_budget,
            giving_way_lets_others_run,
            a_group_in_which_nothing_blocks_returns_in_cancelled_code,
            a_group_whose_children_have_ended_returns_in_cancelled_code,
            an_error_of_the_body_comes_out_of_a_cancelled_group,
            cancelled_tasks_are_not_started_but_scopes_are,
            an_unpolled_task_costs_no_time,
            an_operation_that_has_started_may_complete,
            a_join_whose_task_ends_after_the_cancel_does_not_complete,
            a_checkpoint_looks_at_both_ends,
            cancelled_code_may_clean_up_and_spawn,
            children_do_not_delay_the_body,
            an_inner_scope_delays_its_parent_until_it_is_closed,
            a_scope_that_nobody_polls_does_not_block_a_cancel,
            children_of_a_held_scope_outlive_the_body_but_not_the_scope,
            a_lazily_driven_scope_delays_its_parent,
            a_lazily_driven_scope_of_cancelled_code_delays_its_parent,
            a_scope_that_was_not_woken_delays_its_parent,
            a_scope_may_be_skipped_now_and_then,
            a_held_scope_does_not_delay_a_busy_body_for_ever,
            a_scope_wakes_its_parent_past_a_dead_waker,
            a_scope_wakes_its_driver_before_those_it_delays,
            a_local_child_wakes_past_a_dead_waker,
            a_hard_time_wakes_past_a_dead_waker,
            nested_lazy_drivers_do_not_livelock,
            a_body_that_completes_while_its_scope_waits_has_completed,
            a_parked_scope_stays_parked,
            a_body_is_blocked_with_the_code_around,
            a_local_body_is_blocked_with_the_code_around,
            a_scope_in_a_body_is_blocked_with_the_code_around,
            a_scope_in_a_local_body_is_blocked_with_the_code_around,
            a_value_passes_over_a_cancelled_receiver,
            a_rendezvous_takes_two_that_are_not_cancelled,
            an_end_passes_over_cancelled_code,
            a_value_that_was_taken_back_is_no_news_for_cancelled_code,
            a_value_that_was_taken_back_before_the_cancel_is_refused,
            news_passes_over_cancelled_code,
            permits_and_locks_pass_over_cancelled_code,
            cancelled_code_keeps_nobody_out,
            a_barrier_does_not_count_cancelled_code,
            events_and_their_kind_pass_over_cancelled_code,
            a_notification_passes_over_cancelled_code,
            what_was_given_before_the_cancel_is_taken,
            what_was_given_in_the_poll_of_the_cancel_is_taken,
            who_wakes_its_own_code_makes_it_runnable_in_any_scope,
            what_is_opened_in_the_poll_before_the_last_has_the_last_one,
            who_was_skipped_may_wait_elsewhere,
            who_was_skipped_finds_the_condition_in_use_with_another_mutex,
            what_was_told_while_one_was_skipped_is_seen,
            who_waits_behind_a_cancelled_waiter_goes_on,
            a_cancelled_wait_for_does_not_keep_the_mutex,
            a_loop_of_ready_operations_starves_nobody,
        });
    };
}
