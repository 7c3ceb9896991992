//! The task that is woken for a scope that rests: the driver of the node around it, if its waker wakes that; or the one
//! that was asked for.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use foster::channel::oneshot;
use foster::combine::join;
use foster::{CancelScope, Instant, Nursery, fail_after, is_cancelled, move_on_after, nursery, sleep, yield_now};
use foster_sim::clock;

use super::{elapsed, ms, same};

/// Wakes another one, and counts it.
struct Through {
    driver: Waker,
    wakes: Arc<AtomicUsize>,
}

impl Wake for Through {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.driver.wake_by_ref();
    }
}

/// Polls `future` with a waker of its own, as a combinator does. The waker that it was itself polled with is left in
/// `around`.
async fn through<F: Future>(wakes: &Arc<AtomicUsize>, around: &RefCell<Option<Waker>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        around.replace(Some(cx.waker().clone()));
        let waker = Waker::from(Arc::new(Through { driver: cx.waker().clone(), wakes: wakes.clone() }));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// Polls `future` with the waker that was left.
async fn back<F: Future>(around: &RefCell<Option<Waker>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|_| {
        let waker = around.borrow().clone().expect("it was left");
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// One that has another waker than those around it is woken with that, and they with theirs.
#[test]
fn each_scope_is_woken_with_its_own_waker() {
    let ends = same(|| async {
        let (wakes, around) = (Arc::<AtomicUsize>::default(), RefCell::default());
        let count = || wakes.swap(0, Ordering::Relaxed) > 0;
        let start = Instant::now();
        let mut ends = Vec::new();
        // The limit that ends it, with a waker of its own or with the driver's; inside one with the other sort.
        for (outer, inner) in [(50, 20), (20, 50)] {
            let further_in = fail_after(ms(inner), pending::<()>());
            let late = move_on_after(ms(outer), through(&wakes, &around, further_in)).await;
            ends.push((late.is_none(), count(), elapsed(start)));
            let further_in = back(&around, fail_after(ms(inner), pending::<()>()));
            let late = through(&wakes, &around, move_on_after(ms(outer), further_in)).await;
            ends.push((late.is_none(), count(), elapsed(start)));
        }
        ends
    });
    assert_eq!(ends, [(false, true, 20), (false, false, 40), (true, true, 60), (true, true, 80)]);
}

/// The driver may change between two polls: the new one is woken.
#[test]
fn who_takes_over_a_scope_is_woken_for_what_rests_there() {
    let ends = same(|| async {
        let start = Instant::now();
        let Ok(end) = nursery(async |n: Nursery| {
            let (sender, receiver) = oneshot();
            n.spawn(async move {
                let body = async {
                    yield_now().await;
                    fail_after(ms(30), pending::<()>()).await.is_err()
                };
                let mut scope = Box::pin(CancelScope::new().named("a node").run(body));
                for _ in 0..2 {
                    poll_fn(|cx| {
                        assert!(scope.as_mut().poll(cx).is_pending());
                        Poll::Ready(())
                    })
                    .await;
                    yield_now().await;
                }
                drop(sender.send(scope));
                sleep(ms(100)).await;
            });
            let taken = n.spawn(async move {
                let mut scope = receiver.await.expect("it is sent");
                let end = scope.as_mut().await.expect("nobody asks");
                Ok((end, elapsed(start)))
            });
            Ok(taken.await)
        })
        .await;
        end
    });
    assert_eq!(ends, Ok((true, 30)));
}

/// The time of those around may run out in the very poll in which one further in begins to rest, and they with it.
#[test]
fn time_runs_out_while_those_further_in_begin_to_rest() {
    // Which of the three limits is over by then.
    for over in 0..3 {
        let ends = same(|| async {
            let start = Instant::now();
            let limit = |at: usize| if at == over { ms(10) } else { ms(50) };
            let jumps = Rc::new(Cell::new(false));
            let work = async {
                let rests = fail_after(limit(2), pending::<()>());
                let passes = poll_fn(|_| {
                    if !jumps.replace(true) {
                        clock().jump(ms(20));
                    }
                    Poll::<()>::Pending
                });
                join((rests, passes)).await.0.is_err()
            };
            let end = move_on_after(limit(0), move_on_after(limit(1), work)).await;
            (end.is_none(), end.is_some_and(|end| end.is_none()), elapsed(start))
        });
        // The work itself waits for the other half, up to the first limit around it.
        let expected = [(true, false, 20), (false, true, 20), (true, false, 50)][over];
        assert_eq!(ends, expected, "{over}");
    }
}

/// That it has run out may be known before those inside begin to rest: then they do not, and what rests in them finds
/// its place.
#[test]
fn a_scope_whose_time_is_known_to_be_over_holds_none_that_rest() {
    let ends = same(|| async {
        let start = Instant::now();
        let (looked, dropped) = (Cell::new(false), Cell::new(None));
        let work = async {
            let _told = super::OnDrop(|| dropped.set(Some((is_cancelled(), elapsed(start)))));
            let rests = fail_after(ms(70), pending::<()>());
            let looks = poll_fn(|_| {
                if !looked.get() {
                    clock().jump(ms(20));
                    looked.set(is_cancelled());
                }
                Poll::<()>::Pending
            });
            join((rests, looks)).await
        };
        let end = move_on_after(ms(10), move_on_after(ms(50), work)).await;
        (end.is_none(), looked.get(), dropped.get(), elapsed(start))
    });
    assert_eq!(ends, (true, true, Some((true, 20)), 20));
}

/// L28: also when the scope around was over in its first poll, and had not left a waker yet.
#[test]
#[expect(clippy::async_yields_async, reason = "it escapes")]
fn who_has_escaped_from_a_first_poll_is_woken() {
    let ends = same(|| async {
        let start = Instant::now();
        let body = async {
            let mut escapes = Box::pin(move_on_after(ms(500), pending::<()>()));
            super::begin(escapes.as_mut()).await;
            escapes
        };
        let escaped = CancelScope::new().named("a node").run(body).await.expect("nobody asks");
        let mut polls = 0;
        let woken = poll_fn(|_| {
            polls += 1;
            if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
        });
        let woken = move_on_after(ms(100), woken).await.is_some();
        drop(escaped);
        (woken, elapsed(start))
    });
    assert_eq!(ends, (true, 0));
}
