//! Time.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::Sleep;

/// The clock of the tree, for the timeouts of hyper: with it they are virtual in the simulator.
///
/// Servers of this crate have it, and so have its clients; a builder of hyper's is given it by `timer(Timer)`.
///
/// # Panics
///
/// Its methods and futures, outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::Instant;
/// use foster_hyper::Timer;
/// use hyper::rt::Timer as _;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let start = Instant::now();
/// Timer.sleep(Duration::from_secs(3600)).await;
/// assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(foster::sleep_until(foster::Instant::now() + duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(foster::sleep_until(from_std(deadline))))
    }

    fn now(&self) -> Instant {
        to_std(foster::Instant::now())
    }
}

/// Where virtual clocks begin on that of the host, which only tells apart what hyper compares.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "any instant would do: only differences are used")]
    *ORIGIN.get_or_init(Instant::now)
}

fn to_std(at: foster::Instant) -> Instant {
    at.to_std().unwrap_or_else(|| origin() + Duration::from_nanos(at.as_nanos()))
}

fn from_std(at: Instant) -> foster::Instant {
    let on_virtual_clock = || foster::Instant::from_nanos(0) + at.saturating_duration_since(origin());
    foster::Instant::from_std(at).unwrap_or_else(on_virtual_clock)
}

struct Sleeping(foster::future::Sleep);

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for Sleeping {}
