//! Which futures of a group are to be polled next: each has a bell of its own, so that a turn costs what was woken, not
//! what is there. Combinators poll their branches this way.

use std::collections::VecDeque;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use crate::raw::{self, Calls, Owner, Thin, Woken};
use crate::tree::waking;

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
            waking::wake(driver);
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

/// A seat in a group: a future (or a stream) that is polled when its bell was rung.
///
/// Both lie in one block. The bell's wakers may outlive the future, and keep its memory then.
pub(crate) struct Seat<P>(Owner<Bell, (), P>);

/// It serves those who sit there one after the other.
struct Bell {
    key: usize,
    /// It is in the queue.
    queued: AtomicBool,
    bells: Arc<Bells>,
}

// As an `Arc` of it: there is a flag in it, and a lock.
impl UnwindSafe for Thin<Bell, ()> {}
impl RefUnwindSafe for Thin<Bell, ()> {}

impl<P> Seat<P> {
    pub(crate) fn new(key: usize, bells: &Arc<Bells>, who: P) -> Self {
        let bell = Bell { key, queued: AtomicBool::new(false), bells: bells.clone() };
        Seat(raw::lodge_alone(bell).fill(who))
    }

    pub(crate) fn get(&mut self) -> Pin<&mut P> {
        self.0.get()
    }

    /// Puts the seat into the queue, and wakes nobody: the group is being built or polled. Says whether it was not there.
    pub(crate) fn queue(&self) -> bool {
        let bell = self.0.block();
        let fresh = !bell.queued.swap(true, Ordering::AcqRel);
        if fresh {
            drop(bell.bells.push(bell.key));
        }
        fresh
    }

    /// It was taken out of the queue: whoever sits there is polled.
    pub(crate) fn poll<R>(&mut self, poll: impl FnOnce(Pin<&mut P>, &mut Context<'_>) -> R) -> R {
        let (who, bell) = self.0.get_with_block();
        // Ordering: what came before a wake that finds it queued still is seen in the poll that follows.
        bell.queued.swap(false, Ordering::AcqRel);
        poll(who, &mut Context::from_waker(&bell.waker()))
    }
}

impl Woken<()> for Bell {
    fn wake(this: &Thin<Self, ()>) {
        if this.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        // Taken, not cloned: that would run below the lock (L36). The group leaves a new one whenever it is polled.
        let driver = this.bells.push(this.key).driver.take();
        if let Some(driver) = driver {
            waking::wake(driver);
        }
    }

    fn calls() -> &'static Calls<Self, ()> {
        static CALLS: Calls<Bell, ()> = Calls::NEW;
        &CALLS
    }
}
