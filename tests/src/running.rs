//! Behaviours: running. Time, the clock, children that come from anywhere, and services that live as long as the
//! program.
//!
//! `run` itself is tested per adapter, in `tests/running.rs`.

pub(crate) mod witness;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

use foster::scope::ReasonKind;
use foster::{
    CancelScope, Instant, Nursery, deadline, defer, interval, move_on_after, nursery, sleep, sleep_forever,
    sleep_until, yield_now,
};

use crate::harness::ms;
use witness::{Flag, Log, abandon, assert_elapsed, both, counted, is_exact, yields};

/// B007: a sleep lasts at least as long as it is told to, also one after the other and side by side.
pub async fn a_sleep_is_never_early() {
    for duration in [ms(1), ms(3), ms(7)] {
        let start = Instant::now();
        sleep(duration).await;
        assert_elapsed(start, duration);
        let at = start + duration + ms(2);
        sleep_until(at).await;
        assert_elapsed(start, at - start);
    }
    let start = Instant::now();
    let ended =
        both(async { (sleep(ms(2)).await, start.elapsed()).1 }, async { (sleep(ms(9)).await, start.elapsed()).1 });
    let (short, long) = ended.await;
    assert!(short >= ms(2) && long >= ms(9), "{short:?}, {long:?}");
    assert_elapsed(start, ms(9));
}

/// B008, L14: a sleep of no time, or until an instant in the past, gives way all the same, and stops cancelled code.
pub async fn a_sleep_of_no_time_is_a_full_checkpoint() {
    let start = Instant::now();
    sleep(ms(1)).await;
    assert!(yields(sleep(ms(0))).await >= 1, "it did not give way");
    assert!(yields(sleep_until(start)).await >= 1, "it did not give way");
    assert!(yields(sleep_until(Instant::now())).await >= 1, "it did not give way");

    let log = Log::new();
    let stopped = move_on_after(ms(0), async {
        sleep(ms(0)).await;
        log.add("behind it");
    });
    assert!(stopped.await.is_none());
    let stopped = move_on_after(ms(0), async {
        sleep_until(start).await;
        log.add("behind it");
    });
    assert!(stopped.await.is_none());
    assert_eq!(log.count("behind it"), 0);
}

/// B008: it is a checkpoint at both ends: a cancel that comes while it gives way stops the code, too.
pub async fn a_sleep_of_no_time_stops_at_its_end() {
    let log = Log::new();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(both(
        async {
            sleep(ms(0)).await;
            log.add("behind it");
        },
        async { handle.cancel("while it gives way") },
    ));
    assert!(outcome.await.is_err());
    assert_eq!(log.count("behind it"), 0);
}

/// B009: nothing but the cancellation of its scope ends a `sleep_forever`: not the wakes of others, not polls without
/// any.
pub async fn sleep_forever_ignores_stray_wakes() {
    const WAKES: usize = 20;
    let polls = AtomicUsize::new(0);
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let stray = async {
        for _ in 0..WAKES {
            yield_now().await;
        }
        handle.cancel("at last");
        sleep_forever().await
    };
    let outcome = scope.run(both(counted(&polls, sleep_forever()), stray)).await;
    assert_eq!(outcome.map(|_| ()).unwrap_err().reason().text(), Some("at last"));
    assert!(polls.into_inner() >= WAKES, "it has to be polled to show that it does not return");
}

/// B010: the clock is the same in the body, in tasks, in finalizers, and in deadlines.
pub async fn time_is_the_same_everywhere() {
    let start = Instant::now();
    let Ok(()) = nursery(async |n: Nursery| {
        let children = [ms(2), ms(4), ms(6)].map(|duration| {
            n.spawn(async move {
                sleep(duration).await;
                assert_elapsed(start, duration);
                Ok(Instant::now())
            })
        });
        for child in children {
            let now = child.await.unwrap();
            assert!(now <= Instant::now(), "the clock went back between two tasks");
        }
    })
    .await;
    assert_elapsed(start, ms(6));

    let before = Instant::now();
    move_on_after(ms(500), async {
        let at = deadline().expect("there is one");
        assert!(at >= before + ms(500));
        assert!(at == before + ms(500) || !is_exact(), "the deadline is on another clock");
        defer(async move { assert!(Instant::now() >= before) });
    })
    .await;
}

/// B010: an interval keeps the rhythm of the clock.
pub async fn an_interval_ticks_on_the_clock() {
    let start = Instant::now();
    let mut ticks = interval(ms(3));
    let first = ticks.tick().await;
    assert!(first >= start);
    for n in 1..4 {
        let due = ticks.tick().await;
        assert!(due >= first + ms(3) * n, "a tick came early");
        assert!(Instant::now() >= due, "a tick came early");
        assert!(due == first + ms(3) * n || !is_exact());
    }
}

/// B012, L4: a thread that foster does not know spawns children by the thousand; each of them runs, none twice.
pub async fn another_thread_spawns_thousands_of_children() {
    const CHILDREN: usize = 1000;
    let ran: Arc<Vec<AtomicUsize>> = Arc::new((0..CHILDREN).map(|_| AtomicUsize::new(0)).collect());
    let Ok(()) = nursery(async |n: Nursery| {
        let ran = ran.clone();
        let stranger = thread::spawn(move || {
            for index in 0..CHILDREN {
                let ran = ran.clone();
                n.spawn(async move {
                    ran[index].fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        stranger.join().expect("`spawn` does not panic");
    })
    .await;
    assert!(ran.iter().all(|runs| runs.load(Ordering::SeqCst) == 1));
}

/// B013: a wake that comes while its task is being polled leads to another poll; many of them are as good as one.
pub async fn a_wake_during_a_poll_is_not_lost() {
    let polls = Arc::new(AtomicUsize::new(0));
    let Ok(()) = nursery(async |n: Nursery| {
        let polls = polls.clone();
        n.spawn(poll_fn(move |cx| {
            if polls.fetch_add(1, Ordering::SeqCst) == 5 {
                return Poll::Ready(());
            }
            for _ in 0..10 {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }));
    })
    .await;
    assert_eq!(polls.load(Ordering::SeqCst), 6);
}

/// B014, L24: a service that is a daemon of the outermost nursery is there until the last task of the program has
/// ended.
pub async fn a_service_ends_after_the_program() {
    let log = Log::new();
    let Ok(()) = nursery(async |services: Nursery| {
        let up = Flag::new();
        let guard = log.on_drop("service");
        services.spawn_daemon({
            let up = up.clone();
            async move {
                let _guard = guard;
                up.set();
                sleep_forever().await
            }
        });
        up.wait().await;
        // The program: its children outlive its body.
        let Ok(()) = nursery(async |n: Nursery| {
            for _ in 0..3 {
                let log = log.clone();
                n.spawn(async move {
                    sleep(ms(3)).await;
                    log.add("task");
                });
            }
        })
        .await;
        log.add("the program is over");
    })
    .await;
    assert_eq!(log.entries(), ["task", "task", "task", "the program is over", "service"]);
}

/// B014, L7: a service that fails takes the program with it, and its error is what comes out.
pub async fn a_service_that_fails_ends_the_program() {
    let log = Log::new();
    let why = Log::new();
    let failed: Result<(), &str> = nursery(async |services| {
        services.spawn_daemon(async { Err::<(), _>("the service is broken") });
        let _guard = log.on_drop("program");
        let why = why.clone();
        let _reason = witness::on_drop(move || {
            let reason = foster::scope::reason().expect("it is cancelled");
            assert_eq!(reason.kind(), ReasonKind::ChildFailed);
            why.add("knows");
        });
        sleep_forever().await;
        Ok(())
    })
    .await;
    assert_eq!(failed, Err("the service is broken"));
    assert_eq!((log.count("program"), why.count("knows")), (1, 1));
}

/// B006, L2: a nursery that was let go of half-way is waited for by the scope around it, with what its children do
/// last.
pub async fn nothing_outlives_the_scope_around_it() {
    let log = Log::new();
    CancelScope::new()
        .run(async {
            let (started, over) = (Flag::new(), Flag::new());
            let child = {
                let (log, started, over) = (log.clone(), started.clone(), over.clone());
                async move {
                    defer(async move {
                        over.wait().await;
                        sleep(ms(2)).await;
                        log.add("cleaned up");
                    });
                    started.set();
                    sleep_forever().await
                }
            };
            let mut group = Box::pin(nursery(async |n: Nursery| {
                n.spawn(child);
            }));
            let () = witness::first(async { group.as_mut().await.unwrap_or(()) }, started.wait()).await;
            drop(group);
            log.add("body over");
            over.set();
        })
        .await
        .unwrap();
    assert_eq!(log.entries(), ["body over", "cleaned up"]);
}

/// B009, L8: a future that is let go of leaves no timer behind.
pub async fn a_sleep_that_is_dropped_disarms_its_timer() {
    let before = foster::observer::live_counts();
    abandon(sleep(witness::LONG)).await;
    abandon(sleep_until(Instant::now() + witness::LONG)).await;
    let mut ticks = interval(witness::LONG);
    ticks.tick().await;
    abandon(pin!(ticks.tick())).await;
    drop(ticks);
    assert_eq!(foster::observer::live_counts(), before);
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! running_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; running {
            a_sleep_is_never_early,
            a_sleep_of_no_time_is_a_full_checkpoint,
            a_sleep_of_no_time_stops_at_its_end,
            sleep_forever_ignores_stray_wakes,
            time_is_the_same_everywhere,
            an_interval_ticks_on_the_clock,
            another_thread_spawns_thousands_of_children,
            a_wake_during_a_poll_is_not_lost,
            a_service_ends_after_the_program,
            a_service_that_fails_ends_the_program,
            nothing_outlives_the_scope_around_it,
            a_sleep_that_is_dropped_disarms_its_timer,
        });
    };
}
