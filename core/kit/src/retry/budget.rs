//! How many retries a whole program may make.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foster_core::Instant;

/// A bucket of tokens, shared by all that retry against the same service: each retry takes a token, and without one the
/// last error is returned at once. First attempts are free.
///
/// When a service is down, everybody's retries multiply its load just then; a budget bounds that. The bucket is full at
/// first, and fills up again evenly.
///
/// Clones share the bucket. It may be made anywhere, also outside of a runtime; the time is that of whoever retries. It
/// counts on one clock: trees on the host's clock share that, whatever their adapters.
///
/// A simulated run has a clock of its own, and the bucket does not know one run from the next. At an instant before
/// that up to which it has been filled it is full; at the same instant or later, it goes on with what the run before
/// has left. So in tests make a budget for each run: one that is kept for several makes each depend on those before it.
///
/// # Examples
///
/// ```
/// use foster::retry::{RetryBudget, retry};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let budget = RetryBudget::new(3, Duration::from_secs(60)); // three at once, and three per minute
/// let mut calls = 0;
/// let failed = retry([Duration::ZERO; 10], || {
///     calls += 1;
///     async { Err::<(), _>("unavailable") }
/// })
/// .budget(&budget)
/// .await;
/// assert_eq!((failed, calls), (Err("unavailable"), 4));
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    bucket: Arc<Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    capacity: u32,
    /// How long it takes until there is one token more.
    every: Duration,
    tokens: u32,
    /// Up to here the refill is accounted for; unknown while the bucket was never used.
    filled: Option<Instant>,
}

impl RetryBudget {
    /// A bucket of `capacity` tokens that takes `refill` to be filled from empty; [`Duration::MAX`] is never.
    ///
    /// With a capacity of zero nothing is ever retried; with a refill of zero it does not limit anything.
    #[must_use]
    pub fn new(capacity: u32, refill: Duration) -> Self {
        let every =
            if refill == Duration::MAX { refill } else { refill.checked_div(capacity).unwrap_or(Duration::MAX) };
        RetryBudget { bucket: Arc::new(Mutex::new(Bucket { capacity, every, tokens: capacity, filled: None })) }
    }

    /// Takes a token, if there is one.
    ///
    /// # Panics
    ///
    /// Outside of any tree, if no adapter was installed.
    #[must_use = "says whether there was a token"]
    #[track_caller]
    pub fn try_take(&self) -> bool {
        let mut bucket = self.lock_filled(Instant::now(), Instant::now);
        let there = bucket.tokens > 0;
        bucket.tokens = bucket.tokens.saturating_sub(1);
        there
    }

    /// How many tokens there are.
    ///
    /// # Panics
    ///
    /// Outside of any tree, if no adapter was installed.
    #[must_use]
    #[track_caller]
    pub fn available(&self) -> u32 {
        self.lock_filled(Instant::now(), Instant::now).tokens
    }

    /// The bucket, filled up to `now`, or to what `clock` says.
    ///
    /// The clock is the runtime's code, which runs where no lock is held (L36). So another thread may read it later,
    /// and be here first; then it is read again.
    fn lock_filled(&self, mut now: Instant, clock: impl Fn() -> Instant) -> MutexGuard<'_, Bucket> {
        let mut seen = None;
        loop {
            let mut bucket = self.lock();
            match bucket.filled {
                // Read after `seen` was seen, and yet before it: another clock.
                Some(then) if now < then && seen.is_none_or(|seen| now >= seen) => seen = Some(then),
                _ => {
                    bucket.fill(now);
                    return bucket;
                }
            }
            drop(bucket);
            now = clock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let filled = *self.filled.get_or_insert(now);
        // A full bucket gains nothing by waiting. On the clock of another run, what was known says nothing.
        if self.tokens == self.capacity || now < filled {
            (self.tokens, self.filled) = (self.capacity, Some(now));
            return;
        }
        let missing = self.capacity - self.tokens;
        let due = (now - filled).as_nanos().checked_div(self.every.as_nanos());
        match due.map(u32::try_from) {
            Some(Ok(due)) if due < missing => {
                self.tokens += due;
                self.filled = Some(filled + self.every.saturating_mul(due));
            }
            _ => {
                self.tokens = self.capacity;
                self.filled = Some(now);
            }
        }
    }
}

impl From<&RetryBudget> for RetryBudget {
    fn from(budget: &RetryBudget) -> Self {
        budget.clone()
    }
}

#[cfg(test)]
mod tests;
