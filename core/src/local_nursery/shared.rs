//! What the handles of a local nursery share with its future.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::nursery::NurseryCell;
use crate::nursery::policy::Home;
use crate::tree::node::NodeRef;

pub(crate) struct Shared<E, B> {
    pub(crate) node: NodeRef,
    pub(crate) errors: NurseryCell<E>,
    /// Children that the future has not taken over yet; none once the future is gone.
    pub(crate) incoming: Mutex<Option<Vec<B>>>,
    pub(crate) ready: Arc<Ready>,
}

impl<E, B> Shared<E, B> {
    pub(crate) fn incoming(&self) -> MutexGuard<'_, Option<Vec<B>>> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a child that has moved here. If the future is gone, so is the child.
    pub(crate) fn take_over(&self, child: B) {
        let mut incoming = self.incoming();
        let late = match &mut *incoming {
            Some(incoming) => {
                incoming.push(child);
                None
            }
            None => Some(child),
        };
        drop(incoming);
        drop(late);
        self.ready.wake_driver();
    }

    /// The children that were spawned since the last time.
    pub(crate) fn take_incoming(&self) -> Vec<B> {
        match &mut *self.incoming() {
            Some(incoming) => std::mem::take(incoming),
            None => Vec::new(),
        }
    }
}

impl<E, B> Home<E> for Shared<E, B> {
    fn errors(&self) -> &NurseryCell<E> {
        &self.errors
    }
}

/// What is to be polled next in the task of the nursery.
pub(crate) struct Ready(Mutex<Queue>);

struct Queue {
    keys: VecDeque<usize>,
    /// Whoever polls the nursery.
    driver: Option<Waker>,
}

/// The key of the body; the others are those of the children's slab.
pub(crate) const BODY: usize = usize::MAX;

impl Ready {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Ready(Mutex::new(Queue { keys: VecDeque::new(), driver: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the waker of whoever polls the nursery.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut queue = self.lock();
        if !queue.driver.as_ref().is_some_and(|old| old.will_wake(waker)) {
            let old = queue.driver.replace(waker.clone());
            drop(queue);
            drop(old);
        }
    }

    pub(crate) fn pop(&self) -> Option<usize> {
        self.lock().keys.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().keys.len()
    }

    /// Adds a key, and wakes whoever polls the nursery.
    fn push(&self, key: usize) {
        let mut queue = self.lock();
        queue.keys.push_back(key);
        let driver = queue.driver.clone();
        drop(queue);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Wakes whoever polls the nursery.
    pub(crate) fn wake_driver(&self) {
        let driver = self.lock().driver.clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Lets go of the driver's waker.
    pub(crate) fn clear(&self) {
        let mut queue = self.lock();
        let driver = queue.driver.take();
        queue.keys.clear();
        drop(queue);
        drop(driver);
    }
}

/// The waker of one child, or of the body.
pub(crate) struct Bell {
    key: usize,
    /// It is in the queue.
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Bell {
    pub(crate) fn new(key: usize, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Bell { key, queued: AtomicBool::new(false), ready: ready.clone() })
    }

    /// It was taken out of the queue and is about to be polled.
    pub(crate) fn taken(&self) {
        self.queued.store(false, Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.key);
        }
    }
}
