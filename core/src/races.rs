//! Models of the races: small programs whose every step shuttle chooses.
//!
//! `RUSTFLAGS='--cfg foster_shuttle' cargo test -p foster --lib races:: --target-dir target/shuttle`, as `.ci/run` does. The
//! primitives of `sys.rs` are then shuttle's: before each lock and each atomic another thread may go on. A model
//! that loses a wake-up is a deadlock, which shuttle reports, with a schedule to replay it.
//!
//! Orderings weaker than sequentially consistent are not modelled; for these there is the thread sanitizer, and the rounds
//! of `tests/tests/races.rs` on real threads.
//!
//! Each model says which change of one line it was seen to catch.
#![cfg(foster_shuttle)]

mod escaped;
mod handover;
mod local;
mod locks;
mod oneshot;
mod scopes;
mod timers;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use shuttle::future::{JoinHandle, block_on};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

use crate::Instant;
use crate::runtime::{BlockingError, Job, Runtime, Timer, Work, root};

/// A runtime whose every job is a thread of the model.
struct Threads {
    jobs: Mutex<Vec<JoinHandle<()>>>,
    torn: Arc<Mutex<Torn>>,
}

/// The teardown of a runtime.
#[derive(Default)]
struct Torn {
    /// It has begun (R10).
    down: bool,
    /// Of the jobs, to be dropped then.
    wakers: Vec<Waker>,
}

impl Torn {
    fn reaches(&mut self, waker: &Waker) -> bool {
        if !self.down {
            self.wakers.push(waker.clone());
        }
        self.down
    }
}

impl Threads {
    fn new() -> Arc<Self> {
        Arc::new(Threads { jobs: Mutex::default(), torn: Arc::default() })
    }

    /// Drops all jobs (R10): each on its own thread, at once or when it is not being polled any more.
    fn tear_down(&self) {
        let mut torn = self.torn.lock().unwrap();
        torn.down = true;
        torn.wakers.drain(..).for_each(Waker::wake);
    }

    /// Waits for all jobs: each has to end.
    fn join(&self) {
        loop {
            // No lock is held while it waits.
            let Some(job) = self.jobs.lock().unwrap().pop() else { return };
            block_on(job).unwrap();
        }
    }
}

impl Runtime for Threads {
    fn name(&self) -> &'static str {
        "shuttle"
    }

    fn spawn(&self, job: Job) {
        if self.torn.lock().unwrap().down {
            return drop(job);
        }
        let mut job = Some(job);
        let torn = self.torn.clone();
        let job = poll_fn(move |cx| {
            if torn.lock().unwrap().reaches(cx.waker()) {
                job = None;
            }
            match &mut job {
                Some(job) => Pin::new(job).poll(cx),
                None => Poll::Ready(()),
            }
        });
        let job = shuttle::future::spawn(job);
        self.jobs.lock().unwrap().push(job);
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(0)
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Still)
    }

    fn blocking(&self, _: Work) -> Result<(), BlockingError> {
        unreachable!("no model blocks")
    }
}

/// The clock stands still: a timer fires if it is armed for its first instant.
struct Still;

impl Timer for Still {
    fn arm(&mut self, at: Instant, waker: &Waker) {
        if at <= Instant::from_nanos(0) {
            waker.wake_by_ref();
        }
    }

    fn disarm(&mut self) {}
}

/// Runs a tree to its end. All its jobs have to end with it, and nothing of it may be left.
fn tree<F: Future>(body: F) -> F::Output {
    let threads = Threads::new();
    let root = root(threads.clone(), body).polled_by_its_runtime();
    let output = block_on(root);
    ended(&threads);
    output
}

/// Waits for all jobs of a tree whose root is gone. Each scope holds its tree, and each tree its runtime.
fn ended(threads: &Arc<Threads>) {
    threads.join();
    assert_eq!(Arc::strong_count(threads), 1, "something of the tree is left");
}

/// Counts what happened; without a step of its own.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts its own drop.
    fn on_drop(&self) -> impl Send + Sync + 'static {
        struct Dropped(Count);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.add();
            }
        }
        Dropped(self.clone())
    }

    /// A waker that counts its drop, and wakes nobody.
    fn on_drop_of_waker(&self) -> Waker {
        struct Silent(#[expect(dead_code, reason = "counts its drop")] Box<dyn Send + Sync>);
        impl Wake for Silent {
            fn wake(self: Arc<Self>) {}
        }
        Waker::from(Arc::new(Silent(Box::new(self.on_drop()))))
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls a future once, with a waker that wakes nobody. Gives it back if it has to wait.
fn begun<T>(mut future: Boxed<T>) -> Result<Boxed<T>, T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Err(output),
        Poll::Pending => Ok(future),
    }
}

/// How often each model runs with each scheduler; `FOSTER_ROUNDS` overrides it.
fn rounds() -> usize {
    std::env::var("FOSTER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(500)
}

fn runner<S: Scheduler + 'static>(scheduler: S) -> Runner<S> {
    let mut config = Config::new();
    // Unoptimized futures are large, and polled within each other.
    config.stack_size = 0x40000;
    config.silence_warnings = true;
    Runner::new(scheduler, config)
}

/// Checks a model: schedules at random, then with few preemptions. The same ones each time; `SHUTTLE_RANDOM_SEED` chooses others.
fn check(model: impl Fn() + Clone + Send + Sync + 'static) {
    runner(RandomScheduler::new_from_seed(1, rounds())).run(model.clone());
    runner(PctScheduler::new_from_seed(2, 3, rounds())).run(model);
}

/// Checks each schedule of a small model; `limit` of them are too many.
fn check_all(limit: usize, model: impl Fn() + Send + Sync + 'static) {
    let count = runner(DfsScheduler::new(Some(limit), false)).run(model);
    println!("{count} schedules");
    assert!(count < limit, "the model is too large to be checked as a whole");
}
