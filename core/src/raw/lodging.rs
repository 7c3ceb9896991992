//! Room for what borrows, in a block that may outlive what it borrows from.
//!
//! ```text
//!   Thin ──▶ head │ cell ┊ value │ body
//!   Giver, Taker ──────────┘        │
//!   Owner ──────────────────────────┘
//! ```
//!
//! Whoever has a [`Thin`] sees head and cell, for as long as he likes, on any thread. The body is its [`Owner`]'s alone, and is dropped with
//! that; the value is what the body leaves, of which a [`Giver`] and a [`Taker`] have an end each. These three know in their types what is
//! borrowed, and so cannot outlive it. When one of them is forgotten, what it has is never dropped, and the block with it.
//!
//! In boxes of their own these would be three allocations for each child of a local nursery, and two for each branch of a combinator, whose
//! block has a head and a body alone.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::{self, NonNull};

use super::delivery::{Delivery, Giver, Taker};
use super::thin::{Part, Thin, Typed};

/// The tail of such a block. What is dropped with it is the cell alone.
struct Lodging<C, T, P> {
    cell: C,
    /// The ends' alone, one after the other: none when they are gone.
    room: ManuallyDrop<UnsafeCell<Option<T>>>,
    /// Its owner's alone, once there is one.
    body: UnsafeCell<MaybeUninit<P>>,
}

/// A block, room for a body in it, and both ends of what that leaves. `as_tail` says as what its cell is seen, `of` where in the cell it
/// stands how far that is.
#[inline]
pub(crate) fn lodge<H, D: ?Sized, C: Send + Sync + 'static, T, P>(
    head: impl FnOnce(&C) -> H,
    cell: C,
    as_tail: for<'a> fn(&'a C) -> &'a D,
    of: for<'a> fn(&'a C) -> &'a Delivery,
) -> (Thin<H, D>, Room<H, D, P>, Giver<Part<H, D, C>, T>, Taker<H, D, T>) {
    let room = ManuallyDrop::new(UnsafeCell::new(None));
    let tail = Lodging { cell, room, body: UnsafeCell::new(MaybeUninit::uninit()) };
    // SAFETY: what is dropped with it, the cell, may live for ever, and be dropped on any thread.
    let typed = unsafe { Typed::make(|tail| head(&tail.cell), tail, |tail: &Lodging<C, T, P>| as_tail(&tail.cell)) };
    let [typed, giver, taker, block] = typed.split();
    let (giver, tail) = (giver.part(|tail| &tail.cell), typed.tail());
    let left = of(&tail.cell);
    assert!(typed.has(left), "what the body leaves stands in its own block");
    // SAFETY: both lie in the tail, of which nothing is borrowed but shared. The room is for the ends alone, and nobody else has the block.
    let (taker, giver) = unsafe { (left.taker(taker.into_block(), &tail.room), left.giver(giver, &tail.room)) };
    let room = Room { body: NonNull::from(&tail.body), block: typed.into_block() };
    (block.into_block(), room, giver, taker)
}

/// A block with room for a body, and nothing else beside its head.
#[inline]
pub(crate) fn lodge_alone<H, P>(head: H) -> Room<H, (), P> {
    let tail = UnsafeCell::new(MaybeUninit::uninit());
    // SAFETY: nothing of the tail is dropped with it.
    let typed = unsafe { Typed::make(|_| head, tail, |_: &UnsafeCell<MaybeUninit<P>>| &()) };
    Room { body: NonNull::from(typed.tail()), block: typed.into_block() }
}

/// Room for a body.
pub(crate) struct Room<H, D: ?Sized, P> {
    block: Thin<H, D>,
    body: NonNull<UnsafeCell<MaybeUninit<P>>>,
}

impl<H, D: ?Sized, P> Room<H, D, P> {
    /// The body moves in.
    #[inline]
    pub(crate) fn fill(self, body: P) -> Owner<H, D, P> {
        // SAFETY: nobody else reaches it, and it is there as long as the block is.
        let body = NonNull::from(unsafe { (*self.body.as_ref().get()).write(body) });
        Owner { body: Lodger { body, has: PhantomData }, block: self.block }
    }
}

/// A body in its block, seen as a `P`.
pub(crate) struct Owner<H, D: ?Sized, P: ?Sized> {
    // Dropped in this order.
    body: Lodger<P>,
    block: Thin<H, D>,
}

/// Drops a body where it is.
struct Lodger<P: ?Sized> {
    body: NonNull<P>,
    has: PhantomData<Box<P>>,
}

// SAFETY: as a box.
unsafe impl<P: ?Sized + Send> Send for Lodger<P> {}
// SAFETY: as above.
unsafe impl<P: ?Sized + Sync> Sync for Lodger<P> {}
// As a box.
impl<P: ?Sized + UnwindSafe> UnwindSafe for Lodger<P> {}
impl<P: ?Sized + RefUnwindSafe> RefUnwindSafe for Lodger<P> {}

impl<P: ?Sized> Drop for Lodger<P> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the body is there, and nobody else's.
        unsafe { ptr::drop_in_place(self.body.as_ptr()) }
    }
}

impl<H, D: ?Sized, P: ?Sized> Owner<H, D, P> {
    /// The same body, seen as something else that it is.
    #[inline]
    pub(crate) fn seen_as<Q: ?Sized>(self, view: for<'a> fn(&'a mut P) -> &'a mut Q) -> Owner<H, D, Q> {
        let Owner { body, block } = self;
        let body = ManuallyDrop::new(body);
        // SAFETY: as in `drop`, and it is never seen as what it was again.
        let seen = NonNull::from(view(unsafe { &mut *body.body.as_ptr() }));
        // Something else that begins there can only be a part of it; then the rest is never dropped.
        assert!(ptr::addr_eq(seen.as_ptr(), body.body.as_ptr()), "a view of the whole body");
        Owner { body: Lodger { body: seen, has: PhantomData }, block }
    }

    #[inline]
    pub(crate) fn get(&mut self) -> Pin<&mut P> {
        // SAFETY: as in `drop`. It stays where it is until it is dropped there: the block is not moved, nor freed before this is dropped, or ever
        // if this is forgotten.
        unsafe { Pin::new_unchecked(self.body.body.as_mut()) }
    }

    /// The body, and the block that it lies in.
    #[inline]
    pub(crate) fn get_with_block(&mut self) -> (Pin<&mut P>, &Thin<H, D>) {
        // SAFETY: as in `get`. Nothing of the body is reached through the block.
        (unsafe { Pin::new_unchecked(self.body.body.as_mut()) }, &self.block)
    }

    #[inline]
    pub(crate) fn block(&self) -> &Thin<H, D> {
        &self.block
    }
}

impl<H, D: ?Sized, P: ?Sized> Deref for Owner<H, D, P> {
    type Target = P;

    #[inline]
    fn deref(&self) -> &P {
        // SAFETY: as in `drop`.
        unsafe { self.body.body.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::marker::PhantomPinned;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    trait Number: Send + Sync {
        fn number(&self) -> u32;
    }

    struct Middle {
        number: u32,
        left: Delivery,
    }

    impl Middle {
        fn new() -> Self {
            Middle { number: 8, left: Delivery::coming() }
        }

        fn left(&self) -> &Delivery {
            &self.left
        }
    }

    impl Number for Middle {
        fn number(&self) -> u32 {
            self.number
        }
    }

    /// Says that it is dropped to one that it borrows.
    struct Borrows<'a>(&'a Cell<u32>, u32);

    impl Drop for Borrows<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + self.1);
        }
    }

    type Gives<'a> = Giver<Part<u32, dyn Number, Middle>, Borrows<'a>>;
    type Takes<'a> = Taker<u32, dyn Number, Borrows<'a>>;

    /// A body that points to itself once it was run, and leaves a value in its third run.
    struct Body<'a> {
        end: Option<Gives<'a>>,
        drops: &'a Cell<u32>,
        itself: *const Cell<u32>,
        runs: Cell<u32>,
        _borrows: Borrows<'a>,
        _pinned: PhantomPinned,
    }

    trait Run {
        fn run(self: Pin<&mut Self>) -> u32;
    }

    impl Run for Body<'_> {
        fn run(self: Pin<&mut Self>) -> u32 {
            // SAFETY: nothing is moved.
            let this = unsafe { self.get_unchecked_mut() };
            if this.itself.is_null() {
                this.itself = &raw const this.runs;
            }
            this.runs.set(this.runs.get() + 1);
            if this.runs.get() == 3 {
                let given = this.end.take().unwrap().give(0, Some(Borrows(this.drops, 1)));
                assert_eq!(given.block.part().number(), 8);
            }
            // SAFETY: it is where it was.
            unsafe { (*this.itself).get() }
        }
    }

    type Running<'a> = Owner<u32, dyn Number, dyn Run + 'a>;

    fn running<'a>(drops: &'a Cell<u32>) -> (Running<'a>, Takes<'a>) {
        let (_, room, end, taker) = lodge(|_| 7, Middle::new(), |cell| -> &dyn Number { cell }, Middle::left);
        let body = Body {
            end: Some(end),
            drops,
            itself: ptr::null(),
            runs: Cell::new(0),
            _borrows: Borrows(drops, 10),
            _pinned: PhantomPinned,
        };
        (room.fill(body).seen_as(|body| body), taker)
    }

    #[test]
    fn a_body_is_dropped_with_its_owner_and_what_it_leaves_with_the_taker() {
        let drops = Cell::new(0);
        let (mut owner, taker) = running(&drops);
        let block = taker.block().clone();
        assert_eq!((owner.get().run(), owner.get().run(), taker.note()), (1, 2, None));
        assert_eq!((owner.get().run(), taker.note(), *block, block.tail().number()), (3, Some(0), 7, 8));
        drop(owner);
        assert_eq!((drops.get(), block.count()), (10, 2));
        drop(taker);
        assert_eq!((drops.get(), block.count()), (11, 1));
        assert_eq!((*block, block.tail().number()), (7, 8), "what does not borrow is there");
    }

    #[test]
    fn what_is_left_may_be_taken_when_the_body_is_gone() {
        let drops = Cell::new(0);
        let (mut owner, mut taker) = running(&drops);
        for _ in 0..3 {
            owner.get().run();
        }
        drop(owner);
        let value = taker.take();
        drop(taker);
        assert_eq!(drops.get(), 10);
        drop(value);
        assert_eq!(drops.get(), 11);
    }

    #[test]
    fn the_block_may_outlive_what_was_borrowed() {
        let block = {
            let drops = Cell::new(0);
            let (mut owner, taker) = running(&drops);
            for _ in 0..3 {
                owner.get().run();
            }
            taker.block().clone()
        };
        assert_eq!((*block, block.tail().number(), block.count()), (7, 8, 1));
    }

    #[test]
    fn room_that_is_never_filled_is_left_as_it_is() {
        let drops = Cell::new(0);
        let (_, room, end, taker) =
            lodge::<_, dyn Number, _, Borrows<'_>, Borrows<'_>>(|_| 7, Middle::new(), |cell| cell, Middle::left);
        drop(room);
        let block = taker.block().clone();
        drop((end, taker));
        assert_eq!((drops.get(), block.count()), (0, 1));
    }

    #[test]
    fn a_body_may_be_alone_with_its_head() {
        let drops = Cell::new(0);
        let mut owner = lodge_alone(7).fill(Borrows(&drops, 1));
        let (body, block) = owner.get_with_block();
        assert_eq!((body.1, **block, block.count()), (1, 7, 1));
        let block = owner.block().clone();
        drop(owner);
        assert_eq!((drops.get(), *block, block.count()), (1, 7, 1));
        drop(lodge_alone::<_, Borrows<'_>>(7));
        assert_eq!(drops.get(), 1, "room that is never filled is left as it is");
    }

    #[test]
    fn a_body_that_panics_as_it_is_dropped_leaves_its_block() {
        struct Panics(u32);

        impl Drop for Panics {
            fn drop(&mut self) {
                assert!(self.0 == 0, "as asked");
            }
        }

        let (_, room, end, _) = lodge::<_, dyn Number, _, (), _>(|_| 7, Middle::new(), |cell| cell, Middle::left);
        let owner = room.fill(Panics(1));
        assert_eq!(owner.0, 1);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(owner))).is_err());
        assert_eq!(end.block().count(), 1);
    }

    #[test]
    #[should_panic(expected = "a view of the whole body")]
    fn a_part_of_a_body_is_no_view_of_it() {
        let (_, room, ..) = lodge::<_, dyn Number, _, (), _>(|_| 7, Middle::new(), |cell| cell, Middle::left);
        drop(room.fill([1_u32, 2]).seen_as(|both| &mut both[1]));
    }

    #[test]
    #[should_panic(expected = "what the body leaves stands in its own block")]
    fn a_delivery_of_others_is_not_taken() {
        static OTHER: Delivery = Delivery::coming();
        lodge::<_, dyn Number, _, (), ()>(|_| 7, Middle::new(), |cell| cell, |_| &OTHER);
    }

    /// Head and cell are seen on other threads while the body, which stays on its own, is run.
    #[cfg(not(foster_shuttle))]
    #[test]
    fn threads_see_the_head_while_the_body_runs() {
        let drops = Cell::new(0);
        let (mut owner, taker) = running(&drops);
        let block = taker.block().clone();
        let thread = std::thread::spawn(move || *block + block.tail().number());
        for _ in 0..3 {
            owner.get().run();
        }
        drop((owner, taker));
        assert_eq!((thread.join().unwrap(), drops.get()), (15, 11));
    }
}
