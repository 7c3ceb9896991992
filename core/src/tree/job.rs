//! The job: what a runtime is given to poll.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use super::Tree;
use super::abandon;
use super::node::{Life, NodeRef};
use crate::reason::Origin;
use crate::runtime::budget::with_budget;

/// Something to be polled: a task of a nursery, or a reaper that finishes a scope whose future was lost; given to [`Runtime::spawn`](crate::runtime::Runtime::spawn).
///
/// It never panics. Dropping it before it is ready means that the runtime is being torn down: tasks are then dropped as
/// by foreign code (law L26), and what a reaper was to finish is cut off (law L37).
#[must_use = "a job does nothing unless the runtime polls it"]
pub struct Job(Work);

enum Work {
    Task(NodeRef),
    Reaper(NodeRef),
    /// Waits for the end of the tree. If it is dropped before that, the runtime is gone (L30).
    Sentinel(Weak<Tree>),
    Over,
}

impl Job {
    /// A task, whose body lies in its node.
    pub(crate) fn task(node: NodeRef) -> Self {
        Job(Work::Task(node))
    }

    /// Tells `tree` if the runtime is torn down before it has ended.
    pub(crate) fn sentinel(tree: &Arc<Tree>) -> Self {
        Job(Work::Sentinel(Arc::downgrade(tree)))
    }

    pub(crate) fn reaper(node: NodeRef) -> Self {
        Job(Work::Reaper(node))
    }

    fn origin(&self) -> Option<&Origin> {
        match &self.0 {
            Work::Task(node) | Work::Reaper(node) => Some(&node.origin),
            Work::Sentinel(_) | Work::Over => None,
        }
    }

    /// The name of the task, or of the scope that is reaped; by default the type name of its future.
    #[must_use]
    pub fn name(&self) -> String {
        self.origin().map_or_else(String::new, |origin| origin.name().to_owned())
    }

    /// Where the task was spawned, or the scope made.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.origin().map(Origin::location)
    }
}

impl Future for Job {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let poll = with_budget(|| match &mut self.0 {
            Work::Task(node) => node.poll_task(cx),
            Work::Reaper(node) => abandon::reap(node, cx),
            Work::Sentinel(tree) => tree.upgrade().map_or(Poll::Ready(()), |tree| tree.poll_ended(cx)),
            Work::Over => Poll::Ready(()),
        });
        if poll.is_ready() {
            self.0 = Work::Over;
        }
        poll
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.0, Work::Over) {
            Work::Over => {}
            Work::Task(node) | Work::Reaper(node) if node.life() == Life::Closed => {}
            Work::Task(node) => abandon::driver_dropped(&node, || node.abandon_body()),
            Work::Sentinel(tree) => tree.upgrade().iter().for_each(|tree| tree.host_is_gone()),
            Work::Reaper(node) => {
                // The runtime is gone: what is left of the scope cannot be finished.
                abandon::shut_down(&node);
                node.unlink();
            }
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Work::Task(node) => write!(f, "task {}", node.origin),
            Work::Reaper(node) => write!(f, "reaper of {}", node.origin),
            Work::Sentinel(_) => f.write_str("sentinel of a tree"),
            Work::Over => f.write_str("finished job"),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({self})")
    }
}
