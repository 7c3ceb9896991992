//! The waiters for one thing: a slot for each, with one waker at most.

use std::collections::BTreeMap;
use std::task::Waker;

/// The wakers of those who wait. It lies under a lock, so what its methods return is dropped or called when that is
/// released (L36).
#[derive(Default)]
pub(crate) struct WakerSlots {
    last: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl WakerSlots {
    /// Makes a slot that nobody else has.
    pub(crate) fn add(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Puts a waker in a slot. Returns the one that was there.
    #[must_use]
    pub(crate) fn put(&mut self, slot: u64, waker: Waker) -> Option<Waker> {
        self.wakers.insert(slot, waker)
    }

    /// Takes out the waker of who waits no more.
    #[must_use]
    pub(crate) fn remove(&mut self, slot: u64) -> Option<Waker> {
        self.wakers.remove(&slot)
    }

    /// Takes all wakers out. The slots stay.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.wakers).into_values()
    }
}
