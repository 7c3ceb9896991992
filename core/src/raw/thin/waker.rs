//! The waker of a block: the pointer to it, and the calls of its head.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::Thin;

/// A head that can be woken.
pub(crate) trait Woken<D: ?Sized + Send + Sync + 'static>: Sized + Send + Sync + 'static {
    fn wake(this: &Thin<Self, D>);

    /// The one [`Calls::NEW`] of all wakers of such heads: a static of the crate, by whose address two of them are seen to be the same. A
    /// constant has another address in each crate that is compiled with it.
    fn calls() -> &'static Calls<Self, D>;
}

/// What wakers of a head do.
pub(crate) struct Calls<H, D: ?Sized>(RawWakerVTable, PhantomData<fn(H, Box<D>)>);

impl<H: Woken<D>, D: ?Sized + Send + Sync + 'static> Calls<H, D> {
    pub(crate) const NEW: Self = Calls(
        RawWakerVTable::new(
            // SAFETY: each waker counts for one, but those that are lent, which are never dropped.
            |block| (*ManuallyDrop::new(unsafe { Thin::<H, D>::from_raw(block) })).clone().into_raw_waker(),
            // SAFETY: as above. It ends here.
            |block| H::wake(&unsafe { Thin::<H, D>::from_raw(block) }),
            // SAFETY: as above.
            |block| H::wake(&ManuallyDrop::new(unsafe { Thin::<H, D>::from_raw(block) })),
            // SAFETY: as above. It ends here.
            |block| drop(unsafe { Thin::<H, D>::from_raw(block) }),
        ),
        PhantomData,
    );
}

/// The waker of a block, lent: it counts no reference. Its clones do, as those of any other.
///
/// A waker that is made for a poll and dropped after it is two atomic operations; one that is kept with what it wakes is a circle.
pub(crate) struct LentWaker<'a> {
    waker: ManuallyDrop<Waker>,
    of: PhantomData<&'a ()>,
}

impl<H: Woken<D>, D: ?Sized + Send + Sync + 'static> Thin<H, D> {
    /// A waker that counts for this.
    #[inline]
    fn into_raw_waker(self) -> RawWaker {
        RawWaker::new(self.into_raw(), &H::calls().0)
    }

    #[inline]
    pub(crate) fn waker(&self) -> LentWaker<'_> {
        let raw = RawWaker::new(self.base.as_ptr().cast_const().cast(), &H::calls().0);
        // SAFETY: what is behind it may be shared and dropped on any thread, as the bounds say. It was not counted, but is never dropped and
        // cannot be moved out; and this one is borrowed for as long as the waker can be seen, so the block is there.
        LentWaker { waker: ManuallyDrop::new(unsafe { Waker::from_raw(raw) }), of: PhantomData }
    }
}

impl Deref for LentWaker<'_> {
    type Target = Waker;

    #[inline]
    fn deref(&self) -> &Waker {
        &self.waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::Typed;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct Bell(AtomicU32);

    impl Woken<()> for Bell {
        fn wake(this: &Thin<Self, ()>) {
            this.0.fetch_add(1, Ordering::Relaxed);
        }

        fn calls() -> &'static Calls<Self, ()> {
            static CALLS: Calls<Bell, ()> = Calls::NEW;
            &CALLS
        }
    }

    #[test]
    fn a_lent_waker_wakes_and_counts_no_reference() {
        let bell = Typed::<Bell, (), ()>::new(|()| Bell::default(), (), |tail| tail).into_block();
        let lent = bell.waker();
        lent.wake_by_ref();
        assert_eq!((bell.0.load(Ordering::Relaxed), bell.count()), (1, 1));
        let kept = lent.clone();
        assert!(kept.will_wake(&bell.waker()) && kept.will_wake(&kept.clone()));
        assert_eq!(bell.count(), 2);
        kept.wake_by_ref();
        kept.wake();
        assert_eq!((bell.0.load(Ordering::Relaxed), bell.count()), (3, 1));
        let kept = bell.waker().clone();
        drop(bell);
        kept.wake();
    }
}
