//! Not too often: a limit on how many things happen in a time.
//!
//! A semaphore limits how much goes on *at once*; this limits how much *begins in a period*. The algorithm is the token
//! bucket: the bucket holds at most `burst` tokens, `count` drop into it per `period`, evenly, and each use takes one
//! out.
//!
//! ```text
//!   RateLimiter::new(4, second)
//!   tokens   4 ┤▔▔╲            ╱▔▔▔▔
//!            2 ┤   ╲         ╱        four at once, then one each 250 ms
//!            0 ┤    ╲╱╲╱╲╱╲╱
//!              └─────┬──┬──┬──┬─────▶ time
//! ```
//!
//! The arithmetic is in whole numbers: no rounding adds up. A token is there in the first nanosecond in which its part
//! of the period has passed.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foster_core::future::{Checkpoint, Sleep};
use foster_core::leaf::Waiter;
use foster_core::sync::future::Park;
use foster_core::sync::{ParkOutcome, WaitQueue, WouldBlock};
use foster_core::{Instant, checkpoint, is_cancelled, sleep_until};

/// A token bucket; see the [module](self).
///
/// The longest wait is served first, also before those that want fewer tokens and could have them. A wait that is given
/// up leaves its tokens to the next. It can live in a `static`, and be shared by tasks and threads; but it counts on
/// one clock: trees on the host's clock share that, whatever their adapters.
///
/// A simulated run has a clock of its own, and the bucket does not know one run from the next. At an instant before
/// that of the last token taken it is full; at the same instant or later, it goes on with what the run before has left.
/// So in tests make a limiter for each run: one that is kept for several makes each depend on those before it.
///
/// An `acquire` that is the first in line and is held without being polled, in a variable beside a `select!` for
/// instance, stops everybody behind it. Poll it, or drop it.
///
/// # Examples
///
/// ```
/// use foster::combine::for_each_concurrent;
/// use foster::rate::RateLimiter;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let limit = RateLimiter::new(5, Duration::from_secs(1));
/// let start = foster::Instant::now();
/// for_each_concurrent(100, 0..20, async |_| {
///     limit.acquire().await;
///     // … the request
/// })
/// .await;
/// // Five at once, and then five per second.
/// assert_eq!(start.elapsed(), Duration::from_secs(3));
/// # });
/// ```
pub struct RateLimiter {
    count: u32,
    period: Duration,
    burst: u32,
    bucket: Mutex<Bucket>,
    /// Those behind the first. Locked below the bucket; both are released before anybody is woken.
    queue: WaitQueue,
}

/// The tokens in the bucket, and the queue of those that wait. One token is as many units as `period` has nanoseconds,
/// and `count` units come per nanosecond.
struct Bucket {
    /// None: full, and never used.
    filled: Option<(Instant, u128)>,
    /// Somebody is the first in the queue, and waits for the bucket.
    taken: bool,
    /// Others may stand behind. Only while it is taken.
    queued: bool,
}

impl RateLimiter {
    /// At most `count` per `period`, evenly spread; as many at once, after a pause. The bucket is full at first.
    ///
    /// # Panics
    ///
    /// If `count` or `period` is zero: nothing could ever begin, or everything always.
    #[must_use]
    #[track_caller]
    pub const fn new(count: u32, period: Duration) -> Self {
        assert!(count > 0, "a rate limit of zero would let nothing begin, ever");
        assert!(!period.is_zero(), "a rate limit needs a period greater than zero");
        RateLimiter {
            count,
            period,
            burst: count,
            bucket: Mutex::new(Bucket { filled: None, taken: false, queued: false }),
            queue: WaitQueue::new(),
        }
    }

    /// How many may begin at once, after a pause that was long enough; with 1 they always keep their distance. By
    /// default `count`.
    ///
    /// # Panics
    ///
    /// If `burst` is zero.
    #[must_use]
    #[track_caller]
    pub const fn burst(mut self, burst: u32) -> Self {
        assert!(burst > 0, "a bucket that holds no token would let nothing begin, ever");
        self.burst = burst;
        self
    }

    /// Waits for a token, and takes it.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop before it is ready takes no token.
    ///
    /// # Panics
    ///
    /// When polled outside of any tree, if no adapter was installed.
    pub fn acquire(&self) -> RateAcquire<'_> {
        self.acquire_many(1)
    }

    /// Waits for `n` tokens together, and takes them: for uses of different weight.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](RateLimiter::acquire).
    ///
    /// # Panics
    ///
    /// If `n` is greater than the [`burst`](RateLimiter::burst): so many are never there together. As
    /// [`acquire`](RateLimiter::acquire).
    #[track_caller]
    pub fn acquire_many(&self, n: u32) -> RateAcquire<'_> {
        self.refuse_too_many(n);
        RateAcquire { limiter: self, n, stage: Stage::start() }
    }

    /// Takes a token, if there is one and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    ///
    /// # Panics
    ///
    /// Outside of any tree, if no adapter was installed.
    #[track_caller]
    pub fn try_acquire(&self) -> Result<(), WouldBlock> {
        self.try_acquire_many(1)
    }

    /// Takes `n` tokens, if they are there and nobody waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] otherwise.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](RateLimiter::acquire_many).
    #[track_caller]
    pub fn try_acquire_many(&self, n: u32) -> Result<(), WouldBlock> {
        self.refuse_too_many(n);
        let (mut bucket, now) = self.lock_at(Instant::now(), Instant::now);
        if bucket.taken {
            return Err(WouldBlock);
        }
        bucket.take(self, n, now).map_err(|_| WouldBlock)
    }

    /// How many tokens are in the bucket. If somebody waits for several, some may be, and be his.
    ///
    /// # Panics
    ///
    /// Outside of any tree, if no adapter was installed.
    #[must_use]
    #[track_caller]
    pub fn available(&self) -> u32 {
        let (bucket, now) = self.lock_at(Instant::now(), Instant::now);
        let level = bucket.level(self, now);
        u32::try_from(level / self.period.as_nanos()).unwrap_or(u32::MAX).min(self.burst)
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let bucket = self.lock();
        usize::from(bucket.taken) + self.queue.waiting()
    }

    #[track_caller]
    fn refuse_too_many(&self, n: u32) {
        assert!(n <= self.burst, "{n} tokens are never there together: the bucket holds {}", self.burst);
    }

    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bucket, and the time: `now`, or what `clock` says; not before the bucket was used last, except if that was
    /// on the clock of another run.
    ///
    /// The clock is the runtime's code, which runs where no lock is held (L36). So another thread may read it later,
    /// and be here first; then it is read again.
    fn lock_at(&self, mut now: Instant, clock: impl Fn() -> Instant) -> (MutexGuard<'_, Bucket>, Instant) {
        let mut seen = None;
        loop {
            let bucket = self.lock();
            match bucket.filled {
                // Read after `seen` was seen, and yet before it: another clock.
                Some((then, _)) if now < then && seen.is_none_or(|seen| now >= seen) => seen = Some(then),
                _ => return (bucket, now),
            }
            drop(bucket);
            now = clock();
        }
    }

    /// Makes this the first, if there is none, or joins the queue.
    fn join(&self) -> Stage<'_> {
        // L36: made before the lock is taken, and dropped after it is released.
        let waiter = Waiter::unpolled();
        let mut bucket = self.lock();
        if mem::replace(&mut bucket.taken, true) {
            bucket.queued = true;
            Stage::Queued(self.queue.lock().park(0, waiter))
        } else {
            Stage::First { sleep: None }
        }
    }

    /// The first is first no longer: the next one is.
    fn leave(&self, mut bucket: MutexGuard<'_, Bucket>) {
        if !bucket.queued {
            bucket.taken = false;
            return;
        }
        let mut queue = self.queue.lock();
        bucket.taken = queue.unpark(1) > 0;
        bucket.queued = !queue.is_empty();
        let wakes = queue.finish();
        drop(bucket);
        drop(wakes);
    }
}

impl Bucket {
    fn level(&self, limiter: &RateLimiter, now: Instant) -> u128 {
        let full = u128::from(limiter.burst) * limiter.period.as_nanos();
        match self.filled {
            // Against the rule, a clock of another run: what was known says nothing.
            Some((then, level)) if then <= now => {
                let level = level + u128::from(now.as_nanos() - then.as_nanos()) * u128::from(limiter.count);
                // The part of its last nanosecond beyond the full bucket stays, or the rate would fall behind with a
                // burst of one.
                if level < full + u128::from(limiter.count) { level } else { full }
            }
            _ => full,
        }
    }

    /// Takes the tokens, or says when they will be there.
    fn take(&mut self, limiter: &RateLimiter, n: u32, now: Instant) -> Result<(), Instant> {
        let level = self.level(limiter, now);
        let price = u128::from(n) * limiter.period.as_nanos();
        match level.checked_sub(price) {
            Some(rest) => {
                self.filled = Some((now, rest));
                Ok(())
            }
            None => {
                let nanos = (price - level).div_ceil(u128::from(limiter.count));
                Err(now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
            }
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("count", &self.count)
            .field("period", &self.period)
            .field("burst", &self.burst)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// Future of [`RateLimiter::acquire`] and [`RateLimiter::acquire_many`].
#[must_use = "futures do nothing unless polled"]
pub struct RateAcquire<'a> {
    limiter: &'a RateLimiter,
    n: u32,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Start(Checkpoint),
    /// Others were first.
    Queued(Park<'a>),
    First {
        sleep: Option<Sleep>,
    },
    Over,
}

impl Stage<'_> {
    fn start() -> Self {
        Stage::Start(checkpoint())
    }
}

impl Future for RateAcquire<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Start(gate) => {
                    ready!(Pin::new(gate).poll(cx));
                    this.stage = this.limiter.join();
                }
                Stage::Queued(queued) => {
                    this.stage = match ready!(Pin::new(queued).poll(cx)) {
                        // A place in the queue is taken below the lock of the bucket.
                        Ok(ParkOutcome::Skipped) => Stage::start(),
                        Ok(ParkOutcome::Unparked) => Stage::First { sleep: None },
                        Err(_) => unreachable!("nobody closes the queue"),
                    };
                }
                // L14: it was given a place, and no token. Code that is cancelled leaves it to the next.
                Stage::First { .. } if is_cancelled() => {
                    this.stage = Stage::start();
                    this.limiter.leave(this.limiter.lock());
                }
                Stage::First { sleep } => {
                    if let Some(asleep) = sleep {
                        ready!(Pin::new(asleep).poll(cx));
                        *sleep = None;
                    }
                    // The end of a sleep, too, is where no lock is held.
                    let (mut bucket, now) = this.limiter.lock_at(Instant::now(), Instant::now);
                    match bucket.take(this.limiter, this.n, now) {
                        Ok(()) => {
                            this.stage = Stage::Over;
                            // The next one looks for itself how long it has to wait.
                            this.limiter.leave(bucket);
                            return Poll::Ready(());
                        }
                        Err(at) => {
                            drop(bucket);
                            *sleep = Some(sleep_until(at));
                        }
                    }
                }
                Stage::Over => panic!("a rate limiter's `acquire` was polled after it was ready"),
            }
        }
    }
}

impl Drop for RateAcquire<'_> {
    fn drop(&mut self) {
        let was_first = match &mut self.stage {
            Stage::Start(_) | Stage::Over => false,
            // It may have been called, and not know it.
            Stage::Queued(queued) => queued.leave(),
            Stage::First { .. } => true,
        };
        if was_first {
            self.limiter.leave(self.limiter.lock());
        }
    }
}

impl fmt::Debug for RateAcquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateAcquire").field("n", &self.n).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
