//! Checkpoints: the places where cancelled code stops.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::tree::ambient;

/// The gate at the start of every foster operation: code that is cancelled does not start one (law L14).
///
/// A leaf keeps one of these and asks it first in every poll. Once open it stays open: an operation that has started may
/// still complete.
#[derive(Debug)]
pub(crate) struct Gate {
    open: bool,
    /// The operation, for dumps.
    what: &'static str,
    /// A dump would show it, as what a scope waits for.
    shown: bool,
}

impl Gate {
    /// The gate to `what`.
    #[inline]
    pub(crate) const fn to(what: &'static str) -> Self {
        Gate { open: false, what, shown: false }
    }

    /// The gate to `what`, which [stands open](Gate::stands_open).
    #[inline]
    pub(crate) const fn opened(what: &'static str) -> Self {
        Gate { open: true, what, shown: false }
    }

    /// The operation.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// Ready once the operation has started; Pending for ever if it would start in cancelled code.
    #[inline]
    pub(crate) fn poll_start(&mut self) -> Poll<()> {
        let arrival = ambient::arrives_at(self.what, !self.open);
        self.shown = arrival.noted;
        if arrival.cancelled {
            return Poll::Pending;
        }
        self.open = true;
        Poll::Ready(())
    }

    /// Opens it, if nothing is near that could stop anybody, and nobody watches: then there is no more to ask, not even whether the
    /// code was cancelled meanwhile. Otherwise `poll_start` knows.
    #[inline]
    pub(crate) fn stands_open(&mut self) -> bool {
        let clear = Gate::would_open();
        if clear {
            (self.open, self.shown) = (true, false);
        }
        clear
    }

    /// Whether it would open for an operation that is over at once, and nobody would note that this was here. `false` says nothing.
    #[inline]
    pub(crate) fn would_open() -> bool {
        ambient::is_clear()
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }
}

impl Drop for Gate {
    #[inline]
    fn drop(&mut self) {
        if self.shown {
            // The operation is over, and the code goes on to another in the same poll.
            ambient::waits_no_more(self.what);
        }
    }
}

/// Gives way to other tasks once, and stops here if the scope is cancelled, before or after.
///
/// The cure for loops that compute without awaiting anything of foster's: they can be cancelled only at checkpoints.
///
/// # Cancellation
///
/// *Strict*: nothing is held, nothing is lost.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let mut sum = 0u64;
/// for chunk in 0..100 {
///     sum += chunk;
///     foster::checkpoint().await;
/// }
/// assert_eq!(sum, 4950);
/// # });
/// ```
pub fn checkpoint() -> Checkpoint {
    Checkpoint { gate: Gate::to("checkpoint"), yielded: false }
}

/// Future of [`checkpoint`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Checkpoint {
    gate: Gate,
    yielded: bool,
}

impl Future for Checkpoint {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.gate.is_open() {
            if self.gate.poll_start().is_ready() {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        if !self.yielded && ambient::is_cancelled() {
            return Poll::Pending;
        }
        self.yielded = true;
        Poll::Ready(())
    }
}

/// Stops here if the scope is cancelled; otherwise goes on at once, without giving way to other tasks.
///
/// # Cancellation
///
/// *Strict*: nothing is held, nothing is lost.
pub fn checkpoint_if_cancelled() -> CheckpointIfCancelled {
    CheckpointIfCancelled { gate: Gate::to("checkpoint") }
}

/// Future of [`checkpoint_if_cancelled`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct CheckpointIfCancelled {
    gate: Gate,
}

impl Future for CheckpointIfCancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.gate.poll_start()
    }
}

/// Gives way to other tasks once.
///
/// # Cancellation
///
/// *Strict*: cancelled code stops here as wherever it waits, but is not looked at again after it has waited. To give way and go on
/// whatever is cancelled, write `shield(yield_now())`.
pub fn yield_now() -> YieldNow {
    YieldNow { gate: Gate::to("yield_now"), yielded: false }
}

/// Future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct YieldNow {
    gate: Gate,
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        if self.gate.poll_start().is_pending() {
            return Poll::Pending;
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether the code that calls this has to stop: its next checkpoint will not be passed (law L9).
///
/// Exact to the clock: a deadline that has passed counts, even if nothing had a chance to act on it yet. Costs a load where
/// no deadline is in force, a reading of the clock where one is. `false` outside of any scope.
#[must_use]
pub fn is_cancelled() -> bool {
    ambient::is_cancelled()
}
