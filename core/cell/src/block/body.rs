//! The body of a block, as far as it takes no unsafe code: its type, and who may use it.
//!
//! ```text
//!     ┌──────3──────┐
//!     ▼             │
//!   Idle ────1───▶ Busy ─────4──────▶ Absent
//!     │             │2                  ▲
//!     └──────2───▶ Unwanted ────4───────┘
//! ```
//!
//! 1. `BodyState::try_use`: the caller has the guard
//! 2. `BodyState::discard`; the caller gets the guard only if the body was idle
//! 3. `BodyState::put_back`: by the owner of the guard; a discard between its two steps is undone
//! 4. the guard is dropped, and the body with it (`BodyState::absent_when_dropped`); a block without a body begins here
#![forbid(unsafe_code)]

use std::pin::Pin;

use crate::sys::atomic::{AtomicU8, Ordering};

/// A body that can be seen as a `D`. A trait, since generic code cannot say that `B` can be made a `dyn` of an
/// associated type.
pub trait Erase<D: ?Sized> {
    /// Returns the body without its type.
    fn erase(self: Pin<&mut Self>) -> Pin<&mut D>;
}

/// The type of the body of blocks that have none.
pub(super) struct NoBody;

impl<D: ?Sized> Erase<D> for NoBody {
    fn erase(self: Pin<&mut Self>) -> Pin<&mut D> {
        unreachable!("an absent body is used by nobody")
    }
}

/// There is no body, or it was dropped; it is not touched any more.
const ABSENT: u8 = 0;
/// Nobody uses it. Set when the block is made, and by `put_back`.
const IDLE: u8 = 1;
/// A guard uses it, and may put it back. Set by `try_use`, from Idle alone.
const BUSY: u8 = 2;
/// A guard uses it, and drops it. Set by `discard`, from Idle (the guard is the caller's) or from Busy (it is that of
/// the user, who finds out in `put_back`).
const UNWANTED: u8 = 3;

/// The state of a body: one of the four above.
pub(super) struct BodyState(AtomicU8);

impl BodyState {
    /// The state of a new body.
    pub(super) fn idle() -> Self {
        BodyState(AtomicU8::new(IDLE))
    }

    /// The state where there is no body.
    pub(super) fn absent() -> Self {
        BodyState(AtomicU8::new(ABSENT))
    }

    /// Gives the use of the body to the caller, and returns true, unless it is used or absent.
    #[inline]
    pub(super) fn try_use(&self) -> bool {
        // Ordering: Acquire sees what the last user did with the body; the Release that it pairs with is in
        // `put_back`. (The writes of the maker came with the reference.)
        self.0.compare_exchange(IDLE, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Makes the body unwanted, if there is one. Returns whether it was idle: then the caller has it, to drop it. If it
    /// was used, the mark may be lost: see `put_back`.
    pub(super) fn discard(&self) -> bool {
        let mark = |state| (state == IDLE || state == BUSY).then_some(UNWANTED);
        // Ordering: Acquire as in `try_use`, if the body is the caller's. Release, for the other case: what came
        // before this is seen by the user, whose `put_back` acquires.
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, mark) == Ok(IDLE)
    }

    /// Makes a body that the caller uses idle again, and returns whether it has: not if it was discarded before.
    ///
    /// Two steps, and not one that is atomic, which would be 7 % of a task's turn (a floor, `tests/bench`). So a discard
    /// between the two is undone. It has given the body to nobody, as nobody but the caller may end the use of it.
    #[inline]
    pub(super) fn put_back(&self) -> bool {
        // Ordering: Acquire sees what came before the discard; Release shows the next user what was done here.
        let is_wanted = self.0.load(Ordering::Acquire) == BUSY;
        if is_wanted {
            self.0.store(IDLE, Ordering::Release);
        }
        is_wanted
    }

    /// Returns whether there is no body; asked by the last who refers to it.
    #[inline]
    pub(super) fn is_absent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ABSENT
    }

    /// Returns what notes, as it is dropped, that the body is gone; for its user, who drops it meanwhile.
    pub(super) fn absent_when_dropped(&self) -> impl Drop {
        struct Absent<'a>(&'a BodyState);

        impl Drop for Absent<'_> {
            fn drop(&mut self) {
                self.0.0.store(ABSENT, Ordering::Release);
            }
        }

        Absent(self)
    }
}
