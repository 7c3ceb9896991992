//! The outcome of a combinator that waits for its losers, and of a branch that has still something to end.

use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll};

use foster_core::observer::KeptPanic;
use pin_project_lite::pin_project;

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

    /// Returns what a [`Keeping`] has kept.
    pub(super) fn into_outcome(mut self) -> X {
        let Some(outcome) = self.outcome.take() else { unreachable!("made with an outcome, and not taken") };
        outcome
    }
}

pin_project! {
    /// A branch's future, whose outcome is kept from the moment at which it is there.
    ///
    /// The branch may have to wait then, for finalizers and tasks inside. If foreign code drops the combinator meanwhile,
    /// or one of those panics, nobody else knows of it.
    pub(super) struct Keeping<F, X> {
        #[pin]
        future: F,
        lost: fn(X),
    }
}

impl<F, X> Keeping<F, X> {
    /// `lost` is called with an outcome that is not taken.
    pub(super) fn new(future: F, lost: fn(X)) -> Self {
        Keeping { future, lost }
    }
}

impl<F: Future<Output = X>, X> Future for Keeping<F, X> {
    type Output = KeptOutcome<X>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.future.poll(cx).map(|outcome| KeptOutcome { outcome: Some(outcome), lost: *this.lost })
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
