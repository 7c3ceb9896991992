//! The handle to a nursery.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::builder::TaskBuilder;
use super::errors::NurseryErrors;
use super::kind::{NurseryKind, Parallel, Spawns};
use super::limited::Limited;
use super::local::{Local, SendBox};
use super::outcome::Outcome;
use super::task::Task;
use crate::errors::SpawnError;
use crate::reason::Reason;
use crate::tree::children::Role;
use crate::tree::current;
use crate::tree::node::{Life, NodeRef};
use crate::tree::request::request_together;

/// A handle to a nursery: spawns children into it. Clonable; it may be moved into children and to other threads.
///
/// `E` is the error type of the children and of the body. It defaults to [`Infallible`]: annotate the closure's
/// parameter as plain `Nursery` where nothing in it can fail.
///
/// A handle owns nothing: the nursery ends whether or not handles are left.
pub struct Nursery<E = Infallible, K = Parallel> {
    pub(super) kind: K,
    errors: PhantomData<Arc<NurseryErrors<E>>>,
}

/// A handle to a local nursery: its children take turns in one task, and may borrow what lives for `'env`. They are
/// `Send`, and so is the nursery's future.
pub type LocalNursery<'env, E = Infallible> = Nursery<E, Local<E, SendBox<'env, E>>>;

impl<E, K: Clone> Clone for Nursery<E, K> {
    fn clone(&self) -> Self {
        Nursery::of(self.kind.clone())
    }
}

impl<E, K> Nursery<E, K> {
    pub(super) fn of(kind: K) -> Self {
        Nursery { kind, errors: PhantomData }
    }
}

impl<E, K: NurseryKind> Nursery<E, K> {
    /// Spawns a child: it runs on the executor, in parallel with the body and its siblings; in a local nursery, in the
    /// nursery's own task, in turn with them.
    ///
    /// A child returns `()` or a `Result`. An `Err` fails the nursery, unless its [options](crate::NurseryOptions) say
    /// otherwise: its siblings and its body are cancelled, and the nursery returns the error when all have ended. A
    /// panic does the same and resumes at the end of the nursery.
    ///
    /// The child belongs to the nursery's scopes, wherever `spawn` is called. It first runs later: the caller is not
    /// interrupted. A child that is cancelled before its first poll is dropped unpolled (law L13).
    ///
    /// An `async fn` cannot spawn itself, because its future would contain its own type: spawn from a plain `fn` that
    /// returns the future boxed, or takes the handle and spawns.
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
        R: Outcome<T, E>,
        F: Future<Output = R>,
        K: Spawns<E, T, F>,
    {
        self.child().spawn(future)
    }

    /// As [`spawn`](Nursery::spawn), but a nursery that has ended gives the future back.
    ///
    /// A nursery admits children while its body runs, and after that as long as there is something left that it waits
    /// for (law L4). A cancelled nursery admits them, too; they are dropped unpolled.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the future, not polled, if the nursery has ended.
    #[track_caller]
    pub fn try_spawn<T, R, F>(&self, future: F) -> Result<Task<T>, SpawnError<F>>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        K: Spawns<E, T, F>,
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
        R: Outcome<T, E>,
        F: Future<Output = R>,
        K: Spawns<E, T, F>,
    {
        self.child().daemon().spawn(future)
    }

    /// Waits until fewer children than the nursery's [limit](crate::NurseryOptions::limit) run, then spawns this one.
    ///
    /// Only children that were spawned this way are counted. A place is free again when a child's future has ended. In
    /// a nursery without a limit this is a checkpoint and a [`spawn`](Nursery::spawn).
    ///
    /// # Cancellation
    ///
    /// *Loses its place*: before the child is spawned, nothing has happened, and the future is dropped.
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
    pub fn spawn_limited<T, R, F>(&self, future: F) -> impl Future<Output = Task<T>> + use<T, R, F, E, K>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        K: Spawns<E, T, Limited<F>>,
    {
        let nursery = self.clone();
        let admitted = Limited::admitted(Box::pin(future), self.kind.limit());
        let location = Location::caller();
        async move {
            let child = admitted.await;
            TaskBuilder::new(&nursery, location).named(std::any::type_name::<F>()).spawn(child)
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
    pub fn child(&self) -> TaskBuilder<'_, E, K> {
        TaskBuilder::new(self, Location::caller())
    }

    /// Asks all children that are present to stop, in one step (law L11), each with `reason`. The body goes on, and so does
    /// the nursery: children that are spawned later are not affected, and that children were cancelled this way voids
    /// nothing (laws L7, L33).
    ///
    /// Returns how many were asked.
    #[track_caller]
    pub fn cancel_children(&self, reason: impl Into<Reason>) -> usize {
        self.cancel_children_within(Duration::ZERO, reason)
    }

    /// As [`cancel_children`](Nursery::cancel_children), with a grace for [`graceful`](crate::graceful) shields inside
    /// them.
    #[track_caller]
    pub fn cancel_children_within(&self, grace: Duration, reason: impl Into<Reason>) -> usize {
        let reason = current::signed(reason.into());
        request_together(&self.children(), &reason, Some(grace))
    }

    /// How many children have not ended, daemons included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.node().lock().children.tasks()
    }

    /// Whether all children have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the nursery has ended. It may refuse children a little earlier: when its body and children are
    /// over, and only finalizers are left.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.node().life() == Life::Closed
    }

    /// The name of the nursery.
    #[must_use]
    pub fn name(&self) -> String {
        self.node().origin.name().to_owned()
    }

    fn node(&self) -> &NodeRef {
        self.kind.node()
    }

    fn children(&self) -> Vec<NodeRef> {
        let state = self.node().lock();
        let tasks = state.children.iter().filter(|(role, _)| matches!(role, Role::Child | Role::Daemon));
        tasks.map(|(_, node)| node.clone()).collect()
    }
}

impl<E, K: NurseryKind> fmt::Debug for Nursery<E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.node().lock();
        let (life, reason) = (state.life, state.request().map(|request| request.reason.clone()));
        // L36: whatever is written to is code of the user.
        drop(state);
        f.debug_struct("Nursery")
            .field("scope", &self.node().origin)
            .field("life", &life)
            .field("request", &reason)
            .finish()
    }
}
