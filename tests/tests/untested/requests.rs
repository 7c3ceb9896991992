//! Values that come in the very moment of the request that cancels those who wait for them (L14).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use foster::channel::bounded;
use foster::leaf::{ReadyMember, ReadyQueue, Waiter};
use foster::runtime::root;
use foster::sync::{Barrier, CapacityLimiter, Event, Mutex, OnceCell, PoisonMutex, Promise, Semaphore, WaitQueue};
use foster::{CancelScope, Nursery, checkpoint, move_on_after, nursery, shield, sleep, yield_now};
use futures_lite::future::{poll_once, zip};

use super::runtimes::Meddling;

/// Runs `operation` in a scope that is cancelled during a poll of it, before it looks at what it waits for: the first
/// one, or the second if it `has_waited`. In the same moment `end` is dropped, which somebody else in the scope owns.
/// Returns whether the operation was through.
pub(super) fn is_told(has_waited: bool, end: impl Send + 'static, operation: impl Future) -> bool {
    foster_sim::run(1, async {
        let runtime = Meddling::over_current();
        let meddler = runtime.clone();
        root(runtime, async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope.run(async {
                let mut operation = pin!(operation);
                let deed = move || {
                    assert!(handle.cancel("by another thread"));
                    drop(end);
                };
                let told = if has_waited {
                    assert!(poll_once(operation.as_mut()).await.is_none());
                    meddler.at_arm.set(deed);
                    // Here it needs another waiter, with which the limit gets its place in the tree, and is timed.
                    let again = poll_once(operation.as_mut());
                    move_on_after(Duration::from_secs(3600), again).await.flatten().is_some()
                } else {
                    meddler.at_start.set(deed);
                    poll_once(operation.as_mut()).await.is_some()
                };
                assert!(meddler.at_start.is_none() && meddler.at_arm.is_none(), "the request has come");
                told
            });
            outcome.await.expect("it is through in its one poll")
        })
        .await
    })
}

/// Does something when it is dropped.
pub(super) struct AtDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        if let Some(deed) = self.0.take() {
            deed();
        }
    }
}

pub(super) fn at_drop<F: FnOnce() + Send + 'static>(deed: F) -> AtDrop<F> {
    AtDrop(Some(deed))
}

/// L14: a request on another thread comes while an operation looks at what it waits for. Anything that it has set,
/// closed or given is not for this code.
#[test]
fn code_that_is_cancelled_while_it_looks_is_given_nothing_that_came_with_the_request() {
    let mut given = Vec::new();
    let mut expect = |what: (bool, &'static str), is_given: bool| {
        if is_given {
            given.push(what);
        }
    };
    for has_waited in [false, true] {
        let event = Arc::new(Event::new());
        let sets = event.clone();
        expect((has_waited, "event"), is_told(has_waited, at_drop(move || sets.set()), event.wait()));

        let promise = Arc::new(Promise::new());
        let sets = promise.clone();
        expect((has_waited, "promise"), is_told(has_waited, at_drop(move || sets.set(7).unwrap()), promise.wait()));
        let promise = Arc::new(Promise::<u8>::new());
        let closes = promise.clone();
        let end = at_drop(move || assert!(closes.close("it is over")));
        expect((has_waited, "closed promise"), is_told(has_waited, end, promise.wait()));

        let queue = Arc::new(WaitQueue::new());
        let closes = queue.clone();
        let end = at_drop(move || assert_eq!(closes.close("it is over"), 0, "a waiter that is cancelled is not told"));
        expect((has_waited, "closed queue"), is_told(has_waited, end, queue.park()));

        // A lock that is free as it is asked for is taken: it says nothing. But not that it is poisoned.
        if !has_waited {
            let mutex = Arc::new(PoisonMutex::new(0));
            let poisons = mutex.clone();
            let end = at_drop(move || {
                let mut guard = poisons.try_lock().unwrap().unwrap();
                *guard = 1;
                drop(guard);
            });
            expect((has_waited, "poisoned mutex"), is_told(has_waited, end, mutex.lock()));
            let cell = Arc::new(OnceCell::new());
            let sets = cell.clone();
            let end = at_drop(move || sets.set(7).unwrap());
            expect((has_waited, "cell"), is_told(has_waited, end, cell.get_or_init(async || unreachable!())));
            continue;
        }
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.clone().try_lock_owned().unwrap();
        expect((has_waited, "mutex"), is_told(has_waited, guard, mutex.lock()));
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.clone().try_acquire_owned().unwrap();
        expect((has_waited, "semaphore"), is_told(has_waited, permit, semaphore.acquire()));
        let limiter = Arc::new(CapacityLimiter::new(1));
        let permit = limiter.clone().try_acquire_owned().unwrap();
        expect((has_waited, "limiter"), is_told(has_waited, permit, limiter.acquire_on_behalf_of("another")));
    }
    assert!(given.is_empty(), "{given:?}");
}

/// Polls `operation` in a scope, through a group that polls only what was woken; `end` comes during that poll with the
/// request. Then polls the group outside of the scope. Returns whether the operation was through in the end.
fn goes_on_outside(end: impl Send + 'static, operation: impl Future) -> bool {
    foster_sim::run(1, async {
        let runtime = Meddling::over_current();
        let meddler = runtime.clone();
        root(runtime, async {
            let queue = ReadyQueue::new();
            let member = ReadyMember::new(0, &queue);
            member.enqueue();
            let mut operation = pin!(operation);
            let mut group = pin!(poll_fn(|cx| {
                let due = queue.register(cx.waker());
                if (0..due).any(|_| queue.pop().is_some() && member.poll(|cx| operation.as_mut().poll(cx)).is_ready()) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }));
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            meddler.at_start.set(move || {
                assert!(handle.cancel("by another thread"));
                drop(end);
            });
            assert!(scope.run(group.as_mut()).await.is_err());
            move_on_after(Duration::from_secs(1), group).await.is_some()
        })
        .await
    })
}

/// L14: what cancelled code was not told is told when the operation is polled in other code, also by a combinator that
/// polls only what was woken.
#[test]
fn what_was_withheld_is_told_outside() {
    let event = Arc::new(Event::new());
    let sets = event.clone();
    assert!(goes_on_outside(at_drop(move || sets.set()), event.wait()), "event");
    let promise = Arc::new(Promise::new());
    let sets = promise.clone();
    assert!(goes_on_outside(at_drop(move || sets.set(7).unwrap()), promise.wait()), "promise");
    let (tx, rx) = bounded::<u8>(1);
    assert!(goes_on_outside(tx, rx.recv()), "channel");
    let queue = Arc::new(WaitQueue::new());
    let closes = queue.clone();
    assert!(goes_on_outside(at_drop(move || assert_eq!(closes.close("it is over"), 0)), queue.park()), "wait queue");
}

/// L14: cancelled code that stays for a shield inside is not polled again and again because of what it is not told.
#[test]
fn what_is_withheld_does_not_spin() {
    let polls = foster_sim::run(1, async {
        let runtime = Meddling::over_current();
        let meddler = runtime.clone();
        root(runtime, async {
            let queue = Arc::new(WaitQueue::new());
            let mut scope = CancelScope::new();
            let (handle, closes) = (scope.handle(), queue.clone());
            let mut polls = 0;
            let outcome = scope.run(async {
                let mut park = pin!(queue.park());
                let mut shielded = pin!(shield(sleep(Duration::from_secs(1))));
                assert!(poll_once(shielded.as_mut()).await.is_none());
                meddler.at_start.set(move || {
                    assert!(handle.cancel("by another thread"));
                    closes.close("it is over");
                });
                poll_fn(|cx| {
                    polls += 1;
                    let (parked, rested) = (park.as_mut().poll(cx), shielded.as_mut().poll(cx));
                    if parked.is_ready() && rested.is_ready() { Poll::Ready(()) } else { Poll::Pending }
                })
                .await
            });
            assert!(outcome.await.is_err());
            polls
        })
        .await
    });
    assert!(polls < 10, "{polls} polls");
}

/// L12: a scope that gets its node only after its first poll has as many polls as one that had it before: the one that is
/// going on. Something is given in that, but to the code around, which has another one.
#[test]
fn a_scope_that_gets_its_node_late_has_as_many_polls() {
    let polls = [false, true].map(|early| {
        foster_sim::run(1, async move {
            let (tx, rx) = bounded(0);
            let polls = Cell::new(0);
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let inside = poll_fn(|_| {
                polls.set(polls.get() + 1);
                if polls.get() == 1 {
                    // Gives its scope a node.
                    drop(early.then(Waiter::unpolled));
                    assert_eq!(rx.try_recv(), Ok(1));
                    handle.cancel("in the poll in which it was given");
                }
                Poll::<()>::Pending
            });
            let sent = Cell::new(false);
            let outcome = scope.run(zip(
                async {
                    tx.send(1).await.unwrap();
                    sent.set(true);
                },
                move_on_after(Duration::from_secs(1), inside),
            ));
            assert!(outcome.await.is_err() && sent.get());
            polls.get()
        })
    });
    assert_eq!(polls, [1, 1]);
}

/// L12: code that has taken what it was given is blocked where it waits next: it has no further poll.
#[test]
fn what_was_taken_makes_nobody_runnable() {
    foster_sim::run(1, async {
        let (tx, rx) = bounded(1);
        let (polls, at_the_cancel) = (Cell::new(0), Cell::new(0));
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let takes = scope.run(async {
            assert_eq!(rx.recv().await, Ok(1));
            poll_fn(|_| {
                polls.set(polls.get() + 1);
                Poll::<()>::Pending
            })
            .await;
        });
        let gives = async {
            tx.send(1).await.unwrap();
            sleep(Duration::from_millis(1)).await;
            at_the_cancel.set(polls.get());
            handle.cancel("long after");
        };
        let (outcome, ()) = zip(takes, gives).await;
        assert!(outcome.is_err() && at_the_cancel.get() > 0);
        assert_eq!(polls.get(), at_the_cancel.get());
    });
}

/// L12: who waits at a barrier is given nothing by one who comes and is not enough, though more have come than it takes:
/// it is blocked, and has no further poll.
#[test]
fn who_is_not_enough_at_a_barrier_wakes_nobody() {
    foster_sim::run(1, async {
        let barrier = Barrier::new(3);
        let (mut gone, mut scope) = (CancelScope::new(), CancelScope::new());
        let (leaves, handle) = (gone.handle(), scope.handle());
        let polls = Cell::new(0);
        let mut waits = pin!(barrier.wait());
        let outcome = scope.run(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            waits.as_mut().poll(cx)
        }));
        // It is kept alive by what is shielded beside it.
        let left = gone.run(zip(barrier.wait(), shield(sleep(Duration::from_millis(1)))));
        let comes = async {
            leaves.cancel("before the last one comes");
            assert!(poll_once(barrier.wait()).await.is_none());
            handle.cancel("after that");
        };
        let ((outcome, left), ()) = zip(zip(outcome, left), comes).await;
        assert!(outcome.is_err() && left.is_err());
        assert_eq!(polls.get(), 1);
    });
}

/// L12, L14: the wake-up at the end of a scope, for what was polled there in cancelled code, makes nobody runnable. The code
/// around waits, and is cancelled before its task has its turn: it is not polled again.
#[test]
fn what_is_woken_at_the_end_of_a_scope_is_not_runnable() {
    for seed in 0..50 {
        let (waits, requested, ran_on) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        let flags = Arc::new((waits, requested, ran_on));
        let (watched, seen) = (flags.clone(), flags.clone());
        foster_sim::run(seed, async move {
            let Ok(()) = nursery(async |n: Nursery| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                n.spawn(async move {
                    let (waits, requested, ran_on) = &*watched;
                    let outcome = scope.run(async {
                        assert!(move_on_after(Duration::ZERO, checkpoint()).await.is_none());
                        waits.store(true, Ordering::SeqCst);
                        poll_fn(|_| {
                            ran_on.fetch_or(requested.load(Ordering::SeqCst), Ordering::SeqCst);
                            Poll::<()>::Pending
                        })
                        .await;
                    });
                    assert!(outcome.await.is_err());
                });
                n.spawn(async move {
                    while !flags.0.load(Ordering::SeqCst) {
                        yield_now().await;
                    }
                    flags.1.store(true, Ordering::SeqCst);
                    handle.cancel("it waits");
                });
                Ok(())
            })
            .await;
        });
        assert!(!seen.2.load(Ordering::SeqCst), "seed {seed}: it was polled again");
    }
}
