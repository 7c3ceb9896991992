//! Opening a nursery: the future that runs its body, and the settings.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Nursery;
use super::errors::{NurseryErrors, OnError, errors_of};
use super::outcome::Outcome;
use super::policy::{Conclude, Errors, all_errors, ended, first_error};
use crate::group::ErrorGroup;
use crate::opening::Opening;
use crate::reason::Origin;
use crate::tree::node::NodeRef;
use crate::tree::scope_future::ScopeFuture;

/// Opens a nursery, runs `body` with a handle to it, and returns when the body and all children have ended.
///
/// Fail-fast: the first error, of the body or of a child, cancels the rest and is returned as it is; further errors go to
/// the tree's [`Observer`](crate::Observer). The body is called in the first poll.
///
/// A body that has returned while children run does not cancel them: the nursery waits. If a child is cancelled from outside
/// the nursery, there is no value, even if the body has returned one: the code around the nursery is being cancelled,
/// too, and does not go on (law L33).
///
/// Where nothing inside can fail the compiler cannot know the error type: annotate the closure's parameter as plain
/// `Nursery`, and the error is [`Infallible`](std::convert::Infallible).
///
/// # Errors
///
/// The first error recorded.
///
/// # Cancellation
///
/// *Partial effect*: the body is dropped at once, the children at their next checkpoint; the nursery ends when all have
/// cleaned up. If the future is dropped by foreign code, the scope around it waits for the children in its place (law L27).
///
/// # Panics
///
/// Resumes the first panic of the body or of a child, when all have ended. When polled outside of any tree, if no adapter was
/// installed.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, nursery, sleep};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let failed: Result<(), &str> = nursery(async |n| {
///     n.spawn(async {
///         sleep(Duration::from_secs(1)).await;
///         Err::<(), _>("no such host")
///     });
///     n.spawn(async { sleep(Duration::from_secs(3600)).await }); // is cancelled after one second
///     Ok(())
/// })
/// .await;
/// assert_eq!(failed, Err("no such host"));
/// # });
/// ```
#[track_caller]
pub fn nursery<T, E, F, Fut, R>(body: F) -> NurseryFuture<T, E, E, F, Fut, R>
where
    E: Debug + Send + 'static,
    F: FnOnce(Nursery<E>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
{
    NurseryOptions::new().run(body)
}

/// Opens a nursery that collects errors instead of failing fast: siblings go on when a child fails, and all errors come
/// back as one [`ErrorGroup`].
///
/// An error of the body still cancels the children (law L7).
///
/// # Errors
///
/// All errors, in the order in which they were recorded, each with the child it comes from.
///
/// # Cancellation
///
/// *Partial effect*, as [`nursery`].
///
/// # Panics
///
/// As [`nursery`].
#[track_caller]
pub fn collecting_nursery<T, E, F, Fut, R>(body: F) -> NurseryFuture<T, E, ErrorGroup<E>, F, Fut, R>
where
    E: Debug + Send + 'static,
    F: FnOnce(Nursery<E>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
{
    NurseryOptions::new().run_collecting(body)
}

/// The settings of a nursery that is about to be opened.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, NurseryOptions};
///
/// # foster_sim::run(1, async {
/// let Ok(()) = NurseryOptions::new().named("workers").run(async |n: Nursery| { n.spawn(async {}); }).await;
/// # });
/// ```
#[derive(Clone, Debug)]
#[must_use = "no nursery is opened yet"]
pub struct NurseryOptions {
    name: Cow<'static, str>,
    limit: Option<usize>,
    location: &'static Location<'static>,
}

impl NurseryOptions {
    /// The settings that [`nursery`] uses.
    #[track_caller]
    pub fn new() -> Self {
        NurseryOptions { name: Cow::Borrowed("nursery"), limit: None, location: Location::caller() }
    }

    /// Names the nursery, for reasons and dumps.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Lets at most `limit` children that were spawned with [`Nursery::spawn_limited`] run at once.
    ///
    /// # Panics
    ///
    /// If `limit` is 0: nothing would ever run.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> Self {
        assert!(limit > 0, "a nursery with a limit of 0 would never run anything");
        self.limit = Some(limit);
        self
    }

    /// Opens the nursery: see [`nursery`].
    pub fn run<T, E, F, Fut, R>(self, body: F) -> NurseryFuture<T, E, E, F, Fut, R>
    where
        E: Debug + Send + 'static,
        F: FnOnce(Nursery<E>) -> Fut,
        Fut: Future<Output = R>,
        R: Outcome<T, E>,
    {
        self.open(body, OnError::Fail, first_error)
    }

    /// Opens the nursery: see [`collecting_nursery`].
    pub fn run_collecting<T, E, F, Fut, R>(self, body: F) -> NurseryFuture<T, E, ErrorGroup<E>, F, Fut, R>
    where
        E: Debug + Send + 'static,
        F: FnOnce(Nursery<E>) -> Fut,
        Fut: Future<Output = R>,
        R: Outcome<T, E>,
    {
        self.open(body, OnError::Collect, all_errors)
    }

    /// The name and place, and the limit.
    pub(crate) fn into_parts(self) -> (Origin, Option<usize>) {
        (Origin::new(self.name, self.location), self.limit)
    }

    pub(super) fn open<T, E, X, F, Fut, R>(
        self,
        body: F,
        on_error: OnError<E>,
        conclude: Conclude<E, X>,
    ) -> NurseryFuture<T, E, X, F, Fut, R>
    where
        E: Debug + Send + 'static,
        F: FnOnce(Nursery<E>) -> Fut,
        Fut: Future<Output = R>,
        R: Outcome<T, E>,
    {
        let (origin, limit) = self.into_parts();
        let node = NurseryErrors::new(on_error, limit).into_node(origin);
        let nursery = Nursery { node: node.clone(), errors: PhantomData };
        let opening = Opening::new(body, nursery.clone());
        NurseryFuture { scoped: ScopeFuture::with_node(node.clone(), opening, Errors::new(nursery)), node, conclude }
    }
}

impl Default for NurseryOptions {
    #[track_caller]
    fn default() -> Self {
        NurseryOptions::new()
    }
}

pin_project! {
    /// Future of [`nursery`] and [`collecting_nursery`]; `X` is the error it returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct NurseryFuture<T, E, X, F, Fut, R> {
        #[pin]
        scoped: ScopeFuture<Opening<F, Nursery<E>, Fut>, R, T, Errors<T, E, Nursery<E>>>,
        node: NodeRef,
        conclude: Conclude<E, X>,
    }
}

impl<T, E, X, F, Fut, R> Future for NurseryFuture<T, E, X, F, Fut, R>
where
    E: Debug + Send + 'static,
    F: FnOnce(Nursery<E>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
{
    type Output = Result<T, X>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, X>> {
        let mut this = self.project();
        let ending = ready!(this.scoped.as_mut().poll(cx));
        Poll::Ready(ended(ending, this.node, errors_of(this.node), *this.conclude))
    }
}

impl<T, E, X, F, Fut, R> fmt::Debug for NurseryFuture<T, E, X, F, Fut, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NurseryFuture").finish_non_exhaustive()
    }
}
