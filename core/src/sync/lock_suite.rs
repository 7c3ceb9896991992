//! One test suite for everything that is like a lock (B203): exclusion, hand-over, order, leaving, checkpoints.

use std::future::Future;
use std::sync::Arc;

use super::future::Park;
use super::{
    CapacityLimiter, LimiterPermit, Mutex, MutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, ParkOutcome, PoisonMutex,
    PoisonMutexGuard, RwLock, RwLockWriteGuard, Semaphore, SemaphorePermit, WaitQueue,
};
use crate::leaf::Waiter;
use foster_test_support::{ManualTask, at_once};

/// The methods that all of them have.
trait LockLike: Default {
    type Guard<'a>
    where
        Self: 'a;

    fn acquire(&self) -> impl Future<Output = Self::Guard<'_>>;
    fn try_acquire(&self) -> Option<Self::Guard<'_>>;
}

fn suite<L: LockLike>() {
    // B187, B202: had at once; handed over in the instant of the release.
    let lock = L::default();
    drop(at_once(lock.acquire()));
    let guard = lock.try_acquire().unwrap();
    assert!(lock.try_acquire().is_none());
    let waiter = ManualTask::waiting(lock.acquire());
    drop(guard);
    assert!(lock.try_acquire().is_none());
    drop(waiter.finish());

    // B188: longest first, one at a time.
    let mut guard = lock.try_acquire().unwrap();
    let mut waiters: Vec<_> = (0..10).map(|_| ManualTask::waiting(lock.acquire())).collect();
    for _ in 0..10 {
        drop(guard);
        let first = waiters.remove(0);
        assert!(waiters.iter().all(|hand| hand.wakes() == 0));
        guard = first.finish();
        assert!(lock.try_acquire().is_none());
    }
    drop(guard);

    // B191, L40: every second one leaves, before or after it was handed the lock.
    for after in [false, true] {
        let mut guard = lock.try_acquire().unwrap();
        let mut waiters: Vec<_> = (0..10).map(|_| ManualTask::waiting(lock.acquire())).collect();
        while !waiters.is_empty() {
            let leaver = waiters.remove(0);
            if after {
                drop(guard);
                assert_eq!(leaver.wakes(), 1);
                drop(leaver);
            } else {
                drop(leaver);
                drop(guard);
            }
            guard = waiters.remove(0).finish();
        }
        drop(guard);
        assert!(lock.try_acquire().is_some());
    }
}

impl LockLike for Mutex<()> {
    type Guard<'a> = MutexGuard<'a, ()>;

    fn acquire(&self) -> impl Future<Output = Self::Guard<'_>> {
        Mutex::lock(self)
    }
    fn try_acquire(&self) -> Option<Self::Guard<'_>> {
        Mutex::try_lock(self).ok()
    }
}

/// B203
#[test]
fn mutex() {
    suite::<Mutex<()>>();
}

impl LockLike for Arc<Mutex<()>> {
    type Guard<'a> = OwnedMutexGuard<()>;

    fn acquire(&self) -> impl Future<Output = Self::Guard<'_>> {
        self.clone().lock_owned()
    }
    fn try_acquire(&self) -> Option<Self::Guard<'_>> {
        self.clone().try_lock_owned().ok()
    }
}

/// B203
#[test]
fn owned_mutex() {
    suite::<Arc<Mutex<()>>>();
}

impl LockLike for PoisonMutex<()> {
    type Guard<'a> = PoisonMutexGuard<'a, ()>;

    async fn acquire(&self) -> Self::Guard<'_> {
        PoisonMutex::lock(self).await.unwrap()
    }
    fn try_acquire(&self) -> Option<Self::Guard<'_>> {
        PoisonMutex::try_lock(self).ok().map(Result::unwrap)
    }
}

/// B203
#[test]
fn poison_mutex() {
    suite::<PoisonMutex<()>>();
}

impl LockLike for RwLock<()> {
    type Guard<'a> = RwLockWriteGuard<'a, ()>;

    fn acquire(&self) -> impl Future<Output = Self::Guard<'_>> {
        self.write()
    }
    fn try_acquire(&self) -> Option<Self::Guard<'_>> {
        self.try_write().ok()
    }
}

/// B203
#[test]
fn writers() {
    suite::<RwLock<()>>();
}

struct One<L>(L);

impl Default for One<Semaphore> {
    fn default() -> Self {
        One(Semaphore::new(1))
    }
}

impl LockLike for One<Semaphore> {
    type Guard<'a> = SemaphorePermit<'a>;

    fn acquire(&self) -> impl Future<Output = Self::Guard<'_>> {
        self.0.acquire()
    }
    fn try_acquire(&self) -> Option<Self::Guard<'_>> {
        self.0.try_acquire().ok()
    }
}

/// B203
#[test]
fn semaphore() {
    suite::<One<Semaphore>>();
}

impl Default for One<Arc<Semaphore>> {
    fn default() -> Self {
        One(Arc::new(Semaphore::new(1)))
    }
}

impl LockLike for One<Arc<Semaphore>> {
    type Guard<'a> = OwnedSemaphorePermit;

    fn acquire(&self) -> impl Future<Output = Self::Guard<'_>> {
        self.0.clone().acquire_owned()
    }
    fn try_acquire(&self) -> Option<Self::Guard<'_>> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// B203
#[test]
fn owned_semaphore() {
    suite::<One<Arc<Semaphore>>>();
}

impl Default for One<CapacityLimiter> {
    fn default() -> Self {
        One(CapacityLimiter::new(1))
    }
}

impl LockLike for One<CapacityLimiter> {
    type Guard<'a> = LimiterPermit<'a>;

    fn acquire(&self) -> impl Future<Output = Self::Guard<'_>> {
        self.0.acquire()
    }
    fn try_acquire(&self) -> Option<Self::Guard<'_>> {
        self.0.try_acquire().ok()
    }
}

/// B203
#[test]
fn capacity_limiter() {
    suite::<One<CapacityLimiter>>();
}

/// A lock built on the public wait queue, as its documentation shows.
#[derive(Default)]
struct HomeMade {
    taken: std::sync::Mutex<bool>,
    queue: WaitQueue,
}

struct QueuedWaiter<'a>(&'a HomeMade, Park<'a>);

impl Drop for QueuedWaiter<'_> {
    fn drop(&mut self) {
        if self.1.leave() {
            self.0.release();
        }
    }
}

struct HomeMadeGuard<'a>(&'a HomeMade);

impl Drop for HomeMadeGuard<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl HomeMade {
    fn release(&self) {
        let mut taken = self.taken.lock().unwrap();
        let mut queue = self.queue.lock();
        if queue.unpark(1) == 0 {
            *taken = false;
        }
        let wakes = queue.finish();
        drop(taken);
        drop(wakes);
    }
}

impl LockLike for HomeMade {
    type Guard<'a> = HomeMadeGuard<'a>;

    async fn acquire(&self) -> HomeMadeGuard<'_> {
        loop {
            if let Some(guard) = self.try_acquire() {
                return guard;
            }
            let mut queued = QueuedWaiter(self, self.queue.lock().park(0, Waiter::unpolled()));
            match (&mut queued.1).await.unwrap() {
                ParkOutcome::Unparked => return HomeMadeGuard(self),
                ParkOutcome::Skipped => {}
            }
        }
    }
    fn try_acquire(&self) -> Option<HomeMadeGuard<'_>> {
        let mut taken = self.taken.lock().unwrap();
        (!std::mem::replace(&mut *taken, true)).then(|| HomeMadeGuard(self))
    }
}

/// B203
#[test]
fn built_on_the_wait_queue() {
    suite::<HomeMade>();
}
