//! What reads or writes under a read-write lock: it holds the value, alone or with others.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Mode, RwLock};

/// The reading of an [`RwLock`].
#[must_use = "the lock is released when this is dropped"]
pub struct RwLockReadGuard<'a, T> {
    pub(super) lock: &'a RwLock<T>,
    /// Gone only while it is dropped.
    pub(super) value: Option<Arc<T>>,
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        // Invariant 3.
        drop(self.value.take());
        self.lock.release(Mode::Read, None);
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("a guard has its value until it is dropped"),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The writing of an [`RwLock`].
///
/// Each mutable use checks that the reference is the only one; in a hot loop, do it once: `let value = &mut *guard`.
#[must_use = "the lock is released when this is dropped"]
pub struct RwLockWriteGuard<'a, T> {
    pub(super) lock: &'a RwLock<T>,
    /// Gone only while it is dropped or downgraded.
    pub(super) value: Option<Arc<T>>,
}

impl<'a, T> RwLockWriteGuard<'a, T> {
    /// Goes on reading; nobody writes in between. Readers who are first in the queue come in, too.
    pub fn downgrade(mut self) -> RwLockReadGuard<'a, T> {
        let lock = self.lock;
        let value = self.value.take();
        drop(self);
        let mut state = lock.lock();
        state.writer = false;
        state.value = value.clone();
        state.admit(Mode::Read);
        let wakes = lock.serve(&mut state);
        drop(state);
        drop(wakes);
        RwLockReadGuard { lock, value }
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.lock.release(Mode::Write, Some(value));
        }
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("a guard has its value until it is dropped"),
        }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self.value.as_mut().and_then(Arc::get_mut) {
            Some(value) => value,
            None => unreachable!("a writer has the only reference"),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
