//! The error types of scopes and tasks.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;

use crate::reason::{Origin, Reason};

/// The outcome of a [`CancelScope`](crate::CancelScope) whose own cancellation was delivered.
///
/// Only the owner of the scope sees it: the code inside was dropped, and code in scopes further out that are cancelled
/// never goes on to see it either (law L18). So there is nothing to swallow, and no need for a variant in your own
/// error types; it converts into [`io::Error`] where one is wanted.
#[derive(Clone, Debug)]
pub struct Cancelled {
    reason: Reason,
    scope: Origin,
}

impl Cancelled {
    pub(crate) fn new(reason: Reason, scope: Origin) -> Self {
        Cancelled { reason, scope }
    }

    /// Why the scope was cancelled.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The name of the scope, and where it was made.
    #[must_use]
    pub fn scope(&self) -> &Origin {
        &self.scope
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was cancelled: {}", self.scope, self.reason)
    }
}

impl std::error::Error for Cancelled {}

impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        io::Error::new(io::ErrorKind::Interrupted, cancelled)
    }
}

/// The time given to [`fail_after`](crate::fail_after) or [`fail_at`](crate::fail_at) was over before the future was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elapsed {
    location: &'static Location<'static>,
}

impl Elapsed {
    /// The time limit that was set there is over; for operations that have a limit of their own.
    #[must_use]
    pub fn new(location: &'static Location<'static>) -> Self {
        Elapsed { location }
    }

    /// Where the limit was set.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the time limit set at {} has passed", self.location)
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Awaiting a [`Task`](crate::Task) gave no value, or [starting](crate::Nursery::start) one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The task was cancelled.
    Cancelled,
    /// The task failed. The error itself is its nursery's; this names the task, and has the error as text.
    Failed(TaskFailure),
    /// The task panicked. The panic itself resumes at the end of its nursery.
    Panicked,
    /// A child of [`Nursery::start`](crate::Nursery::start) ended without having said that it has started.
    NotStarted,
    /// The nursery in which a child was to be started has ended.
    NurseryClosed,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Cancelled => "the task was cancelled",
            JoinError::Failed(failure) => return failure.fmt(f),
            JoinError::Panicked => "the task panicked; the panic resumes at the end of its nursery",
            JoinError::NotStarted => "the child ended without having said that it has started",
            JoinError::NurseryClosed => "the nursery has ended; it takes no further tasks",
        })
    }
}

impl std::error::Error for JoinError {}

/// The failure of a task, for those who await its handle.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskFailure(Arc<Failure>);

/// Apart, as most tasks do not fail, and each has room for a failure.
#[derive(PartialEq, Eq)]
struct Failure {
    task: Origin,
    text: Arc<str>,
}

impl TaskFailure {
    pub(crate) fn new(task: Origin, text: Arc<str>) -> Self {
        TaskFailure(Arc::new(Failure { task, text }))
    }

    /// The name of the task, and where it was spawned.
    #[must_use]
    pub fn task(&self) -> &Origin {
        &self.0.task
    }

    /// The error, as its `Debug` prints it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl fmt::Debug for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFailure").field("task", self.task()).field("text", &self.text()).finish()
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} failed: {}", self.task(), self.text())
    }
}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        io::Error::other(error)
    }
}

impl From<JoinError> for String {
    fn from(error: JoinError) -> Self {
        error.to_string()
    }
}

/// The nursery was closed: the future comes back, not polled.
pub struct SpawnError<F> {
    future: F,
}

impl<F> SpawnError<F> {
    pub(crate) fn new(future: F) -> Self {
        SpawnError { future }
    }

    /// The future that was not spawned.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError").finish_non_exhaustive()
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the nursery has ended; it takes no further tasks")
    }
}

impl<F> std::error::Error for SpawnError<F> {}
