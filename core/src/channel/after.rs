//! What is to be done once the lock is released.
//!
//! No lock is held while a waker is called or dropped, or a value is dropped (law L36): all of that is foreign code. Under the
//! lock it is put into an [`After`], which does it when it goes.

use std::mem;
use std::task::Waker;

/// Wakers to call, wakers and values to drop. To be finished after the lock's guard was dropped; or to be dropped there.
#[must_use = "the waiters are woken when this is finished"]
pub(super) struct After<T> {
    // Most have at most one to wake, or one to drop: no allocation for that.
    first: Option<Waker>,
    stale: Option<Waker>,
    value: Option<T>,
    more: Option<Box<More<T>>>,
    /// There is any of these: so that most need only one look.
    any: bool,
}

/// What few have.
struct More<T> {
    wakers: Vec<Waker>,
    values: Vec<T>,
}

impl<T> After<T> {
    #[inline]
    pub(super) const fn new() -> Self {
        After { first: None, stale: None, value: None, more: None, any: false }
    }

    /// Calls this one, after those before it. `None`: that waiter has not been polled yet, or was called already.
    #[inline]
    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        self.any |= waker.is_some();
        match waker {
            Some(waker) if self.first.is_none() => self.first = Some(waker),
            Some(waker) => self.more().wakers.push(waker),
            None => {}
        }
    }

    /// Drops this one; at most one.
    pub(super) fn forget(&mut self, waker: Option<Waker>) {
        debug_assert!(self.stale.is_none() || waker.is_none(), "one waiter leaves at a time");
        if waker.is_some() {
            self.any = true;
            self.stale = waker;
        }
    }

    /// Drops this value.
    pub(super) fn discard(&mut self, value: T) {
        self.any = true;
        match self.value {
            None => self.value = Some(value),
            Some(_) => self.more().values.push(value),
        }
    }

    /// Does all of it.
    #[inline]
    pub(super) fn finish(self) {
        if self.any {
            drop(self);
        } else {
            // Nothing to be dropped: this spares the looks.
            mem::forget(self);
        }
    }

    fn more(&mut self) -> &mut More<T> {
        self.more.get_or_insert_with(|| Box::new(More { wakers: Vec::new(), values: Vec::new() }))
    }
}

impl<T> Drop for After<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.first.take() {
            waker.wake();
        }
        if let Some(more) = self.more.take() {
            more.wakers.into_iter().for_each(Waker::wake);
        }
    }
}
