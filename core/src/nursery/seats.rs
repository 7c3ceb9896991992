//! The typed part of a local nursery's node: who is to be polled in its next turn, and by whom.
//!
//! Each child has a seat, so that a turn costs what was woken, not what is there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::tree::node::{Cell, Node};

pub(crate) struct Seats(Mutex<Inner>);

struct Inner {
    /// The body was woken.
    body: bool,
    /// The seats of the children that were woken, in that order.
    children: Vec<usize>,
    /// Whoever polls the nursery.
    driver: Option<Waker>,
    /// It is polling, or about to: it looks here by itself.
    awake: bool,
}

impl Seats {
    /// Of a nursery whose body is to begin.
    pub(crate) fn new() -> Self {
        Seats(Mutex::new(Inner { body: true, children: Vec::new(), driver: None, awake: false }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever polls the nursery begins a turn: hands over the children that were woken, and says whether the body was.
    pub(crate) fn begin_turn(&self, driver: &Waker, take: impl FnOnce(std::vec::Drain<'_, usize>)) -> bool {
        let mut new: Option<Waker> = None;
        loop {
            let mut inner = self.lock();
            let known = inner.driver.as_ref().is_some_and(|old| old.will_wake(driver));
            if !known && new.is_none() {
                // No lock is held while a waker is cloned or dropped (L36).
                drop(inner);
                new = Some(driver.clone());
                continue;
            }
            if !known {
                std::mem::swap(&mut inner.driver, &mut new);
            }
            inner.awake = true;
            take(inner.children.drain(..));
            let body = std::mem::take(&mut inner.body);
            drop(inner);
            return body;
        }
    }

    /// Whether the body was woken during the turn; if so, it is to be polled now.
    pub(crate) fn take_body(&self) -> bool {
        std::mem::take(&mut self.lock().body)
    }

    /// The turn is over. Says whether somebody was woken during it: then whoever polls the nursery has to wake itself.
    pub(crate) fn end_turn(&self) -> bool {
        let mut inner = self.lock();
        inner.awake = inner.body || !inner.children.is_empty();
        inner.awake
    }

    /// Wakes the child that sits there.
    pub(super) fn ring(&self, key: usize) {
        let mut inner = self.lock();
        inner.children.push(key);
        wake_driver(inner);
    }

    fn ring_body(&self) {
        let mut inner = self.lock();
        inner.body = true;
        wake_driver(inner);
    }

    /// Wakes whoever polls the nursery, though nobody was woken: there is a new child.
    pub(crate) fn knock(&self) {
        let driver = self.lock().driver.take();
        if let Some(driver) = driver {
            driver.wake();
        }
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

impl Cell for Seats {}

/// The waker of the nursery's body.
impl Wake for Node<Seats> {
    fn wake(self: Arc<Self>) {
        self.cell.ring_body();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.cell.ring_body();
    }
}
