use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use foster_test_support::{Dice, ManualTask, at_once, block_on};

const HOME: MutexStatistics = MutexStatistics { held: false, waiting: 0 };

/// B081, B199
#[test]
fn a_free_mutex_is_had_at_once() {
    let mutex = Mutex::new(1);
    *at_once(mutex.lock()) += 1;
    *at_once(mutex.lock()) += 1;
    assert_eq!(mutex.statistics(), HOME);
    assert_eq!(mutex.into_inner(), 3);
}

/// B202, B187
#[test]
fn release_hands_over_in_that_instant() {
    let mutex = Mutex::new(());
    let held = mutex.try_lock().unwrap();
    let first = ManualTask::waiting(mutex.lock());
    let second = ManualTask::waiting(mutex.lock());
    drop(held);
    assert!(mutex.try_lock().is_err());
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert_eq!(mutex.statistics(), MutexStatistics { held: true, waiting: 1 });
    drop(first.finish());
    drop(second.finish());
    assert_eq!(mutex.statistics(), HOME);
}

/// B191, L40
#[test]
fn what_was_handed_to_a_dropped_waiter_goes_on() {
    let mutex = Mutex::new(7);
    let held = mutex.try_lock().unwrap();
    let left = ManualTask::waiting(mutex.lock());
    let first = ManualTask::waiting(mutex.lock());
    let second = ManualTask::waiting(mutex.lock());
    drop(left);
    drop(held);
    drop(first);
    assert_eq!(*second.finish(), 7);
    assert_eq!(mutex.statistics(), HOME);
}

/// B204: a task that acquires twice waits for itself, until it is cancelled.
#[test]
fn acquiring_twice_waits() {
    let mutex = Mutex::new(());
    let held = mutex.try_lock().unwrap();
    let mut again = ManualTask::waiting(mutex.lock());
    assert!(again.poll().is_pending());
    drop(again);
    drop(held);
    assert_eq!(mutex.statistics(), HOME);
}

/// B205: nobody finds out that a guard was leaked. It keeps the mutex, not the value.
#[test]
fn a_leaked_guard_leaves_it_locked() {
    let mut mutex = Mutex::new(1);
    *mutex.get_mut() = 2;
    std::mem::forget(mutex.try_lock().unwrap());
    let mut waiter = ManualTask::waiting(mutex.lock());
    assert!(waiter.poll().is_pending());
    drop(waiter);
    assert_eq!(mutex.statistics(), MutexStatistics { held: true, waiting: 0 });
    *mutex.get_mut() += 1;
    assert_eq!(mutex.into_inner(), 3);
}

/// Both sorts of guards may point to an unsized value.
#[test]
fn values_may_have_no_size() {
    let mutex: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2, 3]));
    at_once(mutex.lock())[0] = 7;
    let guard = at_once(mutex.clone().lock_owned());
    assert_eq!((&*guard, OwnedMutexGuard::mutex(&guard).statistics().held), (&[7, 2, 3][..], true));
}

/// B198
#[test]
fn a_static_mutex_works_and_owned_guards_move_to_threads() {
    static MUTEX: Mutex<usize> = Mutex::new(0);
    *block_on(MUTEX.lock()) += 1;
    assert_eq!(*MUTEX.try_lock().unwrap(), 1);
    let mutex = Arc::new(Mutex::new(0));
    let mut guard = mutex.clone().try_lock_owned().unwrap();
    let waiter = ManualTask::waiting(mutex.clone().lock_owned());
    thread::spawn(move || *guard += 1).join().unwrap();
    assert_eq!(*waiter.finish(), 1);
    assert_eq!(mutex.statistics(), HOME);
}

#[test]
fn random_drops_leave_it_free() {
    for seed in 1..300 {
        let mut dice = Dice::new(seed);
        let mutex = Mutex::new(0);
        let (mut waiters, mut guard, mut turns) = (Vec::new(), None, 0);
        for _ in 0..200 {
            match dice.below(4) {
                0 => {
                    let mut hand = ManualTask::new(mutex.lock());
                    match hand.poll() {
                        Poll::Ready(ours) => assert!(guard.replace(ours).is_none(), "two guards at once"),
                        Poll::Pending => waiters.push(hand),
                    }
                }
                1 if !waiters.is_empty() => drop(waiters.remove(dice.below(waiters.len()))),
                2 if !waiters.is_empty() => {
                    let index = dice.below(waiters.len());
                    if let Poll::Ready(mut ours) = waiters[index].poll() {
                        *ours += 1;
                        turns += 1;
                        assert!(guard.replace(ours).is_none(), "two guards at once");
                        drop(waiters.remove(index));
                    }
                }
                _ => drop(guard.take()),
            }
        }
        while !waiters.is_empty() {
            drop(waiters.remove(dice.below(waiters.len())));
        }
        drop(guard);
        assert_eq!(mutex.statistics(), HOME);
        assert_eq!(*mutex.try_lock().unwrap(), turns);
    }
}

#[test]
fn racing_threads_exclude_each_other() {
    let mutex = Mutex::new(0);
    let inside = AtomicUsize::new(0);
    thread::scope(|threads| {
        for seed in 1..5 {
            let (mutex, inside) = (&mutex, &inside);
            threads.spawn(move || {
                let mut dice = Dice::new(seed);
                for _ in 0..5_000 {
                    while dice.below(3) == 0 {
                        drop(ManualTask::new(mutex.lock()).poll());
                    }
                    let mut guard = block_on(mutex.lock());
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    *guard += 1;
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(mutex.statistics(), HOME);
    assert_eq!(mutex.into_inner(), 20_000);
}
