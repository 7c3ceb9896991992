//! The guards of a mutex: pointers to the value.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Mutex;
use crate::raw::lock::{RawGuard, WriteAccess};

/// The use of a [`Mutex`]; hands it over when dropped.
#[must_use = "the mutex is released when this is dropped"]
pub struct MutexGuard<'a, T: ?Sized>(pub(super) RawGuard<&'a Mutex<T>, WriteAccess, T>);

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Returns the mutex it belongs to. (Not a method, so as not to hide one of the value.)
    #[must_use]
    pub fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.0.lock_ref()
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// The use of a [`Mutex`] that can be moved anywhere; hands it over when dropped.
#[must_use = "the mutex is released when this is dropped"]
pub struct OwnedMutexGuard<T: ?Sized>(pub(super) RawGuard<Arc<Mutex<T>>, WriteAccess, T>);

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// Returns the mutex it belongs to. (Not a method, so as not to hide one of the value.)
    #[must_use]
    pub fn mutex(guard: &Self) -> &Arc<Mutex<T>> {
        guard.0.lock_ref()
    }
}

impl<T: ?Sized> Deref for OwnedMutexGuard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for OwnedMutexGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
