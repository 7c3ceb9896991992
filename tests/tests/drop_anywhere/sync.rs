//! The types with which tasks wait for each other (L40).

use std::sync::Arc;
use std::time::Duration;

use foster::sync::{
    Barrier, CapacityLimiter, Condition, Event, Mutex, OnceCell, ParkOutcome, PoisonMutex, Promise, RwLock, Semaphore,
    WaitQueue,
};
use foster::{sleep, yield_now};
use foster_conformance::harness::ms;

use crate::driver::{Scene, nothing};
use crate::inside::{both, busy, holding};

cases! {
    semaphore_acquire: run, |_| async {
        let semaphore = Semaphore::new(1);
        both(holding(semaphore.acquire()), both(holding(semaphore.acquire()), holding(semaphore.acquire()))).await;
        assert_eq!(semaphore.available(), 1);
    }, nothing;
    semaphore_acquire_many: run, |_| async {
        let semaphore = Semaphore::new(3);
        both(holding(semaphore.acquire_many(2)), both(holding(semaphore.acquire_many(3)), holding(semaphore.acquire()))).await;
        assert_eq!(semaphore.available(), 3);
    }, nothing;
    /// Two wait, and one of them is dropped at each poll: the other one is served (L40).
    semaphore_acquire_owned: run.beside(), |scene: Scene| {
        let semaphore = Arc::new(Semaphore::new(0));
        let beside = scene.probe.clone();
        for n in 0..2 {
            let semaphore = semaphore.clone();
            let alive = beside.beside();
            scene.nursery.spawn(async move {
                sleep(ms(n)).await;
                semaphore.add_permits(1);
                drop(alive);
            });
        }
        let other = holding(semaphore.clone().acquire_owned());
        let alive = beside.beside();
        scene.nursery.spawn(async move {
            other.await;
            drop(alive);
        });
        holding(both(semaphore.acquire_owned(), yield_now()))
    }, nothing;
    limiter_acquire: run, |_| async {
        let limiter = CapacityLimiter::new(1);
        both(holding(limiter.acquire()), both(holding(limiter.acquire()), holding(limiter.acquire()))).await;
        assert_eq!((limiter.borrowed(), limiter.statistics().waiting), (0, 0));
    }, nothing;
    limiter_acquire_owned: run, |_| async {
        let limiter = Arc::new(CapacityLimiter::new(1));
        both(holding(limiter.clone().acquire_owned()), holding(limiter.clone().acquire_owned())).await;
        assert_eq!((limiter.borrowed(), limiter.statistics().waiting), (0, 0));
    }, nothing;
    limiter_acquire_on_behalf_of: run, |_| async {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let ann = async { holding(limiter.acquire_on_behalf_of("ann")).await };
        let bob = async { holding(limiter.clone().acquire_owned_on_behalf_of("bob")).await };
        both(ann, bob).await;
        assert_eq!((limiter.borrowed(), limiter.statistics().waiting), (0, 0));
    }, nothing;
    wait_queue_park: run.beside(), |scene: Scene| {
        let queue = Arc::new(WaitQueue::new());
        let (other, waker) = (queue.clone(), queue.clone());
        let alive = scene.probe.beside();
        let other = scene.nursery.spawn(async move {
            assert_eq!(other.park().await.expect("it is not broken"), ParkOutcome::Unparked);
            drop(alive);
        });
        let alive = scene.probe.beside();
        scene.nursery.spawn(async move {
            while !other.is_finished() {
                sleep(ms(1)).await;
                waker.unpark(1);
            }
            waker.unpark_all();
            drop(alive);
        });
        async move { queue.park().await.is_ok() }
    }, nothing;

    barrier_wait: run, |_| async {
        let barrier = Barrier::new(3);
        both(barrier.wait(), both(barrier.wait(), barrier.wait())).await;
        both(barrier.wait(), both(barrier.wait(), barrier.wait())).await;
    }, nothing;
    condition_wait: run, |_| async {
        let (condition, mutex) = (Condition::new(), Mutex::new(0));
        let waits = || async {
            let guard = condition.wait(mutex.lock().await).await;
            sleep(ms(1)).await;
            drop(guard);
        };
        let notifies = async {
            sleep(ms(1)).await;
            condition.notify(&mutex.lock().await, 1);
            sleep(ms(1)).await;
            condition.notify_all(&mutex.lock().await);
        };
        both(both(waits(), waits()), notifies).await;
        assert_eq!(condition.waiting(), 0);
    }, nothing;
    condition_wait_for: run, |_| async {
        let (condition, mutex) = (Condition::new(), Mutex::new(0));
        let waits = |level| {
            let (condition, mutex) = (&condition, &mutex);
            async move { *condition.wait_for(mutex.lock().await, |value| *value >= level).await }
        };
        let notifies = async {
            for _ in 0..2 {
                sleep(ms(1)).await;
                let mut guard = mutex.lock().await;
                *guard += 1;
                condition.notify_all(&guard);
            }
        };
        both(both(waits(1), waits(2)), notifies).await;
        assert_eq!(condition.waiting(), 0);
    }, nothing;
    event_wait: run, |_| async {
        let event = Event::new();
        let sets = async {
            sleep(ms(1)).await;
            event.set();
        };
        both(both(event.wait(), event.wait()), sets).await;
        event.wait().await;
    }, nothing;
    mutex_lock: run, |_| async {
        let mutex = Mutex::new(0);
        both(holding(mutex.lock()), both(holding(mutex.lock()), holding(mutex.lock()))).await;
        assert!(mutex.try_lock().is_ok());
    }, nothing;
    /// Each holds it to the end of its cleanup, and the task beside gets it then.
    mutex_run: run.beside().holds(), |scene: Scene| {
        let (mutex, alive) = (Arc::new(Mutex::new(0)), scene.probe.beside());
        let other = mutex.clone();
        scene.nursery.spawn(async move {
            for _ in 0..3 {
                *other.lock().await += 1;
            }
            drop(alive);
        });
        async move {
            mutex.run(async |mut value| {
                **value += 1;
                busy(scene.probe).await;
            })
            .await
        }
    }, nothing;
    semaphore_run: run.beside().holds(), |scene: Scene| {
        let (semaphore, alive) = (Arc::new(Semaphore::new(1)), scene.probe.beside());
        let other = semaphore.clone();
        scene.nursery.spawn(async move {
            holding(other.acquire()).await;
            drop(alive);
        });
        async move { semaphore.run(async |_permit| busy(scene.probe).await).await }
    }, nothing;
    limiter_run: run.beside().holds(), |scene: Scene| {
        let (limiter, alive) = (Arc::new(CapacityLimiter::new(1)), scene.probe.beside());
        let other = limiter.clone();
        scene.nursery.spawn(async move {
            holding(other.acquire()).await;
            drop(alive);
        });
        async move { limiter.run(async |_permit| busy(scene.probe).await).await }
    }, nothing;
    /// The mutex is handed to the task beside, wherever this one is dropped (L40).
    mutex_lock_owned: run.beside().holds(), |scene: Scene| async move {
        let mutex = Arc::new(Mutex::new(0));
        let (before, after) = (mutex.clone(), mutex.clone());
        let (alive, also_alive) = (scene.probe.beside(), scene.probe.beside());
        scene.nursery.spawn(async move {
            holding(before.lock_owned()).await;
            drop(alive);
        });
        sleep(Duration::ZERO).await;
        scene.nursery.spawn(async move {
            sleep(Duration::ZERO).await;
            holding(after.lock()).await;
            drop(also_alive);
        });
        holding(mutex.lock_owned()).await;
    }, nothing;
    poison_mutex_lock: run, |_| async {
        let mutex = PoisonMutex::new(0);
        let section = || async {
            let mut guard = mutex.lock().await.expect("no section was cut short: it goes with the mutex");
            *guard += 1;
            sleep(ms(1)).await;
            guard.complete();
        };
        both(section(), section()).await;
        mutex.lock().await.expect("whole").complete();
    }, nothing;
    once_cell_get_or_init: run, |scene: Scene| async move {
        let cell = OnceCell::new();
        let init = || {
            cell.get_or_init(|| async {
                let _local = scene.probe.local();
                busy(scene.probe.clone()).await;
                7
            })
        };
        both(init(), init()).await;
        assert_eq!((cell.get(), cell.waiting()), (Some(&7), 0));
    }, nothing;
    once_cell_get_or_try_init: run, |scene: Scene| async move {
        let cell = OnceCell::new();
        let init = |result| {
            let (cell, probe) = (&cell, &scene.probe);
            cell.get_or_try_init(move || async move {
                let _local = probe.local();
                sleep(ms(1)).await;
                result
            })
        };
        let (failed, made) = both(init(Err("no")), init(Ok(7))).await;
        assert_eq!((failed, made), (Err("no"), Ok(&7)));
    }, nothing;
    promise_wait: run, |_| async {
        let promise = Promise::new();
        let sets = async {
            sleep(ms(1)).await;
            promise.set(7)
        };
        let ((one, two), set) = both(both(promise.wait(), promise.wait()), sets).await;
        assert_eq!((one.ok(), two.ok(), set), (Some(&7), Some(&7), Ok(())));
    }, nothing;
    promise_broken: run, |_| async {
        let promise = Promise::<u8>::new();
        let breaks = async {
            sleep(ms(1)).await;
            promise.close("on purpose");
        };
        both(promise.wait(), breaks).await.0.is_err()
    }, nothing;
    rw_lock_read: run, |_| async {
        let lock = RwLock::new(0);
        both(both(holding(lock.read()), holding(lock.write())), both(holding(lock.read()), holding(lock.read()))).await;
        assert!(lock.try_write().is_ok());
    }, nothing;
    rw_lock_write: run, |_| async {
        let lock = RwLock::new(0);
        both(both(holding(lock.write()), holding(lock.read())), both(holding(lock.write()), holding(lock.write()))).await;
        assert!(lock.try_write().is_ok());
    }, nothing;
}
