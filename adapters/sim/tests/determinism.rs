//! Same seed, same run: within a process, across processes, recorded or not.

mod support;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::Poll;

use foster::observer::Observer;
use foster::{move_on_after, shield};
use foster_sim::{Builder, Event, Policy, Schedule};
use support::{Log, broad_program, busy_program, job, millis, scope, secs};

fn hash(seed: u64) -> u64 {
    let run = Builder::new(seed).observe(busy_program());
    run.outcome.expect("the program ends");
    assert_eq!(run.outside, 0);
    run.hash
}

/// B276, L39.
#[test]
fn one_seed_gives_one_trace_and_other_seeds_give_others() {
    let hashes: Vec<u64> = (0..50).map(hash).collect();
    assert_eq!(hashes, (0..50).map(hash).collect::<Vec<_>>());
    let distinct: BTreeSet<u64> = hashes.into_iter().collect();
    assert!(distinct.len() >= 48, "only {} distinct schedules", distinct.len());
}

/// The hashes that a process of its own finds, in which other threads have been started and other maps been hashed.
fn hashes_elsewhere(test: &str, round: u64) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, round.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once("hashes ").map(|(_, hashes)| hashes.to_owned()));
    line.unwrap_or_else(|| panic!("no hashes: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

const CHILD: &str = "FOSTER_SIM_TEST_PRINTS_HASHES";

/// The hashes of some runs. A child process prints them, from a thread with another number.
fn hashes<F: Future<Output = ()> + 'static>(program: fn() -> F) -> String {
    let all = move || {
        let of = |seed| {
            let run = Builder::new(seed).observe(program());
            run.outcome.expect("the program ends");
            format!("{:016x}", run.hash)
        };
        (0..20).map(of).collect::<Vec<_>>().join(" ")
    };
    let Some(round) = std::env::var(CHILD).ok().and_then(|round| round.parse::<u32>().ok()) else { return all() };
    for _ in 0..=round {
        std::thread::spawn(|| drop(std::collections::HashMap::from([(1, 2)]))).join().unwrap();
    }
    let hashes = std::thread::spawn(all).join().unwrap();
    println!("hashes {hashes}");
    hashes
}

/// B276, L39: neither the order of a hash map, nor the number of a thread, nor the time on the wall leaks into a run.
#[test]
fn two_processes_agree_on_the_hashes() {
    let own = hashes(|| async {
        busy_program().await;
        broad_program().await;
    });
    if std::env::var_os(CHILD).is_none() {
        for round in 0..2 {
            assert_eq!(hashes_elsewhere("two_processes_agree_on_the_hashes", round), own);
        }
    }
}

/// A leak would be seen: a program that iterates over a hash map has other hashes in each process.
#[test]
fn the_order_of_a_hash_map_changes_the_hashes() {
    let own = hashes(|| async {
        let map: std::collections::HashMap<u64, u64> = (0..20).map(|key| (key, key)).collect();
        for key in map.into_keys() {
            foster::sleep(secs(key)).await;
        }
    });
    if std::env::var_os(CHILD).is_none() {
        assert_ne!(hashes_elsewhere("the_order_of_a_hash_map_changes_the_hashes", 0), own);
    }
}

/// As many as there are, no matter how many seeds are run.
#[test]
fn explore_counts_distinct_schedules() {
    let program = |children: u64| {
        move || {
            scope(move |n| async move {
                for _ in 0..children {
                    n.spawn(async {});
                }
                foster::sleep(secs(1)).await;
            })
        }
    };
    // The children are equal but for their numbers: of n there are n! orders.
    for (children, orders) in [(0, 1), (1, 1), (2, 2), (3, 6), (4, 24)] {
        let found = foster_sim::explore(0..1000, program(children));
        assert_eq!((found.runs, found.distinct, found.failed), (1000, orders, 0), "{children} children");
    }
}

/// L39: what `retry` adds to its pauses is a matter of the seed, too.
#[test]
fn jitter_comes_from_the_seed() {
    let pauses = |seed| {
        let run = Builder::new(seed).observe(async {
            let mut tries = 0;
            let tried = foster::retry::retry(foster::retry::Backoff::new(), || {
                tries += 1;
                let enough = tries > 5;
                async move { if enough { Ok(()) } else { Err(()) } }
            });
            tried.await.unwrap();
        });
        run.outcome.unwrap();
        run.elapsed
    };
    let times: BTreeSet<_> = (0..20).map(pauses).collect();
    assert_eq!(times.len(), 20, "each seed has its own");
    assert_eq!(times, (0..20).map(pauses).collect());
}

/// Follows everything, and does nothing.
struct Follower;

impl Observer for Follower {
    fn follows_tasks(&self) -> bool {
        true
    }

    fn follows_scopes(&self) -> bool {
        true
    }
}

/// A nursery that is held and not polled when the scope around it is cancelled, beside scopes of all kinds: what was
/// dropped and what has ended, in order.
async fn held_program() -> Vec<String> {
    let log = Log::default();
    let _cut = move_on_after(millis(5), async {
        let mut held = pin!(scope(|n| {
            let log = log.clone();
            async move {
                n.spawn(shield(async move {
                    foster::sleep(millis(9)).await;
                    log.add("child");
                }));
                foster::sleep_forever().await;
            }
        }));
        poll_fn(|cx| {
            assert!(held.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let (finalizer, shielded) = (log.clone(), log.clone());
        foster::defer(async move { finalizer.add("finalizer") });
        shield(async move {
            foster::sleep(millis(7)).await;
            shielded.add("shield");
        })
        .await;
        log.add("not reached");
        foster::sleep_forever().await;
    })
    .await;
    log.add("owner");
    log.lines()
}

/// L39: an observer changes no outcome: neither what comes out nor when.
#[test]
fn an_observer_changes_no_outcome() {
    for seed in 0..40 {
        let settings = || Builder::new(seed).spurious_polls(if seed % 2 == 0 { 0.0 } else { 0.2 }).unwatched();
        let [plain, observed] =
            [settings(), settings().observer(Arc::new(Follower))].map(|settings| settings.observe(held_program()));
        assert_eq!(plain.outcome.unwrap(), observed.outcome.unwrap(), "seed {seed}");
        assert_eq!((plain.elapsed, plain.hash), (observed.elapsed, observed.hash), "seed {seed}");
        let [plain, observed] =
            [settings(), settings().observer(Arc::new(Follower))].map(|settings| settings.observe(broad_program()));
        assert!(plain.outcome.is_ok() && observed.outcome.is_ok(), "seed {seed}");
        assert_eq!((plain.elapsed, plain.hash), (observed.elapsed, observed.hash), "seed {seed}");
    }
}

#[test]
fn recording_and_replaying_do_not_change_a_run() {
    for policy in [Policy::Fifo, Policy::Lifo, Policy::Random, Policy::Pct { depth: 3 }, Policy::Mixed] {
        for seed in 0..10 {
            let settings = Builder::new(seed).policy(policy).spurious_polls(0.1);
            let run = settings.observe(busy_program());
            let recorded = settings.clone().record_trace().observe(busy_program());
            assert_eq!(run.hash, recorded.hash);
            let replayed = settings.clone().schedule(run.schedule.clone()).observe(busy_program());
            assert_eq!(run.hash, replayed.hash, "{policy:?}, seed {seed}");
            let text: Schedule = run.schedule.to_string().parse().unwrap();
            assert_eq!(text, run.schedule);
        }
    }
}

#[test]
fn policies_order_tasks_as_they_say() {
    let order = |policy| {
        let log = Log::default();
        Builder::new(1).policy(policy).run(scope(|n| {
            let log = log.clone();
            async move {
                for task in 0..5 {
                    let log = log.clone();
                    n.spawn(async move { log.add(task) });
                }
            }
        }));
        log.lines().concat()
    };
    assert_eq!(order(Policy::Fifo), "01234");
    assert_eq!(order(Policy::Lifo), "43210");
    assert_eq!(order(Policy::Random).len(), 5);
}

#[test]
fn no_policy_lets_tasks_that_yield_starve_the_others() {
    for policy in [Policy::Fifo, Policy::Lifo, Policy::Random, Policy::Pct { depth: 3 }] {
        for seed in 0..20 {
            let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            Builder::new(seed).policy(policy).step_limit(10_000).run(scope(|n| async move {
                for task in 0..5 {
                    let flag = flag.clone();
                    n.spawn(async move {
                        while task != 2 && !flag.load(std::sync::atomic::Ordering::Relaxed) {
                            foster::yield_now().await;
                        }
                        flag.store(true, std::sync::atomic::Ordering::Relaxed);
                    });
                }
            }));
        }
    }
}

#[test]
fn pct_finds_an_order_that_uniform_choice_hardly_finds() {
    // The second task has to do all of its 14 steps before the first does its only one.
    let found = |policy| {
        (0..200u64)
            .filter(|seed| {
                let log = Log::default();
                Builder::new(*seed).policy(policy).run(scope(|n| {
                    let log = log.clone();
                    async move {
                        let (first, second) = (log.clone(), log);
                        n.spawn(async move {
                            foster::yield_now().await;
                            first.add("first");
                        });
                        n.spawn(async move {
                            for _ in 0..14 {
                                job(|| ()).await;
                            }
                            second.add("second");
                        });
                    }
                }));
                log.lines()[0] == "second"
            })
            .count()
    };
    let (pct, random) = (found(Policy::Pct { depth: 2 }), found(Policy::Random));
    assert!(pct > 20 * random.max(1), "{pct} with pct, {random} with random choice");
}

#[test]
fn random_numbers_come_from_the_seed_alone() {
    let draw = |policy| Builder::new(7).policy(policy).run(async { [foster_sim::random(), foster_sim::random()] });
    assert_eq!(draw(Policy::Fifo), draw(Policy::Random));
    assert_ne!(draw(Policy::Fifo), Builder::new(8).run(async { [foster_sim::random(), foster_sim::random()] }));
}

#[test]
fn spurious_polls_happen_and_only_when_asked_for() {
    let spurious = |probability| {
        let program = scope(|n| async move {
            n.spawn(async { foster::sleep(secs(1)).await });
            for _ in 0..100 {
                foster::yield_now().await;
            }
        });
        let run = Builder::new(3).spurious_polls(probability).record_trace().observe(program);
        run.outcome.unwrap();
        run.trace.events().filter(|(_, event)| matches!(event, Event::Spurious(_))).count()
    };
    assert_eq!(spurious(0.0), 0);
    assert!(spurious(0.5) > 10);
}

#[test]
fn other_threads_may_wake_and_spawn() {
    let run = Builder::new(1).real_threads(secs(60)).observe(scope(|n| async move {
        let handle = n.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let receiver = std::sync::Mutex::new(receiver);
        let mut thread = None;
        std::future::poll_fn(|context| {
            thread.get_or_insert_with(|| {
                let (handle, sender, waker) = (handle.clone(), sender.clone(), context.waker().clone());
                std::thread::spawn(move || {
                    drop(handle.spawn(async { foster::sleep(secs(1)).await }));
                    sender.send(()).unwrap();
                    waker.wake();
                })
            });
            match receiver.lock().unwrap().try_recv() {
                Ok(()) => std::task::Poll::Ready(()),
                Err(_) => std::task::Poll::Pending,
            }
        })
        .await;
        thread.take().unwrap().join().unwrap();
    }));
    run.outcome.unwrap();
    assert!(run.outside > 0);
    assert_eq!(run.elapsed, secs(1));
}
