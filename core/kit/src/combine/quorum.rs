//! The first of them: `race_all`, `first_ok`, and `quorum`, of which `first_ok` is the case of one.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::failures::{AllFailed, NoQuorum};
use super::group::Group;
use super::kept_outcome::{Keeping, KeptOutcome, without_panic};
use super::{error_later, later};

/// Runs all futures together, returns what the first to complete returns, and cancels the others.
///
/// It returns when the losers have ended, cleanup included. `None` if there are no futures; for a number that is known,
/// and not zero, there is [`race`](crate::combine::race).
///
/// A `Result` is a value like any other here: an error wins, too, and what a loser returns even so is dropped, also
/// if it is an error; no observer is told. For the first success see [`first_ok`].
///
/// # Cancellation
///
/// *Partial effect*: what the futures did is done. Cancelled from further out, each stops at its next checkpoint and
/// cleans up; the value of one that completes even so is returned when the others have.
///
/// # Panics
///
/// Resumes the first panic of a future, when the others were cancelled and have ended. When polled outside of any tree,
/// if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::race_all;
/// use foster::sleep;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let mirrors = vec![("slow", 30), ("fast", 10), ("far", 90)];
/// let first = race_all(mirrors.into_iter().map(async |(name, time)| {
///     sleep(Duration::from_millis(time)).await;
///     name
/// }))
/// .await;
/// assert_eq!(first, Some("fast"));
/// # });
/// ```
#[track_caller]
pub fn race_all<I, F, T>(futures: I) -> RaceAll<F, T>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = T>,
{
    let mut group = Group::new();
    for (input, future) in futures.into_iter().enumerate() {
        group.push(input, future);
    }
    RaceAll { group, winner: None }
}

/// Runs all futures together, returns the first `Ok`, and cancels the others.
///
/// It returns when the losers have ended, cleanup included. Errors that came before a success are dropped. To begin one
/// after the other instead of all at once, see [`staggered`](crate::combine::staggered).
///
/// # Errors
///
/// [`AllFailed`] with all errors, in the order of the inputs; with none, if there are no futures.
///
/// # Cancellation
///
/// *Partial effect*, as [`race_all`].
///
/// # Panics
///
/// As [`race_all`].
///
/// # Examples
///
/// ```
/// use foster::combine::first_ok;
///
/// # foster_sim::run(1, async {
/// let lookup = async |found: Result<u8, &'static str>| found;
/// assert_eq!(first_ok([Err("no route"), Ok(7)].map(lookup)).await, Ok(7));
///
/// let failed = first_ok([Err("no route"), Err("refused")].map(lookup)).await.unwrap_err();
/// assert_eq!(failed.errors(), ["no route", "refused"]);
/// # });
/// ```
#[track_caller]
pub fn first_ok<I, F, T, E>(futures: I) -> FirstOk<F, T, E>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let mut quorum = Quorum::new(1);
    for future in futures {
        quorum.push(future);
    }
    FirstOk { quorum }
}

/// Runs all futures together until `needed` of them have returned `Ok`, and cancels the others.
///
/// The values come in the order in which the futures completed. It returns when the losers have ended, cleanup
/// included; as soon as too many have failed, it gives up. A quorum of zero is reached at once, and no future is
/// polled.
///
/// # Errors
///
/// [`NoQuorum`] if too many failed, or there were too few from the start: then no future is polled. It has the errors
/// in the order of the inputs, and the values that did arrive.
///
/// # Cancellation
///
/// *Partial effect*, as [`race_all`].
///
/// # Panics
///
/// As [`race_all`].
///
/// # Examples
///
/// ```
/// use foster::combine::quorum;
/// use foster::sleep;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let replica = async |time: u64| {
///     sleep(Duration::from_millis(time)).await;
///     if time == 20 { Err("disk full") } else { Ok(time) }
/// };
/// assert_eq!(quorum(2, [30, 10, 20].map(replica)).await.unwrap(), [10, 30]);
///
/// let missed = quorum(3, [30, 10, 20].map(replica)).await.unwrap_err();
/// assert_eq!((missed.errors(), missed.values()), (&["disk full"][..], &[10][..]));
/// # });
/// ```
#[track_caller]
pub fn quorum<I, F, T, E>(needed: usize, futures: I) -> Quorum<F, T, E>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let mut quorum = Quorum::new(needed);
    for future in futures {
        quorum.push(future);
    }
    quorum
}

/// Future of [`race_all`], and of [`race`](crate::combine::race) on arrays through it.
#[must_use = "futures do nothing unless polled"]
pub struct RaceAll<F, T> {
    group: Group<F, T>,
    winner: Option<T>,
}

impl<F, T> Unpin for RaceAll<F, T> {}

impl<F: Future<Output = T>, T> Future for RaceAll<F, T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.group.begin_poll(cx);
        while let Some((_, value)) = ready!(this.group.poll_next()) {
            match this.winner {
                None => {
                    this.winner = Some(value);
                    this.group.close("lost the race");
                }
                Some(_) => _ = this.group.guard(|| drop(value)),
            }
        }
        match this.winner.take() {
            // L12: the winner has completed, whatever has become of the losers.
            None if this.group.fate().is_cut() => Poll::Pending,
            winner => Poll::Ready(winner),
        }
    }
}

impl<F, T> Debug for RaceAll<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaceAll")
            .field("running", &self.group.len())
            .field("decided", &self.winner.is_some())
            .finish_non_exhaustive()
    }
}

/// Future of [`quorum`].
#[must_use = "futures do nothing unless polled"]
pub struct Quorum<F, T, E> {
    group: Group<Keeping<F, Result<T, E>>, KeptOutcome<Result<T, E>>>,
    inputs: usize,
    needed: usize,
    values: Vec<T>,
    errors: Vec<(usize, E)>,
    /// Called with each error if the quorum is missed and they are not returned.
    lost: fn(E),
}

impl<F, T, E> Unpin for Quorum<F, T, E> {}

impl<F, T, E> Quorum<F, T, E> {
    fn is_decided(&self) -> bool {
        self.values.len() == self.needed || self.is_missed()
    }

    fn is_missed(&self) -> bool {
        self.inputs - self.errors.len() < self.needed
    }
}

impl<F, T, E> Quorum<F, T, E>
where
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    fn new(needed: usize) -> Self {
        Quorum { group: Group::new(), inputs: 0, needed, values: Vec::new(), errors: Vec::new(), lost: later }
    }

    #[track_caller]
    fn push(&mut self, future: F) {
        self.group.push_keeping(self.inputs, future, error_later);
        self.inputs += 1;
    }
}

impl<F, T, E> Drop for Quorum<F, T, E> {
    /// Foreign code drops it while it waits for the losers, and too many have failed: the errors are the outcome, and
    /// go to the observer (law L35).
    fn drop(&mut self) {
        if self.is_missed() {
            for (_, error) in self.errors.drain(..) {
                without_panic(|| (self.lost)(error));
            }
        }
    }
}

impl<F, T, E> Future for Quorum<F, T, E>
where
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    type Output = Result<Vec<T>, NoQuorum<T, E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.group.begin_poll(cx);
        loop {
            let decided = this.is_decided();
            if decided {
                this.group.close("the quorum is decided");
            }
            match ready!(this.group.poll_next_kept()) {
                Some((_, Ok(value))) if !decided => this.values.push(value),
                Some((input, Err(error))) if !decided => this.errors.push((input, error)),
                Some((_, Ok(value))) => _ = this.group.guard(|| drop(value)),
                Some((_, Err(error))) => _ = this.group.guard(|| later(error)),
                None => break,
            }
        }
        let reached = this.values.len() == this.needed;
        // L12, L31: a quorum has completed, and errors are returned, also when cancelled from further out; some values are not.
        if this.group.fate().is_cut() && !reached && this.errors.is_empty() {
            return Poll::Pending;
        }
        let values = std::mem::take(&mut this.values);
        if reached {
            return Poll::Ready(Ok(values));
        }
        Poll::Ready(Err(NoQuorum::new(this.needed, values, in_order(&mut this.errors))))
    }
}

impl<F, T, E> Debug for Quorum<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorum")
            .field("needed", &self.needed)
            .field("values", &self.values.len())
            .field("errors", &self.errors.len())
            .field("running", &self.group.len())
            .finish_non_exhaustive()
    }
}

/// Future of [`first_ok`].
#[must_use = "futures do nothing unless polled"]
pub struct FirstOk<F, T, E> {
    quorum: Quorum<F, T, E>,
}

impl<F, T, E> Unpin for FirstOk<F, T, E> {}

impl<F, T, E> Future for FirstOk<F, T, E>
where
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    type Output = Result<T, AllFailed<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.quorum).poll(cx)) {
            Ok(mut values) => match values.pop() {
                Some(value) => Ok(value),
                None => unreachable!("a quorum of one has one value"),
            },
            Err(missed) => Err(AllFailed::new(missed.into_errors())),
        })
    }
}

impl<F, T, E> Debug for FirstOk<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstOk")
            .field("errors", &self.quorum.errors.len())
            .field("running", &self.quorum.group.len())
            .finish_non_exhaustive()
    }
}

/// The errors in the order of the inputs that they come from.
pub(super) fn in_order<E>(errors: &mut Vec<(usize, E)>) -> Vec<E> {
    let mut errors = std::mem::take(errors);
    errors.sort_by_key(|(input, _)| *input);
    errors.into_iter().map(|(_, error)| error).collect()
}
