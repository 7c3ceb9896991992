//! The typed part of a local nursery's node: who is to be polled in its next turn, and by whom.
//!
//! Each child has a seat, so that a turn costs what was woken, not what is there.

use std::cell::RefCell;
use std::ptr;
use std::sync::PoisonError;
use std::task::Waker;
use std::vec::Drain;

use crate::raw::{Frame, Lent, Stack};
use crate::sys::{Mutex, MutexGuard};
use crate::tree::node::{Cell, NodeRef};

pub(crate) struct Seats(Mutex<Inner>);

/// The seats of the children that were woken from inside their nursery's own poll, in that order, as most are. Nobody else sees them, so
/// they need no lock.
pub(crate) type Heard = RefCell<Vec<usize>>;

crate::sys::thread_local! {
    /// The nurseries that this thread is polling, one inside the other, by their addresses.
    static HERE: Stack<*const Seats, Heard> = const { Stack::new() };
}

struct Inner {
    /// The body was woken.
    body: bool,
    /// The seats of the children that were woken from elsewhere, in that order.
    children: Vec<usize>,
    /// There is a new child.
    knocked: bool,
    /// Whoever polls the nursery.
    driver: Option<Waker>,
    /// It is polling, or about to: it looks here by itself.
    awake: bool,
}

impl Seats {
    /// Of a nursery whose body is to begin.
    pub(crate) fn new() -> Self {
        let inner = Inner { body: true, children: Vec::new(), knocked: false, driver: None, awake: false };
        Seats(Mutex::new(inner))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever polls the nursery begins a turn: hands over the children that were woken, and says whether the body was.
    pub(crate) fn begin_turn(&self, take: impl FnOnce(Drain<'_, usize>)) -> bool {
        let mut inner = self.lock();
        inner.awake = true;
        inner.knocked = false;
        if !inner.children.is_empty() {
            take(inner.children.drain(..));
        }
        std::mem::take(&mut inner.body)
    }

    /// Whether the body was woken during the turn.
    pub(crate) fn body_is_woken(&self) -> bool {
        self.lock().body
    }

    /// As [`body_is_woken`](Seats::body_is_woken); if so, it is to be polled now.
    pub(crate) fn take_body(&self) -> bool {
        std::mem::take(&mut self.lock().body)
    }

    /// The turn is over. Keeps the driver's waker, unless somebody was woken meanwhile: then the driver has to wake itself.
    pub(crate) fn end_turn(&self, driver: &Waker) -> bool {
        let mut new: Option<Waker> = None;
        loop {
            let mut inner = self.lock();
            if inner.body || inner.knocked || !inner.children.is_empty() {
                return true;
            }
            let known = inner.driver.as_ref().is_some_and(|old| old.will_wake(driver));
            if known || new.is_some() {
                if !known {
                    std::mem::swap(&mut inner.driver, &mut new);
                }
                inner.awake = false;
                drop(inner);
                return false;
            }
            // No lock is held while a waker is cloned or dropped (L36).
            drop(inner);
            new = Some(driver.clone());
        }
    }

    /// Runs `f`, which polls the nursery. What it wakes of this one's children is `heard`, and looked at by whoever polls it.
    pub(crate) fn hear<R>(&self, heard: &Heard, f: impl FnOnce() -> R) -> R {
        HERE.with(|stack| stack.enter(ptr::from_ref(self), Lent::One(heard), f).1)
    }

    /// Whether the child that sits there was woken from inside the nursery's own poll, and was heard.
    fn is_heard(&self, key: usize) -> bool {
        HERE.with(|stack| {
            stack.look(|top| {
                let here = top.and_then(|top| top.outward().find(|here| ptr::eq(*here.value(), self)));
                let Some(Lent::One(heard)) = here.map(Frame::lent) else { return false };
                heard.borrow_mut().push(key);
                true
            })
        })
    }

    /// Wakes the child that sits there.
    pub(super) fn ring(&self, key: usize) {
        if self.is_heard(key) {
            return;
        }
        let mut inner = self.lock();
        inner.children.push(key);
        wake_driver(inner);
    }

    fn ring_body(&self) {
        let mut inner = self.lock();
        inner.body = true;
        wake_driver(inner);
    }

    /// There is a new child.
    pub(crate) fn knock(&self) {
        let mut inner = self.lock();
        inner.knocked = true;
        wake_driver(inner);
    }

    /// Nobody polls the nursery any more: who is woken later wakes nobody.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        let driver = inner.driver.take();
        inner.children = Vec::new();
        drop(inner);
        drop(driver);
    }
}

/// Unless it looks there by itself.
#[inline]
fn wake_driver(mut inner: MutexGuard<'_, Inner>) {
    if inner.awake {
        return;
    }
    inner.awake = true;
    // Taken, not cloned: that would run below the lock (L36). The next turn leaves a new one.
    let driver = inner.driver.take();
    drop(inner);
    if let Some(driver) = driver {
        driver.wake();
    }
}

impl Cell for Seats {
    fn wakes(&self) -> bool {
        true
    }

    fn wake(&self, _: &NodeRef) {
        self.ring_body();
    }
}
