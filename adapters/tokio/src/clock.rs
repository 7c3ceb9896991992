//! tokio's clock, and timers on the runtime's time driver.
//!
//! All trees on tokio share one origin, whatever runtime they are on, so their instants can be compared with each
//! other; with the instants of another adapter they cannot. The exception is a runtime whose clock was paused by a
//! test: its time is its own.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time;

use foster::Instant;
use foster::runtime::Timer;
use tokio::runtime::Handle;
use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};

/// Reads the clock (R5).
///
/// tokio looks for a paused clock in the context of the calling thread. Not here: `Handle::enter`, which would find it
/// on foreign threads as well, and double the price of every reading.
pub(crate) fn now() -> Instant {
    from_host(tokio::time::Instant::now().into_std())
}

/// One entry in the time driver, which fires it as long as anybody drives the runtime (R7).
pub(crate) struct TokioTimer {
    handle: Handle,
    /// `None` while nothing is armed: an entry far in the future would make a paused clock jump there.
    entry: Pin<Box<Option<Sleep>>>,
}

impl TokioTimer {
    /// # Panics
    ///
    /// If the runtime has no time driver. The message is tokio's, and names `enable_time`.
    #[track_caller]
    pub(crate) fn probe(handle: &Handle) {
        let _context = handle.enter();
        drop(sleep_until(tokio::time::Instant::now()));
    }

    pub(crate) fn new(handle: Handle) -> Self {
        TokioTimer { handle, entry: Box::pin(None) }
    }
}

impl Timer for TokioTimer {
    fn arm(&mut self, at: Instant, waker: &Waker) {
        let Some(host_at) = on_host(at) else { return self.disarm() };
        if self.entry.is_none() {
            let _context = self.handle.enter();
            self.entry.set(Some(sleep_until(host_at.into())));
        }
        let Some(mut entry) = self.entry.as_mut().as_pin_mut() else { return };
        entry.as_mut().reset(host_at.into());
        if entry.is_elapsed() {
            // Subtle: a driver that is shut down ends its entries too, and polling one of those would panic. The timer
            // stays silent then, like everything on that runtime.
            let is_reached = {
                let _context = self.handle.enter();
                now() >= at
            };
            if is_reached {
                waker.wake_by_ref();
            }
            return;
        }
        // Unconstrained: a poll that is refused for want of budget would not leave the waker with the entry.
        let poll = || pin!(unconstrained(entry)).poll(&mut Context::from_waker(waker));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => waker.wake_by_ref(),
            // tokio panics if its driver has been shut down since `reset`, on another thread: silent, as above. The
            // caller may have scopes to wake after this.
            Err(_) => self.disarm(),
        }
    }

    fn disarm(&mut self) {
        self.entry.set(None);
    }
}

/// Where the origin stands on foster's clock. A paused clock may have stopped before foster first looked at any clock;
/// this leaves room for it.
const ORIGIN: Instant = Instant::from_nanos(3_600_000_000_000);

/// Where the origin stands on the host's clock: at the first look in this process.
#[expect(clippy::disallowed_methods, reason = "an adapter is where the host's clock is read")]
fn origin() -> time::Instant {
    static FIRST: OnceLock<time::Instant> = OnceLock::new();
    *FIRST.get_or_init(time::Instant::now)
}

/// The point on foster's clock.
pub(crate) fn from_host(at: time::Instant) -> Instant {
    match at.checked_duration_since(origin()) {
        Some(since) => ORIGIN + since,
        None => ORIGIN - (origin() - at),
    }
}

/// The point on the host's clock; `None` if it is never, or further away than that clock reaches.
pub(crate) fn on_host(at: Instant) -> Option<time::Instant> {
    if at == Instant::NEVER {
        return None;
    }
    if at >= ORIGIN { origin().checked_add(at - ORIGIN) } else { origin().checked_sub(ORIGIN - at) }
}
