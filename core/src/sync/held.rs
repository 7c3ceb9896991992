//! Futures that hold a lock or a permit until everything that the body has started has ended.
//!
//! ```text
//!   let guard = lock().await; f().await   ──╳ dropped: the guard is dropped ─▶ the next waiter gets the lock
//!                                  └─ finalizers, threads of f ─────────────────▶
//!
//!   run(async |guard| f().await)          ──╳ dropped
//!                                  └─ finalizers, threads of f ─────────────────▶ the next waiter gets the lock
//! ```
//!
//! It uses only the public API: a [`bracket`](crate::bracket()) whose resource is the guard.

use std::future::{Future, Ready, ready};
use std::sync::Arc;

use super::future::{LimiterAcquireOwned, MutexLockOwned, SemaphoreAcquireOwned};
use super::{CapacityLimiter, Mutex, OwnedLimiterPermit, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use crate::bracket;
use crate::bracket::{Bracket, BracketExit, ResourceGuard};

/// Future of [`Mutex::run`], [`Semaphore::run`] and [`CapacityLimiter::run`]: waits for the guard `G` by `A`, holds it
/// while the body's future `Fut` and all that it started go on.
pub type RunWithGuard<A, G, B, Fut> =
    Bracket<A, G, G, B, Fut, <Fut as Future>::Output, fn(G, BracketExit) -> Ready<()>>;

impl<T: Send + 'static> Mutex<T> {
    /// Runs `body` with the value, and releases the mutex when everything that was started in the body has ended.
    ///
    /// Code that holds a guard in a variable does not keep this if foreign code drops it half-way, as `select!` does:
    /// the guard goes at once, while finalizers and blocking jobs of the same code are still under way. The body gets
    /// the guard [lent](ResourceGuard); one that it moves out keeps the mutex until it is dropped.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: what `body` did is done. While it waits it *loses its place*.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the body, when all has ended. When polled outside of any tree, if no adapter was installed.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::sync::Mutex;
    /// use std::sync::Arc;
    ///
    /// # foster_sim::run(1, async {
    /// let books = Arc::new(Mutex::new(vec![70, 130]));
    /// let sum = books.run(async |mut books| {
    ///     books[0] -= 10;
    ///     foster::yield_now().await; // anything may happen here, and nobody else sees half a transfer
    ///     books[1] += 10;
    ///     books.iter().sum::<i32>()
    /// });
    /// assert_eq!(sum.await, 200);
    /// # });
    /// ```
    #[track_caller]
    pub fn run<B, Fut>(self: &Arc<Self>, body: B) -> RunWithGuard<MutexLockOwned<T>, OwnedMutexGuard<T>, B, Fut>
    where
        B: FnOnce(ResourceGuard<OwnedMutexGuard<T>>) -> Fut,
        Fut: Future,
    {
        bracket(self.clone().lock_owned(), body, release as fn(_, BracketExit) -> Ready<()>)
    }
}

impl Semaphore {
    /// Runs `body` with a permit, and gives it back when everything that was started in the body has ended.
    ///
    /// As [`Mutex::run`], with a permit in the place of the value.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as [`Mutex::run`].
    ///
    /// # Panics
    ///
    /// As [`Mutex::run`].
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::sync::Semaphore;
    /// use std::sync::Arc;
    ///
    /// # foster_sim::run(1, async {
    /// let downloads = Arc::new(Semaphore::new(3));
    /// let left = downloads.run(async |_permit| downloads.available()).await;
    /// assert_eq!((left, downloads.available()), (2, 3));
    /// # });
    /// ```
    #[track_caller]
    pub fn run<B, Fut>(self: &Arc<Self>, body: B) -> RunWithGuard<SemaphoreAcquireOwned, OwnedSemaphorePermit, B, Fut>
    where
        B: FnOnce(ResourceGuard<OwnedSemaphorePermit>) -> Fut,
        Fut: Future,
    {
        bracket(self.clone().acquire_owned(), body, release as fn(_, BracketExit) -> Ready<()>)
    }
}

impl CapacityLimiter {
    /// Runs `body` with a permit, and gives it back when everything that was started in the body has ended.
    ///
    /// As [`Mutex::run`], with a permit in the place of the value.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as [`Mutex::run`].
    ///
    /// # Panics
    ///
    /// As [`Mutex::run`].
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::sync::CapacityLimiter;
    /// use std::sync::Arc;
    ///
    /// # foster_sim::run(1, async {
    /// let downloads = Arc::new(CapacityLimiter::new(3));
    /// let left = downloads.run(async |_permit| downloads.available()).await;
    /// assert_eq!((left, downloads.available()), (2, 3));
    /// # });
    /// ```
    #[track_caller]
    pub fn run<B, Fut>(self: &Arc<Self>, body: B) -> RunWithGuard<LimiterAcquireOwned, OwnedLimiterPermit, B, Fut>
    where
        B: FnOnce(ResourceGuard<OwnedLimiterPermit>) -> Fut,
        Fut: Future,
    {
        bracket(self.clone().acquire_owned(), body, release as fn(_, BracketExit) -> Ready<()>)
    }
}

fn release<G>(guard: G, _exit: BracketExit) -> Ready<()> {
    drop(guard);
    ready(())
}
