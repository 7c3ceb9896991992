//! A scope of which the core owns what is left to do: it goes on when its future is dropped, and is waited for (L21,
//! L27).
//!
//! It is a scope without a body, Finalizing from the beginning, and what it runs is in the node as a finalizer is: the
//! end of a blocking job (`thread/job_future.rs`), or the release of a bracket (`bracket.rs`). If the future is
//! dropped, a reaper drives the rest.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::abandon;
use super::cancel_state::ShieldLevel;
use super::drive::Driver;
use super::flags::ABANDONED;
use super::node::{Kind, Life, NodeRef, Owned};
use super::panic::Payload;
use super::scope_future::{enter_tree, is_shut_down_or_panic};
use crate::reason::Origin;

/// The future of such a scope: ready when it is closed. Its output is the panic that was recorded, if there was one,
/// for the caller to resume.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct OwnedScope {
    /// The scope; none when it has ended.
    node: Option<NodeRef>,
}

impl OwnedScope {
    /// Makes a scope with a full shield around `rest`, below the scope of the code that calls this. Panics outside of
    /// any tree.
    ///
    /// What is to be run goes into the node before that has a place: once it is listed, a shut-down may come and take
    /// it.
    pub(crate) fn enter(kind: Kind, origin: Origin, rest: Owned) -> Self {
        let node = NodeRef::unattached(kind, ShieldLevel::Full, origin, None);
        node.finalize_with(rest);
        enter_tree(&node);
        OwnedScope::draining(node)
    }

    /// Returns the future of a scope whose body is over: the rest of it.
    pub(crate) fn draining(node: NodeRef) -> Self {
        OwnedScope { node: Some(node) }
    }

    /// Returns the future of a scope whose body is over, and whose last finalizer was polled once, with this waker:
    /// nothing was opened in the scope but what the finalizer has.
    pub(crate) fn finalizing(node: NodeRef, running: Owned, waker: &Waker) -> Self {
        node.finalize_with(running);
        node.register(Driver::Own, waker);
        OwnedScope::draining(node)
    }

    /// Returns the scope, until it has ended.
    pub(crate) fn node(&self) -> Option<&NodeRef> {
        self.node.as_ref()
    }
}

impl NodeRef {
    /// Moves the scope to Finalizing, with a finalizer that has started. If the host of its tree was dropped
    /// meanwhile (L30), that is dropped, without a lock.
    fn finalize_with(&self, running: Owned) {
        let mut state = self.lock();
        if state.life == Life::Closed {
            drop(state);
            drop(running);
        } else {
            state.life = Life::Finalizing;
            state.cold_mut().running = Some(running);
        }
    }
}

impl Future for OwnedScope {
    type Output = Option<Payload>;

    /// Drains the scope. It has no value and no policy, and is never parked.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Payload>> {
        let Some(node) = &self.node else { panic!("a scope was polled after it had returned") };
        if is_shut_down_or_panic(node) {
            return Poll::Pending;
        }
        let closed = ready!(node.drain(Driver::Own, cx));
        node.leave(closed.linked);
        self.node = None;
        Poll::Ready(closed.panic)
    }
}

impl Drop for OwnedScope {
    fn drop(&mut self) {
        // L26: what is left stays in the node, and is driven by a reaper. Nothing of the user's is in this future, so
        // nothing is dropped here.
        if let Some(node) = self.node.take() {
            abandon::driver_dropped(&node, || {});
        }
    }
}

/// Returns whether the code that waits for this blocking job has been asked to stop, or is gone: what a job learns
/// when it asks whether it is still wanted. The parent is asked, because the job's own scope is shielded. No lock may
/// be held.
pub(crate) fn awaiter_is_cancelled(node: &NodeRef) -> bool {
    if node.flagged(ABANDONED) {
        return true;
    }
    match (node.parent(), node.tree()) {
        (Some(parent), Some(tree)) => parent.is_cancelled(tree),
        _ => false,
    }
}
