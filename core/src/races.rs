//! Models of the races: small programs whose every step shuttle chooses.
//!
//! `RUSTFLAGS='--cfg foster_shuttle' cargo test -p foster-core --lib races:: --target-dir target/shuttle`, as `.ci/run`
//! does. The primitives of `cell/src/sys.rs` are then shuttle's: before each lock and each atomic another thread may go
//! on. A model that loses a wake-up is a deadlock, which shuttle reports, with a schedule to replay it.
//!
//! Orderings weaker than sequentially consistent are not modelled; for these there is the thread sanitizer, and the
//! rounds of `tests/tests/races.rs` on real threads.
//!
//! Each model says which change of one line it was seen to catch.
#![cfg(foster_shuttle)]

mod escaped;
mod found;
mod handover;
mod jobs;
mod local;
mod locks;
mod scopes;
mod timers;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use foster_test_support::races::{Count, check, check_all};
use shuttle::future::{JoinHandle, block_on};

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
    /// The next job that is polled is dropped instead, and the runtime goes on.
    loses: bool,
    /// Of the jobs, to be dropped then.
    wakers: Vec<Waker>,
}

impl Torn {
    fn reaches(&mut self, waker: &Waker) -> bool {
        if std::mem::take(&mut self.loses) {
            return true;
        }
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

    /// Drops one job, as a runtime might that lives on: the one that is polled next.
    fn lose_one(&self) {
        let mut torn = self.torn.lock().unwrap();
        torn.loses = true;
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

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        if self.torn.lock().unwrap().down {
            return Err(BlockingError { work, source: io::Error::other("torn down") });
        }
        let job = shuttle::future::spawn(async { work() });
        self.jobs.lock().unwrap().push(job);
        Ok(())
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

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls a future once, with a waker that wakes nobody. Gives it back if it has to wait.
fn begun<T>(mut future: Boxed<T>) -> Result<Boxed<T>, T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Err(output),
        Poll::Pending => Ok(future),
    }
}
