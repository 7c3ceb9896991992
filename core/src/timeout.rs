//! Time limits: cancel scopes with a deadline, in the four usual shapes.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::Instant;
use crate::cancel_scope::CancelScopeFuture;
use crate::errors::Elapsed;
use crate::tree::inline::Limit;

/// Runs `future` for at most `duration`; `None` if that was not enough.
///
/// The time counts from the first poll. When it is over, `future` is dropped at its next checkpoint and everything
/// started inside is waited for, so the call may take longer than `duration`. A zero duration still polls `future`
/// once, which stops at its first checkpoint; [`Duration::MAX`] is no limit.
///
/// # Cancellation
///
/// *Partial effect*: what `future` did is done; see [`CancelScope::run`](crate::CancelScope::run).
///
/// # Panics
///
/// Resumes the panic of `future`. When polled outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::{move_on_after, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// assert_eq!(move_on_after(Duration::from_secs(1), async { 7 }).await, Some(7));
/// assert_eq!(move_on_after(Duration::from_secs(1), sleep(Duration::from_secs(2))).await, None);
/// # });
/// ```
#[track_caller]
pub fn move_on_after<F: Future>(duration: Duration, future: F) -> MoveOnAfter<F, F::Output> {
    MoveOnAfter { run: CancelScopeFuture::limited(Limit::In(duration), Location::caller(), future) }
}

/// As [`move_on_after`], until an instant. [`Instant::NEVER`] is no limit.
///
/// # Cancellation
///
/// *Partial effect*: what `future` did is done; see [`CancelScope::run`](crate::CancelScope::run).
///
/// # Panics
///
/// As [`move_on_after`].
#[track_caller]
pub fn move_on_at<F: Future>(at: Instant, future: F) -> MoveOnAfter<F, F::Output> {
    MoveOnAfter { run: CancelScopeFuture::limited(Limit::At(at), Location::caller(), future) }
}

/// Runs `future` for at most `duration`; an error if that was not enough.
///
/// This is [`move_on_after`] with [`Elapsed`] in the place of `None`. Around a `Result`,
/// [`flatten`](FailAfter::flatten) makes one error of both.
///
/// # Errors
///
/// [`Elapsed`] if the time was over first.
///
/// # Cancellation
///
/// *Partial effect*: what `future` did is done; see [`CancelScope::run`](crate::CancelScope::run).
///
/// # Panics
///
/// As [`move_on_after`].
///
/// # Examples
///
/// ```
/// use foster::{fail_after, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// async fn slow() -> std::io::Result<u8> {
///     fail_after(Duration::from_secs(1), sleep(Duration::from_secs(2))).await?;
///     Ok(1)
/// }
/// assert_eq!(slow().await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
/// # });
/// ```
#[track_caller]
pub fn fail_after<F: Future>(duration: Duration, future: F) -> FailAfter<F, F::Output> {
    FailAfter { move_on: move_on_after(duration, future) }
}

/// As [`fail_after`], until an instant. [`Instant::NEVER`] is no limit.
///
/// # Errors
///
/// [`Elapsed`] if the instant came first.
///
/// # Cancellation
///
/// *Partial effect*: what `future` did is done; see [`CancelScope::run`](crate::CancelScope::run).
///
/// # Panics
///
/// As [`move_on_after`].
#[track_caller]
pub fn fail_at<F: Future>(at: Instant, future: F) -> FailAfter<F, F::Output> {
    FailAfter { move_on: move_on_at(at, future) }
}

pin_project! {
    /// Future of [`move_on_after`] and [`move_on_at`].
    #[must_use = "futures do nothing unless polled"]
    pub struct MoveOnAfter<F, T> {
        #[pin]
        run: CancelScopeFuture<F, T>,
    }
}

impl<F: Future<Output = T>, T> Future for MoveOnAfter<F, T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Nobody has a handle to the scope: if it was cancelled, its time was over.
        Poll::Ready(ready!(self.project().run.poll(cx)).ok())
    }
}

impl<F, T> fmt::Debug for MoveOnAfter<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MoveOnAfter").field("run", &self.run).finish()
    }
}

pin_project! {
    /// Future of [`fail_after`] and [`fail_at`].
    #[must_use = "futures do nothing unless polled"]
    pub struct FailAfter<F, T> {
        #[pin]
        move_on: MoveOnAfter<F, T>,
    }
}

impl<F: Future<Output = Result<T, E>>, T, E: From<Elapsed>> FailAfter<F, Result<T, E>> {
    /// One `Result` instead of two: a time that is over becomes an error of the body's type.
    ///
    /// # Errors
    ///
    /// The error of the body; [`Elapsed`] as an `E`, if the time was over first.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as [`fail_after`].
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{fail_after, sleep_forever};
    /// use std::{io, time::Duration};
    ///
    /// # foster_sim::run(1, async {
    /// async fn live_price() -> io::Result<u32> {
    ///     match sleep_forever().await {}
    /// }
    ///
    /// let price = fail_after(Duration::from_secs(1), live_price()).flatten().await;
    /// assert_eq!(price.unwrap_or(15), 15); // that of yesterday
    /// # });
    /// ```
    pub fn flatten(self) -> FailAfterFlatten<F, T, E> {
        FailAfterFlatten { inner: self }
    }
}

pin_project! {
    /// Future of [`FailAfter::flatten`].
    #[must_use = "futures do nothing unless polled"]
    pub struct FailAfterFlatten<F, T, E> {
        #[pin]
        inner: FailAfter<F, Result<T, E>>,
    }
}

impl<F: Future<Output = Result<T, E>>, T, E: From<Elapsed>> Future for FailAfterFlatten<F, T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().inner.poll(cx)).unwrap_or_else(|elapsed| Err(elapsed.into())))
    }
}

impl<F, T, E> fmt::Debug for FailAfterFlatten<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailAfterFlatten").field("inner", &self.inner).finish()
    }
}

impl<F: Future<Output = T>, T> Future for FailAfter<F, T> {
    type Output = Result<T, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let location = self.move_on.run.location();
        Poll::Ready(ready!(self.project().move_on.poll(cx)).ok_or_else(|| Elapsed::new(location)))
    }
}

impl<F, T> fmt::Debug for FailAfter<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailAfter").field("move_on", &self.move_on).finish_non_exhaustive()
    }
}
