//! The outcome of a combinator that waits for its losers.

use std::panic::{self, AssertUnwindSafe};

use foster_core::observer::KeptPanic;

/// The outcome, mostly the first error, that a combinator is to return when all its branches have ended.
///
/// If foreign code drops the combinator before that, it is handed over as a later one is: an error goes to the observer
/// (law L35).
pub(super) struct KeptOutcome<X> {
    outcome: Option<X>,
    lost: fn(X),
}

impl<X> KeptOutcome<X> {
    /// `lost` is called with an outcome that is not returned.
    pub(super) fn new(lost: fn(X)) -> Self {
        KeptOutcome { outcome: None, lost }
    }

    /// Keeps the first. Gives back what comes later.
    pub(super) fn keep(&mut self, outcome: X) -> Option<X> {
        if self.outcome.is_some() {
            return Some(outcome);
        }
        self.outcome = Some(outcome);
        None
    }

    pub(super) fn take(&mut self) -> Option<X> {
        self.outcome.take()
    }
}

impl<X> Drop for KeptOutcome<X> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            without_panic(|| (self.lost)(outcome));
        }
    }
}

/// Calls user code in a destructor, which must not panic (law L37): a panic fails the scope around.
pub(super) fn without_panic(call: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(call)) {
        drop(KeptPanic::new(payload));
    }
}
