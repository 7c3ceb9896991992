//! The settings of a pool.

use std::panic::Location;
use std::time::Duration;

use super::{Manage, Pool};
use foster_core::cleanup::DEFAULT_BUDGET;

/// The settings of a [`Pool`] that is about to be made.
///
/// # Examples
///
/// ```
/// use foster::pool::{Pool, PoolError, PoolOptions};
/// use foster::{Nursery, nursery, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// type Refused = PoolError<std::convert::Infallible>;
/// let ms = Duration::from_millis;
/// let pool = PoolOptions::new().size(1).overflow(1).acquire_timeout(ms(20)).build(async || Ok(()));
/// let ended = nursery(async |n: Nursery<Refused>| {
///     for _ in 0..3 {
///         let pool = pool.clone();
///         n.spawn(async move { pool.run(async |_| Ok(sleep(ms(30)).await)).await });
///     }
///     Ok(())
/// });
/// assert!(matches!(ended.await, Err(PoolError::Timeout(_)))); // two had a place
/// # });
/// ```
#[derive(Clone, Debug)]
#[must_use = "no pool is made yet"]
pub struct PoolOptions {
    pub(super) size: usize,
    pub(super) overflow: usize,
    pub(super) max_waiting: usize,
    pub(super) acquire_timeout: Duration,
    /// Where that was set.
    pub(super) timeout_location: &'static Location<'static>,
    pub(super) recycle_after: Duration,
    pub(super) budget: Duration,
}

impl PoolOptions {
    /// Ten resources, no overflow, no limits.
    pub fn new() -> Self {
        PoolOptions {
            size: 10,
            overflow: 0,
            max_waiting: usize::MAX,
            acquire_timeout: Duration::MAX,
            timeout_location: Location::caller(),
            recycle_after: Duration::MAX,
            budget: DEFAULT_BUDGET,
        }
    }

    /// How many resources are kept.
    ///
    /// # Panics
    ///
    /// If `size` is zero.
    #[track_caller]
    pub fn size(mut self, size: usize) -> Self {
        assert!(size > 0, "a pool keeps at least one resource");
        self.size = size;
        self
    }

    /// How many more may be in use when all are; they are closed after their use, once as many as the size are idle.
    pub fn overflow(mut self, overflow: usize) -> Self {
        self.overflow = overflow;
        self
    }

    /// How many uses may wait for a place; a further one gets [`PoolError::Busy`](super::PoolError::Busy) at once. On
    /// several threads some more may, if they come in the same instant.
    pub fn max_waiting(mut self, waiting: usize) -> Self {
        self.max_waiting = waiting;
        self
    }

    /// How long a use may take to get its resource: waiting, checking, closing what is too old or not alive, and opening
    /// together. With zero nobody ever gets one: it always takes a moment.
    ///
    /// A resource that is being closed when the time is over is closed all the same, within the
    /// [budget](PoolOptions::budget). It keeps its place until then, and the scope around the call waits for it.
    #[track_caller]
    pub fn acquire_timeout(mut self, limit: Duration) -> Self {
        self.acquire_timeout = limit;
        self.timeout_location = Location::caller();
        self
    }

    /// From what age on, counted from its opening, a resource is closed instead of being used again.
    pub fn recycle_after(mut self, age: Duration) -> Self {
        self.recycle_after = age;
        self
    }

    /// How long the reset and closing of a resource may take together; by default [`DEFAULT_BUDGET`].
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Makes the pool.
    #[must_use]
    pub fn build<M: Manage>(self, manage: M) -> Pool<M> {
        Pool::with(self, manage)
    }
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions::new()
    }
}
