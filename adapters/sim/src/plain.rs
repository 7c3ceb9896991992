//! The services of the runtime for code that knows nothing of foster.
//!
//! Foreign futures complete, and are dropped, without regard to scopes. To test what foster makes of them, there has to
//! be one: a sleep on a timer of the simulation.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use foster::Instant;
use foster::runtime::Timer;

use crate::runtime::{Sim, SimTimer};

/// Waits for `duration`, counted from the first poll, on a timer of its own: no operation of foster, so no checkpoint,
/// and nothing that a scope could cancel.
///
/// # Panics
///
/// When polled where no simulation runs on this thread.
///
/// # Examples
///
/// ```
/// use foster::move_on_after;
/// use foster_sim::plain_sleep;
/// use std::time::Duration;
///
/// foster_sim::run(0, async {
///     // A shield holds off the cancellation, not the time.
///     let out = move_on_after(Duration::from_secs(1), foster::shield(plain_sleep(Duration::from_secs(2)))).await;
///     assert_eq!(out, Some(()));
/// });
/// ```
pub fn plain_sleep(duration: Duration) -> PlainSleep {
    PlainSleep { duration, armed: None }
}

/// Future of [`plain_sleep`].
#[must_use = "futures do nothing unless polled"]
pub struct PlainSleep {
    duration: Duration,
    /// When it ends.
    armed: Option<(Instant, SimTimer)>,
}

impl Future for PlainSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sim = Sim::current("plain_sleep");
        let now = sim.lock().now;
        let end = now + self.duration;
        let (end, timer) = self.armed.get_or_insert_with(|| (end, SimTimer::new(sim)));
        if now >= *end {
            return Poll::Ready(());
        }
        timer.arm(*end, cx.waker());
        Poll::Pending
    }
}

impl fmt::Debug for PlainSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainSleep").field("duration", &self.duration).finish_non_exhaustive()
    }
}
