//! Hand-overs from one to another: a call in a wait queue, an event, a child's result.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use super::{Boxed, Count, Threads, begun, check, check_all, ended, tree};
use crate::errors::JoinError;
use crate::leaf::Waiter;
use crate::nursery::Started;
use crate::runtime::root;
use crate::sync::future::Park;
use crate::sync::{Barrier, Event, ParkOutcome, WaitQueue};
use crate::{CancelScope, Nursery, defer, nursery, sleep_forever, yield_now};

fn touch<F: Future + Unpin>(future: &mut F) {
    let _ = Pin::new(future).poll(&mut Context::from_waker(Waker::noop()));
}

/// A place at the end of the queue.
fn parked(queue: &WaitQueue) -> Park<'_> {
    queue.lock().park(0, Waiter::unpolled())
}

/// Runs `other` on a thread of its own while `here` runs on this one.
///
/// Not with shuttle's scopes, whose end wakes a thread that waits for something else: a wake-up that is lost would not
/// be missed.
fn beside(other: impl FnOnce() + Send + 'static, here: impl FnOnce()) {
    let thread = thread::spawn(other);
    here();
    thread.join().unwrap();
}

/// L40: a call reaches the second waiter if the first one goes away, before it, after it or meanwhile.
///
/// Fails with `pass_on: false` in `Park::drop`.
#[test]
fn a_call_races_with_the_drop_of_its_receiver() {
    check_all(50_000, || {
        let queue = Arc::new(WaitQueue::new());
        let mut first = parked(&queue);
        let second = parked(&queue);
        touch(&mut first);
        let called = queue.clone();
        beside(
            move || assert_eq!(called.unpark(1), 1),
            || {
                drop(first);
                assert_eq!(block_on(second).unwrap(), ParkOutcome::Unparked);
            },
        );
        assert!(queue.is_empty());
    });
}

/// B214, L40: waiters that are moved while one of them goes away, and one is called: the other one is called in its
/// stead.
///
/// Fails with `pass_on: false` in `Park::drop`.
#[test]
fn a_move_races_with_a_drop_and_a_call() {
    // Not all schedules one by one: the order of the locks is that of the addresses, which may be other ones each time.
    check(|| {
        let (from, to) = (Arc::new(WaitQueue::new()), Arc::new(WaitQueue::new()));
        let mut first = parked(&from);
        let second = parked(&from);
        touch(&mut first);
        let (here, there) = (from.clone(), to.clone());
        beside(
            move || {
                here.requeue_all(&there);
                assert_eq!(there.unpark(1), 1);
            },
            || {
                drop(first);
                assert_eq!(block_on(second).unwrap(), ParkOutcome::Unparked);
            },
        );
        assert!(from.is_empty() && to.is_empty());
    });
}

/// Invariant 4 of `waiter_list.rs`: moves in both directions do not wait for each other.
///
/// Fails if `requeue` locks `from` first.
#[test]
fn a_move_races_with_a_move_back() {
    check(|| {
        let (one, other) = (WaitQueue::new(), WaitQueue::new());
        thread::scope(|threads| {
            let (here, there) = (parked(&one), parked(&other));
            threads.spawn(|| one.requeue_all(&other));
            other.requeue_all(&one);
            drop((here, there));
        });
        assert!(one.is_empty() && other.is_empty());
    });
}

/// Nobody waits for an event that has happened.
///
/// Fails without the second look at `is_set` in `EventWait::poll`.
#[test]
fn an_event_races_with_those_who_wait() {
    check_all(50_000, || {
        let event = Arc::new(Event::new());
        let happens = event.clone();
        beside(move || happens.set(), || block_on(event.wait()));
    });
}

/// A waiter goes from one driver to another while it is called.
///
/// Fails if `WaiterKey::poll` keeps the waker that it has.
#[test]
fn a_call_races_with_a_new_waker() {
    check_all(50_000, || {
        let queue = Arc::new(WaitQueue::new());
        let mut park = parked(&queue);
        touch(&mut park);
        let called = queue.clone();
        beside(
            move || assert_eq!(called.unpark(1), 1),
            || {
                assert_eq!(block_on(park).unwrap(), ParkOutcome::Unparked);
            },
        );
    });
}

/// R4: a child's value is dropped once, and so is the waker of its handle, by whoever is the last: the child that sets
/// it, or the handle that goes away.
///
/// Fails if `NodeRef::end_task` does not look whether the value is unwanted, and if `NodeRef::give_up_value` leaves a
/// value there.
#[test]
fn a_result_races_with_the_drop_of_its_handle() {
    check(|| {
        let (dropped, released) = (Count::default(), Count::default());
        let (value, waker, gone) = (dropped.on_drop(), released.on_drop_of_waker(), dropped.clone());
        tree(async move {
            // The waker of the task: it keeps the block, and so what is left there.
            let kept = Arc::new(Mutex::new(None));
            let keeps = kept.clone();
            nursery(async |n: Nursery| {
                let mut child = n.spawn(async move {
                    poll_fn(|cx| {
                        *keeps.lock().unwrap() = Some(cx.waker().clone());
                        Poll::Ready(())
                    })
                    .await;
                    yield_now().await;
                    Ok(value)
                });
                let _ = Pin::new(&mut child).poll(&mut Context::from_waker(&waker));
                drop(waker);
                drop(child);
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(gone.get(), 1, "a value that nobody takes is dropped before the nursery ends");
            let waker = kept.lock().unwrap().take();
            drop(waker);
        });
        assert_eq!((dropped.get(), released.get()), (1, 1));
    });
}

/// L30: a task whose host is torn down while it is polled leaves nothing of its body, also if its handle is held and it
/// is not polled again.
///
/// Fails if `BlockRef::discard_body` lets the user of a body put it back; and if the drop of a job whose scope is Closed
/// does not look for a body that was being put back then.
#[test]
fn a_poll_of_a_task_races_with_the_teardown_of_its_host() {
    check(|| {
        let dropped = Count::default();
        let body = dropped.on_drop();
        let threads = Threads::new();
        let handle = Arc::new(Mutex::new(None));
        let kept = handle.clone();
        let tree = root(threads.clone(), async move {
            let Ok(()) = nursery(async |n: Nursery| {
                let child = n.spawn(async move {
                    let _body = body;
                    // The more often the body is put back, the more likely is that at that moment.
                    for _ in 0..20 {
                        yield_now().await;
                    }
                    sleep_forever().await;
                });
                *kept.lock().unwrap() = Some(child);
                sleep_forever().await;
            })
            .await;
        });
        let Ok(tree) = begun(Box::pin(tree)) else { unreachable!("it waits") };
        threads.tear_down();
        threads.join();
        assert_eq!(dropped.get(), 1, "the body is still there, though its task has been shut down");
        drop(tree);
        drop(handle);
        ended(&threads);
    });
}

/// L30: the body of a task that is being polled while its tree is dropped is dropped once, and its job is told, though
/// it has seen the request before, and waits for a finalizer that will not run.
///
/// Fails if `shut_down` does not call the waker of a job.
#[test]
fn a_poll_of_a_task_races_with_the_drop_of_its_tree() {
    check(|| {
        let dropped = Count::default();
        let body = dropped.on_drop();
        let threads = Threads::new();
        let tree = root(threads.clone(), async move {
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn(async move {
                    let _body = body;
                    defer(async {});
                    yield_now().await;
                    sleep_forever().await;
                });
                sleep_forever().await;
            })
            .await;
        });
        drop(begun(Box::pin(tree.polled_by_its_runtime())));
        ended(&threads);
        assert_eq!(dropped.get(), 1);
    });
}

/// L12, L14: two meet at a barrier while one of them is cancelled, by a request at its own scope or at one around: both
/// have met, if the other one comes last.
///
/// Fails if `WaitingCode::claim` looks only once, before it counts or after it; and if `NodeRef::propagate` takes the
/// verdict about a scope before it goes on to those inside.
#[test]
fn what_is_given_races_with_a_request() {
    for around in [false, true] {
        check(move || {
            tree(async move {
                let (barrier, met) = (Arc::new(Barrier::new(2)), Count::default());
                let meets = met.clone();
                let (mut outer, mut inner) = (CancelScope::new(), CancelScope::new());
                let handle = if around { outer.handle() } else { inner.handle() };
                let cancels = thread::spawn(move || handle.cancel("now"));
                let there = barrier.clone();
                let arrives = thread::spawn(move || {
                    let waits = pin!(there.wait());
                    waits.poll(&mut Context::from_waker(Waker::noop())).is_ready()
                });
                let _ = outer
                    .run(async {
                        let _ = inner
                            .run(async {
                                barrier.wait().await;
                                meets.add();
                            })
                            .await;
                    })
                    .await;
                cancels.join().unwrap();
                let came_last = arrives.join().unwrap();
                assert!(!came_last || met.get() == 1, "one has met the other, who has not met it");
            });
        });
    }
}

/// L12, L14: the same, of one who gives and a request, and nothing else: who was claimed is polled once more.
///
/// Fails if `WaitingCode::claim` looks only once, before it counts or after it.
#[test]
fn a_claim_races_with_a_request() {
    check(|| {
        tree(async {
            let (polls, left) = (Count::default(), Arc::new(Mutex::new(None)));
            let (polled, leaves) = (polls.clone(), left.clone());
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let waits: Boxed<_> = Box::pin(scope.run(poll_fn(move |cx| {
                polled.add();
                let waiter = Some(Waiter::new(cx));
                let before = std::mem::replace(&mut *leaves.lock().unwrap(), waiter);
                drop(before);
                Poll::<()>::Pending
            })));
            let Ok(mut waits) = begun(waits) else { unreachable!("it waits") };
            let waiter: Waiter = left.lock().unwrap().take().unwrap();
            let cancels = thread::spawn(move || handle.cancel("now"));
            let claimed = waiter.claim();
            cancels.join().unwrap();
            touch(&mut waits);
            assert!(!claimed || polls.get() == 2, "it was dropped with what it was given");
        });
    });
}

/// L13, L14: a child says that it is ready while the caller of `start` is cancelled: it is told that it was heard only if
/// the caller goes on.
///
/// Fails if `Shared::say` claims nobody; and, in 20,000 rounds, if `Shared::wait` asks its gate first.
#[test]
fn the_word_of_a_child_races_with_a_request() {
    check(|| {
        tree(async {
            let (heard, got) = (Count::default(), Count::default());
            let (hears, gets) = (heard.clone(), got.clone());
            let outcome: Result<(), JoinError> = nursery(async |n: Nursery<JoinError>| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let cancels = thread::spawn(move || handle.cancel("now"));
                let caller = async {
                    let child = async move |status: Started<()>| {
                        if status.started(()) {
                            hears.add();
                        }
                        Ok(())
                    };
                    if n.start(child).await.is_ok() {
                        gets.add();
                    }
                };
                let _ = scope.run(caller).await;
                cancels.join().unwrap();
                Ok(())
            })
            .await;
            assert!(outcome.is_ok());
            assert_eq!(heard.get(), got.get(), "the child and its caller disagree");
        });
    });
}

/// L27, R2: a release waits for something foreign, and the job of its task is dropped meanwhile. The thread that wakes
/// it finds the reaper that has taken over, or that finds what it was woken for.
///
/// Fails if `Node::job_waker` does not ask for `ABANDONED`.
#[test]
fn a_wake_races_with_the_reaper_that_takes_over() {
    /// Whether it has happened, and who waits for that.
    type Signal = Arc<Mutex<(bool, Option<Waker>)>>;

    async fn happened(signal: Signal) {
        poll_fn(|cx| {
            let mut signal = signal.lock().unwrap();
            signal.1 = Some(cx.waker().clone());
            if signal.0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    let taken_over = Count::default();
    let counted = taken_over.clone();
    check(move || {
        let (threads, signal) = (Threads::new(), Signal::default());
        let waits = happened(signal.clone());
        let root = root(threads.clone(), async {
            nursery(async |n: Nursery| {
                n.spawn(async { defer(waits) });
            })
            .await
        });
        let root = root.polled_by_its_runtime();
        let host = threads.clone();
        let lost = thread::spawn(move || host.lose_one());
        let set = thread::spawn(move || {
            let mut signal = signal.lock().unwrap();
            signal.0 = true;
            let waker = signal.1.take();
            drop(signal);
            waker.into_iter().for_each(Waker::wake);
        });
        let _ = block_on(root);
        lost.join().unwrap();
        set.join().unwrap();
        // A task and a reaper.
        if threads.jobs.lock().unwrap().len() == 2 {
            counted.add();
        }
        ended(&threads);
    });
    assert!(taken_over.get() > 0, "no reaper has taken over");
}
