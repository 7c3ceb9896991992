//! The grounds of a verdict (L12): when a body was last polled, and how often its task's wakers were called; and
//! what it comes to: the polls that are left to cancelled code.
//!
//! Plain counts, kept in each node; `verdict.rs` says what follows from them.

use std::cell::Cell;

use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};

/// When the body of a scope was last polled, and what polls it has left.
pub(crate) struct Polled {
    /// [`LastPoll`], written by the thread that polls the body, and read by requests on any thread. One word: a verdict
    /// that found a poll which has begun, and not yet what it has seen, would call code blocked that is just coming to
    /// what it was given.
    last: AtomicU64,
    /// The value of `steps` at the end of the last poll that the body has (L12): set by the verdict. Until then that of
    /// its first poll, which is what code has that is opened in cancelled code, and maybe one more.
    last_step: AtomicU32,
    /// How often the wakers were called that user code in this scope was given. Counted only where `counts_wakes` says
    /// so: see [`verdict`](super::verdict). 0 for all others.
    wakes: AtomicU32,
}

/// The last poll of a body, as its driver leaves it, and a verdict finds it.
#[derive(Clone, Copy)]
pub(super) struct LastPoll {
    /// How many polls have begun and how many have ended, added up: odd while the body is on the stack.
    steps: u32,
    /// The wake-ups of its task that had been counted when the task's poll began; [`NEVER`] before the first poll,
    /// [`UNCOUNTED`] if nobody counts.
    seen: u32,
}

impl LastPoll {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
    fn of(word: u64) -> Self {
        LastPoll { steps: word as u32, seen: (word >> 32) as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.seen) << 32 | u64::from(self.steps)
    }

    /// Returns whether the body was being polled.
    pub(super) fn is_on_stack(self) -> bool {
        self.steps % 2 == 1
    }

    /// Returns whether the body was not polled since the last wake-up that was counted, of the `wakes` that were by now;
    /// or it cannot be known, and counts as that (L12.4, L12.5).
    pub(super) fn is_woken(self, wakes: u32) -> bool {
        wakes == UNCOUNTED || wakes != self.seen
    }

    /// Returns the value of `steps` at the end of the last poll that cancelled code has. Runnable code has one, the one
    /// that is going on; but if something was given since that began, which it may have passed by, the one after it (L12,
    /// L14). Blocked code has none.
    pub(super) fn last_step(self, runnable: bool, given: bool) -> u32 {
        self.steps.wrapping_add(match (runnable, self.is_on_stack(), given) {
            (false, ..) => 0,
            (true, true, false) => 1,
            (true, true, true) => 3,
            (true, false, _) => 2,
        })
    }
}

/// The value of `seen` for a body that was not polled yet. Such code is runnable as far as its task is: entering a
/// scope is no checkpoint (L13).
const NEVER: u32 = u32::MAX;

/// The value of `seen` for a body that was polled where the wake-ups are not counted: by an executor that foster does
/// not know. It counts as runnable (L12.5).
pub(super) const UNCOUNTED: u32 = u32::MAX - 1;

impl Polled {
    pub(crate) fn never() -> Self {
        let last = AtomicU64::new(LastPoll { steps: 0, seen: NEVER }.word());
        Polled { last, last_step: AtomicU32::new(2), wakes: AtomicU32::new(0) }
    }

    /// Looks at the last poll. A verdict does so after everything else: so what was given for a poll that is found not to
    /// have begun is found by that poll.
    #[inline]
    pub(super) fn last(&self) -> LastPoll {
        LastPoll::of(self.last.load(Ordering::Acquire))
    }

    /// Notes that a poll of the body begins, in a poll of its task at whose beginning `seen` wake-ups had been
    /// counted. If it has begun already, because the scope got its node during it, this changes only what was seen.
    #[inline]
    pub(crate) fn begin(&self, seen: u32) {
        let steps = self.last().steps | 1;
        self.last.store(LastPoll { steps, seen }.word(), Ordering::Release);
    }

    /// Notes that the poll is over. Release: what the poll did comes before a verdict that finds it over.
    #[inline]
    pub(crate) fn end(&self) {
        let LastPoll { steps, seen } = self.last();
        self.last.store(LastPoll { steps: steps.wrapping_add(1), seen }.word(), Ordering::Release);
    }

    /// Notes which poll of the body is the last one that it has, as was found at the instant at which its code became
    /// cancelled (L12): see [`last_step`](LastPoll::last_step). Before its driver acts on that.
    pub(super) fn judge(&self, last_step: u32) {
        // Ordering: the driver finds it with `PROPAGATED`, which is set after it.
        self.last_step.store(last_step, Ordering::Relaxed);
    }

    /// Returns how many steps cancelled code has left: 0 if it has no poll left; 1 in its last poll, 3 in the one before.
    ///
    /// It wraps around after 2^30 polls of code that is cancelled, which has one more then.
    pub(super) fn steps_left(&self) -> u32 {
        let left = self.last_step.load(Ordering::Relaxed).wrapping_sub(self.last().steps);
        if left <= u32::MAX / 2 { left } else { 0 }
    }

    /// Returns how many steps are left after its first poll to cancelled code that is opened in this one: one more poll, if
    /// this has one after that which is going on, in which it may have passed something by (L12).
    pub(super) fn more_steps(&self) -> u32 {
        if self.steps_left() == 3 { 2 } else { 0 }
    }

    /// Returns whether the body was polled before the poll that is over now. Asked by the scope's driver.
    pub(super) fn is_repeated(&self) -> bool {
        self.last().steps != 2
    }

    /// Returns whether the body was never polled. Asked by the scope's driver and by that of the parent in their polls,
    /// when the scope is abandoned, and of a root when its host is gone.
    #[inline]
    pub(crate) fn is_never(&self) -> bool {
        self.last().seen == NEVER
    }

    /// Counts that a waker was called that was given to user code in the scope, unless foster calls it.
    #[inline]
    pub(super) fn count_wake(&self) {
        if !WITHOUT_COUNTING.with(Cell::get) {
            // Ordering: a request that comes after the wake-up, by the same thread, say, finds it counted. And the poll
            // that follows the wake-up sees what came before it. Sequential: see `Node::flags_of`.
            self.wakes.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Returns the count, which is neither [`NEVER`] nor [`UNCOUNTED`], by leaving out the highest bit. It may wrap
    /// around: only whether two counts differ matters, and they would have to be exactly 2^31 calls apart in one poll to
    /// be taken for the same.
    #[inline]
    pub(super) fn wakes(&self) -> u32 {
        // Ordering: see `Node::flags_of`.
        self.wakes.load(Ordering::SeqCst) & (u32::MAX >> 1)
    }
}

crate::sys::thread_local! {
    // Whether this thread is calling wakers on behalf of foster, which are not to be counted.
    pub(super) static WITHOUT_COUNTING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `wake`, which calls wakers on behalf of foster: the calls are not counted (L12.1).
///
/// If they were, the wake-up of one request would make code runnable for the next request of the same instant, and it
/// would matter which of two came first. Code that runs inside (a foreign waker that wakes others) is not counted
/// either. Calls may be nested.
pub(crate) fn without_counting<R>(wake: impl FnOnce() -> R) -> R {
    /// Also when a waker panics.
    struct Restore(bool);

    impl Drop for Restore {
        #[inline]
        fn drop(&mut self) {
            WITHOUT_COUNTING.with(|flag| flag.set(self.0));
        }
    }

    let _restore = Restore(WITHOUT_COUNTING.with(|flag| flag.replace(true)));
    wake()
}
