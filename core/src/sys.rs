//! The primitives that the mechanisms are built of: locks, atomics, thread-local storage.
//!
//! All of it is the standard library's. The models of the races (`races.rs`) are the one exception: built with
//! `--cfg foster_shuttle`, the unit tests of this crate get shuttle's, which let a scheduler choose at each step which
//! thread goes on. `Arc` and `PoisonError` are the standard library's there, too.
//!
//! Not here: what no model runs through. A module that is on neither side of a race has its lock from `std`, and must
//! not use one of these while it holds it: all threads of a model are one thread of the process, which would wait for itself.

use std::sync::PoisonError;

#[cfg(not(all(test, foster_shuttle)))]
mod primitives {
    pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock, atomic};
    pub(crate) use std::thread_local;
}

#[cfg(all(test, foster_shuttle))]
mod primitives {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
    pub(crate) use shuttle::thread_local;

    pub(crate) use crate::sys::cell::OnceLock;
}

pub(crate) use primitives::*;

/// A mutex that ignores poison: every step under one leaves the value that it protects whole, also if it panics.
///
/// Not named `Mutex`, because this module re-exports the standard library's.
#[derive(Debug, Default)]
pub(crate) struct PlainMutex<T>(Mutex<T>);

impl<T> PlainMutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        PlainMutex(Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shuttle has no cell that is set once.
#[cfg(all(test, foster_shuttle))]
mod cell {
    use crate::sys::atomic::{AtomicBool, Ordering};

    /// The standard library's, before each use of which another thread may go on.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        cell: std::sync::OnceLock<T>,
        step: AtomicBool,
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            OnceLock::new()
        }
    }

    impl<T> From<T> for OnceLock<T> {
        fn from(value: T) -> Self {
            OnceLock { cell: value.into(), step: AtomicBool::new(false) }
        }
    }

    impl<T> OnceLock<T> {
        pub(crate) const fn new() -> Self {
            OnceLock { cell: std::sync::OnceLock::new(), step: AtomicBool::new(false) }
        }

        fn cell(&self) -> &std::sync::OnceLock<T> {
            self.step.load(Ordering::SeqCst);
            &self.cell
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.cell().get()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            self.cell().set(value)
        }

        /// `make` takes no step of a model.
        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            self.cell().get_or_init(make)
        }

        pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
            self.cell.get_mut()
        }

        pub(crate) fn into_inner(self) -> Option<T> {
            self.cell.into_inner()
        }
    }
}
