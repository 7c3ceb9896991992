//! What has a mutex: it holds the value, and brings it back.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Mutex;

/// The use of a [`Mutex`]; hands it over when dropped.
#[must_use = "the mutex is released when this is dropped"]
pub struct MutexGuard<'a, T> {
    pub(super) mutex: &'a Mutex<T>,
    /// Gone only while it is dropped.
    pub(super) value: Option<T>,
}

impl<'a, T> MutexGuard<'a, T> {
    /// The mutex it belongs to. (Not a method, so as not to hide one of the value.)
    #[must_use]
    pub fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.mutex.release(value);
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        inside(self.value.as_ref())
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        inside(self.value.as_mut())
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// The use of a [`Mutex`] that can be moved anywhere; hands it over when dropped.
#[must_use = "the mutex is released when this is dropped"]
pub struct OwnedMutexGuard<T> {
    pub(super) mutex: Arc<Mutex<T>>,
    /// Gone only while it is dropped.
    pub(super) value: Option<T>,
}

impl<T> OwnedMutexGuard<T> {
    /// The mutex it belongs to. (Not a method, so as not to hide one of the value.)
    #[must_use]
    pub fn mutex(guard: &Self) -> &Arc<Mutex<T>> {
        &guard.mutex
    }
}

impl<T> Drop for OwnedMutexGuard<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.mutex.release(value);
        }
    }
}

impl<T> Deref for OwnedMutexGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        inside(self.value.as_ref())
    }
}

impl<T> DerefMut for OwnedMutexGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        inside(self.value.as_mut())
    }
}

impl<T: fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

fn inside<V>(value: Option<V>) -> V {
    match value {
        Some(value) => value,
        None => unreachable!("a guard has its value until it is dropped"),
    }
}
