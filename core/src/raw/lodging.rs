//! Room for what borrows, in a block that may outlive what it borrows from.
//!
//! ```text
//!   Thin ──▶ head │ cell ┊ result │ body
//!   Share ─────────────────┘       │
//!   Owner ─────────────────────────┘
//! ```
//!
//! Whoever has a [`Thin`] sees head and cell, for as long as he likes, on any thread. The body is its [`Owner`]'s alone, and is dropped with
//! that; the result is that of two [shares](Share), and is dropped with the second one. These two know in their types what is borrowed, and
//! so cannot outlive it. When one of them is forgotten, what it has is never dropped, and the block with it.
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
// Not those of `sys`: see `thin`.
use std::sync::atomic::{AtomicBool, Ordering};

use super::thin::{Part, Thin, Typed};

/// The tail of such a block. What is dropped with it is the cell alone.
struct Lodging<C, R, P> {
    front: Front<C, R>,
    /// Its owner's alone, once there is one.
    body: UnsafeCell<MaybeUninit<P>>,
}

/// What the shares see of it.
struct Front<C, R> {
    cell: C,
    /// There until both shares are gone.
    result: UnsafeCell<ManuallyDrop<R>>,
    /// One of them is.
    halved: AtomicBool,
}

/// A block, room for a body in it, and both shares in its result. `as_tail` says as what its cell is seen.
#[inline]
pub(crate) fn lodge<H, D: ?Sized, C: Send + Sync + 'static, R, P>(
    head: impl FnOnce(&C) -> H,
    cell: C,
    result: R,
    as_tail: for<'a> fn(&'a C) -> &'a D,
) -> (Thin<H, D>, Room<H, D, P>, [Share<H, D, C, R>; 2]) {
    let front = Front { cell, result: UnsafeCell::new(ManuallyDrop::new(result)), halved: AtomicBool::new(false) };
    let tail = Lodging { front, body: UnsafeCell::new(MaybeUninit::uninit()) };
    // SAFETY: what is dropped with it, the cell, may live for ever, and be dropped on any thread.
    let typed = unsafe {
        Typed::make(|tail| head(&tail.front.cell), tail, |tail: &Lodging<C, R, P>| as_tail(&tail.front.cell))
    };
    let [typed, one, other, block] = typed.split();
    let share =
        |typed: Typed<H, D, Lodging<C, R, P>>| Share { front: typed.part(|tail| &tail.front), has: PhantomData };
    let room = Room { body: NonNull::from(&typed.tail().body), block: typed.into_block() };
    (block.into_block(), room, [share(one), share(other)])
}

/// A block with room for a body, and nothing else beside its head.
#[inline]
pub(crate) fn lodge_alone<H, P>(head: H) -> Room<H, (), P> {
    let tail = UnsafeCell::new(MaybeUninit::uninit());
    // SAFETY: nothing of the tail is dropped with it.
    let typed = unsafe { Typed::make(|_| head, tail, |_: &UnsafeCell<MaybeUninit<P>>| &()) };
    Room { body: NonNull::from(typed.tail()), block: typed.into_block() }
}

/// One of two shares in the result.
pub(crate) struct Share<H, D: ?Sized, C, R> {
    front: Part<H, D, Front<C, R>>,
    has: PhantomData<Box<R>>,
}

// SAFETY: as a reference to the block and to the cell, and one to the result, which may be the last.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync, C: Sync, R: Send + Sync> Send for Share<H, D, C, R> {}
// SAFETY: as above.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync, C: Sync, R: Sync> Sync for Share<H, D, C, R> {}

impl<H, D: ?Sized, C, R> Share<H, D, C, R> {
    #[inline]
    pub(crate) fn block(&self) -> &Thin<H, D> {
        &self.front
    }

    #[inline]
    pub(crate) fn cell(&self) -> &C {
        &self.front.part().cell
    }

    #[inline]
    pub(crate) fn result(&self) -> &R {
        // SAFETY: it is dropped with the second share, and only shared until then.
        unsafe { &*self.front.part().result.get() }
    }
}

impl<H, D: ?Sized, C, R> Drop for Share<H, D, C, R> {
    #[inline]
    fn drop(&mut self) {
        let front = self.front.part();
        // Ordering: what the first one has done to the result comes before its drop.
        // It is set once: who finds it set need not write.
        if front.halved.load(Ordering::Acquire) || front.halved.swap(true, Ordering::AcqRel) {
            // SAFETY: nobody else has it any more.
            unsafe { ManuallyDrop::drop(&mut *front.result.get()) }
        }
    }
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

    impl Number for u32 {
        fn number(&self) -> u32 {
            *self
        }
    }

    /// Says that it is dropped to one that it borrows.
    struct Borrows<'a>(&'a Cell<u32>, u32);

    impl Drop for Borrows<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + self.1);
        }
    }

    /// A body that has a share, and points to itself once it was run.
    struct Body<'a> {
        share: Share<u32, dyn Number, u32, Borrows<'a>>,
        itself: *const Cell<u32>,
        value: Cell<u32>,
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
                this.itself = &raw const this.value;
            }
            this.value.set(this.value.get() + this.share.result().1);
            // SAFETY: it is where it was.
            unsafe { (*this.itself).get() }
        }
    }

    type Running<'a> = Owner<u32, dyn Number, dyn Run + 'a>;

    fn running<'a>(drops: &'a Cell<u32>) -> (Running<'a>, Share<u32, dyn Number, u32, Borrows<'a>>) {
        let (_, room, [share, mine]) = lodge(|_| 7, 8, Borrows(drops, 1), |cell: &u32| -> &dyn Number { cell });
        let body = Body {
            share,
            itself: ptr::null(),
            value: Cell::new(5),
            _borrows: Borrows(drops, 10),
            _pinned: PhantomPinned,
        };
        (room.fill(body).seen_as(|body| body), mine)
    }

    #[test]
    fn a_body_is_dropped_with_its_owner_and_a_result_with_both_shares() {
        let drops = Cell::new(0);
        let (mut owner, share) = running(&drops);
        let block = share.block().clone();
        assert_eq!((owner.get().run(), owner.get().run()), (6, 7));
        assert_eq!((*block, block.tail().number(), *share.cell(), share.result().1), (7, 8, 8, 1));
        drop(owner);
        assert_eq!((drops.get(), block.count()), (10, 2));
        drop(share);
        assert_eq!((drops.get(), block.count()), (11, 1));
        assert_eq!((*block, block.tail().number()), (7, 8), "what does not borrow is there");
    }

    #[test]
    fn the_share_may_go_first() {
        let drops = Cell::new(0);
        let (mut owner, share) = running(&drops);
        drop(share);
        assert_eq!((owner.get().run(), drops.get()), (6, 0));
        drop(owner);
        assert_eq!(drops.get(), 11);
    }

    #[test]
    fn the_block_may_outlive_what_was_borrowed() {
        let block = {
            let drops = Cell::new(0);
            let (_owner, share) = running(&drops);
            share.block().clone()
        };
        assert_eq!((*block, block.tail().number(), block.count()), (7, 8, 1));
    }

    #[test]
    fn room_that_is_never_filled_is_left_as_it_is() {
        let drops = Cell::new(0);
        let (_, room, shares) =
            lodge::<_, dyn Number, _, _, Borrows<'_>>(|_| 7, 8_u32, Borrows(&drops, 1), |cell| cell);
        drop(room);
        assert_eq!(drops.get(), 0);
        drop(shares);
        assert_eq!(drops.get(), 1);
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

        let drops = Cell::new(0);
        let (_, room, shares) = lodge::<_, dyn Number, _, _, _>(|_| 7, 8_u32, Borrows(&drops, 1), |cell| cell);
        let owner = room.fill(Panics(1));
        assert_eq!(owner.0, 1);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(owner))).is_err());
        assert_eq!(shares[0].block().count(), 2);
        drop(shares);
        assert_eq!(drops.get(), 1);
    }

    #[test]
    #[should_panic(expected = "a view of the whole body")]
    fn a_part_of_a_body_is_no_view_of_it() {
        let (_, room, _shares) = lodge::<_, dyn Number, _, _, _>(|_| 7, 8_u32, (), |cell| cell);
        drop(room.fill([1_u32, 2]).seen_as(|both| &mut both[1]));
    }

    /// Head and cell are seen on other threads while the body, which stays on its own, is run.
    #[cfg(not(foster_shuttle))]
    #[test]
    fn threads_see_the_head_while_the_body_runs() {
        let drops = Cell::new(0);
        let (mut owner, share) = running(&drops);
        let block = share.block().clone();
        let thread = std::thread::spawn(move || *block + block.tail().number());
        for _ in 0..3 {
            owner.get().run();
        }
        drop((owner, share));
        assert_eq!((thread.join().unwrap(), drops.get()), (15, 11));
    }

    /// The second of two shares, on whatever thread it goes, drops the result, with all that the first one has done to it.
    #[cfg(not(foster_shuttle))]
    #[test]
    fn shares_go_on_two_threads() {
        use std::sync::Mutex;

        let (_, room, [one, other]) = lodge::<_, dyn Number, _, _, ()>(|_| 7, 8_u32, Mutex::new(vec![1]), |cell| cell);
        drop(room.fill(()));
        let block = one.block().clone();
        let push = |share: &Share<i32, dyn Number, u32, Mutex<Vec<i32>>>| share.result().lock().unwrap().push(2);
        let thread = std::thread::spawn(move || push(&one));
        push(&other);
        drop(other);
        thread.join().unwrap();
        assert_eq!(block.count(), 1);
    }
}
