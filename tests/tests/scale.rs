//! Growth: deep nesting needs a fixed piece of stack and work for each level, a nursery is as big as its live children,
//! waiting code does not work, and items that pass through a channel leave nothing behind.
//!
//! Work is counted (polls, wake-ups, allocations), not timed, so that a busy machine changes nothing.

#![expect(unsafe_code, reason = "an allocator that counts can be made in no other way")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[path = "scale/children.rs"]
mod children;
#[path = "scale/nested.rs"]
mod nested;
#[path = "scale/passing.rs"]
mod passing;
#[path = "scale/waiting.rs"]
mod waiting;
#[path = "scale/wide.rs"]
mod wide;

/// Counts, and leaves the rest to the system.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MADE: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it is. The counters are atomics and a thread-local without a
// destructor and without a lazy initializer, so counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MADE.set(MADE.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How many allocations this thread has made.
fn made() -> usize {
    MADE.get()
}

/// How many bytes this thread has allocated.
fn bytes() -> usize {
    BYTES.get()
}

/// Bytes in use in the whole process.
fn live() -> usize {
    LIVE.load(Relaxed)
}

/// The most bytes that were in use during `run`, above what was in use before.
fn peak_of(run: impl FnOnce()) -> usize {
    let before = live();
    PEAK.store(before, Relaxed);
    run();
    PEAK.load(Relaxed).saturating_sub(before)
}
