//! The count of the references to a block, as `Arc` counts: without the pointers, and without unsafe code.
#![forbid(unsafe_code)]

use std::process::abort;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many references there are. No step of a model (`races.rs`), as that of an `Arc` is none: code that clones a
/// waker may hold a lock that no model knows.
pub(super) struct RefCount(AtomicU32);

impl RefCount {
    /// Counts the first reference.
    pub(super) const fn first() -> Self {
        RefCount(AtomicU32::new(1))
    }

    /// Counts so many in the place of the only one, which the caller has.
    #[inline]
    pub(super) fn split(&self, count: u32) {
        assert!(self.is_one(), "a block is split that others refer to");
        self.0.store(count, Ordering::Relaxed);
    }

    /// Returns whether there is one reference: that of the caller, if nobody else can use it meanwhile.
    #[inline]
    pub(super) fn is_one(&self) -> bool {
        // Ordering: Acquire pairs with the Release in `remove`: it sees what was done with the references that are
        // gone.
        self.0.load(Ordering::Acquire) == 1
    }

    /// Counts one more.
    #[inline]
    pub(super) fn add(&self) {
        // Ordering: as `Arc`: a thread that has a reference gives another one away in some way that orders.
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        if count > u32::MAX / 2 {
            // References were forgotten in a loop: there is no room for so many. An overflow would free a block that is
            // referred to.
            abort()
        }
    }

    /// Gives up a reference, and returns whether it was the last; that one stays counted.
    #[inline]
    pub(super) fn remove(&self) -> bool {
        // The last one needs no atomic step, as nobody else can count another: 3 % of a child (a floor, `tests/bench`).
        if self.is_one() {
            return true;
        }
        // Ordering: as `Arc`: Release here and Acquire below: what was done with each reference comes before the end.
        let last = self.0.fetch_sub(1, Ordering::Release) == 1;
        if last {
            self.0.load(Ordering::Acquire);
        }
        last
    }
}
