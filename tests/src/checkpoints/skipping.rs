//! A giver skips waiters whose code is cancelled (L14): nothing is lost on them, and they are in nobody's way.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::channel::{Lag, RecvError, SendError, TryRecvError, bounded, broadcast, oneshot, watch};
use foster::combine::{merge, staggered, throttle};
use foster::sync::{
    Barrier, CapacityLimiter, Condition, Event, Mutex, OnceCell, ParkOutcome, PoisonMutex, Promise, RwLock, Semaphore,
    WaitQueue,
};
use foster::{
    CancelScope, Nursery, checkpoint, is_cancelled, local_nursery, move_on_after, nursery, shield, sleep, yield_now,
};

use futures_lite::stream;

use crate::harness::ms;
use crate::running::witness::{Flag, both, poll_once, time_is_virtual};

/// Two wait, one behind the other; the first one's code is cancelled, but kept alive by something shielded beside it;
/// then something is given. The second one gets it, and the first one comes no further. Gives what the second one got.
async fn second_of<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>, give: impl FnOnce()) -> B {
    let (done, passed) = (Flag::new(), Cell::new(false));
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let cancelled = scope.run(both(
        async {
            first.await;
            passed.set(true);
        },
        shield(done.wait()),
    ));
    let (outcome, second) = both(cancelled, async {
        let mut second = pin!(second);
        assert!(poll_once(second.as_mut()).await.is_pending(), "the second one has to wait");
        handle.cancel("the first one");
        give();
        let second = second.await;
        // The first one is polled more often than it may be given anything.
        for _ in 0..5 {
            yield_now().await;
        }
        done.set();
        second
    })
    .await;
    assert!(outcome.is_err(), "the cancelled code has come to its end");
    assert!(!passed.get(), "cancelled code was given something");
    second
}

/// As `second_of`, without anybody else.
async fn skipped<A>(first: impl Future<Output = A>, give: impl FnOnce()) {
    second_of(first, yield_now(), give).await;
}

/// The code that gives something to the code that waits, and then cancels it.
#[derive(Clone, Copy)]
enum Gives {
    /// Code beside its scope.
    Another,
    /// Code in the same scope, in the very poll in which the first one has begun to wait.
    ItsOwn,
}

/// It waits, is given something, and then its code is cancelled: it takes what it was given.
async fn given_in_time<A>(who: Gives, waits: impl Future<Output = A>, give: impl FnOnce()) -> A {
    let (done, taken) = (Flag::new(), Cell::new(None));
    let takes = async {
        let given = waits.await;
        assert!(is_cancelled());
        taken.set(Some(given));
    };
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    match who {
        Gives::Another => {
            let gives = async {
                give();
                handle.cancel("too late");
                for _ in 0..5 {
                    yield_now().await;
                }
                done.set();
            };
            let (outcome, ()) = both(scope.run(both(takes, shield(done.wait()))), gives).await;
            assert!(outcome.is_ok());
        }
        Gives::ItsOwn => {
            let gives = async {
                give();
                handle.cancel("too late");
                pending::<()>().await;
            };
            assert!(scope.run(both(takes, gives)).await.is_err());
        }
    }
    taken.into_inner().expect("what was given before the cancel was not taken")
}

/// L14: a value that is sent goes to the next receiver, or stays in the channel.
pub async fn a_value_passes_over_a_cancelled_receiver() {
    for capacity in [0, 1, usize::MAX] {
        let (tx, rx) = bounded(capacity);
        let job = second_of(rx.recv(), rx.recv(), || tx.try_send("job").unwrap()).await;
        assert_eq!(job, Ok("job"));
        assert_eq!(rx.statistics().used, 0);
    }
    let (tx, rx) = bounded(1);
    skipped(rx.recv(), || tx.try_send("stays").unwrap()).await;
    assert_eq!(rx.try_recv(), Ok("stays"));
}

/// L14: a receiver that is cancelled is no room, and a sender that is cancelled has sent nothing.
pub async fn a_rendezvous_takes_two_that_are_not_cancelled() {
    let (tx, rx) = bounded(0);
    skipped(rx.recv(), || assert!(tx.try_send(1).is_err(), "nobody receives it")).await;
    second_of(tx.send(1), tx.send(2), || assert_eq!(rx.try_recv(), Ok(2))).await.unwrap();
    skipped(tx.send(1), || assert_eq!(rx.try_recv(), Err(TryRecvError::Empty))).await;
    let permit = second_of(tx.reserve(), tx.reserve(), || {
        let mut receiving = pin!(rx.recv());
        assert!(receiving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    drop(permit.await.unwrap());

    // Room that comes to be.
    let (tx, rx) = bounded(1);
    tx.try_send(0).unwrap();
    second_of(tx.send(1), tx.send(2), || assert_eq!(rx.try_recv(), Ok(0))).await.unwrap();
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(2), Err(TryRecvError::Empty)));
}

/// L14: nor is cancelled code told that a channel has ended.
pub async fn an_end_passes_over_cancelled_code() {
    let (tx, rx) = bounded::<u8>(1);
    let ended = second_of(rx.recv(), rx.recv(), || drop(tx)).await;
    assert_eq!(ended, Err(RecvError::Disconnected));
    let (_tx, rx) = bounded::<u8>(1);
    let other = rx.clone();
    let waits = other.clone();
    skipped(other.recv(), || assert!(other.close())).await;
    drop(waits);

    let (tx, rx) = bounded(1);
    tx.try_send(0).unwrap();
    let ended = second_of(tx.send(1), tx.send(2), || drop(rx)).await;
    assert_eq!(ended, Err(SendError::Disconnected(2)));
    let (tx, rx) = bounded::<u8>(1);
    second_of(tx.closed(), tx.closed(), || rx.shutdown()).await;
    let (tx, rx) = oneshot::<u8>();
    skipped(rx, || drop(tx)).await;
    let (mut tx, rx) = oneshot::<u8>();
    skipped(tx.closed(), || drop(rx)).await;
}

/// L14: a sender that was let in before it was cancelled is not told afterwards that its value was not wanted.
pub async fn a_value_that_was_taken_back_is_no_news_for_cancelled_code() {
    let (tx, rx) = bounded(1);
    tx.try_send(0).unwrap();
    let mut rx = Some(rx);
    let passed = Cell::new(false);
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let done = Flag::new();
    let cancelled = scope.run(both(
        async {
            let _sent = tx.send(1).await;
            passed.set(true);
        },
        shield(done.wait()),
    ));
    let (outcome, ()) = both(cancelled, async {
        // Let in and cancelled in one step, and then nobody is left to receive it.
        let ends = rx.take().unwrap();
        assert_eq!(ends.try_recv(), Ok(0));
        handle.cancel("let in before");
        drop(ends);
        yield_now().await;
        yield_now().await;
        done.set();
    })
    .await;
    assert!(outcome.is_err() && !passed.get());
}

/// L12, L14: a refusal that came before the request is taken by runnable code, also if the value had been let in before
/// it.
pub async fn a_value_that_was_taken_back_before_the_cancel_is_refused() {
    let (tx, rx) = bounded(1);
    tx.try_send(0).unwrap();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let (outcome, ()) = both(scope.run(tx.send(1)), async {
        // All in one step: let in, taken back because nobody is left to receive it, and cancelled.
        assert_eq!(rx.try_recv(), Ok(0));
        drop(rx);
        handle.cancel("taken back before");
    })
    .await;
    assert_eq!(outcome.expect("what it was given before the cancel is taken"), Err(SendError::Disconnected(1)));

    // And by `shut_down_now`.
    let (tx, rx) = bounded(1);
    tx.try_send(0).unwrap();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let (outcome, ()) = both(scope.run(tx.send(1)), async {
        assert_eq!(rx.try_recv(), Ok(0));
        rx.shutdown_now();
        handle.cancel("taken back before");
    })
    .await;
    assert_eq!(outcome.expect("what it was given before the cancel is taken"), Err(SendError::Closed(1)));
}

/// L14: the same of those who look again, for a new value or the next one.
pub async fn news_passes_over_cancelled_code() {
    let (tx, mut one) = watch(0);
    let mut two = one.clone();
    assert_eq!(*second_of(one.recv(), two.recv(), || tx.send(1).unwrap()).await.unwrap(), 1);
    assert_eq!(*one.try_recv().unwrap(), 1, "it has not seen it");
    assert!(second_of(one.recv(), two.recv(), || drop(tx)).await.is_err());

    let (tx, mut one) = broadcast(1, Lag::Wait);
    let mut two = one.clone();
    assert_eq!(second_of(one.recv(), two.recv(), || tx.try_send(1).unwrap()).await, Ok(1));
    // Now it is full.
    second_of(tx.send(2), tx.send(3), || assert_eq!(one.try_recv(), Ok(1))).await.unwrap();
    assert_eq!((one.try_recv(), two.try_recv()), (Ok(3), Ok(3)));
    let (tx, rx) = oneshot();
    skipped(rx, || tx.send(1).unwrap()).await;
}

/// L14: permits and locks.
pub async fn permits_and_locks_pass_over_cancelled_code() {
    let semaphore = Semaphore::new(0);
    second_of(semaphore.acquire_many(5), semaphore.acquire(), || semaphore.add_permits(1)).await.forget();
    assert_eq!(semaphore.available(), 0);

    let mutex = Mutex::new(());
    let held = mutex.lock().await;
    drop(second_of(mutex.lock(), mutex.lock(), || drop(held)).await);

    let lock = RwLock::new(());
    let held = lock.read().await;
    drop(second_of(lock.write(), lock.read(), || drop(held)).await);

    let limiter = CapacityLimiter::new(1);
    let held = limiter.acquire().await;
    drop(second_of(limiter.acquire(), limiter.acquire(), || drop(held)).await);
    assert_eq!(limiter.borrowed(), 0);
}

/// L14: who stands in the queue and is cancelled does not keep out those who come.
pub async fn cancelled_code_keeps_nobody_out() {
    let semaphore = Semaphore::new(1);
    skipped(semaphore.acquire_many(5), || {
        drop(semaphore.try_acquire().expect("one is free"));
        let mut comes = pin!(semaphore.acquire());
        assert!(comes.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    })
    .await;

    let lock = RwLock::new(());
    let held = lock.read().await;
    skipped(lock.write(), || drop(lock.try_read().expect("only readers are in"))).await;
    drop(held);

    let limiter = CapacityLimiter::new(1);
    let held = limiter.acquire().await;
    skipped(limiter.acquire(), || {
        drop(held);
        drop(limiter.try_acquire().expect("it is free"));
    })
    .await;
}

/// L14: one whose code is cancelled has not arrived at a barrier.
pub async fn a_barrier_does_not_count_cancelled_code() {
    let barrier = Barrier::new(3);
    let arrival = second_of(barrier.wait(), barrier.wait(), || {
        let mut cx = Context::from_waker(Waker::noop());
        let mut third = pin!(barrier.wait());
        assert!(third.as_mut().poll(&mut cx).is_pending(), "two are there");
        let mut fourth = pin!(barrier.wait());
        assert!(matches!(fourth.as_mut().poll(&mut cx), Poll::Ready(arrival) if arrival.is_leader()));
        assert!(third.as_mut().poll(&mut cx).is_ready());
    });
    assert!(!arrival.await.is_leader());
}

/// L14: what happens once, and what is broken or poisoned.
pub async fn events_and_their_kind_pass_over_cancelled_code() {
    let event = Event::new();
    second_of(event.wait(), event.wait(), || event.set()).await;
    let promise = Promise::new();
    assert_eq!(second_of(promise.wait(), promise.wait(), || promise.set(1).unwrap()).await.unwrap(), &1);
    let promise = Promise::<u8>::new();
    let broken = second_of(promise.wait(), promise.wait(), || assert!(promise.close("broken"))).await;
    assert!(broken.is_err());

    let queue = WaitQueue::new();
    let second = second_of(queue.park(), queue.park(), || assert_eq!(queue.unpark(1), 1)).await;
    assert_eq!(second.unwrap(), ParkOutcome::Unparked);
    let mut wait = pin!(queue.park());
    skipped(wait.as_mut(), || assert_eq!(queue.unpark(1), 0)).await;
    assert_eq!(wait.await.unwrap(), ParkOutcome::Skipped, "its owner looks again");
    assert!(queue.is_empty());
    second_of(queue.park(), queue.park(), || assert_eq!(queue.close("broken"), 1)).await.unwrap_err();

    let cell = OnceCell::new();
    let mut maker = pin!(cell.get_or_init(std::future::pending::<u8>));
    assert!(poll_once(maker.as_mut()).await.is_pending());
    let waits = || cell.get_or_init(async || 1);
    assert_eq!(second_of(waits(), waits(), || cell.set(2).unwrap()).await, &2);

    let mutex = PoisonMutex::new(0);
    let mut held = mutex.lock().await.unwrap();
    *held += 1;
    let poisoned = second_of(mutex.lock(), mutex.lock(), || drop(held)).await;
    poisoned.unwrap_err().into_guard().mend();
}

/// L14: a notification is not lost on a waiter that is cancelled.
pub async fn a_notification_passes_over_cancelled_code() {
    let (mutex, condition) = (Mutex::new(0), Condition::new());
    let wait = async || condition.wait(mutex.lock().await).await;
    let guard = second_of(wait(), wait(), || {
        let guard = mutex.try_lock().unwrap();
        assert_eq!(condition.notify(&guard, 1), 1);
    });
    drop(guard.await);
    assert_eq!((condition.waiting(), mutex.statistics().held), (0, false));
}

/// L14: what was given before the cancel is taken.
pub async fn what_was_given_before_the_cancel_is_taken() {
    what_was_given_is_taken(Gives::Another).await;
}

/// L12, L14: the same if the cancel comes in the poll in which it was given: that poll may have passed by the code that
/// waits.
pub async fn what_was_given_in_the_poll_of_the_cancel_is_taken() {
    what_was_given_is_taken(Gives::ItsOwn).await;
}

async fn what_was_given_is_taken(who: Gives) {
    let (tx, rx) = bounded(0);
    given_in_time(who, tx.send(0), || assert_eq!(rx.try_recv(), Ok(0))).await.unwrap();
    let (tx, rx) = bounded(1);
    assert_eq!(given_in_time(who, rx.recv(), || tx.try_send(1).unwrap()).await, Ok(1));
    tx.try_send(2).unwrap();
    given_in_time(who, tx.send(3), || assert_eq!(rx.try_recv(), Ok(2))).await.unwrap();
    assert_eq!(rx.try_recv(), Ok(3));
    assert_eq!(given_in_time(who, rx.recv(), || drop(tx)).await, Err(RecvError::Disconnected));
    let (tx, rx) = oneshot();
    assert_eq!(given_in_time(who, rx, || tx.send(1).unwrap()).await, Ok(1));
    let (tx, mut rx) = watch(0);
    assert_eq!(*given_in_time(who, rx.recv(), || tx.send(1).unwrap()).await.unwrap(), 1);
    let (tx, mut rx) = broadcast(1, Lag::Wait);
    assert_eq!(given_in_time(who, rx.recv(), || tx.try_send(1).unwrap()).await, Ok(1));

    let mutex = Mutex::new(());
    let held = mutex.lock().await;
    drop(given_in_time(who, mutex.lock(), || drop(held)).await);
    let semaphore = Semaphore::new(0);
    given_in_time(who, semaphore.acquire(), || semaphore.add_permits(1)).await.forget();
    let event = Event::new();
    given_in_time(who, event.wait(), || event.set()).await;
    let barrier = Barrier::new(2);
    let last = || assert!(pin!(barrier.wait()).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert!(!given_in_time(who, barrier.wait(), last).await.is_leader());
}

/// L14: who was skipped and is polled in other code then joins again.
pub async fn who_was_skipped_may_wait_elsewhere() {
    let (tx, rx) = bounded(1);
    let semaphore = Semaphore::new(0);
    let (mutex, condition) = (Mutex::new(0), Condition::new());
    let barrier = Barrier::new(2);
    let (mut recv, mut acquire) = (pin!(rx.recv()), pin!(semaphore.acquire()));
    let (mut notified, mut arrives) = (pin!(condition.wait(mutex.lock().await)), pin!(barrier.wait()));
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope
        .run(async {
            assert!(poll_once(recv.as_mut()).await.is_pending() && poll_once(acquire.as_mut()).await.is_pending());
            assert!(poll_once(notified.as_mut()).await.is_pending() && poll_once(arrives.as_mut()).await.is_pending());
            handle.cancel("they wait elsewhere");
            tx.try_send(1).unwrap();
            semaphore.add_permits(1);
            assert_eq!(condition.notify_all(&mutex.try_lock().unwrap()), 0);
            checkpoint().await;
        })
        .await;
    assert!(outcome.is_err());
    assert_eq!(recv.await, Ok(1));
    acquire.await.forget();
    // It has missed a notification, and looks itself.
    drop(notified.await);
    assert!(poll_once(arrives.as_mut()).await.is_pending());
    assert!(barrier.wait().await.is_leader());
    assert!(!arrives.await.is_leader());
}

/// L14: who was skipped gets its own mutex back, also if the condition is in use with another one by then, and takes
/// nothing from those others.
pub async fn who_was_skipped_finds_the_condition_in_use_with_another_mutex() {
    let (one, other, condition) = (Mutex::new(0), Mutex::new(0), Condition::new());
    let mut passed = Box::pin(condition.wait(one.lock().await));
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope
        .run(async {
            assert!(poll_once(passed.as_mut()).await.is_pending());
            handle.cancel("it is skipped");
            assert_eq!(condition.notify_all(&one.try_lock().unwrap()), 0);
            checkpoint().await;
        })
        .await;
    assert!(outcome.is_err());
    let mut second = pin!(condition.wait(other.lock().await));
    assert!(poll_once(second.as_mut()).await.is_pending());
    *passed.await += 1;
    assert_eq!((*one.lock().await, condition.waiting()), (1, 1));
    assert_eq!(condition.notify_all(&other.try_lock().unwrap()), 1);
    drop(second.await);
}

/// L14, L15: who waits behind a waiter that is cancelled, and is not dropped as long as a shield beside it has to end,
/// does not wait for that shield.
pub async fn who_waits_behind_a_cancelled_waiter_goes_on() {
    let (lock, done) = (RwLock::new(()), Flag::new());
    let held = lock.read().await;
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let cancelled = scope.run(both(lock.write(), shield(done.wait())));
    let (outcome, ()) = both(cancelled, async {
        let mut second = pin!(lock.read());
        assert!(poll_once(second.as_mut()).await.is_pending(), "it waits behind the writer");
        handle.cancel("the writer");
        drop(second.await);
        done.set();
    })
    .await;
    assert!(outcome.is_err());
    drop(held);
}

/// L14, L15: a `wait_for` that is cancelled when it has just been notified in vain gives the mutex back: a shield beside it
/// may need that.
pub async fn a_cancelled_wait_for_does_not_keep_the_mutex() {
    let (mutex, condition, go) = (Mutex::new(false), Condition::new(), Flag::new());
    let guard = mutex.lock().await;
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let shielded = shield(async {
        go.wait().await;
        drop(mutex.lock().await);
    });
    let cancelled = scope.run(both(condition.wait_for(guard, |is_set| *is_set), shielded));
    let (outcome, ()) = both(cancelled, async {
        let guard = mutex.lock().await;
        assert_eq!(condition.notify_all(&guard), 1);
        drop(guard);
        handle.cancel("it has the mutex");
        go.set();
    })
    .await;
    assert!(outcome.is_err());
    assert!(mutex.try_lock().is_ok());
}

/// L14: a change that was told while a `wait_for` was skipped is not lost for it.
pub async fn what_was_told_while_one_was_skipped_is_seen() {
    let (mutex, condition) = (Mutex::new(false), Condition::new());
    let mut waiting = pin!(condition.wait_for(mutex.lock().await, |is_set| *is_set));
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope
        .run(async {
            assert!(poll_once(waiting.as_mut()).await.is_pending());
            handle.cancel("too slow");
            checkpoint().await;
        })
        .await;
    assert!(outcome.is_err());
    let mut guard = mutex.lock().await;
    *guard = true;
    assert_eq!(condition.notify_all(&guard), 0);
    drop(guard);
    assert!(*waiting.await);
}

/// L14, L38: a loop of operations that are always ready, or of scopes that are cut at once, keeps neither siblings nor
/// timers from running.
pub async fn a_loop_of_ready_operations_starves_nobody() {
    let (tx, rx) = bounded(1);
    let (mutex, semaphore) = (Mutex::new(()), Semaphore::new(1));
    for operation in 0..10 {
        let run = Flag::new();
        let turns = Cell::new(0_u64);
        let mut merged = merge([stream::repeat(7)]);
        let mut throttled = throttle(stream::repeat(7), Duration::ZERO);
        let spin = async {
            while !run.is_set() {
                turns.set(turns.get() + 1);
                match operation {
                    0 => checkpoint().await,
                    1 => {
                        tx.send(()).await.unwrap();
                        rx.recv().await.unwrap();
                    }
                    2 => drop(mutex.lock().await),
                    3 => drop(semaphore.acquire().await),
                    4 => assert!(move_on_after(Duration::ZERO, rx.recv()).await.is_none()),
                    5 => {
                        let mut scope = CancelScope::new();
                        scope.handle().cancel("as soon as it begins");
                        assert!(scope.run(checkpoint()).await.is_err());
                    }
                    6 => {
                        let failed: Result<(), u8> = local_nursery(async |n| {
                            n.spawn(async { Err::<(), u8>(1) });
                            pending::<()>().await;
                            Ok(())
                        })
                        .await;
                        assert_eq!(failed, Err(1));
                    }
                    7 => assert_eq!(merged.next().await, Some(7)),
                    8 => assert_eq!(throttled.next().await, Some(7)),
                    _ => {
                        let fails = std::iter::repeat_with(|| {
                            turns.set(turns.get() + 1);
                            async { if run.is_set() { Ok(()) } else { Err(()) } }
                        });
                        staggered(Duration::MAX, fails).await.unwrap();
                    }
                }
            }
        };
        both(spin, async {
            yield_now().await;
            run.set();
        })
        .await;
        assert!(turns.get() > 30, "it gives way only at the end of its budget: {} turns", turns.get());
        assert!(turns.get() < 2_000, "{} turns", turns.get());
    }
    // A task of its own, a sibling, and a timer: on a virtual clock no time passes while anybody runs.
    let stop = Arc::new(Flag::new());
    let Ok(()) = nursery(async |n: Nursery| {
        let (told, timed) = (stop.clone(), stop.clone());
        n.spawn(async move {
            while !told.is_set() {
                checkpoint().await;
            }
            Ok(())
        });
        n.spawn(async move {
            if !time_is_virtual() {
                sleep(ms(2)).await;
            }
            yield_now().await;
            timed.set();
            Ok(())
        });
        Ok(())
    })
    .await;
    let run = &Flag::new();
    let Ok(()) = local_nursery(async |n| {
        n.spawn(async move {
            while !run.is_set() {
                checkpoint().await;
            }
        });
        yield_now().await;
        run.set();
        Ok::<_, std::convert::Infallible>(())
    })
    .await;
}
