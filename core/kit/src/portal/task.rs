//! The types that sync code gets from a portal: handles of tasks, and errors.

use std::fmt;
use std::io;

use foster_channel::OneshotReceiver;
use foster_core::Task;
use foster_core::error::JoinError;
use foster_core::nursery::TaskStatus;
use foster_core::scope::Reason;
use foster_core::thread::block_on;

/// A task that was spawned or started through a [`Portal`](super::Portal), for threads: wait for its value, or cancel
/// it.
///
/// Dropping it does nothing.
pub struct PortalTask<T> {
    task: Task<()>,
    output: OneshotReceiver<T>,
}

impl<T> PortalTask<T> {
    pub(super) fn new(task: Task<()>, output: OneshotReceiver<T>) -> Self {
        PortalTask { task, output }
    }

    /// Blocks the calling thread until the task has ended, and returns its value.
    ///
    /// # Errors
    ///
    /// * [`PortalError::Cancelled`]: the task was cancelled, by this handle or with the portal.
    /// * [`PortalError::Panicked`]: it has panicked; the panic itself resumes where the host is awaited.
    ///
    /// # Panics
    ///
    /// In a task, or in other code of a tree.
    #[track_caller]
    pub fn join(mut self) -> Result<T, PortalError> {
        join(self.task)?;
        match self.output.try_recv() {
            Ok(value) => Ok(value),
            Err(_) => unreachable!("a task that has ended well has sent its value"),
        }
    }

    /// Asks the task to stop; also one that has not begun, or whose portal is closed. Returns whether that changed
    /// anything.
    #[track_caller]
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.task.cancel(reason)
    }

    /// How far the task has come.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        self.task.status()
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl<T> fmt::Debug for PortalTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PortalTask").field(&self.task).finish()
    }
}

/// Blocks the calling thread until the task has ended.
#[track_caller]
pub(super) fn join<T>(mut task: Task<T>) -> Result<T, PortalError> {
    let outcome = block_on(&mut task);
    outcome.map_err(|error| match error {
        JoinError::Panicked => PortalError::Panicked,
        _ => PortalError::Cancelled(task.reason()),
    })
}

/// A portal has no value to give.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PortalError {
    /// The portal is closed, or its host is gone: nothing is let in.
    Closed,
    /// The task was cancelled; with the reason, if it was asked for by its own handle.
    Cancelled(Option<Reason>),
    /// The task has panicked.
    Panicked,
}

impl fmt::Display for PortalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortalError::Closed => f.write_str("the portal is closed"),
            PortalError::Cancelled(Some(reason)) => write!(f, "the task of the portal was cancelled: {reason}"),
            PortalError::Cancelled(None) => f.write_str("the task of the portal was cancelled with it"),
            PortalError::Panicked => f.write_str("the task of the portal panicked; the panic resumes at its host"),
        }
    }
}

impl std::error::Error for PortalError {}

impl From<PortalError> for io::Error {
    fn from(error: PortalError) -> Self {
        io::Error::other(error)
    }
}

/// A task of [`Portal::start`](super::Portal::start) did not get ready.
#[derive(Debug)]
#[non_exhaustive]
pub enum PortalStartError<T> {
    /// It has ended without having said that it is ready, or said so when the portal had cancelled it, and returned this.
    NotReady(T),
    /// The portal is closed, or has cancelled it before it returned anything.
    Portal(PortalError),
}

impl<T> fmt::Display for PortalStartError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortalStartError::NotReady(_) => {
                f.write_str("the task of the portal ended without having said that it is ready")
            }
            PortalStartError::Portal(error) => error.fmt(f),
        }
    }
}

impl<T: fmt::Debug> std::error::Error for PortalStartError<T> {}

impl<T> From<PortalError> for PortalStartError<T> {
    fn from(error: PortalError) -> Self {
        PortalStartError::Portal(error)
    }
}

impl<T: fmt::Debug + Send + Sync + 'static> From<PortalStartError<T>> for io::Error {
    fn from(error: PortalStartError<T>) -> Self {
        io::Error::other(error)
    }
}
