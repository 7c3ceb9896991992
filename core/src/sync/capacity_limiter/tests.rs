use std::task::Poll;
use std::thread;

use super::*;
use foster_test_support::{Dice, ManualTask, at_once, block_on};

#[track_caller]
fn is_idle(limiter: &CapacityLimiter) {
    let statistics = limiter.statistics();
    assert_eq!((statistics.borrowed, statistics.waiting), (0, 0));
    let state = limiter.state.lock();
    assert!(state.records.is_empty() && state.named.is_empty());
    drop(state);
    assert!(limiter.queue.is_empty());
}

/// B081, B199
#[test]
fn a_free_permit_is_had_at_once() {
    let limiter = CapacityLimiter::new(1);
    drop(at_once(limiter.acquire()));
    drop(at_once(limiter.acquire_on_behalf_of("a")).unwrap());
    is_idle(&limiter);
}

/// B196: a permit that has moved names its new holder; on whose behalf it is stays, and is given back with it.
#[test]
fn a_permit_names_whom_it_is_said_to_be_held_by() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let permit = block_on(limiter.clone().acquire_owned_on_behalf_of("a")).unwrap();
    let before = permit.holder();
    assert_eq!((before.location.line(), before.task.as_ref()), (line!() - 2, None));
    let (here, line) = (Holder::here(), line!());
    permit.set_holder(here.clone());
    assert_eq!(limiter.statistics().holders, [permit.holder()]);
    assert_eq!((permit.holder().location, here.location.line()), (here.location, line));
    assert_eq!((&permit.holder().borrower, &here.borrower), (&before.borrower, &None));
    assert!(matches!(limiter.try_acquire_on_behalf_of("a"), Err(TryBorrowError::Busy(_))));
    permit.set_holder(Holder::at(before.location));
    assert_eq!(permit.holder(), before);
    drop(permit);
    assert!(limiter.try_acquire_on_behalf_of("a").is_ok());
    is_idle(&limiter);
}

/// B187, B188
#[test]
fn a_released_permit_goes_to_the_longest_waiter() {
    let limiter = CapacityLimiter::new(1);
    let held = limiter.try_acquire().unwrap();
    let first = ManualTask::waiting(limiter.acquire());
    let second = ManualTask::waiting(limiter.acquire());
    drop(held);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert_eq!((limiter.borrowed(), limiter.statistics().waiting), (1, 1));
    assert_eq!(limiter.try_acquire().unwrap_err(), WouldBlock);
    drop(first.finish());
    drop(second.finish());
    is_idle(&limiter);
}

/// B191, L40
#[test]
fn waiters_that_leave_pass_on_what_they_were_handed() {
    let limiter = CapacityLimiter::new(1);
    let held = limiter.try_acquire().unwrap();
    let left = ManualTask::waiting(limiter.acquire());
    let first = ManualTask::waiting(limiter.acquire());
    let second = ManualTask::waiting(limiter.acquire());
    drop(left);
    drop(held);
    assert_eq!(first.wakes(), 1);
    drop(first);
    drop(second.finish());
    is_idle(&limiter);
}

/// B193
#[test]
fn raising_the_total_lets_in_exactly_so_many() {
    let limiter = CapacityLimiter::new(1);
    let held = limiter.try_acquire().unwrap();
    let waiters: Vec<_> = (0..4).map(|_| ManualTask::waiting(limiter.acquire())).collect();
    limiter.set_total(3);
    assert_eq!(waiters.iter().map(ManualTask::wakes).collect::<Vec<_>>(), [1, 1, 0, 0]);
    limiter.set_total(1);
    assert_eq!((limiter.borrowed(), limiter.available()), (3, 0));
    drop(held);
    assert_eq!(limiter.statistics().waiting, 2, "still over the total");
    let mut waiters = waiters.into_iter();
    let (a, b) = (waiters.next().unwrap().finish(), waiters.next().unwrap().finish());
    drop(a);
    assert_eq!(limiter.statistics().waiting, 2);
    drop(b);
    assert_eq!(limiter.statistics().waiting, 1);
    drop(waiters.next().unwrap().finish());
    drop(waiters.next().unwrap().finish());
    is_idle(&limiter);
}

/// B195
#[test]
fn a_total_of_zero_admits_nobody_and_infinity_counts() {
    let limiter = CapacityLimiter::new(0);
    assert!(limiter.try_acquire().is_err());
    let waiter = ManualTask::waiting(limiter.acquire());
    limiter.set_total(usize::MAX);
    let permits: Vec<_> = (0..1000).map(|_| at_once(limiter.acquire())).collect();
    assert_eq!((limiter.borrowed(), limiter.available()), (1001, usize::MAX));
    drop((waiter.finish(), permits));
    is_idle(&limiter);
}

/// B196
#[test]
fn a_borrower_has_one_permit_at_a_time() {
    let limiter = Arc::new(CapacityLimiter::new(2));
    let held = at_once(limiter.acquire_on_behalf_of("a")).unwrap();
    let busy = at_once(limiter.acquire_on_behalf_of("a")).unwrap_err();
    assert_eq!(busy.borrower().name(), "a");
    assert_eq!(limiter.try_acquire_on_behalf_of("a").unwrap_err(), TryBorrowError::Busy(busy));
    let other = at_once(limiter.clone().acquire_owned_on_behalf_of(String::from("b"))).unwrap();
    assert_eq!(limiter.try_acquire_on_behalf_of("c").unwrap_err(), TryBorrowError::WouldBlock);

    let waiter = ManualTask::waiting(limiter.acquire_on_behalf_of("c"));
    assert!(at_once(limiter.acquire_on_behalf_of("c")).is_err(), "one that waits counts");
    drop(held);
    let c = waiter.finish().unwrap();
    drop(other);
    assert!(limiter.try_acquire_on_behalf_of("b").is_ok());
    drop(c);
    is_idle(&limiter);
}

#[test]
fn statistics_name_the_holders_longest_first() {
    let limiter = CapacityLimiter::new(3);
    let first = limiter.try_acquire().unwrap();
    let second = limiter.try_acquire_on_behalf_of("b").unwrap();
    drop(first);
    let third = limiter.try_acquire_on_behalf_of("c").unwrap();
    let statistics = limiter.statistics();
    assert_eq!((statistics.total, statistics.borrowed, statistics.available), (3, 2, 1));
    let names: Vec<_> = statistics.holders.iter().map(|holder| holder.borrower.as_ref().unwrap().name()).collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(statistics.holders[0].location.file(), file!());
    assert!(statistics.holders[0].to_string().starts_with("`b`, acquired at "));
    drop((second, third));
}

/// B197
#[test]
fn a_cancelled_acquire_leaves_no_trace() {
    let limiter = CapacityLimiter::new(1);
    let held = limiter.try_acquire().unwrap();
    drop(ManualTask::waiting(limiter.acquire_on_behalf_of("a")));
    drop(held);
    is_idle(&limiter);
    drop(at_once(limiter.acquire_on_behalf_of("a")).unwrap());
}

/// B198
#[test]
fn a_static_limiter_works_and_owned_permits_move_to_threads() {
    static LIMITER: CapacityLimiter = CapacityLimiter::new(1);
    drop(block_on(LIMITER.acquire()));
    is_idle(&LIMITER);
    let limiter = Arc::new(CapacityLimiter::new(1));
    let permit = limiter.clone().try_acquire_owned().unwrap();
    let waiter = thread::spawn({
        let limiter = limiter.clone();
        move || drop(block_on(limiter.acquire_owned()))
    });
    thread::spawn(move || drop(permit)).join().unwrap();
    waiter.join().unwrap();
    is_idle(&limiter);
}

#[test]
fn random_drops_and_totals_leave_all_permits_home() {
    for seed in 1..400 {
        let mut dice = Dice::new(seed);
        let limiter = CapacityLimiter::new(dice.below(4));
        let (mut waiters, mut permits) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            match dice.below(6) {
                0 | 1 => {
                    let name = ["a", "b", "c", "d", "e", "f"][dice.below(6)];
                    let mut hand = ManualTask::new(limiter.acquire_on_behalf_of(name));
                    if hand.poll().is_pending() {
                        waiters.push(hand);
                    }
                }
                2 if !waiters.is_empty() => drop(waiters.swap_remove(dice.below(waiters.len()))),
                3 if !waiters.is_empty() => {
                    let index = dice.below(waiters.len());
                    if let Poll::Ready(permit) = waiters[index].poll() {
                        permits.push(permit.unwrap());
                        drop(waiters.swap_remove(index));
                    }
                }
                4 => limiter.set_total(dice.below(5)),
                _ if !permits.is_empty() => drop(permits.swap_remove(dice.below(permits.len()))),
                _ => {}
            }
            let state = limiter.state.lock();
            assert!(state.waiting() == 0 || state.held >= state.total, "Invariant 2");
            assert_eq!(state.named.len(), state.records.len());
            assert_eq!(state.waiting(), limiter.queue.waiting());
        }
        while !(waiters.is_empty() && permits.is_empty()) {
            if dice.below(2) == 0 && !permits.is_empty() {
                drop(permits.swap_remove(dice.below(permits.len())));
            } else if !waiters.is_empty() {
                drop(waiters.swap_remove(dice.below(waiters.len())));
            }
        }
        is_idle(&limiter);
    }
}
