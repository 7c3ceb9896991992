//! The result of a local child, for its handle.

use std::sync::PoisonError;
use std::task::Waker;

use super::handle::Slotted;
use super::local_cell::LocalCell;
use crate::error::JoinError;
use crate::observer::TaskStatus;
use crate::sys::{Mutex, MutexGuard};
use crate::tree::node::{ORPHANED, Typed};
use crate::tree::quiet::drop_quietly;

/// It lies beside the child's node: the value may borrow, a node may not. Whoever waits for it leaves a waker in the node, which
/// may be closed without a result (L28, L41).
pub(crate) struct LocalJoin<T> {
    pub(crate) node: Typed<LocalCell>,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    outcome: Slotted<T>,
    /// Whoever waits for it has left a waker.
    watched: bool,
}

impl<T> LocalJoin<T> {
    pub(crate) fn new(node: Typed<LocalCell>) -> Self {
        LocalJoin { node, inner: Mutex::new(Inner { outcome: Slotted::Empty, watched: false }) }
    }

    /// Locks the outcome, which a child has, too, that was closed without its future.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        let lost = self.node.flagged(ORPHANED);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.node.part().watch(waker);
        // Ordering: an outcome that is not seen here finds the waker. So does the loss of the child.
        let mut inner = self.lock();
        inner.watched = inner.outcome.status().is_none();
        let ended = !inner.watched;
        drop(inner);
        if ended {
            self.node.part().watch_no_more();
        }
        ended
    }
}

impl<T> Drop for LocalJoin<T> {
    fn drop(&mut self) {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).outcome.drop_quietly();
    }
}
