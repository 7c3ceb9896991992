//! How far a task is from its next turn, where [pumps](super::pump) drive it.
//!
//! ```text
//!                 Coming                                        0. the task has its place in the tree
//!                    │ 0
//!   Idle ──wake──▶ Queued ──1──▶ Running ──wake──▶ Woken        1. a pump gives the task its turn
//!    ▲               ▲              │ 2              │ 2         2. the turn is over, the task is not
//!    ├───────────────│──────────────┘                │          3. the task has ended, or lost its pumps
//!    │               └───────────────────────────────┘
//!    └──3──▶ Over ◀──3── Queued, Running, Woken
//! ```

use crate::sys::atomic::{AtomicU8, Ordering};

/// How far a task is from its next turn; see the diagram.
pub(crate) struct Stage(AtomicU8);

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const WOKEN: u8 = 3;
const OVER: u8 = 4;
const COMING: u8 = 5;

impl Stage {
    /// Of a task that is about to get its place in the tree. Subtle: whoever comes down the tree may find it before it knows that
    /// place itself; [taken](Stage::take) then, it would not leave it, and its parent would wait for ever.
    pub(crate) fn coming() -> Self {
        Stage(AtomicU8::new(COMING))
    }

    /// The task has its place, and is about to be put into the queue.
    pub(crate) fn placed(&self) {
        // Ordering: see `Pumps::are_dropped`. Not a store: see `wake`.
        self.0.swap(QUEUED, Ordering::SeqCst);
    }

    /// The task was woken. Says whether it has to be put into the queue.
    pub(crate) fn wake(&self) -> bool {
        // Ordering: what was done before the wake is seen by the turn that follows it. Subtle: so also a stage that stays as it is
        // is written; a load alone may see one that is past, and shows nothing to anybody.
        let next = |stage| match stage {
            IDLE => Some(QUEUED),
            RUNNING => Some(WOKEN),
            OVER => None,
            queued => Some(queued),
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE)
    }

    /// A turn begins; not if the task is over.
    pub(crate) fn begin(&self) -> bool {
        self.0.compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The turn is over, the task is not. Says whether it has to be put into the queue again.
    pub(crate) fn end(&self) -> bool {
        // Ordering: see `Pumps::are_dropped`. Who finds it woken need not try: it stays so.
        let runs = self.0.load(Ordering::Relaxed) == RUNNING;
        if runs && self.0.compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::Acquire).is_ok() {
            return false;
        }
        // Not a store: see `wake`.
        self.0.swap(QUEUED, Ordering::SeqCst);
        true
    }

    pub(crate) fn over(&self) {
        self.0.store(OVER, Ordering::Release);
    }

    /// Takes the task away from its pumps, unless it is over, or coming, or one is giving it its turn.
    pub(crate) fn take(&self) -> bool {
        // Ordering: see `Pumps::are_dropped`.
        let next = |stage| matches!(stage, IDLE | QUEUED).then_some(OVER);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }
}

#[cfg(all(test, not(foster_shuttle)))]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    /// Behind each wake begins a turn that sees what was done before it, whatever the stage was: also `QUEUED`, `WOKEN`, `COMING`.
    ///
    /// For Miri, which shows a load what is past: `MIRIFLAGS=-Zmiri-many-seeds cargo +nightly miri test -p foster --lib stage::`.
    #[test]
    fn what_was_done_before_a_wake_is_seen_by_the_turn_that_follows() {
        let (stage, news) = (Stage::coming(), [AtomicUsize::new(0), AtomicUsize::new(0)]);
        let seen = Mutex::new(0);
        let turns = || {
            loop {
                assert!(stage.begin(), "somebody else gives it its turn");
                *seen.lock().unwrap() = news.iter().map(|news| news.load(Ordering::Relaxed)).sum();
                if !stage.end() {
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
