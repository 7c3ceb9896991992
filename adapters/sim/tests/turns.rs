//! Blocking jobs that wait for tasks take turns with the simulation, so that their runs can be replayed (R12).

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use foster::sync::{Event, Semaphore};
use foster::thread::to_thread_abandon;
use foster::thread::{block_on, from_thread, is_cancelled};
use foster::{Nursery, move_on_after, nursery, sleep, to_thread, yield_now};
use foster_sim::{Builder, clock};

use support::{millis, secs};

/// Jobs and tasks that compete, and call each other.
async fn program() -> Vec<usize> {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let semaphore = Arc::new(Semaphore::new(1));
    let Ok(()) = nursery(async |n: Nursery| {
        for number in 0..6 {
            let (order, semaphore) = (order.clone(), semaphore.clone());
            n.spawn(async move {
                to_thread(move || {
                    let permit = block_on(semaphore.acquire());
                    order.lock().unwrap().push(number);
                    from_thread(yield_now()).unwrap();
                    drop(permit);
                    from_thread(sleep(millis(number as u64 % 3))).unwrap();
                    order.lock().unwrap().push(number);
                })
                .await;
            });
        }
    })
    .await;
    let order = order.lock().unwrap();
    order.clone()
}

/// L39: the same seed gives the same run, step by step; another one gives another.
#[test]
fn jobs_that_wait_are_replayed() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let first = Builder::new(seed).observe(program());
        let again = Builder::new(seed).observe(program());
        assert_eq!((first.hash, first.steps, first.outside), (again.hash, again.steps, 0), "seed {seed}");
        let order = first.outcome.unwrap();
        assert_eq!(order, again.outcome.unwrap());
        orders.insert(order);
    }
    assert!(orders.len() > 5, "{} orders", orders.len());
}

/// Only one thread runs at a time: what a job does between two waits is one step.
#[test]
fn a_step_of_a_job_is_not_interrupted() {
    for seed in 0..30 {
        let running = Arc::new(AtomicUsize::new(0));
        Builder::new(seed).run(async {
            let Ok(()) = nursery(async |n: Nursery| {
                for _ in 0..4 {
                    let running = running.clone();
                    n.spawn(to_thread(move || {
                        for _ in 0..3 {
                            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            running.fetch_sub(1, Ordering::SeqCst);
                            from_thread(yield_now()).unwrap();
                        }
                    }));
                }
            })
            .await;
        });
    }
}

/// Time stands still while a job has its turn, and passes while it waits; tools work on its thread.
#[test]
fn time_passes_while_a_job_waits() {
    Builder::new(1).run(async {
        let at = to_thread(|| {
            let start = clock().elapsed();
            from_thread(sleep(secs(5))).unwrap();
            clock().elapsed() - start
        });
        assert_eq!(at.await, secs(5));
    });
}

/// A job that waits for what never comes is a deadlock, like a task that does.
#[test]
fn a_job_that_waits_for_ever_is_a_deadlock() {
    let run = Builder::new(1).observe(async { to_thread(|| block_on(Event::new().wait())).await });
    let payload = run.outcome.unwrap_err();
    let message = payload.downcast_ref::<String>().expect("a report");
    assert!(message.contains("deadlock") && message.contains("thread `"), "{message}");
}

/// R8: a job that still waits when the simulation ends goes on by itself when what it waits for comes.
#[test]
fn a_job_that_outlives_the_simulation_goes_on() {
    let (event, ended) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (wait, set) = (event.clone(), ended.clone());
    Builder::new(1).run(async move {
        let job = to_thread_abandon(move || {
            block_on(wait.wait());
            set.set();
        });
        assert!(foster::move_on_after(secs(1), job).await.is_none());
    });
    assert!(!ended.is_set());
    event.set();
    block_on(ended.wait());
}

/// Asks until it is not wanted any more; says how often.
fn ask() -> u64 {
    (0..).take_while(|_| !is_cancelled()).count() as u64
}

/// R13: time passes for a job that asks, a microsecond each time, so that its deadline comes; alone or beside others.
#[test]
fn a_job_that_asks_sees_its_deadline_come() {
    for (seed, tasks) in (0..20).flat_map(|seed| [(seed, 0), (seed, 2)]) {
        Builder::new(seed).run(async {
            let Ok(()) = nursery(async |n: Nursery| {
                for _ in 0..tasks {
                    n.spawn(async {
                        for _ in 0..30 {
                            sleep(millis(1)).await;
                        }
                    });
                }
                let asked = move_on_after(millis(20), to_thread(ask)).await.expect("it returned a value");
                assert!((19_999..=20_001).contains(&asked), "{asked} questions");
                assert_eq!(clock().elapsed().as_micros().abs_diff(20_000), 0);
            })
            .await;
        });
    }
}

/// R13: several jobs that ask take turns, and another task goes on between their questions.
#[test]
fn jobs_that_ask_take_turns() {
    for seed in 0..20 {
        let run = || {
            Builder::new(seed).observe(async {
                let asked = move_on_after(millis(2), foster::combine::join((to_thread(ask), to_thread(ask)))).await;
                (asked.expect("both returned"), clock().elapsed())
            })
        };
        let (first, again) = (run(), run());
        assert_eq!((first.hash, first.steps), (again.hash, again.steps));
        let ((a, b), elapsed) = first.outcome.unwrap();
        assert!(a.abs_diff(2_000) <= 1 && b.abs_diff(2_000) <= 1, "{a} and {b} questions");
        assert_eq!(elapsed, millis(2));
    }
}

/// R13: what was cancelled before is told at once, and takes no time.
#[test]
fn a_job_that_is_cancelled_asks_for_nothing() {
    Builder::new(1).run(async {
        let cleanup = to_thread(|| {
            ask();
            let start = clock().elapsed();
            assert!((0..1000).all(|_| is_cancelled()));
            clock().elapsed() - start
        });
        assert_eq!(move_on_after(millis(1), cleanup).await, Some(millis(0)));
    });
}

/// A job that asks for ever, and that nothing will ever stop, is reported.
#[test]
fn a_job_that_asks_for_ever_is_reported() {
    let run = Builder::new(1).step_limit(10_000).observe(to_thread(ask));
    let payload = run.outcome.unwrap_err();
    let message = payload.downcast_ref::<String>().expect("a report");
    assert!(message.contains("step limit") && message.contains("to_thread"), "{message}");
}

/// On a clock that stands a question gives way to whoever moves it.
#[test]
fn a_job_that_asks_gives_way_to_who_moves_the_clock() {
    Builder::new(1).manual_clock().run(async {
        let Ok(()) = nursery(async |n: Nursery| {
            n.spawn(async {
                for _ in 0..5 {
                    yield_now().await;
                    clock().jump(millis(1));
                }
            });
            assert!(move_on_after(millis(3), to_thread(ask)).await.is_some());
        })
        .await;
    });
}

/// R8, R13: what is left at the end of the simulation runs through, also if it asks.
#[test]
fn a_job_that_is_left_at_the_end_runs_through() {
    let (asked, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, tell) = (asked.clone(), told.clone());
    Builder::new(1).run(async move {
        let job = to_thread_abandon(move || {
            for _ in 0..100 {
                tell.fetch_add(usize::from(is_cancelled()), Ordering::SeqCst);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut job = std::pin::pin!(job);
        std::future::poll_fn(|cx| {
            assert!(std::future::Future::poll(job.as_mut(), cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    });
    assert_eq!((asked.load(Ordering::SeqCst), told.load(Ordering::SeqCst)), (100, 100));
}
