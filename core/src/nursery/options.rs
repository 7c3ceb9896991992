//! Opening a nursery: the future that runs its body, and the settings.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::error_mode::{CollectErrors, ErrorMode, FailFast, HandleErrors, Parts};
use super::errors::{NurseryErrors, errors_of};
use super::handle::Nursery;
use super::kind::{ChildError, Parallel};
use super::outcome::Outcome;
use super::policy::{Errors, MakeError, ended};
use crate::opening::Opening;
use crate::reason::Origin;
use crate::tree::node::NodeRef;
use crate::tree::scope_future::ScopeFuture;

/// Opens a nursery, runs `body` with a handle to it, and returns when the body and all children have ended.
///
/// Fail-fast: the first error, of the body or of a child, cancels the rest and is returned as it is; further errors go
/// to the tree's [`Observer`](crate::observer::Observer). The body is called in the first poll.
///
/// A body that has returned while children run does not cancel them: the nursery waits. If a child is cancelled from
/// outside the nursery, there is no value, even if the body has returned one: the code around the nursery is being
/// cancelled, too, and does not go on (law L33).
///
/// Where nothing inside can fail the compiler cannot know the error type ("type annotations needed"): annotate the
/// closure's parameter as plain `Nursery`, and the error is [`Infallible`](std::convert::Infallible); or open it with
/// [`nursery::infallible`](crate::nursery::infallible).
///
/// # Errors
///
/// The first error recorded.
///
/// # Cancellation
///
/// *Partial effect*: code that waits is dropped where it waits, code that runs goes on to its next checkpoint; the
/// nursery ends when all have cleaned up. If the future is dropped by foreign code, the scope around it waits for the
/// children in its place (law L27).
///
/// # Panics
///
/// Resumes the first panic of the body or of a child, when all have ended. When polled outside of any tree, if no
/// adapter was installed.
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
    E: ChildError, // Nothing in it can fail? Write `async |n: Nursery|`.
    F: FnOnce(Nursery<E>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
{
    NurseryOptions::new().run(body)
}

/// The settings of a nursery that is about to be opened.
///
/// | method | sets |
/// |---|---|
/// | [`named`](NurseryOptions::named) | its name, for reasons and dumps |
/// | [`limit`](NurseryOptions::limit) | how many children of [`spawn_limited`](Nursery::spawn_limited) run at once |
/// | [`collect_errors`](NurseryOptions::collect_errors) | that children may fail without stopping the others; all errors are returned |
/// | [`on_error`](NurseryOptions::on_error) | that children may fail without stopping the others; each error is handled at once |
///
/// and then [`run`](NurseryOptions::run) opens a nursery, [`run_local`](NurseryOptions::run_local) and
/// [`run_local_unsend`](NurseryOptions::run_local_unsend) open a local one.
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
pub struct NurseryOptions<M = FailFast> {
    name: Cow<'static, str>,
    limit: Option<usize>,
    location: &'static Location<'static>,
    error_mode: M,
}

impl NurseryOptions {
    /// Returns the settings that [`nursery`] uses.
    #[track_caller]
    pub fn new() -> Self {
        NurseryOptions {
            name: Cow::Borrowed("nursery"),
            limit: None,
            location: Location::caller(),
            error_mode: FailFast,
        }
    }

    /// Collects errors instead of failing fast: siblings go on when a child fails, and all errors come back as one
    /// [`ErrorGroup`], in the order in which they were recorded, each with the child it comes from.
    ///
    /// An error of the body still cancels the children (law L7).
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::NurseryOptions;
    ///
    /// # foster_sim::run(1, async {
    /// let checked = NurseryOptions::new().collect_errors().run(async |n| {
    ///     for link in ["/", "/about", "/old"] {
    ///         n.spawn(async move { if link == "/" { Ok(()) } else { Err(format!("{link}: not found")) } });
    ///     }
    /// });
    /// let errors: Vec<_> = checked.await.unwrap_err().into_iter().map(|member| member.error).collect();
    /// assert_eq!(errors.len(), 2);
    /// # });
    /// ```
    ///
    /// [`ErrorGroup`]: crate::error::ErrorGroup
    pub fn collect_errors(self) -> NurseryOptions<CollectErrors> {
        self.with_mode(CollectErrors)
    }

    /// Hands each error of a child to `handler`, at once, instead of keeping it: siblings and the body go on. For
    /// children that nobody waits for, in a nursery that lives for long.
    ///
    /// The handler gets the child's name and spawn site with the error. It runs in the nursery's scope when the child
    /// has ended, before the child's handle says so, on the thread that ran the child: it may spawn into the nursery,
    /// but should not block. It also gets the errors of children that were being cancelled. It belongs to the nursery:
    /// a handle to the nursery that it keeps for good is a reference cycle, and keeps both for ever.
    ///
    /// It is not called for an error of the *body*, which cancels the children and is returned, nor for a panic of a
    /// child, which cancels them, too, and is resumed (law L7). If the handler panics, that counts as a panic of that
    /// child. An error that comes together with a panic of the same child, or of a child that was cut off, goes to the
    /// tree's [`Observer`](crate::observer::Observer).
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{Nursery, NurseryOptions};
    /// use std::io;
    ///
    /// # foster_sim::run(1, async {
    /// let service = NurseryOptions::new()
    ///     .on_error(|error: io::Error, child| eprintln!("{} has failed: {error}", child.name()))
    ///     .run(async |n| {
    ///         n.spawn(async { Err::<(), _>(io::Error::other("the disk is full")) });
    ///         n.spawn(async { Ok(()) }); // goes on
    ///         Ok(7)
    ///     });
    /// assert_eq!(service.await.unwrap(), 7);
    /// # });
    /// ```
    pub fn on_error<E>(self, handler: impl Fn(E, &Origin) + Send + Sync + 'static) -> NurseryOptions<HandleErrors<E>> {
        self.with_mode(HandleErrors::new(handler))
    }

    fn with_mode<M>(self, error_mode: M) -> NurseryOptions<M> {
        let NurseryOptions { name, limit, location, error_mode: FailFast } = self;
        NurseryOptions { name, limit, location, error_mode }
    }
}

impl<M> NurseryOptions<M> {
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
    pub fn run<T, E, F, Fut, R>(self, body: F) -> NurseryFuture<T, E, M::Error, F, Fut, R>
    where
        E: ChildError,
        M: ErrorMode<E>,
        F: FnOnce(Nursery<E>) -> Fut,
        Fut: Future<Output = R>,
        R: Outcome<T, E>,
    {
        let (origin, limit, Parts { on_error, make_error }) = self.into_parts();
        let node = NurseryErrors::new(on_error, limit).into_node(origin);
        let kind = Parallel { node: node.clone() };
        let opening = Opening::new(body, Nursery::of(kind.clone()));
        NurseryFuture { scoped: ScopeFuture::with_node(node.clone(), opening, Errors::new(kind)), node, make_error }
    }

    /// Returns the name and place, the limit, and what errors do.
    pub(super) fn into_parts<E>(self) -> (Origin, Option<usize>, Parts<E, M::Error>)
    where
        M: ErrorMode<E>,
    {
        (Origin::new(self.name, self.location), self.limit, self.error_mode.into_parts())
    }
}

impl Default for NurseryOptions {
    #[track_caller]
    fn default() -> Self {
        NurseryOptions::new()
    }
}

pin_project! {
    /// Future of [`nursery`](crate::nursery()) and [`NurseryOptions::run`]; `X` is the error it returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct NurseryFuture<T, E, X, F, Fut, R> {
        #[pin]
        scoped: ScopeFuture<Opening<F, Nursery<E>, Fut>, R, T, Errors<T, E, Parallel>>,
        node: NodeRef,
        make_error: MakeError<E, X>,
    }
}

impl<T, E, X, F, Fut, R> Future for NurseryFuture<T, E, X, F, Fut, R>
where
    E: ChildError,
    F: FnOnce(Nursery<E>) -> Fut,
    Fut: Future<Output = R>,
    R: Outcome<T, E>,
{
    type Output = Result<T, X>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, X>> {
        let mut this = self.project();
        let ending = ready!(this.scoped.as_mut().poll(cx));
        Poll::Ready(ended(ending, this.node, errors_of(this.node), *this.make_error))
    }
}

impl<T, E, X, F, Fut, R> fmt::Debug for NurseryFuture<T, E, X, F, Fut, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NurseryFuture").finish_non_exhaustive()
    }
}
