//! What a load may miss: Miri shows it what is past, on some seeds; the models, where all is in one order, do not.
#![cfg(not(foster_shuttle))]

use std::future::{Future, pending};
use std::hint::black_box;
use std::pin::pin;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::runtime::{BlockingError, Job, Runtime, Timer, Work, root};
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::{Instant, move_on_at, raw};

/// A clock and an alarm that somebody else drives.
#[derive(Default)]
struct Clock {
    now: AtomicU64,
    alarm: Mutex<Option<Waker>>,
}

impl Clock {
    /// It is that late. Gives the alarm, if it was armed.
    fn is(&self, nanos: u64) -> Waker {
        self.now.store(nanos, Ordering::Relaxed);
        self.alarm.lock().unwrap().clone().expect("it was armed")
    }
}

struct Clocked(Arc<Clock>);

impl Timer for Clocked {
    fn arm(&mut self, _: Instant, waker: &Waker) {
        self.0.alarm.lock().unwrap().replace(waker.clone());
    }

    fn disarm(&mut self) {}
}

impl Runtime for Clocked {
    fn name(&self) -> &'static str {
        "clocked"
    }

    fn spawn(&self, _: Job) {
        unreachable!("no task is spawned")
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.now.load(Ordering::Relaxed))
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Clocked(self.0.clone()))
    }

    fn blocking(&self, _: Work) -> Result<(), BlockingError> {
        unreachable!("nothing blocks")
    }
}

/// The time of a scope runs out on another thread while the root that it rests in is being polled, with another waker than before: the
/// poll sees it, or the new waker is called.
#[test]
fn a_time_that_runs_out_in_a_poll_is_seen_or_wakes() {
    for round in 0..16 {
        let clock = Arc::new(Clock::default());
        let limit = move_on_at(Instant::from_nanos(1_000), pending::<()>());
        let mut tree = pin!(root(Arc::new(Clocked(clock.clone())), limit));
        assert!(tree.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let (counter, waker) = raw::counter();
        let (alarm, start) = (clock.is(2_000), Barrier::new(2));
        let polled = thread::scope(|threads| {
            threads.spawn(|| {
                start.wait();
                alarm.wake_by_ref();
            });
            start.wait();
            // At another moment in each round.
            for step in 0..round * 12 {
                black_box(step);
            }
            tree.as_mut().poll(&mut Context::from_waker(&waker))
        });
        assert!(matches!(polled, Poll::Ready(None)) || counter.wakes() > 0, "{polled:?}, and nobody was woken");
    }
}
