//! What the runtime below foster would offer to code that knows nothing of foster.
//!
//! Foreign futures complete, and are dropped, without regard to scopes. To test what foster makes of them, there has to be
//! one: a sleep on a timer of the simulation.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::Instant;
use foster::runtime::Timer;

use crate::clock::SimTimer;
use crate::executor::Sim;

/// Waits for `duration`, counted from the first poll, on a timer of its own: no operation of foster, so no checkpoint, and
/// nothing that a scope could cancel.
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
    armed: Option<(Instant, SimTimer, Waker)>,
}

impl Future for PlainSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let sim = Sim::current("plain_sleep");
        let now = sim.lock().now;
        match &mut this.armed {
            Some((at, ..)) if now >= *at => return Poll::Ready(()),
            Some((_, _, waker)) if waker.will_wake(cx.waker()) => {}
            Some((at, timer, waker)) => {
                waker.clone_from(cx.waker());
                timer.arm(*at, waker);
            }
            None if this.duration.is_zero() => return Poll::Ready(()),
            None => {
                let at = now + this.duration;
                let mut timer = SimTimer::new(sim);
                timer.arm(at, cx.waker());
                this.armed = Some((at, timer, cx.waker().clone()));
            }
        }
        Poll::Pending
    }
}

impl fmt::Debug for PlainSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainSleep").field("duration", &self.duration).finish_non_exhaustive()
    }
}
