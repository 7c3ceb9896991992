//! Shows the tasks of a tree to the `tracing` crate: a span for each, entered while it is polled, and events for what has no
//! caller.
//!
//! | in the tree | for `tracing`, all with the target `foster` |
//! |---|---|
//! | a task of a nursery | a span `task` at level `INFO`, with `task.name`, `task.file` and `task.line`; its parent is the task whose nursery it is in, or the span that was current when the observer was made |
//! | a poll of it | the span is entered, and left: events in the task's code belong to it |
//! | its end | the span is closed |
//! | an error without a caller ([`Observer::orphan`]) | an event at level `ERROR` |
//! | a host that was dropped ([`Observer::host_dropped`]) | an event at level `WARN` |
//!
//! It is an [`Observer`], to be given to a tree like any other; so it changes nothing in the tree, and a tree without it pays
//! nothing. Whatever subscriber the program has installed gets the spans.
//!
//! # Examples
//!
//! ```
//! use foster_tracing::Tracing;
//! use std::sync::Arc;
//!
//! // The builders of the other adapters have this method, too.
//! foster_sim::Builder::new(1).observer(Arc::new(Tracing::new())).run(async {
//!     let Ok(()) = foster::nursery(async |n: foster::Nursery| {
//!         n.child().named("worker").spawn(async { tracing::info!("in the span of the worker") });
//!     })
//!     .await;
//! });
//! ```
//!
//! # When not to use it
//!
//! To look at a tree once, [`foster::dump`] is enough, and needs no subscriber.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foster::{HostDropped, ObservedTask, Observer, Orphan, TaskEvent};
use tracing::{Level, Span};

/// The observer that shows a tree to `tracing`.
pub struct Tracing {
    root: Span,
    /// The spans of the tasks that have not ended.
    spans: Mutex<HashMap<u64, Span>>,
    next: Option<Arc<dyn Observer>>,
}

impl Tracing {
    /// Tasks without a parent get the span that is current now.
    #[must_use]
    pub fn new() -> Self {
        Tracing { root: Span::current(), spans: Mutex::default(), next: None }
    }

    /// Hands everything on to another observer, such as a [`PollWatch`](foster::PollWatch).
    #[must_use]
    pub fn before(mut self, next: Arc<dyn Observer>) -> Self {
        self.next = Some(next);
        self
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The span of a task, cloned: no lock is held while the subscriber runs.
    fn span(&self, id: u64) -> Option<Span> {
        self.lock().get(&id).cloned()
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Tracing::new()
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("tasks", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Observer for Tracing {
    fn orphan(&self, orphan: &Orphan<'_>) {
        let origin = orphan.origin;
        tracing::event!(
            target: "foster",
            Level::ERROR,
            origin.name = origin.name(),
            origin.file = origin.location().file(),
            origin.line = origin.location().line(),
            kind = ?orphan.kind,
            "{orphan}"
        );
        if let Some(next) = &self.next {
            next.orphan(orphan);
        }
    }

    fn host_dropped(&self, report: &HostDropped) {
        if report.tasks + report.finalizers > 0 {
            let (tasks, finalizers) = (report.tasks, report.finalizers);
            tracing::event!(target: "foster", Level::WARN, tasks, finalizers, "{report}");
        }
        if let Some(next) = &self.next {
            next.host_dropped(report);
        }
    }

    fn follows_tasks(&self) -> bool {
        true
    }

    fn task(&self, task: &ObservedTask<'_>, event: TaskEvent) {
        match event {
            TaskEvent::Spawned { parent } => {
                let above = parent.and_then(|id| self.span(id)).unwrap_or_else(|| self.root.clone());
                let location = task.origin.location();
                let span = tracing::span!(
                    target: "foster",
                    parent: &above,
                    Level::INFO,
                    "task",
                    task.name = task.origin.name(),
                    task.file = location.file(),
                    task.line = location.line(),
                );
                let old = self.lock().insert(task.id, span);
                drop(old);
            }
            TaskEvent::PollBegins => {
                if let Some(span) = self.span(task.id) {
                    // Left by `PollEnds`, on the same thread: a guard could not be kept in between.
                    span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
                }
            }
            TaskEvent::PollEnds { .. } => {
                if let Some(span) = self.span(task.id) {
                    span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
                }
            }
            TaskEvent::Ended => {
                let span = self.lock().remove(&task.id);
                drop(span);
            }
            _ => {}
        }
        if let Some(next) = self.next.as_ref().filter(|next| next.follows_tasks()) {
            next.task(task, event);
        }
    }
}
