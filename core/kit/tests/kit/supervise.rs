//! Supervisors, in virtual time.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::retry::{Backoff, Jitter};
use foster::supervise::{ChildExit, Restart, Strategy, Supervisor, SupervisorEvent};
use foster::{
    CancelScope, Instant, Nursery, bracket, defer, graceful, move_on_after, nursery, shield, sleep, sleep_forever,
    stopping,
};

mod failures;

const SEEDS: u64 = 50;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Delays of 1 s, 2 s, 4 s and so on.
fn doubling() -> Backoff {
    Backoff::new().base(secs(1)).jitter(Jitter::None).cap(secs(60))
}

/// The events, and the second of each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(u64, String)>>>);

impl Log {
    fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push((Instant::now().as_nanos() / 1_000_000_000, entry.into()));
    }

    /// In the order of time; of one second in the order of the alphabet, for the schedule is drawn.
    fn entries(&self) -> Vec<(u64, String)> {
        let mut entries = self.0.lock().unwrap().clone();
        entries.sort();
        entries
    }
}

#[track_caller]
fn happened(log: &Log, expected: &[(u64, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(at, what)| (*at, (*what).to_owned())).collect();
    assert_eq!(log.entries(), expected);
}

/// A child that says when it begins and ends, and fails after `life` seconds as often as `failures` says.
fn child(
    log: &Log,
    name: &'static str,
    life: u64,
    failures: u64,
) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + use<> {
    let log = log.clone();
    let mut lives = 0;
    move || {
        lives += 1;
        let (log, lives) = (log.clone(), lives);
        Box::pin(async move {
            log.add(format!("{name} begins"));
            let end = log.clone();
            defer(async move { end.add(format!("{name} ends")) });
            if lives > failures {
                sleep_forever().await;
            }
            sleep(secs(life)).await;
            Err(format!("{name} {lives}"))
        })
    }
}

fn quietly(_: &SupervisorEvent<'_, String>) {}

fn on_seeds(program: impl AsyncFn()) {
    for seed in 0..SEEDS {
        foster_sim::run(seed, program());
    }
}

/// One for one: only the one that failed is started again, after its own backoff.
#[test]
fn one_for_one_starts_the_failed_child_again() {
    on_seeds(async || {
        let log = Log::default();
        let run = Supervisor::new()
            .backoff(doubling())
            .observe(quietly)
            .child("a", child(&log, "a", 3, 2))
            .child("b", child(&log, "b", 0, 0))
            .run();
        assert!(move_on_after(secs(50), run).await.is_none());
        happened(
            &log,
            &[(0, "a begins"), (0, "b begins"), (3, "a ends"), (4, "a begins"), (7, "a ends"), (9, "a begins")]
                .into_iter()
                .chain([(50, "a ends"), (50, "b ends")])
                .collect::<Vec<_>>(),
        );
    });
}

/// One for all: the others are stopped, and all begin together, after the last of them has ended.
#[test]
fn one_for_all_stops_and_starts_all() {
    on_seeds(async || {
        let log = Log::default();
        let slow = log.clone();
        let run = Supervisor::new()
            .strategy(Strategy::OneForAll)
            .backoff(doubling())
            .observe(quietly)
            .child("a", child(&log, "a", 3, 1))
            .child("b", move || {
                let log = slow.clone();
                async move {
                    log.add("b begins");
                    let end = log.clone();
                    defer(async move {
                        sleep(secs(2)).await;
                        end.add("b ends");
                    });
                    sleep_forever().await
                }
            })
            .run();
        assert!(move_on_after(secs(20), run).await.is_none());
        happened(
            &log,
            &[
                (0, "a begins"),
                (0, "b begins"),
                (3, "a ends"),
                (5, "b ends"),
                (6, "a begins"),
                (6, "b begins"),
                (20, "a ends"),
                (22, "b ends"),
            ],
        );
    });
}

/// One for all, whichever of them fails; and they are started in the order in which they were added, whatever the order
/// of their ends.
#[test]
fn one_for_all_starts_all_in_their_order() {
    on_seeds(async || {
        let started = Arc::new(Mutex::new(Vec::new()));
        let note = started.clone();
        let log = Log::default();
        let run = Supervisor::new()
            .strategy(Strategy::OneForAll)
            .backoff(doubling())
            .observe(move |event: &SupervisorEvent<'_, String>| {
                if let SupervisorEvent::Started { child, .. } = event {
                    note.lock().unwrap().push((*child).to_owned());
                }
            })
            .child("c", child(&log, "c", 0, 0))
            .child("b", child(&log, "b", 3, 1))
            .child("a", child(&log, "a", 0, 0))
            .run();
        assert!(move_on_after(secs(10), run).await.is_none());
        assert_eq!(*started.lock().unwrap(), ["c", "b", "a", "c", "b", "a"]);
        assert_eq!(log.entries().iter().filter(|(at, what)| *at == 4 && what.ends_with("begins")).count(), 3);
    });
}

/// Rest for one: what was added before goes on.
#[test]
fn rest_for_one_starts_those_behind_again() {
    on_seeds(async || {
        let log = Log::default();
        let run = Supervisor::new()
            .strategy(Strategy::RestForOne)
            .backoff(doubling())
            .observe(quietly)
            .child("a", child(&log, "a", 0, 0))
            .child("b", child(&log, "b", 3, 1))
            .child("c", child(&log, "c", 0, 0))
            .run();
        assert!(move_on_after(secs(10), run).await.is_none());
        let expected = [
            (0, "a begins"),
            (0, "b begins"),
            (0, "c begins"),
            (3, "b ends"),
            (3, "c ends"),
            (4, "b begins"),
            (4, "c begins"),
            (10, "a ends"),
            (10, "b ends"),
            (10, "c ends"),
        ];
        happened(&log, &expected);
    });
}

/// Never is never: stopped with the others, and not started again with them.
#[test]
fn who_is_never_started_again_is_not_started_with_others() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        on_seeds(async || {
            let log = Log::default();
            let run = Supervisor::new()
                .strategy(strategy)
                .backoff(doubling())
                .observe(quietly)
                .child("a", child(&log, "a", 3, 1))
                .child_with("b", Restart::Never, child(&log, "b", 0, 0))
                .child("c", child(&log, "c", 0, 0))
                .run();
            assert!(move_on_after(secs(10), run).await.is_none());
            let expected = [
                (0, "a begins"),
                (0, "b begins"),
                (0, "c begins"),
                (3, "a ends"),
                (3, "b ends"),
                (3, "c ends"),
                (4, "a begins"),
                (4, "c begins"),
                (10, "a ends"),
                (10, "c ends"),
            ];
            happened(&log, &expected);
        });
    }
}

/// One that has returned before it could be asked to stop has returned: that is not undone.
#[test]
fn who_has_returned_is_not_started_with_others() {
    let (before, after) = (Cell::new(0), Cell::new(0));
    on_seeds(async || {
        let returned = Arc::new(AtomicBool::new(false));
        let was_first = Arc::new(AtomicBool::new(false));
        let lives = Arc::new(AtomicU64::new(0));
        let (look, tell, note) = (returned.clone(), was_first.clone(), lives.clone());
        let run = Supervisor::new()
            .strategy(Strategy::OneForAll)
            .backoff(doubling())
            .observe(move |event: &SupervisorEvent<'_, String>| match event {
                SupervisorEvent::Ended { child: "a", .. } => {
                    tell.store(look.load(Ordering::SeqCst), Ordering::SeqCst);
                }
                SupervisorEvent::Started { child: "b", lives, .. } => note.store(*lives, Ordering::SeqCst),
                _ => {}
            })
            .child("a", child(&Log::default(), "a", 3, 1))
            .child("b", move || {
                let returned = returned.clone();
                async move {
                    sleep(secs(3)).await;
                    returned.store(true, Ordering::SeqCst);
                    Ok(())
                }
            })
            .run();
        assert!(move_on_after(secs(5), run).await.is_none());
        let seen = if was_first.load(Ordering::SeqCst) { (&before, 1) } else { (&after, 2) };
        seen.0.set(seen.0.get() + 1);
        assert_eq!(lives.load(Ordering::SeqCst), seen.1);
    });
    assert!(before.get() > 0 && after.get() > 0, "{before:?} {after:?}");
}

/// Those that fail in one instant are started again together, which is one restart.
#[test]
fn failures_of_one_instant_are_one_restart() {
    on_seeds(async || {
        let log = Log::default();
        let run = Supervisor::new()
            .strategy(Strategy::OneForAll)
            .backoff(doubling())
            .intensity(1, secs(100))
            .observe(quietly)
            .child("a", child(&log, "a", 3, 1))
            .child("b", child(&log, "b", 3, 1))
            .child("c", child(&log, "c", 3, 1))
            .run();
        assert!(move_on_after(secs(10), run).await.is_none());
        assert_eq!(log.entries().iter().filter(|(at, what)| *at == 4 && what.ends_with("begins")).count(), 3);
    });
}

/// L2: a life has ended, with its tasks and its cleanup, before the next one begins: what it holds is free again.
#[test]
fn a_life_has_ended_before_the_next_one_begins() {
    on_seeds(async || {
        let held = Arc::new(AtomicU64::new(0));
        let most = Arc::new(AtomicU64::new(0));
        let (port, seen) = (held.clone(), most.clone());
        let run =
            Supervisor::new().backoff(doubling().base(Duration::ZERO)).observe(quietly).child("server", move || {
                let (port, seen) = (port.clone(), seen.clone());
                async move {
                    seen.fetch_max(port.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    bracket(
                        async { port },
                        async |_port| {
                            nursery(async |n| {
                                n.spawn(sleep_forever());
                                sleep(secs(1)).await;
                                Err::<(), _>("lost".to_owned())
                            })
                            .await
                        },
                        |port, _| async move {
                            sleep(secs(1)).await;
                            port.fetch_sub(1, Ordering::SeqCst);
                        },
                    )
                    .await
                }
            });
        let gave_up = run.run().await.unwrap_err();
        assert_eq!(gave_up.restarts(), 5);
        assert_eq!((held.load(Ordering::SeqCst), most.load(Ordering::SeqCst)), (0, 1));
        assert!(matches!(gave_up.into_exit(), ChildExit::Failed(error) if error == "lost"));
    });
}

/// Intensity: more than so many restarts in a period are too many; the others are cancelled, and have ended.
#[test]
fn too_many_restarts_are_given_up() {
    on_seeds(async || {
        let log = Log::default();
        let start = Instant::now();
        let run = Supervisor::new()
            .backoff(doubling().factor(1.0))
            .intensity(2, secs(100))
            .observe(quietly)
            .child("a", child(&log, "a", 3, 9))
            .child("b", child(&log, "b", 0, 0))
            .run();
        let gave_up = run.await.unwrap_err();
        assert_eq!((gave_up.child(), gave_up.restarts()), ("a", 2));
        assert_eq!(gave_up.to_string(), "the supervisor has given up after 2 restarts: `a` has failed: \"a 3\"");
        assert_eq!(start.elapsed(), secs(11));
        assert!(log.entries().contains(&(11, "b ends".to_owned())));
    });
}

/// Intensity: restarts further back than the period are forgotten, and the backoff begins anew.
#[test]
fn a_child_that_lives_long_is_forgiven() {
    on_seeds(async || {
        let log = Log::default();
        let run = Supervisor::new()
            .backoff(doubling())
            .intensity(1, secs(10))
            .observe(quietly)
            .child("a", child(&log, "a", 20, 3))
            .run();
        assert!(move_on_after(secs(80), run).await.is_none());
        let begins: Vec<u64> = log.entries().iter().filter(|(_, what)| what == "a begins").map(|(at, _)| *at).collect();
        assert_eq!(begins, [0, 21, 42, 63]);
    });
}

/// A panic counts as a failure; it disturbs nobody else, and the last one can be resumed.
#[test]
fn a_panic_is_a_failure() {
    on_seeds(async || {
        let mut lives = 0;
        let run = Supervisor::new().intensity(1, secs(100)).observe(quietly).child("a", move || {
            lives += 1;
            async move {
                sleep(secs(1)).await;
                std::panic::panic_any(lives)
            }
        });
        let gave_up = run.run().await.unwrap_err();
        let ChildExit::Panicked(payload) = gave_up.into_exit() else { panic!("it panics") };
        assert_eq!(payload.downcast_ref(), Some(&2));
    });
}

/// Policies: always, on failure, never; a supervisor without children that may come back returns.
#[test]
fn the_policy_says_whether_a_child_comes_back() {
    on_seeds(async || {
        let events = Arc::new(Mutex::new(Vec::new()));
        let tell = events.clone();
        let run = Supervisor::new()
            .backoff(doubling())
            .intensity(2, secs(100))
            .observe(move |event: &SupervisorEvent<'_, String>| tell.lock().unwrap().push(event.to_string()))
            .child_with("never", Restart::Never, || async {
                sleep(secs(1)).await;
                Err::<(), _>("once".to_owned())
            })
            .child("on failure", || async {
                sleep(secs(2)).await;
                Ok(())
            })
            .run();
        run.await.unwrap();
        let seen = events.lock().unwrap().clone();
        assert_eq!(seen.len(), 4, "{seen:#?}");
        assert!(
            seen[2].starts_with("`never` (core/kit/tests/kit/supervise.rs:")
                && seen[2].ends_with("has failed: \"once\"")
        );
        assert!(seen[3].ends_with("has returned"));

        let always = Supervisor::new().backoff(doubling()).intensity(2, secs(100)).observe(quietly);
        let gave_up = always.child_with("always", Restart::Always, || async { Ok(()) }).run().await.unwrap_err();
        assert!(matches!(gave_up.exit(), ChildExit::Returned));
        Supervisor::<String>::new().run().await.unwrap();
    });
}

/// Dumps and reports show where a child was added, and where the supervisor runs.
#[test]
fn children_and_supervisors_are_shown_where_they_are_written() {
    on_seeds(async || {
        let seen = Arc::new(Mutex::new(String::new()));
        let shows = seen.clone();
        let child = move || {
            let shows = shows.clone();
            async move { *shows.lock().unwrap() = foster::dump().to_string() }
        };
        Supervisor::<String>::new().observe(quietly).child("shown", child).run().await.unwrap();
        let seen = seen.lock().unwrap();
        assert!(seen.contains("task `shown` (core/kit/tests/kit/supervise.rs:"), "{seen}");
        assert!(seen.contains("cancel scope `shown` (core/kit/tests/kit/supervise.rs:"), "{seen}");
        assert!(seen.contains("nursery `supervisor` (core/kit/tests/kit/supervise.rs:"), "{seen}");
    });
}

/// L15, L19: a supervisor that is cancelled cancels its children, and waits for them; also in the delay before a
/// restart.
#[test]
fn a_cancelled_supervisor_starts_nothing_again() {
    on_seeds(async || {
        let log = Log::default();
        let run =
            Supervisor::new().backoff(doubling().base(secs(9))).observe(quietly).child("a", child(&log, "a", 3, 9));
        let Ok(()) = nursery(async |n: Nursery| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            n.spawn(async move {
                assert!(scope.run(run.run()).await.is_err());
            });
            sleep(secs(5)).await;
            handle.cancel("enough");
        })
        .await;
        happened(&log, &[(0, "a begins"), (3, "a ends")]);
        assert_eq!(Instant::now(), Instant::from_nanos(5_000_000_000));
    });
}

/// L16, L25-L27: a supervisor that is dropped at any point: each life that has begun ends, and is waited for.
#[test]
fn a_supervisor_may_be_dropped_anywhere() {
    for polls in 0..12 {
        on_seeds(async || {
            let log = Log::default();
            let mut left = polls;
            let out = CancelScope::new().run(async {
                let run = Supervisor::new().backoff(doubling()).observe(quietly).child("a", child(&log, "a", 1, 3));
                let mut run = Box::pin(run.child("b", child(&log, "b", 2, 3)).run());
                std::future::poll_fn(|cx| {
                    if left == 0 {
                        return std::task::Poll::Ready(());
                    }
                    left -= 1;
                    run.as_mut().poll(cx).map(drop)
                })
                .await;
            });
            assert!(out.await.is_ok());
            let count = |what: &str| log.entries().iter().filter(|(_, entry)| entry.ends_with(what)).count();
            assert_eq!(count("begins"), count("ends"), "after {polls} polls: {:?}", log.entries());
        });
    }
}
