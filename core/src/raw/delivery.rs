//! A value that one end gives and the other takes, once, in a block that both keep: how far they are, and the waker of the one who
//! waits. Anybody who knows the block may say that no value will come.
//!
//! ```text
//!   giver:   ── give ──▶ GIVEN      whichever comes first       anybody:  ── deny ──▶ DENIED
//!   taker:   ── drop, before that ──▶ FORGONE
//! ```
//!
//! What came of it is a *note*, a number that everybody may look at from then on. With a lock, to give and to take are four atomic
//! operations; here they are one.
//!
//! Invariant 1: GIVEN, DENIED and FORGONE are never cleared. Of GIVEN and DENIED one is set at most.
//! Invariant 2: the room for the value belongs to the giver until GIVEN, and to the taker from then on; to the giver again if FORGONE
//! was set before.
//! Invariant 3: the taker's waker is lent (WAITS) until the wait is over: see [`Bell`].
//! Invariant 4: values and wakers are dropped, and wakers cloned and called, while no step is half done. Nobody ever waits here.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::task::Waker;

use super::bell::Bell;
use super::thin::Thin;
use crate::sys::atomic::{AtomicUsize, Ordering};

/// There is a value, or none with this note.
const GIVEN: usize = 1;
/// There will be no value.
const DENIED: usize = 2;
/// Nobody takes it any more.
const FORGONE: usize = 4;
/// The taker's waker is lent.
const WAITS: usize = 8;
/// It has no ends yet.
const COMING: usize = 16;
/// Above it is the note.
const NOTE: u32 = 8;

const OVER: usize = GIVEN | DENIED;

/// How far a delivery is.
pub(crate) struct Delivery {
    state: AtomicUsize,
    waits: Bell<WAITS, OVER>,
}

// SAFETY: the waker is reached by one after the other: Invariant 3.
unsafe impl Sync for Delivery {}

impl Delivery {
    /// Of which both ends are on their way.
    pub(crate) const fn coming() -> Self {
        Delivery { state: AtomicUsize::new(COMING), waits: Bell::new() }
    }

    /// What came of it, if it is over.
    #[inline]
    pub(crate) fn note(&self) -> Option<u8> {
        // Ordering: who sees that it is over sees what was done before.
        let seen = self.state.load(Ordering::Acquire);
        (seen & OVER != 0).then_some((seen >> NOTE) as u8)
    }

    /// There will be no value, if there is none. Who waits comes back to be woken.
    pub(crate) fn deny(&self, note: u8) -> Option<Waker> {
        self.settle(DENIED, note).ok()?.1
    }

    /// Ends it with that bit, unless it is over. Gives what was seen before, and whom to wake.
    #[inline]
    fn settle(&self, bit: usize, note: u8) -> Result<(usize, Option<Waker>), ()> {
        let step = bit | usize::from(note) << NOTE;
        // Looked at first: a step that fails takes as long as one that does not.
        let seen = self.state.load(Ordering::Relaxed);
        // Ordering: the taker finds the value, and here its waker is found.
        if seen == 0 && self.state.compare_exchange(0, step, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Ok((0, None));
        }
        self.settle_seen(step)
    }

    /// Somebody waits, or has gone, or it is over.
    #[inline(never)]
    fn settle_seen(&self, step: usize) -> Result<(usize, Option<Waker>), ()> {
        let mut seen = self.state.load(Ordering::Acquire);
        loop {
            if seen & OVER != 0 {
                return Err(());
            }
            // Ordering: as in `settle`.
            match self.state.compare_exchange_weak(seen, seen | step, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: nobody else ends it.
                Ok(_) => return Ok((seen, unsafe { self.waits.fetch(seen) })),
                Err(now) => seen = now,
            }
        }
    }

    /// The end that takes.
    ///
    /// # Safety
    ///
    /// The delivery and the room lie in the block, and are not borrowed but shared. Nobody but the two ends reaches the room. No other
    /// thread has the block yet.
    #[inline]
    pub(super) unsafe fn taker<H, D: ?Sized, T>(
        &self,
        block: Thin<H, D>,
        room: &UnsafeCell<Option<T>>,
    ) -> Taker<H, D, T> {
        if self.state.load(Ordering::Relaxed) != COMING {
            unreachable!("a delivery has two ends");
        }
        self.state.store(0, Ordering::Relaxed);
        Taker { end: End::of(self, room), block: ManuallyDrop::new(block) }
    }

    /// The end that gives.
    ///
    /// # Safety
    ///
    /// As for the [taker](Delivery::taker), which was made before; `block` keeps the block. Once.
    #[inline]
    pub(super) unsafe fn giver<B, T>(&self, block: B, room: &UnsafeCell<Option<T>>) -> Giver<B, T> {
        Giver { end: End::of(self, room), block }
    }
}

/// Where it is: there as long as the block is, which the end keeps.
struct End<T> {
    delivery: NonNull<Delivery>,
    room: NonNull<UnsafeCell<Option<T>>>,
    has: PhantomData<Box<T>>,
}

// SAFETY: of the two ends, each on its own thread, one has the value at a time; a shared reference to an end shows nothing of it.
unsafe impl<T: Send> Send for End<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for End<T> {}

impl<T> End<T> {
    #[inline]
    fn of(delivery: &Delivery, room: &UnsafeCell<Option<T>>) -> Self {
        End { delivery: NonNull::from(delivery), room: NonNull::from(room), has: PhantomData }
    }

    #[inline]
    fn delivery(&self) -> &Delivery {
        // SAFETY: it is there, and is borrowed but shared.
        unsafe { self.delivery.as_ref() }
    }

    /// # Safety
    ///
    /// The room belongs to this end: Invariant 2.
    #[inline]
    unsafe fn take(&self) -> Option<T> {
        // SAFETY: as this function.
        unsafe { (*self.room.as_ref().get()).take() }
    }
}

/// The end that gives the value; what it keeps the block with is a `B`.
pub(crate) struct Giver<B, T> {
    end: End<T>,
    block: B,
}

/// What is left when a value was given.
pub(crate) struct Given<B, T> {
    /// It was denied before, or the taker is gone.
    pub(crate) unwanted: Option<T>,
    /// Who waits, to be woken.
    pub(crate) waker: Option<Waker>,
    pub(crate) block: B,
}

// No code of others runs in the middle of a step.
impl<B, T> UnwindSafe for Giver<B, T> {}
impl<B, T> RefUnwindSafe for Giver<B, T> {}

impl<B, T> Giver<B, T> {
    #[inline]
    pub(crate) fn block(&self) -> &B {
        &self.block
    }

    /// Gives the value, or none, with a note.
    #[inline]
    pub(crate) fn give(self, note: u8, value: Option<T>) -> Given<B, T> {
        let Giver { end, block } = self;
        // SAFETY: Invariant 2: nothing was given by this end, which is used up. What it writes over is `None`.
        unsafe { end.room.as_ref().get().write(value) };
        let settled = end.delivery().settle(GIVEN, note);
        let (unwanted, waker) = match settled {
            Ok((seen, waker)) if seen & FORGONE == 0 => (None, waker),
            // SAFETY: Invariant 2: it was not given; or the taker had gone.
            Ok((_, waker)) => (unsafe { end.take() }, waker),
            // SAFETY: as above.
            Err(()) => (unsafe { end.take() }, None),
        };
        Given { unwanted, waker, block }
    }
}

/// The end that takes the value. For handles, which mostly go last.
pub(crate) struct Taker<H, D: ?Sized, T> {
    end: End<T>,
    block: ManuallyDrop<Thin<H, D>>,
}

impl<H, D: ?Sized, T> UnwindSafe for Taker<H, D, T> {}
impl<H, D: ?Sized, T> RefUnwindSafe for Taker<H, D, T> {}

impl<H, D: ?Sized, T> Taker<H, D, T> {
    #[inline]
    pub(crate) fn block(&self) -> &Thin<H, D> {
        &self.block
    }

    /// What came of it, if it is over.
    #[inline]
    pub(crate) fn note(&self) -> Option<u8> {
        self.end.delivery().note()
    }

    /// The value, if one was given, and it was not taken before.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        let seen = self.end.delivery().state.load(Ordering::Acquire);
        // SAFETY: Invariant 2.
        if seen & GIVEN == 0 { None } else { unsafe { self.end.take() } }
    }

    /// Waits with `waker` until it is over; `false` if it is.
    pub(crate) fn wait(&mut self, waker: &Waker) -> bool {
        let delivery = self.end.delivery();
        // SAFETY: its own bell, and it is borrowed for this alone.
        unsafe { delivery.waits.lend(&delivery.state, waker) }
    }

    /// Goes before it is over, or was a moment ago.
    #[inline(never)]
    fn forgo(&mut self) {
        let delivery = self.end.delivery();
        // SAFETY: its own bell, and it is borrowed for this alone.
        let waker = unsafe { delivery.waits.take_back(&delivery.state) };
        // Ordering: what the giver has done to the value before it gave it is seen.
        let seen = delivery.state.fetch_or(FORGONE, Ordering::AcqRel);
        // SAFETY: Invariant 2.
        let value = if seen & GIVEN == 0 { None } else { unsafe { self.end.take() } };
        // Both go, whichever panics.
        drop((waker, value));
    }
}

impl<H, D: ?Sized, T> Drop for Taker<H, D, T> {
    #[inline]
    fn drop(&mut self) {
        /// Lets go of the block, also if the drop of a value panics.
        struct Last<H, D: ?Sized>(ManuallyDrop<Thin<H, D>>);

        impl<H, D: ?Sized> Drop for Last<H, D> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: it is not used again.
                unsafe { ManuallyDrop::take(&mut self.0) }.drop_last();
            }
        }

        // SAFETY: the drop of this uses the copy alone, and what it ends with.
        let _last = Last(ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut self.block) }));
        // Ordering: all that the giver has done to the room is seen.
        let seen = self.end.delivery().state.load(Ordering::Acquire);
        if seen & OVER == 0 {
            self.forgo();
        } else if seen & GIVEN != 0 {
            // SAFETY: Invariant 2.
            drop(unsafe { self.end.take() });
        }
    }
}

#[cfg(test)]
mod tests;
