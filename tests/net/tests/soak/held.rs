//! The resources that a process holds.

use std::cell::Cell;
use std::fs;

use foster::observer::{LiveCounts, live_counts};
use foster_conformance::harness::comes_true;

/// The resources that this process holds; the two numbers of the host are none where there is no `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    descriptors: Option<usize>,
    threads: Option<usize>,
    alive: Option<LiveCounts>,
}

impl Held {
    pub(crate) fn now() -> Held {
        let count = |directory| fs::read_dir(directory).ok().map(Iterator::count);
        Held { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task"), alive: live_counts() }
    }

    /// Returns the resources that are held when they have not changed for a while: a runtime that has returned may have
    /// threads that are just ending.
    pub(crate) fn at_rest() -> Held {
        let (last, unchanged) = (Cell::new(Held::now()), Cell::new(0));
        let rests = comes_true(|| {
            let now = Held::now();
            unchanged.set(if last.replace(now) == now { unchanged.get() + 1 } else { 0 });
            unchanged.get() == 20
        });
        assert!(rests, "what is held changes and changes: {:?}", last.get());
        last.get()
    }

    /// Waits until no more is held than this, and returns whether that is so. Of the host it may be less: something of
    /// a runtime before had not come down.
    pub(crate) fn is_held_again(self) -> bool {
        comes_true(|| {
            let now = Held::now();
            now.descriptors <= self.descriptors && now.threads <= self.threads && now.alive == self.alive
        })
    }
}
