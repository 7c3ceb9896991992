//! A place for an `Arc`, filled by whoever needs it first.
//!
//! What `OnceLock<Arc<T>>` is, in one word: to look is one load, to fill is one exchange, and nobody waits for another one who fills
//! it. Of two who do it at the same time one throws away what it has made.
//!
//! ```text
//!   null ──fill──▶ Arc::into_raw ──drop──▶ gone
//! ```
//!
//! Invariant: what is not null is a counted reference, which this owns until it is dropped, and it never changes.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use crate::sys::atomic::{AtomicPtr, Ordering};

pub(crate) struct Lazy<T> {
    filled: AtomicPtr<T>,
    owned: PhantomData<Option<Arc<T>>>,
}

/// A reference that is not counted: it belongs to a [`Lazy`], which is borrowed.
pub(crate) struct LentArc<'a, T> {
    lent: ManuallyDrop<Arc<T>>,
    of: PhantomData<&'a Arc<T>>,
}

impl<T> Lazy<T> {
    pub(crate) const fn new() -> Self {
        Lazy { filled: AtomicPtr::new(ptr::null_mut()), owned: PhantomData }
    }

    /// One that is filled.
    pub(crate) fn of(filled: Arc<T>) -> Self {
        Lazy { filled: AtomicPtr::new(Arc::into_raw(filled).cast_mut()), owned: PhantomData }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // Ordering: Acquire sees what was made, by whoever filled it.
        // SAFETY: the Invariant: it is there as long as this is.
        unsafe { self.filled.load(Ordering::Acquire).as_ref() }
    }

    /// As [`get`](Lazy::get), for those who may want to share it.
    #[inline]
    pub(crate) fn lend(&self) -> Option<LentArc<'_, T>> {
        // Ordering: as in `get`.
        let filled = self.filled.load(Ordering::Acquire).cast_const();
        if filled.is_null() {
            return None;
        }
        // SAFETY: the Invariant: it counts for this, which is borrowed as long as what is lent, and that is never dropped.
        Some(LentArc { lent: ManuallyDrop::new(unsafe { Arc::from_raw(filled) }), of: PhantomData })
    }

    /// Fills it, unless it is filled.
    pub(crate) fn fill_with(&self, filled: Arc<T>) {
        let made = Arc::into_raw(filled).cast_mut();
        // Ordering: Release shows what was made, Acquire sees what another has made.
        let swap = self.filled.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
        if swap.is_err() {
            // SAFETY: it came from there, and the Invariant does not hold for it.
            drop(unsafe { Arc::from_raw(made) });
        }
    }
}

impl<T> Deref for LentArc<'_, T> {
    type Target = Arc<T>;

    #[inline]
    fn deref(&self) -> &Arc<T> {
        &self.lent
    }
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Lazy::new()
    }
}

impl<T> Drop for Lazy<T> {
    #[inline]
    fn drop(&mut self) {
        let filled = *self.filled.get_mut();
        if !filled.is_null() {
            // SAFETY: the Invariant, which ends here.
            drop(unsafe { Arc::from_raw(filled) });
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lazy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn it_is_filled_once_and_outlived_by_what_is_shared() {
        let lazy = Lazy::new();
        assert!(lazy.get().is_none());
        let seen: Vec<usize> = thread::scope(|threads| {
            let fills = |mine| {
                let lazy = &lazy;
                move || {
                    lazy.fill_with(Arc::new(vec![mine]));
                    ptr::from_ref(lazy.get().unwrap()).addr()
                }
            };
            let threads: Vec<_> = (0..3).map(|mine| threads.spawn(fills(mine))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(seen, [ptr::from_ref(lazy.get().unwrap()).addr(); 3]);
        let shared = Arc::clone(&lazy.lend().unwrap());
        assert_eq!(Arc::strong_count(&shared), 2);
        drop(lazy);
        assert_eq!((Arc::strong_count(&shared), shared.len()), (1, 1));
        let filled = Lazy::of(shared.clone());
        filled.fill_with(Arc::default());
        let lent = filled.lend().unwrap();
        assert!(Arc::ptr_eq(&lent, &shared) && Arc::strong_count(&lent) == 2, "it is not counted, nor filled again");
        drop(filled);
        assert_eq!(Arc::strong_count(&shared), 1);
        assert!(Lazy::<Vec<u8>>::new().lend().is_none());
    }
}
