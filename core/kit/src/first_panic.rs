//! The panics of code that runs side by side: the first is kept until all have ended, and then resumes.

use std::any::Any;

use foster_core::observer::KeptPanic;

use crate::payload::drop_payload;

/// The first panic of several, if there was one (law L32). Dropped before it has resumed, it fails the scope around (law
/// L29).
#[derive(Default)]
pub(crate) struct FirstPanic {
    // In a box, because it is hardly ever there.
    kept: Option<Box<KeptPanic>>,
}

impl FirstPanic {
    /// Keeps the first, and drops a later one. To be called while no lock is held: that drop is the user's code, and the
    /// other gives the scope around its place.
    pub(crate) fn keep(&mut self, payload: Box<dyn Any + Send>) {
        match self.kept {
            None => self.kept = Some(Box::new(KeptPanic::new(payload))),
            // The panic hook has reported it.
            Some(_) => drop_payload(payload),
        }
    }

    /// All have ended: resumes the panic, if there was one.
    pub(crate) fn resume(&mut self) {
        if let Some(panic) = self.kept.take() {
            panic.resume();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use super::FirstPanic;

    /// The first resumes, once; a later one is dropped.
    #[test]
    fn the_first_one_resumes() {
        let mut panics = FirstPanic::default();
        panics.resume();
        let later = Arc::new(());
        panics.keep(Box::new("first"));
        panics.keep(Box::new(later.clone()));
        assert_eq!(Arc::strong_count(&later), 1);
        let resumed = catch_unwind(AssertUnwindSafe(|| panics.resume())).unwrap_err();
        assert_eq!(resumed.downcast_ref(), Some(&"first"));
        panics.resume();
    }
}
