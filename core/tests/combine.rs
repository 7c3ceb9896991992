//! The combinators, on many seeds of the simulator: virtual time, so all times are exact.

#[path = "combine/all.rs"]
mod all;
#[path = "combine/as_completed.rs"]
mod as_completed;
#[path = "combine/first.rs"]
mod first;
#[path = "combine/limited.rs"]
mod limited;
#[path = "combine/produce.rs"]
mod produce;
#[path = "combine/storm.rs"]
mod storm;
#[path = "combine/streams.rs"]
mod streams;
#[path = "combine/turns.rs"]
mod turns;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use foster::combine::AllFailed;
use foster::{
    CancelScope, Instant, as_completed, checkpoint, defer, fail_after, first_ok, for_each_concurrent, gather,
    gather_settled, graceful, join, live_counts, local_nursery_unsend, map_concurrent, map_concurrent_settled,
    move_on_after, nursery, quorum, race, race_all, shield, sleep, sleep_forever, staggered, to_thread, try_join,
    yield_now,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What is alive is counted for the whole process, so the tests take turns.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the body on a number of seeds, half of them with spurious polls, and sees to it that nothing is left.
fn on_seeds<F: Future<Output = ()>>(body: impl Fn() -> F) {
    let _one = one_at_a_time();
    let before = live_counts();
    for seed in 0..24 {
        let spurious = if seed % 2 == 0 { 0.0 } else { 0.3 };
        foster_sim::Builder::new(seed).spurious_polls(spurious).run(body());
    }
    assert_eq!(live_counts(), before, "a scope, a task or a timer is left");
}

/// What happened, in order.
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
