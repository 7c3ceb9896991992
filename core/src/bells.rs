//! Which futures of a group are to be polled next: each has a bell of its own, so that a turn costs what was woken, not
//! what is there. Combinators poll their branches this way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The seats that were woken, in that order, and whoever polls the group.
pub(crate) struct Bells(Mutex<Queue>);

struct Queue {
    keys: VecDeque<usize>,
    driver: Option<Waker>,
}

impl Bells {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Bells(Mutex::new(Queue { keys: VecDeque::new(), driver: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the waker of whoever polls the group, and says how many seats were woken.
    pub(crate) fn register(&self, waker: &Waker) -> usize {
        let queue = self.lock();
        let len = queue.keys.len();
        if queue.driver.as_ref().is_some_and(|old| old.will_wake(waker)) {
            return len;
        }
        // No lock is held while a waker is cloned or dropped (L36).
        drop(queue);
        let new = waker.clone();
        let mut queue = self.lock();
        let (old, len) = (queue.driver.replace(new), queue.keys.len());
        drop(queue);
        drop(old);
        len
    }

    pub(crate) fn pop(&self) -> Option<usize> {
        self.lock().keys.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().keys.len()
    }

    fn push(&self, key: usize) -> MutexGuard<'_, Queue> {
        let mut queue = self.lock();
        queue.keys.push_back(key);
        queue
    }

    /// Wakes whoever polls the group.
    pub(crate) fn wake_driver(&self) {
        let driver = self.lock().driver.take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Lets go of the driver's waker: bells that are rung later wake nobody.
    pub(crate) fn clear(&self) {
        let mut queue = self.lock();
        let driver = queue.driver.take();
        queue.keys.clear();
        drop(queue);
        drop(driver);
    }
}

/// The waker of one seat of a group; it serves the futures that sit there one after the other.
pub(crate) struct Chime {
    key: usize,
    /// It is in the queue.
    queued: AtomicBool,
    bells: Arc<Bells>,
}

impl Chime {
    pub(crate) fn new(key: usize, bells: &Arc<Bells>) -> Arc<Self> {
        Arc::new(Chime { key, queued: AtomicBool::new(false), bells: bells.clone() })
    }

    /// Puts the seat into the queue, and wakes nobody: the group is being built or polled. Says whether it was not there.
    pub(crate) fn queue(&self) -> bool {
        let fresh = !self.queued.swap(true, Ordering::AcqRel);
        if fresh {
            drop(self.bells.push(self.key));
        }
        fresh
    }

    /// It was taken out of the queue and is about to be polled.
    pub(crate) fn taken(&self) {
        // Ordering: what came before a wake that finds it queued still is seen in the poll that follows.
        self.queued.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Chime {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        // Taken, not cloned: that would run below the lock (L36). The group leaves a new one whenever it is polled.
        let driver = self.bells.push(self.key).driver.take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}
