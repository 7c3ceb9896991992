//! The reports of a tree to its observer.

use std::sync::{Mutex, PoisonError};

use foster::observer::{Observer, Orphan};

/// An observer that keeps what it is told.
#[derive(Default)]
pub struct Reports(Mutex<Vec<String>>);

impl Reports {
    /// Takes out what has come.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Reports {
    fn orphan(&self, orphan: &Orphan<'_>) {
        let text = format!("{:?}", orphan.error);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}
