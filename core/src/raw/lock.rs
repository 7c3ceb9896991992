//! A value, and a word that says who may touch it: one alone, or many together.
//!
//! Coming in is one instruction, and so is going out, as long as nobody waits. Who waits, and in which order, is no matter of this
//! file: the word has a bit for it, and whoever goes out last and finds that bit set tells the [`House`].
//!
//! ```text
//!            ┌──────1──────┐
//!            │             ▼
//!   Free ────┴──2──▶ Handed ──3──▶ Held ──4──▶ Free
//! ```
//!
//! 1. `Hold::try_write`, `Hold::try_read`: nobody is in the way, nor in line
//! 2. `Word::reserve`, `Word::admit`: for somebody who takes it later
//! 3. he takes it: `Hold::write`, `Hold::read`
//! 4. the [`Hold`] is dropped; one that is leaked stays in for ever
//!
//! Invariant 1: `inside` counts each [`Hold`], and what is handed besides; a writer is in there alone.
//! Invariant 2: `handed` counts what of it nobody has taken yet. Both fields are private, so whatever the house does with its word,
//! a writer's `Hold` is the only one.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::sys::atomic::{AtomicUsize, Ordering};

/// The word: somebody may stand in line, so nobody comes in by himself.
const QUEUED: usize = 1;
/// The word: one is in, alone.
const WRITER: usize = 2;
/// The word: one more is in, together with others.
const READER: usize = 4;

/// What one wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
}

impl Mode {
    const fn unit(self) -> usize {
        match self {
            Mode::Read => READER,
            Mode::Write => WRITER,
        }
    }

    /// Whether one more has a place. There is an end also to the readers: leaked ones must not make the count run over.
    const fn fits(self, inside: usize) -> bool {
        match self {
            Mode::Read => inside & WRITER == 0 && inside < usize::MAX - READER,
            Mode::Write => inside & !QUEUED == 0,
        }
    }
}

/// Who is in.
#[derive(Debug)]
pub(crate) struct Word {
    inside: AtomicUsize,
    handed: AtomicUsize,
}

impl Word {
    const fn new() -> Self {
        Word { inside: AtomicUsize::new(0), handed: AtomicUsize::new(0) }
    }

    /// From now on nobody comes in by himself, and who goes out last tells the house. To be called under the lock of the line, as
    /// [`unmark`](Word::unmark).
    pub(crate) fn mark(&self) {
        // Ordering: only `inside` itself is at stake, and its changes have one order.
        self.inside.fetch_or(QUEUED, Ordering::Relaxed);
    }

    /// Nobody stands in line.
    pub(crate) fn unmark(&self) {
        // Ordering: as in `mark`; it passes on what others released (a release sequence).
        self.inside.fetch_and(!QUEUED, Ordering::Relaxed);
    }

    /// Hands it to somebody who takes it later, if nobody is in his way, nor in line.
    pub(crate) fn reserve(&self, mode: Mode) -> bool {
        let enters = self.enter(mode);
        if enters {
            self.hand(mode);
        }
        enters
    }

    /// Hands it to somebody who takes it later, if nobody is in his way: for the first in line.
    pub(crate) fn admit(&self, mode: Mode) -> bool {
        let mut inside = self.inside.load(Ordering::Relaxed);
        while mode.fits(inside) {
            match self.step_in(mode, inside) {
                Ok(()) => {
                    self.hand(mode);
                    return true;
                }
                Err(now) => inside = now,
            }
        }
        false
    }

    /// Whether somebody is in, was handed it, or is about to be.
    pub(crate) fn is_held(&self) -> bool {
        self.inside.load(Ordering::Relaxed) != 0
    }

    /// How many read, and whether somebody writes, or were handed it to do so.
    pub(crate) fn readers_and_writer(&self) -> (usize, bool) {
        let inside = self.inside.load(Ordering::Relaxed);
        (inside / READER, inside & WRITER != 0)
    }

    #[inline]
    fn enter(&self, mode: Mode) -> bool {
        let mut inside = match mode {
            Mode::Read => self.inside.load(Ordering::Relaxed),
            // What else it could be, a writer does not need to know.
            Mode::Write => 0,
        };
        while inside & QUEUED == 0 && mode.fits(inside) {
            match self.step_in(mode, inside) {
                Ok(()) => return true,
                Err(now) => inside = now,
            }
        }
        false
    }

    #[inline]
    fn step_in(&self, mode: Mode, inside: usize) -> Result<(), usize> {
        // Ordering: Acquire sees what those did who were in before; readers in between pass it on (a release sequence).
        let swap =
            self.inside.compare_exchange_weak(inside, inside + mode.unit(), Ordering::Acquire, Ordering::Relaxed);
        swap.map(drop)
    }

    /// Goes out; says whether that was the last one, and somebody may stand in line.
    #[inline]
    fn leave(&self, mode: Mode) -> bool {
        // Ordering: Release shows to who comes in next what was done inside.
        self.inside.fetch_sub(mode.unit(), Ordering::Release) == mode.unit() | QUEUED
    }

    fn hand(&self, mode: Mode) {
        // Ordering: Release passes on to `take` what was acquired by coming in.
        self.handed.fetch_add(mode.unit(), Ordering::Release);
    }

    /// Takes what was handed.
    fn take(&self, mode: Mode) {
        let less = |handed: usize| match mode {
            Mode::Read if handed < READER => None,
            Mode::Write if handed & WRITER == 0 => None,
            _ => Some(handed - mode.unit()),
        };
        // Ordering: Acquire, the other side of `hand`.
        let taken = self.handed.fetch_update(Ordering::Acquire, Ordering::Relaxed, less);
        assert!(taken.is_ok(), "a lock is taken only by whom it was handed");
    }
}

/// The value with its word. `M` is the most that it is made for: [`Writing`], or [`Reading`] besides.
pub(crate) struct Lock<M, T: ?Sized> {
    most: PhantomData<M>,
    cell: Cell<T>,
}

struct Cell<T: ?Sized> {
    word: Word,
    value: UnsafeCell<T>,
}

/// A use alone, to look and to change.
#[derive(Debug)]
pub(crate) enum Writing {}

/// A use together with others, to look.
#[derive(Debug)]
pub(crate) enum Reading {}

/// [`Writing`] or [`Reading`].
pub(crate) trait Use {
    const MODE: Mode;
}

impl Use for Writing {
    const MODE: Mode = Mode::Write;
}

impl Use for Reading {
    const MODE: Mode = Mode::Read;
}

// SAFETY: of all who share it, one at a time has the value, so this sends it to and fro.
unsafe impl<T: ?Sized + Send> Sync for Lock<Writing, T> {}
// SAFETY: as above; and many look at it together.
unsafe impl<T: ?Sized + Send + Sync> Sync for Lock<Reading, T> {}

// As the locks of the standard library: nobody sees a value while it is being changed.
impl<M, T: ?Sized> UnwindSafe for Lock<M, T> {}
impl<M, T: ?Sized> RefUnwindSafe for Lock<M, T> {}
// For the guards: whoever has one sees what its uses leave behind.
impl<T: ?Sized + RefUnwindSafe> RefUnwindSafe for Cell<T> {}

impl<M, T> Lock<M, T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock { most: PhantomData, cell: Cell { word: Word::new(), value: UnsafeCell::new(value) } }
    }

    pub(crate) fn into_inner(self) -> T {
        self.cell.value.into_inner()
    }
}

impl<M, T: Default> Default for Lock<M, T> {
    fn default() -> Self {
        Lock::new(T::default())
    }
}

impl<M, T: ?Sized> Lock<M, T> {
    pub(crate) fn word(&self) -> &Word {
        &self.cell.word
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.cell.value.get_mut()
    }
}

/// What a lock is built into, with the line of those who wait for it.
pub(crate) trait House<T: ?Sized> {
    /// See [`Lock`].
    type Most;

    fn lock(&self) -> &Lock<Self::Most, T>;

    /// Lets in those who stand first in line: one went out, and may have been in their way.
    fn serve(&self);
}

/// What keeps a house in its place: a reference, or an `Arc`.
///
/// # Safety
///
/// For as long as it lives, wherever it is moved to, what it points to is there, the same, and borrowed by nobody mutably.
pub(crate) unsafe trait Keeper<T: ?Sized>: Deref<Target: House<T>> {}

// SAFETY: a shared borrow.
unsafe impl<H: House<T> + ?Sized, T: ?Sized> Keeper<T> for &H {}
// SAFETY: it owns a part, and for a mutable borrow or a move one has to own all.
unsafe impl<H: House<T> + ?Sized, T: ?Sized> Keeper<T> for Arc<H> {}

/// The use of the value.
pub(crate) struct Hold<K: Keeper<T>, U: Use, T: ?Sized> {
    /// Remembered, so that it is the same one whatever the house shows.
    cell: NonNull<Cell<T>>,
    keeper: K,
    used: PhantomData<U>,
}

// SAFETY: it lends the value to another thread, mutably, and comes back from there.
unsafe impl<K: Keeper<T> + Send, T: ?Sized + Send> Send for Hold<K, Writing, T> {}
// SAFETY: others look at the value at the same time.
unsafe impl<K: Keeper<T> + Send, T: ?Sized + Sync> Send for Hold<K, Reading, T> {}
// SAFETY: shared, either of them shares the value.
unsafe impl<K: Keeper<T> + Sync, U: Use, T: ?Sized + Sync> Sync for Hold<K, U, T> {}

impl<K: Keeper<T>, T: ?Sized> Hold<K, Writing, T> {
    /// Comes in alone, if nobody is in, nor in line.
    #[inline]
    pub(crate) fn try_write(keeper: K) -> Option<Self> {
        Self::enter(NonNull::from(&keeper.lock().cell), keeper)
    }

    /// Takes what was handed.
    pub(crate) fn write(keeper: K) -> Self {
        Self::take(NonNull::from(&keeper.lock().cell), keeper)
    }

    /// Goes on together with others.
    pub(crate) fn downgrade(self) -> Hold<K, Reading, T>
    where
        K::Target: House<T, Most = Reading>,
    {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used any more, and its drop does not run.
        let hold = Hold { cell: this.cell, keeper: unsafe { ptr::read(&this.keeper) }, used: PhantomData };
        // Ordering: Release, as in `leave`.
        let inside = hold.cell().word.inside.fetch_add(READER - WRITER, Ordering::Release);
        if inside & QUEUED != 0 {
            hold.keeper.serve();
        }
        hold
    }
}

impl<K, T: ?Sized> Hold<K, Reading, T>
where
    K: Keeper<T>,
    K::Target: House<T, Most = Reading>,
{
    /// Comes in, if nobody writes, nor stands in line.
    #[inline]
    pub(crate) fn try_read(keeper: K) -> Option<Self> {
        Self::enter(NonNull::from(&keeper.lock().cell), keeper)
    }

    /// Takes what was handed.
    pub(crate) fn read(keeper: K) -> Self {
        Self::take(NonNull::from(&keeper.lock().cell), keeper)
    }
}

impl<K: Keeper<T>, U: Use, T: ?Sized> Hold<K, U, T> {
    /// Only with the cell of this keeper, of a lock that is made for this use.
    #[inline]
    fn enter(cell: NonNull<Cell<T>>, keeper: K) -> Option<Self> {
        // SAFETY: the keeper is alive.
        let enters = unsafe { cell.as_ref() }.word.enter(U::MODE);
        // Subtle: made only now, for its drop goes out.
        if enters { Some(Hold { cell, keeper, used: PhantomData }) } else { None }
    }

    fn take(cell: NonNull<Cell<T>>, keeper: K) -> Self {
        // SAFETY: the keeper is alive.
        unsafe { cell.as_ref() }.word.take(U::MODE);
        Hold { cell, keeper, used: PhantomData }
    }

    #[inline]
    fn cell(&self) -> &Cell<T> {
        // SAFETY: it was borrowed of the keeper's house, which has stayed as it was since: see `Keeper`.
        unsafe { self.cell.as_ref() }
    }

    #[inline]
    pub(crate) fn keeper(&self) -> &K {
        &self.keeper
    }
}

impl<K: Keeper<T>, U: Use, T: ?Sized> Drop for Hold<K, U, T> {
    #[inline]
    fn drop(&mut self) {
        if self.cell().word.leave(U::MODE) {
            self.keeper.serve();
        }
    }
}

impl<K: Keeper<T>, U: Use, T: ?Sized> Deref for Hold<K, U, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: Invariant 1. A writer's is the only `Hold`, and mutably borrowed it cannot be dereferenced; no writer is in with a
        // reader.
        unsafe { &*self.cell().value.get() }
    }
}

impl<K: Keeper<T>, T: ?Sized> DerefMut for Hold<K, Writing, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: Invariant 1: the only `Hold`, mutably borrowed.
        unsafe { &mut *self.cell().value.get() }
    }
}

#[cfg(test)]
mod tests;
