//! The typed part of a local child's node: how the child is woken, and who waits for it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Wake, Waker};

use super::seats::Seats;
use crate::tree::node::{Cell, Node, NodeRef};

/// An implementation detail that shows in bounds.
#[doc(hidden)]
pub struct LocalCell {
    /// It was woken since its last poll, or was not polled yet: its nursery knows.
    ///
    /// Ordering: whoever sets it finds the seat that the child had when it was cleared, or a later one. If the child has
    /// another seat meanwhile, it is polled there.
    queued: AtomicBool,
    seat: AtomicUsize,
    /// The nursery that it was spawned into.
    born_in: Arc<Node<Seats>>,
    /// The nursery that it has moved to (see `start`).
    moved_to: OnceLock<Arc<Node<Seats>>>,
    watch: Mutex<Watch>,
}

#[derive(Default)]
struct Watch {
    /// It has ended without its future (L28, L41).
    lost: bool,
    /// Whoever waits for the child, should it be lost.
    watcher: Option<Waker>,
}

impl LocalCell {
    pub(crate) fn new(born_in: Arc<Node<Seats>>) -> Self {
        LocalCell {
            queued: AtomicBool::new(true),
            seat: AtomicUsize::new(0),
            born_in,
            moved_to: OnceLock::new(),
            watch: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the child a seat in that nursery. It is about to be polled there.
    pub(crate) fn sit(&self, key: usize, nursery: &Arc<Node<Seats>>) {
        self.seat.store(key, Ordering::Relaxed);
        if !Arc::ptr_eq(nursery, &self.born_in) {
            // A child moves once.
            drop(self.moved_to.set(nursery.clone()));
        }
    }

    /// It is about to be polled.
    pub(crate) fn taken(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }

    fn ring(&self) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let nursery = self.moved_to.get().unwrap_or(&self.born_in);
            nursery.cell.ring(self.seat.load(Ordering::Relaxed));
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// Keeps the waker of a handle that has found no result. Says whether it has to look again.
    pub(crate) fn watch(&self, waker: &Waker) -> bool {
        let mut spare: Option<Waker> = None;
        loop {
            let mut inner = self.lock();
            if inner.lost {
                return true;
            }
            if inner.watcher.as_ref().is_some_and(|old| old.will_wake(waker)) {
                return false;
            }
            if spare.is_some() {
                std::mem::swap(&mut inner.watcher, &mut spare);
                drop(inner);
                return false;
            }
            // No lock is held while a waker is cloned or dropped (L36).
            drop(inner);
            spare = Some(waker.clone());
        }
    }

    /// The handle is gone.
    pub(crate) fn watch_no_more(&self) {
        let watcher = self.lock().watcher.take();
        drop(watcher);
    }
}

impl Cell for LocalCell {
    fn wakes(&self) -> bool {
        true
    }

    fn wake(&self, _: &NodeRef) {
        self.ring();
    }

    fn is_local(&self) -> bool {
        true
    }

    fn orphaned(&self, _: &NodeRef) {
        let mut inner = self.lock();
        inner.lost = true;
        let watcher = inner.watcher.take();
        drop(inner);
        if let Some(waker) = watcher {
            waker.wake();
        }
    }
}

impl fmt::Debug for LocalCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalCell")
    }
}

/// The waker of the child's body.
impl Wake for Node<LocalCell> {
    fn wake(self: Arc<Self>) {
        self.cell.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.cell.ring();
    }
}
