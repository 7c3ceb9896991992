//! The local nursery: children that live in the parent's own task.
//!
//! The same semantics and the same method names as [`nursery`](crate::nursery()), at a fraction of the cost; but the children
//! run concurrently, not in parallel. In exchange they may borrow from the code around, and need no executor.
//!
//! ```text
//!   one task   ─┬─ body ───────▶┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┬─▶ returns when all have ended
//!               ├─ child a ─▶                  │
//!               └─ child b, borrows a local ─▶ ┘
//! ```
//!
//! # Why not parallel and borrowing and without blocking, all at once?
//!
//! Because a future can be forgotten: `std::mem::forget` is safe. A child that runs on another thread and borrows from its parent
//! would go on using memory that the parent has given up, and nothing runs at that moment that could stop it. ScopeFuture
//! threads get around that by *blocking* the parent until they have ended; async code must not block. So one of the three has
//! to go: [`nursery`](crate::nursery()) gives up borrowing, `local_nursery` gives up parallelism.

mod child;
mod children;
mod options;
mod shared;
mod start;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::error::SpawnError;
use crate::nursery::{Limited, Outcome, Task};
use crate::reason::{Origin, Reason};
use crate::tree::children::Role;
use crate::tree::current;
use crate::tree::node::{Life, NodeRef};
use shared::Shared;

#[doc(hidden)]
pub use crate::nursery::NurseryErrors;
pub use child::{AnyBox, Holds, LocalBox, LocalChild, RunChild, SendBox};
pub use options::{
    LocalNurseryFuture, collecting_local_nursery, collecting_local_nursery_unsend, local_nursery, local_nursery_unsend,
};

/// A handle to a local nursery whose children are `Send`, and so is its future.
pub type LocalNursery<'env, E = Infallible> = LocalHandle<E, SendBox<'env, E>>;

/// A handle to a local nursery whose children need not be `Send`; its future is not, either.
pub type UnsendNursery<'env, E = Infallible> = LocalHandle<E, LocalBox<'env, E>>;

/// A handle to a local nursery: spawns children into it. Clonable; it may be moved into children.
///
/// `E` is the error type of the children and of the body; `B` says whether they have to be `Send`. Use it under the names
/// [`LocalNursery`] and [`UnsendNursery`].
pub struct LocalHandle<E, B> {
    shared: Arc<Shared<E, B>>,
}

impl<E, B> Clone for LocalHandle<E, B> {
    fn clone(&self) -> Self {
        LocalHandle { shared: self.shared.clone() }
    }
}

impl<E: Debug, B> LocalHandle<E, B> {
    /// Spawns a child: it runs in the task of the nursery, in turn with the body and its siblings, and may borrow from outside
    /// the nursery.
    ///
    /// Everything else is as in [`Nursery::spawn`](crate::Nursery::spawn).
    ///
    /// # Panics
    ///
    /// If the nursery has ended; see [`try_spawn`](LocalHandle::try_spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use foster::{LocalNursery, local_nursery};
    ///
    /// # foster_sim::run(1, async {
    /// let names = vec!["ann".to_owned(), "bob".to_owned()];
    /// let Ok(total) = local_nursery(async |n: LocalNursery<'_>| {
    ///     let mut tasks = Vec::new();
    ///     for name in &names {
    ///         tasks.push(n.spawn(async move { Ok(name.len()) }));
    ///     }
    ///     let mut total = 0;
    ///     for task in tasks {
    ///         total += task.await.unwrap();
    ///     }
    ///     Ok(total)
    /// })
    /// .await;
    /// assert_eq!(total, 6);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<T, R, F>(&self, future: F) -> Task<T>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        B: Holds<LocalChild<T, E, F, B>>,
    {
        self.child().spawn(future)
    }

    /// As [`spawn`](LocalHandle::spawn), but a nursery that has ended gives the future back.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the future, not polled, if the nursery has ended, or its future is gone.
    #[track_caller]
    pub fn try_spawn<T, R, F>(&self, future: F) -> Result<Task<T>, SpawnError<F>>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        B: Holds<LocalChild<T, E, F, B>>,
    {
        self.child().try_spawn(future)
    }

    /// Spawns a child that does not keep the nursery: it is cancelled when only daemons are left (law L24).
    ///
    /// # Panics
    ///
    /// If the nursery has ended.
    #[track_caller]
    pub fn spawn_daemon<T, R, F>(&self, future: F) -> Task<T>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        B: Holds<LocalChild<T, E, F, B>>,
    {
        self.child().daemon().spawn(future)
    }

    /// Waits until fewer children than the nursery's limit run, then spawns this one; see
    /// [`Nursery::spawn_limited`](crate::Nursery::spawn_limited).
    ///
    /// # Cancellation
    ///
    /// *Strict*: before the child is spawned, nothing has happened, and the future is dropped.
    ///
    /// # Panics
    ///
    /// If the nursery has ended.
    #[expect(clippy::async_yields_async, reason = "waits for the place, not for the child")]
    #[track_caller]
    pub fn spawn_limited<T, R, F>(&self, future: F) -> impl Future<Output = Task<T>> + use<T, R, F, E, B>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        B: Holds<LocalChild<T, E, Limited<F>, B>>,
    {
        let nursery = self.clone();
        let admitted = Limited::admitted(Box::pin(future), self.shared.errors.limit.clone());
        let location = Location::caller();
        async move {
            let child = admitted.await;
            let name = Some(Cow::Borrowed(std::any::type_name::<F>()));
            LocalChildOptions { nursery: &nursery, name, daemon: false, location }.spawn(child)
        }
    }

    /// Begins a child with settings of its own.
    #[track_caller]
    pub fn child(&self) -> LocalChildOptions<'_, E, B> {
        LocalChildOptions { nursery: self, name: None, daemon: false, location: Location::caller() }
    }

    /// Asks all children that are present to stop; see [`Nursery::cancel_children`](crate::Nursery::cancel_children).
    #[track_caller]
    pub fn cancel_children(&self, reason: impl Into<Reason>) -> usize {
        self.cancel_children_within(Duration::ZERO, reason)
    }

    /// As [`cancel_children`](LocalHandle::cancel_children), with a grace for [`graceful`](crate::graceful) shields inside
    /// them.
    #[track_caller]
    pub fn cancel_children_within(&self, grace: Duration, reason: impl Into<Reason>) -> usize {
        let reason = current::signed(reason.into());
        let children = self.children();
        children.iter().filter(|child| child.request(reason.clone(), Some(grace))).count()
    }

    /// How many children have not ended, daemons included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.node.lock().children.tasks()
    }

    /// Whether all children have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the nursery has ended, and takes no further children.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.node.life() == Life::Closed
    }

    /// The name of the nursery.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.node.origin.name().to_owned()
    }

    fn children(&self) -> Vec<NodeRef> {
        let state = self.shared.node.lock();
        let tasks = state.children.iter().filter(|(role, _)| matches!(role, Role::Child | Role::Daemon));
        tasks.map(|(_, node)| node.clone()).collect()
    }
}

impl<E, B> fmt::Debug for LocalHandle<E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.node.lock();
        f.debug_struct("LocalNursery")
            .field("scope", &self.shared.node.origin)
            .field("life", &state.life)
            .field("request", &state.request().map(|request| &request.reason))
            .finish()
    }
}

/// The settings of a local child that is about to be spawned; made by [`LocalHandle::child`].
#[must_use = "nothing is spawned yet"]
pub struct LocalChildOptions<'a, E, B> {
    nursery: &'a LocalHandle<E, B>,
    name: Option<Cow<'static, str>>,
    daemon: bool,
    location: &'static Location<'static>,
}

impl<E: Debug, B> LocalChildOptions<'_, E, B> {
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

    /// Spawns the child; see [`LocalHandle::spawn`].
    ///
    /// # Panics
    ///
    /// If the nursery has ended.
    #[track_caller]
    pub fn spawn<T, R, F>(self, future: F) -> Task<T>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        B: Holds<LocalChild<T, E, F, B>>,
    {
        match self.try_spawn(future) {
            Ok(task) => task,
            Err(error) => panic!(
                "{error}: its body is over and no child is left, or its future was dropped. Usual cause: a handle was kept \
                 beyond the end of the nursery. `try_spawn` gives the future back instead"
            ),
        }
    }

    /// Spawns the child; see [`LocalHandle::try_spawn`].
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the future, not polled, if the nursery has ended, or its future is gone.
    pub fn try_spawn<T, R, F>(self, future: F) -> Result<Task<T>, SpawnError<F>>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        B: Holds<LocalChild<T, E, F, B>>,
    {
        let name = self.name.unwrap_or(Cow::Borrowed(std::any::type_name::<F>()));
        let role = if self.daemon { Role::Daemon } else { Role::Child };
        child::spawn_with(&self.nursery.shared, None, Origin::new(name, self.location), role, future, |_| {})
    }
}

impl<E, B> fmt::Debug for LocalChildOptions<'_, E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalChildOptions")
            .field("name", &self.name)
            .field("daemon", &self.daemon)
            .finish_non_exhaustive()
    }
}
