//! A stack of values that lie in the stack frames of those who entered them, each with something that was lent to it:
//! an `L` or an `M`.
//!
//! ```text
//!   Stack ──▶ Frame { value, lent, outer } ──▶ Frame { value, lent, outer } ──▶ null
//!             innermost                        entered before it
//! ```
//!
//! For what code on a thread runs in (`core/src/tree/frames.rs`): to enter something is to write a few words. No
//! vector has to be asked whether it has room, and no reference is counted.
//!
//! # Invariants
//!
//! 1. `top` and each `outer` point to a frame of an [`enter`](Stack::enter) that has not returned, or are null; and
//!    what is lent to a frame is borrowed for as long as that. (It would not hold if the code inside an `enter` could
//!    be left and come back to on another stack, as a coroutine with one of its own does. Those who switch stacks
//!    below a poll break this, as they break every scoped thread-local.)
//! 2. Nobody has a reference to a frame outside of a [`with_top`](Stack::with_top), and no `enter` around one returns
//!    before it.

use std::cell::Cell;
use std::convert::Infallible;
use std::ptr;

/// The values that were entered, the innermost first. Of one thread: it is neither `Send` nor `Sync`, since it has a
/// raw pointer in a `Cell`.
pub struct Stack<T, L, M = Infallible> {
    /// The innermost frame; null if nothing was entered. Set by `enter` and, at its end, by `Leave`.
    top: Cell<*const Frame<T, L, M>>,
}

/// A value that was entered. A local variable of `enter`, which nobody moves until it was left.
pub struct Frame<T, L, M = Infallible> {
    /// The value that was entered. Code inside has a shared reference to it, so a part that is to change is a `Cell`.
    value: T,
    /// The reference that was lent to it.
    lent: LentAt<L, M>,
    /// The frame that was entered before it; null for the first.
    outer: *const Frame<T, L, M>,
}

/// A reference that is lent to a value, to one of two types. Lent and not owned, so that to enter neither clones nor
/// moves anything.
#[derive(Clone, Copy)]
pub enum Lent<'a, L, M> {
    /// A value of the first type.
    One(&'a L),
    /// A value of the second type.
    Other(&'a M),
}

/// The same without its lifetime, which a frame cannot name: Invariant 1 takes its place.
enum LentAt<L, M> {
    /// Was a `&L`, which outlives the frame.
    One(*const L),
    /// Was a `&M`, which outlives the frame.
    Other(*const M),
}

impl<T, L, M> Default for Stack<T, L, M> {
    fn default() -> Self {
        Stack::new()
    }
}

impl<T, L, M> Stack<T, L, M> {
    /// Makes an empty stack.
    pub const fn new() -> Self {
        Stack { top: Cell::new(ptr::null()) }
    }

    /// Runs `f` with `value`, and what is `lent` to it, as the innermost one, and returns the value with the result.
    /// If `f` panics, it is left as well.
    #[inline]
    pub fn enter<R>(&self, value: T, lent: Lent<'_, L, M>, f: impl FnOnce() -> R) -> (T, R) {
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
        // Invariant 1: `frame` stays where it is until `leave` is dropped, in a panic, too, since `leave` was made
        // after it. And `lent` was borrowed by the caller for longer than this call.
        let frame = Frame { value, lent, outer: self.top.get() };
        let leave = Leave(self, frame.outer);
        self.top.set(&raw const frame);
        let result = f();
        drop(leave);
        (frame.value, result)
    }

    /// Calls `f` with the innermost frame. What `f` returns cannot refer to it.
    #[inline]
    pub fn with_top<R>(&self, f: impl for<'a> FnOnce(Option<&'a Frame<T, L, M>>) -> R) -> R {
        // SAFETY: lifetime: the frame is that of an `enter` on this thread that has not returned (Invariant 1), and
        // cannot return before `f` does (Invariant 2); it is borrowed for the time of `f` alone, since `f` has to
        // take any lifetime. Aliasing: a frame is never borrowed mutably while it is entered.
        f(unsafe { self.top.get().as_ref() })
    }
}

impl<T, L, M> Frame<T, L, M> {
    #[inline]
    /// Returns the value that the frame was entered with.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Returns what was lent to it.
    #[inline]
    pub fn lent(&self) -> Lent<'_, L, M> {
        // SAFETY: lifetime: what was lent is borrowed for as long as the frame is entered (Invariant 1), and the
        // result as long as the frame is borrowed, which is shorter. Aliasing: it was a shared reference, and is one
        // again.
        unsafe {
            match self.lent {
                LentAt::One(lent) => Lent::One(&*lent),
                LentAt::Other(lent) => Lent::Other(&*lent),
            }
        }
    }

    /// Returns what was entered before it.
    #[inline]
    pub fn parent(&self) -> Option<&Self> {
        // SAFETY: lifetime: it was entered before this one, and its `enter` returns after that of this one; so it is
        // there as long as this one is borrowed (Invariant 1). Aliasing: as for every frame that is entered, there
        // are only shared references to it.
        unsafe { self.outer.as_ref() }
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

    const NOTHING: Lent<'static, String, Cell<u32>> = Lent::One(&String::new());

    fn all(stack: &Numbers) -> Vec<u32> {
        stack.with_top(|top| top.into_iter().flat_map(Frame::ancestors).map(|frame| frame.value().get()).collect())
    }

    #[test]
    fn what_was_entered_is_seen_until_it_is_left() {
        let stack = Numbers::new();
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
            stack.with_top(|top| top.into_iter().flat_map(Frame::ancestors).map(seen).collect())
        };
        let inside = || stack.enter(Cell::new(2), Lent::Other(Cell::from_mut(&mut other)), || (seen(), seen())).1;
        let (_, (first, second)) = stack.enter(Cell::new(1), Lent::One(&one), inside);
        assert_eq!((first, second), (vec!["7".to_owned(), one.clone()], vec!["8".to_owned(), one]));
        assert_eq!(other, 9, "what is lent as a cell may be changed there");
    }
}
