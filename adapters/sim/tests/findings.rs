//! The findings of a simulation: deadlocks, tasks that never block, runs without end.

mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use foster_sim::{Builder, Schedule, clock, explore, note};
use support::{job, millis, panic_of, scope, secs};

/// B283: names, spawn sites, the states of the scopes, and what each leaf waits for; not what it has waited for before.
#[test]
fn a_deadlock_shows_the_live_tree() {
    let run = Builder::new(7).observe(scope(|n| async move {
        let event = Arc::new(foster::sync::Event::new());
        n.child().named("reader").spawn(async move {
            foster::sleep(secs(3)).await;
            foster::checkpoint().await;
            foster::shield(event.wait()).await;
        });
        n.child().named("heartbeat").daemon().spawn(std::future::pending::<()>());
        let mut stopped = foster::CancelScope::new().named("upload");
        let handle = stopped.handle();
        n.child().named("uploader").spawn(async move {
            let _cancelled = stopped.run(foster::shield(foster::sleep_forever())).await;
        });
        foster::sleep(secs(1)).await;
        handle.cancel("on purpose");
        // Not a part of the tree: the simulator cannot say what this waits for.
        std::future::pending::<()>().await;
    }));
    assert_eq!(run.elapsed, secs(3));
    let message = panic_of(run);
    assert!(message.starts_with("deadlock: no task is runnable"), "{message}");
    let tree = message.split(":\n").nth(1).expect("the tree comes last");
    // The sites, without their lines and columns.
    let line = |line: &str| line.split(|c: char| c.is_ascii_digit()).collect::<Vec<_>>().concat().replace("::", "");
    let lines: Vec<String> = tree.lines().map(line).collect();
    assert_eq!(
        lines,
        [
            "root `root` (adapters/sim/tests/findings.rs)",
            "  nursery `nursery` (adapters/sim/tests/support/mod.rs)",
            "    task `reader` (adapters/sim/tests/findings.rs)",
            "      shield `shield` (adapters/sim/tests/findings.rs), waits for event",
            "    task `heartbeat` (adapters/sim/tests/findings.rs), daemon",
            "    task `uploader` (adapters/sim/tests/findings.rs)",
            "      cancel scope `upload` (adapters/sim/tests/findings.rs), cancelled, asked to stop s ago: cancelled by `root` \
             (adapters/sim/tests/findings.rs): on purpose (at adapters/sim/tests/findings.rs)",
            "        shield `shield` (adapters/sim/tests/findings.rs), waits for sleep_forever",
        ]
    );
}

#[test]
fn a_task_that_never_blocks_is_named() {
    let run = Builder::new(7).poll_budget(1000).observe(scope(|n| async move {
        n.spawn(async { foster::sleep(secs(3)).await });
        n.child().named("spinner").spawn(async {
            while clock().elapsed() < secs(1) {
                foster::yield_now().await;
            }
        });
    }));
    assert!(run.steps < 5000);
    let message = panic_of(run);
    assert!(message.starts_with("task `spinner` (adapters/sim/tests/findings.rs:"), "{message}");
    assert!(message.contains(") does not block: whenever its poll ended it was runnable again."), "{message}");
    let tree = message.split("The live tree after ").nth(1).expect("the tree comes last");
    assert!(tree.contains("    task `spinner` (adapters/sim/tests/findings.rs:"), "{tree}");
    let main = Builder::new(7).poll_budget(10).observe(async {
        loop {
            foster::yield_now().await;
        }
    });
    assert!(panic_of::<()>(main).starts_with("the main future does not block"));
}

/// A loop of operations that are ready at once is found as soon as one that yields: it does not take a hundred times as long.
#[test]
fn a_task_whose_operations_are_always_ready_is_named() {
    let operations = Arc::new(AtomicU64::new(0));
    let seen = operations.clone();
    let run = Builder::new(7).poll_budget(1000).observe(scope(|n| async move {
        n.child().named("reader").spawn(async move {
            let event = foster::sync::Event::new();
            event.set();
            loop {
                event.wait().await;
                seen.fetch_add(1, Relaxed);
            }
        });
    }));
    assert!(run.steps < 100, "{} steps", run.steps);
    assert!((5_000..20_000).contains(&operations.load(Relaxed)), "{operations:?} operations");
    assert!(panic_of(run).contains("`reader`"));
}

#[test]
fn a_run_without_end_reaches_a_limit() {
    let ticks = || async {
        loop {
            foster::sleep(secs(60)).await;
        }
    };
    let run = Builder::new(7).step_limit(1000).observe(ticks());
    assert_eq!(run.steps, 1000);
    assert!(panic_of(run).contains("step limit"));
    let run = Builder::new(7).time_limit(secs(3600)).observe(ticks());
    assert_eq!(run.elapsed, secs(3600));
    assert!(panic_of(run).contains("limit of virtual time"));
}

#[test]
fn everything_is_dropped_after_a_deadlock() {
    let witness = Arc::new(());
    let held = witness.clone();
    let run = Builder::new(7).observe(scope(|n| async move {
        let held = held;
        n.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
    }));
    assert!(run.outcome.is_err());
    assert_eq!(Arc::strong_count(&witness), 1);
}

/// Two tasks check, yield, and act: fails when both check first.
async fn race() {
    let (taken, sold) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let count = sold.clone();
    scope(|n| async move {
        for buyer in 0..2 {
            let (taken, sold) = (taken.clone(), count.clone());
            n.spawn(async move {
                foster::sleep(millis(buyer)).await;
                if !taken.load(Relaxed) {
                    note(format_args!("buyer {buyer} sees a free seat"));
                    for _ in 0..3 {
                        job(|| ()).await;
                    }
                    if foster_sim::random() % 2 == 0 {
                        foster::sleep(millis(2)).await;
                    }
                    taken.store(true, Relaxed);
                    sold.fetch_add(1, Relaxed);
                }
            });
        }
    })
    .await;
    assert_eq!(sold.load(Relaxed), 1, "sold twice");
}

#[test]
fn explore_finds_a_race_and_shrinks_it_to_a_schedule_that_replays() {
    let found = explore(0..100, race);
    assert_eq!(found.runs, 100);
    assert!(found.distinct > 10 && (1..100).contains(&found.failed), "{found}");
    let failure = found.failure.clone().expect("the race is found");
    assert!(failure.message.contains("sold twice"));
    assert!(failure.trace.to_string().contains("note   buyer 1 sees a free seat"), "{found}");
    assert!(found.to_string().contains("distinct schedules"));
    for _ in 0..2 {
        let schedule: Schedule = failure.shortest.to_string().parse().unwrap();
        let again = Builder::new(schedule).observe(race());
        assert_eq!(again.steps, failure.steps);
        assert!(panic_of(again).contains("sold twice"));
    }
}

#[test]
fn shrinking_leaves_only_the_choices_that_matter() {
    // Fails if the third of ten tasks is the first to run: one choice, however the rest goes.
    let program = || async {
        let (first, failed) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let result = failed.clone();
        scope(|n| async move {
            for task in 0..10 {
                let (first, failed) = (first.clone(), failed.clone());
                n.spawn(async move {
                    if first.swap(false, Relaxed) && task == 2 {
                        failed.store(true, Relaxed);
                    }
                    for _ in 0..5 {
                        foster::yield_now().await;
                    }
                });
            }
        })
        .await;
        if result.load(Relaxed) { Err("the third was first") } else { Ok(()) }
    };
    let failure = explore(0..200, program).failure.expect("some seed starts with the third task");
    assert!(failure.message.contains("the third was first"));
    let text = failure.shortest.to_string();
    assert_eq!(text.matches('=').count(), 1, "{text}");
    assert!(text.ends_with("/0=2"), "{text}");
}

#[test]
fn a_failing_test_names_itself_its_seed_and_how_to_repeat_it() {
    let outcome = std::panic::catch_unwind(|| foster_sim::test("races", 100, race));
    let message = *outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("test `races` failed on the simulator with seed "), "{message}");
    assert!(message.contains("FOSTER_SEED="), "{message}");
    assert!(message.contains("poll   task"), "{message}");
}

#[test]
fn a_failing_test_says_what_is_wrong_with_its_repetition() {
    let message = |body: fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>, seeds| {
        let outcome = std::panic::catch_unwind(|| foster_sim::test("fails", seeds, body));
        let payload = outcome.unwrap_err();
        payload.downcast_ref::<String>().cloned().unwrap()
    };
    // Only in the first run of the process.
    let once = message(
        || {
            static FIRST: AtomicBool = AtomicBool::new(true);
            Box::pin(async { assert!(!FIRST.swap(false, Relaxed), "only once") })
        },
        10,
    );
    assert!(once.contains("with seed 0: only once\n"), "{once}");
    assert!(once.contains("this one passed when it was run again: FOSTER_CHECK_DETERMINISM=1"), "{once}");
    // In another way if the choice is another one: the shortest has the second task first.
    let other = message(
        || {
            Box::pin(async {
                let first = Arc::new(AtomicU32::new(u32::MAX));
                let result = first.clone();
                scope(|n| async move {
                    for task in 0..100 {
                        let first = first.clone();
                        n.spawn(async move { _ = first.compare_exchange(u32::MAX, task, Relaxed, Relaxed) });
                    }
                })
                .await;
                let first = result.load(Relaxed);
                assert!(first == 0, "task {first} was first");
            })
        },
        10,
    );
    assert!(!other.contains("with seed 0: task 1 was first"), "another seed is needed here: {other}");
    assert!(other.contains(", which fails in another way: task 1 was first\n"), "{other}");
    let none = message(|| Box::pin(async {}), 0);
    assert!(none.contains("test `fails` has no seed to run with"), "{none}");
}

#[test]
fn a_run_that_panics_prints_its_seed() {
    const CHILD: &str = "FOSTER_SIM_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        foster_sim::run(4711, async { panic!("on purpose") });
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_run_that_panics_prints_its_seed", "--exact", "--nocapture"]).env(CHILD, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("on purpose"), "{text}");
    assert!(text.contains("the run that failed had the seed 4711; the same seed repeats it"), "{text}");
}

#[test]
fn the_environment_chooses_the_seeds_of_a_test() {
    const CHILD: &str = "FOSTER_SIM_TEST_COUNTS_RUNS";
    if std::env::var_os(CHILD).is_some() {
        let runs = AtomicU32::new(0);
        foster_sim::test("counts", 30, || async {
            runs.fetch_add(1, Relaxed);
            println!("draws {}", foster_sim::random());
            foster::sleep(secs(1)).await;
            Ok::<(), String>(())
        });
        println!("runs {}", runs.load(Relaxed));
        return;
    }
    let child = |variable: &str, value: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["the_environment_chooses_the_seeds_of_a_test", "--exact", "--nocapture"]);
        command.env_remove("FOSTER_SEED").env_remove("FOSTER_SEEDS").env(CHILD, "1").env(variable, value);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let all = child("FOSTER_OTHER", "");
    assert!(all.contains("runs 30\n"), "{all}");
    assert!(child("FOSTER_SEEDS", "50").contains("runs 50\n"));
    let one = child("FOSTER_SEED", "29");
    let last = all.lines().rfind(|line| line.starts_with("draws ")).unwrap();
    assert!(one.contains("runs 1\n") && one.contains(last), "{one}");
    assert!(child("FOSTER_SEED", "29/3=1").contains("runs 1\n"));
    // Each seed twice more.
    assert!(child("FOSTER_CHECK_DETERMINISM", "1").contains("runs 90\n"));
    assert!(child("FOSTER_SEED", "x").contains("the environment variable FOSTER_SEED cannot be `x`"));
}

/// The search has limits of its own. A run that only these stop is no failure, however few choices it has.
#[test]
fn shrinking_takes_no_long_run_for_a_failure() {
    let found = explore(0..50, || async {
        let first = Arc::new(AtomicU32::new(0));
        let by_order = first.clone();
        scope(|n| async move {
            for number in 1..=2 {
                let first = by_order.clone();
                n.spawn(async move {
                    let _ = first.compare_exchange(0, number, Relaxed, Relaxed);
                });
            }
        })
        .await;
        assert_eq!(first.load(Relaxed), 1, "the second was first");
        // The calm schedule is right, and takes many times as long as the one that fails.
        for _ in 0..5_000 {
            foster::sleep(millis(1)).await;
        }
    });
    let failure = found.failure.expect("some schedule has the other order");
    assert!(failure.shortest_message.contains("the second was first"), "{}", failure.shortest_message);
}
