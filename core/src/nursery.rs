//! The nursery: the only place where tasks are born, and that waits for them.
//!
//! ```text
//!            nursery(async |n| { … })
//!   body    ───┬────────┬─────────────▶ Ok(v) ┐
//!   child a    └──────────────▶ Ok            ├─▶ returns when all have ended
//!   child b             └─────────────────▶ Ok┘
//!
//!   body    ───┬────────┬───────╳ dropped ────┐
//!   child a    └──────────▶ Err(e)            ├─▶ Err(e), when child b has cleaned up
//!   child b             └───────╳ ── cleanup ─┘
//! ```

mod body;
mod errors;
mod handle;
mod limited;
mod options;
mod outcome;
pub(crate) mod policy;
pub(crate) mod start;
mod task;
mod telling;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::{self, Debug};
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::error::SpawnError;
use crate::reason::{Origin, Reason};
use crate::tree::children::Role;
use crate::tree::current;
use crate::tree::node::{Life, NodeRef};

pub(crate) use body::ChildBody;
pub use errors::NurseryErrors;
use errors::errors_of;
pub(crate) use errors::{OnError, Recorded};
pub(crate) use limited::Limited;
pub use options::{NurseryFuture, NurseryOptions, collecting_nursery, nursery};
pub use outcome::Outcome;
pub use start::{Ready, StartError};
pub use telling::TellingOptions;

pub use handle::Task;
pub(crate) use handle::{SlotRef, ValueSlot, leave};

/// A handle to a nursery: spawns children into it. Clonable; it may be moved into children and to other threads.
///
/// `E` is the error type of the children and of the body. It defaults to [`Infallible`]: annotate the closure's parameter
/// as plain `Nursery` where nothing in it can fail.
///
/// A handle owns nothing: the nursery ends whether or not handles are left.
pub struct Nursery<E = Infallible> {
    pub(crate) node: NodeRef,
    // They are in the node's block.
    errors: PhantomData<Arc<NurseryErrors<E>>>,
}

impl<E> Clone for Nursery<E> {
    fn clone(&self) -> Self {
        Nursery { node: self.node.clone(), errors: PhantomData }
    }
}

impl<E: Debug + Send + 'static> Nursery<E> {
    /// Spawns a child: it runs on the executor, in parallel with the body and its siblings.
    ///
    /// A child returns `()` or a `Result`. An `Err` fails the nursery: its siblings and its body are cancelled, and the nursery
    /// returns the error when all have ended. A panic does the same and resumes at the end of the nursery.
    ///
    /// The child belongs to the nursery's scopes, wherever `spawn` is called. It first runs later: the caller is not
    /// interrupted. A child that is cancelled before its first poll is dropped unpolled (law L13).
    ///
    /// An `async fn` cannot spawn itself, because its future would contain its own type: spawn from a plain `fn` that returns the
    /// future boxed, or takes the handle and spawns.
    ///
    /// # Panics
    ///
    /// If the nursery has ended; see [`try_spawn`](Nursery::try_spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{Nursery, nursery};
    ///
    /// # foster_sim::run(1, async {
    /// let Ok(sum) = nursery(async |n: Nursery| {
    ///     let a = n.spawn(async { Ok(1 + 1) });
    ///     let b = n.spawn(async { Ok(20 + 20) });
    ///     Ok(a.await.unwrap() + b.await.unwrap())
    /// })
    /// .await;
    /// assert_eq!(sum, 42);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<T, R, F>(&self, future: F) -> Task<T>
    where
        T: Send + 'static,
        R: Outcome<T, E> + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        self.child().spawn(future)
    }

    /// As [`spawn`](Nursery::spawn), but a nursery that has ended gives the future back.
    ///
    /// A nursery admits children while its body runs, and after that as long as there is something left that it waits for (law
    /// L4). A cancelled nursery admits them, too; they are dropped unpolled.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the future, not polled, if the nursery has ended.
    #[track_caller]
    pub fn try_spawn<T, R, F>(&self, future: F) -> Result<Task<T>, SpawnError<F>>
    where
        T: Send + 'static,
        R: Outcome<T, E> + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        self.child().try_spawn(future)
    }

    /// Spawns a child that does not keep the nursery: it is cancelled when only daemons are left (law L24).
    ///
    /// Its error or panic counts like any child's.
    ///
    /// # Panics
    ///
    /// If the nursery has ended.
    #[track_caller]
    pub fn spawn_daemon<T, R, F>(&self, future: F) -> Task<T>
    where
        T: Send + 'static,
        R: Outcome<T, E> + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        self.child().daemon().spawn(future)
    }

    /// Waits until fewer children than the nursery's [limit](NurseryOptions::limit) run, then spawns this one.
    ///
    /// Only children that were spawned this way are counted. A place is free again when a child's future has ended. In a
    /// nursery without a limit this is a checkpoint and a [`spawn`](Nursery::spawn).
    ///
    /// # Cancellation
    ///
    /// *Strict*: before the child is spawned, nothing has happened, and the future is dropped.
    ///
    /// # Panics
    ///
    /// If the nursery has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{Nursery, NurseryOptions, sleep};
    /// use std::time::Duration;
    ///
    /// # foster_sim::run(1, async {
    /// let start = foster::Instant::now();
    /// let Ok(()) = NurseryOptions::new()
    ///     .limit(2)
    ///     .run(async |n: Nursery| {
    ///         for _ in 0..6 {
    ///             n.spawn_limited(sleep(Duration::from_secs(1))).await;
    ///         }
    ///     })
    ///     .await;
    /// assert_eq!(start.elapsed(), Duration::from_secs(3));
    /// # });
    /// ```
    #[expect(clippy::async_yields_async, reason = "waits for the place, not for the child")]
    #[track_caller]
    pub fn spawn_limited<T, R, F>(&self, future: F) -> impl Future<Output = Task<T>> + Send + use<T, R, F, E>
    where
        T: Send + 'static,
        R: Outcome<T, E> + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        let nursery = self.clone();
        let admitted = Limited::admitted(Box::pin(future), errors_of::<E>(&self.node).limit.clone());
        let location = Location::caller();
        async move {
            let child = admitted.await;
            let name = Some(Cow::Borrowed(std::any::type_name::<F>()));
            Child { nursery: &nursery, name, daemon: false, location }.spawn(child)
        }
    }

    /// Begins a child with settings of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// # foster_sim::run(1, async {
    /// # let Ok(()) = foster::nursery(async |n: foster::Nursery| {
    /// let task = n.child().named("indexer").spawn(async {});
    /// assert_eq!(task.name(), "indexer");
    /// # Ok(()) }).await;
    /// # });
    /// ```
    #[track_caller]
    pub fn child(&self) -> Child<'_, E> {
        Child { nursery: self, name: None, daemon: false, location: Location::caller() }
    }

    /// Asks all children that are present to stop, each with `reason`. The body goes on, and so does the nursery: children that
    /// are spawned later are not affected, and that children were cancelled this way voids nothing (laws L7, L33).
    ///
    /// Says how many were asked.
    #[track_caller]
    pub fn cancel_children(&self, reason: impl Into<Reason>) -> usize {
        self.cancel_children_within(Duration::ZERO, reason)
    }

    /// As [`cancel_children`](Nursery::cancel_children), with a grace for [`graceful`](crate::graceful) shields inside them.
    #[track_caller]
    pub fn cancel_children_within(&self, grace: Duration, reason: impl Into<Reason>) -> usize {
        let reason = current::signed(reason.into());
        let children = self.children();
        children.iter().filter(|child| child.request(reason.clone(), Some(grace))).count()
    }

    /// How many children have not ended, daemons included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.node.lock().children.tasks()
    }

    /// Whether all children have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the nursery has ended, and takes no further children.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.node.life() == Life::Closed
    }

    /// The name of the nursery.
    #[must_use]
    pub fn name(&self) -> String {
        self.node.origin.name().to_owned()
    }

    fn children(&self) -> Vec<NodeRef> {
        let state = self.node.lock();
        let tasks = state.children.iter().filter(|(role, _)| matches!(role, Role::Child | Role::Daemon));
        tasks.map(|(_, node)| node.clone()).collect()
    }
}

impl<E> fmt::Debug for Nursery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.node.lock();
        f.debug_struct("Nursery")
            .field("scope", &self.node.origin)
            .field("life", &state.life)
            .field("request", &state.request().map(|request| &request.reason))
            .finish()
    }
}

/// The settings of a child that is about to be spawned; made by [`Nursery::child`].
#[must_use = "nothing is spawned yet"]
pub struct Child<'a, E = Infallible> {
    nursery: &'a Nursery<E>,
    name: Option<Cow<'static, str>>,
    daemon: bool,
    location: &'static Location<'static>,
}

impl<E: Debug + Send + 'static> Child<'_, E> {
    /// Names the child. By default it bears the type name of its future.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Makes it a daemon: it is cancelled when only daemons are left.
    pub fn daemon(mut self) -> Self {
        self.daemon = true;
        self
    }

    /// Spawns the child; see [`Nursery::spawn`].
    ///
    /// # Panics
    ///
    /// If the nursery has ended.
    #[track_caller]
    pub fn spawn<T, R, F>(self, future: F) -> Task<T>
    where
        T: Send + 'static,
        R: Outcome<T, E> + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        match self.try_spawn(future) {
            Ok(task) => task,
            Err(error) => panic!(
                "{error}: its body is over and no child is left. Usual causes: a handle was kept beyond the end of the \
                 nursery, or is used by a thread or a destructor that comes late. `try_spawn` gives the future back instead"
            ),
        }
    }

    /// Spawns the child; see [`Nursery::try_spawn`].
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the future, not polled, if the nursery has ended.
    pub fn try_spawn<T, R, F>(self, future: F) -> Result<Task<T>, SpawnError<F>>
    where
        T: Send + 'static,
        R: Outcome<T, E> + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        let name = self.name.unwrap_or(Cow::Borrowed(std::any::type_name::<F>()));
        let origin = Origin::new(name, self.location);
        let role = if self.daemon { Role::Daemon } else { Role::Child };
        task::spawn_with(self.nursery, origin, role, future, |_| {})
    }
}

impl<E> fmt::Debug for Child<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("name", &self.name).field("daemon", &self.daemon).finish_non_exhaustive()
    }
}
