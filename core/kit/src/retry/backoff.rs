//! Delays that grow: the usual schedule.

use std::time::Duration;

use super::seed::{self, SplitMix};

/// A schedule of delays that grow exponentially, with jitter: without end, unless [`take`](Iterator::take)n from.
///
/// By default the n-th delay is drawn evenly from zero to 100 ms × 2ⁿ ("full jitter"), and is 30 seconds at most. The
/// cap is applied after the jitter, so no delay is longer. Arithmetic saturates. The delay before the jitter stops to
/// grow when it has reached the cap, so that with full jitter, a factor of two and a base below the cap at least half
/// of the delays stay spread below it.
///
/// It is an [`IntoIterator`], to be given to [`retry`](crate::retry::retry()); it can be cloned and used any number of
/// times.
///
/// # Examples
///
/// ```
/// use foster::retry::{Backoff, Jitter};
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let plain = Backoff::new().base(ms(10)).factor(3.0).cap(ms(50)).jitter(Jitter::None);
/// let delays: Vec<Duration> = plain.into_iter().take(4).collect();
/// assert_eq!(delays, [ms(10), ms(30), ms(50), ms(50)]);
///
/// let jittered = Backoff::new().seed(7);
/// assert!(jittered.clone().into_iter().take(20).eq(jittered.into_iter().take(20)));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a schedule does nothing by itself; give it to `retry`"]
pub struct Backoff {
    base: Duration,
    factor: f64,
    cap: Duration,
    jitter: Jitter,
    seed: Option<u64>,
}

/// How a [`Backoff`] spreads its delays, so that clients that failed together do not come back together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// Evenly from zero to the delay: spreads best, and waits half as long on average.
    #[default]
    Full,
    /// Evenly from half the delay to the delay: never comes back at once.
    Equal,
    /// The delay as it is.
    None,
}

impl Backoff {
    /// The default: 100 ms at first, doubled each time, full jitter, 30 seconds at most.
    pub fn new() -> Self {
        Backoff {
            base: Duration::from_millis(100),
            factor: 2.0,
            cap: Duration::from_secs(30),
            jitter: Jitter::Full,
            seed: None,
        }
    }

    /// The first delay, before jitter. With zero all delays are zero.
    pub fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the factor from one delay to the next, before jitter; with `1.0` they do not grow.
    ///
    /// # Panics
    ///
    /// If it is less than one, infinite, or not a number.
    #[track_caller]
    pub fn factor(mut self, factor: f64) -> Self {
        assert!(factor.is_finite() && factor >= 1.0, "the delays of a backoff do not shrink: its factor is {factor}");
        self.factor = factor;
        self
    }

    /// The longest delay; [`Duration::MAX`] is no limit.
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// How the delays are spread.
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Makes the jitter repeatable. Without a seed, each use takes one of its own: different each time, and in a
    /// simulation a matter of its seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new()
    }
}

impl IntoIterator for Backoff {
    type Item = Duration;
    type IntoIter = Delays;

    fn into_iter(self) -> Delays {
        let random = self.seed.map(SplitMix::new);
        Delays { next: nanos(self.base), cap: nanos(self.cap), factor: self.factor, jitter: self.jitter, random }
    }
}

impl IntoIterator for &Backoff {
    type Item = Duration;
    type IntoIter = Delays;

    fn into_iter(self) -> Delays {
        self.clone().into_iter()
    }
}

/// The delays of a [`Backoff`]. It never ends.
#[derive(Clone, Debug)]
#[must_use = "iterators are lazy"]
pub struct Delays {
    /// Before jitter, in nanoseconds.
    next: u64,
    cap: u64,
    factor: f64,
    jitter: Jitter,
    /// None until the seed is taken from the runtime, in the first use: the schedule may have been made outside.
    random: Option<SplitMix>,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = self.next;
        if delay < self.cap {
            self.next = grown(delay, self.factor);
        }
        let jittered = match self.jitter {
            Jitter::Full => self.random().up_to(delay),
            Jitter::Equal => delay - self.random().up_to(delay / 2),
            Jitter::None => delay,
        };
        Some(Duration::from_nanos(jittered.min(self.cap)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl Delays {
    fn random(&mut self) -> &mut SplitMix {
        self.random.get_or_insert_with(|| SplitMix::new(seed::fresh()))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate; nanoseconds are exact up to a hundred days, and nobody measures beyond"
)]
fn grown(delay: u64, factor: f64) -> u64 {
    (delay as f64 * factor).round() as u64
}
