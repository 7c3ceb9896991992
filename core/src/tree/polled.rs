//! What a verdict is taken from (L12): when a body was last polled, and how often its task's wakers were called.
//!
//! Plain counts, kept in each node; `verdict.rs` says what follows from them.

use std::cell::Cell;

use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};

/// When the body of a scope was last polled. Written by the thread that polls the body, read by requests on any
/// thread.
pub(crate) struct Polled {
    /// The wake-ups of its task that had been counted when the task's poll began; [`NEVER`] before the first poll,
    /// [`UNCOUNTED`] if nobody counts.
    seen: AtomicU32,
    /// The body is on the stack: its poll has begun and not ended.
    now: AtomicBool,
}

/// The value of `seen` for a body that was not polled yet. Such code is runnable as far as its task is: entering a
/// scope is no checkpoint (L13).
const NEVER: u32 = u32::MAX;

/// The value of `seen` for a body that was polled where the wake-ups are not counted: by an executor that foster does
/// not know. It counts as runnable (L12.5).
pub(super) const UNCOUNTED: u32 = u32::MAX - 1;

impl Polled {
    pub(crate) fn never() -> Self {
        Polled { seen: AtomicU32::new(NEVER), now: AtomicBool::new(false) }
    }

    /// Notes that a poll of the body begins, in a poll of its task at whose beginning `seen` wake-ups had been
    /// counted.
    #[inline]
    pub(crate) fn begin(&self, seen: u32) {
        self.seen.store(seen, Ordering::Relaxed);
        // Ordering: Release pairs with the Acquire in `is_on_stack`: a thread that finds the body on the stack finds
        // this count, too. A thread that asks between the two stores finds the new count and no poll, and calls the
        // code blocked; the driver has looked for requests before this, so it finds that one after the poll, which is
        // the one that L12 gives.
        self.now.store(true, Ordering::Release);
    }

    /// Notes that the poll is over. Release: what the poll did comes before a verdict that finds it over.
    #[inline]
    pub(crate) fn end(&self) {
        self.now.store(false, Ordering::Release);
    }

    /// Returns whether the body was not polled since the last wake-up that was counted: `wakes` is the count by now.
    pub(super) fn is_woken_since(&self, wakes: u32) -> bool {
        match self.seen.load(Ordering::Acquire) {
            // It cannot be known, and counts as runnable (L12.4, L12.5).
            NEVER | UNCOUNTED => true,
            seen => seen != wakes,
        }
    }

    /// Returns whether the body is being polled at this moment, by any thread.
    #[inline]
    pub(crate) fn is_on_stack(&self) -> bool {
        self.now.load(Ordering::Acquire)
    }

    /// Returns whether the body was never polled. Asked by the scope's driver and by that of the parent in their polls,
    /// when the scope is abandoned, and of a root when its host is gone.
    #[inline]
    pub(crate) fn is_never(&self) -> bool {
        self.seen.load(Ordering::Relaxed) == NEVER
    }
}

crate::sys::thread_local! {
    // Whether this thread is calling wakers on behalf of foster, which are not to be counted.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `wake`, which calls wakers on behalf of foster: the calls are not counted (L12.1).
///
/// If they were, the wake-up of one request would make code runnable for the next request of the same instant, and it
/// would matter which of two came first. Code that runs inside (a foreign waker that wakes others) is not counted
/// either. Calls may be nested.
pub(crate) fn without_counting<R>(wake: impl FnOnce() -> R) -> R {
    /// Also when a waker panics.
    struct Restore(bool);

    impl Drop for Restore {
        #[inline]
        fn drop(&mut self) {
            QUIET.with(|quiet| quiet.set(self.0));
        }
    }

    let restore = Restore(QUIET.with(|quiet| quiet.replace(true)));
    let result = wake();
    drop(restore);
    result
}

/// How often the wakers were called that user code in a scope was given.
#[derive(Default)]
pub(super) struct WakeCount(AtomicU32);

impl WakeCount {
    /// Counts a call, unless it is foster's. Returns whether it did.
    pub(super) fn add(&self) -> bool {
        if QUIET.with(Cell::get) {
            return false;
        }
        // Ordering: a request that comes after the wake-up, by the same thread, say, finds it counted. And the poll
        // that follows the wake-up sees what came before it.
        self.0.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Returns the count, which is neither [`NEVER`] nor [`UNCOUNTED`], by leaving out the highest bit. It may wrap
    /// around: only whether two counts differ matters, and they would have to be 2^31 calls apart in one poll to be
    /// taken for the same.
    #[inline]
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire) & (u32::MAX >> 1)
    }
}
