//! A counted pointer of one word, to a block that has a head, which everybody sees at once, and a tail of any type, which they see as a
//! `D`.
//!
//! ```text
//!   Thin ──▶ count │ how to drop it │ where the tail is, as a D │ head … │ tail …
//! ```
//!
//! An `Arc` of something that ends with a `dyn` is two words, and computes at each access where its fields begin, because the
//! alignment of what comes last moves them.
//!
//! Invariant 1: the block is there as long as its count is not zero, and each `Thin` that is not lent counts for one.
//! Invariant 2: head and tail are shared, until they are dropped with the block.

mod waker;

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::abort;
use std::ptr::NonNull;
// Not those of `sys`: like those of an `Arc`, the counts are no steps of the models.
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use waker::{Calls, Woken};

/// A block that nobody has any more, and how to free it.
type Unused = (NonNull<()>, fn(NonNull<()>));

crate::sys::thread_local! {
    /// A block is being freed on this thread.
    static FREEING: Cell<bool> = const { Cell::new(false) };
    /// Those that it had the last references to.
    static UNUSED: RefCell<Vec<Unused>> = const { RefCell::new(Vec::new()) };
}

/// Frees a block, and then those that it had the last references to, one after the other: a chain of blocks may be 100,000 long, and the
/// stack is not (L37).
fn free_in_turn(block: NonNull<()>, free: fn(NonNull<()>)) {
    match FREEING.try_with(|freeing| freeing.replace(true)) {
        Ok(true) => return UNUSED.with(|unused| unused.borrow_mut().push((block, free))),
        // The thread ends.
        Err(_) => return free(block),
        Ok(false) => {}
    }
    let mut next = Some((block, free));
    let mut first = None;
    while let Some((block, free)) = next {
        // A destructor of the user's may panic; the others are freed all the same.
        let result = catch_unwind(AssertUnwindSafe(|| free(block)));
        first = first.or(result.err());
        next = UNUSED.with(|unused| unused.borrow_mut().pop());
    }
    FREEING.with(|freeing| freeing.set(false));
    match first {
        Some(payload) if std::thread::panicking() => mem::forget(payload),
        Some(payload) => resume_unwind(payload),
        None => {}
    }
}

/// A counted pointer to a head `H` and a tail that is a `D`.
pub(crate) struct Thin<H, D: ?Sized> {
    base: NonNull<Base<H, D>>,
    owns: PhantomData<(H, Box<D>)>,
}

/// What each block begins with.
#[repr(C)]
struct Base<H, D: ?Sized> {
    count: AtomicUsize,
    /// Drops the block, whatever its tail is.
    free: unsafe fn(NonNull<Self>),
    tail: NonNull<D>,
    head: H,
}

/// As it is allocated.
#[repr(C)]
struct Block<H, D: ?Sized, C> {
    base: Base<H, D>,
    tail: C,
}

// SAFETY: as an `Arc` of both: all share them, on any thread, and the last one drops them.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync> Send for Thin<H, D> {}
// SAFETY: as above.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync> Sync for Thin<H, D> {}

impl<H, D: ?Sized> Thin<H, D> {
    #[inline]
    fn base(&self) -> &Base<H, D> {
        // SAFETY: Invariant 1.
        unsafe { self.base.as_ref() }
    }

    #[inline]
    pub(crate) fn tail(&self) -> &D {
        // SAFETY: Invariants 1 and 2.
        unsafe { self.base().tail.as_ref() }
    }

    /// Where the block lies.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr().addr()
    }

    #[inline]
    fn count_more(&self, more: usize) {
        // Ordering: whoever has one may see everything already.
        if self.base().count.fetch_add(more, Ordering::Relaxed) > isize::MAX as usize {
            // As an `Arc`: so many were forgotten that the count would wrap around.
            abort();
        }
    }

    /// So many clones, for one step of the count.
    #[inline]
    pub(crate) fn clones<const N: usize>(&self) -> [Self; N] {
        self.count_more(N);
        std::array::from_fn(|_| Thin { base: self.base, owns: PhantomData })
    }

    /// Nobody else has the block, nor will: it takes a reference to make another, and this one is not shared.
    #[inline]
    pub(super) fn is_alone(&mut self) -> bool {
        // Ordering: what others have done to the block before they gave it up is seen.
        self.base().count.load(Ordering::Acquire) == 1
    }

    /// So many references instead of this one; without a step of the count if it was alone.
    #[inline]
    pub(super) fn split<const N: usize>(mut self) -> [Self; N] {
        const { assert!(N > 0, "it is not given up here") };
        let alone = self.is_alone();
        let this = ManuallyDrop::new(self);
        if alone {
            this.base().count.store(N, Ordering::Relaxed);
        } else {
            this.count_more(N - 1);
        }
        std::array::from_fn(|_| Thin { base: this.base, owns: PhantomData })
    }

    /// Drops it, which is the last one, or probably so: then it goes without a step of the count.
    #[inline]
    pub(super) fn drop_last(mut self) {
        if self.is_alone() {
            let this = ManuallyDrop::new(self);
            // SAFETY: nobody else has it, and this is not dropped once more.
            unsafe { (this.base().free)(this.base) }
        }
    }

    /// Drops both: in one step of the count, if they are of one block.
    #[inline]
    pub(crate) fn drop_with(self, other: Option<Self>) {
        let Some(other) = other.filter(|other| self.is(other)) else { return };
        // It leaves its part of the count to `self`, which is counted down for both.
        mem::forget(other);
        let this = ManuallyDrop::new(self);
        // Ordering: as in `drop`.
        if this.base().count.fetch_sub(2, Ordering::Release) == 2 {
            this.base().count.load(Ordering::Acquire);
            // SAFETY: as in `drop`.
            unsafe { (this.base().free)(this.base) }
        }
    }

    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.base == other.base
    }

    /// The block that [`into_raw`](Thin::into_raw) gave away.
    ///
    /// # Safety
    ///
    /// `block` is one; and it counts for this, or this is never dropped.
    #[inline]
    unsafe fn from_raw(block: *const ()) -> Self {
        // SAFETY: it came from a `NonNull`.
        Thin { base: unsafe { NonNull::new_unchecked(block.cast_mut().cast()) }, owns: PhantomData }
    }

    #[inline]
    fn into_raw(self) -> *const () {
        ManuallyDrop::new(self).base.as_ptr().cast_const().cast()
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.base().count.load(Ordering::Relaxed)
    }
}

impl<H, D: ?Sized> Clone for Thin<H, D> {
    #[inline]
    fn clone(&self) -> Self {
        let [clone] = self.clones();
        clone
    }
}

impl<H, D: ?Sized> Drop for Thin<H, D> {
    #[inline]
    fn drop(&mut self) {
        // Ordering: what any of them has done to the block comes before its end, on the thread of the last one.
        if self.base().count.fetch_sub(1, Ordering::Release) == 1 {
            self.base().count.load(Ordering::Acquire);
            // SAFETY: nobody else has it any more, and nobody will.
            unsafe { (self.base().free)(self.base) }
        }
    }
}

impl<H, D: ?Sized> Deref for Thin<H, D> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        &self.base().head
    }
}

/// A counted pointer to a block whose tail is an `X`.
pub(crate) struct Typed<H, D: ?Sized, X> {
    block: Thin<H, D>,
    tail: PhantomData<X>,
}

// SAFETY: the block is, and its tail is shared.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync, X: Sync> Send for Typed<H, D, X> {}
// SAFETY: as above.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync, X: Sync> Sync for Typed<H, D, X> {}

impl<H, D: ?Sized, X: Send + Sync + 'static> Typed<H, D, X> {
    /// A block, whose head is made for the tail. `as_tail` says as what that is seen.
    #[inline]
    pub(crate) fn new(head: impl FnOnce(&X) -> H, tail: X, as_tail: for<'a> fn(&'a X) -> &'a D) -> Self {
        // SAFETY: it may live for ever, and be dropped on any thread.
        unsafe { Typed::make(head, tail, as_tail) }
    }
}

impl<H, D: ?Sized, X> Typed<H, D, X> {
    /// # Safety
    ///
    /// The tail may be dropped at any time, and on any thread on which the head and a `D` may be.
    #[inline]
    pub(super) unsafe fn make(
        head: impl FnOnce(&X) -> H,
        tail: X,
        as_tail: impl for<'a> FnOnce(&'a X) -> &'a D,
    ) -> Self {
        // SAFETY: it is given a block with a tail of this type.
        unsafe fn free<H, D: ?Sized, X>(base: NonNull<Base<H, D>>) {
            // SAFETY: it was made of this box.
            let free = |block: NonNull<()>| drop(unsafe { Box::from_raw(block.cast::<Block<H, D, X>>().as_ptr()) });
            free_in_turn(base.cast(), free);
        }

        let block = Box::into_raw(Box::new(MaybeUninit::<Block<H, D, X>>::uninit())).cast::<Block<H, D, X>>();
        // SAFETY: it was allocated for this, and nobody else knows it. The tail is written before it is borrowed; and should `head` or
        // `as_tail` panic, the block is leaked. Nothing borrows it but shared until it is freed, so what `as_tail` gives is good until
        // then: it comes from the tail, or lives for ever.
        unsafe {
            (&raw mut (*block).tail).write(tail);
            let tail = NonNull::from(as_tail(&(*block).tail));
            // Not copied there: a head may be large.
            (&raw mut (*block).base.head).write(head(&(*block).tail));
            (&raw mut (*block).base.count).write(AtomicUsize::new(1));
            (&raw mut (*block).base.free).write(free::<H, D, X>);
            (&raw mut (*block).base.tail).write(tail);
            Typed { block: Thin { base: NonNull::new_unchecked(block.cast()), owns: PhantomData }, tail: PhantomData }
        }
    }

    #[inline]
    pub(crate) fn tail(&self) -> &X {
        // SAFETY: Invariants 1 and 2; and it is a block of this type.
        unsafe { &self.block.base.cast::<Block<H, D, X>>().as_ref().tail }
    }

    /// Whether it lies in the tail.
    #[inline]
    pub(super) fn has<Y>(&self, part: &Y) -> bool {
        let (tail, part) = (std::ptr::from_ref(self.tail()).addr(), std::ptr::from_ref(part).addr());
        part >= tail && part + size_of::<Y>() <= tail + size_of::<X>()
    }

    /// A part of the tail.
    #[inline]
    pub(crate) fn part<Y: ?Sized>(self, of: for<'a> fn(&'a X) -> &'a Y) -> Part<H, D, Y> {
        // It borrows from the tail, for as long as anybody likes, and has nothing else to take it from but what lives for ever.
        let part = NonNull::from(of(self.tail()));
        Part { block: self.block, part }
    }

    #[inline]
    pub(crate) fn into_block(self) -> Thin<H, D> {
        self.block
    }

    /// As for the block.
    #[inline]
    pub(super) fn is_alone(&mut self) -> bool {
        self.block.is_alone()
    }

    /// So many references instead of this one; without a step of the count if it was alone.
    #[inline]
    pub(crate) fn split<const N: usize>(self) -> [Self; N] {
        self.block.split().map(|block| Typed { block, tail: PhantomData })
    }

    /// So many clones, for one step of the count.
    #[inline]
    pub(crate) fn clones<const N: usize>(&self) -> [Self; N] {
        self.block.clones().map(|block| Typed { block, tail: PhantomData })
    }
}

impl<H, D: ?Sized, X> Clone for Typed<H, D, X> {
    #[inline]
    fn clone(&self) -> Self {
        let [clone] = self.clones();
        clone
    }
}

impl<H, D: ?Sized, X> Deref for Typed<H, D, X> {
    type Target = Thin<H, D>;

    #[inline]
    fn deref(&self) -> &Thin<H, D> {
        &self.block
    }
}

/// A counted pointer to a block, and to a part of its tail.
pub(crate) struct Part<H, D: ?Sized, Y: ?Sized> {
    block: Thin<H, D>,
    part: NonNull<Y>,
}

// SAFETY: the block is, and the part is shared.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync, Y: ?Sized + Sync> Send for Part<H, D, Y> {}
// SAFETY: as above.
unsafe impl<H: Send + Sync, D: ?Sized + Send + Sync, Y: ?Sized + Sync> Sync for Part<H, D, Y> {}

impl<H, D: ?Sized, Y: ?Sized> Part<H, D, Y> {
    #[inline]
    pub(crate) fn part(&self) -> &Y {
        // SAFETY: it is of the tail, which is there as long as the block is, and never borrowed but shared (Invariant 2).
        unsafe { self.part.as_ref() }
    }

    #[inline]
    pub(crate) fn into_block(self) -> Thin<H, D> {
        self.block
    }
}

impl<H, D: ?Sized, Y: ?Sized> Deref for Part<H, D, Y> {
    type Target = Thin<H, D>;

    #[inline]
    fn deref(&self) -> &Thin<H, D> {
        &self.block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    /// What heads and tails are made of here: counts its drops.
    struct Dropped(Arc<AtomicU32>, u32);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(self.1, Ordering::Relaxed);
        }
    }

    trait Number: Send + Sync {
        fn number(&self) -> u32;
    }

    /// A tail of some alignment.
    #[repr(align(64))]
    struct Wide(#[expect(dead_code, reason = "counts its drop")] Dropped, u32);

    impl Number for Wide {
        fn number(&self) -> u32 {
            self.1
        }
    }

    impl Number for () {
        fn number(&self) -> u32 {
            0
        }
    }

    struct Panics(Dropped);

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("as asked");
        }
    }

    impl Number for Panics {
        fn number(&self) -> u32 {
            self.0.1
        }
    }

    type With<X> = Typed<Dropped, dyn Number, X>;

    fn both(drops: &Arc<AtomicU32>) -> With<Wide> {
        let (head, tail) = (Dropped(drops.clone(), 1), Dropped(drops.clone(), 10));
        With::new(|_| head, Wide(tail, 7), |tail| tail)
    }

    #[test]
    fn a_block_is_dropped_with_the_last_of_those_who_have_it() {
        let drops = Arc::new(AtomicU32::new(0));
        let typed = both(&drops);
        let block = typed.clone().into_block();
        assert_eq!((block.1, block.tail().number(), typed.tail().1, block.count()), (1, 7, 7, 2));
        let number = typed.part(|wide| &wide.1);
        assert_eq!((*number.part(), number.is(&block), number.address() == block.address()), (7, true, true));
        drop(block);
        let block = number.clone();
        drop(number);
        assert_eq!((drops.load(Ordering::Relaxed), block.count()), (0, 1));
        drop(block);
        assert_eq!(drops.load(Ordering::Relaxed), 11);
    }

    #[test]
    fn a_tail_may_have_no_size() {
        let typed: Typed<u32, dyn Number, ()> = Typed::new(|()| 3, (), |tail| tail);
        assert_eq!((*typed.clone().into_block(), typed.tail().number()), (3, 0));
    }

    #[test]
    fn a_tail_that_panics_as_it_is_dropped_leaves_no_memory_behind() {
        let drops = Arc::new(AtomicU32::new(0));
        let (head, tail) = (Dropped(drops.clone(), 1), Panics(Dropped(drops.clone(), 10)));
        let block = With::new(|_| head, tail, |tail| tail).into_block();
        assert_eq!(block.tail().number(), 10);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(block))).is_err());
        assert_eq!(drops.load(Ordering::Relaxed), 11);
    }

    #[test]
    fn references_are_counted_together_and_the_last_one_is_dropped_by_a_look() {
        let drops = Arc::new(AtomicU32::new(0));
        let [one, two, three] = both(&drops).split();
        assert_eq!(one.count(), 3, "alone");
        let [one, four] = one.split();
        assert_eq!(one.count(), 4, "with others");
        let [five, six] = four.clones();
        assert_eq!(one.count(), 6);
        drop((two, three, four, five, six));
        let [mut one] = one.split();
        assert!(one.is_alone());
        one.clone().into_block().drop_last();
        assert_eq!((drops.load(Ordering::Relaxed), one.count()), (0, 1), "not the last one");
        one.into_block().drop_last();
        assert_eq!(drops.load(Ordering::Relaxed), 11);
    }

    #[test]
    fn references_are_dropped_together() {
        let drops = Arc::new(AtomicU32::new(0));
        let [one, two, three] = both(&drops).split().map(Typed::into_block);
        one.drop_with(Some(two));
        assert_eq!((drops.load(Ordering::Relaxed), three.count()), (0, 1));
        let (four, other) = (three.clone(), both(&drops).into_block());
        four.drop_with(Some(other));
        assert_eq!((drops.load(Ordering::Relaxed), three.count()), (11, 1), "each of its own block");
        let last = three.clone();
        three.drop_with(Some(last));
        assert_eq!(drops.load(Ordering::Relaxed), 22);
        both(&drops).into_block().drop_with(None);
        assert_eq!(drops.load(Ordering::Relaxed), 33);
    }

    #[cfg(not(foster_shuttle))]
    #[test]
    fn threads_share_a_block_and_the_last_one_drops_it() {
        let drops = Arc::new(AtomicU32::new(0));
        let block = both(&drops).into_block();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let block = block.clone();
                std::thread::spawn(move || block.clone().tail().number() + block.1)
            })
            .collect();
        drop(block);
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>(), 24);
        assert_eq!(drops.load(Ordering::Relaxed), 11);
    }
}
