//! Brackets: a resource that is released on every path, also when its use is cancelled half-way.
//!
//! ```text
//!   acquire ──▶ use ────────▶ Ok ────────────────────┐
//!                 └──────╳ cancelled, failed, panic ─┤ everything inside ends
//!                                                    └──▶ release(resource, exit), shielded, within its budget
//! ```

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::defer::{DEFAULT_BUDGET, FinalizerOutput};
use crate::opening::Opening;
use crate::reason::{Origin, Reason, ReasonKind};
use crate::tree::finalizer::{Failure, Finalizer};
use crate::tree::marks::Mask;
use crate::tree::node::{Kind, Node, NodeRef};
use crate::tree::scoped::{Ending, Policy, Scoped};

/// How the use of a bracket's resource ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Exit {
    /// The body has returned; with [`try_bracket`], it has returned `Ok`.
    Returned,
    /// The body of a [`try_bracket`] has returned an error.
    Failed,
    /// The body was cancelled, or dropped by foreign code; with the reason, where the request stands on the bracket itself.
    Cancelled(Option<Reason>),
    /// The body has panicked.
    Panicked,
}

impl Exit {
    /// Whether the body has returned, without an error where errors are known: the moment to commit.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Exit::Returned)
    }
}

/// Acquires a resource, lends it to `body`, and releases it when everything that was started inside has ended (law L23).
///
/// The release runs on every path: after a return, an error, a panic, a cancellation, and if the future is dropped by
/// foreign code; it is told how the use ended. It is shielded from everything but its budget ([`DEFAULT_BUDGET`], or
/// [`Bracket::budget`]).
///
/// The body gets the resource as a [`Lent`] guard, which derefs to it and gives it back when it is dropped. A guard that the
/// body leaks, or moves out as its value, keeps the resource; then there is nothing to release, and the guard's own drop is
/// all that happens.
///
/// Nothing comes between the end of `acquire` and the moment from which the release is sure to run.
///
/// # Cancellation
///
/// *Partial effect*: `acquire` is cancelled by its own rules; the body as in a [`CancelScope`](crate::CancelScope); then the
/// release runs.
///
/// # Panics
///
/// Resumes the panic of the body or of the release, when all has ended. When polled outside of any tree, if no adapter was
/// installed.
///
/// # Examples
///
/// ```
/// use foster::{bracket, move_on_after, sleep, sleep_forever};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let out = move_on_after(
///     Duration::from_secs(1),
///     bracket(
///         async { vec!["begin"] },
///         async |mut log| {
///             log.push("insert");
///             sleep_forever().await
///         },
///         |mut log, exit| async move {
///             sleep(Duration::from_millis(5)).await; // a release may await
///             log.push(if exit.is_success() { "commit" } else { "roll back" });
///             assert_eq!(log, ["begin", "insert", "roll back"]);
///         },
///     ),
/// )
/// .await;
/// assert!(out.is_none());
/// # });
/// ```
#[track_caller]
pub fn bracket<A, R, B, Fut, C, Rel>(acquire: A, body: B, release: C) -> Bracket<A, R, R, B, Fut, Fut::Output, C>
where
    A: Future<Output = R>,
    R: Send + 'static,
    B: FnOnce(Lent<R>) -> Fut,
    Fut: Future,
    C: FnOnce(R, Exit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    Bracket::new(acquire, body, release, Ok, |_| Exit::Returned)
}

/// As [`bracket`], for an `acquire` and a body that return a `Result`: the release learns whether the body failed.
///
/// # Errors
///
/// The error of `acquire`: then there is nothing to release. Or the error of the body, after the release.
///
/// # Cancellation
///
/// *Partial effect*, as [`bracket`].
///
/// # Panics
///
/// As [`bracket`].
///
/// # Examples
///
/// ```
/// use foster::{Exit, try_bracket};
///
/// # foster_sim::run(1, async {
/// let failed: Result<(), &str> = try_bracket(
///     async { Ok("transaction") },
///     async |_tx| Err("constraint violated"),
///     |_tx, exit| async move { assert!(matches!(exit, Exit::Failed)) },
/// )
/// .await;
/// assert_eq!(failed, Err("constraint violated"));
/// # });
/// ```
#[track_caller]
pub fn try_bracket<A, R, E, B, Fut, T, C, Rel>(
    acquire: A,
    body: B,
    release: C,
) -> Bracket<A, Result<R, E>, R, B, Fut, Result<T, E>, C>
where
    A: Future<Output = Result<R, E>>,
    R: Send + 'static,
    B: FnOnce(Lent<R>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: FnOnce(R, Exit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    let exit = |output: &Result<T, E>| if output.is_ok() { Exit::Returned } else { Exit::Failed };
    Bracket::new(acquire, body, release, |output| output.map_err(Err), exit)
}

/// The resource of a bracket, lent to its body. Gives it back when dropped.
pub struct Lent<R> {
    resource: Option<R>,
    home: Arc<Loan<R>>,
}

/// Where the resource is while nobody has it, and how its use ended.
struct Loan<R> {
    returned: Mutex<Option<R>>,
    exit: Mutex<Option<Exit>>,
}

impl<R> Deref for Lent<R> {
    type Target = R;

    fn deref(&self) -> &R {
        match &self.resource {
            Some(resource) => resource,
            None => unreachable!("a guard has its resource until it is dropped"),
        }
    }
}

impl<R> DerefMut for Lent<R> {
    fn deref_mut(&mut self) -> &mut R {
        match &mut self.resource {
            Some(resource) => resource,
            None => unreachable!("a guard has its resource until it is dropped"),
        }
    }
}

impl<R> Drop for Lent<R> {
    fn drop(&mut self) {
        *lock(&self.home.returned) = self.resource.take();
    }
}

impl<R: fmt::Debug> fmt::Debug for Lent<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(&self.resource).finish()
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<A, R, B, Fut, T, C> {
        Acquiring { #[pin] acquire: A, rest: Option<(B, C)> },
        Using { #[pin] scoped: Scoped<Opening<B, Lent<R>, Fut>, T, T, Uses<R, T>> },
        Done,
    }
}

pin_project! {
    /// Future of [`bracket`] and [`try_bracket`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Bracket<A, Acquired, R, B, Fut, T, C> {
        #[pin]
        stage: Stage<A, R, B, Fut, T, C>,
        // What the outputs of the parts mean: `bracket` and `try_bracket` differ in nothing else.
        acquired: fn(Acquired) -> Result<R, T>,
        exit: fn(&T) -> Exit,
        budget: Duration,
        location: &'static Location<'static>,
    }
}

impl<A, Acquired, R, B, Fut, T, C> Bracket<A, Acquired, R, B, Fut, T, C> {
    #[track_caller]
    fn new(acquire: A, body: B, release: C, acquired: fn(Acquired) -> Result<R, T>, exit: fn(&T) -> Exit) -> Self {
        let stage = Stage::Acquiring { acquire, rest: Some((body, release)) };
        Bracket { stage, acquired, exit, budget: DEFAULT_BUDGET, location: Location::caller() }
    }

    /// Gives the release another budget of time, counted from its start; [`Duration::MAX`] is no limit.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }
}

/// The policy of brackets: notes how the use ended.
struct Uses<R, T> {
    loan: Arc<Loan<R>>,
    exit: fn(&T) -> Exit,
}

impl<R, T> Policy<T> for Uses<R, T> {
    type Value = T;

    fn settle(&mut self, _: Option<&NodeRef>, output: T) -> Option<T> {
        *lock(&self.loan.exit) = Some((self.exit)(&output));
        Some(output)
    }

    fn failed(&self) -> bool {
        false
    }
}

impl<A, Acquired, R, B, Fut, T, C, Rel> Future for Bracket<A, Acquired, R, B, Fut, T, C>
where
    A: Future<Output = Acquired>,
    R: Send + 'static,
    B: FnOnce(Lent<R>) -> Fut,
    Fut: Future<Output = T>,
    C: FnOnce(R, Exit) -> Rel + Send + 'static,
    Rel: Future<Output: FinalizerOutput> + Send + 'static,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut this = self.project();
        loop {
            let (resource, body, release) = match this.stage.as_mut().project() {
                StageProj::Done => panic!("a bracket was polled after it had returned"),
                StageProj::Using { scoped } => {
                    let ending = ready!(scoped.poll(cx));
                    this.stage.set(Stage::Done);
                    return match ending {
                        Ending::Value(value) => Poll::Ready(value),
                        Ending::Failed | Ending::Cancelled(_) => unreachable!("a bracket has no request of its own"),
                    };
                }
                StageProj::Acquiring { acquire, rest } => {
                    let output = ready!(acquire.poll(cx));
                    let Some((body, release)) = rest.take() else { unreachable!("acquired once") };
                    match (this.acquired)(output) {
                        Ok(resource) => (resource, body, release),
                        Err(output) => {
                            this.stage.set(Stage::Done);
                            return Poll::Ready(output);
                        }
                    }
                }
            };
            let loan = Arc::new(Loan { returned: Mutex::new(None), exit: Mutex::new(None) });
            let lent = Lent { resource: Some(resource), home: loan.clone() };
            let origin = Origin::new("bracket", this.location);
            let node: NodeRef = Node::new(Kind::Bracket, Mask::None, origin.clone(), None, ());
            let finalizer = Finalizer {
                body: Box::pin(release_later(loan.clone(), node.clone(), release)),
                budget: *this.budget,
                origin,
            };
            node.lock().rare().finalizers.push(finalizer);
            let uses = Uses { loan, exit: *this.exit };
            // The scope is polled in the next turn of this loop: nothing can come between.
            this.stage.set(Stage::Using { scoped: Scoped::with_node(node, Opening::new(body, lent), uses) });
        }
    }
}

/// The finalizer: by now the guard has given the resource back.
async fn release_later<R, C, Rel>(loan: Arc<Loan<R>>, node: NodeRef, release: C) -> Failure
where
    C: FnOnce(R, Exit) -> Rel,
    Rel: Future<Output: FinalizerOutput>,
{
    let resource = lock(&loan.returned).take()?;
    let returned = lock(&loan.exit).take();
    let exit = returned.unwrap_or_else(|| {
        let state = node.lock();
        match state.request() {
            _ if state.has_panicked() => Exit::Panicked,
            Some(request) if request.reason.kind() == ReasonKind::Panicked => Exit::Panicked,
            request => Exit::Cancelled(request.map(|request| request.reason.clone())),
        }
    });
    drop(node);
    release(resource, exit).await.into_error()
}

impl<A, Acquired, R, B, Fut, T, C> fmt::Debug for Bracket<A, Acquired, R, B, Fut, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bracket")
            .field("location", &self.location)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
