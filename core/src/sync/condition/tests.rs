//! The order of those that wait, and what becomes of those that are cut.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::*;
use foster_test_support::{Dice, ManualTask, at_once, block_on};

/// B208: who was notified counts for the mutex; order is FIFO; one is woken at a time.
#[test]
fn the_notified_queue_for_the_mutex() {
    let (mutex, condition) = (Mutex::new(0), Condition::new());
    let wait = || ManualTask::waiting(condition.wait(mutex.try_lock().unwrap()));
    let waiters = [wait(), wait(), wait()];
    let guard = mutex.try_lock().unwrap();
    assert_eq!((condition.waiting(), mutex.statistics().waiting), (3, 0));
    let late = ManualTask::waiting(mutex.lock());
    assert_eq!(condition.notify(&guard, 2), 2);
    assert_eq!((condition.waiting(), mutex.statistics().waiting), (1, 3));
    assert!(waiters.iter().all(|hand| hand.wakes() == 0));
    drop(guard);
    drop(late.finish());
    let [first, second, third] = waiters;
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    let guard = first.finish();
    assert_eq!(second.wakes(), 0);
    drop(guard);
    let guard = second.finish();
    assert_eq!(third.wakes(), 0);
    assert_eq!(condition.notify_all(&guard), 1);
    assert_eq!(condition.notify_all(&guard), 0);
    drop(guard);
    drop(third.finish());
    assert!(!mutex.statistics().held);
}

/// B210
#[test]
fn wait_for_goes_on_waiting_until_it_holds() {
    let (mutex, condition) = (Mutex::new(0), Condition::new());
    let mut waiter = ManualTask::waiting(condition.wait_for(mutex.try_lock().unwrap(), |value| *value == 2));
    for value in 1..3 {
        let mut guard = mutex.try_lock().unwrap();
        *guard = value;
        condition.notify_all(&guard);
        drop(guard);
        assert_eq!(waiter.wakes(), value);
        if value == 1 {
            assert!(waiter.poll().is_pending());
            assert_eq!(condition.waiting(), 1);
        }
    }
    assert_eq!(*waiter.finish(), 2);
    // B081
    assert_eq!(*at_once(condition.wait_for(mutex.try_lock().unwrap(), |value| *value == 2)), 2);
}

/// L40: the notification and the mutex go on to the next.
#[test]
fn what_was_given_to_a_dropped_waiter_goes_on() {
    let (mutex, condition) = (Mutex::new(()), Condition::new());
    let wait = || ManualTask::waiting(condition.wait(mutex.try_lock().unwrap()));

    // Dropped while it queues for the mutex.
    let (first, second) = (wait(), wait());
    let guard = mutex.try_lock().unwrap();
    condition.notify(&guard, 1);
    drop(first);
    assert_eq!((condition.waiting(), mutex.statistics().waiting), (0, 1));
    drop(guard);
    drop(second.finish());

    // Dropped when it has the mutex without having taken note.
    let (first, second) = (wait(), wait());
    condition.notify(&mutex.try_lock().unwrap(), 1);
    assert_eq!(first.wakes(), 1);
    drop(first);
    drop(second.finish());

    // Everybody was notified: those who come later are not owed anything.
    let first = wait();
    let guard = mutex.try_lock().unwrap();
    condition.notify_all(&guard);
    let second = ManualTask::waiting(condition.wait(guard));
    assert_eq!(first.wakes(), 1);
    drop(first);
    assert_eq!((second.wakes(), condition.waiting(), mutex.statistics().held), (0, 1, false));
    drop(second);

    // Dropped before it was notified, or before it was polled.
    drop(wait());
    drop(condition.wait(mutex.try_lock().unwrap()));
    assert_eq!((condition.waiting(), mutex.statistics().held), (0, false));
}

/// L40: the waiter that panicked has not seen to what the notification was about.
#[test]
fn the_notification_of_a_predicate_that_panics_goes_on() {
    let (mutex, condition) = (Mutex::new(0), Condition::new());
    let fragile = |guard| {
        ManualTask::waiting(condition.wait_for(guard, |value| match *value {
            0 => false,
            _ => panic!("the predicate failed"),
        }))
    };
    let wait = || ManualTask::waiting(condition.wait(mutex.try_lock().unwrap()));
    let panics = |mut task: ManualTask<_>| catch_unwind(AssertUnwindSafe(|| task.poll().is_ready())).is_err();

    let (first, second, third) = (fragile(mutex.try_lock().unwrap()), wait(), wait());
    let mut guard = mutex.try_lock().unwrap();
    *guard = 1;
    condition.notify(&guard, 1);
    drop(guard);
    assert!(panics(first));
    assert_eq!((second.wakes(), third.wakes(), condition.waiting()), (1, 0, 1));
    drop(second.finish());

    // Everybody was notified: those who come later are not owed anything.
    let mut guard = mutex.try_lock().unwrap();
    *guard = 0;
    let fourth = fragile(guard);
    let mut guard = mutex.try_lock().unwrap();
    *guard = 1;
    condition.notify_all(&guard);
    let fifth = ManualTask::waiting(condition.wait(guard));
    drop(third.finish());
    assert!(panics(fourth));
    assert_eq!((fifth.wakes(), condition.waiting(), mutex.statistics().held), (0, 1, false));
}

#[test]
fn a_notification_does_not_reach_those_of_another_mutex() {
    let (one, other, condition) = (Mutex::new(()), Mutex::new(()), Condition::new());
    let first = ManualTask::waiting(condition.wait(one.try_lock().unwrap()));
    let guard = one.try_lock().unwrap();
    condition.notify(&guard, 1);
    let second = ManualTask::waiting(condition.wait(other.try_lock().unwrap()));
    drop(first);
    drop(guard);
    assert_eq!((condition.waiting(), second.wakes()), (1, 0));
}

#[test]
#[should_panic(expected = "two mutexes")]
fn two_mutexes_at_once_are_refused() {
    let (one, other, condition) = (Mutex::new(()), Mutex::new(()), Condition::new());
    let _waiter = ManualTask::waiting(condition.wait(one.try_lock().unwrap()));
    let _ = ManualTask::new(condition.wait(other.try_lock().unwrap())).poll();
}

#[test]
#[should_panic(expected = "two mutexes")]
fn notifying_with_another_mutex_is_refused() {
    let (one, other, condition) = (Mutex::new(()), Mutex::new(()), Condition::new());
    let _waiter = ManualTask::waiting(condition.wait(one.try_lock().unwrap()));
    condition.notify_all(&other.try_lock().unwrap());
}

#[test]
fn random_drops_leave_nobody_behind() {
    for seed in 1..300 {
        let mut dice = Dice::new(seed);
        let (mutex, condition) = (Mutex::new(()), Condition::new());
        let mut waiters = Vec::new();
        for _ in 0..100 {
            match dice.below(5) {
                0 | 1 => {
                    let mut hand = ManualTask::new(async { drop(condition.wait(mutex.lock().await).await) });
                    assert!(hand.poll().is_pending());
                    waiters.push(hand);
                }
                2 if !waiters.is_empty() => drop(waiters.remove(dice.below(waiters.len()))),
                3 if !waiters.is_empty() => {
                    let index = dice.below(waiters.len());
                    if waiters[index].wakes() > 0 && waiters[index].poll().is_ready() {
                        drop(waiters.remove(index));
                    }
                }
                _ => {
                    if let Ok(guard) = mutex.try_lock() {
                        condition.notify(&guard, dice.below(3));
                    }
                }
            }
        }
        while !waiters.is_empty() {
            drop(waiters.remove(dice.below(waiters.len())));
        }
        assert_eq!((condition.waiting(), mutex.statistics().waiting), (0, 0));
        assert!(mutex.try_lock().is_ok());
    }
}

/// B198
#[test]
fn threads_take_turns() {
    static TURN: Mutex<usize> = Mutex::new(0);
    static CHANGED: Condition = Condition::new();
    thread::scope(|threads| {
        for me in 0..3 {
            threads.spawn(move || {
                for round in 0..300 {
                    let due = round * 3 + me;
                    let mut turn = block_on(async { CHANGED.wait_for(TURN.lock().await, |turn| *turn == due).await });
                    *turn += 1;
                    CHANGED.notify_all(&turn);
                }
            });
        }
    });
    assert_eq!(*TURN.try_lock().unwrap(), 900);
}
