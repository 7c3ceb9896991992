//! Several streams as one.

use std::fmt::{self, Debug};
use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::turns_without_budget::TurnsWithoutBudget;
use crate::payload::drop_payload;
use foster_core::is_cancelled;
use foster_core::leaf;
use foster_core::leaf::{ReadyMember, ReadyQueue};

/// A stream of the items of all these streams, as they come.
///
/// It ends when all have ended; no streams give one that ends at once. It is fair: streams are asked in the order in
/// which they were woken, one that has just given an item last, at first in the order in which they were given. Only
/// streams that were woken are polled. For streams of different types, box them.
///
/// # Cancellation
///
/// *Strict*: no item is taken from a stream before it is given out.
///
/// # Panics
///
/// Passes on the panic of a stream, at once. That stream has ended then; the others can still be read. When polled,
/// whatever the streams say.
///
/// # Examples
///
/// ```
/// use foster::combine::{merge, produce};
/// use foster::sleep;
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
    let ready = ReadyQueue::new();
    let open = |(key, stream)| {
        let member = ReadyMember::new(key, &ready);
        member.enqueue();
        Some((Box::pin(stream), member))
    };
    let streams: Vec<_> = streams.into_iter().enumerate().map(open).collect();
    Merge { open: streams.len(), streams, ready, without_budget: TurnsWithoutBudget::new(), owes: false }
}

/// Stream of [`merge`].
#[must_use = "streams do nothing unless polled"]
pub struct Merge<S> {
    streams: Vec<Option<(Pin<Box<S>>, ReadyMember)>>,
    /// How many streams have not ended.
    open: usize,
    ready: Arc<ReadyQueue>,
    without_budget: TurnsWithoutBudget,
    /// It has given an item, and not taken a unit of the budget for it.
    owes: bool,
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
        // L38: the streams may have no operation of foster's in them.
        if std::mem::take(&mut this.owes) {
            ready!(leaf::poll_budget(cx));
        }
        // A stream that is woken during this turn has woken the driver, and is polled in the next.
        let count = this.ready.register(cx.waker());
        let had_budget = !leaf::has_to_yield();
        if !had_budget && this.without_budget.passes(count) {
            this.ready.wake_driver();
            return Poll::Pending;
        }
        for polled in 0..count {
            if polled > 0 && had_budget && leaf::has_to_yield() {
                this.ready.wake_driver();
                return Poll::Pending;
            }
            let Some(key) = this.ready.pop() else { break };
            let Some((stream, member)) = &mut this.streams[key] else { continue };
            let asked = panic::catch_unwind(AssertUnwindSafe(|| member.poll(|cx| stream.as_mut().poll_next(cx))));
            match asked {
                Ok(Poll::Pending) => {
                    // A stream that does not start in cancelled code is woken by nobody. The next item may be asked for
                    // in another scope.
                    if is_cancelled() {
                        member.enqueue();
                    }
                }
                Ok(Poll::Ready(Some(item))) => {
                    // It may have more: it is asked again, behind the others.
                    member.enqueue();
                    this.owes = true;
                    return Poll::Ready(Some(item));
                }
                ended => {
                    // First: the destructor of the stream may panic, and it has ended even so.
                    this.open -= 1;
                    let dropped = panic::catch_unwind(AssertUnwindSafe(|| this.streams[key] = None));
                    // Of two panics, the first. The other's payload goes before that resumes: its destructor may panic, too.
                    let payload = match (ended, dropped) {
                        (Err(first), Err(later)) => {
                            drop_payload(later);
                            Some(first)
                        }
                        (Err(payload), Ok(())) | (Ok(_), Err(payload)) => Some(payload),
                        (Ok(_), Ok(())) => None,
                    };
                    if let Some(payload) = payload {
                        panic::resume_unwind(payload);
                    }
                }
            }
        }
        if this.open == 0 { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl<S> Drop for Merge<S> {
    fn drop(&mut self) {
        self.ready.clear();
    }
}

impl<S> Debug for Merge<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("open", &self.open).finish_non_exhaustive()
    }
}
