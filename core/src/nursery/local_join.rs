//! The result of a local child, for its handle.

use std::sync::PoisonError;
use std::task::Waker;

use super::handle::Slotted;
use super::local_cell::LocalCell;
use crate::error::JoinError;
use crate::observer::TaskStatus;
use crate::raw::{Room, Share};
use crate::reason::Origin;
use crate::sys::{Mutex, MutexGuard};
use crate::tree::flags::ORPHANED;
use crate::tree::node::{Cell, Node, NodeRef};
use crate::tree::place::Place;
use crate::tree::quiet::drop_quietly;

/// The child's, or the handle's. Whoever waits for it leaves a waker in the node, which may be closed without a result (L28, L41).
pub(crate) struct LocalJoin<T>(Share<Node, dyn Cell, LocalCell, Slot<T>>);

/// It lies beside the child's node, in the same block: the value may borrow, a node may not.
struct Slot<T>(Mutex<Inner<T>>);

struct Inner<T> {
    outcome: Slotted<T>,
    /// Whoever waits for it has left a waker.
    watched: bool,
}

impl<T> LocalJoin<T> {
    /// The node of a child, made for its place; room for its body, and both of these.
    pub(crate) fn lodge<P>(
        place: Place,
        origin: Origin,
        cell: LocalCell,
    ) -> (NodeRef, Room<Node, dyn Cell, P>, [Self; 2]) {
        let slot = Slot(Mutex::new(Inner { outcome: Slotted::Empty, watched: false }));
        let (node, room, shares) = Node::lodging(place, origin, cell, slot);
        (node, room, shares.map(LocalJoin))
    }

    pub(crate) fn node(&self) -> &NodeRef {
        self.0.block()
    }

    pub(crate) fn cell(&self) -> &LocalCell {
        self.0.cell()
    }

    /// Locks the outcome, which a child has, too, that was closed without its future.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        let lost = self.node().flagged(ORPHANED);
        let mut inner = self.0.result().0.lock().unwrap_or_else(PoisonError::into_inner);
        if lost && matches!(inner.outcome, Slotted::Empty) {
            inner.outcome = Slotted::Error(JoinError::Cancelled);
        }
        inner
    }

    /// Sets the outcome, unless there is one. Says whether somebody waits for it, and is to be [told](LocalCell::tell).
    pub(crate) fn set(&self, outcome: Result<T, JoinError>) -> bool {
        let mut inner = self.lock();
        if matches!(inner.outcome, Slotted::Empty) {
            inner.outcome = outcome.into();
            return inner.watched;
        }
        drop(inner);
        drop_quietly(outcome);
        false
    }

    /// How the child has ended, if it has.
    pub(super) fn status(&self) -> Option<TaskStatus> {
        self.lock().outcome.status()
    }

    #[track_caller]
    pub(super) fn take(&self) -> Option<Result<T, JoinError>> {
        self.lock().outcome.take()
    }

    /// Keeps the waker of a handle that has found no result. Says whether there is one by now.
    pub(super) fn watch(&self, waker: &Waker) -> bool {
        self.cell().watch(waker);
        // Ordering: an outcome that is not seen here finds the waker. So does the loss of the child.
        let mut inner = self.lock();
        inner.watched = inner.outcome.status().is_none();
        let ended = !inner.watched;
        drop(inner);
        if ended {
            self.cell().watch_no_more();
        }
        ended
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).outcome.drop_quietly();
    }
}
