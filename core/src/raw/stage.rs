//! The state of a [body](super::Standing) in its block: one word.
//!
//! ```text
//!                      ┌──── put back ────┐
//!   Coming ── stand ──▶ Free ── hold ──▶ Held ── end ──▶ Over
//!                         └───── seize ────┴──▶ Cut ── end ──▶ Over
//! ```
//!
//! A body is *free* between two polls. A thread that wants it dropped *seizes* it: it gets the body, or else the holder finds that it
//! is *cut*, and not to be put back.

use crate::sys::atomic::{AtomicU8, Ordering};

/// See the diagram.
pub(crate) struct Stage(AtomicU8);

const COMING: u8 = 0;
const FREE: u8 = 1;
const HELD: u8 = 2;
const CUT: u8 = 3;
const OVER: u8 = 4;

/// A body was seized while it was held.
pub(super) struct IsCut;

impl Stage {
    #[inline]
    pub(super) fn coming() -> Self {
        Stage(AtomicU8::new(COMING))
    }

    #[inline]
    pub(super) fn is_coming(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COMING
    }

    /// The body stands, and may be found.
    #[inline]
    pub(super) fn stand(&self) {
        self.0.store(FREE, Ordering::Release);
    }

    /// A poll begins; not if the body is over, or about to be.
    #[inline]
    pub(super) fn hold(&self) -> bool {
        // Ordering: what the last holder has done to the body is seen by this one. So below.
        let held = self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        debug_assert!(held != Err(HELD), "I3: a body is polled by one at a time");
        held.is_ok()
    }

    /// What was held is free again.
    #[inline]
    pub(super) fn put_back(&self) -> Result<(), IsCut> {
        match self.0.compare_exchange(HELD, FREE, Ordering::Release, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(now) => {
                debug_assert!(now == CUT, "a body that is held is cut, or put back");
                Err(IsCut)
            }
        }
    }

    /// The body is wanted over. Says whether it is the caller's now; not if it is over, or held: then its holder finds it cut.
    pub(super) fn seize(&self) -> bool {
        let next = |stage| matches!(stage, FREE | HELD).then_some(CUT);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next) == Ok(FREE)
    }

    /// The body that the caller holds is over. Says whether it was seized.
    #[inline]
    pub(super) fn end(&self) -> bool {
        self.0.swap(OVER, Ordering::AcqRel) == CUT
    }

    /// As [`end`](Stage::end), for a caller that does not ask.
    #[inline]
    pub(super) fn over(&self) {
        self.0.store(OVER, Ordering::Release);
    }
}

#[cfg(all(test, not(foster_shuttle)))]
mod tests {
    use super::*;

    fn standing() -> Stage {
        let stage = Stage::coming();
        assert!(stage.is_coming());
        stage.stand();
        stage
    }

    #[test]
    fn a_body_is_held_by_one_at_a_time() {
        let stage = standing();
        assert!(stage.hold() && stage.put_back().is_ok());
        assert!(stage.hold() && !stage.end() && !stage.hold());
    }

    #[test]
    fn a_body_that_is_seized_is_cut() {
        let stage = standing();
        assert!(stage.seize() && !stage.hold() && !stage.seize());
        stage.over();
        assert!(!stage.seize());

        let stage = standing();
        assert!(stage.hold() && !stage.seize());
        assert!(stage.put_back().is_err() && stage.end());
    }
}
