//! The block that the two ends of a oneshot share: a word that says how far they are, the value, and a waker for each end.
//!
//! One allocation, and no reference is counted: each end goes once, and whoever finds the other one gone frees the block. With an
//! `Arc` and a lock the same takes eight atomic operations instead of one.
//!
//! ```text
//!   giver:   ─────── give, drop ──────▶ GIVEN ───▶ GIVER_GONE        one step, unless a waker has to be fetched in between
//!   taker:   ──close──▶ CLOSED ──────────drop────▶ TAKER_GONE
//! ```
//!
//! Invariant 1: a bit of these is never cleared. GIVER_GONE comes with GIVEN or after it, TAKER_GONE with CLOSED or after it.
//! Invariant 2: the value belongs to the giver until GIVEN, then to the taker. Nothing is given after CLOSED.
//! Invariant 3: the waker of an end is lent to the other (WAITS, LISTENS) until its wait is over (GIVEN, CLOSED): see [`Bell`].
//! Invariant 4: who has set its GONE touches the block no more; unless the other one's was there: then all of it is its own.
//! Invariant 5: values and wakers are dropped, and wakers cloned and called, while no step is half done. Nobody ever waits here.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::task::Waker;

use super::bell::Bell;
use crate::sys::atomic::{AtomicUsize, Ordering};

/// There is a value, or will never be one.
const GIVEN: usize = 1;
const GIVER_GONE: usize = 2;
/// No value is wanted any more, but one that was given before.
const CLOSED: usize = 4;
const TAKER_GONE: usize = 8;
/// The taker's waker is lent.
const WAITS: usize = 16;
/// The giver's waker is lent.
const LISTENS: usize = 32;

struct Block<T> {
    state: AtomicUsize,
    value: UnsafeCell<Option<T>>,
    waits: Bell<WAITS, GIVEN>,
    listens: Bell<LISTENS, CLOSED>,
}

/// The two ends of a new block.
#[inline]
pub(crate) fn oneshot<T>() -> (Giver<T>, Taker<T>) {
    let block = NonNull::from(Box::leak(Box::new(Block {
        state: AtomicUsize::new(0),
        value: UnsafeCell::new(None),
        waits: Bell::new(),
        listens: Bell::new(),
    })));
    (Giver(End(block)), Taker(End(block)))
}

/// What both ends are: a pointer to the block, which is there until both have left.
struct End<T>(NonNull<Block<T>>);

impl<T> End<T> {
    // One field at a time: the whole may be freed while a call is returning that has just set a bit of it.

    #[inline]
    fn state(&self) -> &AtomicUsize {
        // SAFETY: the block is there until this end has left.
        unsafe { &(*self.0.as_ptr()).state }
    }

    #[inline]
    fn value(&self) -> *mut Option<T> {
        // SAFETY: as above.
        unsafe { (*self.0.as_ptr()).value.get() }
    }

    fn waits(&self) -> &Bell<WAITS, GIVEN> {
        // SAFETY: as above.
        unsafe { &(*self.0.as_ptr()).waits }
    }

    fn listens(&self) -> &Bell<LISTENS, CLOSED> {
        // SAFETY: as above.
        unsafe { &(*self.0.as_ptr()).listens }
    }

    /// Sets the bits of an end that goes, and frees the block if the `other` one is gone.
    ///
    /// # Safety
    ///
    /// `mine` has the GONE of the caller. The last use of this end.
    unsafe fn leave(&self, mine: usize, other: usize) {
        // Ordering: the last one sees all that was done to the block before.
        if self.state().fetch_or(mine, Ordering::AcqRel) & other != 0 {
            // SAFETY: as this function; and Invariant 4.
            unsafe { self.free() };
        }
    }

    /// # Safety
    ///
    /// The other end is gone, and this has been seen with an acquiring load. The last use of this end.
    #[inline]
    unsafe fn free(&self) {
        // SAFETY: Invariant 4; it came from a box.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The end that gives the value.
pub(crate) struct Giver<T>(End<T>);

// SAFETY: of the two ends, each on its own thread, one has the value at a time; a shared reference to an end shows nothing of it.
unsafe impl<T: Send> Send for Giver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Giver<T> {}
// No code of others runs in the middle of a step.
impl<T> UnwindSafe for Giver<T> {}
impl<T> RefUnwindSafe for Giver<T> {}

impl<T> Giver<T> {
    /// Leaves `value` to the taker, and wakes it. If none is wanted any more, the value comes back.
    #[inline]
    pub(crate) fn give(self, value: T) -> Option<T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: Invariant 2: nothing was given by this end, which is used up. What it writes over is `None`.
        unsafe { this.0.value().write(Some(value)) };
        // SAFETY: the last use.
        unsafe { this.finish() }
    }

    /// # Safety
    ///
    /// The last use of this end.
    #[inline]
    unsafe fn finish(&self) -> Option<T> {
        // Ordering: who finds the bits finds the value. Nothing of the other end's is looked at.
        match self.0.state().compare_exchange(0, GIVEN | GIVER_GONE, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => None,
            // SAFETY: as this function.
            Err(_) => unsafe { self.finish_seen() },
        }
    }

    /// To a taker that waits, or has closed.
    ///
    /// # Safety
    ///
    /// The last use of this end.
    #[inline(never)]
    unsafe fn finish_seen(&self) -> Option<T> {
        let Giver(end) = self;
        let mut seen = end.state().load(Ordering::Acquire);
        loop {
            if seen & CLOSED != 0 {
                // SAFETY: Invariant 2. It was not given.
                let unwanted = unsafe { (*end.value()).take() };
                // SAFETY: as this function.
                unsafe { end.leave(GIVEN | GIVER_GONE, TAKER_GONE) };
                return unwanted;
            }
            let step = if seen & WAITS == 0 { GIVEN | GIVER_GONE } else { GIVEN };
            // Ordering: the taker finds the value, and here its waker is found.
            match end.state().compare_exchange_weak(seen, seen | step, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        if seen & WAITS != 0 {
            // SAFETY: this end has just set GIVEN, as nobody else does.
            let waker = unsafe { end.waits().fetch(seen) };
            // SAFETY: as this function.
            unsafe { end.leave(GIVER_GONE, TAKER_GONE) };
            // The taker that is woken finds itself alone.
            waker.into_iter().for_each(Waker::wake);
        }
        None
    }

    /// Whether no value is wanted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.state().load(Ordering::Acquire) & CLOSED != 0
    }

    /// Waits with `waker` until no value is wanted; `false` if this is so.
    pub(crate) fn listen(&mut self, waker: &Waker) -> bool {
        // SAFETY: its own bell, and it is borrowed for this alone.
        unsafe { self.0.listens().lend(self.0.state(), waker) }
    }

    /// Listens no more. The waker is to be dropped by the caller.
    pub(crate) fn turn_away(&mut self) -> Option<Waker> {
        // SAFETY: its own bell, and it is borrowed for this alone.
        unsafe { self.0.listens().take_back(self.0.state()) }
    }
}

impl<T> Drop for Giver<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the last use. There is no value that could come back.
        unsafe { self.finish() };
    }
}

/// The end that takes the value.
pub(crate) struct Taker<T>(End<T>);

// SAFETY: as for the giver.
unsafe impl<T: Send> Send for Taker<T> {}
// SAFETY: as for the giver.
unsafe impl<T: Send> Sync for Taker<T> {}
impl<T> UnwindSafe for Taker<T> {}
impl<T> RefUnwindSafe for Taker<T> {}

impl<T> Taker<T> {
    /// Whether there is a value, or nothing to wait for.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.0.state().load(Ordering::Acquire) & (GIVEN | CLOSED) != 0
    }

    /// Whether the giver is gone, and has left what it ever will.
    #[inline]
    fn is_alone(&self) -> bool {
        // Ordering: all that the giver has done to the block is seen.
        self.0.state().load(Ordering::Acquire) & GIVER_GONE != 0
    }

    /// The value, if it is there.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        // SAFETY: Invariant 2.
        if self.0.state().load(Ordering::Acquire) & GIVEN == 0 { None } else { unsafe { (*self.0.value()).take() } }
    }

    /// Waits with `waker` for the value; `false` if there is one, or never will be.
    pub(crate) fn wait(&mut self, waker: &Waker) -> bool {
        // SAFETY: its own bell, and it is borrowed for this alone.
        unsafe { self.0.waits().lend(self.0.state(), waker) }
    }

    /// Wants no value any more, but one that was given before. Says whether it did.
    pub(crate) fn close(&mut self) -> bool {
        let (seen, listens) = self.shut();
        listens.into_iter().for_each(Waker::wake);
        seen & CLOSED == 0
    }

    /// What was seen before this, and whom to wake.
    fn shut(&mut self) -> (usize, Option<Waker>) {
        // Ordering: the giver's waker is found.
        let seen = self.0.state().fetch_or(CLOSED, Ordering::AcqRel);
        // SAFETY: this end has just set CLOSED, as nobody else does.
        (seen, if seen & CLOSED == 0 { unsafe { self.0.listens().fetch(seen) } } else { None })
    }

    /// Leaves while the giver is there, or was a moment ago.
    #[inline(never)]
    fn leave(&mut self) {
        // SAFETY: its own bell, and it is borrowed for this alone.
        let waits = unsafe { self.0.waits().take_back(self.0.state()) };
        let (_, listens) = self.shut();
        let value = self.take();
        // SAFETY: called by the drop alone.
        unsafe { self.0.leave(TAKER_GONE, GIVER_GONE) };
        // All of these go, whichever panics.
        listens.into_iter().for_each(Waker::wake);
        drop((waits, value));
    }
}

impl<T> Drop for Taker<T> {
    #[inline]
    fn drop(&mut self) {
        if self.is_alone() {
            // SAFETY: just seen; the last use.
            unsafe { self.0.free() };
        } else {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests;
