//! A runtime whose jobs are in the hands of the test: it drops one of them at one of its polls, as an executor does
//! that is torn down, or breaks the contract.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foster::Instant;
use foster::runtime::{BlockingError, Job, Root, Runtime, Timer, Work, current, root};

use crate::probe::Probe;

/// Keeps the jobs; everything else comes from the simulator.
struct Hands {
    inner: Arc<dyn Runtime>,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    fresh: Vec<Job>,
    waker: Option<Waker>,
}

impl Hands {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for Hands {
    fn name(&self) -> &'static str {
        "hands"
    }

    fn spawn(&self, job: Job) {
        let mut jobs = self.jobs();
        jobs.fresh.push(job);
        let waker = jobs.waker.clone();
        drop(jobs);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.inner.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.inner.blocking(work)
    }
}

/// The fate of the job that was to be dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// There was such a job.
    pub existed: bool,
    /// It was dropped before it was ready.
    pub dropped: bool,
    /// It was to finish a scope that had lost its future.
    pub reaper: bool,
}

/// Runs the tree, and drops the job that is spawned as number `nth` after so many polls.
pub(crate) async fn run_and_drop<F: Future>(probe: &Probe, body: F, nth: usize, polls: usize) -> Dropped {
    let inner = current().expect("the simulator");
    let hands = Arc::new(Hands { inner, jobs: Mutex::default() });
    let tree: Root<F, F::Output> = root(hands.clone(), body).polled_by_its_runtime().observe(Arc::new(probe.clone()));
    let mut tree = pin!(tree);
    let mut all: Vec<Option<Job>> = Vec::new();
    let mut seen = Dropped::default();
    let mut polled = 0;
    poll_fn(|cx| {
        let old = hands.jobs().waker.replace(cx.waker().clone());
        drop(old);
        let ended = tree.as_mut().poll(cx).is_ready();
        loop {
            let fresh = std::mem::take(&mut hands.jobs().fresh);
            let before = all.len();
            all.extend(fresh.into_iter().map(Some));
            for (n, slot) in all.iter_mut().enumerate() {
                let Some(job) = slot else { continue };
                if n == nth {
                    seen.existed = true;
                    seen.reaper = job.to_string().starts_with("reaper");
                    if polled == polls {
                        seen.dropped = true;
                        *slot = None;
                        continue;
                    }
                    polled += 1;
                }
                if poll(job, cx).is_ready() {
                    *slot = None;
                }
            }
            if all.len() == before {
                break;
            }
        }
        if ended { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert!(all.iter().all(Option::is_none), "a job is left when the tree has ended");
    let old = hands.jobs().waker.take();
    drop(old);
    seen
}

fn poll(job: &mut Job, cx: &mut Context<'_>) -> Poll<()> {
    Pin::new(job).poll(cx)
}
