//! Time: the clock, sleeping, ticking.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::Instant;
use crate::checkpoint::{YieldNow, yield_now};
use crate::leaf::arrival::arrives_at;
use crate::leaf::{Gate, stops_here};
use crate::runtime::Runtime;
use crate::tree::Tree;
use crate::tree::current;
use crate::tree::node::WaitingCode;

use crate::tree::shared::Target;
use crate::tree::timers::{Sleeper, TimerKey};

impl Instant {
    /// The time on the clock of the runtime that drives the current tree.
    ///
    /// # Panics
    ///
    /// Outside of any tree, if no adapter was installed.
    #[must_use]
    #[track_caller]
    pub fn now() -> Instant {
        current::now_for("`Instant::now`")
    }

    /// The time since this instant; zero if it is in the future.
    ///
    /// # Panics
    ///
    /// As [`Instant::now`].
    #[must_use]
    #[track_caller]
    pub fn elapsed(self) -> Duration {
        Instant::now() - self
    }

    /// Returns the same point on the host's clock, for code that takes a [`std::time::Instant`].
    ///
    /// `None` where time is virtual, as in the simulator, and for what is further away than the host's clock reaches,
    /// such as [`Instant::NEVER`]. On tokio with a paused clock it is what `tokio::time::Instant::into_std` gives.
    ///
    /// # Panics
    ///
    /// As [`Instant::now`].
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::Instant;
    /// use std::time::Duration;
    ///
    /// # fn wait_until(_: std::time::Instant) {}
    /// # foster_sim::run(1, async {
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// match deadline.to_std() {
    ///     Some(on_host) => wait_until(on_host),
    ///     None => println!("time is virtual here"),
    /// }
    /// # assert_eq!(deadline.to_std(), None);
    /// # });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn to_std(self) -> Option<std::time::Instant> {
        of_runtime("`Instant::to_std`", |runtime| runtime.instant_to_std(self))
    }

    /// Returns the same point on the clock of the runtime that drives the current tree, for an instant that other code
    /// has made.
    ///
    /// `None` where time is virtual. An instant before the runtime's origin gives the origin.
    ///
    /// # Panics
    ///
    /// As [`Instant::now`].
    #[must_use]
    #[track_caller]
    pub fn from_std(at: std::time::Instant) -> Option<Instant> {
        of_runtime("`Instant::from_std`", |runtime| runtime.instant_from_std(at))
    }
}

/// Asks the runtime that drives the current tree, for an operation of this name.
#[track_caller]
fn of_runtime<R>(operation: &str, ask: impl FnOnce(&dyn Runtime) -> R) -> R {
    let Some(answer) = current::with_tree(|tree| ask(&*tree.runtime)) else { current::no_context_for(operation) };
    answer
}

/// Waits for `duration`, counted from the first poll; never less.
///
/// `sleep(Duration::ZERO)` gives way to other tasks once; `sleep(Duration::MAX)` is [`sleep_forever`].
///
/// # Cancellation
///
/// *Loses its place*: sleeping again starts from the beginning; use [`sleep_until`] to go on. A drop disarms the timer.
///
/// # Panics
///
/// When polled outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let start = foster::Instant::now();
/// foster::sleep(Duration::from_secs(3600)).await;
/// assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// # });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { state: State::After(duration), gate: Gate::new("sleep") }
}

/// Waits until the clock has reached `at`; never less. If `at` has passed, it gives way to other tasks once.
///
/// # Cancellation
///
/// *Strict*. A drop disarms the timer.
///
/// # Panics
///
/// When polled outside of any tree, if no adapter was installed.
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep { state: State::Until(at), gate: Gate::new("sleep") }
}

/// Waits until the scope is cancelled. It never returns: stray wake-ups included.
///
/// # Cancellation
///
/// *Strict*.
pub fn sleep_forever() -> SleepForever {
    SleepForever { _private: () }
}

/// Future of [`sleep_forever`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct SleepForever {
    _private: (),
}

impl Future for SleepForever {
    type Output = std::convert::Infallible;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        arrives_at("sleep_forever", false, cx);
        Poll::Pending
    }
}

/// Future of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    state: State,
    gate: Gate,
}

enum State {
    After(Duration),
    Until(Instant),
    /// No time to wait: it gives way all the same.
    Checkpoint(YieldNow),
    Armed {
        at: Instant,
        key: TimerKey,
        tree: Arc<Tree>,
    },
    Done,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // A sleep has to wait in any case: it takes nothing of the budget, which a sibling in the same task may use up
        // in each poll.
        if this.gate.poll_start_to_wait(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            match &mut this.state {
                State::After(Duration::ZERO) => this.state = State::Checkpoint(yield_now()),
                State::After(duration) => {
                    let at = current::now_for("`sleep`") + *duration;
                    this.arm(at, cx);
                    return Poll::Pending;
                }
                State::Until(at) if *at <= current::now_for("`sleep_until`") => {
                    this.state = State::Checkpoint(yield_now())
                }
                State::Until(at) => {
                    let at = *at;
                    this.arm(at, cx);
                    return Poll::Pending;
                }
                State::Checkpoint(checkpoint) => {
                    if Pin::new(checkpoint).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.state = State::Done;
                }
                State::Armed { at, tree, .. } if current::with_tree(|here| !Arc::ptr_eq(here, tree)) == Some(true) => {
                    // It was armed in another tree, which may have ended, and its timers with it: an interval may be
                    // kept for longer than a run.
                    let at = *at;
                    this.disarm();
                    this.state = State::Until(at);
                }
                State::Armed { key, tree, .. } => {
                    // Exact to the clock, whether or not the host's timer has fired by now.
                    tree.fire_due();
                    let sleeper = Sleeper::new(cx.waker(), current::waiting_code());
                    if tree.timers.poll_sleep(*key, sleeper, WaitingCode::is_cancelled).is_pending() {
                        // It may be one that was missed, and this code cancelled by this look at the clock.
                        let _ = stops_here(cx);
                        return Poll::Pending;
                    }
                    this.state = State::Done;
                }
                State::Done => return Poll::Ready(()),
            }
        }
    }
}

impl Sleep {
    fn arm(&mut self, at: Instant, cx: &mut Context<'_>) {
        let code = current::waiting_code();
        let Some(tree) = current::tree() else { current::no_context_for("`sleep`") };
        let sleeper = Sleeper::new(cx.waker(), code);
        let (key, arms) = tree.timers.insert(at, |key| (Target::Sleep(sleeper), key));
        // Before the timer is armed, which may wake inline, and may panic.
        self.state = State::Armed { at, key, tree: tree.clone() };
        if arms {
            tree.timers.arm();
        }
    }

    fn disarm(&mut self) {
        if let State::Armed { key, tree, .. } = std::mem::replace(&mut self.state, State::Done) {
            drop(tree.timers.remove(key));
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::After(duration) => f.debug_tuple("Sleep::After").field(duration).finish(),
            State::Until(at) | State::Armed { at, .. } => f.debug_tuple("Sleep::Until").field(at).finish(),
            State::Checkpoint(_) => f.write_str("Sleep::Now"),
            State::Done => f.write_str("Sleep::Done"),
        }
    }
}

/// Ticks every `period`: a stream of the instants at which it was due, the first at once.
///
/// Ticks that were missed because nobody asked are skipped; the rhythm is kept. The stream never ends.
///
/// # Panics
///
/// If `period` is zero; when polled, outside of any tree, if no adapter was installed.
///
/// # Cancellation
///
/// *Strict*: a tick that was not received is received next time, however late; those that were due since are skipped.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(period > Duration::ZERO, "an interval needs a period greater than zero");
    Interval { period, next: None, sleep: None }
}

/// Stream of [`interval`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Interval {
    period: Duration,
    next: Option<Instant>,
    sleep: Option<Sleep>,
}

impl Interval {
    /// Waits for the next tick and returns the instant at which it was due.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn tick(&mut self) -> Instant {
        std::future::poll_fn(|cx| self.poll_tick(cx)).await
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let due = *self.next.get_or_insert_with(|| current::now_for("`interval`"));
        let sleep = self.sleep.get_or_insert_with(|| sleep_until(due));
        if Pin::new(sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        let now = current::now_for("`interval`");
        let mut next = due + self.period;
        if next <= now {
            // It has passed, so the clock can count it.
            let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
            let since_last = (now.as_nanos() - due.as_nanos()) % period;
            next = now - Duration::from_nanos(since_last) + self.period;
        }
        self.next = Some(next);
        Poll::Ready(due)
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}
