//! The waker of one who waits for another, both of whom know how far they are by one word.
//!
//! Invariant: it belongs to the one who waits. It is *lent* while the bit LENT of the word is set, which that one alone sets and
//! clears. If it is lent in the step that ends the wait, in which one of the bits OVER is set, it belongs to whoever took this step.

use std::cell::UnsafeCell;
use std::task::Waker;

use crate::sys::atomic::{AtomicUsize, Ordering};

/// The waker of whoever waits, which is LENT to the other one until the wait is OVER.
pub(super) struct Bell<const LENT: usize, const OVER: usize>(UnsafeCell<Option<Waker>>);

impl<const LENT: usize, const OVER: usize> Bell<LENT, OVER> {
    pub(super) const fn new() -> Self {
        Bell(UnsafeCell::new(None))
    }

    /// Lends `waker`. If it is over, it does not, and says `false`.
    ///
    /// # Safety
    ///
    /// Only for the end that waits, and one call at a time.
    pub(super) unsafe fn lend(&self, state: &AtomicUsize, waker: &Waker) -> bool {
        // SAFETY: as this function.
        if !unsafe { self.recall(state) } {
            return false;
        }
        // SAFETY: the Invariant. It is not lent, so it belongs to the caller.
        let known = unsafe { &*self.0.get() }.as_ref().is_some_and(|kept| kept.will_wake(waker));
        let stale = if known {
            None
        } else {
            let fresh = waker.clone();
            // SAFETY: as before. No reference is there: what was cloned is the caller's.
            unsafe { (*self.0.get()).replace(fresh) }
        };
        // Ordering: who finds the bit finds the waker.
        let seen = state.fetch_or(LENT, Ordering::AcqRel);
        drop(stale);
        if seen & OVER == 0 {
            return true;
        }
        // SAFETY: it was over before this was lent, so it is the caller's.
        drop(unsafe { (*self.0.get()).take() });
        false
    }

    /// Lends it no longer, and says `true`; `false` if it is over.
    ///
    /// # Safety
    ///
    /// Only for the end that waits, and one call at a time.
    unsafe fn recall(&self, state: &AtomicUsize) -> bool {
        let seen = state.load(Ordering::Acquire);
        // Subtle: when it is over the bit may be cleared already, and the waker the other end's all the same.
        seen & OVER == 0 && (seen & LENT == 0 || state.fetch_and(!LENT, Ordering::AcqRel) & OVER == 0)
    }

    /// Lends it no longer, and gives it back; none if it is over.
    ///
    /// # Safety
    ///
    /// Only for the end that waits, and one call at a time.
    pub(super) unsafe fn take_back(&self, state: &AtomicUsize) -> Option<Waker> {
        // SAFETY: as this function; and it is not lent then.
        unsafe { if self.recall(state) { (*self.0.get()).take() } else { None } }
    }

    /// What the end that is done with waiting is to be woken with.
    ///
    /// # Safety
    ///
    /// Only for whoever has set OVER, for the first time, in the state that is `seen` here.
    pub(super) unsafe fn fetch(&self, seen: usize) -> Option<Waker> {
        // SAFETY: the Invariant.
        if seen & LENT == 0 { None } else { unsafe { (*self.0.get()).take() } }
    }
}
