//! The storm on the primitives of `foster::sync`: tasks that wait, hold and are cancelled at random, over many seeds.

use std::sync::Arc;
use std::time::Duration;

use foster::sync::{
    Barrier, CapacityLimiter, Condition, Event, Mutex, OnceCell, ParkOutcome, PoisonMutex, Promise, RwLock, Semaphore,
    WaitQueue,
};
use foster::{CancelScope, Nursery, checkpoint, move_on_after, nursery, sleep};
use foster_sim::{Builder, assert_checkpoints, random};

fn below(n: u64) -> u64 {
    random() % n
}

async fn nap() {
    match below(3) {
        0 => {}
        1 => checkpoint().await,
        _ => sleep(Duration::from_micros(below(3_000))).await,
    }
}

#[derive(Default)]
struct World {
    mutex: Mutex<u64>,
    poison: PoisonMutex<(u64, u64)>,
    rw: RwLock<u64>,
    condition: Condition,
    cell: OnceCell<u64>,
    queue: WaitQueue,
}

async fn act(world: &World, semaphore: &Arc<Semaphore>, limiter: &Arc<CapacityLimiter>) {
    match below(12) {
        0 => {
            let mut guard = world.mutex.lock().await;
            *guard += 1;
            nap().await;
        }
        1 => {
            let mut guard = match world.poison.lock().await {
                Ok(guard) => guard,
                Err(poisoned) => {
                    let mut guard = poisoned.into_guard();
                    guard.1 = guard.0;
                    guard.mend();
                    return;
                }
            };
            assert_eq!(guard.0, guard.1);
            guard.0 += 1;
            nap().await;
            guard.1 += 1;
            guard.complete();
        }
        2 => {
            let guard = world.rw.read().await;
            let before = *guard;
            nap().await;
            assert_eq!(*guard, before);
        }
        3 => {
            let mut guard = world.rw.write().await;
            let before = *guard;
            nap().await;
            *guard = before + 1;
            if below(2) == 0 {
                let guard = guard.downgrade();
                nap().await;
                assert_eq!(*guard, before + 1);
            }
        }
        4 => {
            let _permit = semaphore.acquire_many(1 + below(3) as usize).await;
            nap().await;
        }
        5 => {
            let permit = semaphore.clone().acquire_owned().await;
            nap().await;
            drop(permit);
        }
        6 => {
            let _permit = limiter.acquire().await;
            nap().await;
        }
        7 => {
            let name = ["a", "b", "c"][below(3) as usize];
            if let Ok(_permit) = limiter.acquire_on_behalf_of(name).await {
                nap().await;
            }
        }
        8 => {
            let guard = world.mutex.lock().await;
            let mut seen = *guard;
            let mut guard =
                world.condition.wait_for(guard, |value| std::mem::replace(&mut seen, *value) != *value).await;
            *guard += 1;
            world.condition.notify(&guard, below(3) as usize);
        }
        9 => {
            let guard = world.mutex.lock().await;
            world.condition.notify_all(&guard);
        }
        10 => {
            world
                .cell
                .get_or_try_init(|| async {
                    nap().await;
                    if below(5) == 0 { Ok(1) } else { Err(()) }
                })
                .await
                .ok();
        }
        _ => {
            if below(2) == 0 {
                world.queue.unpark(1);
            } else {
                assert_eq!(world.queue.park().await.unwrap(), ParkOutcome::Unparked);
            }
        }
    }
}

#[test]
fn storm() {
    for seed in 0..300 {
        Builder::new(seed).spurious_polls(if seed % 3 == 0 { 0.2 } else { 0.0 }).run(async {
            let world = Arc::new(World::default());
            let semaphore = Arc::new(Semaphore::new(3));
            let limiter = Arc::new(CapacityLimiter::new(2));
            let cancels = Arc::new(std::sync::Mutex::new((0, 0)));
            nursery(async |n: Nursery<std::convert::Infallible>| {
                for _ in 0..40 {
                    let (world, semaphore, limiter) = (world.clone(), semaphore.clone(), limiter.clone());
                    let cancels = cancels.clone();
                    n.spawn(async move {
                        for _ in 0..15 {
                            let mut scope = CancelScope::new();
                            let handle = scope.handle();
                            let work = scope.run(move_on_after(Duration::from_micros(below(20_000)), async {
                                loop {
                                    act(&world, &semaphore, &limiter).await;
                                    if below(3) == 0 {
                                        break;
                                    }
                                }
                            }));
                            let canceller = async move {
                                sleep(Duration::from_micros(1 + below(10_000))).await;
                                handle.cancel("storm");
                            };
                            let done = nursery(async |inner: Nursery<std::convert::Infallible>| {
                                inner.spawn_daemon(canceller);
                                Ok(work.await)
                            })
                            .await
                            .unwrap();
                            let mut cancels = cancels.lock().unwrap();
                            match done {
                                Ok(Some(())) => cancels.0 += 1,
                                _ => cancels.1 += 1,
                            }
                        }
                    });
                }
                let (limiter, semaphore) = (limiter.clone(), semaphore.clone());
                n.spawn_daemon(async move {
                    for _ in 0..u64::MAX {
                        sleep(Duration::from_millis(1)).await;
                        limiter.set_total(below(4) as usize);
                        let forgotten = semaphore.forget_permits(below(2) as usize);
                        semaphore.add_permits(forgotten);
                    }
                });
                Ok(())
            })
            .await
            .unwrap();
            let (completed, cancelled) = *cancels.lock().unwrap();
            assert!(completed > 20 && cancelled > 20, "{completed} {cancelled}");
            let mutex = world.mutex.statistics();
            assert_eq!((mutex.held, mutex.waiting), (false, 0));
            let poison = world.poison.statistics();
            assert_eq!((poison.held, poison.waiting), (false, 0));
            let rw = world.rw.statistics();
            assert_eq!((rw.readers, rw.writer, rw.waiting), (0, false, 0));
            let semaphore = semaphore.statistics();
            assert_eq!((semaphore.available, semaphore.waiting), (3, 0));
            let limiter = limiter.statistics();
            assert_eq!((limiter.borrowed, limiter.waiting, limiter.holders.len()), (0, 0, 0));
            assert_eq!((world.condition.waiting(), world.cell.waiting(), world.queue.waiting()), (0, 0, 0));
            assert!(world.mutex.try_lock().is_ok() && world.rw.try_write().is_ok());
        });
    }
}

/// B081: also what can be had at once is not begun by cancelled code, and gives way at the end of the budget.
#[test]
fn everything_is_a_checkpoint() {
    foster_sim::run(1, async {
        let mutex = Arc::new(Mutex::new(0));
        assert_checkpoints(|| mutex.lock()).await;
        assert_checkpoints(|| mutex.clone().lock_owned()).await;
        let poison = PoisonMutex::new(0);
        assert_checkpoints(|| poison.lock()).await;
        let rw = RwLock::new(0);
        assert_checkpoints(|| rw.read()).await;
        assert_checkpoints(|| rw.write()).await;
        let semaphore = Arc::new(Semaphore::new(2));
        assert_checkpoints(|| semaphore.acquire()).await;
        assert_checkpoints(|| semaphore.acquire_many(2)).await;
        assert_checkpoints(|| semaphore.clone().acquire_owned()).await;
        let limiter = Arc::new(CapacityLimiter::new(2));
        assert_checkpoints(|| limiter.acquire()).await;
        assert_checkpoints(|| limiter.clone().acquire_owned()).await;
        assert_checkpoints(|| limiter.acquire_on_behalf_of("a")).await;
        assert_checkpoints(|| limiter.clone().acquire_owned_on_behalf_of("a")).await;
        let event = Event::new();
        event.set();
        assert_checkpoints(|| event.wait()).await;
        let barrier = Barrier::new(1);
        assert_checkpoints(|| barrier.wait()).await;
        let cell = OnceCell::new();
        assert_checkpoints(|| cell.get_or_init(|| async { 1 })).await;
        assert_checkpoints(|| cell.get_or_try_init(|| async { Err(()) })).await;
        let promise = Promise::new();
        promise.set(1).unwrap();
        assert_checkpoints(|| promise.wait()).await;
        let condition = Condition::new();
        assert_checkpoints(|| async {
            drop(condition.wait_for(mutex.try_lock().unwrap(), |_| true).await);
        })
        .await;
        let queue = WaitQueue::new();
        queue.close("for this test");
        assert_checkpoints(|| queue.park()).await;
        assert_eq!((semaphore.available(), limiter.borrowed(), mutex.statistics().held), (2, 0, false));
    });
}

/// L14: cancelled code takes nothing and queues nowhere, though it could.
#[test]
fn cancelled_code_starts_nothing() {
    foster_sim::run(1, async {
        let semaphore = Semaphore::new(1);
        let mutex = Mutex::new(());
        let cell = OnceCell::<u32>::new();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope
            .run(async {
                handle.cancel("test");
                let waits = (semaphore.acquire(), mutex.lock(), cell.get_or_init(|| async { 1 }));
                drop(waits.0.await);
                unreachable!("it goes no further");
            })
            .await;
        assert!(outcome.is_err());
        assert_eq!((semaphore.available(), mutex.statistics().held, cell.get()), (1, false, None));
    });
}

/// B204: locking twice is a deadlock, and the simulator says so.
#[test]
#[should_panic(expected = "deadlock")]
fn acquiring_twice_is_reported() {
    foster_sim::run(1, async {
        let mutex = Mutex::new(());
        let _first = mutex.lock().await;
        let _second = mutex.lock().await;
    });
}
