//! The crate's tests that see to it that nothing is left: they take turns, because what is alive is counted for the
//! whole process.

mod combine;
mod pool;

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foster::observer::live_counts;

/// The turn of one test.
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

/// The same on one seed, for what is big.
fn on_one_seed(body: impl Future<Output = ()>) {
    let _one = one_at_a_time();
    let before = live_counts();
    foster_sim::run(1, body);
    assert_eq!(live_counts(), before, "a scope, a task or a timer is left");
}
