//! Trying again.
//!
//! ```text
//!   attempt 1 ── Err ─▶ decide ─▶ sleep ─▶ attempt 2 ── Err ─▶ decide ─▶ sleep ─▶ attempt 3 ── Ok ─▶ value
//!                         │                                      └──▶ the last error, at once
//!                         └ in this order: worth it? attempts left? delays left? time left? deadline? budget?
//! ```
//!
//! [`retry`] takes a schedule of delays and an operation; the rest are settings with a name each. Each attempt is a
//! scope of its own: its tasks, blocking jobs and finalizers have ended before the next one begins.
//!
//! To ask again without giving up the first question, see [`hedge`].

mod backoff;
mod budget;
mod seed;

use std::fmt::{self, Debug};
use std::future::Future;
use std::iter::{RepeatWith, Take, repeat_with};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::combine::future::Staggered;
use crate::combine::staggered;
use foster_core::future::CancelScopeFuture;
use foster_core::future::Sleep;
use foster_core::{CancelScope, Elapsed, Instant, ScopedValue, remaining, sleep};

pub use backoff::{Backoff, Delays, Jitter};
pub use budget::RetryBudget;

/// Runs `op` until it returns `Ok`, with the delays of `schedule` between the attempts; returns its value or its last
/// error.
///
/// The schedule is any iterator over durations: an array, [`Backoff`], `Backoff::new().into_iter().take(5)`. When it
/// ends, so does the retrying; [`Backoff`] alone never ends, so give it a limit: [`attempts`](Retry::attempts),
/// [`within`](Retry::within), or a deadline around.
///
/// It never sleeps past the [`deadline`](foster_core::deadline) of the code around, from however far out it comes: if
/// the next attempt could not begin before it, the last error is returned at once, and says more than a time-out would.
/// Nor does it sleep in code that is cancelled already.
///
/// # Errors
///
/// The last error of `op`, as it is. Why it was not tried again is told to [`observe`](Retry::observe).
///
/// # Cancellation
///
/// *Partial effect*: what the attempts did is done. Cancelled during an attempt, the attempt is cancelled, cleans up,
/// and is not repeated.
///
/// # Panics
///
/// Resumes the panic of an attempt; panics are not retried. Outside of any tree, if no adapter was installed: when it
/// has to wait, and with [`within`](Retry::within) or [`attempt_timeout`](Retry::attempt_timeout) as soon as it is
/// polled.
///
/// # Examples
///
/// ```
/// use foster::retry::{Backoff, retry};
/// use std::io::{Error, ErrorKind};
///
/// # foster_sim::run(1, async {
/// let mut calls = 0;
/// let page = retry(Backoff::new(), || {
///     calls += 1;
///     let call = calls;
///     async move { if call < 3 { Err(Error::from(ErrorKind::ConnectionReset)) } else { Ok("page") } }
/// })
/// .attempts(5)
/// .when(|error| error.kind() == ErrorKind::ConnectionReset)
/// .await;
/// assert_eq!((page.unwrap(), calls), ("page", 3));
/// # });
/// ```
#[track_caller]
pub fn retry<S, Op, F, T, E>(schedule: S, op: Op) -> Retry<S::IntoIter, Op, F, T, E>
where
    S: IntoIterator<Item = Duration>,
    Op: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    Retry {
        stage: Stage::Between,
        delays: schedule.into_iter(),
        op,
        when: |_| true,
        hint: |_| None,
        observer: |_| {},
        limits: Limits {
            attempts: u32::MAX,
            within: Duration::MAX,
            each: None,
            budget: None,
            location: Location::caller(),
        },
        attempt: 0,
        began: None,
    }
}

/// Set to `false` in a scope, each `retry` inside, also in children, makes one attempt and returns its error: for tests
/// of what happens when something fails.
///
/// # Examples
///
/// ```
/// use foster::retry::{self, Backoff, retry};
///
/// # foster_sim::run(1, async {
/// let start = foster::Instant::now();
/// let unreachable = retry(Backoff::new(), async || Err::<(), _>("unreachable"));
/// assert_eq!(retry::ENABLED.scope(false, unreachable).await, Err("unreachable"));
/// assert!(start.elapsed().is_zero());
/// # });
/// ```
pub static ENABLED: ScopedValue<bool> = ScopedValue::inherited();

/// Asks again when the answer takes longer than `delay`, or is an error, without giving the first question up; at most
/// `attempts` times. The first `Ok` is returned, and the others are cancelled ("hedging").
///
/// For requests that may be repeated, and are slow now and then: `delay` is best a time in which most of them are
/// answered, so that few are asked twice. It is [`staggered`] with one operation.
///
/// # Errors
///
/// [`AllFailed`](crate::combine::AllFailed) with the errors of all attempts, in their order.
///
/// # Cancellation
///
/// *Partial effect*, as [`staggered`].
///
/// # Panics
///
/// If `attempts` is zero. As [`staggered`].
///
/// # Examples
///
/// ```
/// use foster::{retry::hedge, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let ms = Duration::from_millis;
/// let mut times = [900, 20].into_iter();
/// let start = foster::Instant::now();
/// let answer = hedge(ms(50), 2, || {
///     let time = times.next().unwrap();
///     async move {
///         sleep(ms(time)).await;
///         Ok::<_, std::io::Error>("answer")
///     }
/// });
/// assert_eq!(answer.await.unwrap(), "answer");
/// assert_eq!(start.elapsed(), ms(70));
/// # });
/// ```
#[track_caller]
pub fn hedge<Op, F, T, E>(delay: Duration, attempts: usize, op: Op) -> Staggered<Take<RepeatWith<Op>>, F, T, E>
where
    Op: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    assert!(attempts > 0, "`hedge` makes at least one attempt, so they cannot be limited to zero");
    staggered(delay, repeat_with(op).take(attempts))
}

pin_project! {
    #[project = StageProj]
    enum Stage<F, T, E> {
        /// Before an attempt.
        Between,
        Attempting { #[pin] attempt: CancelScopeFuture<F, Result<T, E>> },
        Sleeping { sleep: Sleep },
        Done,
    }
}

struct Limits<E> {
    attempts: u32,
    within: Duration,
    each: Option<(Duration, fn(Elapsed) -> E)>,
    budget: Option<RetryBudget>,
    /// Where `retry` was called.
    location: &'static Location<'static>,
}

pin_project! {
    /// Future of [`retry`], with its settings.
    #[must_use = "futures do nothing unless polled"]
    pub struct Retry<S, Op, F, T, E, W = fn(&E) -> bool, H = fn(&E) -> Option<Duration>, O = fn(&Failure<'_, E>)> {
        #[pin]
        stage: Stage<F, T, E>,
        delays: S,
        op: Op,
        when: W,
        hint: H,
        observer: O,
        limits: Limits<E>,
        // How many attempts have begun.
        attempt: u32,
        // When the first did.
        began: Option<Instant>,
    }
}

impl<S, Op, F, T, E, W, H, O> Retry<S, Op, F, T, E, W, H, O> {
    /// Limits the number of attempts, the first included.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn attempts(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "`retry` makes at least one attempt, so they cannot be limited to zero");
        self.limits.attempts = attempts;
        self
    }

    /// Limits the time, counted from the first attempt, in which further attempts are to begin: when one has failed,
    /// the next is not made if its delay would end later. A delay that ends late, because the runtime is busy, is not
    /// looked at again. It cuts no attempt short: for that see [`attempt_timeout`](Retry::attempt_timeout), or put a
    /// [`fail_after`](foster_core::fail_after) around.
    pub fn within(mut self, time: Duration) -> Self {
        self.limits.within = time;
        self
    }

    /// Gives each attempt a time limit. An attempt that exceeds it is cancelled, and has cleaned up before the next
    /// begins; it counts as failed, with [`Elapsed`] as its error.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::retry::retry;
    /// use foster::sleep;
    /// use std::time::Duration;
    ///
    /// # foster_sim::run(1, async {
    /// let ms = Duration::from_millis;
    /// let mut takes = [90, 20].into_iter();
    /// let answered = retry([ms(5)], || {
    ///     let time = takes.next().unwrap();
    ///     async move { Ok::<_, std::io::Error>(sleep(ms(time)).await) }
    /// })
    /// .attempt_timeout(ms(30));
    /// let start = foster::Instant::now();
    /// answered.await.unwrap();
    /// assert_eq!(start.elapsed(), ms(30 + 5 + 20));
    /// # });
    /// ```
    pub fn attempt_timeout(mut self, limit: Duration) -> Self
    where
        E: From<Elapsed>,
    {
        self.limits.each = Some((limit, E::from));
        self
    }

    /// Takes a token from this budget for each retry; see [`RetryBudget`].
    pub fn budget(mut self, budget: impl Into<RetryBudget>) -> Self {
        self.limits.budget = Some(budget.into());
        self
    }

    /// Sets which errors are worth another attempt. By default all are.
    pub fn when<P>(self, when: P) -> Retry<S, Op, F, T, E, P, H, O>
    where
        P: FnMut(&E) -> bool,
    {
        let Retry { stage, delays, op, when: _, hint, observer, limits, attempt, began } = self;
        Retry { stage, delays, op, when, hint, observer, limits, attempt, began }
    }

    /// Takes the delay from the error, if it has one (`Retry-After`), in the place of the next one of the schedule.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::retry::retry;
    /// use std::time::Duration;
    ///
    /// # foster_sim::run(1, async {
    /// let mut answers = [Err(Some(Duration::from_secs(7))), Ok("page")].into_iter();
    /// let start = foster::Instant::now();
    /// let page = retry([Duration::ZERO], || {
    ///     let answer = answers.next().unwrap();
    ///     async move { answer }
    /// })
    /// .delay_hint(|retry_after| *retry_after)
    /// .await;
    /// assert_eq!((page, start.elapsed()), (Ok("page"), Duration::from_secs(7)));
    /// # });
    /// ```
    pub fn delay_hint<P>(self, hint: P) -> Retry<S, Op, F, T, E, W, P, O>
    where
        P: FnMut(&E) -> Option<Duration>,
    {
        let Retry { stage, delays, op, when, hint: _, observer, limits, attempt, began } = self;
        Retry { stage, delays, op, when, hint, observer, limits, attempt, began }
    }

    /// Calls `observer` after each failed attempt, with what follows: a delay, or why there is no other attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::retry::{GaveUp, Next, retry};
    /// use std::time::Duration;
    ///
    /// # foster_sim::run(1, async {
    /// let mut log = Vec::new();
    /// let failed = retry([Duration::from_millis(5)], async || Err::<(), _>("refused"))
    ///     .observe(|failure| log.push((failure.attempt, failure.next)))
    ///     .await;
    /// assert_eq!(failed, Err("refused"));
    /// assert_eq!(log, [(1, Next::RetryAfter(Duration::from_millis(5))), (2, Next::GiveUp(GaveUp::ScheduleEnded))]);
    /// # });
    /// ```
    pub fn observe<P>(self, observer: P) -> Retry<S, Op, F, T, E, W, H, P>
    where
        P: FnMut(&Failure<'_, E>),
    {
        let Retry { stage, delays, op, when, hint, observer: _, limits, attempt, began } = self;
        Retry { stage, delays, op, when, hint, observer, limits, attempt, began }
    }
}

/// A failed attempt, handed to the callback of [`Retry::observe`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'a, E> {
    /// Which attempt it was, counted from one.
    pub attempt: u32,
    /// The error that it returned.
    pub error: &'a E,
    /// The step that follows.
    pub next: Next,
}

/// The step that follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, after this delay.
    RetryAfter(Duration),
    /// The error is returned.
    GiveUp(GaveUp),
}

/// Why a failed operation is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GaveUp {
    /// [`Retry::when`] said no.
    NotRetried,
    /// The number of [`Retry::attempts`] is used up.
    Attempts,
    /// The schedule has no further delay.
    ScheduleEnded,
    /// The next attempt would begin too late for [`Retry::within`].
    TimeOver,
    /// The next attempt could not begin before the deadline of the code around, or that code is cancelled.
    Deadline,
    /// The [`RetryBudget`] has no token.
    Budget,
    /// Retrying is switched [off](ENABLED).
    Disabled,
}

impl<E> Limits<E> {
    /// Whether another attempt may begin after `delay`, as far as time and money go.
    fn allow(&self, delay: Duration, began: Option<Instant>) -> Result<Duration, GaveUp> {
        if ENABLED.get() == Some(false) {
            return Err(GaveUp::Disabled);
        }
        if let Some(began) = began.filter(|_| self.within != Duration::MAX) {
            if began.elapsed().saturating_add(delay) > self.within {
                return Err(GaveUp::TimeOver);
            }
        }
        if remaining().is_some_and(|left| delay >= left) {
            return Err(GaveUp::Deadline);
        }
        // Last: what is refused otherwise takes no token.
        if self.budget.as_ref().is_some_and(|budget| !budget.try_take()) {
            return Err(GaveUp::Budget);
        }
        Ok(delay)
    }
}

impl<S, Op, F, T, E, W, H, O> Future for Retry<S, Op, F, T, E, W, H, O>
where
    S: Iterator<Item = Duration>,
    Op: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    W: FnMut(&E) -> bool,
    H: FnMut(&E) -> Option<Duration>,
    O: FnMut(&Failure<'_, E>),
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        loop {
            let error = match this.stage.as_mut().project() {
                StageProj::Between => {
                    if *this.attempt == 0 && this.limits.within != Duration::MAX {
                        *this.began = Some(Instant::now());
                    }
                    *this.attempt = this.attempt.saturating_add(1);
                    let limit = this.limits.each.map_or(Duration::MAX, |(limit, _)| limit);
                    let scope = CancelScope::new().located(this.limits.location).deadline_after(limit);
                    let attempt = scope.run((this.op)());
                    this.stage.set(Stage::Attempting { attempt });
                    continue;
                }
                StageProj::Sleeping { sleep } => {
                    ready!(Pin::new(sleep).poll(cx));
                    this.stage.set(Stage::Between);
                    continue;
                }
                StageProj::Attempting { attempt } => match ready!(attempt.poll(cx)) {
                    Ok(Ok(value)) => {
                        this.stage.set(Stage::Done);
                        return Poll::Ready(Ok(value));
                    }
                    Ok(Err(error)) => error,
                    Err(_) => match this.limits.each {
                        Some((_, error)) => error(Elapsed::new(this.limits.location)),
                        None => unreachable!("without a limit no time is over"),
                    },
                },
                StageProj::Done => panic!("`retry` was polled after it had returned"),
            };
            // The attempt is over before anything of the user's runs: a panic there leaves nothing half-done.
            this.stage.set(Stage::Done);
            let next = if !(this.when)(&error) {
                Err(GaveUp::NotRetried)
            } else if *this.attempt >= this.limits.attempts {
                Err(GaveUp::Attempts)
            } else {
                let hint = (this.hint)(&error);
                let planned = this.delays.next();
                let delay = planned.map(|planned| hint.unwrap_or(planned)).ok_or(GaveUp::ScheduleEnded);
                delay.and_then(|delay| this.limits.allow(delay, *this.began))
            };
            let next = next.map_or_else(Next::GiveUp, Next::RetryAfter);
            (this.observer)(&Failure { attempt: *this.attempt, error: &error, next });
            match next {
                Next::RetryAfter(delay) => this.stage.set(Stage::Sleeping { sleep: sleep(delay) }),
                Next::GiveUp(_) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<S, Op, F, T, E, W, H, O> Debug for Retry<S, Op, F, T, E, W, H, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
