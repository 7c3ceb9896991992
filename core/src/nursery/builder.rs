//! The settings of a child.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;

use super::handle::Nursery;
use super::kind::{Parallel, Spawns};
use super::outcome::Outcome;
use super::task::Task;
use crate::errors::SpawnError;
use crate::reason::Origin;
use crate::tree::children::Role;

/// The settings of a child that is about to be spawned; made by [`Nursery::child`].
#[must_use = "nothing is spawned yet"]
pub struct TaskBuilder<'a, E = Infallible, K = Parallel> {
    nursery: &'a Nursery<E, K>,
    name: Option<Cow<'static, str>>,
    daemon: bool,
    location: &'static Location<'static>,
}

impl<'a, E, K> TaskBuilder<'a, E, K> {
    pub(super) fn new(nursery: &'a Nursery<E, K>, location: &'static Location<'static>) -> Self {
        TaskBuilder { nursery, name: None, daemon: false, location }
    }

    /// Names the child. By default it bears the path of the function in which its future was written.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the place where the child was spawned, for code that spawns in the name of its own caller. By default it is
    /// the call of [`Nursery::child`].
    pub fn spawned_at(mut self, location: &'static Location<'static>) -> Self {
        self.location = location;
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
    /// If the nursery has ended; but not if it was cut off with its host.
    #[track_caller]
    pub fn spawn<T, R, F>(self, future: F) -> Task<T>
    where
        R: Outcome<T, E>,
        F: Future<Output = R>,
        K: Spawns<E, T, F>,
    {
        let (nursery, location) = (self.nursery, self.location);
        match self.try_spawn(future) {
            Ok(task) => task,
            // L30: code on another thread runs on to its next operation, in a tree that is gone.
            Err(_) if nursery.kind.node().is_shut_down() => Task::cut_off(nursery.kind.node(), location),
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
        R: Outcome<T, E>,
        F: Future<Output = R>,
        K: Spawns<E, T, F>,
    {
        let name = self.name.unwrap_or(Cow::Borrowed(std::any::type_name::<F>()));
        let origin = Origin::new(name, self.location);
        let role = if self.daemon { Role::Daemon } else { Role::Child };
        self.nursery.kind.spawn_with(origin, role, future)
    }
}

impl<E, K> fmt::Debug for TaskBuilder<'_, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder").field("name", &self.name).field("daemon", &self.daemon).finish_non_exhaustive()
    }
}
