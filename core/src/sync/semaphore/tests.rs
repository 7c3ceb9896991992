use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

use super::*;
use foster_test_support::{Dice, ManualTask, at_once, block_on};

/// B081, B199
#[test]
fn a_free_permit_is_had_at_once() {
    let semaphore = Semaphore::new(1);
    drop(at_once(semaphore.acquire()));
    drop(at_once(semaphore.acquire()));
    assert_eq!(semaphore.available(), 1);
    let owned = Arc::new(semaphore);
    drop(at_once(owned.clone().acquire_owned()));
    assert_eq!(owned.available(), 1);
}

/// B187
#[test]
fn a_released_permit_belongs_to_the_waiter() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    let waiter = ManualTask::waiting(semaphore.acquire());
    drop(held);
    assert_eq!(semaphore.try_acquire().unwrap_err(), WouldBlock);
    assert_eq!(semaphore.available(), 0);
    let mut late = ManualTask::new(semaphore.acquire());
    assert!(late.poll().is_pending());
    drop(waiter.finish());
    drop(late.finish());
    assert_eq!(semaphore.statistics(), SemaphoreStatistics { available: 1, waiting: 0 });
}

/// B188
#[test]
fn permits_go_to_the_longest_waiter_and_wake_nobody_else() {
    let semaphore = Semaphore::new(1);
    let mut held = semaphore.try_acquire().unwrap();
    let mut waiters: Vec<_> = (0..5).map(|_| ManualTask::waiting(semaphore.acquire())).collect();
    while !waiters.is_empty() {
        drop(held);
        let rest = waiters.split_off(1);
        assert!(rest.iter().all(|hand| hand.wakes() == 0));
        held = waiters.remove(0).finish();
        waiters = rest;
    }
}

/// B191
#[test]
fn a_waiter_that_left_is_passed_over() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    let first = ManualTask::waiting(semaphore.acquire());
    let second = ManualTask::waiting(semaphore.acquire());
    drop(first);
    assert_eq!(semaphore.statistics().waiting, 1);
    drop(held);
    drop(second.finish());
    assert_eq!(semaphore.available(), 1);
}

/// B191, L40
#[test]
fn what_was_handed_to_a_dropped_waiter_goes_on() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    let first = ManualTask::waiting(semaphore.acquire());
    let second = ManualTask::waiting(semaphore.acquire());
    drop(held);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    drop(second.finish());
    let third = ManualTask::waiting({
        let held = at_once(semaphore.acquire());
        let waiting = semaphore.acquire();
        held.forget();
        waiting
    });
    semaphore.add_permits(1);
    drop(third); // nobody else there: it goes home
    assert_eq!(semaphore.statistics(), SemaphoreStatistics { available: 1, waiting: 0 });
    assert!(semaphore.try_acquire().is_ok());
}

#[test]
fn many_permits_come_together_and_in_order() {
    let semaphore = Semaphore::new(3);
    let one = semaphore.try_acquire().unwrap();
    let three = ManualTask::waiting(semaphore.acquire_many(3));
    let mut single = ManualTask::waiting(semaphore.acquire());
    assert_eq!(semaphore.available(), 2, "kept for the first in line");
    assert!(semaphore.try_acquire().is_err());
    drop(one);
    let three = three.finish();
    assert_eq!(three.count(), 3);
    assert!(single.poll().is_pending());
    drop(three);
    drop(single.finish());

    let two = semaphore.try_acquire_many(2).unwrap();
    let greedy = ManualTask::waiting(semaphore.acquire_many(3));
    let modest = ManualTask::waiting(semaphore.acquire());
    drop(greedy); // makes way for who wants less
    drop(modest.finish());
    drop(two);
    assert_eq!(semaphore.available(), 3);
    at_once(semaphore.acquire_many(0)).forget();
}

/// B189
#[test]
fn permits_can_be_added_and_forgotten() {
    let semaphore = Semaphore::new(0);
    let waiters: Vec<_> = (0..3).map(|_| ManualTask::waiting(semaphore.acquire())).collect();
    semaphore.add_permits(2);
    assert_eq!(waiters.iter().map(ManualTask::wakes).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!(semaphore.forget_permits(5), 0);
    drop(waiters);
    assert_eq!(semaphore.available(), 2);
    assert_eq!(semaphore.forget_permits(5), 2);
    semaphore.add_permits(Semaphore::MAX_PERMITS);
    semaphore.release(7);
    assert_eq!(semaphore.available(), Semaphore::MAX_PERMITS);
}

/// B189
#[test]
#[should_panic(expected = "cannot have more than")]
fn more_permits_than_the_maximum_are_refused() {
    Semaphore::new(Semaphore::MAX_PERMITS).add_permits(1);
}

/// B198
#[test]
fn a_static_semaphore_works_and_permits_move_to_threads() {
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    let permit = block_on(SEMAPHORE.acquire());
    thread::scope(|threads| {
        let waiter = threads.spawn(|| drop(block_on(SEMAPHORE.acquire())));
        threads.spawn(move || drop(permit));
        waiter.join().unwrap();
    });
    assert_eq!(SEMAPHORE.available(), 1);
}

#[test]
fn random_drops_leave_all_permits_home() {
    let mut full = 0;
    for seed in 1..400 {
        let mut dice = Dice::new(seed);
        let total = 1 + dice.below(4);
        let semaphore = Semaphore::new(total);
        let (mut waiters, mut permits) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            match dice.below(5) {
                0 | 1 => {
                    let mut hand = ManualTask::new(semaphore.acquire_many(1 + dice.below(total)));
                    match hand.poll() {
                        Poll::Ready(permit) => permits.push(permit),
                        Poll::Pending => waiters.push(hand),
                    }
                }
                2 if !waiters.is_empty() => drop(waiters.swap_remove(dice.below(waiters.len()))),
                3 if !waiters.is_empty() => {
                    let index = dice.below(waiters.len());
                    if let Poll::Ready(permit) = waiters[index].poll() {
                        permits.push(permit);
                        drop(waiters.swap_remove(index));
                    }
                }
                _ if !permits.is_empty() => drop(permits.swap_remove(dice.below(permits.len()))),
                _ => {}
            }
            let held: usize = permits.iter().map(SemaphorePermit::count).sum();
            assert!(held + semaphore.available() <= total);
            full += usize::from(held == total);
        }
        while !(waiters.is_empty() && permits.is_empty()) {
            if dice.below(2) == 0 && !permits.is_empty() {
                drop(permits.swap_remove(dice.below(permits.len())));
            } else if !waiters.is_empty() {
                drop(waiters.swap_remove(dice.below(waiters.len())));
            }
        }
        assert_eq!(semaphore.statistics(), SemaphoreStatistics { available: total, waiting: 0 });
        assert!(semaphore.try_acquire_many(total).is_ok());
    }
    assert!(full > 100);
}

/// Permits that come back go to the first waiter as they are; those that were free before may then be enough for the
/// next.
#[test]
fn what_was_free_before_goes_to_those_behind_whom_it_was_kept_for() {
    let semaphore = Semaphore::new(5);
    let held = semaphore.try_acquire_many(3).unwrap();
    let (three, one) = (ManualTask::waiting(semaphore.acquire_many(3)), ManualTask::waiting(semaphore.acquire()));
    drop(held);
    assert_eq!((three.wakes(), one.wakes()), (1, 1));
    assert_eq!(semaphore.statistics(), SemaphoreStatistics { available: 1, waiting: 0 });
    drop((three.finish(), one.finish()));
    assert!(semaphore.try_acquire_many(5).is_ok());
}

#[test]
fn racing_threads_exclude_each_other_and_lose_nothing() {
    let semaphore = Semaphore::new(2);
    let (inside, waited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|threads| {
        for seed in 1..5 {
            let (semaphore, inside, waited) = (&semaphore, &inside, &waited);
            threads.spawn(move || {
                let mut dice = Dice::new(seed);
                // Until somebody had to wait: threads may happen to run one after the other.
                let mut rounds = 0;
                while rounds < 5_000 || waited.load(Ordering::Relaxed) == 0 {
                    rounds += 1;
                    if dice.below(3) == 0 {
                        let mut hand = ManualTask::new(semaphore.acquire());
                        waited.fetch_add(usize::from(hand.poll().is_pending()), Ordering::Relaxed);
                        continue;
                    }
                    let permit = block_on(semaphore.acquire());
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                    if dice.below(4) == 0 {
                        thread::yield_now();
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            });
        }
    });
    assert!(waited.into_inner() > 0);
    assert_eq!(semaphore.statistics(), SemaphoreStatistics { available: 2, waiting: 0 });
}
