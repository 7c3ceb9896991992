//! Where things go that have no caller left: errors of reaped scopes, later errors of a nursery, a host's early end.

use std::fmt;

use crate::reason::Origin;

/// Watches a tree. The methods have defaults that print to standard error, so that nothing is lost unseen.
///
/// Hooks are called without any lock held, on the thread where the event happens, sometimes inside `Drop`. A hook that
/// panics does not disturb the tree: the panic is caught after the process's panic hook has reported it.
pub trait Observer: Send + Sync + 'static {
    /// An error that no caller can receive. Each error arrives here, or in an outcome, or in a handle: never in two places.
    fn orphan(&self, orphan: &Orphan<'_>) {
        eprintln!("foster: {orphan}");
    }

    /// The future that hosts a tree was dropped before the tree had ended (law L30); or the tree has ended, but the runtime had
    /// refused to finish a part of it (law L37).
    fn host_dropped(&self, report: &HostDropped) {
        if report.tasks + report.finalizers > 0 {
            eprintln!("foster: {report}");
        }
    }
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
}

impl fmt::Display for Orphan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            OrphanKind::Later => "a further error in",
            OrphanKind::Finalizer => "error in a finalizer of",
            OrphanKind::Reaped => "error in abandoned",
            OrphanKind::Panicked => "error beside a panic in",
        };
        write!(f, "{what} {}: {:?}", self.origin, self.error)
    }
}

impl fmt::Debug for Orphan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Orphan({self})")
    }
}

/// What was cut off when the host of a tree was dropped, handed to [`Observer::host_dropped`].
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
