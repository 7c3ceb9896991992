//! Who has a [body](super::Standing) that stands, and how far it is from its next turn, where pumps drive it: one word for both.
//!
//! ```text
//!                      ┌────── put back ───────┐
//!   Coming ── stand ──▶ Free ────── hold ─────▶ Held ─── end ──▶ Over
//!                      │ ▲                      ▲ │
//!                placed│ │take             begin│ │end of turn
//!                      ▼ │                      │ ▼
//!                    Queued ───────────────────┘ Idle (take: Free), and if it was woken meanwhile (Woken): Queued
//!                      ▲─────────── wake ─────────┘
//!
//!   Free, Idle, Queued, Held, Woken ── seize ──▶ Cut ── end ──▶ Over
//! ```
//!
//! A body that a job of its own drives is *free* between two polls. One that pumps drive has *turns*, and is free before it is placed,
//! and when it has lost its pumps (*take*). Whoever wants a body over *seizes* it, at any stage: it gets the body, or else the holder
//! finds that it is *cut*, and not to be given back.

use crate::sys::atomic::{AtomicU8, Ordering};

/// See the diagram.
pub(crate) struct Stage(AtomicU8);

const COMING: u8 = 0;
const FREE: u8 = 1;
const IDLE: u8 = 2;
const QUEUED: u8 = 3;
const HELD: u8 = 4;
const WOKEN: u8 = 5;
const CUT: u8 = 6;
const OVER: u8 = 7;

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

    /// The task has its place in the tree, and is about to be put into the queue. Before, it is nobody's to [take](Stage::take).
    #[inline]
    pub(crate) fn placed(&self) {
        // Ordering: see `Pumps::are_dropped`, and `wake`.
        let next = |stage| Some(if stage == FREE { QUEUED } else { stage });
        _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }

    /// The task was woken. Says whether it has to be put into the queue.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        // Ordering: what was done before the wake is seen by the turn that follows it. Subtle: so also a stage that stays as it is
        // is written; a load alone may see one that is past, and shows nothing to anybody.
        let next = |stage| match stage {
            IDLE => Some(QUEUED),
            HELD => Some(WOKEN),
            OVER | CUT => None,
            stays => Some(stays),
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE)
    }

    /// Takes the task away from its pumps, unless it is over, or was not [placed](Stage::placed), or one is giving it its turn.
    pub(crate) fn take(&self) -> bool {
        // Ordering: see `Pumps::are_dropped`.
        let next = |stage| matches!(stage, IDLE | QUEUED).then_some(FREE);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }

    /// A poll begins, out of turn; not if the body is over, or about to be.
    #[inline]
    pub(super) fn hold(&self) -> bool {
        // Ordering: what the last holder has done to the body is seen by this one. So below.
        let held = self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        debug_assert!(held != Err(HELD), "a body is polled by one at a time");
        held.is_ok()
    }

    /// A turn begins; not if the body is over, or about to be, or has lost its pumps.
    #[inline]
    pub(super) fn begin(&self) -> bool {
        self.0.compare_exchange(QUEUED, HELD, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// What was held out of turn is free again.
    #[inline]
    pub(super) fn put_back(&self) -> Result<(), IsCut> {
        match self.0.compare_exchange(HELD, FREE, Ordering::Release, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(now) => {
                debug_assert!(now == CUT, "what is held out of turn is not woken");
                Err(IsCut)
            }
        }
    }

    /// The turn is over, the body is not. Says whether it has to be put into the queue again.
    #[inline]
    pub(super) fn end_turn(&self) -> Result<bool, IsCut> {
        // Ordering: see `Pumps::are_dropped`. Looked at first: a step that fails takes as long as one that does not.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = match seen {
                WOKEN => QUEUED,
                CUT => {
                    // What the one who seized it has done before is seen.
                    self.0.load(Ordering::Acquire);
                    return Err(IsCut);
                }
                _ => IDLE,
            };
            match self.0.compare_exchange_weak(seen, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return Ok(next == QUEUED),
                Err(now) => seen = now,
            }
        }
    }

    /// The body is wanted over. Says whether it is the caller's now; not if it is over, or held: then its holder finds it cut.
    pub(super) fn seize(&self) -> bool {
        let next = |stage| matches!(stage, FREE | IDLE | QUEUED | HELD | WOKEN).then_some(CUT);
        let found = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next);
        matches!(found, Ok(FREE | IDLE | QUEUED))
    }

    /// The body that the caller holds is over. Says whether it was seized.
    #[inline]
    pub(super) fn end(&self) -> bool {
        self.0.swap(OVER, Ordering::AcqRel) == CUT
    }

    /// As [`end`](Stage::end), for one who does not ask.
    #[inline]
    pub(super) fn over(&self) {
        self.0.store(OVER, Ordering::Release);
    }
}

/// For the models of pumps, whose tasks have no body.
#[cfg(all(test, foster_shuttle))]
impl Stage {
    pub(crate) fn bare() -> Self {
        Stage(AtomicU8::new(FREE))
    }

    /// A turn, which says whether the task is over. None if it is, or if there is no turn; else whether there has to be another one.
    pub(crate) fn bare_turn(&self, turn: impl FnOnce() -> bool) -> Option<bool> {
        if !self.begin() {
            return None;
        }
        if turn() {
            self.over();
            return None;
        }
        self.end_turn().ok()
    }
}

#[cfg(all(test, not(foster_shuttle)))]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    fn standing() -> Stage {
        let stage = Stage::coming();
        assert!(stage.is_coming());
        stage.stand();
        stage
    }

    #[test]
    fn a_free_body_has_no_turns() {
        let stage = standing();
        assert!(!stage.wake() && !stage.begin() && !stage.take());
        assert!(stage.hold() && !stage.begin() && stage.put_back().is_ok());
        assert!(stage.hold() && !stage.end() && !stage.hold());
    }

    #[test]
    fn a_turn_follows_each_wake() {
        let stage = standing();
        stage.placed();
        assert!(!stage.wake() && stage.begin() && !stage.begin());
        assert!(matches!(stage.end_turn(), Ok(false)));
        assert!(!stage.begin() && stage.wake() && !stage.wake() && stage.begin());
        assert!(!stage.wake() && !stage.wake());
        assert!(matches!(stage.end_turn(), Ok(true)));
        assert!(stage.begin() && !stage.end() && !stage.wake() && !stage.begin());
    }

    #[test]
    fn who_has_lost_its_pumps_is_free() {
        let stage = standing();
        stage.placed();
        assert!(stage.take() && !stage.take() && !stage.wake() && !stage.begin());
        assert!(stage.seize() && !stage.seize());
        stage.over();
        assert!(!stage.seize() && !stage.take());

        let stage = standing();
        stage.placed();
        assert!(stage.begin() && !stage.take(), "it has its turn");
    }

    #[test]
    fn what_is_seized_is_cut() {
        let stage = standing();
        assert!(stage.seize() && !stage.hold() && !stage.seize());
        stage.placed();
        assert!(!stage.begin(), "it is not brought back");

        let stage = standing();
        assert!(stage.hold() && !stage.seize());
        assert!(stage.put_back().is_err() && stage.end());

        for woken in [false, true] {
            let stage = standing();
            stage.placed();
            assert!(stage.begin());
            if woken {
                assert!(!stage.wake());
            }
            assert!(!stage.seize() && !stage.wake());
            assert!(stage.end_turn().is_err() && stage.end());
        }
    }

    /// Behind each wake begins a turn that sees what was done before it, whatever the stage was: also `QUEUED`, `WOKEN`, `FREE`.
    ///
    /// For Miri, which shows a load what is past: `MIRIFLAGS=-Zmiri-many-seeds cargo +nightly miri test -p foster --lib stage::`.
    #[test]
    fn what_was_done_before_a_wake_is_seen_by_the_turn_that_follows() {
        let (stage, news) = (standing(), [AtomicUsize::new(0), AtomicUsize::new(0)]);
        let seen = Mutex::new(0);
        let turns = || {
            loop {
                assert!(stage.begin(), "somebody else gives it its turn");
                *seen.lock().unwrap() = news.iter().map(|news| news.load(Ordering::Relaxed)).sum();
                if !stage.end_turn().is_ok_and(|again| again) {
                    return;
                }
            }
        };
        thread::scope(|threads| {
            for news in &news {
                threads.spawn(|| {
                    news.store(1, Ordering::Relaxed);
                    if stage.wake() {
                        turns();
                    }
                });
            }
            stage.placed();
            turns();
        });
        assert_eq!(*seen.lock().unwrap(), 2, "a wake was lost");
    }
}
