//! A stack of values that lie in the stack frames of those who entered them, each with something that was lent to it: an `L` or an `M`.
//!
//! ```text
//!   Stack ──▶ Frame { value, lent, outer } ──▶ Frame { value, lent, outer } ──▶ null
//!             innermost                        entered before it
//! ```
//!
//! For what code on a thread stands in: to enter something is to write a few words. No vector has to be asked whether it has room, and
//! no reference is counted.
//!
//! Invariant 1: `top` and each `outer` point to a frame of an [`enter`](Stack::enter) that has not returned, or are null; and what is
//! lent to a frame is borrowed for as long as that.
//! (It would not hold if the code inside an `enter` could be left and come back to on another stack, as a coroutine with one of its own
//! does. Those who switch stacks below a poll break this, as they break every scoped thread-local.)
//! Invariant 2: nobody has a reference to a frame outside of a [`look`](Stack::look), and no `enter` around a `look` returns
//! before it.

use std::cell::Cell;
use std::convert::Infallible;
use std::ptr;

/// What was entered, the innermost first. Of one thread: it is not `Sync`.
pub(crate) struct Stack<T, L, M = Infallible> {
    top: Cell<*const Frame<T, L, M>>,
}

/// A value that was entered.
pub(crate) struct Frame<T, L, M = Infallible> {
    value: T,
    lent: LentAt<L, M>,
    outer: *const Frame<T, L, M>,
}

/// What is lent to a value.
#[derive(Clone, Copy)]
pub(crate) enum Lent<'a, L, M> {
    One(&'a L),
    Other(&'a M),
}

/// Where it is.
enum LentAt<L, M> {
    One(*const L),
    Other(*const M),
}

impl<T, L, M> Stack<T, L, M> {
    pub(crate) const fn new() -> Self {
        Stack { top: Cell::new(ptr::null()) }
    }

    /// Runs `f` with `value`, and what is `lent` to it, as the innermost one, and gives the value back.
    #[inline]
    pub(crate) fn enter<R>(&self, value: T, lent: Lent<'_, L, M>, f: impl FnOnce() -> R) -> (T, R) {
        /// Leaves, also when `f` panics.
        struct Leave<'a, T, L, M>(&'a Stack<T, L, M>, *const Frame<T, L, M>);

        impl<T, L, M> Drop for Leave<'_, T, L, M> {
            #[inline]
            fn drop(&mut self) {
                self.0.top.set(self.1);
            }
        }

        let lent = match lent {
            Lent::One(lent) => LentAt::One(ptr::from_ref(lent)),
            Lent::Other(lent) => LentAt::Other(ptr::from_ref(lent)),
        };
        let frame = Frame { value, lent, outer: self.top.get() };
        let leave = Leave(self, frame.outer);
        self.top.set(&raw const frame);
        let result = f();
        drop(leave);
        (frame.value, result)
    }

    /// Calls `f` with the innermost frame. What `f` returns cannot refer to it.
    #[inline]
    pub(crate) fn look<R>(&self, f: impl for<'a> FnOnce(Option<&'a Frame<T, L, M>>) -> R) -> R {
        // SAFETY: Invariant 1. The frame is borrowed for the time of `f` alone, since `f` has to take any lifetime, and the `enter` that
        // it is part of, on this thread, cannot return before `f` does (Invariant 2). It is never borrowed mutably in between.
        f(unsafe { self.top.get().as_ref() })
    }
}

impl<T, L, M> Frame<T, L, M> {
    #[inline]
    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    /// What was lent to it.
    #[inline]
    pub(crate) fn lent(&self) -> Lent<'_, L, M> {
        // SAFETY: Invariant 1: it is there as long as this frame is.
        unsafe {
            match self.lent {
                LentAt::One(lent) => Lent::One(&*lent),
                LentAt::Other(lent) => Lent::Other(&*lent),
            }
        }
    }

    /// What was entered before it.
    #[inline]
    pub(crate) fn outer(&self) -> Option<&Self> {
        // SAFETY: Invariant 1: it was entered before this one, and returns after it; so it is there as long as this one is borrowed.
        unsafe { self.outer.as_ref() }
    }

    /// This one and those that were entered before it.
    #[inline]
    pub(crate) fn outward(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |frame| frame.outer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    type Numbers = Stack<Cell<u32>, String, Cell<u32>>;

    const NOTHING: Lent<'static, String, Cell<u32>> = Lent::One(&String::new());

    fn all(stack: &Numbers) -> Vec<u32> {
        stack.look(|top| top.into_iter().flat_map(Frame::outward).map(|frame| frame.value().get()).collect())
    }

    #[test]
    fn what_was_entered_is_seen_until_it_is_left() {
        let stack = Numbers::new();
        assert!(all(&stack).is_empty());
        let (one, (two, seen)) = stack.enter(Cell::new(1), NOTHING, || {
            assert_eq!(all(&stack), [1]);
            let left = stack.enter(Cell::new(2), NOTHING, || {
                stack.look(|top| {
                    let outer = top.and_then(Frame::outer).unwrap();
                    outer.value().set(outer.value().get() + 10);
                    // To enter something in a look is allowed, too.
                    stack.enter(Cell::new(3), NOTHING, || all(&stack)).1
                })
            });
            assert_eq!(all(&stack), [11]);
            left
        });
        assert_eq!((one.get(), two.get(), seen), (11, 2, vec![3, 2, 11]));
        assert!(all(&stack).is_empty());
    }

    #[test]
    fn what_was_entered_is_left_in_a_panic() {
        let stack = Numbers::new();
        stack.enter(Cell::new(1), NOTHING, || {
            let panicked =
                catch_unwind(AssertUnwindSafe(|| stack.enter(Cell::new(2), NOTHING, || panic!("on purpose"))));
            assert!(panicked.is_err());
            assert_eq!(all(&stack), [1]);
        });
        assert!(all(&stack).is_empty());
    }

    #[test]
    fn what_is_lent_is_seen_with_the_one_it_was_lent_to() {
        let stack = Numbers::new();
        let (one, mut other) = (String::from("one"), 7);
        let seen = || -> Vec<String> {
            let seen = |frame: &Frame<_, String, Cell<u32>>| match frame.lent() {
                Lent::One(lent) => lent.clone(),
                Lent::Other(lent) => lent.replace(lent.get() + 1).to_string(),
            };
            stack.look(|top| top.into_iter().flat_map(Frame::outward).map(seen).collect())
        };
        let inside = || stack.enter(Cell::new(2), Lent::Other(Cell::from_mut(&mut other)), || (seen(), seen())).1;
        let (_, (first, second)) = stack.enter(Cell::new(1), Lent::One(&one), inside);
        assert_eq!((first, second), (vec!["7".to_owned(), one.clone()], vec!["8".to_owned(), one]));
        assert_eq!(other, 9, "what is lent as a cell may be changed there");
    }
}
