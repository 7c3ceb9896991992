//! The typed part of a local child's node: how the child is woken, and who waits for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::bells::{Bells, Chime};
use crate::tree::node::{Cell, Node, NodeRef};

/// An implementation detail that shows in bounds.
#[doc(hidden)]
#[derive(Default)]
pub struct LocalCell(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Its seat in the nursery whose future polls it; it changes with the nursery (see `start`).
    bell: Option<Chime>,
    /// It has ended without its future (L28, L41).
    lost: bool,
    /// Whoever waits for the child, should it be lost.
    watcher: Option<Waker>,
}

impl LocalCell {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the child a seat, in the queue.
    pub(crate) fn sit(&self, key: usize, bells: &Arc<Bells>) {
        let bell = Chime::at(key, bells);
        bell.queue();
        let old = self.lock().bell.replace(bell);
        drop(old);
    }

    /// It was taken out of the queue and is about to be polled.
    pub(crate) fn taken(&self) {
        if let Some(bell) = &self.lock().bell {
            bell.taken();
        }
    }

    fn ring(&self) {
        let driver = self.lock().bell.as_ref().and_then(Chime::strike);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// Keeps the waker of a handle that has found no result. Says whether it has to look again.
    pub(crate) fn watch(&self, waker: &Waker) -> bool {
        let mut spare: Option<Waker> = None;
        loop {
            let mut inner = self.lock();
            if inner.lost {
                return true;
            }
            if inner.watcher.as_ref().is_some_and(|old| old.will_wake(waker)) {
                return false;
            }
            if spare.is_some() {
                std::mem::swap(&mut inner.watcher, &mut spare);
                drop(inner);
                return false;
            }
            // No lock is held while a waker is cloned or dropped (L36).
            drop(inner);
            spare = Some(waker.clone());
        }
    }

    /// The handle is gone.
    pub(crate) fn watch_no_more(&self) {
        let watcher = self.lock().watcher.take();
        drop(watcher);
    }
}

impl Cell for LocalCell {
    fn wakes(&self) -> bool {
        true
    }

    fn wake(&self, _: &NodeRef) {
        self.ring();
    }

    fn is_local(&self) -> bool {
        true
    }

    fn orphaned(&self, _: &NodeRef) {
        let mut inner = self.lock();
        inner.lost = true;
        let watcher = inner.watcher.take();
        drop(inner);
        if let Some(waker) = watcher {
            waker.wake();
        }
    }
}

impl fmt::Debug for LocalCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalCell")
    }
}

/// The waker of the child's body.
impl Wake for Node<LocalCell> {
    fn wake(self: Arc<Self>) {
        self.cell.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.cell.ring();
    }
}
