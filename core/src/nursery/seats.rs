//! The typed part of a local nursery's node: who is to be polled in its next turn, and by whom.
//!
//! Each child has a seat, so that a turn costs what was woken, not what is there.

use std::sync::PoisonError;
use std::task::Waker;
use std::vec::Drain;

use crate::raw::Inside;
use crate::sys::atomic::{AtomicU8, Ordering};
use crate::sys::{Mutex, MutexGuard};
use crate::tree::node::{Cell, NodeRef};
use crate::tree::verdict::quietly;

pub(crate) struct Seats {
    /// What has come since the last turn.
    news: AtomicU8,
    kept: Mutex<Kept>,
    /// The seats of the children that were woken from inside their nursery's own poll, in that order, as most are.
    heard: Inside<Vec<usize>>,
}

/// The body was woken.
const BODY: u8 = 1;
/// Children were woken from elsewhere.
const CHILDREN: u8 = 2;
/// There is a new child that was spawned from elsewhere.
const KNOCKED: u8 = 4;
const NEWS: u8 = BODY | CHILDREN | KNOCKED;
/// Whoever polls the nursery has left a waker, and does not look here before somebody wakes it.
const RESTS: u8 = 8;
/// A waker was left, at some time.
const HAS_RESTED: u8 = 16;

/// What there is to do in a turn beside the children that were woken.
pub(crate) struct Begun {
    pub(crate) body_is_due: bool,
    /// There may be new children that were spawned from elsewhere.
    pub(crate) knocked: bool,
}

/// What was kept since the last turn.
#[derive(Default)]
struct Kept {
    /// The seats of the children that were woken from elsewhere, in that order.
    children: Vec<usize>,
    /// Whoever polls the nursery.
    driver: Option<Waker>,
}

impl Seats {
    /// Of a nursery whose body is to begin.
    pub(crate) fn new() -> Self {
        Seats { news: AtomicU8::new(BODY), kept: Mutex::default(), heard: Inside::new(Vec::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f`, which polls the nursery.
    #[inline]
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.heard.enter(f)
    }

    /// Whoever polls the nursery begins a turn: hands over the children that were woken, first those that were heard in the last turn.
    pub(crate) fn begin_turn(&self, mut take: impl FnMut(Drain<'_, usize>)) -> Begun {
        self.heard.reach(|heard| take(heard.drain(..)));
        // Ordering: what came before a wake that left its news is seen in this turn.
        let news = self.news.fetch_and(HAS_RESTED, Ordering::AcqRel);
        if news & CHILDREN != 0 {
            take(self.lock().children.drain(..));
        }
        Begun { body_is_due: news & BODY != 0, knocked: news & KNOCKED != 0 }
    }

    /// Whether children were heard since the turn began.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.reach(|heard| !heard.is_empty()).unwrap_or(false)
    }

    /// Whether there may be new children that were spawned from elsewhere, since this was asked, or a turn began.
    #[inline]
    pub(crate) fn take_knock(&self) -> bool {
        // Ordering: whoever knocks behind this does so anew.
        let knocked = self.news.load(Ordering::Relaxed) & KNOCKED != 0;
        knocked && self.news.fetch_and(!KNOCKED, Ordering::AcqRel) & KNOCKED != 0
    }

    /// Whether the body was woken during the turn.
    #[inline]
    pub(crate) fn body_is_woken(&self) -> bool {
        self.news.load(Ordering::Relaxed) & BODY != 0
    }

    /// As [`body_is_woken`](Seats::body_is_woken); if so, it is to be polled now.
    #[inline]
    pub(crate) fn take_body(&self) -> bool {
        // Ordering: as in `begin_turn`.
        self.body_is_woken() && self.news.fetch_and(!BODY, Ordering::AcqRel) & BODY != 0
    }

    /// The turn is over. Keeps the driver's waker, unless somebody was woken meanwhile: then the driver has to wake itself.
    pub(crate) fn end_turn(&self, driver: &Waker) -> bool {
        let mut seen = self.news.load(Ordering::Relaxed);
        if seen & NEWS != 0 {
            return true;
        }
        let known = self.lock().driver.as_ref().is_some_and(|old| old.will_wake(driver));
        if !known {
            // No lock is held while a waker is cloned or dropped (L36).
            let new = driver.clone();
            let old = self.lock().driver.replace(new);
            drop(old);
        }
        if seen & HAS_RESTED == 0 {
            // Also if it does not rest now, for `clear`.
            seen = self.news.fetch_or(HAS_RESTED, Ordering::Relaxed) | HAS_RESTED;
            if seen & NEWS != 0 {
                return true;
            }
        }
        // Ordering: whoever leaves news behind this finds the waker.
        self.news.compare_exchange(seen, seen | RESTS, Ordering::AcqRel, Ordering::Relaxed).is_err()
    }

    /// Wakes the child that sits there.
    pub(super) fn ring(&self, key: usize) {
        if self.heard.reach(|heard| heard.push(key)).is_some() {
            return;
        }
        let mut kept = self.lock();
        kept.children.push(key);
        // Ordering: as in `leave`.
        let rests = self.news.fetch_or(CHILDREN, Ordering::AcqRel) & RESTS != 0;
        if let Some(driver) = take_driver(kept, rests) {
            // The child has counted the wake-up; it is none of the code around the nursery.
            quietly(|| driver.wake());
        }
    }

    /// There is a new child that was spawned from elsewhere.
    pub(crate) fn knock(&self) {
        quietly(|| self.leave(KNOCKED));
    }

    /// Leaves news for the driver.
    #[inline]
    fn leave(&self, news: u8) {
        // Ordering: see `begin_turn` and `end_turn`.
        if self.news.fetch_or(news, Ordering::AcqRel) & RESTS != 0 {
            if let Some(driver) = take_driver(self.lock(), true) {
                driver.wake();
            }
        }
    }

    /// Nobody polls the nursery any more: who is woken later wakes nobody.
    pub(crate) fn clear(&self) {
        if self.news.load(Ordering::Relaxed) & (HAS_RESTED | CHILDREN) == 0 {
            return;
        }
        let kept = std::mem::take(&mut *self.lock());
        drop(kept);
    }
}

/// The waker of whoever polls the nursery, if that rests.
#[inline]
fn take_driver(mut kept: MutexGuard<'_, Kept>, rests: bool) -> Option<Waker> {
    // Taken, not cloned: that would run below the lock (L36). The turn that this leads to leaves a new one. Subtle: somebody who found it
    // resting before may have taken it, or take that new one; whoever takes it wakes the driver, which then finds the news of all.
    if rests { kept.driver.take() } else { None }
}

impl Cell for Seats {
    fn wakes(&self) -> bool {
        true
    }

    fn wake(&self, _: &NodeRef) {
        self.leave(BODY);
    }
}
