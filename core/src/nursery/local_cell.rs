//! The typed part of a local child's node: how the child is woken, and who waits for it.

use std::fmt;
use std::sync::PoisonError;
use std::task::Waker;

use super::seats::Seats;
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::{Mutex, MutexGuard, OnceLock};
use crate::tree::flags::ORPHANED;
use crate::tree::node::{Cell, NodeRef, Typed};

/// An implementation detail that shows in bounds.
#[doc(hidden)]
pub struct LocalCell {
    /// [`QUEUED`], and from [`SEAT`] on the seat that the child has in its nursery.
    ///
    /// Ordering: each change reads what was there before. So whoever sets `QUEUED` finds the nursery in which the child was last
    /// polled; and what came before a wake that finds it set is seen in the poll that clears it.
    seat: AtomicUsize,
    /// The nursery that it was spawned into.
    born_in: Typed<Seats>,
    /// The nursery that it has moved to (see `start`).
    moved_to: OnceLock<Typed<Seats>>,
    /// Whoever waits for the child.
    watcher: Mutex<Option<Waker>>,
}

/// It was not polled since it was woken, or spawned: its nursery knows.
const QUEUED: usize = 1;
const SEAT: usize = 2;

impl LocalCell {
    pub(crate) fn new(born_in: Typed<Seats>) -> Self {
        LocalCell { seat: AtomicUsize::new(QUEUED), born_in, moved_to: OnceLock::new(), watcher: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the child a seat in that nursery, which is about to poll it for the first time there.
    pub(crate) fn sit(&self, key: usize, nursery: &Typed<Seats>) {
        if !nursery.is(&self.born_in) {
            // A child moves once.
            drop(self.moved_to.set(nursery.clone()));
        }
        self.seat.swap(key * SEAT, Ordering::AcqRel);
    }

    /// It was woken, and is about to be polled.
    pub(crate) fn taken(&self) {
        self.seat.fetch_and(!QUEUED, Ordering::AcqRel);
    }

    fn ring(&self) {
        if self.seat.fetch_or(QUEUED, Ordering::AcqRel) & QUEUED == 0 {
            let nursery = self.moved_to.get().unwrap_or(&self.born_in);
            nursery.cell().ring(self.seat.load(Ordering::Relaxed) / SEAT);
        }
    }

    /// Keeps the waker of a handle that has found no result, and has to look again after that.
    pub(crate) fn watch(&self, waker: &Waker) {
        if self.lock().as_ref().is_some_and(|old| old.will_wake(waker)) {
            return;
        }
        // No lock is held while a waker is cloned or dropped (L36).
        let new = waker.clone();
        let old = self.lock().replace(new);
        drop(old);
    }

    /// The handle is gone.
    pub(crate) fn watch_no_more(&self) {
        let watcher = self.lock().take();
        drop(watcher);
    }

    /// There is a result, or there will be none.
    pub(crate) fn tell(&self) {
        let watcher = self.lock().take();
        if let Some(watcher) = watcher {
            watcher.wake();
        }
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

    fn home(&self) -> Option<&NodeRef> {
        Some(&self.born_in)
    }

    fn orphaned(&self, node: &NodeRef) {
        node.flag(ORPHANED);
        self.tell();
    }
}

impl fmt::Debug for LocalCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalCell")
    }
}
