//! Work that is deferred until a lock is released.
//!
//! No lock is held while a waiter is woken or dropped, or a value is dropped (law L36): all of that is foreign code. A
//! step under the lock puts it into a [`Deferred`], which does it when it is run or dropped.

use std::mem;

use foster_cell::sys::{MutexGuard, PlainMutex};
use foster_core::leaf::Waiter;

/// Runs one step under the lock of `state`. Wakes and drops when the lock is released.
#[inline]
pub(super) fn step<S, D, R>(state: &PlainMutex<S>, f: impl FnOnce(&mut S, &mut Deferred<D>) -> R) -> R {
    step_with(state, None, f)
}

/// Runs a step, under the lock if it is held already.
#[inline]
pub(super) fn step_with<'a, S, D, R>(
    state: &'a PlainMutex<S>,
    held: Option<MutexGuard<'a, S>>,
    f: impl FnOnce(&mut S, &mut Deferred<D>) -> R,
) -> R {
    // Subtle: in this order, so that a panic in `f` unlocks before it wakes.
    let mut deferred = Deferred::new();
    let mut state = held.unwrap_or_else(|| state.lock());
    let result = f(&mut state, &mut deferred);
    drop(state);
    deferred.run();
    result
}

/// Waiters to wake, and waiters and values to drop. To be run, or dropped, after the lock's guard was dropped.
#[must_use = "the waiters are woken when this is run"]
pub(super) struct Deferred<T> {
    // Most steps wake or drop at most one: no allocation for that.
    first: Option<Waiter>,
    stale: Option<Waiter>,
    value: Option<T>,
    more: Option<Box<MoreDeferred<T>>>,
    /// Whether there is anything to do, so that most steps need only one check.
    has_any: bool,
}

/// The rest, which few steps need.
struct MoreDeferred<T> {
    waiters: Vec<Waiter>,
    stale: Vec<Waiter>,
    values: Vec<T>,
}

impl<T> Deferred<T> {
    #[inline]
    pub(super) const fn new() -> Self {
        Deferred { first: None, stale: None, value: None, more: None, has_any: false }
    }

    /// Wakes `waiter`, after those before it.
    #[inline]
    pub(super) fn wake(&mut self, waiter: Waiter) {
        self.has_any = true;
        match self.first {
            None => self.first = Some(waiter),
            Some(_) => self.more().waiters.push(waiter),
        }
    }

    /// Drops `waiter`.
    pub(super) fn drop_waiter(&mut self, waiter: Waiter) {
        self.has_any = true;
        match self.stale {
            None => self.stale = Some(waiter),
            Some(_) => self.more().stale.push(waiter),
        }
    }

    /// Drops `value`.
    pub(super) fn drop_value(&mut self, value: T) {
        self.has_any = true;
        match self.value {
            None => self.value = Some(value),
            Some(_) => self.more().values.push(value),
        }
    }

    /// Does all that was deferred.
    #[inline]
    pub(super) fn run(self) {
        if self.has_any {
            drop(self);
        } else {
            // Everything is empty: this spares the checks of the drop.
            mem::forget(self);
        }
    }

    fn more(&mut self) -> &mut MoreDeferred<T> {
        self.more.get_or_insert_with(|| {
            Box::new(MoreDeferred { waiters: Vec::new(), stale: Vec::new(), values: Vec::new() })
        })
    }
}

impl<T> Drop for Deferred<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.first.take() {
            waiter.wake();
        }
        if let Some(more) = &mut self.more {
            mem::take(&mut more.waiters).into_iter().for_each(Waiter::wake);
        }
    }
}
