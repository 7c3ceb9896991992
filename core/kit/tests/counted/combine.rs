//! The combinators, on many seeds of the simulator: virtual time, so all times are exact.

mod all;
mod as_completed;
mod destructors;
mod dropped;
mod first;
mod limited;
mod produce;
mod storm;
mod streams;
mod turns;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::{on_one_seed, on_seeds, one_at_a_time};
use foster::combine::AllFailed;
use foster::combine::{
    as_completed, first_ok, for_each_concurrent, gather, gather_results, join, map_concurrent, map_concurrent_results,
    quorum, race, race_all, staggered, try_join,
};
use foster::{
    CancelScope, Instant, NurseryOptions, checkpoint, defer, fail_after, graceful, move_on_after, nursery, shield,
    sleep, sleep_forever, to_thread, yield_now,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The events, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    fn note(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.borrow_mut())
    }

    /// Notes that it was dropped.
    fn guard(&self, what: &'static str) -> impl Drop + use<> {
        struct Guard(Log, &'static str);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.note(self.1);
            }
        }
        Guard(self.clone(), what)
    }
}

/// Counts how many are alive, how many ever were, and how many at most.
#[derive(Default)]
struct Alive {
    now: Cell<usize>,
    peak: Cell<usize>,
    ever: Cell<usize>,
}

impl Alive {
    fn enter(self: &Rc<Self>) -> impl Drop + use<> {
        struct Guard(Rc<Alive>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.now.set(self.0.now.get() - 1);
            }
        }
        self.now.set(self.now.get() + 1);
        self.peak.set(self.peak.get().max(self.now.get()));
        self.ever.set(self.ever.get() + 1);
        Guard(self.clone())
    }
}

/// Sleeps, and gives the time back.
async fn nap(millis: u64) -> u64 {
    sleep(ms(millis)).await;
    millis
}

/// Fails after a while.
async fn fail(millis: u64) -> Result<u64, u64> {
    Err(nap(millis).await)
}

/// Succeeds after a while.
async fn succeed(millis: u64) -> Result<u64, u64> {
    Ok(nap(millis).await)
}

/// Sleeps; when it ends, however that is, it needs some time to clean up.
async fn tidy(millis: u64, cleanup: u64) -> u64 {
    defer(async move { sleep(ms(cleanup)).await });
    nap(millis).await
}
