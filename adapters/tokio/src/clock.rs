//! tokio's clock, and timers on the runtime's time driver.
//!
//! The origin is that of all adapters on the host's clock, so their instants compare, whatever runtime they are from. The
//! exception is a runtime whose clock was paused by a test: its time is its own.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use foster::Instant;
use foster::runtime::{Timer, host_clock};
use tokio::runtime::Handle;
use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};

/// Reads the clock (R5).
///
/// tokio looks for a paused clock in the context of the calling thread. Not here: `Handle::enter`, which would find it
/// on foreign threads as well, and double the price of every reading.
pub(crate) fn now() -> Instant {
    host_clock::from_std(tokio::time::Instant::now().into_std())
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
        let Some(host_at) = host_clock::to_std(at) else { return self.disarm() };
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
