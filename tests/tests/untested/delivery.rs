//! The polls of cancelled code, and the values that it is given.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::channel::bounded;
use foster::cleanup::{BracketExit, ResourceGuard};
use foster::combine::{gather, join};
use foster::error::JoinError;
use foster::nursery::Started;
use foster::{
    CancelScope, Instant, LocalNursery, Nursery, bracket, defer, graceful, is_cancelled, local_nursery, move_on_after,
    nursery, shield, sleep, sleep_forever, sleep_until, yield_now,
};
use futures_lite::future::poll_once;

/// L16: a cancelled scope waits for a shield that another task polls, and is woken when that has ended.
#[test]
fn a_shield_that_another_task_polls_wakes_the_scope_around_at_its_end() {
    foster_sim::Builder::new(1).spurious_polls(0.0).run(async {
        let (over, inside) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let Ok(()) = nursery(async |n: Nursery| {
            let (looks, begun) = (over.clone(), inside.clone());
            n.spawn(async move {
                let around = scope.run(async {
                    // It looks whenever it is polled, and asks for nothing.
                    let looks =
                        poll_fn(move |_| if looks.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending });
                    let mut shielded = Box::pin(shield(looks));
                    assert!(poll_once(&mut shielded).await.is_none());
                    *begun.lock().unwrap() = Some(shielded);
                    sleep_forever().await
                });
                let Err(_) = around.await;
            });
            sleep(Duration::from_millis(1)).await;
            let mut shielded = inside.lock().unwrap().take().unwrap();
            handle.cancel("now");
            for _ in 0..5 {
                assert!(poll_once(&mut shielded).await.is_none());
                sleep(Duration::from_millis(1)).await;
                assert!(!handle.is_closed(), "it waits for what is inside");
            }
            over.store(true, Ordering::SeqCst);
            assert!(poll_once(&mut shielded).await.is_some());
        })
        .await;
    });
}

/// L12, L15: runnable code gets one poll after the request, and others only as long as it drives a scope that has to
/// end.
#[test]
fn code_that_had_its_poll_is_not_polled_when_what_it_waited_for_has_ended() {
    foster_sim::Builder::new(1).spurious_polls(0.0).run(async {
        let (over, inside, waker) =
            (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let polls_after = Arc::new(AtomicUsize::new(0));
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let Ok(()) = nursery(async |n: Nursery| {
            let (looks, begun, leaves, counts) = (over.clone(), inside.clone(), waker.clone(), polls_after.clone());
            n.spawn(async move {
                let around = scope.run(async {
                    let ended = looks.clone();
                    let shields =
                        poll_fn(move |_| if looks.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending });
                    let mut shielded = Box::pin(shield(shields));
                    assert!(poll_once(&mut shielded).await.is_none());
                    *begun.lock().unwrap() = Some(shielded);
                    poll_fn::<Infallible, _>(|cx| {
                        counts.fetch_add(usize::from(ended.load(Ordering::SeqCst)), Ordering::SeqCst);
                        *leaves.lock().unwrap() = Some(cx.waker().clone());
                        Poll::Pending
                    })
                    .await
                });
                let Err(_) = around.await;
            });
            sleep(Duration::from_millis(1)).await;
            let mut shielded = inside.lock().unwrap().take().unwrap();
            Option::<Waker>::take(&mut waker.lock().unwrap()).unwrap().wake();
            handle.cancel("now");
            assert!(poll_once(&mut shielded).await.is_none());
            sleep(Duration::from_millis(1)).await;
            assert!(!handle.is_closed(), "it waits for what is inside");
            over.store(true, Ordering::SeqCst);
            assert!(poll_once(&mut shielded).await.is_some());
        })
        .await;
        assert_eq!(polls_after.load(Ordering::SeqCst), 0);
    });
}

/// L12: of two requests of one instant the first makes nobody runnable, whichever that is: code that waits is dropped
/// unpolled.
#[test]
fn the_order_of_two_requests_of_one_instant_does_not_matter() {
    for inner_first in [false, true] {
        foster_sim::Builder::new(1).spurious_polls(0.0).run(async {
            let (asked, polls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let (mut scope, mut inside) = (CancelScope::new(), CancelScope::new());
            let (handle, inner) = (scope.handle(), inside.handle());
            let Ok(()) = nursery(async |n: Nursery| {
                let (is_asked, counts) = (asked.clone(), polls.clone());
                n.spawn(async move {
                    let mut waits = Box::pin(inside.run(sleep_forever()));
                    let around = scope.run(poll_fn::<Infallible, _>(|cx| {
                        counts.fetch_add(usize::from(is_asked.load(Ordering::SeqCst)), Ordering::SeqCst);
                        assert!(waits.as_mut().poll(cx).is_pending());
                        Poll::Pending
                    }));
                    let Err(_) = around.await;
                });
                sleep(Duration::from_millis(1)).await;
                asked.store(true, Ordering::SeqCst);
                let mut handles = [handle, inner];
                if inner_first {
                    handles.reverse();
                }
                assert!(handles.iter().all(|handle| handle.cancel("now")));
            })
            .await;
            assert_eq!(polls.load(Ordering::SeqCst), 0, "inner first: {inner_first}");
        });
    }
}

/// L15: a scope that is dropped with the cancelled body around it was not lost: nobody has asked it to stop.
#[test]
fn a_scope_that_goes_with_the_body_around_it_was_not_asked() {
    foster_sim::run(1, async {
        let (mut scope, mut inside) = (CancelScope::new(), CancelScope::new());
        let (handle, inner) = (scope.handle(), inside.handle());
        let around = scope.run(async {
            let mut rests = Box::pin(inside.run(sleep_forever()));
            assert!(poll_once(&mut rests).await.is_none());
            handle.cancel("now");
            sleep_forever().await
        });
        assert!(around.await.is_err());
        assert!(inner.is_closed());
        assert!(inner.reason().is_none(), "{:?}", inner.reason());
    });
}

/// L14: code that was cancelled after it gave way gets one more poll, and does not go on in it.
#[test]
fn who_is_cancelled_after_giving_way_does_not_go_on() {
    foster_sim::run(1, async {
        let mut scope = CancelScope::new();
        let (handle, went_on) = (scope.handle(), AtomicBool::new(false));
        let mut run = pin!(scope.run(async {
            yield_now().await;
            went_on.store(true, Ordering::SeqCst);
            sleep_forever().await
        }));
        assert!(poll_once(run.as_mut()).await.is_none());
        assert!(handle.cancel("now"));
        assert!(run.await.is_err());
        assert!(!went_on.load(Ordering::SeqCst));
    });
}

/// L14: a join gives what had come before its code was cancelled, by a request of its own scope or from further out.
#[test]
fn a_join_gives_what_came_before_the_cancel() {
    for (seed, further_in) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let joined = Arc::new(AtomicBool::new(false));
        let gets = joined.clone();
        foster_sim::run(seed, async move {
            let [waits, ended] = [0; 2].map(|_| Arc::new(AtomicBool::new(false)));
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let Ok(()) = nursery(async |n: Nursery| {
                let (waited_for, ends) = (waits.clone(), ended.clone());
                let task = n.spawn(async move {
                    while !waited_for.load(Ordering::SeqCst) {
                        yield_now().await;
                    }
                    ends.store(true, Ordering::SeqCst);
                });
                n.spawn(async move {
                    while !ended.load(Ordering::SeqCst) {
                        yield_now().await;
                    }
                    handle.cancel("now");
                });
                let joins = async move {
                    waits.store(true, Ordering::SeqCst);
                    assert!(task.await.is_ok());
                    gets.store(true, Ordering::SeqCst);
                    sleep_forever().await
                };
                let around = scope.run(async {
                    let mut inside = CancelScope::new();
                    let _handle = inside.handle();
                    if further_in {
                        let Err(_) = inside.run(joins).await;
                        unreachable!("nobody asked it");
                    }
                    joins.await
                });
                let Err(_) = around.await;
            })
            .await;
        });
        assert!(joined.load(Ordering::SeqCst), "seed {seed}");
    }
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("as it is dropped, on purpose");
    }
}

/// L27, L32: the release of a bracket that was lost, and whose body panics as it is dropped, learns of the panic.
#[test]
fn a_bracket_whose_body_panics_as_it_is_dropped_has_panicked() {
    let told = Arc::new(OnceLock::new());
    let tells = told.clone();
    let run = || {
        foster_sim::run(1, async {
            let body = async |_: ResourceGuard<()>| {
                let _panics = PanicsOnDrop;
                pending::<()>().await
            };
            let mut lost = Box::pin(bracket(async {}, body, async move |(), exit| drop(tells.set(exit))));
            assert!(poll_once(&mut lost).await.is_none());
        });
    };
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    assert!(matches!(told.get(), Some(BracketExit::Panicked)), "{told:?}");
}

/// L16.1: a shield in the body of a cancelled local nursery is found to be passed over, also if a child of the nursery
/// was woken in the same instant: that wakes the nursery's future, and not its body.
#[test]
fn a_shield_in_the_body_of_a_local_nursery_is_passed_over_beside_a_child_that_is_woken() {
    foster_sim::Builder::new(1).spurious_polls(0.0).run(async {
        let over = Arc::new(AtomicBool::new(false));
        let at = Instant::now() + Duration::from_millis(5);
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let looks = over.clone();
        let outcome = scope.run(local_nursery(async |n: LocalNursery<'_>| {
            n.spawn(shield(async move {
                sleep_until(at).await;
                sleep_until(at + Duration::from_millis(1)).await;
            }));
            let mut shielded = pin!(shield(async move {
                // Armed after the child's, so it ends after that.
                sleep(Duration::from_millis(2)).await;
                sleep_until(at).await;
                looks.store(true, Ordering::SeqCst);
            }));
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                if polls == 2 {
                    handle.cancel("on purpose");
                }
                // Its sleeps wake it, but the waker that it has leads nowhere.
                let mut nowhere = Context::from_waker(Waker::noop());
                let ended = shielded.as_mut().poll(&mut nowhere);
                if polls == 1 {
                    cx.waker().wake_by_ref();
                }
                ended
            })
            .await;
        }));
        // The body completes with its shield.
        assert!(outcome.await.is_ok());
        assert!(over.load(Ordering::SeqCst));
    });
}

/// L13: the caller of a `start` is cancelled by the child, once that was answered and before it has ended: the wake-up
/// of the answer has made the caller runnable, and by then the child has ended.
#[test]
fn a_caller_that_its_own_ready_child_cancels_gets_what_that_has_passed() {
    foster_sim::Builder::new(1).spurious_polls(0.0).run(async {
        let seen = Arc::new(AtomicUsize::new(0));
        let done = nursery(async |n: Nursery<JoinError>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let starting = n.start(async move |status: Started<u16>| {
                assert!(status.started(80));
                handle.cancel("the caller");
            });
            let out = scope
                .run(async {
                    assert_eq!(starting.await, Ok(80));
                    seen.fetch_add(1, Ordering::SeqCst);
                    match sleep_forever().await {}
                })
                .await;
            assert!(out.is_err());
            Ok(())
        });
        assert!(done.await.is_ok());
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    });
}

/// L12, I28: a child of a local nursery and its body are woken in the instant of a deadline, in either order: both are
/// runnable.
#[test]
fn the_body_of_a_local_nursery_is_runnable_whoever_is_woken_first() {
    const TIME: Duration = Duration::from_millis(4);
    for seed in 0..50 {
        let both = async |n: LocalNursery<'_>| {
            n.spawn(foster_sim::plain_sleep(TIME));
            foster_sim::plain_sleep(TIME).await;
        };
        let simulation = foster_sim::Builder::new(seed).spurious_polls(0.0);
        let ended = simulation.run(move_on_after(TIME, local_nursery(both)));
        assert!(ended.is_some_and(|out: Result<(), Infallible>| out.is_ok()), "on seed {seed} it was cancelled");
    }
}

/// L16, L38: a scope that is polled in a shield, when the task has no budget left, and never again, does not keep the
/// cancelled scope around it from its end.
#[test]
fn a_scope_that_is_held_without_any_budget_delays_nobody() {
    for budget in [true, false] {
        let ended = Arc::new(AtomicBool::new(false));
        foster_sim::Builder::new(1).spurious_polls(0.0).run(async {
            let mut scope = CancelScope::new();
            let (handle, ends) = (scope.handle(), ended.clone());
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn_daemon(async move {
                    let outcome = scope.run(async {
                        let mut inner = CancelScope::new();
                        let _has_its_place = inner.handle();
                        let mut held = Box::pin(inner.run_here(async {
                            defer(sleep(Duration::from_millis(1)));
                            sleep_forever().await
                        }));
                        assert!(poll_once(&mut held).await.is_none());
                        let polls = poll_fn(|cx| {
                            while !budget && foster::leaf::poll_budget(cx).is_ready() {}
                            assert!(held.as_mut().poll(cx).is_pending());
                            Poll::Ready(())
                        });
                        handle.cancel("now");
                        shield(polls).await;
                        sleep_forever().await
                    });
                    assert!(outcome.await.is_err());
                    ends.store(true, Ordering::SeqCst);
                });
                sleep(Duration::from_secs(10)).await;
                assert!(ended.load(Ordering::SeqCst), "with budget: {budget}");
            })
            .await;
        });
    }
}

/// The construct in which an item is received, beside something else that is asked to stop.
#[derive(Clone, Copy, Debug)]
enum Beside {
    ALocalChild,
    ABranch,
    OneOfMany,
}

/// Receives an item in a scope that is cancelled in the same instant. Something beside the receiver was asked to stop
/// before the item was sent, or after that. Returns whether it was received.
fn receives_in_the_instant_of_a_request(beside: Beside, before: bool) -> bool {
    let received = AtomicBool::new(false);
    foster_sim::Builder::new(1).spurious_polls(0.0).run(async {
        let (mut scope, mut inner) = (CancelScope::new(), CancelScope::new());
        let (handle, stops) = (scope.handle(), inner.handle());
        let (tx, rx) = bounded(1);
        let receive = async {
            rx.recv().await.unwrap();
            received.store(true, Ordering::SeqCst);
        };
        let receives = scope.run(async {
            match beside {
                Beside::ALocalChild => {
                    let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
                        n.spawn(async move { drop(inner.run(sleep_forever()).await) });
                        receive.await;
                    })
                    .await;
                }
                Beside::ABranch => {
                    join((async { drop(inner.run(sleep_forever()).await) }, receive)).await;
                }
                Beside::OneOfMany => {
                    let stops = async { drop(inner.run(sleep_forever()).await) };
                    let all: [Pin<Box<dyn Future<Output = ()> + Send>>; 2] = [Box::pin(stops), Box::pin(receive)];
                    gather(all.map(async |branch| {
                        branch.await;
                        Ok::<_, Infallible>(())
                    }))
                    .await
                    .unwrap();
                }
            }
        });
        let sends = async move {
            sleep(Duration::from_millis(1)).await;
            if before {
                stops.cancel("only this");
            }
            tx.try_send(()).unwrap();
            if !before {
                stops.cancel("only this");
            }
            handle.cancel("all of it");
        };
        let outcome = nursery(async |n: Nursery| {
            n.spawn(sends);
            drop(receives.await);
        });
        let Ok(()) = outcome.await;
    });
    received.into_inner()
}

/// L12.1, L41: what a request wakes nobody is runnable for; but what is given after that makes the code runnable all the
/// same.
#[test]
fn what_is_given_after_a_request_beside_it_is_received() {
    for beside in [Beside::ALocalChild, Beside::ABranch, Beside::OneOfMany] {
        for before in [false, true] {
            assert!(receives_in_the_instant_of_a_request(beside, before), "{beside:?}, asked to stop before: {before}");
        }
    }
}

/// L12, I28: a child of a local nursery in one branch, and then another branch, are woken in the instant of a deadline: the
/// code around is runnable, although the combinator has passed only the first of the two wake-ups on.
#[test]
fn what_stands_beside_a_local_nursery_is_runnable_whoever_is_woken_first() {
    const TIME: Duration = Duration::from_millis(4);
    for seed in 0..50 {
        let children = async || {
            local_nursery(async |n: LocalNursery<'_>| {
                n.spawn(foster_sim::plain_sleep(TIME));
            })
            .await
        };
        let finished = AtomicBool::new(false);
        let beside = async {
            foster_sim::plain_sleep(TIME).await;
            finished.store(true, Ordering::SeqCst);
            Ok(())
        };
        let branches: [Pin<Box<dyn Future<Output = Result<(), Infallible>>>>; 2] =
            [Box::pin(children()), Box::pin(beside)];
        let simulation = foster_sim::Builder::new(seed).spurious_polls(0.0);
        simulation.run(move_on_after(TIME, gather(branches)));
        assert!(finished.load(Ordering::SeqCst), "on seed {seed} it lost what it was given");
    }
}

/// L12.6: what was given up is not polled, also if another request has found before that it has a poll to come: what it was
/// given goes back.
#[test]
fn what_is_given_up_has_no_poll_left() {
    foster_sim::run(1, async {
        let (tx, rx) = foster::channel::unbounded();
        let mut around = CancelScope::new();
        let handle = around.handle();
        let body = async {
            let mut loser = pin!(CancelScope::new().run(rx.recv()));
            poll_fn(|cx| {
                assert!(loser.as_mut().poll(cx).is_pending());
                tx.try_send(7).expect("it has room");
                handle.cancel("it was given something before this");
                loser.as_mut().cancel("lost");
                assert!(loser.as_mut().poll(cx).is_pending() && loser.never_returns());
                Poll::Ready(())
            })
            .await;
        };
        around.run(body).await.expect("it completes in this poll");
        assert_eq!(rx.try_recv(), Ok(7));
    });
}

/// L36: the waker with which a scope is polled may panic when the scope calls it at once, as it was woken during that poll:
/// that is none of the panics of the code around.
#[test]
fn a_waker_that_panics_during_a_poll_disturbs_nobody() {
    /// Panics when it is called, and counts that.
    struct Throws(AtomicUsize);

    impl Wake for Throws {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose, in a waker");
        }
    }

    let throws = Arc::new(Throws(AtomicUsize::new(0)));
    let waker = Waker::from(throws.clone());
    foster_sim::run(1, async {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let mut run = pin!(scope.run(async {
            handle.cancel("during its poll");
            shield(sleep(Duration::from_millis(1))).await;
        }));
        poll_fn(|_| {
            assert!(run.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(throws.0.load(Ordering::SeqCst) > 0, "it was not called");
        run.await.expect("it is through in its one poll");
    });
}

/// L12.2, L12.6: code behind a graceful shield in what was given up is blocked as that is, though somebody has woken it: the
/// hard time of a request without a grace comes at once.
#[test]
fn code_inside_what_is_given_up_has_no_poll_left_either() {
    foster_sim::Builder::new(1).spurious_polls(0.0).run(async {
        let (polls, waker) = (Cell::new(0), Cell::new(None));
        let mut loser = pin!(CancelScope::new().run(graceful(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            waker.set(Some(cx.waker().clone()));
            Poll::<()>::Pending
        }))));
        poll_fn(|cx| {
            assert!(loser.as_mut().poll(cx).is_pending());
            waker.take().expect("it was polled").wake();
            loser.as_mut().cancel("lost");
            let _ = loser.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        assert_eq!(polls.get(), 1);
    });
}

/// L12.6: a scope with nothing inside ends when it is given up, and its destructors find that it is cancelled. Not on the
/// simulator, where each scope keeps what it waits for.
#[test]
fn what_is_given_up_ends_at_once_if_nothing_is_inside() {
    /// Records when it is dropped whether its code is cancelled.
    struct Looks<'a>(&'a Cell<Option<bool>>);

    impl Drop for Looks<'_> {
        fn drop(&mut self) {
            self.0.set(Some(is_cancelled()));
        }
    }

    foster_smol::run(async {
        let (tx, rx) = foster::channel::unbounded();
        let found = Cell::new(None);
        let mut loser = pin!(CancelScope::new().run(async {
            let _looks = Looks(&found);
            rx.recv().await
        }));
        assert!(!loser.as_mut().give_up("before it has begun"));
        assert!(poll_once(loser.as_mut()).await.is_none());
        tx.try_send(7).expect("it has room");
        assert!(loser.as_mut().give_up("lost"));
        assert_eq!((found.take(), rx.try_recv()), (Some(true), Ok(7)));
        assert!(!is_cancelled());
    });
}

/// L12.6: one that has something to end is cancelled, and has to be polled on; so is one with a handle.
#[test]
fn what_is_given_up_is_cancelled_if_something_is_inside() {
    foster_smol::run(async {
        let ended = Arc::new(AtomicBool::new(false));
        let notes = ended.clone();
        let mut loser = pin!(CancelScope::new().run(async move {
            defer(async move { notes.store(true, Ordering::SeqCst) });
            sleep_forever().await
        }));
        assert!(poll_once(loser.as_mut()).await.is_none());
        assert!(!loser.as_mut().give_up("lost") && !ended.load(Ordering::SeqCst));
        let Err(cancelled) = loser.await;
        assert_eq!((cancelled.reason().text(), ended.load(Ordering::SeqCst)), (Some("lost"), true));

        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let mut loser = pin!(scope.run(sleep_forever()));
        assert!(poll_once(loser.as_mut()).await.is_none());
        assert!(!loser.as_mut().give_up("lost"));
        assert_eq!(handle.reason().expect("it was cancelled").text(), Some("lost"));
        assert!(loser.await.is_err());
    });
}

/// L32: the panic of a destructor goes to whoever gives the scope up; what another destructor has started is waited for.
#[test]
fn what_is_given_up_waits_for_what_its_destructors_have_started() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    struct Defers(Arc<AtomicBool>);

    impl Drop for Defers {
        fn drop(&mut self) {
            let ended = self.0.clone();
            defer(async move {
                sleep(Duration::from_millis(1)).await;
                ended.store(true, Ordering::SeqCst);
            });
        }
    }

    foster_smol::run(async {
        let held = async |_held: Panics| sleep_forever().await;
        let mut loser = pin!(CancelScope::new().run(held(Panics)));
        assert!(poll_once(loser.as_mut()).await.is_none());
        assert!(catch_unwind(AssertUnwindSafe(|| loser.as_mut().give_up("lost"))).is_err());
        assert!(!is_cancelled(), "it is nobody else's");

        let ended = Arc::new(AtomicBool::new(false));
        let held = async |_held: Defers| sleep_forever().await;
        let mut loser = pin!(CancelScope::new().run(held(Defers(ended.clone()))));
        assert!(poll_once(loser.as_mut()).await.is_none());
        assert!(!loser.as_mut().give_up("lost"));
        assert!(loser.await.is_err() && ended.load(Ordering::SeqCst));
    });
}

/// L14, L40: the mutex has skipped the one that was notified, because its code was cancelled in between. The
/// notification goes to the next, though what is beside that one goes on, and waits for just this.
#[test]
fn a_notification_goes_past_code_that_is_cancelled_before_the_mutex_is_free() {
    foster_sim::run(1, async {
        let shared =
            Arc::new((foster::sync::Mutex::new(0), foster::sync::Condition::new(), foster::sync::Event::new()));
        let Ok(()) = nursery(async |n: Nursery| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let (first, second) = (shared.clone(), shared.clone());
            n.spawn(async move {
                let (mutex, condition, served) = &*first;
                let waits = async { drop(condition.wait_for(mutex.lock().await, |jobs| *jobs > 0).await) };
                drop(scope.run(join((waits, shield(served.wait())))).await);
                Ok(())
            });
            sleep(Duration::from_millis(1)).await;
            n.spawn(async move {
                let (mutex, condition, served) = &*second;
                *condition.wait_for(mutex.lock().await, |jobs| *jobs > 0).await -= 1;
                served.set();
                Ok(())
            });
            sleep(Duration::from_millis(1)).await;
            let (mutex, condition, _) = &*shared;
            let mut jobs = mutex.lock().await;
            *jobs = 1;
            assert_eq!(condition.notify(&jobs, 1), 1);
            handle.cancel("before the mutex is free");
            Ok(())
        })
        .await;
    });
}
