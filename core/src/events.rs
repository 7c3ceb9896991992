//! Where things go that have no caller left: errors of reaped scopes, later errors of a nursery, a host's early end.

mod poll_watch;

use std::fmt;
use std::time::Duration;

use crate::reason::Origin;

pub use poll_watch::{PollReport, PollWatch};

/// Watches a tree. The methods have defaults that print to standard error, so that nothing is lost unseen.
///
/// Hooks are called without any lock held, on the thread where the event happens, sometimes inside `Drop`. A hook that
/// panics does not disturb the tree: the panic is caught after the process's panic hook has reported it.
pub trait Observer: Send + Sync + 'static {
    /// An error that no caller can receive. Each error arrives here, or in an outcome, or in a handle: never in two
    /// places.
    fn orphan(&self, orphan: &Orphan<'_>) {
        eprintln!("foster: {orphan}");
    }

    /// The future that hosts a tree was dropped before the tree had ended (law L30); or the tree has ended, but the
    /// runtime had refused to finish a part of it (law L37).
    fn host_dropped(&self, report: &HostDropped) {
        if report.tasks + report.finalizers > 0 {
            eprintln!("foster: {report}");
        }
    }

    /// Whether [`task`](Observer::task) is to be called. Asked once, at the first poll of the tree; while nobody follows, a
    /// poll costs the reading of one flag more.
    fn follows_tasks(&self) -> bool {
        false
    }

    /// Something has happened to a task of a nursery. For each task come [`Spawned`](TaskEvent::Spawned), then
    /// [`PollBegins`](TaskEvent::PollBegins) and [`PollEnds`](TaskEvent::PollEnds) in turns, each pair on one thread,
    /// then [`Ended`](TaskEvent::Ended); a task that was dropped from outside may end in the middle of a pair. Children
    /// of local nurseries are polled by the task around them, and counted as its own work.
    fn task(&self, _task: &ObservedTask<'_>, _event: TaskEvent) {}

    /// Whether [`scope`](Observer::scope) is to be called. Asked once, at the first poll of the tree. A tree whose
    /// scopes are followed makes every timeout and shield into a node of its tree, which costs an allocation and some
    /// locks more for each that would have been ready at once; while nobody follows, entering a scope costs the reading
    /// of one flag more.
    fn follows_scopes(&self) -> bool {
        false
    }

    /// Something has happened to a scope: the root, a task (of local nurseries, too), or one inside a task. For each
    /// come [`Opened`](ScopeEvent::Opened), then [`Entered`](ScopeEvent::Entered) and [`Left`](ScopeEvent::Left) in
    /// turns, each pair on one thread, then [`Closed`](ScopeEvent::Closed); a scope that was dropped from outside may
    /// be closed in the middle of a pair. Pairs of a scope stand within a pair of the scope around it, unless that has
    /// lost it. A scope is opened after the one around it, and closed before that, unless the host was dropped.
    fn scope(&self, _scope: &ObservedScope<'_>, _event: ScopeEvent) {}
}

/// A scope, as an [`Observer`] sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ObservedScope<'a> {
    /// Tells it from the other scopes that have not ended. It may be used again after that. A task has the same here
    /// and as an [`ObservedTask`].
    pub id: u64,
    /// Its kind, as in a [`DumpedScope`](crate::observer::DumpedScope): `task`, `nursery`, `shield`, …
    pub kind: &'static str,
    /// Its name, and where it was made.
    pub origin: &'a Origin,
}

/// An event of a scope; handed to [`Observer::scope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScopeEvent {
    /// It has got its place in the tree; a task has not run yet.
    Opened {
        /// The scope around it; none for the root.
        parent: Option<u64>,
    },
    /// This thread is about to run code in it: a poll of its body, a finalizer, or the drop of what is left.
    Entered,
    /// That is over for now.
    Left,
    /// Everything in it has ended.
    Closed,
}

/// A task, as an [`Observer`] sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ObservedTask<'a> {
    /// Tells it from the other tasks that have not ended. It may be used again after that.
    pub id: u64,
    /// Its name, and where it was spawned.
    pub origin: &'a Origin,
}

/// An event of a task; handed to [`Observer::task`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskEvent {
    /// It was spawned, and has not run yet.
    Spawned {
        /// The task whose nursery it is in; none if that stands directly in the root.
        parent: Option<u64>,
    },
    /// It is about to be polled.
    PollBegins,
    /// It was polled.
    PollEnds {
        /// How long that took, on the runtime's clock.
        took: Duration,
        /// How long ago it was asked to stop, if it was: by its own handle, or further out.
        cancelled_for: Option<Duration>,
    },
    /// Its scope is closed: everything in it has ended.
    Ended {
        /// How: [`Finished`](TaskStatus::Finished), [`Cancelled`](TaskStatus::Cancelled),
        /// [`Failed`](TaskStatus::Failed) or [`Panicked`](TaskStatus::Panicked), as its handle says.
        status: TaskStatus,
    },
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskStatus {
    /// It has not ended, and was not asked to.
    Running,
    /// It was asked to stop, by its handle or from further out, and has not ended yet.
    Cancelling,
    /// It has returned a value.
    Finished,
    /// It was cancelled.
    Cancelled,
    /// It has returned an error, which its nursery has.
    Failed,
    /// It has panicked.
    Panicked,
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// The observer of a tree that was given none: prints to standard error.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrintOrphans;

impl Observer for PrintOrphans {}

/// An error without a caller, handed to [`Observer::orphan`].
#[non_exhaustive]
pub struct Orphan<'a> {
    /// How it came to have no caller.
    pub kind: OrphanKind,
    /// The error.
    pub error: &'a dyn fmt::Debug,
    /// The task, nursery or finalizer that it comes from.
    pub origin: &'a Origin,
}

/// How an error came to have no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrphanKind {
    /// A fail-fast nursery returns its first error; this is a later one.
    Later,
    /// A finalizer returned an error: the scope's type has no place for it.
    Finalizer,
    /// The scope's future was dropped or leaked, so a reaper finished it.
    Reaped,
    /// A panic of the same scope took precedence.
    Panicked,
    /// Something has failed in a part of a program that goes on, such as one connection of a server, and nobody was
    /// named to be told.
    Incident,
    /// A waker has panicked when it was called: the error is the text of its panic. The origin is the scope whose code
    /// called it, which has nothing to do with the task that was to be woken, and goes on.
    Waker,
}

impl fmt::Display for Orphan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            OrphanKind::Later => "a further error in",
            OrphanKind::Incident => "error in",
            OrphanKind::Finalizer => "error in a finalizer of",
            OrphanKind::Reaped => "error in abandoned",
            OrphanKind::Panicked => "error beside a panic in",
            OrphanKind::Waker => "a waker has panicked that was called by",
        };
        write!(f, "{what} {}: {:?}", self.origin, self.error)
    }
}

impl fmt::Debug for Orphan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Orphan({self})")
    }
}

/// The counts of what was cut off when the host of a tree was dropped; handed to [`Observer::host_dropped`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostDropped {
    /// Tasks that had not ended.
    pub tasks: usize,
    /// Finalizers that had not run, or had not run to their end.
    pub finalizers: usize,
}

impl fmt::Display for HostDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the host of a tree was dropped: {} tasks and {} finalizers were cut off",
            self.tasks, self.finalizers
        )
    }
}
