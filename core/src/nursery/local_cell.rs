//! The typed part of a local child's node: how the child is woken, and how far it is with what it leaves.

use std::fmt;

use super::handle::{CUT_OFF, ended_as};
use super::seats::Seats;
use crate::observer::TaskStatus;
use crate::raw::Delivery;
use crate::sys::OnceLock;
use crate::sys::atomic::{AtomicUsize, Ordering};
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
    /// What it leaves for its handle.
    left: Delivery,
}

/// It was not polled since it was woken, or spawned: its nursery knows.
const QUEUED: usize = 1;
const SEAT: usize = 2;

impl LocalCell {
    pub(crate) fn new(born_in: Typed<Seats>) -> Self {
        LocalCell { seat: AtomicUsize::new(QUEUED), born_in, moved_to: OnceLock::new(), left: Delivery::coming() }
    }

    pub(crate) fn left(&self) -> &Delivery {
        &self.left
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

    fn status(&self) -> Option<TaskStatus> {
        self.left.note().map(ended_as)
    }

    fn orphaned(&self, _: &NodeRef) {
        if let Some(waiter) = self.left.deny(CUT_OFF) {
            waiter.wake();
        }
    }
}

impl fmt::Debug for LocalCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalCell")
    }
}
