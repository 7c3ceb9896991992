//! The schedulers of the race models, which shuttle runs: see `core/src/races.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Counts what happened; without a step of its own.
#[derive(Clone, Default)]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns how much was added.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Returns a value that counts its own drop.
    #[must_use]
    pub fn on_drop(&self) -> impl Send + Sync + 'static {
        struct Dropped(Count);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.add();
            }
        }
        Dropped(self.clone())
    }

    /// Returns a waker that counts its drop, and wakes nobody.
    #[must_use]
    pub fn on_drop_of_waker(&self) -> Waker {
        struct Silent(#[expect(dead_code, reason = "counts its drop")] Box<dyn Send + Sync>);
        impl Wake for Silent {
            fn wake(self: Arc<Self>) {}
        }
        Waker::from(Arc::new(Silent(Box::new(self.on_drop()))))
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

/// Checks a model: schedules at random, then with few preemptions. The same ones each time; `SHUTTLE_RANDOM_SEED`
/// chooses others.
pub fn check(model: impl Fn() + Clone + Send + Sync + 'static) {
    runner(RandomScheduler::new_from_seed(1, rounds())).run(model.clone());
    runner(PctScheduler::new_from_seed(2, 3, rounds())).run(model);
}

/// Checks each schedule of a small model; `limit` of them are too many.
pub fn check_all(limit: usize, model: impl Fn() + Send + Sync + 'static) {
    let count = runner(DfsScheduler::new(Some(limit), false)).run(model);
    println!("{count} schedules");
    assert!(count < limit, "the model is too large to be checked as a whole");
}
