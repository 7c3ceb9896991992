//! Tests of the clocks that a budget is asked on.

use std::cell::Cell;
use std::time::Duration;

use super::RetryBudget;
use foster_core::Instant;

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

/// Takes a token, on a clock that says this.
fn take(budget: &RetryBudget, clock: impl Fn() -> Instant) -> bool {
    let mut bucket = budget.lock_filled(clock(), clock);
    let there = bucket.tokens > 0;
    bucket.tokens = bucket.tokens.saturating_sub(1);
    there
}

/// Asked again, the clock of another run is still behind: the bucket is full, and fills up again on that clock.
#[test]
fn on_another_clock_the_bucket_is_full() {
    let budget = RetryBudget::new(1, Duration::from_secs(1_000));
    assert!(take(&budget, || at(5_000)));
    assert!(!take(&budget, || at(5_999)));
    assert!(take(&budget, || at(3)));
    assert!(!take(&budget, || at(1_002)));
    assert!(take(&budget, || at(1_003)));
}

/// Between the clock's answer and the lock another thread reads the clock later, and takes the last token.
#[test]
fn a_thread_that_is_overtaken_does_not_fill_the_bucket() {
    let budget = RetryBudget::new(1, Duration::from_secs(1_000));
    let overtaken = Cell::new(false);
    let clock = || {
        if overtaken.replace(true) {
            return at(3);
        }
        assert!(take(&budget, || at(2)), "the bucket was full");
        at(1)
    };
    assert!(!take(&budget, clock), "a token was there, and is gone");
}
