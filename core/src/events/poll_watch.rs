//! Reports of tasks that hold up others: polls that take long, and polls of tasks that were cancelled long before.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{HostDropped, ObservedScope, ObservedTask, Observer, Orphan, PrintOrphans, ScopeEvent, TaskEvent};
use crate::reason::Origin;

/// An observer that reports polls that take long, and tasks that are polled long after they were asked to stop; by
/// default on standard error.
///
/// A poll that takes long holds up the other tasks of its thread: it computes without a checkpoint, or blocks; such
/// code belongs in [`to_thread`](crate::to_thread). A task that does not end when it is cancelled computes without a
/// checkpoint, or stands in a shield. Each task is reported for that once.
///
/// It reports at the end of a poll. A task that is not polled again is not reported: one in a shield without an end,
/// behind a thread that hangs, or in a poll that never returns. [`dump`](crate::dump()) lists those.
///
/// It reads the clock twice a poll. A tree that no observer follows pays one load a poll.
///
/// # Examples
///
/// ```
/// use foster::observer::PollWatch;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// // The builders of the other adapters have these methods, too.
/// foster_sim::Builder::new(1).watch_polls(Duration::from_millis(10)).run(async {});
///
/// // Said in full:
/// let watch = PollWatch::new(Duration::from_millis(10)).patience(Duration::from_secs(2));
/// foster_sim::Builder::new(1).observer(Arc::new(watch)).run(async {});
/// ```
pub struct PollWatch {
    longest: Duration,
    patience: Duration,
    report: Box<dyn Fn(&PollReport<'_>) + Send + Sync>,
    next: Arc<dyn Observer>,
    /// Tasks that were reported for ignoring a cancel, and have not ended.
    told: Mutex<BTreeSet<u64>>,
}

/// A report of a [`PollWatch`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PollReport<'a> {
    /// A poll has taken longer than allowed.
    Slow {
        /// The task.
        task: &'a Origin,
        /// How long it took.
        took: Duration,
    },
    /// A task was asked to stop, and has not.
    IgnoresCancel {
        /// The task.
        task: &'a Origin,
        /// How long ago it was asked.
        since: Duration,
    },
}

impl fmt::Display for PollReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PollReport::Slow { task, took } => write!(f, "a poll of task {task} took {took:?}"),
            PollReport::IgnoresCancel { task, since } => {
                write!(f, "task {task} was cancelled {since:?} ago, and goes on")
            }
        }
    }
}

impl PollWatch {
    /// Reports polls that take longer than `longest`, and tasks that go on for ten seconds after a cancel.
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        PollWatch {
            longest,
            patience: Duration::from_secs(10),
            report: Box::new(|report| eprintln!("foster: {report}")),
            next: Arc::new(PrintOrphans),
            told: Mutex::default(),
        }
    }

    /// How long a task may go on after a cancel: the end of a poll after that is reported.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the function that gets the reports.
    #[must_use]
    pub fn on_report(mut self, report: impl Fn(&PollReport<'_>) + Send + Sync + 'static) -> Self {
        self.report = Box::new(report);
        self
    }

    /// Hands everything on to another observer; by default to [`PrintOrphans`].
    #[must_use]
    pub fn before(mut self, next: Arc<dyn Observer>) -> Self {
        self.next = next;
        self
    }
}

impl Observer for PollWatch {
    fn orphan(&self, orphan: &Orphan<'_>) {
        self.next.orphan(orphan);
    }

    fn host_dropped(&self, report: &HostDropped) {
        self.next.host_dropped(report);
    }

    fn follows_tasks(&self) -> bool {
        true
    }

    fn task(&self, task: &ObservedTask<'_>, event: TaskEvent) {
        match event {
            TaskEvent::PollEnds { took, cancelled_for } => {
                if took > self.longest {
                    (self.report)(&PollReport::Slow { task: task.origin, took });
                }
                if let Some(since) = cancelled_for.filter(|since| *since > self.patience) {
                    let first = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(task.id);
                    if first {
                        (self.report)(&PollReport::IgnoresCancel { task: task.origin, since });
                    }
                }
            }
            TaskEvent::Ended { .. } => {
                self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(&task.id);
            }
            TaskEvent::Spawned { .. } | TaskEvent::PollBegins => {}
        }
        if self.next.follows_tasks() {
            self.next.task(task, event);
        }
    }

    fn follows_scopes(&self) -> bool {
        self.next.follows_scopes()
    }

    fn scope(&self, scope: &ObservedScope<'_>, event: ScopeEvent) {
        self.next.scope(scope, event);
    }
}

impl fmt::Debug for PollWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollWatch")
            .field("longest", &self.longest)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
