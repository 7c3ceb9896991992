//! Items by the dozen, and items not too fast.

use std::fmt::{self, Debug};
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

use foster_core::future::Sleep;
use foster_core::leaf;
use foster_core::{Instant, sleep_until};

/// A stream of batches: of `size` items, or of those that came within `time` after the first of the batch.
///
/// No batch is empty. The items that are left when `stream` ends are the last batch. An item that comes in the very
/// instant in which the time is over may be in the batch; so may a few that come later, of a stream that is always
/// ready. With [`Duration::MAX`] only the size counts, with `usize::MAX` only the time.
///
/// For a `stream` of `Result`s the batches are of `Result`s: an error waits like any item.
///
/// # Cancellation
///
/// *Strict*: items that were collected stay for the next call. Dropping the stream drops them.
///
/// # Panics
///
/// If `size` is zero. Passes on the panic of `stream`, and keeps what was collected. When an item comes outside of
/// any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::{batch, produce};
/// use foster::sleep;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let ms = Duration::from_millis;
/// let entries = produce(async |mut out| {
///     for n in 1..=7 {
///         if n == 6 {
///             sleep(ms(500)).await;
///         }
///         out.emit(n).await;
///     }
/// });
/// let mut batches = batch(entries, 3, ms(100));
/// assert_eq!(batches.next().await, Some(vec![1, 2, 3])); // three: at once
/// assert_eq!(batches.next().await, Some(vec![4, 5])); // after 100 ms
/// assert_eq!(batches.next().await, Some(vec![6, 7])); // the end
/// assert_eq!(batches.next().await, None);
/// # });
/// ```
#[track_caller]
pub fn batch<S: Stream>(stream: S, size: usize, time: Duration) -> Batch<S, S::Item> {
    assert!(size > 0, "a batch of zero items would never be full; for no limit say `usize::MAX`");
    Batch { stream, over: false, items: Vec::new(), size, time, end: None }
}

/// After so many items of a stream that is always ready the clock is looked at.
const LOOK_EVERY: usize = 32;

pin_project! {
    /// Stream of [`batch`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Batch<S, T> {
        #[pin]
        stream: S,
        over: bool,
        items: Vec<T>,
        size: usize,
        time: Duration,
        // The end of the batch.
        end: Option<(Instant, Sleep)>,
    }
}

impl<S: Stream<Item = T> + Unpin, T> Batch<S, T> {
    /// The next batch; `None` when the stream has ended.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn next(&mut self) -> Option<Vec<T>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<S, T> Batch<S, T> {
    /// The stream, and the items that were collected and not given out.
    pub fn into_parts(self) -> (S, Vec<T>) {
        (self.stream, self.items)
    }
}

impl<S: Stream<Item = T>, T> Stream for Batch<S, T> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        let mut this = self.project();
        while !*this.over && this.items.len() < *this.size {
            match this.stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(item)) => {
                    if this.items.is_empty() && *this.time != Duration::MAX {
                        let end = Instant::now() + *this.time;
                        *this.end = Some((end, sleep_until(end)));
                    }
                    this.items.push(item);
                    if this.items.len() % LOOK_EVERY == 0 {
                        if let Some((end, _)) = this.end {
                            if Instant::now() > *end {
                                break;
                            }
                        }
                    }
                    // A stream that is always ready is no reason to keep the task for ever.
                    ready!(leaf::poll_budget(cx));
                }
                Poll::Ready(None) => *this.over = true,
                Poll::Pending => {
                    match this.end {
                        Some((_, sleep)) => ready!(Pin::new(sleep).poll(cx)),
                        None => return Poll::Pending,
                    }
                    break;
                }
            }
        }
        *this.end = None;
        let items = mem::take(this.items);
        Poll::Ready((!items.is_empty()).then_some(items))
    }
}

impl<S, T> Debug for Batch<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("collected", &self.items.len())
            .field("size", &self.size)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// The same items, at most one in a `period`.
///
/// It holds the consumer back, and drops nothing: the next item is asked for when `period` has passed since the one
/// before was given out. So a `stream` that produces on its own piles up its items; to have only the latest, see
/// [`watch`](foster_channel::watch()). For bursts, and a limit that several tasks share, see
/// [`RateLimiter`](crate::rate::RateLimiter).
///
/// # Cancellation
///
/// *Strict*: nothing is taken that is not given out.
///
/// # Panics
///
/// Passes on the panic of `stream`. When it has to wait outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::{produce, throttle};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let quick = produce(async |mut out| {
///     for n in 0..3 {
///         out.emit(n).await;
///     }
/// });
/// let mut slow = throttle(quick, Duration::from_secs(1));
/// let start = foster::Instant::now();
/// while let Some(n) = slow.next().await {
///     assert_eq!(start.elapsed(), Duration::from_secs(n));
/// }
/// # });
/// ```
pub fn throttle<S: Stream>(stream: S, period: Duration) -> Throttle<S> {
    Throttle { stream, period, sleep: None, owes: false }
}

pin_project! {
    /// Stream of [`throttle`].
    #[derive(Debug)]
    #[must_use = "streams do nothing unless polled"]
    pub struct Throttle<S> {
        #[pin]
        stream: S,
        period: Duration,
        sleep: Option<Sleep>,
        // It has given an item, and not taken a unit of the budget for it.
        owes: bool,
    }
}

impl<S: Stream + Unpin> Throttle<S> {
    /// The next item, not before its time; `None` when the stream has ended.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn next(&mut self) -> Option<S::Item> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<S: Stream> Stream for Throttle<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        // L38: the stream may have no operation of foster's in it.
        if mem::take(this.owes) {
            ready!(leaf::poll_budget(cx));
        }
        if let Some(sleep) = this.sleep {
            ready!(Pin::new(sleep).poll(cx));
            *this.sleep = None;
        }
        let item = ready!(this.stream.poll_next(cx));
        if item.is_some() && *this.period > Duration::ZERO {
            *this.sleep = Some(sleep_until(Instant::now() + *this.period));
        }
        *this.owes = item.is_some();
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}
