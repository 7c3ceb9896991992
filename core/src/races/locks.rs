//! Locks and permits: one who comes, one who goes, one who gives up the wait; all at once.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use super::{begun, check, check_all, tree};
use crate::CancelScope;
use crate::sync::{Condition, Mutex, MutexGuard, RwLock, Semaphore};
use futures_lite::future;

/// Waits for it, but not for long: polls once, and drops the wait, whatever it was given by then.
fn gives_up<F: Future>(wait: F) {
    let _ = pin!(wait).poll(&mut Context::from_waker(Waker::noop()));
}

/// Runs each of them on a thread of its own.
fn together<const N: usize>(parts: [Box<dyn FnOnce() + Send>; N]) {
    let threads = parts.map(|part| thread::spawn(part));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn part<T: Send + Sync + 'static>(shared: &Arc<T>, part: fn(&T)) -> Box<dyn FnOnce() + Send> {
    let shared = shared.clone();
    Box::new(move || part(&shared))
}

/// A newcomer during a release does not wait for ever.
///
/// Fails without `set_contended` in `Acquire::poll_wait`, and with `acquire_for_waiter` before it.
#[test]
fn a_release_races_with_one_who_comes() {
    check_all(50_000, || {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.clone().try_lock_owned().unwrap();
        together([Box::new(move || drop(held)), part(&mutex, |mutex| *block_on(mutex.lock()) += 1)]);
        assert!(!mutex.statistics().held);
        assert_eq!(*mutex.try_lock().unwrap(), 1);
    });
}

/// L40: what was handed to one who gives up goes on to the next.
///
/// Fails if `MutexLock::drop` gives nothing back, and if `Acquire::leave_waiting` says that there is nothing to give
/// back.
#[test]
fn a_release_races_with_one_who_gives_up() {
    check(|| {
        let mutex = Arc::new(Mutex::new(0));
        let turn = |mutex: &Mutex<i32>| *block_on(mutex.lock()) += 1;
        together([part(&mutex, turn), part(&mutex, |mutex| gives_up(mutex.lock())), part(&mutex, turn)]);
        assert!(!mutex.statistics().held);
        assert_eq!(*mutex.try_lock().unwrap(), 2);
    });
}

/// Nobody comes between: one who only tries does not get what is handed over, nor does he disturb it.
///
/// Fails without the look at CONTENDED in `RawRwLock::try_lock`.
#[test]
fn a_hand_over_races_with_one_who_tries() {
    check(|| {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.clone().try_lock_owned().unwrap();
        let mut first = Box::pin(mutex.clone().lock_owned());
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let release = Box::new(move || drop(held));
        together([release, part(&mutex, |mutex| assert!(mutex.try_lock().is_err(), "somebody waits"))]);
        *block_on(first) += 1;
        assert_eq!(*mutex.try_lock().unwrap(), 1);
    });
}

/// Two read, one writes, one gives up: each comes in, and nobody reads half of what was written.
///
/// Fails if `RawRwLock::unlock` tells nobody, or only a writer tells.
#[test]
fn readers_and_writers_race() {
    check(|| {
        let lock = Arc::new(RwLock::new((0, 0)));
        let read = |lock: &RwLock<(i32, i32)>| {
            let seen = block_on(lock.read());
            assert_eq!(seen.0, seen.1);
        };
        let write = |lock: &RwLock<(i32, i32)>| {
            let mut value = block_on(lock.write());
            value.0 += 1;
            thread::yield_now();
            value.1 += 1;
            let seen = value.downgrade();
            assert_eq!(seen.0, seen.1);
        };
        let leave = |lock: &RwLock<(i32, i32)>| gives_up(lock.write());
        together([part(&lock, read), part(&lock, write), part(&lock, leave), part(&lock, read)]);
        let statistics = lock.statistics();
        assert_eq!((statistics.readers, statistics.writer, statistics.waiting), (0, false, 0));
        assert_eq!(*lock.try_write().unwrap(), (1, 1));
    });
}

/// A reader comes in beside one who goes on reading, whether it came before the downgrade or after.
///
/// Fails if `RawGuard::downgrade` tells nobody.
#[test]
fn a_downgrade_races_with_a_reader() {
    check_all(50_000, || {
        let lock = Arc::new(RwLock::new(()));
        let comes = lock.clone();
        let writing = lock.try_write().unwrap();
        let reader = thread::spawn(move || drop(block_on(comes.read())));
        let reading = writing.downgrade();
        reader.join().unwrap();
        drop(reading);
    });
}

/// A reader who stands behind a writer only for its sake comes in beside the other reader when the writer gives up.
///
/// Fails if `Acquire::leave_waiting` does not serve those behind.
#[test]
fn a_writer_who_gives_up_races_with_a_reader() {
    check(|| {
        let lock = Arc::new(RwLock::new(()));
        let reading = lock.try_read().unwrap();
        together([part(&lock, |lock| gives_up(lock.write())), part(&lock, |lock| drop(block_on(lock.read())))]);
        drop(reading);
        assert!(lock.try_write().is_ok());
    });
}

/// Permits that are taken, given back, waited for and given up: none is lost, and none comes from nowhere.
///
/// Fails without `set_contended` in `Acquire::poll_wait`, and if `QueuedResource::notify_waiters_in` clears it while
/// somebody waits.
#[test]
fn permits_race() {
    check(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let one = |semaphore: &Semaphore| drop(block_on(semaphore.acquire()));
        let both = |semaphore: &Semaphore| drop(block_on(semaphore.acquire_many(2)));
        let leave = |semaphore: &Semaphore| gives_up(semaphore.acquire_many(2));
        together([part(&semaphore, one), part(&semaphore, both), part(&semaphore, leave), part(&semaphore, one)]);
        assert_eq!((semaphore.available(), semaphore.statistics().waiting), (2, 0));
        assert!(semaphore.try_acquire_many(2).is_ok());
    });
}

/// Permits that are forgotten are not taken from a waiter.
///
/// Fails if `Semaphore::forget_permits` does not lock the queue, and if `hand_over` adds before it has.
#[test]
fn a_permit_that_comes_back_is_not_forgotten() {
    check(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let held = semaphore.clone().try_acquire_owned().unwrap();
        let mut wait = Box::pin(semaphore.clone().acquire_owned());
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let release = Box::new(move || drop(held));
        together([release, part(&semaphore, |semaphore| assert_eq!(semaphore.forget_permits(1), 0))]);
        drop(block_on(wait));
        assert_eq!(semaphore.available(), 1);
    });
}

/// B214: a waiter that is notified is in the queue of the mutex in that instant, and gets it in its turn, even if the
/// one that was notified before it goes away.
///
/// Fails without `set_contended` in `QueuedResource::requeue_from`.
#[test]
fn a_notification_races_with_a_release_and_one_who_gives_up() {
    check(|| {
        let both = Arc::new((Mutex::new(false), Condition::new()));
        let waits = |both: &(Mutex<bool>, Condition)| {
            let guard = block_on(both.0.lock());
            assert!(*block_on(both.1.wait_for(guard, |done| *done)));
        };
        let leaves = |both: &(Mutex<bool>, Condition)| {
            let guard: MutexGuard<'_, bool> = block_on(both.0.lock());
            gives_up(both.1.wait(guard));
        };
        let notifies = |both: &(Mutex<bool>, Condition)| {
            let mut guard = block_on(both.0.lock());
            *guard = true;
            both.1.notify(&guard, 1);
        };
        together([part(&both, waits), part(&both, leaves), part(&both, notifies)]);
        let statistics = both.0.statistics();
        assert_eq!((statistics.held, statistics.waiting, both.1.waiting()), (false, 0, 0));
        assert!(both.0.try_lock().is_ok());
    });
}

/// L40: who was notified and goes away, while the notifier releases the mutex, leaves the notification to the next one,
/// who gets the mutex although nobody has it any more.
///
/// Fails if `QueuedResource::requeue_from` does not serve.
#[test]
fn a_release_races_with_one_who_was_notified_and_gives_up() {
    check(|| {
        let (mutex, condition) = (Mutex::new(()), Condition::new());
        let cx = &mut Context::from_waker(Waker::noop());
        let mut first = Box::pin(condition.wait(mutex.try_lock().unwrap()));
        assert!(first.as_mut().poll(cx).is_pending());
        let mut second = Box::pin(condition.wait(mutex.try_lock().unwrap()));
        assert!(second.as_mut().poll(cx).is_pending());
        let guard = mutex.try_lock().unwrap();
        assert_eq!(condition.notify(&guard, 1), 1);
        thread::scope(|threads| {
            threads.spawn(move || drop(guard));
            threads.spawn(move || drop(first));
        });
        // Nobody is left who could wake it.
        drop(block_on(second));
    });
}

/// A lock that is handed to a waiter whose code is being cancelled comes back; so do permits.
///
/// Fails if `QueuedResource::admit_waiters` calls `notify_one`, which asks again whether the waiter is cancelled, for
/// `notify_first`.
#[test]
fn a_hand_over_races_with_a_cancel() {
    check(|| {
        let (mutex, semaphore) = (Arc::new(Mutex::new(())), Arc::new(Semaphore::new(1)));
        let (locked, limited) = (mutex.clone(), semaphore.clone());
        tree(async move {
            let held = (locked.clone().try_lock_owned().unwrap(), limited.clone().try_acquire_owned().unwrap());
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let waits = async move {
                let lock = async { drop(locked.lock().await) };
                future::zip(lock, async { drop(limited.acquire().await) }).await;
            };
            let Ok(waits) = begun(Box::pin(scope.run(waits))) else { unreachable!("it waits") };
            let release = thread::spawn(move || drop(held));
            let cancel = thread::spawn(move || handle.cancel("by a thread"));
            drop(waits.await);
            release.join().unwrap();
            cancel.join().unwrap();
        });
        assert!(!mutex.statistics().held);
        assert_eq!(semaphore.available(), 1);
    });
}
