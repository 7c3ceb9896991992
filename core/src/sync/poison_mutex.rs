//! The mutex that notices when a critical section was cut short.
//!
//! It is built on the public API of [`Mutex`] alone.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::WouldBlock;
use super::mutex::{Mutex, MutexGuard, MutexLock, MutexStatistics};
use crate::leaf;
use crate::reason::Origin;
use crate::tree::current;

/// A [`Mutex`] around a value that half a change would spoil.
///
/// A critical section begins with the first mutable use of a guard, and has to be ended with
/// [`complete`](PoisonMutexGuard::complete). A guard that is dropped in between (by a panic, by `?`, or because the
/// scope was cancelled at an await) *poisons* the mutex, and everybody who acquires it from then on is told, until
/// somebody has [mended](PoisonMutexGuard::mend) the value. Guards that only read are dropped as they are.
///
/// # Examples
///
/// ```
/// use foster::sync::PoisonMutex;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let accounts = PoisonMutex::new([100, 0]);
///
/// let transfer = async {
///     let mut accounts = accounts.lock().await.unwrap();
///     accounts[0] -= 30;
///     foster::sleep(Duration::from_secs(60)).await;
///     accounts[1] += 30;
///     accounts.complete();
/// };
/// assert!(foster::move_on_after(Duration::from_secs(1), transfer).await.is_none());
///
/// let mut accounts = accounts.lock().await.unwrap_err().into_guard();
/// accounts[0] += 30;
/// accounts.mend();
/// # });
/// ```
#[derive(Default)]
pub struct PoisonMutex<T> {
    mutex: Mutex<PoisonState<T>>,
}

#[derive(Default)]
struct PoisonState<T> {
    value: T,
    cause: Option<PoisonCause>,
}

impl<T> PoisonMutex<T> {
    /// Makes a mutex around `value`, which is whole.
    #[must_use]
    pub const fn new(value: T) -> Self {
        PoisonMutex { mutex: Mutex::new(PoisonState { value, cause: None }) }
    }

    /// Waits until it is ours.
    ///
    /// # Cancellation
    ///
    /// *Loses its place*. A drop leaves the queue; if it was handed over already it goes to the next waiter.
    ///
    /// # Errors
    ///
    /// [`Poisoned`], if a critical section was cut short; the guard is inside.
    #[track_caller]
    pub fn lock(&self) -> PoisonMutexLock<'_, T> {
        PoisonMutexLock { lock: self.mutex.lock(), location: Location::caller() }
    }

    /// Takes it, if it is free; whether it is poisoned is the inner result.
    ///
    /// # Errors
    ///
    /// * [`WouldBlock`], if it is not free, or somebody waits for it.
    /// * Inside, [`Poisoned`], if a critical section was cut short.
    #[track_caller]
    pub fn try_lock(&self) -> Result<PoisonResult<'_, T>, WouldBlock> {
        let location = Location::caller();
        self.mutex.try_lock().map(|guard| PoisonMutexGuard::wrap(guard, location))
    }

    /// Returns a snapshot.
    #[must_use]
    pub fn statistics(&self) -> MutexStatistics {
        self.mutex.statistics()
    }
}

impl<T> fmt::Debug for PoisonMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MutexStatistics { held, waiting } = self.statistics();
        f.debug_struct("PoisonMutex").field("held", &held).field("waiting", &waiting).finish()
    }
}

/// The result of acquiring a [`PoisonMutex`].
pub type PoisonResult<'a, T> = Result<PoisonMutexGuard<'a, T>, Poisoned<PoisonMutexGuard<'a, T>>>;

/// Future of [`PoisonMutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct PoisonMutexLock<'a, T> {
    lock: MutexLock<'a, PoisonState<T>>,
    location: &'static Location<'static>,
}

impl<'a, T> Future for PoisonMutexLock<'a, T> {
    type Output = PoisonResult<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let has_waited = self.lock.has_waited();
        let guard = ready!(Pin::new(&mut self.lock).poll(cx));
        if guard.cause.is_some() && !has_waited && leaf::is_cancelled() {
            // It may have been poisoned because of a request that has come since the gate (L14).
            drop(guard);
            return self.lock.restart(cx);
        }
        Poll::Ready(PoisonMutexGuard::wrap(guard, self.location))
    }
}

impl<T> fmt::Debug for PoisonMutexLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoisonMutexLock").field(&self.lock).finish()
    }
}

/// The use of a [`PoisonMutex`].
#[must_use = "the mutex is released when this is dropped"]
pub struct PoisonMutexGuard<'a, T> {
    guard: MutexGuard<'a, PoisonState<T>>,
    /// The value was mutably dereferenced.
    changed: bool,
    location: &'static Location<'static>,
}

impl<'a, T> PoisonMutexGuard<'a, T> {
    fn wrap(guard: MutexGuard<'a, PoisonState<T>>, location: &'static Location<'static>) -> PoisonResult<'a, T> {
        let guard = PoisonMutexGuard { guard, changed: false, location };
        match guard.guard.cause.clone() {
            None => Ok(guard),
            Some(cause) => Err(Poisoned { guard, cause }),
        }
    }

    /// Ends the critical section, and releases the mutex. It does not unpoison.
    pub fn complete(mut self) {
        self.changed = false;
    }

    /// Declares that the value is whole again, and releases the mutex.
    pub fn mend(mut self) {
        self.guard.cause = None;
        self.changed = false;
    }
}

impl<T> Drop for PoisonMutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.changed && self.guard.cause.is_none() {
            let panicking = std::thread::panicking();
            self.guard.cause = Some(PoisonCause { task: current::task_origin(), location: self.location, panicking });
        }
    }
}

impl<T> Deref for PoisonMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard.value
    }
}

impl<T> DerefMut for PoisonMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.guard.value
    }
}

impl<T: fmt::Debug> fmt::Debug for PoisonMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The critical section that was cut short.
#[derive(Clone)]
struct PoisonCause {
    task: Option<Origin>,
    location: &'static Location<'static>,
    panicking: bool,
}

/// A critical section of a [`PoisonMutex`] was cut short: the value may be half changed.
///
/// Usual causes: the scope was cancelled at an await inside the section, `?` left it early, or
/// [`complete`](PoisonMutexGuard::complete) was forgotten. A section that must not be cut goes into a
/// [`shield`](crate::shield()).
pub struct Poisoned<G> {
    guard: G,
    cause: PoisonCause,
}

impl<G> Poisoned<G> {
    /// Returns the guard, to look at the value all the same, and to mend it.
    pub fn into_guard(self) -> G {
        self.guard
    }

    /// Returns the task whose section was cut short; none if that was outside of any.
    #[must_use]
    pub fn task(&self) -> Option<&Origin> {
        self.cause.task.as_ref()
    }

    /// Returns where the mutex was acquired for that section.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.cause.location
    }

    /// Returns whether it was a panic.
    #[must_use]
    pub fn by_panic(&self) -> bool {
        self.cause.panicking
    }
}

impl<G> fmt::Display for Poisoned<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a critical section")?;
        if let Some(task) = &self.cause.task {
            write!(f, " of task {task}")?;
        }
        f.write_str(if self.cause.panicking { " panicked" } else { " was cut short" })?;
        write!(f, " (acquired at {})", self.cause.location)
    }
}

impl<G> fmt::Debug for Poisoned<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Poisoned({self})")
    }
}

impl<G> std::error::Error for Poisoned<G> {}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use foster_test_support::{ManualTask, at_once};

    #[test]
    fn a_completed_section_and_a_reader_do_not_poison() {
        let mutex = PoisonMutex::new(1);
        assert_eq!(*at_once(mutex.lock()).unwrap(), 1);
        let mut guard = at_once(mutex.lock()).unwrap();
        *guard = 2;
        guard.complete();
        assert_eq!(*mutex.try_lock().unwrap().unwrap(), 2);
    }

    #[test]
    fn a_section_that_is_cut_short_poisons_until_mended() {
        let mutex = PoisonMutex::new(1);
        let mut section = ManualTask::new(async {
            let mut guard = mutex.lock().await.unwrap();
            *guard = 2;
            std::future::pending::<()>().await;
            guard.complete();
        });
        assert!(section.poll().is_pending());
        let waiter = ManualTask::waiting(mutex.lock());
        drop(section);
        let poisoned = waiter.finish().unwrap_err();
        assert!(poisoned.to_string().starts_with("a critical section was cut short (acquired at "));
        assert!(poisoned.location().file().ends_with("poison_mutex.rs") && !poisoned.by_panic());
        let mut guard = poisoned.into_guard();
        assert_eq!(*guard, 2);
        *guard = 3;
        guard.complete();
        let guard = mutex.try_lock().unwrap().unwrap_err().into_guard();
        guard.mend();
        assert_eq!(*mutex.try_lock().unwrap().unwrap(), 3);
    }

    #[test]
    fn a_panic_poisons() {
        let mutex = PoisonMutex::new(1);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            *mutex.try_lock().unwrap().unwrap() = 2;
            let mut guard = mutex.try_lock().unwrap().unwrap_err().into_guard();
            *guard = 3;
            guard.mend();
            let mut guard = mutex.try_lock().unwrap().unwrap();
            *guard = 4;
            panic!("in the midst");
        }));
        let poisoned = mutex.try_lock().unwrap().unwrap_err();
        assert!(poisoned.by_panic() && poisoned.to_string().contains("panicked"));
    }
}
