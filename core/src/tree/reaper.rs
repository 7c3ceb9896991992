//! The reaper: drives an abandoned scope to its end, for the parent that waits for it (L27). It is polled as a
//! [`Job`](super::job::Job), one for a scope.

use std::task::{Context, Poll, ready};

use super::abandon::end_reaped;
use super::drive::Driver;
use super::node::NodeRef;

/// Polls the reaper of an abandoned scope, whose body is over. Called by `Job::poll`; ready when the scope is closed.
pub(crate) fn reap(node: &NodeRef, cx: &mut Context<'_>) -> Poll<()> {
    let closed = ready!(node.drain(Driver::Reaper, cx));
    end_reaped(node, closed);
    Poll::Ready(())
}
