//! A value that is shared, and reached from inside one call alone, on the thread of that call: so it needs no lock.
//!
//! For what the code that a future polls has to tell that future.
//!
//! Invariant 1: one call is being made at most, while `entered` is set. Its address stands among the calls of its thread for as long.
//! Invariant 2: who reaches the value is alone with it, while `reached` is set for that call.

use std::cell::{Cell, UnsafeCell};
use std::ptr;
// Not one of `sys`: it is no step of a race, but an assertion.
use std::sync::atomic::{AtomicBool, Ordering};

use super::stack::{Frame, Lent, Stack};

crate::sys::thread_local! {
    /// The calls that this thread is making, by their [addresses](Inside::address); and whether somebody reaches for the value.
    static HERE: Stack<*const (), Cell<bool>> = const { Stack::new() };
}

/// A value that is reached from inside.
pub(crate) struct Inside<T> {
    entered: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: one thread reaches the value at a time: Invariant 1.
unsafe impl<T: Send> Sync for Inside<T> {}

impl<T> Inside<T> {
    pub(crate) const fn new(value: T) -> Self {
        Inside { entered: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    fn address(&self) -> *const () {
        // That of a byte of its own: one inside another one's value may begin where that does.
        ptr::from_ref(&self.entered).cast()
    }

    /// Calls `f`, from inside which the value is reached.
    ///
    /// # Panics
    ///
    /// If it is being called already.
    #[inline]
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Leaves, also when `f` panics.
        struct Leave<'a>(&'a AtomicBool);

        impl Drop for Leave<'_> {
            #[inline]
            fn drop(&mut self) {
                // Ordering: whoever comes next sees what was done to the value.
                self.0.store(false, Ordering::Release);
            }
        }

        assert!(!self.entered.swap(true, Ordering::Acquire), "it is entered by one at a time");
        let leave = Leave(&self.entered);
        let reached = Cell::new(false);
        let result = HERE.with(|stack| stack.enter(self.address(), Lent::One(&reached), f).1);
        drop(leave);
        result
    }

    /// Calls `f` with the value; none if this is not inside.
    ///
    /// # Panics
    ///
    /// If `f` reaches for it again.
    #[inline]
    pub(crate) fn reach<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.look(|reached| {
            /// Also when `f` panics.
            struct Over<'a>(&'a Cell<bool>);

            impl Drop for Over<'_> {
                #[inline]
                fn drop(&mut self) {
                    self.0.set(false);
                }
            }

            assert!(!reached.replace(true), "it is reached by one at a time");
            let over = Over(reached);
            // SAFETY: Invariant 1: this thread is making the only call, and will for as long as `f` lasts. Invariant 2.
            let result = f(unsafe { &mut *self.value.get() });
            drop(over);
            result
        })
    }

    /// Whether this is inside.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.look(|_| ()).is_some()
    }

    /// Calls `f` if this is inside.
    #[inline]
    fn look<R>(&self, f: impl FnOnce(&Cell<bool>) -> R) -> Option<R> {
        HERE.with(|stack| {
            stack.look(|top| {
                let here = top?.outward().find(|here| ptr::eq(*here.value(), self.address()));
                let Some(Lent::One(reached)) = here.map(Frame::lent) else { return None };
                Some(f(reached))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_value_is_reached_from_inside_alone() {
        let list = Inside::new(Vec::new());
        assert!(!list.is_here() && list.reach(|list| list.push(0)).is_none());
        for number in 1..3 {
            let seen = list.enter(|| {
                assert!(list.is_here());
                list.reach(|list| list.push(number)).unwrap();
                list.reach(|list| list.clone())
            });
            assert_eq!(seen, Some((1..=number).collect()));
        }
        assert!(list.reach(|_| ()).is_none());
    }

    #[test]
    fn those_further_out_are_reached_from_further_in() {
        let (outer, inner) = (Inside::new(1), Inside::new(2));
        let sum = outer.enter(|| {
            assert!(!inner.is_here());
            inner.enter(|| outer.reach(|outer| inner.reach(|inner| *outer + *inner)).flatten())
        });
        assert_eq!(sum, Some(3));
    }

    #[test]
    fn one_in_another_is_not_that_one() {
        let outer = Inside::new(Inside::new(1));
        outer.enter(|| outer.reach(|inner| assert!(!inner.is_here() && inner.enter(|| inner.is_here()))));
    }

    #[test]
    fn a_panic_leaves() {
        let value = Inside::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| value.enter(|| value.reach(|_| panic!("as asked")))));
        assert!(panicked.is_err() && !value.is_here());
        value.enter(|| {
            let panicked = catch_unwind(AssertUnwindSafe(|| value.reach(|_| panic!("as asked"))));
            assert!(panicked.is_err());
            assert_eq!(value.reach(|value| *value), Some(1));
        });
    }

    #[test]
    #[should_panic(expected = "it is entered by one at a time")]
    fn it_is_not_entered_twice() {
        let value = Inside::new(1);
        value.enter(|| value.enter(|| ()));
    }

    #[test]
    #[should_panic(expected = "it is reached by one at a time")]
    fn it_is_not_reached_twice() {
        let value = Inside::new(1);
        value.enter(|| value.reach(|_| value.reach(|_| ())));
    }

    #[cfg(not(foster_shuttle))]
    #[test]
    fn other_threads_are_not_inside() {
        let value = Inside::new(vec![0]);
        std::thread::scope(|threads| {
            for number in 1..4 {
                let other = || value.reach(|value| value.push(9)).is_none();
                let here = value.enter(|| {
                    let other = threads.spawn(other);
                    value.reach(|value| value.push(number)).is_some() && other.join().unwrap()
                });
                assert!(here);
                threads.spawn(|| value.enter(|| value.reach(|value| value.push(7)))).join().unwrap();
            }
        });
        assert_eq!(value.enter(|| value.reach(|value| value.clone())), Some(vec![0, 1, 7, 2, 7, 3, 7]));
    }
}
