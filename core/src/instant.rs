//! A point on the clock of a runtime.
//!
//! Every instant comes from the runtime that drives the tree, so that the simulator can make time virtual. The core itself
//! looks at the host's clock once, for the origin of the adapters whose clock that is (`runtime/host_clock.rs`). An
//! [`Instant`] is a number of nanoseconds since an origin that the runtime chose.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on the clock of the runtime that drives the current tree, in nanoseconds since that runtime's origin.
///
/// Arithmetic saturates: an instant further away than the clock reaches is [`Instant::NEVER`], and a deadline at
/// `NEVER` is no deadline. So [`Duration::MAX`] is a fine way to say "no limit".
///
/// Instants of two runtimes compare where the clock of both is the host's: all adapters count from one origin there
/// (R5 of the [contract](crate::runtime)). Those of a simulated run, and of a tokio runtime whose clock a test has paused,
/// are of no use on any other.
///
/// # Examples
///
/// ```
/// use foster::Instant;
/// use std::time::Duration;
///
/// let start = Instant::from_nanos(0);
/// let later = start + Duration::from_secs(2);
/// assert_eq!(later - start, Duration::from_secs(2));
/// assert_eq!(start - later, Duration::ZERO);
/// assert_eq!(start + Duration::MAX, Instant::NEVER);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant that is never reached.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The last instant before never.
    pub(crate) const LAST: Instant = Instant(u64::MAX - 1);

    /// The instant `nanos` nanoseconds after the runtime's origin. Meant for adapters.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// Nanoseconds since the runtime's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        // Not `as_nanos`, whose 128 bits cost more than the rest of it.
        let nanos = duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into());
        Instant(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_sub(nanos))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Instant::NEVER => f.write_str("Instant(never)"),
            Instant(nanos) => write!(f, "Instant({:?})", Duration::from_nanos(nanos)),
        }
    }
}

/// An instant that several threads share.
#[cfg(target_has_atomic = "64")]
pub(crate) struct AtomicInstant(std::sync::atomic::AtomicU64);

#[cfg(target_has_atomic = "64")]
impl AtomicInstant {
    pub(crate) const fn new(at: Instant) -> Self {
        AtomicInstant(std::sync::atomic::AtomicU64::new(at.0))
    }

    pub(crate) fn load(&self) -> Instant {
        Instant(self.0.load(std::sync::atomic::Ordering::Acquire))
    }

    pub(crate) fn store(&self, at: Instant) {
        self.0.store(at.0, std::sync::atomic::Ordering::Release);
    }
}

/// An instant that several threads share, on targets whose atomics are narrower than the clock.
#[cfg(not(target_has_atomic = "64"))]
pub(crate) struct AtomicInstant(std::sync::Mutex<Instant>);

#[cfg(not(target_has_atomic = "64"))]
impl AtomicInstant {
    pub(crate) const fn new(at: Instant) -> Self {
        AtomicInstant(std::sync::Mutex::new(at))
    }

    pub(crate) fn load(&self) -> Instant {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn store(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at;
    }
}
