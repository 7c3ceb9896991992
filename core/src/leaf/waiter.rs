//! The waiter: a task that waits, where the side that gives finds it.

use std::fmt;
use std::task::{Context, Waker};

use crate::tree::current;
use crate::tree::node::WaitingCode;
use crate::tree::polled::without_counting;
use crate::tree::waking;

/// A task that waits: how to wake it, and whether its code may still be given anything.
///
/// An operation that has to wait leaves one where the side that gives finds it, under the lock of what it waits for.
///
/// A waiter is to be **made, called and dropped while no lock is held** (law L36). To [`claim`](Waiter::claim) it, to
/// ask it [`is_cancelled`](Waiter::is_cancelled) or [`is_current`](Waiter::is_current), and to move it, is fine under a
/// lock.
///
/// # Examples
///
/// ```
/// use foster::leaf::Waiter;
/// use foster::move_on_after;
/// use std::future::poll_fn;
/// use std::sync::Mutex;
/// use std::task::Poll;
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let slot: Mutex<Option<Waiter>> = Mutex::new(None);
/// let waiting = poll_fn(|cx| {
///     let waiter = Waiter::new(cx); // made before the lock is taken
///     let before = slot.lock().unwrap().replace(waiter);
///     drop(before); // dropped after it was released
///     Poll::<()>::Pending
/// });
/// assert_eq!(move_on_after(Duration::from_secs(1), waiting).await, None);
///
/// let waiter = slot.lock().unwrap().take().unwrap();
/// assert!(!waiter.claim(), "it is skipped: nothing is given to it");
/// waiter.wake();
/// # });
/// ```
pub struct Waiter {
    /// None: it was not polled yet.
    waker: Option<Waker>,
    code: WaitingCode,
}

impl Waiter {
    /// Makes a waiter for the task and the code that are being polled.
    ///
    /// To be called in `poll`, while no lock is held: it clones a waker.
    #[must_use]
    pub fn new(cx: &Context<'_>) -> Self {
        Waiter { waker: Some(cx.waker().clone()), code: current::waiting_code() }
    }

    /// Makes a waiter for the code that is running, which will be polled later: it keeps a place in a queue, and cannot
    /// be woken.
    ///
    /// To be made while no lock is held: it gives the scope of that code its place in the tree, which may arm the
    /// host's timer, and that may call wakers.
    #[must_use]
    pub fn unpolled() -> Self {
        Waiter { waker: None, code: current::waiting_code() }
    }

    /// Returns whether the waiter may be given something, and decides it. After `true` its code will be polled to take
    /// that, whatever is requested from now on; it is to be [woken](Waiter::wake). After `false` its code is cancelled
    /// (law L9), and it is to be skipped.
    ///
    /// For the side that gives, under the lock of the queue, once nothing else stands in the way. It takes no lock and
    /// reads no clock, so a deadline counts from the moment at which its scope has noticed it. Always true for code
    /// outside of any tree.
    #[inline]
    #[must_use = "code that is cancelled must not be given anything"]
    pub fn claim(&self) -> bool {
        self.code.claim()
    }

    /// Returns whether the code that waits is cancelled (law L9). Once true, it stays true; and `false` may be out of
    /// date at once, if another thread requests something: the code that gives asks by [`claim`](Waiter::claim).
    ///
    /// One load: it takes no lock and reads no clock. Always false for code outside of any tree.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.code.is_cancelled()
    }

    /// Returns whether this is the task and the code that are being polled. If it is not, the operation has moved to
    /// another task or scope since it was polled last, and the waiter is to be replaced by a [new](Waiter::new) one.
    ///
    /// May be asked under the lock of a queue: it compares wakers, and calls none.
    #[must_use]
    pub fn is_current(&self, cx: &Context<'_>) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) && self.is_in_scope()
    }

    /// Returns whether the innermost scope of the running code is that of the code which made this waiter, whatever
    /// task polls it.
    ///
    /// For an operation that has started something in a scope, and must know whether it is polled there. May be asked
    /// under the lock of a queue.
    #[must_use]
    pub fn is_in_scope(&self) -> bool {
        match self.code.scope() {
            Some(scope) => current::is_innermost(scope),
            None => current::depth() == 0,
        }
    }

    /// Wakes the task.
    ///
    /// A waiter that was skipped, because its code [is cancelled](Waiter::is_cancelled), is woken as well: its
    /// future may have been polled in a scope that has ended meanwhile, by a combinator that polls what was woken and
    /// nothing else, and starts again in its next poll. Nothing becomes runnable by that wake-up (law L12).
    ///
    /// To be called while no lock is held. A waker that panics does not reach the caller: its panic goes to the
    /// [`Observer`](crate::observer::Observer) of the tree that the caller is part of (law L36).
    #[inline]
    pub fn wake(mut self) {
        if let Some(waker) = self.waker.take() {
            self.wake_by(waker);
        }
    }

    /// Takes the waker out of a waiter that was [claimed](Waiter::claim), in one of its own that is to be
    /// [woken](Waiter::wake) with the lock released. This one stays behind, and wakes nobody any more; it still says
    /// whether its code [is cancelled](Waiter::is_cancelled).
    ///
    /// For what is given and may be taken back before the waiter has seen it, as a value is that a channel gives up
    /// when it is closed. The code that takes it back decides as the side that gives does: code that is cancelled by
    /// then is told nothing.
    #[inline]
    #[must_use = "it is to be woken"]
    pub fn take_waker(&mut self) -> Waiter {
        Waiter { waker: self.waker.take(), code: WaitingCode::default() }
    }

    /// Wakes the task, as [`wake`](Waiter::wake) does, and keeps the waiter.
    pub fn wake_by_ref(&self) {
        if let Some(waker) = self.waker.clone() {
            self.wake_by(waker);
        }
    }

    #[inline]
    fn wake_by(&self, waker: Waker) {
        if self.is_cancelled() {
            without_counting(|| waking::wake(|| waker.wake()));
        } else {
            waking::wake(|| waker.wake());
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
