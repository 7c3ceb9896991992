//! The primitives that the mechanisms are built of: locks, atomics, thread-local storage.
//!
//! All of it is the standard library's. The models of the races (`races.rs`) are the one exception: built with `--cfg
//! foster_shuttle`, all crates of foster get shuttle's, which let a scheduler choose at each step which thread goes
//! on. `Arc` and `PoisonError` are the standard library's there, too.
//!
//! Not here: what no model runs through. A module that is on neither side of a race has its lock from `std`, and must
//! not use one of these while it holds it: all threads of a model are one thread of the process, which would wait for
//! itself.
//!
//! Shuttle runs all atomics as sequentially consistent, whatever ordering they are given. So models find lost
//! wake-ups and wrong orders of steps, and not an ordering that is too weak: for that each atomic has a note
//! beginning with "Ordering:" that names the other side, and there is the thread sanitizer.

#![forbid(unsafe_code)]

use std::sync::PoisonError;

#[cfg(not(foster_shuttle))]
mod primitives {
    pub use std::sync::{Mutex, MutexGuard, OnceLock, atomic};
    pub use std::thread_local;
}

#[cfg(foster_shuttle)]
mod primitives {
    pub use shuttle::sync::{Mutex, MutexGuard, atomic};
    pub use shuttle::thread_local;

    pub use crate::sys::cell::OnceLock;
}

pub use primitives::*;

/// A mutex that ignores poison: every step under one leaves the value that it protects whole, also if it panics.
///
/// Not named `Mutex`, because this module re-exports the standard library's.
///
/// That no user code runs under a lock of foster (L36) is what makes it so.
#[derive(Debug, Default)]
pub struct PlainMutex<T>(Mutex<T>);

impl<T> PlainMutex<T> {
    /// Makes a mutex that is not locked.
    pub const fn new(value: T) -> Self {
        PlainMutex(Mutex::new(value))
    }

    /// Locks the mutex.
    ///
    /// Waits for whoever has it, which is never long: under these locks plain data is moved.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the value, which nobody else refers to.
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shuttle has no cell that is set once.
#[cfg(foster_shuttle)]
#[allow(missing_docs, reason = "the names of the standard library")]
mod cell {
    use crate::sys::atomic::{AtomicBool, Ordering};

    /// The standard library's, before each use of which another thread may go on: `get` and `set` are steps of a
    /// model.
    #[derive(Debug)]
    pub struct OnceLock<T> {
        // Holds the value.
        cell: std::sync::OnceLock<T>,
        // Shuttle's: to load it is the step. Its value means nothing.
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
        pub const fn new() -> Self {
            OnceLock { cell: std::sync::OnceLock::new(), step: AtomicBool::new(false) }
        }

        /// Takes a step of the model, and returns the cell.
        fn cell(&self) -> &std::sync::OnceLock<T> {
            self.step.load(Ordering::SeqCst);
            &self.cell
        }

        pub fn get(&self) -> Option<&T> {
            self.cell().get()
        }

        pub fn set(&self, value: T) -> Result<(), T> {
            self.cell().set(value)
        }

        /// `make` takes no step of a model.
        pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            self.cell().get_or_init(make)
        }

        pub fn get_mut(&mut self) -> Option<&mut T> {
            self.cell.get_mut()
        }

        pub fn into_inner(self) -> Option<T> {
            self.cell.into_inner()
        }
    }
}
