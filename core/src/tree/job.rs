//! How the runtime polls a [`Job`], and what it means that it drops one.
//!
//! One type for all that the tree has the runtime do, so that an adapter has to know one future: a task, a reaper,
//! and the sentinel. The runtime polls it on any of its threads, one at a time (R3), and drops it when it is ready or
//! when the runtime is torn down (R2, R10). The drop of a job that is not ready is the one way in which the tree
//! learns that its host is gone:
//!
//! ```text
//!    dropped before it is ready:  Task ────▶ abandoned, as by foreign code (L26, L30.4)
//!                                 Reaper ──▶ nobody is left to finish the scope: shut_down of that subtree (L37)
//!                                 Sentinel ▶ the whole tree is shut down (L30.3)
//! ```

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::abandon;
use super::drive::Driver;
use super::node::{Life, NodeRef};
use super::shared::{Job, JobKind, Tree};
use crate::reason::Origin;
use crate::runtime::budget::with_budget;

impl Job {
    /// Makes the job of a task, which was admitted to its nursery.
    pub(crate) fn task(node: NodeRef) -> Self {
        Job(JobKind::Task(node))
    }

    /// Makes a job that tells `tree` if the runtime is torn down before the tree has ended. For roots that are polled
    /// by somebody else than their runtime.
    pub(crate) fn sentinel(tree: &Arc<Tree>) -> Self {
        Job(JobKind::Sentinel(Arc::downgrade(tree)))
    }

    /// Makes the reaper of an abandoned scope. Spawned under no lock: a runtime that is gone drops it at once (R2),
    /// and that shuts the scope down.
    pub(crate) fn reaper(node: NodeRef) -> Self {
        Job(JobKind::Reaper(node))
    }

    /// Returns the name and place of the scope that it polls, if there is one.
    fn origin(&self) -> Option<&Origin> {
        match &self.0 {
            JobKind::Task(node) | JobKind::Reaper(node) => Some(&node.origin),
            JobKind::Sentinel(_) | JobKind::Over => None,
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

    /// Does one turn of the work, with a new budget of operations (R9). It does not panic (R4): bodies are polled in
    /// `current::enter`, which catches.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let poll = with_budget(|| match &mut self.0 {
            JobKind::Task(node) => node.poll_task(cx),
            JobKind::Reaper(node) => node.drain(Driver::Reaper, cx).map(|closed| abandon::end_reaped(node, closed)),
            JobKind::Sentinel(tree) => match tree.upgrade().and_then(|tree| tree.root()) {
                Some(root) => root.poll_outcome(cx),
                None => Poll::Ready(()),
            },
            JobKind::Over => Poll::Ready(()),
        });
        // The node is given up at once, and not when the runtime drops the job, which may be much later.
        if poll.is_ready() {
            self.0 = JobKind::Over;
        }
        poll
    }
}

impl Drop for Job {
    /// Tells the tree that the runtime has dropped a job that was not ready. Runs on any thread, possibly unwinding;
    /// it does not panic (L37).
    fn drop(&mut self) {
        match std::mem::replace(&mut self.0, JobKind::Over) {
            JobKind::Over => {}
            // Closed by a shut-down: at the most the body is left, if that came at the end of its last poll.
            JobKind::Task(node) | JobKind::Reaper(node) if node.life() == Life::Closed => node.abandon_body(),
            // L26, L30.4: the task is lost as by foreign code.
            JobKind::Task(node) => abandon::driver_dropped(&node, || node.abandon_body()),
            JobKind::Sentinel(tree) => tree.upgrade().iter().for_each(|tree| tree.host_is_gone()),
            JobKind::Reaper(node) => {
                // The runtime is gone: what is left of the scope cannot be finished.
                abandon::shut_down(&node);
                node.place().iter().for_each(|place| node.leave(place));
            }
        }
    }
}

impl Tree {
    /// Shuts the tree down, because the runtime has dropped the sentinel, and takes no more jobs: nothing in the tree
    /// can end any more (L30). A root that is still polled by somebody is woken, to find that out. Called in the drop
    /// of that job, on any thread.
    ///
    /// Model: `races/scopes.rs`, `a_teardown_races_with_a_root_that_is_polled_elsewhere`.
    fn host_is_gone(&self) {
        // A root that was installed is polled by nobody, and never ends.
        let Some(root) = self.root().filter(|root| !root.polled.is_never()) else { return };
        if !self.is_shut_down() {
            // First the flag, then the shut-down, as in the drop of the root.
            self.begin_shut_down();
            abandon::shut_down(&root);
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            JobKind::Task(node) => write!(f, "task {}", node.origin),
            JobKind::Reaper(node) => write!(f, "reaper of {}", node.origin),
            JobKind::Sentinel(_) => f.write_str("sentinel of a tree"),
            JobKind::Over => f.write_str("finished job"),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({self})")
    }
}
