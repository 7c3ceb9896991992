//! What is to be done once the lock is released.
//!
//! No lock is held while a waiter is woken or dropped, or a value is dropped (law L36): all of that is foreign code. Under the
//! lock it is put into an [`Deferred`], which does it when it goes.

use std::mem;

use crate::leaf::Waiter;
use crate::tree::waking;

/// Waiters to wake, waiters and values to drop. To be finished after the lock's guard was dropped; or to be dropped there.
#[must_use = "the waiters are woken when this is finished"]
pub(super) struct Deferred<T> {
    // Most have at most one to wake, or one to drop: no allocation for that.
    first: Option<Waiter>,
    stale: Option<Waiter>,
    value: Option<T>,
    more: Option<Box<MoreDeferred<T>>>,
    /// There is any of these: so that most need only one look.
    has_any: bool,
}

/// What few have.
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

    /// Wakes this one, after those before it.
    #[inline]
    pub(super) fn wake(&mut self, waiter: Waiter) {
        self.has_any = true;
        match self.first {
            None => self.first = Some(waiter),
            Some(_) => self.more().waiters.push(waiter),
        }
    }

    /// Drops this one.
    pub(super) fn drop_waiter(&mut self, waiter: Waiter) {
        self.has_any = true;
        match self.stale {
            None => self.stale = Some(waiter),
            Some(_) => self.more().stale.push(waiter),
        }
    }

    /// Drops this value.
    pub(super) fn drop_value(&mut self, value: T) {
        self.has_any = true;
        match self.value {
            None => self.value = Some(value),
            Some(_) => self.more().values.push(value),
        }
    }

    /// Does all of it.
    #[inline]
    pub(super) fn run(self) {
        if self.has_any {
            drop(self);
        } else {
            // Nothing to be dropped: this spares the looks.
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
            waking::wake_all(mem::take(&mut more.waiters).into_iter().filter_map(Waiter::into_waker));
        }
    }
}
