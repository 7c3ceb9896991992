//! Behaviours: operations that are written outside of foster, with `foster::leaf` (L14, L36, L38, L40).

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use foster::channel::bounded;
use foster::leaf::{Gate, Waiter, has_to_yield, operation, poll_budget};
use foster::sync::{Event, Semaphore};
use foster::{CancelScope, Instant, checkpoint, checkpoint_if_cancelled, move_on_after, shield, sleep, yield_now};

use crate::harness::ms;
use crate::running::witness::{Flag, be_busy, both, counted, lazily, on_drop, poll_once, time_is_virtual, yields};

/// Counts its wakes.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs `body` in a scope that is cancelled, where only a shield keeps it going; gives what the body gave before it
/// ended.
async fn in_cancelled_code<F: Future>(body: F) -> Option<F::Output> {
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let given = Cell::new(None);
    let _cancelled = scope
        .run(both(
            async { given.set(Some(body.await)) },
            shield(async {
                handle.cancel("now");
                for _ in 0..5 {
                    yield_now().await;
                }
            }),
        ))
        .await;
    given.into_inner()
}

/// L14: cancelled code does not start a foreign future: it is not polled, and nobody is woken before the end of the scope. Nor
/// does a gate that somebody else asks let anything pass.
pub async fn cancelled_code_starts_no_operation() {
    let polls = AtomicUsize::new(0);
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let counter = Arc::new(Counter::default());
    let outcome = scope.run(async {
        handle.cancel("now");
        let waker = Waker::from(counter.clone());
        let mut cx = Context::from_waker(&waker);
        let mut wrapped = pin!(operation("read", counted(&polls, ready(7))));
        let (mut gate, mut waits) = (Gate::new("gate"), Gate::new("gate"));
        for _ in 0..3 {
            assert!(wrapped.as_mut().poll(&mut cx).is_pending());
            assert!(gate.poll_start(&mut cx).is_pending());
            assert!(waits.poll_start_to_wait(&cx).is_pending());
        }
        drop(waker);
        // Of its four wakers one is kept.
        assert_eq!((counter.0.load(Ordering::SeqCst), Arc::strong_count(&counter)), (0, 2));
    });
    assert!(outcome.await.is_ok(), "the body did not have to wait");
    assert_eq!((counter.0.load(Ordering::SeqCst), Arc::strong_count(&counter)), (1, 1));
    assert_eq!(polls.into_inner(), 0);
}

/// Operations that can complete, and what each is called.
fn ready_operations() -> Vec<(&'static str, Pin<Box<dyn Future<Output = ()> + Send>>)> {
    let (semaphore, event, (tx, rx)) = (Semaphore::new(1), Event::new(), bounded(1));
    event.set();
    tx.try_send(7).unwrap();
    vec![
        ("acquire", Box::pin(async move { drop(semaphore.acquire().await) })),
        ("event", Box::pin(async move { event.wait().await })),
        ("recv", Box::pin(async move { assert_eq!(rx.recv().await, Ok(7)) })),
        ("checkpoint", Box::pin(checkpoint())),
        ("checkpoint_if_cancelled", Box::pin(checkpoint_if_cancelled())),
        ("yield_now", Box::pin(yield_now())),
        ("sleep", Box::pin(sleep(ms(1)))),
        ("operation", Box::pin(operation("ready", ready(())))),
    ]
}

/// L14: an operation that was first polled in cancelled code goes on after the end of the scope, also in a combinator that
/// polls only what was woken and is moved out of it.
pub async fn what_was_polled_in_cancelled_code_goes_on_outside() {
    for early in [true, false] {
        for (name, operation) in ready_operations() {
            let mut group = pin!(lazily(vec![operation]));
            if early {
                let mut scope = CancelScope::new();
                scope.handle().cancel("before it is entered");
                assert!(scope.run(group.as_mut()).await.is_err(), "{name} was begun in cancelled code");
            } else {
                assert!(move_on_after(ms(0), group.as_mut()).await.is_none(), "{name} was begun in cancelled code");
            }
            assert!(move_on_after(ms(1000), group).await.is_some(), "{name} was lost");
        }
    }
}

/// L14: an operation that was passed over, and was polled once more in the cancelled code that it waited in, goes on after
/// the end of the scope, also in a combinator that polls only what was woken.
pub async fn what_was_passed_over_goes_on_outside() {
    let (semaphore, event, (tx, rx)) = (Semaphore::new(1), Event::new(), bounded(1));
    let held = semaphore.acquire().await;
    let polls = AtomicUsize::new(0);
    let mut group = pin!(lazily(vec![
        Box::pin(counted(&polls, async { drop(semaphore.acquire().await) })),
        Box::pin(counted(&polls, async { event.wait().await })),
        Box::pin(counted(&polls, async { assert_eq!(rx.recv().await, Ok(7)) })),
    ]));
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(both(
        group.as_mut(),
        shield(async {
            yield_now().await;
            assert_eq!(polls.load(Ordering::SeqCst), 3, "all have begun to wait");
            handle.cancel("now");
            drop(held);
            event.set();
            tx.try_send(7).unwrap();
            while polls.load(Ordering::SeqCst) < 6 {
                yield_now().await;
            }
        }),
    ));
    assert!(outcome.await.is_err());
    assert!(move_on_after(ms(1000), group).await.is_some(), "one was lost");
}

/// L8, L14: an operation that was passed over in one scope, and then polled in another one, whose deadline had passed unseen,
/// goes on after the end of that, also in a combinator that polls only what was woken.
pub async fn what_was_passed_over_goes_on_behind_a_deadline_that_passed_unseen() {
    for number in 0..4 {
        let (semaphore, event, (tx, rx)) = (Semaphore::new(1), Event::new(), bounded(1));
        let held = semaphore.acquire().await;
        let operation: Pin<Box<dyn Future<Output = ()> + '_>> = match number {
            0 => Box::pin(async { drop(semaphore.acquire().await) }),
            1 => Box::pin(async { event.wait().await }),
            2 => Box::pin(async { assert_eq!(rx.recv().await, Ok(7)) }),
            _ => Box::pin(sleep(ms(4))),
        };
        let mut group = pin!(lazily(vec![operation]));
        assert!(move_on_after(ms(2), group.as_mut()).await.is_none());
        drop(held);
        event.set();
        tx.try_send(7).unwrap();
        sleep(ms(10)).await;
        let unseen = move_on_after(ms(2), async {
            yield_now().await;
            be_busy(ms(5));
            group.as_mut().await;
        });
        assert!(unseen.await.is_none(), "operation {number} has ended behind its deadline");
        assert!(move_on_after(ms(1000), group).await.is_some(), "operation {number} was lost");
    }
}

/// L14, L15: code that was cancelled while it waited is not given the result, although it is polled beside a shield,
/// and the result is there. The same foreign future without the wrapper completes there.
pub async fn a_result_is_withheld_from_cancelled_code() {
    let flag = Flag::new();
    let waits = || async {
        futures_lite::future::yield_now().await;
        flag.wait().await;
        7
    };
    let (dropped, polls) = (Cell::new(false), AtomicUsize::new(0));
    let wrapped = operation("flag", async {
        let _guard = on_drop(|| dropped.set(true));
        counted(&polls, waits()).await
    });
    let cancelled = in_cancelled_code(wrapped);
    let mut cancelled = pin!(cancelled);
    assert!(poll_once(cancelled.as_mut()).await.is_pending());
    let before = polls.load(Ordering::SeqCst);
    flag.set();
    assert_eq!(cancelled.await, None);
    assert_eq!(polls.load(Ordering::SeqCst), before, "it is not polled in cancelled code");
    assert!(dropped.get(), "it is dropped with the code around it");
    assert_eq!(in_cancelled_code(waits()).await, Some(7), "a foreign operation");
}

/// L12, L14: a request that comes while the foreign future is being polled comes too late for that poll: its result is
/// handed on.
pub async fn a_result_of_the_poll_that_cancels_is_handed_on() {
    for waits in [false, true] {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(operation("cancels", async {
            if waits {
                futures_lite::future::yield_now().await;
            }
            handle.cancel("meanwhile");
            7
        }));
        assert_eq!(outcome.await.ok(), Some(7));
    }
}

/// L14: a deadline that has passed counts also if nothing had a chance to act on it: the foreign future is not asked
/// any more.
pub async fn an_operation_is_exact_to_the_clock() {
    if time_is_virtual() {
        // No time passes within a poll.
        return;
    }
    let flag = Flag::new();
    let outcome = move_on_after(ms(2), async {
        let mut waits = pin!(operation("flag", flag.wait()));
        assert!(poll_once(waits.as_mut()).await.is_pending());
        flag.set();
        let start = Instant::now();
        while start.elapsed() < ms(3) {
            std::hint::spin_loop();
        }
        assert!(poll_once(waits.as_mut()).await.is_pending(), "it was given the result after the deadline");
    });
    assert_eq!(outcome.await, Some(()), "the body did not have to wait");
}

/// L14, L38: operations that are ready take from the budget, and so do loops that ask by hand.
pub async fn an_operation_takes_from_the_budget() {
    yield_now().await;
    assert_eq!(yields(operation("ready", ready(()))).await, 0);
    let given_way = yields(async {
        for _ in 0..10_000 {
            operation("ready", ready(())).await;
        }
    });
    assert!((10..2_000).contains(&given_way.await), "once in so many operations");
    let mut left = 10_000;
    let given_way = yields(poll_fn(|cx| {
        while left > 0 {
            std::task::ready!(poll_budget(cx));
            left -= 1;
        }
        Poll::Ready(())
    }));
    assert!((10..2_000).contains(&given_way.await), "once in so many units");
    yield_now().await;
    assert!(!has_to_yield());
    let mut used = 0;
    poll_fn(|cx| {
        while !has_to_yield() {
            std::task::ready!(poll_budget(cx));
            used += 1;
            assert!(used < 100_000, "it is never used up");
        }
        Poll::Ready(())
    })
    .await;
    // A group in cancelled code is polled to its end.
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let asked = scope.run(async {
        handle.cancel("now");
        has_to_yield()
    });
    assert_eq!(asked.await.ok(), Some(false));
}

/// L14: a waiter knows whose code waits: it is the same in the same scope, and another one in another; and it is
/// cancelled with its scope, shields included.
pub async fn a_waiter_knows_its_code() {
    async fn waiter() -> Waiter {
        poll_fn(|cx| Poll::Ready(Waiter::new(cx))).await
    }
    async fn is_current(waiter: &Waiter) -> bool {
        poll_fn(|cx| Poll::Ready(waiter.is_current(cx))).await
    }
    let outside = waiter().await;
    assert!(is_current(&outside).await);
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        let (inside, shielded) = (waiter().await, shield(waiter()).await);
        assert!(is_current(&inside).await && !is_current(&outside).await && !is_current(&shielded).await);
        assert!(!inside.is_cancelled());
        handle.cancel("now");
        assert!(inside.is_cancelled() && !shielded.is_cancelled() && !outside.is_cancelled());
        assert_eq!(format!("{inside:?}"), "Waiter { cancelled: true, .. }");
    });
    assert!(outcome.await.is_ok());
}

/// L36: a waker that panics does not reach the code that calls the waiter.
pub async fn a_waiter_whose_waker_panics_is_contained() {
    struct Panics(AtomicUsize);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("a waker that panics, on purpose");
        }
    }
    let panics = Arc::new(Panics(AtomicUsize::new(0)));
    let waker = Waker::from(panics.clone());
    let waiter = Waiter::new(&Context::from_waker(&waker));
    waiter.wake_by_ref();
    waiter.wake();
    assert_eq!(panics.0.load(Ordering::SeqCst), 2);
}

/// Runs `future` until it is dropped before its n-th poll; says whether it came so far.
async fn dropped_at<F: Future>(polls: usize, mut future: Pin<&mut F>) -> bool {
    for _ in 0..polls {
        if poll_once(future.as_mut()).await.is_ready() {
            return false;
        }
    }
    true
}

/// L40: an operation that is dropped at any of its polls drops the foreign future, once, and leaves no waker.
pub async fn an_operation_that_is_dropped_leaves_nothing() {
    for polls in 0..4 {
        let (flag, drops) = (Flag::new(), Cell::new(0));
        let guard = on_drop(|| drops.set(drops.get() + 1));
        let future = {
            let flag = flag.clone();
            async move {
                let _guard = guard;
                flag.wait().await;
            }
        };
        {
            let future = pin!(operation("flag", future));
            assert!(dropped_at(polls, future).await);
        }
        assert_eq!(drops.get(), 1);
        flag.set();
    }
    let scopes = || foster::dump().to_string().matches("waits for flag").count();
    let before = scopes();
    assert!(dropped_at(2, pin!(operation("flag", Flag::new().wait()))).await);
    assert_eq!(scopes(), before, "a dump shows what is dropped");
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! operations_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; operations {
            cancelled_code_starts_no_operation,
            what_was_polled_in_cancelled_code_goes_on_outside,
            what_was_passed_over_goes_on_outside,
            what_was_passed_over_goes_on_behind_a_deadline_that_passed_unseen,
            a_result_is_withheld_from_cancelled_code,
            a_result_of_the_poll_that_cancels_is_handed_on,
            an_operation_is_exact_to_the_clock,
            an_operation_takes_from_the_budget,
            a_waiter_knows_its_code,
            a_waiter_whose_waker_panics_is_contained,
            an_operation_that_is_dropped_leaves_nothing,
        });
    };
}
