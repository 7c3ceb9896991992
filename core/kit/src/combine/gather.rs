//! All of them, with the results in the order of the inputs.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::group::Group;
use super::kept_outcome::{Keeping, KeptOutcome};
use super::{error_later, later};

/// Runs all futures together and returns their values in the order in which they were given.
///
/// The first error cancels the others; it is returned when they have ended, cleanup included. No futures give an empty
/// `Vec` at once. For futures of different types there is [`try_join`](crate::combine::try_join); to get every
/// `Result`, [`gather_results`].
///
/// # Errors
///
/// The first error. Errors of others, while they are being cancelled, go to the tree's
/// [`Observer`](foster_core::observer::Observer).
///
/// # Cancellation
///
/// *Partial effect*: what the futures did is done. Cancelled from further out, each future stops at its next checkpoint
/// and cleans up; an error that was there before is returned all the same (law L31). If the call is dropped, the
/// futures are dropped with it, and the scope around waits for what they leave.
///
/// # Panics
///
/// Resumes the first panic of a future, when the others were cancelled and have ended. When polled outside of any tree,
/// if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::gather;
///
/// # foster_sim::run(1, async {
/// async fn fetch(name: &str) -> Result<usize, String> {
///     if name.is_empty() { Err("no name".to_owned()) } else { Ok(name.len()) }
/// }
///
/// let names = ["ann", "robert"];
/// assert_eq!(gather(names.iter().map(|name| fetch(name))).await, Ok(vec![3, 6]));
/// assert_eq!(gather(["ann", ""].map(fetch)).await, Err("no name".to_owned()));
/// # });
/// ```
#[track_caller]
pub fn gather<I, F, T, E>(futures: I) -> Gather<F, T, E>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let mut group = Group::new();
    let mut len = 0;
    for future in futures {
        group.push_keeping(len, future, error_later);
        len += 1;
    }
    Gather { group, values: Ordered::new(len), error: KeptOutcome::new(later) }
}

/// Runs all futures together and returns everything that they return, in the order in which they were given.
///
/// No outcome of one future touches another: with futures that return `Result` it is [`gather`] without fail-fast. Only
/// a panic cancels the others. No futures give an empty `Vec` at once.
///
/// # Cancellation
///
/// *Partial effect*, as [`gather`].
///
/// # Panics
///
/// As [`gather`].
///
/// # Examples
///
/// ```
/// use foster::combine::gather_results;
/// use foster::{fail_after, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let ms = Duration::from_millis;
/// let probes = [5, 50, 15].map(|time| fail_after(ms(20), sleep(ms(time))));
/// let up: Vec<bool> = gather_results(probes).await.into_iter().map(|probe| probe.is_ok()).collect();
/// assert_eq!(up, [true, false, true]);
/// # });
/// ```
#[track_caller]
pub fn gather_results<I, F, T>(futures: I) -> GatherResults<F, T>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = T>,
{
    let mut group = Group::new();
    let mut len = 0;
    for future in futures {
        group.push(len, future);
        len += 1;
    }
    GatherResults { group, values: Ordered::new(len) }
}

/// Future of [`gather`].
#[must_use = "futures do nothing unless polled"]
pub struct Gather<F, T, E> {
    group: Group<Keeping<F, Result<T, E>>, KeptOutcome<Result<T, E>>>,
    values: Ordered<T>,
    error: KeptOutcome<E>,
}

// Nothing in it is pinned: the futures have boxes of their own.
impl<F, T, E> Unpin for Gather<F, T, E> {}

impl<F, T, E> Future for Gather<F, T, E>
where
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    type Output = Result<Vec<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.group.begin_poll(cx);
        loop {
            match this.group.poll_next_kept() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some((input, Ok(value)))) => this.values.put(input, value),
                Poll::Ready(Some((_, Err(error)))) => {
                    if let Some(error) = this.error.keep(error) {
                        this.group.guard(|| later(error));
                    }
                    this.group.close("another future has failed");
                }
                Poll::Ready(None) => {
                    return match this.error.take() {
                        Some(error) => Poll::Ready(Err(error)),
                        None if this.group.fate().is_cut() => Poll::Pending,
                        None => Poll::Ready(Ok(this.values.take())),
                    };
                }
            }
        }
    }
}

impl<F, T, E> Debug for Gather<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("running", &self.group.len()).finish_non_exhaustive()
    }
}

/// Future of [`gather_results`].
#[must_use = "futures do nothing unless polled"]
pub struct GatherResults<F, T> {
    group: Group<F, T>,
    values: Ordered<T>,
}

impl<F, T> Unpin for GatherResults<F, T> {}

impl<F: Future<Output = T>, T> Future for GatherResults<F, T> {
    type Output = Vec<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.group.begin_poll(cx);
        loop {
            match this.group.poll_next() {
                Poll::Ready(Some((input, value))) => this.values.put(input, value),
                Poll::Ready(None) if !this.group.fate().is_cut() => return Poll::Ready(this.values.take()),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<F, T> Debug for GatherResults<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatherResults").field("running", &self.group.len()).finish_non_exhaustive()
    }
}

/// Values that arrive in any order, each for its own place.
pub(super) struct Ordered<T>(Vec<Option<T>>);

impl<T> Ordered<T> {
    pub(super) fn new(len: usize) -> Self {
        Ordered(std::iter::repeat_with(|| None).take(len).collect())
    }

    pub(super) fn put(&mut self, place: usize, value: T) {
        if place >= self.0.len() {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place] = Some(value);
    }

    /// All values, when there are all.
    pub(super) fn take(&mut self) -> Vec<T> {
        let values = std::mem::take(&mut self.0);
        debug_assert!(values.iter().all(Option::is_some), "every branch that was not cut has left a value");
        values.into_iter().flatten().collect()
    }
}
