//! Several streams as one.

use std::fmt::{self, Debug};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::bells::{Bells, Seat};
use crate::leaf;

/// A stream of the items of all these streams, as they come.
///
/// It ends when all have ended; no streams give one that ends at once. It is fair: streams are asked in the order in which they were
/// woken, one that has just given an item last, at first in the order in which they were given. Only streams that were woken
/// are polled. For streams of different types, box them.
///
/// # Cancellation
///
/// *Strict*: no item is taken from a stream before it is given out.
///
/// # Panics
///
/// Passes on the panic of a stream, at once; the others can still be read. When polled, whatever the streams say.
///
/// # Examples
///
/// ```
/// use foster::{merge, produce, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let every = |period, name| {
///     produce(async move |mut out| {
///         for _ in 0..2 {
///             sleep(Duration::from_secs(period)).await;
///             out.emit(name).await;
///         }
///     })
/// };
/// let mut both = merge([every(2, "slow"), every(1, "fast")]);
/// let mut seen = Vec::new();
/// while let Some(name) = both.next().await {
///     seen.push(name);
/// }
/// assert_eq!(seen, ["fast", "slow", "fast", "slow"]);
/// # });
/// ```
pub fn merge<I>(streams: I) -> Merge<I::Item>
where
    I: IntoIterator<Item: Stream>,
{
    let bells = Bells::new();
    let seat = |(key, stream)| {
        let seat = Seat::new(key, &bells, stream);
        seat.queue();
        Some(seat)
    };
    let seats: Vec<_> = streams.into_iter().enumerate().map(seat).collect();
    let open = seats.len();
    Merge { seats, open, bells }
}

/// Stream of [`merge`].
#[must_use = "streams do nothing unless polled"]
pub struct Merge<S> {
    seats: Vec<Option<Seat<S>>>,
    /// How many streams have not ended.
    open: usize,
    bells: Arc<Bells>,
}

impl<S> Unpin for Merge<S> {}

impl<S> Merge<S> {
    /// How many streams have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether all streams have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }
}

impl<S: Stream> Merge<S> {
    /// The next item; `None` when all streams have ended.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn next(&mut self) -> Option<S::Item> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<S: Stream> Stream for Merge<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        // What rings during this turn has woken the driver, and comes in the next.
        let count = this.bells.register(cx.waker());
        // Subtle: a turn that begins without any budget asks all streams. If it asked the first alone, that one would go to the end of
        // the queue with nothing, and if every other turn were such a one, it would always be the same stream.
        let had_budget = !leaf::has_to_yield();
        for answered in 0..count {
            if answered > 0 && had_budget && leaf::has_to_yield() {
                this.bells.wake_driver();
                return Poll::Pending;
            }
            let Some(key) = this.bells.pop() else { break };
            let Some(seat) = &mut this.seats[key] else { continue };
            match seat.poll(|stream, cx| stream.poll_next(cx)) {
                Poll::Pending => {}
                Poll::Ready(Some(item)) => {
                    // It may have more: it is asked again, behind the others.
                    seat.queue();
                    return Poll::Ready(Some(item));
                }
                Poll::Ready(None) => {
                    this.seats[key] = None;
                    this.open -= 1;
                }
            }
        }
        if this.open == 0 { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl<S> Drop for Merge<S> {
    fn drop(&mut self) {
        self.bells.clear();
    }
}

impl<S> Debug for Merge<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("open", &self.open).finish_non_exhaustive()
    }
}
