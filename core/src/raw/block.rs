//! A reference-counted block: a head that everybody sees, a part whose type only some know, and a body whose type is forgotten.
//!
//! ```text
//!   BlockRef<H> ──▶ ┌──────────────┐
//!                   │ count, table │
//!                   │ head: H      │ ◀── everybody
//!                   │ part: S      │ ◀── who knows its type
//!                   │ body: B      │ ◀── BodyGuard, as a trait object, one at a time
//!                   └──────────────┘
//! ```
//!
//! For a task: its node, the slot for its value, and its future in one allocation, behind a pointer of one word that is a waker, too. In
//! safe code these are three, and each costs a child of a nursery about 400 instructions under glibc (a floor of a spawned child is at
//! stake); `Arc<Node<dyn Body>>` would be a pointer of two words that looks up its alignment at each use, and no `Waker`.
//!
//! The body is used by one thread at a time:
//!
//! ```text
//!     ┌──────3──────┐
//!     ▼             │
//!   Idle ────1───▶ Busy ─────4──────▶ Absent
//!     │             │2                  ▲
//!     └──────2───▶ Unwanted ────4───────┘
//! ```
//!
//! 1. `BlockRef::try_use_body`
//! 2. `BlockRef::discard_body`; the caller gets the guard only if the body was idle
//! 3. `BodyGuard::put_back`
//! 4. the [`BodyGuard`] is dropped, and the body with it; a block without a body begins here
//!
//! Invariant 1: `count` is the number of `BlockRef`s and of the wakers made from them. The block is freed with the last of them, and never
//! moves. So what any of them points to is alive and pinned.
//! Invariant 2: a `BodyGuard` exists only in Busy and in Unwanted, and there is one at most. Absent is final, and the body is dropped
//! then. So a guard's body is there, and is used by nobody else. (The body of a guard that is forgotten is leaked.)

use std::any::TypeId;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::pin::Pin;
use std::process::abort;
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::sys::atomic::{AtomicU8, Ordering};

/// What the references to a block have in common.
pub(crate) trait Head: Send + Sync + Sized + 'static {
    /// What bodies are seen as.
    type Body: ?Sized;

    /// A waker that was made of a reference was called.
    fn wake(block: &BlockRef<Self>);
}

/// A body that can be seen as a `D`.
pub(crate) trait Erase<D: ?Sized> {
    fn erase(self: Pin<&mut Self>) -> Pin<&mut D>;
}

const ABSENT: u8 = 0;
const IDLE: u8 = 1;
const BUSY: u8 = 2;
const UNWANTED: u8 = 3;

/// The beginning of each block, whatever its types.
struct Start<H: Head> {
    /// No step of a model (`races.rs`), as that of an `Arc` is none: whoever clones a waker may hold a lock that no model knows.
    count: AtomicUsize,
    body: AtomicU8,
    table: &'static Table<H>,
    head: H,
}

/// As in C: what comes first lies where it does whatever comes after it.
#[repr(C)]
struct Block<H: Head, S, B> {
    start: Start<H>,
    part: S,
    body: UnsafeCell<ManuallyDrop<B>>,
}

/// What depends on the types of a block. Each is to be called with a block of these types.
struct Table<H: Head> {
    /// The type of the part.
    part: fn() -> TypeId,
    /// Frees the block, but for its body. Nobody may refer to it.
    free: unsafe fn(NonNull<Start<H>>),
    /// The body, of which the caller has the guard.
    body: for<'a> unsafe fn(NonNull<Start<H>>, PhantomData<&'a mut ()>) -> Pin<&'a mut H::Body>,
    /// Drops the body, of which the caller has the guard.
    drop_body: unsafe fn(NonNull<Start<H>>),
}

/// A shared reference to a block.
pub(crate) struct BlockRef<H: Head>(NonNull<Start<H>>);

// SAFETY: the head is shared and dropped by any thread; so are the part, which is `Send + Sync`, and the body, which is `Send` and used by one
// thread at a time: see `make`.
unsafe impl<H: Head> Send for BlockRef<H> {}
// SAFETY: as above; a shared reference can be cloned.
unsafe impl<H: Head> Sync for BlockRef<H> {}

impl<H: Head, S: 'static, B: Erase<H::Body> + 'static> Block<H, S, B> {
    const TABLE: Table<H> =
        Table { part: TypeId::of::<S>, free: Self::free, body: Self::body, drop_body: Self::drop_body };

    unsafe fn free(start: NonNull<Start<H>>) {
        // SAFETY: it came out of a box of this type, in `BlockRef::make`, and nobody refers to it any more (Invariant 1).
        drop(unsafe { Box::from_raw(start.cast::<Self>().as_ptr()) });
    }

    unsafe fn body(start: NonNull<Start<H>>, _: PhantomData<&mut ()>) -> Pin<&mut H::Body> {
        // SAFETY: the block is of this type, the body is there, and this is the only reference to it, since the caller has borrowed its
        // guard for as long as that (Invariant 2). It never moves (Invariant 1), and is dropped where it is.
        unsafe { Pin::new_unchecked(&mut **(*start.cast::<Self>().as_ptr()).body.get()) }.erase()
    }

    unsafe fn drop_body(start: NonNull<Start<H>>) {
        // SAFETY: as in `body`; it is dropped once, because its guard goes with this.
        unsafe { ManuallyDrop::drop(&mut *(*start.cast::<Self>().as_ptr()).body.get()) }
    }
}

impl<H: Head> BlockRef<H> {
    /// Makes a block with a head, a part and an idle body.
    pub(crate) fn with_body<S, B>(head: H, part: S, body: B) -> Self
    where
        S: Send + Sync + 'static,
        B: Erase<H::Body> + Send + 'static,
    {
        BlockRef::make(IDLE, head, part, body)
    }

    /// Makes a block without a body.
    pub(crate) fn with_part<S: Send + Sync + 'static>(head: H, part: S) -> Self {
        /// In the place of a body.
        struct NoBody;

        impl<D: ?Sized> Erase<D> for NoBody {
            fn erase(self: Pin<&mut Self>) -> Pin<&mut D> {
                unreachable!("Invariant 2: an absent body is used by nobody")
            }
        }

        BlockRef::make(ABSENT, head, part, NoBody)
    }

    fn make<S, B>(state: u8, head: H, part: S, body: B) -> Self
    where
        S: Send + Sync + 'static,
        B: Erase<H::Body> + Send + 'static,
    {
        let table = const { &Block::<H, S, B>::TABLE };
        let start = Start { count: AtomicUsize::new(1), body: AtomicU8::new(state), table, head };
        let block = Box::new(Block { start, part, body: UnsafeCell::new(ManuallyDrop::new(body)) });
        BlockRef(NonNull::from(Box::leak(block)).cast())
    }

    #[inline]
    fn start(&self) -> &Start<H> {
        // SAFETY: Invariant 1; nobody borrows it mutably but the only reference, in `get_mut`.
        unsafe { self.0.as_ref() }
    }

    /// The part, if it is an `S`.
    #[inline]
    pub(crate) fn part<S: 'static>(&self) -> Option<&S> {
        if (self.start().table.part)() != TypeId::of::<S>() {
            return None;
        }
        // SAFETY: the block is there (Invariant 1), its part is an `S`, and lies where it would lie with any other body: see `Block`. Nobody
        // borrows it mutably.
        Some(unsafe { &(*self.0.cast::<Block<H, S, ()>>().as_ptr()).part })
    }

    /// Whether both refer to the same block.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Tells blocks apart that are alive at the same time.
    pub(crate) fn address(&self) -> usize {
        self.0.addr().get()
    }

    /// The head, if this is the only reference to it.
    pub(crate) fn get_mut(&mut self) -> Option<&mut H> {
        // Ordering: Acquire sees what was done with the references that are gone.
        if self.start().count.load(Ordering::Acquire) != 1 {
            return None;
        }
        // SAFETY: Invariant 1: nobody else refers to the block, and this reference is mutably borrowed. There is no guard, which would
        // borrow a reference.
        Some(unsafe { &mut (*self.0.as_ptr()).head })
    }

    /// The body, unless it is used or absent.
    #[inline]
    pub(crate) fn try_use_body(&self) -> Option<BodyGuard<'_, H>> {
        // Ordering: Acquire sees what the last user did; Release is in `put_back`.
        let idle = self.start().body.compare_exchange(IDLE, BUSY, Ordering::Acquire, Ordering::Relaxed);
        // Subtle: the guard is made only if it is one, for its drop drops the body.
        idle.is_ok().then(|| BodyGuard(self))
    }

    /// The body, to be dropped, if it is idle. If it is used, its user cannot put it back any more, and drops it.
    pub(crate) fn discard_body(&self) -> Option<BodyGuard<'_, H>> {
        let mark = |state| (state == IDLE || state == BUSY).then_some(UNWANTED);
        // Ordering: as in `try_use_body`; and what came before this is seen by the user.
        let was = self.start().body.fetch_update(Ordering::AcqRel, Ordering::Relaxed, mark);
        (was == Ok(IDLE)).then(|| BodyGuard(self))
    }

    /// Calls `f` with a waker of this reference; it is counted only if it is cloned.
    #[inline]
    pub(crate) fn with_waker<R>(&self, f: impl FnOnce(&Waker) -> R) -> R {
        // SAFETY: the functions of the table keep the contract of `RawWaker`: see there. The waker is not dropped, and `self` counts for it.
        let waker = ManuallyDrop::new(unsafe { Waker::new(self.data(), Self::WAKER) });
        f(&waker)
    }

    const WAKER: &'static RawWakerVTable = &RawWakerVTable::new(
        // SAFETY: called with the data of a waker of this table.
        |at| RawWaker::new(ManuallyDrop::new((*unsafe { Self::of_waker(at) }).clone()).data(), Self::WAKER),
        // SAFETY: as above; that waker is used up.
        |at| H::wake(&ManuallyDrop::into_inner(unsafe { Self::of_waker(at) })),
        // SAFETY: called with the data of a waker of this table, which is borrowed meanwhile.
        |at| H::wake(&*unsafe { Self::of_waker(at) }),
        // SAFETY: called with the data of a waker of this table, which is used up.
        |at| drop(ManuallyDrop::into_inner(unsafe { Self::of_waker(at) })),
    );

    /// The data of a waker that counts as this reference.
    fn data(&self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    /// The reference that a waker counts as.
    ///
    /// # Safety
    ///
    /// `at` is the data of a waker of this table.
    unsafe fn of_waker(at: *const ()) -> ManuallyDrop<Self> {
        // SAFETY: it came out of a reference, which was not null.
        ManuallyDrop::new(BlockRef(unsafe { NonNull::new_unchecked(at.cast_mut().cast()) }))
    }
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
        // Ordering: whoever has a reference gives another one away in some way that orders.
        let count = self.start().count.fetch_add(1, Ordering::Relaxed);
        if count > isize::MAX as usize {
            // References were forgotten in a loop; as `Arc` does.
            abort()
        }
        BlockRef(self.0)
    }
}

impl<H: Head> Drop for BlockRef<H> {
    #[inline]
    fn drop(&mut self) {
        // Ordering: as `Arc`: what was done with each reference comes before the end.
        if self.start().count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        self.start().count.load(Ordering::Acquire);
        drop(self.discard_body());
        let table = self.start().table;
        // SAFETY: the table is the block's own, and nobody refers to the block: there is no guard either, which would borrow a reference.
        unsafe { (table.free)(self.0) }
    }
}

/// The use of a body, which is dropped with it unless it is [put back](BodyGuard::put_back).
pub(crate) struct BodyGuard<'a, H: Head>(&'a BlockRef<H>);

impl<H: Head> BodyGuard<'_, H> {
    #[inline]
    pub(crate) fn body(&mut self) -> Pin<&mut H::Body> {
        // SAFETY: the table is the block's own, and the guard is borrowed for as long as the body.
        unsafe { (self.0.start().table.body)(self.0.0, PhantomData) }
    }

    /// Whether the body may still be put back.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.start().body.load(Ordering::Acquire) == BUSY
    }

    /// The body is idle again; or comes back here if it was discarded meanwhile.
    #[inline]
    pub(crate) fn put_back(self) -> Option<Self> {
        // Ordering: Release shows the next user what was done here; Acquire sees what came before the discard.
        let put = self.0.start().body.compare_exchange(BUSY, IDLE, Ordering::Release, Ordering::Acquire);
        if put.is_err() {
            return Some(self);
        }
        std::mem::forget(self);
        None
    }
}

impl<H: Head> Drop for BodyGuard<'_, H> {
    fn drop(&mut self) {
        /// Also when the body's drop panics: it is gone then as well.
        struct Absent<'a>(&'a AtomicU8);

        impl Drop for Absent<'_> {
            fn drop(&mut self) {
                self.0.store(ABSENT, Ordering::Release);
            }
        }

        let start = self.0.start();
        let absent = Absent(&start.body);
        // SAFETY: the table is the block's own, and this is its guard.
        unsafe { (start.table.drop_body)(self.0.0) }
        drop(absent);
    }
}

#[cfg(test)]
mod tests;
