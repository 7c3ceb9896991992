//! Tests of the order in which threads read the clock and use the bucket.

use std::cell::RefCell;
use std::thread;
use std::time::Duration;

use super::RateLimiter;
use foster_core::Instant;

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

/// Takes a token, on a clock that says this.
fn take(limit: &RateLimiter, clock: impl Fn() -> Instant) -> bool {
    let (mut bucket, now) = limit.lock_at(clock(), clock);
    bucket.take(limit, 1, now).is_ok()
}

/// Between the clock's answer and the lock another thread reads the clock later, and takes the last token.
#[test]
fn a_thread_that_is_overtaken_does_not_fill_the_bucket() {
    for overtakers in 1..5 {
        let limit = RateLimiter::new(1, Duration::from_secs(1_000)).burst(overtakers);
        let overtaken = RefCell::new(0..u64::from(overtakers));
        let clock = || match overtaken.borrow_mut().next() {
            Some(secs) => {
                let first = thread::scope(|threads| threads.spawn(|| take(&limit, || at(secs + 2))).join().unwrap());
                assert!(first, "the bucket was full");
                at(secs + 1)
            }
            None => at(u64::from(overtakers) + 1),
        };
        assert!(!take(&limit, clock), "{overtakers} tokens were there, and are gone");
        assert!(take(&limit, || at(2_000)), "time brings others");
    }
}

/// Asked again, the clock of another run is still behind: the bucket is full.
#[test]
fn on_another_clock_the_bucket_is_full() {
    let limit = RateLimiter::new(1, Duration::from_secs(1_000));
    assert!(take(&limit, || at(5_000)));
    assert!(!take(&limit, || at(5_001)));
    assert!(take(&limit, || at(3)));
    assert!(!take(&limit, || at(4)));
}
