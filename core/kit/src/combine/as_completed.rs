//! Results as they come.

use std::fmt::{self, Debug};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::group::Group;

/// Runs all futures together, and gives out what they return in the order in which they complete.
///
/// It is a [`Stream`]; [`next`](AsCompleted::next) needs no import. [`indexed`](AsCompleted::indexed) tells which
/// future a result comes from. No futures give a stream that ends at once. Futures that complete in the same turn come
/// in the order in which they were woken, at first the order in which they were given.
///
/// The futures stand below the scope around this call (see
/// [`CancelScope::run_here`](foster_core::CancelScope::run_here)): a time limit around a single `next` does not cancel
/// them.
///
/// The futures run while the stream is polled, and stand still while the consumer does something else: to have them
/// go on meanwhile, spawn them into a nursery and wait for their handles here.
///
/// # Cancellation
///
/// *Strict*: what has completed and was not given out yet comes next time. A stream that is dropped early drops its
/// futures; the scope around waits for what they leave: tasks, blocking jobs, finalizers (laws L25–L27). To cancel them
/// inside-out, shields included, and wait for them here, use [`close`](AsCompleted::close).
///
/// # Panics
///
/// Resumes the first panic of a future, when the others were cancelled and have ended. When polled outside of any tree,
/// if no adapter was installed.
///
/// # Examples
///
/// A deadline that keeps what has finished:
///
/// ```
/// use foster::combine::as_completed;
/// use foster::{move_on_after, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let ms = Duration::from_millis;
/// let fetch = async |time: u64| {
///     sleep(ms(time)).await;
///     time
/// };
/// let mut done = Vec::new();
/// move_on_after(ms(40), async {
///     let mut pages = as_completed([30, 50, 10].map(fetch));
///     while let Some(page) = pages.next().await {
///         done.push(page);
///     }
/// })
/// .await;
/// assert_eq!(done, [10, 30]);
/// # });
/// ```
#[track_caller]
pub fn as_completed<I, F, T>(futures: I) -> AsCompleted<F, T>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = T>,
{
    let mut group = Group::new().here();
    for (input, future) in futures.into_iter().enumerate() {
        group.push(input, future);
    }
    AsCompleted { group }
}

/// Stream of [`as_completed`].
#[must_use = "streams do nothing unless polled"]
pub struct AsCompleted<F, T> {
    group: Group<F, T>,
}

impl<F, T> Unpin for AsCompleted<F, T> {}

impl<F, T> AsCompleted<F, T> {
    /// How many futures have not completed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// Whether all futures have completed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same, with the index of the future in front of each result.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::combine::as_completed;
    /// use foster::sleep;
    /// use std::time::Duration;
    ///
    /// # foster_sim::run(1, async {
    /// let mut naps = as_completed([20, 10].map(|time| sleep(Duration::from_millis(time)))).indexed();
    /// assert_eq!(naps.next().await, Some((1, ())));
    /// assert_eq!(naps.next().await, Some((0, ())));
    /// assert_eq!(naps.next().await, None);
    /// # });
    /// ```
    pub fn indexed(self) -> Indexed<F, T> {
        Indexed { inner: self }
    }
}

impl<F: Future<Output = T>, T> AsCompleted<F, T> {
    /// The next result; `None` when all futures have completed.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Cancels the futures that have not completed, and waits until they have ended. Results that come even so are
    /// dropped.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as dropping the stream.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a future.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::combine::as_completed;
    /// use foster::sleep;
    /// use std::time::Duration;
    ///
    /// # foster_sim::run(1, async {
    /// let mut naps = as_completed([20, 10].map(|time| sleep(Duration::from_millis(time))));
    /// naps.next().await;
    /// assert_eq!(naps.len(), 1);
    /// naps.close().await;
    /// # });
    /// ```
    pub async fn close(mut self) {
        self.group.close("no longer needed");
        while let Some(result) = self.next().await {
            self.group.guard(|| drop(result));
        }
    }

    fn poll_indexed(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, T)>> {
        self.group.begin_poll(cx);
        let next = ready!(self.group.poll_next());
        if next.is_none() && self.group.fate().is_cut() { Poll::Pending } else { Poll::Ready(next) }
    }
}

impl<F: Future<Output = T>, T> Stream for AsCompleted<F, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_indexed(cx).map(|next| next.map(|(_, value)| value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.len()))
    }
}

impl<F, T> Debug for AsCompleted<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("running", &self.group.len()).finish_non_exhaustive()
    }
}

/// Stream of [`AsCompleted::indexed`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Indexed<F, T> {
    inner: AsCompleted<F, T>,
}

impl<F, T> Indexed<F, T> {
    /// How many futures have not completed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether all futures have completed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

impl<F: Future<Output = T>, T> Indexed<F, T> {
    /// The next result; see [`AsCompleted::next`].
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn next(&mut self) -> Option<(usize, T)> {
        poll_fn(|cx| self.inner.poll_indexed(cx)).await
    }

    /// Cancels the futures that have not completed; see [`AsCompleted::close`].
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as dropping the stream.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a future.
    pub async fn close(self) {
        self.inner.close().await;
    }
}

impl<F: Future<Output = T>, T> Stream for Indexed<F, T> {
    type Item = (usize, T);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<(usize, T)>> {
        self.inner.poll_indexed(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}
