use std::cell::Cell;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use foster_test_support::{ManualTask, at_once, block_on};

/// B081
#[test]
fn the_value_is_made_once() {
    let cell = OnceCell::new();
    assert_eq!(at_once(cell.get_or_init(|| ready(1))), &1);
    assert_eq!(at_once(cell.get_or_init(|| ready(2))), &1);
    assert_eq!(cell.set(3).unwrap_err().value, 3);
    assert_eq!((cell.get(), OnceCell::from(4).into_inner()), (Some(&1), Some(4)));
}

#[test]
fn the_others_wait_and_are_woken_together() {
    let cell = OnceCell::new();
    let go = Cell::new(false);
    let make = || std::future::poll_fn(|_| if go.get() { Poll::Ready(7) } else { Poll::Pending });
    let mut maker = ManualTask::new(cell.get_or_init(make));
    assert!(maker.poll().is_pending());
    let waiters = [0; 3].map(|_| ManualTask::waiting(cell.get_or_init(|| ready(8))));
    assert_eq!(cell.waiting(), 3);
    go.set(true);
    assert_eq!(maker.poll(), Poll::Ready(&7));
    for waiter in waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.finish(), &7);
    }
    assert_eq!(cell.waiting(), 0);
}

/// L40
#[test]
fn the_turn_goes_on_when_its_owner_fails_or_leaves() {
    let cell = OnceCell::new();
    let go = Cell::new(false);
    let fail = || std::future::poll_fn(|_| if go.get() { Poll::Ready(Err::<i32, _>("no")) } else { Poll::Pending });
    let mut failing = ManualTask::waiting(cell.get_or_try_init(fail));
    let mut stuck = ManualTask::waiting(cell.get_or_init(pending));
    let handed = ManualTask::waiting(cell.get_or_init(|| ready(1)));
    let left = ManualTask::waiting(cell.get_or_init(|| ready(2)));
    let last = ManualTask::waiting(cell.get_or_init(|| ready(3)));
    go.set(true);
    assert_eq!(failing.poll(), Poll::Ready(Err("no")));
    assert_eq!((stuck.wakes(), handed.wakes()), (1, 0));
    assert!(stuck.poll().is_pending());
    drop(stuck); // while it makes the value
    assert_eq!(handed.wakes(), 1);
    drop(handed); // before it took note
    drop(left);
    assert_eq!(last.finish(), &3);
}

#[test]
fn a_turn_that_nobody_waits_for_is_free_again() {
    let cell = OnceCell::new();
    let making = ManualTask::waiting(cell.get_or_init(pending));
    let waiter = ManualTask::waiting(cell.get_or_init(|| ready(2)));
    drop(waiter);
    drop(making);
    assert_eq!(at_once(cell.get_or_init(|| ready(3))), &3);
}

#[test]
fn a_value_that_is_set_stands_for_who_makes_one() {
    let cell = OnceCell::new();
    let go = Cell::new(false);
    let make = || std::future::poll_fn(|_| if go.get() { Poll::Ready(1) } else { Poll::Pending });
    let mut maker = ManualTask::waiting(cell.get_or_init(make));
    let waiter = ManualTask::waiting(cell.get_or_init(|| ready(2)));
    cell.set(3).unwrap();
    go.set(true);
    assert_eq!((maker.poll(), waiter.finish()), (Poll::Ready(&3), &3));
}

/// B198
#[test]
fn racing_threads_make_one() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    for round in 1..500 {
        let cell = OnceCell::new();
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    block_on(cell.get_or_init(|| async { MADE.fetch_add(1, Ordering::SeqCst) }));
                });
            }
        });
        assert_eq!(MADE.load(Ordering::SeqCst), round);
    }
}
