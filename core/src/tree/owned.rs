//! A scope of which the core owns what is left to do: it goes on when its future is dropped, and is waited for (L21,
//! L27).
//!
//! It is a scope without a body, Finalizing from the beginning, and what it runs is in the node as a finalizer is: the
//! end of a blocking job (`thread/job_future.rs`), or the release of a bracket (`bracket.rs`). Its future is that of any
//! scope whose body is over; if it is dropped, a reaper drives the rest.

use std::future::Ready;

use super::flags::ABANDONED;
use super::node::{Kind, Life, NodeRef, Owned};
use super::scope_future::{Plain, ScopeFuture, enter_tree};
use crate::reason::Origin;

/// The future of such a scope. It is ready when the scope is Closed, with the value that the body has left.
pub(crate) type OwnedScope<V> = ScopeFuture<Ready<V>, V, V, Plain>;

/// Makes the scope of a blocking job, with a full shield around `rest`, below the scope of the code that calls this.
/// Panics outside of any tree.
///
/// What is to be run goes into the node before that has a place: once it is listed, a shut-down may come and take it.
pub(crate) fn enter_thread(origin: Origin, rest: Owned) -> NodeRef {
    let node = NodeRef::unattached(Kind::Thread, origin);
    node.finalize_with(rest);
    enter_tree(&node);
    node
}

impl NodeRef {
    /// Moves the scope to Finalizing, with a finalizer that has started. If the host of its tree was dropped
    /// meanwhile (L30), that is dropped, without a lock.
    pub(crate) fn finalize_with(&self, running: Owned) {
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

/// Returns whether the code that waits for this blocking job has been asked to stop, or is gone: what a job learns
/// when it asks whether it is still wanted. The parent is asked, because the job's own scope is shielded. No lock may
/// be held.
pub(crate) fn awaiter_is_cancelled(node: &NodeRef) -> bool {
    node.flagged(ABANDONED) || node.parent().is_some_and(|parent| parent.is_cancelled())
}
