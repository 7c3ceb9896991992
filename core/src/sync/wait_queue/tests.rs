use std::sync::Arc;
use std::task::Waker;

use super::*;
use foster_test_support::{Dice, ManualTask};

fn wakes<F: Future>(hands: &[ManualTask<F>]) -> Vec<usize> {
    hands.iter().map(ManualTask::wakes).collect()
}

/// B213
#[test]
fn exactly_the_longest_waiters_are_unparked() {
    let queue = WaitQueue::new();
    assert_eq!((queue.unpark(3), queue.unpark_all()), (0, 0));
    let parked: Vec<_> = (0..6).map(|_| ManualTask::waiting(queue.park())).collect();
    assert_eq!(queue.statistics().waiting, 6);
    assert_eq!(queue.unpark(0), 0);
    assert_eq!(queue.unpark(2), 2);
    assert_eq!(wakes(&parked), [1, 1, 0, 0, 0, 0]);
    assert_eq!(queue.waiting(), 4);
    assert_eq!(queue.unpark_all(), 4);
    assert_eq!(wakes(&parked), [1; 6]);
    for hand in parked {
        assert_eq!(hand.finish().unwrap(), ParkOutcome::Unparked);
    }
    assert_eq!(queue.unpark(usize::MAX), 0);
    drop(ManualTask::waiting(queue.park())); // nothing was stored
    assert!(queue.is_empty());
}

#[test]
fn who_was_unparked_before_its_first_poll_goes_on_at_once() {
    let queue = WaitQueue::new();
    let park = queue.lock().park(5, Waiter::unpolled());
    let mut guard = queue.lock();
    assert_eq!((guard.first(), guard.unpark(1), guard.first()), (Some(5), 1, None));
    drop(guard);
    assert_eq!(foster_test_support::at_once(park).unwrap(), ParkOutcome::Unparked);
}

/// L40
#[test]
fn an_unpark_goes_on_when_its_receiver_is_dropped() {
    let queue = WaitQueue::new();
    let mut parked: Vec<_> = (0..4).map(|_| ManualTask::waiting(queue.park())).collect();
    queue.unpark(1);
    drop(parked.remove(0));
    assert_eq!(wakes(&parked), [1, 0, 0]);
    drop(parked.remove(1)); // it only waited
    assert_eq!(wakes(&parked), [1, 0]);
    queue.unpark_all();
    let late = ManualTask::waiting(queue.park());
    drop(parked.remove(1)); // all were called: nobody is owed anything
    assert_eq!(late.wakes(), 0);
    drop(parked); // one was called instead of another
    assert_eq!(late.wakes(), 1);
    assert_eq!(late.finish().unwrap(), ParkOutcome::Unparked);

    let mut leaver = queue.park();
    assert!(!leaver.leave(), "not begun");
    let mut leaver = queue.lock().park(0, Waiter::unpolled());
    let other = ManualTask::waiting(queue.park());
    queue.unpark(1);
    assert!(leaver.leave());
    assert!(!leaver.leave());
    drop(leaver);
    assert_eq!(other.wakes(), 0);
}

/// B214
#[test]
fn moved_waiters_wait_and_leave_there() {
    let (from, to, on) = (WaitQueue::new(), WaitQueue::new(), WaitQueue::new());
    assert_eq!(from.requeue_all(&to), 0);
    let first = ManualTask::waiting(to.park());
    let mut parked: Vec<_> = (0..4).map(|_| ManualTask::waiting(from.park())).collect();
    assert_eq!(from.requeue(1, &from), 0);
    assert_eq!(from.requeue(3, &to), 3);
    assert_eq!((from.waiting(), to.waiting()), (1, 4));
    assert_eq!(wakes(&parked), [0; 4]);
    drop(parked.remove(1));
    assert_eq!((from.waiting(), to.waiting()), (1, 3));
    assert!(parked[0].poll().is_pending(), "a stray poll follows it");
    assert_eq!(to.unpark(2), 2);
    assert_eq!((first.wakes(), wakes(&parked)), (1, vec![1, 0, 0]));
    assert_eq!(parked.remove(0).finish().unwrap(), ParkOutcome::Unparked);
    // Twice moved, never polled in between; then back to where it came from.
    assert_eq!(to.requeue_all(&on), 1);
    assert_eq!(on.requeue_all(&from), 1);
    assert_eq!((from.waiting(), to.waiting(), on.waiting()), (2, 0, 0));
    assert_eq!(from.unpark(1), 1);
    assert_eq!(wakes(&parked), [0, 1]);
    drop(parked.remove(1));
    assert_eq!(wakes(&parked), [1], "the unpark is passed on there");
    assert!(from.is_empty());
}

/// B215
#[test]
fn a_broken_queue_says_so_now_and_later() {
    let queue = WaitQueue::new();
    let parked = [ManualTask::waiting(queue.park()), ManualTask::waiting(queue.park())];
    assert_eq!(queue.close("the owner has left"), 2);
    assert_eq!(queue.close("again"), 0);
    assert!(queue.is_empty());
    for hand in parked {
        let closed = hand.finish().unwrap_err();
        assert_eq!(closed.text(), "the owner has left");
        assert_eq!(closed.location().file(), file!());
        assert!(closed.to_string().starts_with("closed: the owner has left (at "));
    }
    assert_eq!(foster_test_support::at_once(queue.park()).unwrap_err().text(), "the owner has left");

    let other = WaitQueue::new();
    let moved = ManualTask::waiting(other.park());
    other.requeue_all(&queue);
    assert!(moved.finish().is_err());
    assert_eq!(queue.closed().unwrap().text(), "the owner has left");
}

/// L36: a waker that uses the queue itself finds it unlocked.
#[test]
fn wakers_run_with_the_queue_unlocked() {
    static QUEUE: WaitQueue = WaitQueue::new();
    struct Nosy;
    impl std::task::Wake for Nosy {
        fn wake(self: Arc<Self>) {
            QUEUE.unpark(1);
            let _ = QUEUE.statistics();
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            let _ = QUEUE.statistics();
        }
    }
    let poll = |park: &mut Park<'static>| {
        let waker = Waker::from(Arc::new(Nosy));
        Pin::new(park).poll(&mut Context::from_waker(&waker))
    };
    let (mut first, mut second, mut third) = (QUEUE.park(), QUEUE.park(), QUEUE.park());
    for _ in 0..2 {
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending() && poll(&mut third).is_pending());
    }
    drop(third);
    QUEUE.unpark(1);
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
    let mut closed = QUEUE.park();
    assert!(poll(&mut closed).is_pending());
    QUEUE.close("test");
    assert!(poll(&mut closed).is_ready());
}

#[test]
fn random_moves_and_drops_leave_nobody_behind() {
    for seed in 1..400 {
        let mut dice = Dice::new(seed);
        let queues = [WaitQueue::new(), WaitQueue::new(), WaitQueue::new()];
        let (mut parked, mut outcome) = (Vec::new(), 0);
        for _ in 0..200 {
            let (one, other) = (&queues[dice.below(3)], &queues[dice.below(3)]);
            match dice.below(6) {
                0 | 1 => parked.push(ManualTask::waiting(one.park())),
                2 => drop(one.requeue(dice.below(4), other)),
                3 if !parked.is_empty() => {
                    let leaver = parked.remove(dice.below(parked.len()));
                    // Its call goes on, or is lost if nobody is left in that queue; counted anew below.
                    drop(leaver);
                    outcome = parked.iter().filter(|hand| hand.wakes() > 0).count();
                }
                4 => outcome += one.unpark(dice.below(3)),
                _ if !parked.is_empty() => {
                    let index = dice.below(parked.len());
                    let woken = parked[index].wakes() > 0;
                    assert_eq!(parked[index].poll().is_ready(), woken);
                    if woken {
                        drop(parked.remove(index));
                        outcome -= 1;
                    }
                }
                _ => {}
            }
            let waiting: usize = queues.iter().map(WaitQueue::waiting).sum();
            assert_eq!(waiting + outcome, parked.len());
        }
        while !parked.is_empty() {
            drop(parked.remove(dice.below(parked.len())));
        }
        for queue in &queues {
            assert!(queue.is_empty());
            assert!(queue.shared().lock().is_idle());
        }
    }
}

#[test]
fn racing_requeues_do_not_deadlock() {
    let (one, other) = (WaitQueue::new(), WaitQueue::new());
    let start = std::sync::Barrier::new(2);
    std::thread::scope(|threads| {
        for (from, to) in [(&one, &other), (&other, &one)] {
            let start = &start;
            threads.spawn(move || {
                start.wait();
                for _ in 0..50_000 {
                    let mut hand = ManualTask::waiting(from.park());
                    from.requeue(2, to);
                    let _ = hand.poll();
                }
            });
        }
    });
    assert!(one.is_empty() && other.is_empty());
    assert!(one.shared().lock().is_idle() && other.shared().lock().is_idle());
}
