//! Shows the tasks of a tree, and its other scopes if asked, to the `tracing` crate: a span for each, entered while it
//! is polled, and events for what has no caller.
//!
//! | in the tree | for `tracing`, all with the target `foster` |
//! |---|---|
//! | a task of a nursery | a span `task` at level `INFO`, with `task.name`, `task.file` and `task.line`; its parent is the task whose nursery it is in, or the span that was current when the observer was made |
//! | a poll of it | the span is entered, and left: events in the task's code belong to it |
//! | its end | the span is closed; where a poll of it is still going on, on another thread, at the end of that |
//! | with [`Tracing::scopes`]: any other scope | a span `scope` at level `DEBUG`, with `scope.kind`, `scope.name`, `scope.file` and `scope.line`, entered while code runs in it; the parent of each span is then the scope around it. The closure of a blocking job runs on a thread that is in no span: hand it `Span::current()` |
//! | an error without a caller ([`Observer::orphan`]) | an event at level `ERROR`; printed to standard error, if no subscriber wants it and no other observer is told |
//! | a host that was dropped ([`Observer::host_dropped`]) | an event at level `WARN` |
//!
//! It is an [`Observer`], to be given to a tree like any other; so it changes nothing in the tree, and a tree without
//! it pays nothing. The subscriber that the program has installed gets the spans.
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
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foster::observer::{
    HostDropped, ObservedScope, ObservedTask, Observer, Orphan, PrintOrphans, ScopeEvent, TaskEvent,
};
use foster::scope::Origin;
use tracing::{Level, Span};

/// How a task or scope is shown. Cloning a span calls the subscriber, so the map has it in an [`Arc`].
enum Shown {
    Span(Span),
    /// The subscriber does not want it; what is inside belongs to the span around it.
    Not(Span),
}

/// A task, or scope, that has not ended; or that has, while code still runs in it.
struct Open {
    shown: Arc<Shown>,
    /// How often its span was entered, and has not been left yet.
    entered: usize,
    /// It was dropped from outside in the middle of a pair: the last `leave` removes it.
    ended: bool,
}

/// The observer that shows a tree to `tracing`.
pub struct Tracing {
    root: Span,
    /// Whether every scope has a span, not only tasks.
    scopes: bool,
    /// The tasks, or scopes, that have not ended, and those that have not been left yet.
    spans: Mutex<HashMap<u64, Open>>,
    next: Option<Arc<dyn Observer>>,
}

impl Tracing {
    /// Tasks without a parent get the span that is current now.
    #[must_use]
    pub fn new() -> Self {
        Tracing { root: Span::current(), scopes: false, spans: Mutex::default(), next: None }
    }

    /// Shows every scope, not only tasks: nurseries, timeouts, shields, brackets, blocking jobs and finalizers. Where
    /// the subscriber wants no `DEBUG` spans of `foster`, tasks have the spans of the tasks around them as parents, as
    /// without this.
    ///
    /// Each scope costs a span then, and more than it does otherwise; see [`Observer::follows_scopes`].
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_tracing::Tracing;
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// foster_sim::Builder::new(1).observer(Arc::new(Tracing::new().scopes())).run(async {
    ///     foster::fail_after(Duration::from_secs(1), async { tracing::info!("in the span of the timeout") }).await.unwrap();
    /// });
    /// ```
    #[must_use]
    pub fn scopes(mut self) -> Self {
        self.scopes = true;
        self
    }

    /// Hands everything on to another observer, such as a [`PollWatch`](foster::observer::PollWatch), which is told first.
    #[must_use]
    pub fn before(mut self, next: Arc<dyn Observer>) -> Self {
        self.next = Some(next);
        self
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The span that what is in this scope belongs to.
    fn above(&self, parent: Option<u64>) -> Span {
        let shown = parent.and_then(|id| self.lock().get(&id).map(|open| open.shown.clone()));
        match shown.as_deref() {
            Some(Shown::Span(span) | Shown::Not(span)) => span.clone(),
            None => self.root.clone(),
        }
    }

    fn begin_task(&self, id: u64, parent: Option<u64>, origin: &Origin) {
        let above = self.above(parent);
        let location = origin.location();
        let span = tracing::span!(
            target: "foster",
            parent: &above,
            Level::INFO,
            "task",
            task.name = origin.name(),
            task.file = location.file(),
            task.line = location.line(),
        );
        self.begin(id, span, above);
    }

    fn begin_scope(&self, scope: &ObservedScope<'_>, parent: Option<u64>) {
        let above = self.above(parent);
        let location = scope.origin.location();
        let span = tracing::span!(
            target: "foster",
            parent: &above,
            Level::DEBUG,
            "scope",
            scope.kind = scope.kind,
            scope.name = scope.origin.name(),
            scope.file = location.file(),
            scope.line = location.line(),
        );
        self.begin(scope.id, span, above);
    }

    fn begin(&self, id: u64, span: Span, above: Span) {
        let shown = if span.is_disabled() { Shown::Not(above) } else { Shown::Span(span) };
        let old = self.lock().insert(id, Open { shown: Arc::new(shown), entered: 0, ended: false });
        drop(old);
    }

    fn enter(&self, id: u64) {
        let shown = self.lock().get_mut(&id).map(|open| {
            open.entered += 1;
            open.shown.clone()
        });
        if let Some(Shown::Span(span)) = shown.as_deref() {
            // Left by `leave`, on the same thread: a guard could not be kept in between.
            span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
        }
    }

    fn leave(&self, id: u64) {
        if let Some(Shown::Span(span)) = self.left(id).as_deref() {
            span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
        }
    }

    /// Counts that a task or scope is left, and returns how it is shown. If it has ended meanwhile, and this was the
    /// last time, it is removed.
    fn left(&self, id: u64) -> Option<Arc<Shown>> {
        let mut spans = self.lock();
        let open = spans.get_mut(&id)?;
        open.entered = open.entered.saturating_sub(1);
        if open.ended && open.entered == 0 {
            return spans.remove(&id).map(|open| open.shown);
        }
        Some(open.shown.clone())
    }

    /// Removes a task or scope; `leave` does that where code still runs in it, and has to find the span.
    fn end(&self, id: u64) {
        let mut spans = self.lock();
        let removed = match spans.get_mut(&id) {
            Some(open) if open.entered > 0 => {
                open.ended = true;
                None
            }
            _ => spans.remove(&id),
        };
        drop(spans);
        drop(removed);
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Tracing::new()
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("open", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Observer for Tracing {
    fn orphan(&self, orphan: &Orphan<'_>) {
        match &self.next {
            // First, here and below: a subscriber may panic.
            Some(next) => next.orphan(orphan),
            // No error may go unseen.
            None if !tracing::event_enabled!(target: "foster", Level::ERROR) => PrintOrphans.orphan(orphan),
            None => {}
        }
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
    }

    fn host_dropped(&self, report: &HostDropped) {
        if let Some(next) = &self.next {
            next.host_dropped(report);
        }
        if report.tasks + report.finalizers > 0 {
            let (tasks, finalizers) = (report.tasks, report.finalizers);
            tracing::event!(target: "foster", Level::WARN, tasks, finalizers, "{report}");
        }
    }

    fn follows_tasks(&self) -> bool {
        !self.scopes || self.next.as_ref().is_some_and(|next| next.follows_tasks())
    }

    fn task(&self, task: &ObservedTask<'_>, event: TaskEvent) {
        if let Some(next) = self.next.as_ref().filter(|next| next.follows_tasks()) {
            next.task(task, event);
        }
        if !self.scopes {
            match event {
                TaskEvent::Spawned { parent } => self.begin_task(task.id, parent, task.origin),
                TaskEvent::PollBegins => self.enter(task.id),
                TaskEvent::PollEnds { .. } => self.leave(task.id),
                TaskEvent::Ended { .. } => self.end(task.id),
                _ => {}
            }
        }
    }

    fn follows_scopes(&self) -> bool {
        self.scopes || self.next.as_ref().is_some_and(|next| next.follows_scopes())
    }

    fn scope(&self, scope: &ObservedScope<'_>, event: ScopeEvent) {
        if let Some(next) = self.next.as_ref().filter(|next| next.follows_scopes()) {
            next.scope(scope, event);
        }
        if self.scopes {
            match event {
                ScopeEvent::Opened { parent } if scope.kind == "task" => {
                    self.begin_task(scope.id, parent, scope.origin)
                }
                ScopeEvent::Opened { parent } => self.begin_scope(scope, parent),
                ScopeEvent::Entered => self.enter(scope.id),
                ScopeEvent::Left => self.leave(scope.id),
                ScopeEvent::Closed => self.end(scope.id),
                _ => {}
            }
        }
    }
}
