//! The job: what a runtime is given to poll.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::loss;
use super::node::{Life, NodeRef};
use crate::reason::Origin;

/// A task of a nursery, or a reaper that finishes a scope whose future was lost; given to
/// [`Runtime::spawn`](crate::runtime::Runtime::spawn).
///
/// It never panics. Dropping it before it is ready means that the runtime is being torn down: a task is then dropped as
/// by foreign code (law L26), and what a reaper was to finish is cut off (law L37).
#[must_use = "a job does nothing unless the runtime polls it"]
pub struct Job {
    node: Option<NodeRef>,
    /// A reaper, which finishes the scope; not a task, which is one.
    reaps: bool,
}

impl Job {
    pub(crate) fn task(node: NodeRef) -> Self {
        Job { node: Some(node), reaps: false }
    }

    pub(crate) fn reaper(node: NodeRef) -> Self {
        Job { node: Some(node), reaps: true }
    }

    fn origin(&self) -> Option<Origin> {
        self.node.as_ref().map(|node| node.origin.clone())
    }

    /// The name of the task, or of the scope that is reaped; by default the type name of its future.
    #[must_use]
    pub fn name(&self) -> String {
        self.origin().map_or_else(String::new, |origin| origin.name().to_owned())
    }

    /// Where the task was spawned, or the scope made.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.node.as_ref().map(|node| node.origin.location())
    }
}

impl Future for Job {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(node) = this.node.clone() else { return Poll::Ready(()) };
        let poll = if this.reaps { loss::reap(&node, cx) } else { node.cell.run(&mut this.node, cx) };
        if poll.is_ready() {
            this.node = None;
        }
        poll
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let Some(node) = self.node.take() else { return };
        if node.life() == Life::Closed {
            return;
        }
        if self.reaps {
            // The runtime is gone: what is left of the scope cannot be finished.
            loss::raze(&node);
            node.unlink();
        } else {
            let body = node.cell.seize();
            loss::driver_lost(&node, || drop(body));
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.reaps { "reaper of" } else { "task" };
        match self.origin() {
            Some(origin) => write!(f, "{what} {origin}"),
            None => f.write_str("finished job"),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({self})")
    }
}
