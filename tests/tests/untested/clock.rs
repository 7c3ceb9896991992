//! Times that have passed although no timer has fired yet, as on a thread that is computing; and a timer with a new
//! waiter.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use foster::channel::{RecvError, bounded, oneshot};
use foster::checkpoint_if_cancelled;
use foster::error::JoinError;
use foster::leaf::{ReadyMember, ReadyQueue};
use foster::runtime::root;
use foster::scope::ReasonKind;
use foster::sync::Event;
use foster::{
    CancelScope, Instant, Nursery, checkpoint, graceful, interval, is_cancelled, move_on_after, nursery, sleep,
    sleep_forever, yield_now,
};
use futures_lite::future::{block_on, poll_once, zip};

use super::Wakes;
use super::runtimes::{Ahead, Slow};

/// L8, I8: code that has computed past its deadline is cancelled, although no timer has fired meanwhile.
#[test]
fn a_deadline_that_passes_during_a_poll_is_seen_in_that_poll() {
    foster_sim::run(1, async {
        let ahead = Ahead::over_current();
        let clock = ahead.clone();
        root(ahead, async {
            // A scope that has a handle is asked in another way than one that makes do without a node.
            for with_handle in [false, true] {
                let mut scope = CancelScope::new().deadline_after(Duration::from_millis(1));
                let _handle = with_handle.then(|| scope.handle());
                let outcome = scope.run(async {
                    assert!(!is_cancelled());
                    clock.nanos.fetch_add(1_000_000, Ordering::SeqCst);
                    assert!(is_cancelled());
                    checkpoint_if_cancelled().await;
                    unreachable!("cancelled code stops at its next checkpoint");
                });
                assert!(outcome.await.is_err());
            }
        })
        .await;
    });
}

/// L8, I8: the same for a deadline that was set when there was a scope inside.
#[test]
fn a_deadline_that_is_set_late_is_seen_in_the_scopes_that_are_there() {
    foster_sim::run(1, async {
        let ahead = Ahead::over_current();
        let clock = ahead.clone();
        root(ahead, async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope.run(async {
                let mut inside = CancelScope::new();
                let _handle = inside.handle();
                let inside = inside.run(async {
                    assert!(handle.set_deadline(Instant::now() + Duration::from_millis(1)));
                    assert!(!is_cancelled());
                    clock.nanos.fetch_add(1_000_000, Ordering::SeqCst);
                    assert!(is_cancelled());
                    sleep_forever().await
                });
                let Err(cancelled) = inside.await;
                unreachable!("{cancelled} was told to cancelled code");
            });
            assert!(outcome.await.is_err());
        })
        .await;
    });
}

/// L11, I8: a graceful shield holds nothing off when the hard time has passed, although no timer has fired meanwhile.
#[test]
fn a_hard_time_that_passes_during_a_poll_is_seen_in_that_poll() {
    foster_sim::run(1, async {
        let ahead = Ahead::over_current();
        let clock = ahead.clone();
        root(ahead, async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope.run(graceful(async {
                yield_now().await;
                assert!(handle.cancel_within(Duration::from_millis(1), "with a grace"));
                assert!(!is_cancelled());
                clock.nanos.fetch_add(1_000_000, Ordering::SeqCst);
                assert!(is_cancelled());
                sleep_forever().await
            }));
            assert!(outcome.await.is_err());
        })
        .await;
    });
}

/// L11: code behind a graceful shield is not dropped at the hard time by the clock alone, before the timer has marked all
/// others: these would see what has become of it.
#[test]
fn nothing_ends_at_the_hard_time_before_all_are_marked() {
    /// Records when it is dropped.
    struct Ends(Arc<OnceLock<Instant>>);

    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.set(Instant::now()).expect("it is dropped once");
        }
    }

    let ended = Arc::new(OnceLock::new());
    let ends = Ends(ended.clone());
    foster_sim::run(1, async {
        let ahead = Ahead::over_current();
        let clock = ahead.clone();
        root(ahead, async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope.run(nursery(async |n: Nursery| {
                n.spawn(graceful(async move {
                    let _ends = ends;
                    yield_now().await;
                    assert!(handle.cancel_within(Duration::from_millis(1), "with a grace"));
                    yield_now().await;
                    clock.nanos.fetch_add(1_000_000, Ordering::SeqCst);
                    sleep_forever().await
                }));
                Ok(())
            }));
            assert!(outcome.await.is_err());
        })
        .await;
    });
    // The timer is that of the simulator, which is not ahead.
    assert_eq!(ended.get(), Some(&Instant::from_nanos(2_000_000)));
}

/// L18: a graceful scope that was asked to stop itself tells so, as long as it holds off what was asked of the scope
/// around it.
#[test]
fn a_graceful_scope_tells_its_own_end_before_the_hard_time() {
    for at in [1, 3] {
        let told = AtomicBool::new(false);
        foster_sim::run(1, async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let around = scope.run(async {
                let mut inside = CancelScope::new().graceful();
                let own = inside.handle();
                let outcome = inside.run(async {
                    assert!(handle.cancel_within(Duration::from_millis(2), "the scope around"));
                    sleep(Duration::from_millis(at)).await;
                    assert!(own.cancel("itself"));
                    sleep_forever().await
                });
                let Err(_) = outcome.await;
                told.store(true, Ordering::SeqCst);
                sleep_forever().await
            });
            assert!(around.await.is_err());
        });
        assert_eq!(told.load(Ordering::SeqCst), at < 2);
    }
}

/// I18, L18: a scope with a request of its own parks if the deadline around it has passed as well, although no timer
/// has fired meanwhile: its cancelled form is not for cancelled code.
#[test]
fn a_cancelled_form_does_not_come_after_the_deadline_around_it() {
    foster_sim::run(1, async {
        let ahead = Ahead::over_current();
        let clock = ahead.clone();
        root(ahead, async {
            let outcome = move_on_after(Duration::from_millis(1), async {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let inside = async {
                    assert!(handle.cancel("now"));
                    clock.nanos.store(1_000_000, Ordering::SeqCst);
                    sleep_forever().await
                };
                let Err(cancelled) = scope.run(inside).await;
                unreachable!("{cancelled} was told to cancelled code");
            });
            assert!(outcome.await.is_none());
        })
        .await;
    });
}

/// L6, L8: a cancel after the deadline comes second, also if no timer has fired meanwhile.
#[test]
fn a_cancel_after_the_deadline_comes_second() {
    foster_sim::run(1, async {
        let ahead = Ahead::over_current();
        let clock = ahead.clone();
        root(ahead, async {
            for grace in [None, Some(Duration::ZERO)] {
                let mut scope = CancelScope::new().deadline_after(Duration::from_millis(1));
                let handle = scope.handle();
                let inside = async {
                    clock.nanos.fetch_add(1_000_000, Ordering::SeqCst);
                    match grace {
                        None => handle.cancel("late"),
                        Some(grace) => handle.cancel_within(grace, "late"),
                    };
                    sleep_forever().await
                };
                let Err(cancelled) = scope.run(inside).await;
                assert_eq!(cancelled.reason().kind(), ReasonKind::Deadline);
            }
        })
        .await;
    });
}

/// R6: a sleep that has gone from one task to another wakes the one that polled it last, and holds on to no other
/// waker.
#[test]
fn a_sleep_wakes_whoever_polled_it_last() {
    foster_sim::run(1, async {
        let mut pause = pin!(sleep(Duration::from_millis(2)));
        let first = Arc::new(Wakes::default());
        let waker = Waker::from(first.clone());
        assert!(pause.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(poll_once(pause.as_mut()).await.is_none());
        assert_eq!((Arc::strong_count(&first), first.0.load(Ordering::SeqCst)), (1, 0));
        pause.await;
    });
}

/// L14: code that becomes cancelled while it looks at a channel is not told that the channel is closed.
#[test]
fn a_channel_that_is_closed_is_no_news_after_the_deadline() {
    foster_sim::run(1, async {
        root(Slow::over_current(), async {
            let (sender, receiver) = bounded::<()>(1);
            drop(sender);
            assert_eq!(
                move_on_after(Duration::from_micros(1500), receiver.recv()).await,
                Some(Err(RecvError::Disconnected))
            );
            assert_eq!(move_on_after(Duration::from_micros(500), receiver.recv()).await, None);
        })
        .await;
    });
}

/// L8: a deadline around the nursery that a child moves to counts for the scopes inside the child, too.
#[test]
fn a_deadline_around_a_nursery_is_seen_in_the_scopes_of_a_child_that_has_started_into_it() {
    foster_sim::run(1, async {
        let ahead = Ahead::over_current();
        let clock = ahead.clone();
        root(ahead, async {
            let (tell, told) = oneshot::<Nursery<JoinError>>();
            let Ok(()) = nursery(async |outside: Nursery| {
                outside.spawn(async move {
                    let n = told.await.unwrap();
                    let started = n.start(async move |status| {
                        let mut inside = CancelScope::new();
                        let _handle = inside.handle();
                        let inside = inside.run(async {
                            status.started(());
                            assert!(!is_cancelled());
                            clock.nanos.fetch_add(1_000_000, Ordering::SeqCst);
                            assert!(is_cancelled());
                        });
                        drop(inside.await);
                        Ok(())
                    });
                    assert_eq!(started.await, Ok(()));
                });
                let limited = nursery(async |n: Nursery<JoinError>| {
                    assert!(tell.send(n).is_ok());
                    sleep_forever().await
                });
                assert!(move_on_after(Duration::from_millis(1), limited).await.is_none());
            })
            .await;
        })
        .await;
    });
}

/// L8: an interval that is kept for longer than a run ticks in the next one: it is not left in the timers of a tree that
/// has ended.
#[test]
fn an_interval_outlives_its_tree() {
    let (tell, told) = mpsc::channel();
    let program = thread::spawn(move || {
        let mut ticks = interval(Duration::from_millis(20));
        foster_smol::run(async {
            ticks.tick().await;
            // Its sleep stays armed.
            let _ = poll_once(ticks.tick()).await;
        });
        foster_smol::run(ticks.tick());
        foster_tokio::run(async {
            let mut sleep = Box::pin(sleep(Duration::from_millis(5)));
            assert!(poll_once(&mut sleep).await.is_none());
            thread::spawn(|| foster_tokio::run(sleep)).join().unwrap();
        });
        tell.send(()).unwrap();
    });
    assert!(told.recv_timeout(Duration::from_secs(60)).is_ok(), "it waits for a timer that nobody fires");
    program.join().unwrap();
}

/// L14, R9: a root on tokio that another executor polls has a budget, too: a loop of ready operations keeps nobody out.
#[test]
fn a_root_that_another_executor_polls_has_a_budget() {
    let host = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (tell, told) = mpsc::channel();
    let runtime = Arc::new(foster_tokio::Tokio::on(host.handle().clone()));
    let program = thread::spawn(move || {
        let stop = AtomicBool::new(false);
        let spins = async {
            while !stop.load(Ordering::SeqCst) {
                checkpoint().await;
            }
        };
        let stops = async {
            sleep(Duration::from_millis(5)).await;
            stop.store(true, Ordering::SeqCst);
        };
        block_on(foster::runtime::root(runtime, zip(spins, stops)));
        tell.send(()).unwrap();
    });
    assert!(told.recv_timeout(Duration::from_secs(60)).is_ok(), "one half of the task starves the other");
    program.join().unwrap();
}

/// L8, L14: an operation that was passed over in one scope, and then polled in another one, whose deadline had passed unseen,
/// goes on after the end of that, also in a group that polls only what was woken.
#[test]
fn what_was_passed_over_goes_on_behind_a_deadline_that_passed_unseen() {
    for number in 0..3 {
        let goes_on = foster_sim::run(1, async {
            let ahead = Ahead::over_current();
            let clock = ahead.clone();
            root(ahead, async {
                let (event, (tx, rx)) = (Event::new(), bounded(1));
                let mut operation: Pin<Box<dyn Future<Output = ()> + '_>> = match number {
                    0 => Box::pin(event.wait()),
                    1 => Box::pin(async { assert_eq!(rx.recv().await, Ok(7)) }),
                    _ => Box::pin(sleep(Duration::from_millis(4))),
                };
                let queue = ReadyQueue::new();
                let member = ReadyMember::new(0, &queue);
                member.enqueue();
                let mut group = pin!(poll_fn(|cx| {
                    let due = queue.register(cx.waker());
                    let ended = (0..due)
                        .any(|_| queue.pop().is_some() && member.poll(|cx| operation.as_mut().poll(cx)).is_ready());
                    if ended { Poll::Ready(()) } else { Poll::Pending }
                }));
                assert!(move_on_after(Duration::from_millis(2), group.as_mut()).await.is_none());
                event.set();
                tx.try_send(7).unwrap();
                sleep(Duration::from_millis(10)).await;
                let unseen = move_on_after(Duration::from_millis(2), async {
                    yield_now().await;
                    clock.nanos.fetch_add(5_000_000, Ordering::SeqCst);
                    group.as_mut().await;
                });
                assert!(unseen.await.is_none(), "operation {number} has ended behind its deadline");
                move_on_after(Duration::from_secs(1), group).await.is_some()
            })
            .await
        });
        assert!(goes_on, "operation {number} was lost");
    }
}
