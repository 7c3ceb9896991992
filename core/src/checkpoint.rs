//! Checkpoints: the places where cancelled code stops.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::leaf::Gate;
use crate::tree::{current, waking};

/// Stops here if the scope is cancelled. Otherwise goes on at once, or gives way to other tasks first, if this task has
/// done enough for one poll.
///
/// The cure for loops that compute without awaiting anything of foster's: they can be cancelled only at checkpoints.
/// Every operation of foster is one, too: it takes one unit from the task's *budget*, which is tokio's own on tokio,
/// and elsewhere 128 operations that are ready in one poll. A scope that is cut takes one as well. A loop of them gives
/// way when the budget is used up, and not before. To give way each time, see [`yield_now`].
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
    Checkpoint { gate: Gate::new("checkpoint") }
}

/// Future of [`checkpoint`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Checkpoint {
    gate: Gate,
}

impl Future for Checkpoint {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.gate.poll_start(cx)
    }
}

/// Gives way to other tasks once.
///
/// # Cancellation
///
/// *Strict*: cancelled code stops here, before it has given way or after. To give way and go on
/// whatever is cancelled, write `shield(yield_now())`.
pub fn yield_now() -> YieldNow {
    YieldNow { gate: Gate::new("yield_now"), yielded: false }
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
        // L14: code that was cancelled meanwhile is not given its turn.
        ready!(self.gate.poll_unless_cancelled(cx));
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        waking::wake(|| cx.waker().wake_by_ref());
        Poll::Pending
    }
}

/// Whether the code that calls this has to stop: its next checkpoint will not be passed (law L9).
///
/// Exact to the clock: a deadline that has passed counts, even if nothing had a chance to act on it yet. No lock is taken,
/// and no clock is read where no deadline is in force. Under a deadline the clock is read once; and if something in the
/// tree has become due by then, this does what the host's timer is about to do: it marks what is due, and wakes it. `false`
/// outside of any scope.
#[must_use]
#[inline]
pub fn is_cancelled() -> bool {
    current::is_cancelled()
}
