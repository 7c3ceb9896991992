//! A scope of which the core owns what is left to do: it goes on when its future is dropped, and is waited for (L21, L27).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::abandon::{self, OwnedBody};
use super::cancel_state::ShieldLevel;
use super::drive::{Driver, Step, poll_open};
use super::flags::ABANDONED;
use super::node::{Kind, Life, NodeRef, Owned, Payload};
use super::scope_future::{enter_tree, is_shut_down_or_panic};
use super::wake;
use crate::reason::Origin;

/// The future of a blocking job's scope: ready when the job has ended. Or of a scope whose body is over: ready when it is closed.
/// Gives the panic that was recorded, if there was one.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct OwnedScope {
    node: Option<NodeRef>,
    draining: bool,
}

impl OwnedScope {
    /// Hangs a full shield around `body` into the tree, below the scope of the code that calls this.
    pub(crate) fn enter(kind: Kind, origin: Origin, body: Owned) -> Self {
        let node = NodeRef::unattached(kind, ShieldLevel::Full, origin, None);
        node.lock().cold_mut().owned = Some(body);
        enter_tree(&node);
        OwnedScope { node: Some(node), draining: false }
    }

    /// The rest of a scope whose body is over.
    pub(crate) fn draining(node: NodeRef) -> Self {
        OwnedScope { node: Some(node), draining: true }
    }

    /// The rest of a scope whose body is over, and whose last finalizer was polled once, for this waker.
    pub(crate) fn finalizing(node: NodeRef, running: Owned, waker: &Waker) -> Self {
        let mut state = node.lock();
        if state.life == Life::Closed {
            // The host of the tree was dropped meanwhile (L30).
            drop(state);
            drop(running);
        } else {
            state.life = Life::Finalizing;
            state.cold_mut().running = Some(running);
            drop(state);
            node.register(Driver::Own, waker);
        }
        OwnedScope::draining(node)
    }

    pub(crate) fn node(&self) -> Option<&NodeRef> {
        self.node.as_ref()
    }
}

impl Future for OwnedScope {
    type Output = Option<Payload>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Payload>> {
        let this = &mut *self;
        let Some(node) = &this.node else { panic!("a blocking job was polled after it had returned") };
        if is_shut_down_or_panic(node) {
            return Poll::Pending;
        }
        if !this.draining {
            let mut body = OwnedBody(node.take_owned());
            let step = poll_open(node, Pin::new(&mut body), cx);
            if node.put_back_owned(body.0) && step == Step::Pending {
                return Poll::Pending;
            }
            this.draining = true;
        }
        let Poll::Ready(closed) = node.drain(Driver::Own, cx) else { return Poll::Pending };
        node.leave(closed.linked);
        this.node = None;
        Poll::Ready(closed.panic)
    }
}

impl Drop for OwnedScope {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            abandon::driver_dropped(&node, || {});
        }
    }
}

impl NodeRef {
    /// Takes the body out, for its own future to poll it.
    fn take_owned(&self) -> Option<Owned> {
        let mut state = self.lock();
        let cold = state.cold_mut();
        cold.polls_owned = true;
        cold.owned.take()
    }

    /// The poll is over. A scope that was lost meanwhile goes on with what is left (see [`Driver`]). Says whether the scope is still
    /// there; if not, the body is dropped.
    fn put_back_owned(&self, body: Option<Owned>) -> bool {
        let mut state = self.lock();
        state.cold_mut().polls_owned = false;
        if state.life == Life::Closed {
            drop(state);
            drop(body);
            return false;
        }
        state.cold_mut().owned = body;
        drop(state);
        if self.flagged(ABANDONED) {
            wake::wake(self);
        }
        true
    }
}

/// Whether the code that waits for this scope has been asked to stop, or is gone.
pub(crate) fn host_is_cancelled(node: &NodeRef) -> bool {
    if node.flagged(ABANDONED) {
        return true;
    }
    match (node.parent(), node.tree()) {
        (Some(parent), Some(tree)) => parent.is_cancelled(tree),
        _ => false,
    }
}
