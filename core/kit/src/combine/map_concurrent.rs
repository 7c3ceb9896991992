//! The same for every input, with a limit.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::feed::Feed;
use super::gather::Ordered;
use super::kept_outcome::KeptOutcome;
use super::{error_later, later};

/// Runs `map` on every input, at most `limit` at a time, and returns the values in the order of the inputs.
///
/// An input is taken from the iterator only when there is room for it, so the inputs may be endless, or expensive to
/// make. After the first error none is taken, and what runs is cancelled; the error is returned when all has ended,
/// cleanup included. No inputs give an empty `Vec`. To get every `Result` see [`map_concurrent_results`].
///
/// The futures run in the task of the caller, in turn. For parallel ones spawn into a
/// [`nursery`](foster_core::nursery()) with a limit.
///
/// # Errors
///
/// The first error. Errors of others, while they are being cancelled, go to the tree's
/// [`Observer`](foster_core::observer::Observer).
///
/// # Cancellation
///
/// *Partial effect*: what was done is done. Cancelled from further out, no further input is taken, and what runs stops
/// at its next checkpoint and cleans up. If the call is dropped, what runs is dropped with it, and the scope around
/// waits for what it leaves.
///
/// # Panics
///
/// If `limit` is zero. Resumes the first panic of a future, of the iterator or of `map`, when what runs was cancelled
/// and has ended. When polled outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::map_concurrent;
/// use foster::sleep;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let fetch = async |page: u64| {
///     sleep(Duration::from_millis(20 - page)).await;
///     if page == 9 { Err("no page 9") } else { Ok(page * page) }
/// };
/// assert_eq!(map_concurrent(2, 1..5, fetch).await, Ok(vec![1, 4, 9, 16]));
/// assert_eq!(map_concurrent(2, 1.., fetch).await, Err("no page 9"));
/// # });
/// ```
#[track_caller]
pub fn map_concurrent<I, M, F, T, E>(limit: usize, inputs: I, map: M) -> MapConcurrent<I::IntoIter, M, F, T, E>
where
    I: IntoIterator,
    M: FnMut(I::Item) -> F,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    let feed = Feed::new("map_concurrent", limit, inputs.into_iter(), map);
    MapConcurrent { feed, values: Ordered::new(0), error: KeptOutcome::new(later) }
}

/// As [`map_concurrent`], but returns all that the futures return; no outcome of one touches another.
///
/// # Cancellation
///
/// *Partial effect*, as [`map_concurrent`].
///
/// # Panics
///
/// As [`map_concurrent`].
///
/// # Examples
///
/// ```
/// use foster::combine::map_concurrent_results;
/// use foster::to_thread;
///
/// # foster_sim::run(1, async {
/// let lengths = map_concurrent_results(4, ["to", "be", "or"], async |word| {
///     to_thread(move || word.len()).await
/// })
/// .await;
/// assert_eq!(lengths, [2, 2, 2]);
/// # });
/// ```
#[track_caller]
pub fn map_concurrent_results<I, M, F, T>(limit: usize, inputs: I, map: M) -> MapConcurrentResults<I::IntoIter, M, F, T>
where
    I: IntoIterator,
    M: FnMut(I::Item) -> F,
    F: Future<Output = T>,
{
    let feed = Feed::new("map_concurrent_results", limit, inputs.into_iter(), map);
    MapConcurrentResults { feed, values: Ordered::new(0) }
}

/// Runs `work` on every input, at most `limit` at a time; `work` returns `()` or a `Result<(), E>`, and so does this.
///
/// As [`map_concurrent`] without values: nothing is kept per input, so the inputs may be endless.
///
/// # Errors
///
/// The first error, as [`map_concurrent`].
///
/// # Cancellation
///
/// *Partial effect*, as [`map_concurrent`].
///
/// # Panics
///
/// As [`map_concurrent`].
///
/// # Examples
///
/// ```
/// use foster::combine::for_each_concurrent;
/// use foster::sleep;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let ms = Duration::from_millis;
/// let start = foster::Instant::now();
/// for_each_concurrent(10, 0..30, async |_| sleep(ms(5)).await).await;
/// assert_eq!(start.elapsed(), ms(15));
///
/// let stopped = for_each_concurrent(2, 0.., async |n| if n < 5 { Ok(()) } else { Err(n) }).await;
/// assert_eq!(stopped, Err(5));
/// # });
/// ```
#[track_caller]
pub fn for_each_concurrent<I, M, F, R, O>(
    limit: usize,
    inputs: I,
    work: M,
) -> ForEachConcurrent<I::IntoIter, M, F, R, O>
where
    I: IntoIterator,
    M: FnMut(I::Item) -> F,
    F: Future<Output = R>,
    R: Each<O>,
{
    let feed = Feed::new("for_each_concurrent", limit, inputs.into_iter(), work);
    ForEachConcurrent { feed, failed: KeptOutcome::new(R::lost) }
}

/// `()` or `Result<(), E>`: what the work of [`for_each_concurrent`] may return. The trait is sealed.
///
/// `O` is what the whole returns: the same type.
#[diagnostic::on_unimplemented(
    message = "the work of `for_each_concurrent` returns `()` or `Result<(), E>`, not `{Self}`",
    label = "returns `{Self}`",
    note = "for values use `map_concurrent`"
)]
pub trait Each<O>: sealed::Sealed {
    /// The output of the whole when nothing has failed.
    fn done() -> O;

    /// The output of the whole because of this, if it has failed.
    fn failed(self) -> Option<O>;

    /// Takes a failure that is not returned where such go.
    fn lost(failed: O);
}

impl Each<()> for () {
    fn done() {}

    fn failed(self) -> Option<()> {
        None
    }

    fn lost((): ()) {}
}

impl<E: Debug> Each<Result<(), E>> for Result<(), E> {
    fn done() -> Result<(), E> {
        Ok(())
    }

    fn failed(self) -> Option<Result<(), E>> {
        self.is_err().then_some(self)
    }

    fn lost(failed: Result<(), E>) {
        error_later(failed);
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "seals the trait")]
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}

/// Future of [`map_concurrent`].
#[must_use = "futures do nothing unless polled"]
pub struct MapConcurrent<I, M, F, T, E> {
    feed: Feed<I, M, F, Result<T, E>>,
    values: Ordered<T>,
    error: KeptOutcome<E>,
}

// Nothing in it is pinned: the futures have boxes of their own.
impl<I, M, F, T, E> Unpin for MapConcurrent<I, M, F, T, E> {}

impl<I, M, F, T, E> Future for MapConcurrent<I, M, F, T, E>
where
    I: Iterator,
    M: FnMut(I::Item) -> F,
    F: Future<Output = Result<T, E>>,
    E: Debug,
{
    type Output = Result<Vec<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.feed.begin_poll(cx);
        while let Some((input, result)) = ready!(this.feed.poll_next(error_later)) {
            match result {
                Ok(value) => this.values.put(input, value),
                Err(error) => {
                    if let Some(error) = this.error.keep(error) {
                        this.feed.group.guard(|| later(error));
                    }
                    this.feed.group.close("another input has failed");
                }
            }
        }
        match this.error.take() {
            Some(error) => Poll::Ready(Err(error)),
            None if this.feed.group.fate().is_cut() => Poll::Pending,
            None => Poll::Ready(Ok(this.values.take())),
        }
    }
}

impl<I, M, F, T, E> Debug for MapConcurrent<I, M, F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapConcurrent").field("running", &self.feed.group.len()).finish_non_exhaustive()
    }
}

/// Future of [`map_concurrent_results`].
#[must_use = "futures do nothing unless polled"]
pub struct MapConcurrentResults<I, M, F, T> {
    feed: Feed<I, M, F, T>,
    values: Ordered<T>,
}

impl<I, M, F, T> Unpin for MapConcurrentResults<I, M, F, T> {}

impl<I, M, F, T> Future for MapConcurrentResults<I, M, F, T>
where
    I: Iterator,
    M: FnMut(I::Item) -> F,
    F: Future<Output = T>,
{
    type Output = Vec<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.feed.begin_poll(cx);
        while let Some((input, value)) = ready!(this.feed.poll_next(drop)) {
            this.values.put(input, value);
        }
        if this.feed.group.fate().is_cut() { Poll::Pending } else { Poll::Ready(this.values.take()) }
    }
}

impl<I, M, F, T> Debug for MapConcurrentResults<I, M, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapConcurrentResults").field("running", &self.feed.group.len()).finish_non_exhaustive()
    }
}

/// Future of [`for_each_concurrent`].
#[must_use = "futures do nothing unless polled"]
pub struct ForEachConcurrent<I, M, F, R, O> {
    feed: Feed<I, M, F, R>,
    failed: KeptOutcome<O>,
}

impl<I, M, F, R, O> Unpin for ForEachConcurrent<I, M, F, R, O> {}

impl<I, M, F, R, O> Future for ForEachConcurrent<I, M, F, R, O>
where
    I: Iterator,
    M: FnMut(I::Item) -> F,
    F: Future<Output = R>,
    R: Each<O>,
{
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let this = self.get_mut();
        let lost = |result: R| result.failed().into_iter().for_each(R::lost);
        this.feed.begin_poll(cx);
        while let Some((_, result)) = ready!(this.feed.poll_next(lost)) {
            if let Some(failed) = result.failed() {
                if let Some(failed) = this.failed.keep(failed) {
                    this.feed.group.guard(|| R::lost(failed));
                }
                this.feed.group.close("another input has failed");
            }
        }
        match this.failed.take() {
            Some(failed) => Poll::Ready(failed),
            None if this.feed.group.fate().is_cut() => Poll::Pending,
            None => Poll::Ready(R::done()),
        }
    }
}

impl<I, M, F, R, O> Debug for ForEachConcurrent<I, M, F, R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForEachConcurrent").field("running", &self.feed.group.len()).finish_non_exhaustive()
    }
}
