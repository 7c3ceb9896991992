use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use foster_test_support::{Dice, ManualTask, at_once, block_on};

const HOME: RwLockStatistics = RwLockStatistics { readers: 0, writer: false, waiting: 0 };

/// B081, B199
#[test]
fn what_is_free_is_had_at_once() {
    let mut lock = RwLock::new(1);
    assert_eq!(*at_once(lock.read()), 1);
    *at_once(lock.write()) += 1;
    *at_once(lock.write()) += 1;
    assert_eq!(*at_once(lock.read()), 3);
    assert_eq!(lock.statistics(), HOME);
    assert_eq!(lock.get_mut(), &mut 3);
    assert_eq!(lock.into_inner(), 3);
}

/// B187, B188, B202
#[test]
fn everybody_is_served_in_turn() {
    let lock = RwLock::new(0);
    let reading = lock.try_read().unwrap();
    assert_eq!(*lock.try_read().unwrap(), 0);
    let writer = ManualTask::waiting(lock.write());
    assert!(lock.try_read().is_err(), "not past the writer");
    let readers = [ManualTask::waiting(lock.read()), ManualTask::waiting(lock.read())];
    let last = ManualTask::waiting(lock.write());
    let late = ManualTask::waiting(lock.read());
    drop(reading);
    assert_eq!(lock.statistics(), RwLockStatistics { readers: 0, writer: true, waiting: 4 });
    assert!(lock.try_write().is_err());
    *writer.finish() = 1;
    assert_eq!(lock.statistics(), RwLockStatistics { readers: 2, writer: false, waiting: 2 });
    assert_eq!(last.wakes(), 0);
    for reader in readers {
        assert_eq!(*reader.finish(), 1);
    }
    *last.finish() = 2;
    assert_eq!(*late.finish(), 2);
    assert_eq!(lock.statistics(), HOME);
}

/// B191, L40
#[test]
fn waiters_that_leave_make_way() {
    let lock = RwLock::new(0);
    let reading = lock.try_read().unwrap();
    let writer = ManualTask::waiting(lock.write());
    let reader = ManualTask::waiting(lock.read());
    drop(writer); // the reader stood behind it for nothing else
    drop(reader.finish());
    let first = ManualTask::waiting(lock.write());
    let second = ManualTask::waiting(lock.write());
    drop(reading);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first); // was handed it
    let third = ManualTask::waiting(lock.read());
    drop(second.finish());
    drop(third);
    assert_eq!(lock.statistics(), HOME);
}

#[test]
fn downgrading_lets_nobody_write_in_between() {
    let lock = RwLock::new(0);
    let mut writing = lock.try_write().unwrap();
    *writing = 1;
    let reader = ManualTask::waiting(lock.read());
    let writer = ManualTask::waiting(lock.write());
    let reading = writing.downgrade();
    assert_eq!((*reading, *reader.finish()), (1, 1));
    assert_eq!(writer.wakes(), 0);
    drop(reading);
    drop(writer.finish());
    assert_eq!(lock.statistics(), HOME);
}

#[test]
fn a_leaked_guard_leaves_it_locked() {
    let mut lock = RwLock::new(0);
    std::mem::forget(lock.try_read().unwrap());
    assert!(lock.try_write().is_err() && lock.try_read().is_ok());
    *lock.get_mut() += 1;
    assert_eq!(lock.into_inner(), 1);
    let lock = RwLock::new(0);
    std::mem::forget(lock.try_write().unwrap());
    assert!(lock.try_write().is_err() && lock.try_read().is_err());
}

#[test]
fn values_may_have_no_size() {
    static LOCK: RwLock<[u8; 3]> = RwLock::new([1, 2, 3]);
    let lock: &RwLock<[u8]> = &LOCK;
    at_once(lock.write())[0] = 7;
    assert_eq!(at_once(lock.read())[..], [7, 2, 3]);
}

#[test]
fn random_drops_leave_it_free() {
    for seed in 1..300 {
        let mut dice = Dice::new(seed);
        let lock = RwLock::new(());
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        let (mut reading, mut writing) = (Vec::new(), None);
        for _ in 0..200 {
            match dice.below(9) {
                0 => {
                    let mut hand = ManualTask::new(lock.read());
                    match hand.poll() {
                        Poll::Ready(guard) => reading.push(guard),
                        Poll::Pending => readers.push(hand),
                    }
                }
                1 => {
                    let mut hand = ManualTask::new(lock.write());
                    match hand.poll() {
                        Poll::Ready(guard) => assert!(writing.replace(guard).is_none()),
                        Poll::Pending => writers.push(hand),
                    }
                }
                2 if !readers.is_empty() => drop(readers.remove(dice.below(readers.len()))),
                3 if !writers.is_empty() => drop(writers.remove(dice.below(writers.len()))),
                4 | 5 if !readers.is_empty() => {
                    let index = dice.below(readers.len());
                    if let Poll::Ready(guard) = readers[index].poll() {
                        drop(readers.remove(index));
                        reading.push(guard);
                    }
                }
                6 if !writers.is_empty() => {
                    let index = dice.below(writers.len());
                    if let Poll::Ready(guard) = writers[index].poll() {
                        drop(writers.remove(index));
                        assert!(writing.replace(guard).is_none());
                    }
                }
                7 => drop(writing.take()),
                _ if !reading.is_empty() => drop(reading.remove(dice.below(reading.len()))),
                _ => {}
            }
            assert!(reading.is_empty() || writing.is_none(), "Invariant 1");
        }
        drop((reading, writing));
        while !(readers.is_empty() && writers.is_empty()) {
            if dice.below(2) == 0 && !readers.is_empty() {
                drop(readers.remove(dice.below(readers.len())));
            } else if !writers.is_empty() {
                drop(writers.remove(dice.below(writers.len())));
            }
        }
        assert_eq!(lock.statistics(), HOME);
        assert!(lock.try_write().is_ok());
    }
}

/// B198
#[test]
fn racing_threads_exclude_each_other() {
    static LOCK: LazyLock<RwLock<usize>> = LazyLock::new(|| RwLock::new(0));
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    const WRITER: usize = 1000;
    thread::scope(|threads| {
        for seed in 1..5 {
            threads.spawn(move || {
                let mut dice = Dice::new(seed);
                for _ in 0..3_000 {
                    while dice.below(3) == 0 {
                        drop(ManualTask::new(LOCK.write()).poll());
                    }
                    if dice.below(3) == 0 {
                        let mut guard = block_on(LOCK.write());
                        assert_eq!(INSIDE.fetch_add(WRITER, Ordering::SeqCst), 0);
                        *guard += 1;
                        INSIDE.fetch_sub(WRITER, Ordering::SeqCst);
                    } else {
                        let guard = block_on(LOCK.read());
                        assert!(INSIDE.fetch_add(1, Ordering::SeqCst) < WRITER);
                        INSIDE.fetch_sub(1, Ordering::SeqCst);
                        drop(guard);
                    }
                }
            });
        }
    });
    assert_eq!(LOCK.statistics(), HOME);
}
