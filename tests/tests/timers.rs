//! The timers of a tree on real clocks: an armed deadline or sleep fires, whatever other timers were removed meanwhile
//! (L8).
//!
//! No test here measures how late a timer is: each asserts that everything fires, and a watchdog bounds the whole.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Waker};
use std::time::Duration;

use foster::{CancelScope, Instant, Nursery, is_cancelled, move_on_after, nursery, sleep, sleep_forever, yield_now};

/// How long nothing may happen before a test fails: a hundred times what the longest step takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `test` on a thread of its own, which has to note a step of progress before each [`PATIENCE`] is over. A timer
/// that is lost fails the test instead of blocking it.
fn watched(name: &'static str, test: impl FnOnce(&Progress) + Send + 'static) {
    foster_conformance::check(name, || {
        let (done, finished) = mpsc::channel::<()>();
        let progress = Progress::default();
        let steps = progress.clone();
        let worker = std::thread::spawn(move || {
            let _done = done;
            test(&steps);
        });
        let mut seen = 0;
        while finished.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let now = progress.steps();
            assert!(now > seen, "{name}: a timer was lost; nothing has happened for {PATIENCE:?} after {now} steps");
            seen = now;
        }
        if let Err(panic) = worker.join() {
            std::panic::resume_unwind(panic);
        }
        assert!(progress.steps() > 0, "{name} did nothing");
    });
}

/// Counts the steps that a test has made.
#[derive(Clone, Default)]
struct Progress(Arc<AtomicUsize>);

impl Progress {
    fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn steps(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Computes until the clock has moved on by `time`.
fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A child that sleeps again and again, within a deadline: each sleep ends, and so does the deadline.
async fn short_sleeps_in_a_deadline(rounds: usize, progress: Progress) {
    for _ in 0..rounds {
        let body = nursery(async |n: Nursery| {
            n.spawn(async {
                loop {
                    sleep(micros(300)).await;
                }
            });
        });
        let outcome: Option<Result<(), std::convert::Infallible>> = move_on_after(ms(2), body).await;
        assert!(outcome.is_none(), "nobody ended the child but the deadline");
        progress.step();
    }
}

#[test]
fn short_sleeps_and_a_deadline_on_two_threads_of_smol() {
    watched("short_sleeps_and_a_deadline_on_two_threads_of_smol", |progress| {
        foster_smol::Builder::new().threads(2).run(short_sleeps_in_a_deadline(300, progress.clone()));
    });
}

#[test]
fn short_sleeps_and_a_deadline_on_tokio() {
    watched("short_sleeps_and_a_deadline_on_tokio", |progress| {
        foster_tokio::Builder::new().worker_threads(2).run(short_sleeps_in_a_deadline(300, progress.clone()));
    });
}

/// The later of two sleeps is dropped after the earlier one was found due by the clock, but before the host's timer has
/// fired: a sleep that comes after that ends at its own time, not at the deadline around it.
///
/// The deadline is far beyond the watchdog's patience, so that a sleep that waits for it fails the test.
#[test]
fn a_sleep_that_was_dropped_holds_up_no_other() {
    watched("a_sleep_that_was_dropped_holds_up_no_other", |progress| {
        let progress = progress.clone();
        foster_tokio::Builder::new().current_thread().run(async move {
            let scope = CancelScope::new().named("around the sleeps").deadline_after(Duration::from_secs(60));
            let outcome = scope.run(async {
                let mut first = Box::pin(sleep(ms(10)));
                let mut second = Box::pin(sleep(ms(40)));
                let mut cx = Context::from_waker(Waker::noop());
                assert!(first.as_mut().poll(&mut cx).is_pending());
                assert!(second.as_mut().poll(&mut cx).is_pending());
                compute(ms(12));
                assert!(!is_cancelled());
                drop(second);
                first.await;
                let start = Instant::now();
                while start.elapsed() < ms(3) {
                    yield_now().await;
                }
                sleep(ms(100)).await;
            });
            assert!(outcome.await.is_ok(), "the sleep ended with the deadline");
            progress.step();
        });
    });
}

/// A small generator: what a program does differs from task to task, and from run to run only by the threads.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn moment(&mut self) -> Duration {
        micros(self.roll(3_000))
    }
}

/// One step of a task: a sleep that ends, one that is dropped while it waits, a deadline that fires, one that is moved,
/// or one that is removed. Whatever has to end in it ends by a timer alone.
async fn one_timer(dice: &mut Dice) {
    let (moment, other) = (dice.moment(), dice.moment());
    match dice.roll(5) {
        0 => sleep(moment).await,
        1 => {
            let mut dropped = Box::pin(sleep(moment));
            assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() || moment.is_zero());
            sleep(other).await;
        }
        2 => assert!(move_on_after(moment, sleep_forever()).await.is_none()),
        3 => {
            let mut scope = CancelScope::new().deadline_after(Duration::from_secs(3_600));
            let handle = scope.handle();
            let body = async {
                sleep(moment).await;
                handle.set_deadline(Instant::now() + other);
                sleep_forever().await
            };
            assert!(scope.run(body).await.is_err());
        }
        _ => assert!(move_on_after(Duration::from_secs(3_600), sleep(moment)).await.is_some()),
    }
}

/// Tasks insert, move and remove timers at random; every timer that a task waits for fires.
async fn timers_at_random(seed: u64, progress: Progress) {
    let Ok(()) = nursery(async |n: Nursery| {
        for task in 0..8 {
            let progress = progress.clone();
            n.spawn(async move {
                let mut dice = Dice(seed * 31 + task);
                for _ in 0..60 {
                    one_timer(&mut dice).await;
                    progress.step();
                }
            });
        }
    })
    .await;
    assert_eq!(progress.steps(), 480);
}

fn at_random_on_smol(name: &'static str, threads: usize) {
    watched(name, move |progress| {
        foster_smol::Builder::new().threads(threads).run(timers_at_random(threads as u64, progress.clone()));
    });
}

#[test]
fn timers_at_random_on_one_thread_of_smol() {
    at_random_on_smol("timers_at_random_on_one_thread_of_smol", 1);
}

#[test]
fn timers_at_random_on_two_threads_of_smol() {
    at_random_on_smol("timers_at_random_on_two_threads_of_smol", 2);
}

#[test]
fn timers_at_random_on_four_threads_of_smol() {
    at_random_on_smol("timers_at_random_on_four_threads_of_smol", 4);
}

#[test]
fn timers_at_random_on_tokio_current_thread() {
    watched("timers_at_random_on_tokio_current_thread", |progress| {
        foster_tokio::Builder::new().current_thread().run(timers_at_random(11, progress.clone()));
    });
}

#[test]
fn timers_at_random_on_tokio_multi_thread() {
    watched("timers_at_random_on_tokio_multi_thread", |progress| {
        foster_tokio::Builder::new().worker_threads(4).run(timers_at_random(12, progress.clone()));
    });
}
