//! The futures of a group that were woken, and are to be polled next: so that a turn of the group costs what was woken, not what is there.
//!
//! Combinators poll their branches this way, and a local nursery its children. Each member of a group has a waker of its own, which puts
//! its key into the queue, once, and wakes whoever polls the group.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Wake, Waker};

use crate::sys::atomic::{AtomicBool, Ordering};
use crate::sys::{Mutex, MutexGuard};
use crate::tree::verdict::without_counting;
use crate::tree::waking;

/// The members that were woken, in that order, and the waker of whoever polls the group.
pub(crate) struct ReadyQueue(Mutex<Woken>);

struct Woken {
    keys: VecDeque<usize>,
    /// Something else has come that the group looks for in each of its turns.
    news: bool,
    driver: Option<Waker>,
}

impl ReadyQueue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(ReadyQueue(Mutex::new(Woken { keys: VecDeque::new(), news: false, driver: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the waker of whoever polls the group, and gives the number of members that were woken.
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

    /// Begins a turn, in which nobody needs to be woken: hands over the members that were woken. `take` is called under the lock.
    pub(crate) fn begin_turn(&self, take: impl FnMut(usize)) {
        let mut queue = self.lock();
        queue.keys.drain(..).for_each(take);
        let driver = queue.driver.take();
        drop(queue);
        drop(driver);
    }

    /// Ends a turn: keeps the driver's waker, or calls it if something has come meanwhile.
    pub(crate) fn end_turn(&self, driver: Waker, body: &ReadyMember) {
        let mut queue = self.lock();
        // Under the lock: what comes later finds the driver.
        if queue.news || !queue.keys.is_empty() || body.is_woken() {
            drop(queue);
            return driver.wake();
        }
        queue.driver = Some(driver);
    }

    /// Something has come that the group looks for.
    pub(crate) fn tell(&self) {
        let mut queue = self.lock();
        queue.news = true;
        let driver = queue.driver.take();
        drop(queue);
        if let Some(driver) = driver {
            without_counting(|| waking::wake(driver));
        }
    }

    /// Whether something has come since this was asked.
    pub(crate) fn take_news(&self) -> bool {
        std::mem::take(&mut self.lock().news)
    }

    /// Wakes whoever polls the group.
    pub(crate) fn wake_driver(&self) {
        let driver = self.lock().driver.take();
        if let Some(driver) = driver {
            waking::wake(driver);
        }
    }

    /// Drops the driver's waker: members that are woken later wake nobody.
    pub(crate) fn clear(&self) {
        let mut queue = self.lock();
        let driver = queue.driver.take();
        queue.keys.clear();
        drop(queue);
        drop(driver);
    }
}

/// A member of a group: its key, and the waker that it is polled with. Members that come one after the other may have the same one.
pub(crate) struct ReadyMember {
    entry: Arc<MemberWaker>,
    waker: Waker,
}

struct MemberWaker {
    /// None: the member is not in the queue, but looked for in each turn.
    key: Option<usize>,
    /// It was woken, and not polled since.
    queued: AtomicBool,
    /// Its wake-ups are counted elsewhere, and not by the code around the group (L12).
    quiet: bool,
    queue: Arc<ReadyQueue>,
}

impl ReadyMember {
    fn make(key: Option<usize>, queued: bool, quiet: bool, queue: &Arc<ReadyQueue>) -> Self {
        let entry = Arc::new(MemberWaker { key, queued: AtomicBool::new(queued), quiet, queue: queue.clone() });
        ReadyMember { waker: Waker::from(entry.clone()), entry }
    }

    /// A member that was not woken yet.
    pub(crate) fn new(key: usize, queue: &Arc<ReadyQueue>) -> Self {
        ReadyMember::make(Some(key), false, false, queue)
    }

    /// A child of a local nursery that is about to be polled for the first time.
    pub(crate) fn child(key: usize, queue: &Arc<ReadyQueue>) -> Self {
        ReadyMember::make(Some(key), false, true, queue)
    }

    /// The body of a local nursery, which is polled at once.
    pub(crate) fn body(queue: &Arc<ReadyQueue>) -> Self {
        ReadyMember::make(None, true, false, queue)
    }

    /// Puts the member into the queue, and wakes nobody: the group is being built or polled. Says whether it was not there.
    pub(crate) fn enqueue(&self) -> bool {
        let fresh = !self.entry.queued.swap(true, Ordering::AcqRel);
        if let (true, Some(key)) = (fresh, self.entry.key) {
            self.entry.queue.lock().keys.push_back(key);
        }
        fresh
    }

    /// Whether the member was woken, and not polled since.
    pub(crate) fn is_woken(&self) -> bool {
        self.entry.queued.load(Ordering::Acquire)
    }

    /// Polls the member, which was taken out of the queue.
    pub(crate) fn poll<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        // Ordering: what came before a wake that finds it queued still is seen in the poll that follows.
        self.entry.queued.swap(false, Ordering::AcqRel);
        poll(&mut Context::from_waker(&self.waker))
    }
}

impl Wake for MemberWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut queue = self.queue.lock();
        queue.keys.extend(self.key);
        // Taken, not cloned: that would run below the lock (L36). The group leaves a new one whenever it is polled.
        let driver = queue.driver.take();
        drop(queue);
        let Some(driver) = driver else { return };
        if self.quiet {
            without_counting(|| waking::wake(driver));
        } else {
            waking::wake(driver);
        }
    }
}
