//! Values found at once: an operation that need not wait takes nothing that comes after a request for its code.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::mem::forget;
use std::sync::Arc;
use std::task::{Context, Waker};

use shuttle::thread;

use super::{Count, check, tree};
use crate::CancelScope;
use crate::sync::{Barrier, CapacityLimiter, Mutex, OnceCell, RwLock, Semaphore};

/// L14: another thread cancels code that is about to `take` something, and then gives it, as `other` does, which tells
/// whether it had it to give. Then that code does not get it. If it has got it before, it keeps it.
///
/// Fails if that operation does not ask `may_take`; where another change is named, with that one, too.
fn given_after_the_request<R: Send + Sync + 'static, T>(
    resource: fn() -> R,
    other: fn(&R, &dyn Fn()) -> bool,
    take: impl AsyncFn(Arc<R>) -> T + Send + Sync + 'static,
) {
    let (given, take) = (Count::default(), Arc::new(take));
    let (gives, takes) = (given.clone(), take);
    check(move || {
        let (resource, take, gives) = (Arc::new(resource()), takes.clone(), gives.clone());
        tree(async move {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let there = resource.clone();
            let other = thread::spawn(move || {
                let in_time = Cell::new(false);
                other(&there, &|| in_time.set(handle.cancel("now"))) && in_time.get()
            });
            let taken = scope.run(take(resource)).await;
            if other.join().unwrap() {
                assert!(taken.is_err(), "it was given to code that was cancelled before");
                gives.add();
            }
        });
    });
    assert!(given.get() > 0, "nothing was given");
}

#[test]
fn a_permit_comes_after_the_request() {
    let adds = |semaphore: &Semaphore, cancel: &dyn Fn()| {
        cancel();
        semaphore.add_permits(1);
        true
    };
    given_after_the_request(|| Semaphore::new(0), adds, async |semaphore| semaphore.acquire().await.forget());
    given_after_the_request(|| Semaphore::new(0), adds, async |semaphore| semaphore.acquire_owned().await.forget());
}

/// In the queue, too: the lock is free when its turn comes there.
#[test]
fn a_lock_comes_after_the_request() {
    let mutex = |mutex: &Mutex<()>, cancel: &dyn Fn()| mutex.try_lock().map(|_held| cancel()).is_ok();
    given_after_the_request(|| Mutex::new(()), mutex, async |mutex| forget(mutex.lock().await));
    given_after_the_request(|| Mutex::new(()), mutex, async |mutex| forget(mutex.lock_owned().await));
    let lock = |lock: &RwLock<()>, cancel: &dyn Fn()| lock.try_write().map(|_held| cancel()).is_ok();
    given_after_the_request(|| RwLock::new(()), lock, async |lock| forget(lock.read().await));
    given_after_the_request(|| RwLock::new(()), lock, async |lock| forget(lock.write().await));
}

/// That a borrower is busy by then is not told either.
#[test]
fn a_place_comes_after_the_request() {
    let adds = |limiter: &CapacityLimiter, cancel: &dyn Fn()| {
        cancel();
        limiter.set_total(1);
        true
    };
    given_after_the_request(|| CapacityLimiter::new(0), adds, async |limiter| forget(limiter.acquire().await));
    let borrows = |limiter: &CapacityLimiter, cancel: &dyn Fn()| {
        cancel();
        limiter.try_acquire_on_behalf_of("one").map(forget).is_ok()
    };
    given_after_the_request(
        || CapacityLimiter::new(1),
        borrows,
        async |limiter| forget(limiter.acquire_on_behalf_of("one").await),
    );
}

/// A wait that was skipped in other code, which was cancelled, goes on in this one.
#[test]
fn a_place_comes_after_the_request_to_one_who_was_skipped() {
    let adds = |limiter: &CapacityLimiter, cancel: &dyn Fn()| {
        cancel();
        limiter.set_total(1);
        true
    };
    given_after_the_request(
        || CapacityLimiter::new(0),
        adds,
        async |limiter| {
            let mut acquire = Box::pin(limiter.acquire());
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let _ = scope
                .run(poll_fn(|cx| {
                    let polled = acquire.as_mut().poll(cx);
                    handle.cancel("skipped");
                    polled.map(forget)
                }))
                .await;
            limiter.set_total(1);
            limiter.set_total(0);
            forget(acquire.await);
        },
    );
}

#[test]
fn the_others_come_after_the_request() {
    let arrives = |barrier: &Barrier, cancel: &dyn Fn()| {
        cancel();
        // Not dropped: that would take the arrival back.
        let mut wait = Box::pin(barrier.wait());
        let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        forget(wait);
        true
    };
    given_after_the_request(|| Barrier::new(2), arrives, async |barrier| barrier.wait().await);
}

/// The code that was making the value gives up.
#[test]
fn the_making_of_a_value_comes_after_the_request() {
    let gives_up = |cell: &OnceCell<()>, cancel: &dyn Fn()| {
        let begun = Cell::new(false);
        let mut makes = Box::pin(cell.get_or_init(|| {
            begun.set(true);
            pending()
        }));
        let _ = makes.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        cancel();
        drop(makes);
        begun.get()
    };
    given_after_the_request(OnceCell::new, gives_up, async |cell| {
        cell.get_or_init(async || ()).await;
    });
}
