//! A reference-counted block: a head that everybody sees, a part whose type only some know, and a body whose type is
//! forgotten.
//!
//! ```text
//!   BlockRef<H> ──▶ ┌──────────────┐
//!                   │ count, table │
//!                   │ head: H      │ ◀── everybody
//!                   │ part: S      │ ◀── whoever knows its type
//!                   │ body: B      │ ◀── BodyGuard, as a trait object, one at a time
//!                   └──────────────┘
//! ```
//!
//! For a task: its node, and its future, later its value, in one allocation, behind a pointer of one word that is a
//! waker, too. In safe code these are several, and each costs a child of a nursery about 400 instructions under glibc
//! (the bar of a spawned child, in `tests/bench`, is at stake); `Arc<Node<dyn Body>>` would be a pointer of two words that
//! looks up its alignment at each use, and no `Waker`. Nor is it async-task: the host polls the job of a task and has a
//! block for it, and the node has to outlive the future, so that would be a third block, with a schedule that nobody asks.
//!
//! The body is used by one thread at a time: its state is in `block/body.rs`, and the count of the references in
//! `block/count.rs`, which have no unsafe code. Here is what depends on them.
//!
//! # Invariants
//!
//! Each `unsafe` below is justified by these two.
//!
//! 1. `count` is the number of `BlockRef`s and of the wakers made from them. The block is freed with the last of
//!    them, and never moves. So what any of them points to is alive and pinned.
//! 2. A [`BodyGuard`] exists only in Busy and in Unwanted, and there is one at most. Absent is final, and the body is
//!    dropped then. So a guard's body is there, and is used by nobody else. (The body of a guard that is forgotten is
//!    leaked.)
//!
//! The user is `core/src/tree/node.rs`, where the head is a `Node`; `core/src/races/handover.rs` has models of a
//! shut-down during a poll.

mod body;
mod count;

use std::any::TypeId;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use body::{BodyState, NoBody};
use count::RefCount;

pub use body::Erase;

/// The part that the references to a block share. `Send + Sync`, because any thread may have a reference, and may drop
/// the last one.
pub trait Head: Send + Sync + Sized + 'static {
    /// The trait object as which bodies are seen.
    type Body: ?Sized;

    /// Called by the wakers that are made of references; on any thread, and any number of times.
    fn wake(&self);

    /// Returns the table of these wakers, which is a `static`: two wakers are known to be the same by its address. A
    /// constant may have another address in each part of the program that uses it.
    fn waker_table() -> &'static WakerTable<Self>;
}

/// The functions of the wakers that are made of references to blocks with the head `H`.
pub struct WakerTable<H>(RawWakerVTable, PhantomData<fn() -> H>);

/// The beginning of each block, whatever its types: all that a `BlockRef` can see of it.
struct Start<H: Head> {
    /// How many references and wakers there are (Invariant 1).
    count: RefCount,
    /// The state of the body (Invariant 2).
    body: BodyState,
    /// The functions that know the types of this block.
    table: &'static Table<H>,
    /// The head, which everybody sees.
    head: H,
}

/// A block with its types.
///
/// `repr(C)`: what comes first is where it is whatever comes after it. So a pointer to the block is one to its
/// `Start`, and the part is at the same place for all types of bodies.
#[repr(C)]
struct Block<H: Head, S, B> {
    start: Start<H>,
    /// The part, seen by code that knows its type: shared, never mutably.
    part: S,
    /// The body. Changed through a shared reference, by the one guard; dropped by that guard and not with the block.
    body: UnsafeCell<ManuallyDrop<B>>,
}

/// The functions that depend on the types of a block. Each is to be called with a block of these types: that is what
/// makes them `unsafe`. The constructor puts the table into the block that it belongs to, and nobody changes it.
struct Table<H: Head> {
    /// Returns the type of the part.
    part: fn() -> TypeId,
    /// Frees the block, but for its body. Nobody may refer to it.
    free: unsafe fn(NonNull<Start<H>>),
    /// Returns the body, of which the caller has the guard, mutably borrowed for `'a`.
    body: for<'a> unsafe fn(NonNull<Start<H>>, PhantomData<&'a mut ()>) -> Pin<&'a mut H::Body>,
    /// Drops the body, of which the caller has the guard; once.
    drop_body: unsafe fn(NonNull<Start<H>>),
}

/// A shared reference to a block. A thin pointer, so that it can be the data of a waker.
pub struct BlockRef<H: Head>(NonNull<Start<H>>);

// SAFETY: `Send`: a reference that goes to another thread shares the head and the part there, and may drop them as
// the last one: both are `Send + Sync` (see `Head` and `Block::make`). The body is `Send`, and used by one thread at a
// time (Invariant 2), so it never needs to be `Sync`.
unsafe impl<H: Head> Send for BlockRef<H> {}
// SAFETY: `Sync`: all that can be done with a `&BlockRef` on another thread can be done with a clone that was sent
// there, and that is `Send`.
unsafe impl<H: Head> Sync for BlockRef<H> {}

// The bounds are those that `Send` and `Sync` above rely on.
impl<H: Head, S: Send + Sync + 'static, B: Erase<H::Body> + Send + 'static> Block<H, S, B> {
    const TABLE: Table<H> =
        Table { part: TypeId::of::<S>, free: Self::free, body: Self::body, drop_body: Self::drop_body };

    /// Makes a block, and its first reference. The one place where it is done: here its types meet their table.
    fn make(state: BodyState, head: H, part: S, body: B) -> BlockRef<H> {
        let start = Start { count: RefCount::first(), body: state, table: const { &Self::TABLE }, head };
        let block = Box::new(Block { start, part, body: UnsafeCell::new(ManuallyDrop::new(body)) });
        BlockRef(NonNull::from(Box::leak(block)).cast())
    }

    /// Frees the head, the part and the memory. The caller: nobody refers to the block any more, and it is of this
    /// type.
    unsafe fn free(start: NonNull<Start<H>>) {
        // SAFETY: it came out of a box of this type, in `Block::make`, and nobody refers to it any more (Invariant
        // 1). The body is in a `ManuallyDrop`: it is gone by now, or was leaked with its guard.
        drop(unsafe { Box::from_raw(start.cast::<Self>().as_ptr()) });
    }

    /// Returns the body, pinned where it is. The caller has borrowed the guard of the body for as long as that, and
    /// the block is of this type.
    unsafe fn body(start: NonNull<Start<H>>, _: PhantomData<&mut ()>) -> Pin<&mut H::Body> {
        // SAFETY: aliasing: the block is of this type, the body is there, and this is the only reference to it, since
        // the caller has borrowed its guard for as long as that (Invariant 2). Only the cell is borrowed, not the
        // block, to which others have shared references. Pinning: the block never moves (Invariant 1), and the body
        // is dropped where it is.
        unsafe { Pin::new_unchecked(&mut **(*start.cast::<Self>().as_ptr()).body.get()) }.erase()
    }

    /// Drops the body where it is. The caller has its guard, and gives that up; the block is of this type.
    unsafe fn drop_body(start: NonNull<Start<H>>) {
        // SAFETY: aliasing: the caller has the guard, and is using it up, so this is the only reference to the body,
        // which is there (Invariant 2). It is dropped once, because the state is Absent after this, and no guard is
        // made then.
        unsafe { ManuallyDrop::drop(&mut *(*start.cast::<Self>().as_ptr()).body.get()) }
    }
}

impl<H: Head> BlockRef<H> {
    /// Makes a block with a head and an idle body.
    pub fn with_body(head: H, body: impl Erase<H::Body> + Send + 'static) -> Self {
        Block::make(BodyState::idle(), head, (), body)
    }

    /// Makes a block with a head and a part, and without a body.
    pub fn with_part(head: H, part: impl Send + Sync + 'static) -> Self {
        Block::make(BodyState::absent(), head, part, NoBody)
    }

    /// Returns so many references in the place of this one, which has to be the only one: to clone it would take an atomic
    /// step for each.
    #[inline]
    pub fn split<const N: usize>(self) -> [Self; N] {
        self.start().count.split(N as u32);
        let this = ManuallyDrop::new(self);
        [(); N].map(|()| BlockRef(this.0))
    }

    /// Returns what is there whatever the types are.
    #[inline]
    fn start(&self) -> &Start<H> {
        // SAFETY: lifetime: this reference counts, so the block is alive as long as it is borrowed (Invariant 1).
        // Aliasing: nobody borrows the `Start` mutably but the only reference, in `get_mut`, while that is mutably
        // borrowed itself.
        unsafe { self.0.as_ref() }
    }

    /// Returns the part, if it is an `S`.
    #[inline]
    pub fn part<S: 'static>(&self) -> Option<&S> {
        if (self.start().table.part)() != TypeId::of::<S>() {
            return None;
        }
        // SAFETY: lifetime: the block is alive as long as this reference is borrowed (Invariant 1). Type: its part is
        // an `S`, as the table has said, and is where it would be with any other body, since `Block` is `repr(C)` and
        // the body comes last. Aliasing: nobody borrows the part mutably.
        Some(unsafe { &(*self.0.cast::<Block<H, S, ()>>().as_ptr()).part })
    }

    /// Returns whether both refer to the same block.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Returns a number that tells apart blocks that are alive at the same time.
    pub fn address(&self) -> usize {
        self.0.addr().get()
    }

    /// Returns the head, if this is the only reference to the block.
    pub fn get_mut(&mut self) -> Option<&mut H> {
        if !self.start().count.is_one() {
            return None;
        }
        // SAFETY: aliasing: nobody else refers to the block (Invariant 1), and this reference is mutably borrowed, so
        // no other can be made of it. There is no guard, which would borrow a reference. Lifetime: that of the
        // mutable borrow.
        Some(unsafe { &mut (*self.0.as_ptr()).head })
    }

    /// Returns the guard of the body, unless that is used or absent. Never waits.
    #[inline]
    pub fn try_use_body(&self) -> Option<BodyGuard<'_, H>> {
        // Subtle: the guard is made only if that succeeds, for its drop drops the body. Here and below.
        self.start().body.try_use().then(|| BodyGuard(self))
    }

    /// Returns the guard of the body, to be dropped, if the body is idle. If it is used, its user cannot put it back
    /// any more, and drops it; unless it is putting it back at this moment: then the body may be idle again afterwards.
    /// So a caller that has to be sure sees to it that the user, or somebody else, looks once more.
    ///
    /// Model: `core/src/races/handover.rs`, `a_poll_of_a_task_races_with_the_teardown_of_its_host`.
    pub fn discard_body(&self) -> Option<BodyGuard<'_, H>> {
        self.start().body.discard().then(|| BodyGuard(self))
    }

    /// Calls `f` with a waker of this reference; it is counted only if it is cloned.
    #[inline]
    pub fn with_waker<R>(&self, f: impl FnOnce(&Waker) -> R) -> R {
        // SAFETY: the functions of `WakerTable::<H>::NEW`, and there is no other table, keep the contract of
        // `RawWaker`: they are thread-safe, as `BlockRef` is `Send + Sync`, and each is called with the data of a
        // reference. Lifetime: this waker is not dropped, so it counts for nothing by itself; `self` counts for it, and
        // is borrowed until `f` returns. A clone of it counts.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(self.raw_waker()) });
        f(&waker)
    }

    /// Returns a waker that counts as this reference. Its data are the pointer, so that a clone of a waker allocates
    /// nothing.
    fn raw_waker(&self) -> RawWaker {
        RawWaker::new(self.0.as_ptr().cast_const().cast(), &H::waker_table().0)
    }

    /// Returns the reference that a waker counts as. It is not dropped, unless the caller uses up the waker.
    ///
    /// # Safety
    ///
    /// `at` is the data of a waker of this table, which is alive as long as what this returns is used.
    unsafe fn of_waker(at: *const ()) -> ManuallyDrop<Self> {
        // SAFETY: not null: `raw_waker` made it of a reference, which is not. It keeps the provenance of that pointer.
        ManuallyDrop::new(BlockRef(unsafe { NonNull::new_unchecked(at.cast_mut().cast()) }))
    }
}

impl<H: Head> WakerTable<H> {
    /// The functions of a waker: clone, wake (which uses it up), wake by reference, drop; all by the reference that it
    /// counts as. For the `static` of [`Head::waker_table`].
    pub const NEW: Self = WakerTable(
        RawWakerVTable::new(
            // SAFETY: called with the data of a waker of this table, which is borrowed meanwhile. The new reference is
            // counted, and goes into the new waker.
            |at| ManuallyDrop::new((*unsafe { BlockRef::<H>::of_waker(at) }).clone()).raw_waker(),
            // SAFETY: called with the data of a waker of this table, which is used up: its reference is dropped after
            // the call, once.
            |at| ManuallyDrop::into_inner(unsafe { BlockRef::<H>::of_waker(at) }).wake(),
            // SAFETY: called with the data of a waker of this table, which is borrowed meanwhile: so its reference is
            // not dropped.
            |at| unsafe { BlockRef::<H>::of_waker(at) }.wake(),
            // SAFETY: called with the data of a waker of this table, which is used up: its reference is dropped, once.
            |at| drop(ManuallyDrop::into_inner(unsafe { BlockRef::<H>::of_waker(at) })),
        ),
        PhantomData,
    );
}

impl<H: Head> Deref for BlockRef<H> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        &self.start().head
    }
}

impl<H: Head> Clone for BlockRef<H> {
    #[inline]
    fn clone(&self) -> Self {
        self.start().count.add();
        BlockRef(self.0)
    }
}

impl<H: Head> Drop for BlockRef<H> {
    #[inline]
    fn drop(&mut self) {
        if !self.start().count.remove() {
            return;
        }
        // Idle or absent, since a guard would borrow a reference; or Busy, if a guard was forgotten. The body is user
        // code, and is dropped while the head is still there. If that panics, the block is leaked.
        drop(self.discard_body());
        // Pinning: the body that a forgotten guard was using was not dropped, so its memory must stay.
        if !self.start().body.is_absent() {
            return;
        }
        let table = self.start().table;
        // SAFETY: the table is the block's own. Lifetime: this was the last reference, so nobody refers to the block
        // (Invariant 1), and there is no guard either, which would borrow a reference. `self.0` is not used after this.
        unsafe { (table.free)(self.0) }
    }
}

/// The use of a body, which is dropped with it unless it is [put back](BodyGuard::put_back). It borrows a reference,
/// so the block is there as long as it is (Invariant 1).
pub struct BodyGuard<'a, H: Head>(&'a BlockRef<H>);

impl<H: Head> BodyGuard<'_, H> {
    /// Returns the body.
    #[inline]
    pub fn body(&mut self) -> Pin<&mut H::Body> {
        // SAFETY: the table is the block's own. Aliasing and lifetime: the guard is the only one (Invariant 2), and
        // is mutably borrowed for as long as the body.
        unsafe { (self.0.start().table.body)(self.0.0, PhantomData) }
    }

    /// Makes the body idle again, and uses up the guard; returns the guard if the body was discarded before, for the
    /// caller to drop it.
    #[inline]
    pub fn put_back(self) -> Option<Self> {
        // Its drop would drop the body, which is not this guard's any more once it is idle: another thread may have it.
        let this = ManuallyDrop::new(self);
        (!this.0.start().body.put_back()).then(|| ManuallyDrop::into_inner(this))
    }
}

impl<H: Head> Drop for BodyGuard<'_, H> {
    /// Drops the body. Until it is gone the state stays Busy or Unwanted, so that nobody else gets it.
    fn drop(&mut self) {
        let start = self.0.start();
        // Also when the body's drop panics: it is gone then as well.
        let _absent = start.body.absent_when_dropped();
        // SAFETY: the table is the block's own. Aliasing: this is the only guard (Invariant 2), and is not used after
        // this; the state is Absent afterwards, also after a panic, so the body is dropped once.
        unsafe { (start.table.drop_body)(self.0.0) }
    }
}

#[cfg(test)]
mod tests;
