//! One after the other, but without waiting for ever for the one before.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::failures::AllFailed;
use super::group::Group;
use super::kept_outcome::{Keeping, KeptOutcome};
use super::quorum::in_order;
use super::{error_later, later};
use foster_core::future::Sleep;
use foster_core::{leaf, sleep};

/// Begins the attempts one after the other, each `delay` after the one before, or as soon as one fails; returns the
/// first `Ok` and cancels the others (the timing of "happy eyeballs").
///
/// ```text
///   attempt 0  ├──────────────────────────╳ cancelled
///   attempt 1  ├─ delay ─┼──── failed
///   attempt 2                        └┼────── Ok ─▶ returned, when attempt 0 has cleaned up
///   attempt 3                          not even taken from the iterator
/// ```
///
/// An attempt is taken from the iterator only when it begins, so an endless iterator works: to ask the same server
/// again when it is slow, give it `std::iter::repeat_with(|| request())` with `take`. With [`Duration::MAX`] only a
/// failure begins the next attempt.
///
/// # Errors
///
/// [`AllFailed`] with the errors of all attempts, in their order; with none, if there are no attempts.
///
/// # Cancellation
///
/// *Partial effect*: what the attempts did is done. Cancelled from further out, no further attempt begins, and each
/// stops at its next checkpoint and cleans up. If the call is dropped, the attempts are dropped with it, and the scope
/// around waits for what they leave.
///
/// # Panics
///
/// Resumes the first panic of an attempt or of the iterator, when the attempts were cancelled and have ended. When
/// polled outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::staggered;
/// use foster::sleep;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let ms = Duration::from_millis;
/// let connect = async |(address, takes)| {
///     sleep(ms(takes)).await;
///     Ok::<_, std::io::Error>(address)
/// };
/// let addresses = [("2001:db8::1", 9000), ("192.0.2.1", 20), ("192.0.2.2", 20)];
/// let start = foster::Instant::now();
/// assert_eq!(staggered(ms(250), addresses.map(connect)).await.unwrap(), "192.0.2.1");
/// assert_eq!(start.elapsed(), ms(270));
/// # });
/// ```
#[track_caller]
pub fn staggered<I, F, T, E>(delay: Duration, attempts: I) -> Staggered<I::IntoIter, F, T, E>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    Staggered {
        attempts: Some(attempts.into_iter()),
        taken: 0,
        delay,
        next: None,
        due: true,
        group: Group::new(),
        value: None,
        errors: Vec::new(),
    }
}

/// Future of [`staggered`].
#[must_use = "futures do nothing unless polled"]
pub struct Staggered<I, F, T, E> {
    /// None once it is exhausted, or no longer needed.
    attempts: Option<I>,
    taken: usize,
    delay: Duration,
    /// Until the next attempt is due.
    next: Option<Sleep>,
    due: bool,
    group: Group<Keeping<F, Result<T, E>>, KeptOutcome<Result<T, E>>>,
    value: Option<T>,
    errors: Vec<(usize, E)>,
}

// Nothing in it is pinned: the attempts have boxes of their own.
impl<I, F, T, E> Unpin for Staggered<I, F, T, E> {}

impl<I, F, T, E> Staggered<I, F, T, E>
where
    I: Iterator<Item = F>,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    /// No further attempt is needed, or there are none.
    fn drop_attempts(&mut self) {
        let attempts = self.attempts.take();
        self.group.guard(|| drop(attempts));
        self.next = None;
    }

    /// Begins the next attempt, if it is due.
    fn begin(&mut self) {
        if !self.due || self.group.fate().is_closing() || self.group.fate().is_held_off() {
            return;
        }
        let Some(attempts) = self.attempts.as_mut() else { return };
        match self.group.guard(|| attempts.next()) {
            Some(Some(attempt)) => {
                self.group.push_keeping(self.taken, attempt, error_later);
                self.taken += 1;
                self.due = false;
                self.next = Some(sleep(self.delay));
            }
            // There are no more, or the iterator has panicked.
            Some(None) | None => self.drop_attempts(),
        }
    }
}

impl<I, F, T, E> Future for Staggered<I, F, T, E>
where
    I: Iterator<Item = F>,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    type Output = Result<T, AllFailed<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.group.begin_poll(cx);
        loop {
            this.begin();
            match this.group.poll_next_kept() {
                Poll::Ready(Some((_, Ok(value)))) => {
                    match this.value {
                        None => this.value = Some(value),
                        Some(_) => _ = this.group.guard(|| drop(value)),
                    }
                    this.group.close("another attempt was faster");
                    this.drop_attempts();
                }
                Poll::Ready(Some((_, Err(error)))) if this.value.is_some() => _ = this.group.guard(|| later(error)),
                Poll::Ready(Some((attempt, Err(error)))) => {
                    this.errors.push((attempt, error));
                    this.due = true;
                    // Attempts that fail at once have no operation that comes to an end (L38).
                    ready!(leaf::poll_budget(cx));
                }
                Poll::Ready(None) if this.attempts.is_some() => {
                    // Nothing runs, and yet the next attempt was not begun: the code around is cancelled.
                    debug_assert!(this.group.fate().is_held_off(), "an attempt begins when none is left");
                    return Poll::Pending;
                }
                Poll::Ready(None) => {
                    return match this.value.take() {
                        // L12: it has completed, whatever has become of the others.
                        Some(value) => Poll::Ready(Ok(value)),
                        None if this.group.fate().is_cut() => Poll::Pending,
                        None => Poll::Ready(Err(AllFailed::new(in_order(&mut this.errors)))),
                    };
                }
                Poll::Pending => {
                    let Some(next) = this.next.as_mut() else { return Poll::Pending };
                    if this.due || Pin::new(next).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.next = None;
                    this.due = true;
                }
            }
        }
    }
}

impl<I, F, T, E> Debug for Staggered<I, F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staggered")
            .field("begun", &self.taken)
            .field("running", &self.group.len())
            .field("errors", &self.errors.len())
            .finish_non_exhaustive()
    }
}
