//! A stack of values that lie in the stack frames of those who entered them, each with something that was lent to it:
//! an `L` or an `M`.
//!
//! ```text
//!   Stack ──▶ Frame { value, lent, outer } ──▶ Frame { value, lent, outer } ──▶ None
//!             innermost                        entered before it
//! ```
//!
//! For what code on a thread runs in (`core/src/tree/frames.rs`): to enter something is to write a few words. No
//! vector has to be asked whether it has room, and no reference is counted.
//!
//! # Invariants
//!
//! The references in `top` and in a frame say `'static`, since a thread-local cannot name how long they live. These
//! two hold instead:
//!
//! 1. `top` and each `outer` refer to a frame of an [`enter`](Stack::enter) that has not returned; and what is lent to
//!    a frame is borrowed for as long as that. (It would not hold if the code inside an `enter` could be left and come
//!    back to on another stack, as a coroutine with one of its own does. Code that switches stacks below a poll
//!    breaks this, as it breaks every scoped thread-local.)
//! 2. Nobody has a reference to a frame, or to what was lent to it, outside of a [`with_top`](Stack::with_top), and no
//!    `enter` around one returns before it. So no function here gives out a `'static`
//!    reference, only one that lives as long as what it was taken from is borrowed.

use std::cell::Cell;
use std::mem::transmute;

/// The values that were entered, the innermost first. Of one thread at a time: it is not `Sync`.
pub struct Stack<T: 'static, L: 'static, M: 'static> {
    /// The innermost frame; none if nothing was entered. Set by `enter` and, at its end, by `Leave`.
    top: Cell<Option<&'static Frame<T, L, M>>>,
}

/// A value that was entered. A local variable of `enter`, which nobody moves until it was left.
pub struct Frame<T: 'static, L: 'static, M: 'static> {
    /// The value that was entered. Code inside has a shared reference to it, so a part that is to change is a `Cell`.
    value: T,
    /// The reference that was lent to it.
    lent: EitherRef<'static, L, M>,
    /// The frame that was entered before it; none for the first.
    outer: Option<&'static Frame<T, L, M>>,
}

/// A reference to one of two types, which is lent to a value. Lent and not owned, so that to enter neither clones nor
/// moves anything. Two types and not one that a user chooses: one with a lifetime would have to be covariant in it,
/// which a trait can only promise.
pub enum EitherRef<'a, L, M> {
    /// A value of the first type.
    First(&'a L),
    /// A value of the second type.
    Second(&'a M),
}

impl<T, L, M> Stack<T, L, M> {
    /// Makes an empty stack.
    pub const fn empty() -> Self {
        Stack { top: Cell::new(None) }
    }

    /// Runs `f` with `value`, and what is `lent` to it, as the innermost one, and returns the value with the result.
    /// If `f` panics, it is left as well.
    #[inline]
    pub fn enter<R>(&self, value: T, lent: EitherRef<'_, L, M>, f: impl FnOnce() -> R) -> (T, R) {
        /// Leaves, also when `f` panics.
        struct Leave<'a, F: 'static>(&'a Cell<Option<&'static F>>, Option<&'static F>);

        impl<F> Drop for Leave<'_, F> {
            #[inline]
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }

        // SAFETY: lifetime: it was borrowed by the caller for longer than this call (Invariant 1), and until it
        // returns only `Frame::lent` copies it, which borrows the frame (Invariant 2).
        let lent = unsafe { transmute::<EitherRef<'_, L, M>, EitherRef<'static, L, M>>(lent) };
        let frame = Frame { value, lent, outer: self.top.get() };
        let leave = Leave(&self.top, frame.outer);
        // SAFETY: lifetime: `frame` stays where it is until `leave` is dropped, in a panic, too, since `leave` was made
        // after it: so `top` refers to it no longer than it is there (Invariant 1), and nobody else does (Invariant
        // 2). Aliasing: it is not borrowed mutably, nor moved, while it is entered.
        self.top.set(Some(unsafe { &*std::ptr::from_ref(&frame) }));
        let result = f();
        drop(leave);
        (frame.value, result)
    }

    /// Calls `f` with the innermost frame. The result of `f` cannot refer to it, since `f` has to accept any lifetime
    /// (Invariant 2).
    #[inline]
    pub fn with_top<R>(&self, f: impl for<'a> FnOnce(Option<&'a Frame<T, L, M>>) -> R) -> R {
        f(self.top.get())
    }
}

impl<T, L, M> Frame<T, L, M> {
    /// Returns the value that the frame was entered with.
    #[inline]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Returns what was lent to it, borrowed as long as the frame is.
    #[inline]
    pub fn lent(&self) -> EitherRef<'_, L, M> {
        match self.lent {
            EitherRef::First(lent) => EitherRef::First(lent),
            EitherRef::Second(lent) => EitherRef::Second(lent),
        }
    }

    /// Returns what was entered before it. That is left after this one, so it may be borrowed as long.
    #[inline]
    pub fn parent(&self) -> Option<&Self> {
        self.outer
    }

    /// Returns this one and those that were entered before it, the innermost first.
    #[inline]
    pub fn ancestors(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |frame| frame.parent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    type Numbers = Stack<Cell<u32>, String, Cell<u32>>;

    const NOTHING: EitherRef<'static, String, Cell<u32>> = EitherRef::First(&String::new());

    fn all(stack: &Numbers) -> Vec<u32> {
        stack.with_top(|top| top.into_iter().flat_map(Frame::ancestors).map(|frame| frame.value().get()).collect())
    }

    #[test]
    fn what_was_entered_is_seen_until_it_is_left() {
        let stack = Numbers::empty();
        assert!(all(&stack).is_empty());
        let (one, (two, seen)) = stack.enter(Cell::new(1), NOTHING, || {
            assert_eq!(all(&stack), [1]);
            let left = stack.enter(Cell::new(2), NOTHING, || {
                stack.with_top(|top| {
                    let parent = top.and_then(Frame::parent).unwrap();
                    parent.value().set(parent.value().get() + 10);
                    // To enter something in `with_top` is allowed, too.
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
        let stack = Numbers::empty();
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
        let stack = Numbers::empty();
        let (one, mut other) = (String::from("one"), 7);
        let seen = || -> Vec<String> {
            let seen = |frame: &Frame<_, String, Cell<u32>>| match frame.lent() {
                EitherRef::First(lent) => lent.clone(),
                EitherRef::Second(lent) => lent.replace(lent.get() + 1).to_string(),
            };
            stack.with_top(|top| top.into_iter().flat_map(Frame::ancestors).map(seen).collect())
        };
        let inside = || stack.enter(Cell::new(2), EitherRef::Second(Cell::from_mut(&mut other)), || (seen(), seen())).1;
        let (_, (first, second)) = stack.enter(Cell::new(1), EitherRef::First(&one), inside);
        assert_eq!((first, second), (vec!["7".to_owned(), one.clone()], vec!["8".to_owned(), one]));
        assert_eq!(other, 9, "what is lent as a cell may be changed there");
    }
}
