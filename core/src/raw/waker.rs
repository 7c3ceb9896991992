//! A waker that counts no reference: for one poll, by whoever holds what is woken.
//!
//! `Waker::from(arc.clone())` is two atomic operations a poll, made and dropped, and kept with what it wakes it is a circle.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Wake, Waker};

/// The waker of an `Arc`, lent. Its clones count, as those of any other.
#[derive(Debug)]
pub(crate) struct LentWaker<'a> {
    waker: ManuallyDrop<Waker>,
    of: PhantomData<&'a ()>,
}

impl<'a> LentWaker<'a> {
    pub(crate) fn of<W: Wake + Send + Sync + 'static>(arc: &'a Arc<W>) -> Self {
        // SAFETY: the copy owns a reference that was not counted. It becomes a part of the waker, which is never dropped, and cannot be
        // moved out; and `arc` is borrowed for as long as the waker can be seen, so what it points to is there.
        let copy = unsafe { std::ptr::read(arc) };
        LentWaker { waker: ManuallyDrop::new(Waker::from(copy)), of: PhantomData }
    }
}

impl Deref for LentWaker<'_> {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_lent_waker_wakes_and_counts_no_reference() {
        let count = Arc::new(Count::default());
        let lent = LentWaker::of(&count);
        lent.wake_by_ref();
        assert_eq!((count.0.load(Ordering::Relaxed), Arc::strong_count(&count)), (1, 1));

        let kept = lent.clone();
        assert_eq!(Arc::strong_count(&count), 2);
        kept.wake();
        assert_eq!((count.0.load(Ordering::Relaxed), Arc::strong_count(&count)), (2, 1));
    }
}
