//! A stream that is written as code: a generator.

use std::fmt::{self, Debug};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::emitter::{Emitter, Slot};
use super::error_later;
use super::kept_outcome::{Keeping, KeptOutcome};
use foster_core::future::CancelScopeFuture;
use foster_core::{CancelScope, ScopeHandle, is_cancelled};

/// A stream of what `body` emits.
///
/// ```text
///   consumer ── next ──┐        ┌─ Some(1) ── next ──┐        ┌─ Some(2) ──╳ dropped, or `close`d
///   body               └─ emit(1) ┆                  └─ emit(2) ┆          ╳ cancelled there, and cleans up
/// ```
///
/// It is lazy: the body begins when the first item is asked for, and goes on behind an `emit` when the next one is. It
/// runs in the task of the consumer, so it may borrow. It is a scope: it may open nurseries and brackets, and the
/// stream ends only when everything in it has ended. The closure itself is called at once.
///
/// The scope stands below the one around this call (see [`CancelScope::run_here`]): a time limit around a single
/// [`next`](Produce::next) does not cancel the body. While nobody asks, the body stands still; its tasks go on.
///
/// # Cancellation
///
/// *Strict*: an item that was not received is received next time. A stream that is dropped early drops its body; the
/// scope around waits for what the body leaves: tasks, blocking jobs, finalizers (laws L25–L27). To cancel it
/// inside-out, shields included, and wait for it here, use [`close`](Produce::close).
///
/// # Panics
///
/// Resumes the panic of the body, when everything in it has ended. When polled after the body of the scope around this call
/// is over, unless the code is cancelled: as when a function makes it in a `fail_after` and returns it out of that, or when a
/// nursery's body makes it and moves it into a child that goes on after the body (law L28). Make it in the child. When polled
/// outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::combine::produce;
/// use foster::sleep;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let mut countdown = produce(async |mut out| {
///     for n in (0..3).rev() {
///         sleep(Duration::from_secs(1)).await;
///         out.emit(n).await;
///     }
/// });
/// let start = foster::Instant::now();
/// while let Some(n) = countdown.next().await {
///     assert_eq!(start.elapsed(), Duration::from_secs(3 - n));
/// }
/// # });
/// ```
#[track_caller]
pub fn produce<T, B, F>(body: B) -> Produce<F, T>
where
    B: FnOnce(Emitter<T>) -> F,
    F: Future<Output = ()>,
{
    Produce { producer: Producer::new(body) }
}

/// As [`produce`], for a body that can fail: each item is an `Ok`, and its error is the last one.
///
/// An error that the body has returned and nobody receives, because the stream is dropped, goes to the tree's
/// [`Observer`](foster_core::observer::Observer).
///
/// # Cancellation
///
/// *Strict*, as [`produce`].
///
/// # Panics
///
/// As [`produce`].
///
/// # Examples
///
/// A paged API, of which only as many pages are fetched as are read:
///
/// ```
/// use foster::combine::{Emitter, try_produce};
///
/// async fn page(number: u32) -> std::io::Result<Vec<u32>> {
///     if number < 3 { Ok(vec![number * 10, number * 10 + 1]) } else { Err(std::io::Error::other("no such page")) }
/// }
///
/// # foster_sim::run(1, async {
/// let mut rows = try_produce(async |mut out: Emitter<u32>| {
///     for number in 1.. {
///         for row in page(number).await? {
///             out.emit(row).await;
///         }
///     }
///     std::io::Result::Ok(())
/// });
/// let mut read = Vec::new();
/// let failed = loop {
///     match rows.next().await.unwrap() {
///         Ok(row) => read.push(row),
///         Err(error) => break error,
///     }
/// };
/// assert_eq!((read, failed.to_string()), (vec![10, 11, 20, 21], "no such page".to_owned()));
/// assert!(rows.next().await.is_none());
/// # });
/// ```
#[track_caller]
pub fn try_produce<T, E, B, F>(body: B) -> TryProduce<F, T, E>
where
    B: FnOnce(Emitter<T>) -> F,
    F: Future<Output = Result<(), E>>,
    E: Debug,
{
    TryProduce { producer: Producer::new(|out| Keeping::new(body(out), error_later as fn(_))) }
}

/// The common part of both: the body in its scope, and the slot that it fills.
struct Producer<F, T, R> {
    /// None when the body has ended.
    run: Option<Pin<Box<CancelScopeFuture<F, R>>>>,
    scope: ScopeHandle,
    slot: Arc<Slot<T>>,
}

enum Step<T, R> {
    Item(T),
    /// The body has ended now; with what it returned, unless it was cancelled by `close`.
    Ended(Option<R>),
    /// It had ended before.
    Over,
}

impl<F: Future<Output = R>, T, R> Producer<F, T, R> {
    #[track_caller]
    fn new(body: impl FnOnce(Emitter<T>) -> F) -> Self {
        let slot = Slot::new();
        let mut scope = CancelScope::new().named("produce");
        let handle = scope.handle();
        let run = Box::pin(scope.run_here(body(Emitter::new(slot.clone()))));
        Producer { run: Some(run), scope: handle, slot }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step<T, R>> {
        let Some(run) = self.run.as_mut() else { return Poll::Ready(Step::Over) };
        self.slot.ask();
        let Poll::Ready(result) = run.as_mut().poll(cx) else {
            let item = ready!(self.slot.poll_take(cx));
            if is_cancelled() {
                // The consumer will not ask again. A shield in the body that waits for that would hold up its cancel
                // for ever: the body is woken, so that it counts as undriven if it is not polled (L16).
                self.slot.ask();
            }
            return Poll::Ready(Step::Item(item));
        };
        self.run = None;
        self.slot.close();
        Poll::Ready(Step::Ended(result.ok()))
    }

    async fn close(mut self) -> Option<R> {
        self.scope.cancel("no longer needed");
        poll_fn(|cx| {
            loop {
                match ready!(self.poll_step(cx)) {
                    Step::Item(item) => drop(item),
                    Step::Ended(result) => return Poll::Ready(result),
                    Step::Over => return Poll::Ready(None),
                }
            }
        })
        .await
    }
}

impl<F, T, R> Drop for Producer<F, T, R> {
    fn drop(&mut self) {
        // First: what is shielded inside, and goes on, must not wait for a consumer.
        self.slot.close();
    }
}

/// Stream of [`produce`].
#[must_use = "streams do nothing unless polled"]
pub struct Produce<F, T> {
    producer: Producer<F, T, ()>,
}

impl<F, T> Unpin for Produce<F, T> {}

impl<F: Future<Output = ()>, T> Produce<F, T> {
    /// The next item; `None` when the body has ended.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Cancels the body, and waits until everything in it has ended. Items that it emits meanwhile are dropped.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as dropping the stream.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the body.
    pub async fn close(self) {
        self.producer.close().await;
    }
}

impl<F: Future<Output = ()>, T> Stream for Produce<F, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Poll::Ready(match ready!(self.producer.poll_step(cx)) {
            Step::Item(item) => Some(item),
            Step::Ended(_) | Step::Over => None,
        })
    }
}

impl<F, T> Debug for Produce<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Produce").field("over", &self.producer.run.is_none()).finish_non_exhaustive()
    }
}

/// Stream of [`try_produce`].
#[must_use = "streams do nothing unless polled"]
pub struct TryProduce<F, T, E> {
    producer: Producer<Keeping<F, Result<(), E>>, T, KeptOutcome<Result<(), E>>>,
}

impl<F, T, E> Unpin for TryProduce<F, T, E> {}

impl<F: Future<Output = Result<(), E>>, T, E> TryProduce<F, T, E> {
    /// The next item; `None` when the body has ended, and its error was given out.
    ///
    /// # Errors
    ///
    /// The error of the body.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn next(&mut self) -> Option<Result<T, E>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Cancels the body, and waits until everything in it has ended. Items that it emits meanwhile are dropped.
    ///
    /// # Errors
    ///
    /// The error that the body returns even so.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*, as dropping the stream.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the body.
    pub async fn close(self) -> Result<(), E> {
        self.producer.close().await.map_or(Ok(()), KeptOutcome::into_outcome)
    }
}

impl<F: Future<Output = Result<(), E>>, T, E> Stream for TryProduce<F, T, E> {
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        Poll::Ready(match ready!(self.producer.poll_step(cx)) {
            Step::Item(item) => Some(Ok(item)),
            Step::Ended(result) => result.and_then(|kept| kept.into_outcome().err()).map(Err),
            Step::Over => None,
        })
    }
}

impl<F, T, E> Debug for TryProduce<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryProduce").field("over", &self.producer.run.is_none()).finish_non_exhaustive()
    }
}
