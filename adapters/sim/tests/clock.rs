//! Virtual time: autojump, manual clock, blocking jobs.

mod support;

use std::time::Duration;

use foster::Instant;
use foster_sim::{Builder, clock, run, wait_all_tasks_blocked};
use support::{Log, job, millis, panic_of, scope, secs};

/// B268.
#[test]
fn hours_of_sleep_take_no_time_and_are_exact() {
    run(7, async {
        let start = clock().now();
        foster::sleep(secs(3600) + Duration::from_nanos(1)).await;
        assert_eq!(clock().now() - start, secs(3600) + Duration::from_nanos(1));
    });
}

/// B268: time costs nothing, only what happens in it does.
#[test]
fn a_million_seconds_among_many_tasks() {
    let run = Builder::new(7).observe(scope(|n| async move {
        for task in 0..10 {
            n.spawn(async move {
                for _ in 0..1000 {
                    foster::sleep(millis(1_000_000 + task)).await;
                }
            });
        }
    }));
    run.outcome.unwrap();
    assert_eq!(run.elapsed, millis(1_000_009_000));
    assert!(run.steps < 25_000, "{} steps for 10,000 sleeps", run.steps);
}

#[test]
fn the_clock_stands_while_a_task_is_runnable() {
    run(
        7,
        scope(|n| async move {
            n.spawn(async { foster::sleep(Duration::from_nanos(1)).await });
            for _ in 0..1000 {
                foster::yield_now().await;
                assert_eq!(clock().elapsed(), Duration::ZERO);
            }
        }),
    );
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines_on_every_seed() {
    for seed in 0..50 {
        let log = Log::default();
        run(
            seed,
            scope(|n| {
                let log = log.clone();
                async move {
                    for delay in [30, 10, 20, 40] {
                        let log = log.clone();
                        n.spawn(async move {
                            foster::sleep(millis(delay)).await;
                            log.add(delay);
                        });
                    }
                }
            }),
        );
        assert_eq!(log.lines(), ["10", "20", "30", "40"]);
    }
}

#[test]
fn sleepers_of_one_instant_wake_in_an_order_that_depends_on_the_seed() {
    let orders: std::collections::BTreeSet<String> = (0..30)
        .map(|seed| {
            let log = Log::default();
            run(
                seed,
                scope(|n| {
                    let log = log.clone();
                    async move {
                        for task in 0..4 {
                            let log = log.clone();
                            n.spawn(async move {
                                foster::sleep(secs(1)).await;
                                log.add(task);
                            });
                        }
                    }
                }),
            );
            log.lines().concat()
        })
        .collect();
    assert!(orders.len() > 8, "{orders:?}");
}

/// B267.
#[test]
fn a_manual_clock_moves_only_when_told_and_never_back() {
    let start = Instant::from_nanos(5_000_000_000);
    let log = Log::default();
    Builder::new(7).manual_clock().start_at(start).run(scope(|n| {
        let log = log.clone();
        async move {
            for delay in [3, 1, 2] {
                let log = log.clone();
                n.spawn(async move {
                    foster::sleep(secs(delay)).await;
                    log.add(format_args!("{delay} at {:?}", clock().elapsed()));
                });
            }
            wait_all_tasks_blocked().await;
            assert_eq!(clock().now(), start);
            clock().jump(millis(1500));
            wait_all_tasks_blocked().await;
            assert_eq!(log.lines(), ["1 at 1.5s"]);
            let back = clock().jump_to(start).unwrap_err();
            assert_eq!((back.now, back.at), (start + millis(1500), start));
            clock().jump_to(start + secs(10)).unwrap();
        }
    }));
    assert_eq!(log.lines().len(), 3);
    assert!(log.lines()[1..].iter().all(|line| line.ends_with("at 10s")));
}

/// B271.
#[test]
fn autojump_can_be_switched_while_tasks_sleep() {
    Builder::new(7).manual_clock().run(scope(|n| async move {
        n.spawn(async { foster::sleep(secs(5)).await });
        wait_all_tasks_blocked().await;
        assert!(!clock().autojump());
        clock().set_autojump(true);
        foster::sleep(secs(1)).await;
        assert_eq!(clock().elapsed(), secs(1));
    }));
}

#[test]
fn a_clock_that_stands_is_reported() {
    let run = Builder::new(7).manual_clock().observe(async { foster::sleep(secs(1)).await });
    assert!(panic_of(run).contains("wait for a manual clock"));
}

#[test]
fn blocking_jobs_take_no_time_unless_told() {
    let took = |settings: Builder| {
        settings.run(async {
            assert_eq!(job(|| 7).await, 7);
            clock().elapsed()
        })
    };
    assert_eq!(took(Builder::new(1)), Duration::ZERO);
    let times: Vec<Duration> = (0..10).map(|seed| took(Builder::new(seed).blocking_time(secs(1), secs(2)))).collect();
    assert!(times.iter().all(|time| (secs(1)..=secs(2)).contains(time)), "{times:?}");
    assert!(times.iter().any(|time| *time != times[0]));
}

#[test]
fn the_clock_does_not_pass_a_blocking_job() {
    for seed in 0..20 {
        let log = Log::default();
        Builder::new(seed).blocking_time(millis(15), millis(15)).run(scope(|n| {
            let log = log.clone();
            async move {
                let (sleeper, blocker) = (log.clone(), log);
                n.spawn(async move {
                    for _ in 0..2 {
                        foster::sleep(millis(10)).await;
                        sleeper.add(format_args!("tick {:?}", clock().elapsed()));
                    }
                });
                n.spawn(async move {
                    job(|| ()).await;
                    blocker.add(format_args!("job {:?}", clock().elapsed()));
                });
            }
        }));
        assert_eq!(log.lines(), ["tick 10ms", "job 15ms", "tick 20ms"]);
    }
}

#[test]
fn real_threads_hold_the_clock_and_may_wait_for_tasks() {
    Builder::new(7).real_threads(secs(60)).run(scope(|n| async move {
        let (to_thread, from_task) = std::sync::mpsc::channel();
        n.spawn(async move {
            job(move || assert_eq!(from_task.recv(), Ok(42))).await;
            assert_eq!(clock().elapsed(), Duration::ZERO);
        });
        n.spawn(async move {
            for _ in 0..10 {
                foster::yield_now().await;
            }
            to_thread.send(42).unwrap();
            foster::sleep(secs(1)).await;
        });
    }));
}
