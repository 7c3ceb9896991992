//! What the mutation check found untested (see `../MUTATIONS.md`): laws that held, and that nothing would have missed.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::channel::{RecvError, bounded};
use foster::runtime::{BlockingError, Job, Runtime, Timer, Work, current, root};
use foster::sync::Event;
use foster::{
    CancelScope, Exit, Instant, Lent, LocalNursery, Nursery, ReasonKind, StartError, bracket, checkpoint_if_cancelled,
    defer, graceful, is_cancelled, join, local_nursery, merge, move_on_after, nursery, race_all, shield, sleep,
    sleep_forever, stopping, yield_now,
};
use futures_lite::future::poll_once;

/// L4: a nursery that has nothing left to wait for takes no further child, also as long as nobody has polled it to notice.
#[test]
fn a_nursery_that_waits_for_nothing_takes_no_more() {
    foster_sim::run(1, async {
        let handle = Arc::new(OnceLock::new());
        let leaked = handle.clone();
        let mut nursery = pin!(nursery(async move |n: Nursery<Infallible>| {
            n.spawn(sleep(Duration::from_millis(1)));
            drop(leaked.set(n.clone()));
        }));
        assert!(poll_once(nursery.as_mut()).await.is_none());
        let n: &Nursery<Infallible> = handle.get().unwrap();
        assert!(n.try_spawn(async {}).is_ok(), "it waits for its child");
        sleep(Duration::from_millis(2)).await;
        assert!(n.is_empty() && !n.is_closed());
        assert!(n.try_spawn(async {}).is_err(), "it has waited for all");
        let Ok(()) = nursery.await;
    });
}

/// The runtime of the test, with a clock that can be ahead of the timers: as on a thread that is computing.
struct Ahead {
    inner: Arc<dyn Runtime>,
    nanos: AtomicU64,
}

impl Runtime for Ahead {
    fn name(&self) -> &'static str {
        "ahead"
    }

    fn spawn(&self, job: Job) {
        self.inner.spawn(job);
    }

    fn now(&self) -> Instant {
        self.inner.now() + Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.inner.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.inner.blocking(work)
    }
}

/// L8, I8: code that has computed past its deadline is cancelled, although no timer has fired meanwhile.
#[test]
fn a_deadline_that_passes_during_a_poll_is_seen_in_that_poll() {
    foster_sim::run(1, async {
        let ahead = Arc::new(Ahead { inner: current().unwrap(), nanos: AtomicU64::new(0) });
        let clock = ahead.clone();
        root(ahead, async {
            // A scope that has a handle is asked in another way than one that makes do without a node.
            for with_handle in [false, true] {
                let mut scope = CancelScope::new().deadline_in(Duration::from_millis(1));
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
        let ahead = Arc::new(Ahead { inner: current().unwrap(), nanos: AtomicU64::new(0) });
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
        let ahead = Arc::new(Ahead { inner: current().unwrap(), nanos: AtomicU64::new(0) });
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

/// L18: a graceful scope that was asked to stop itself tells so, as long as it holds off what was asked of the scope around it.
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

/// I18, L18: a scope with a request of its own parks if the deadline around it has passed as well, although no timer has fired
/// meanwhile: its cancelled form is not for cancelled code.
#[test]
fn a_cancelled_form_does_not_come_after_the_deadline_around_it() {
    foster_sim::run(1, async {
        let ahead = Arc::new(Ahead { inner: current().unwrap(), nanos: AtomicU64::new(0) });
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
        let ahead = Arc::new(Ahead { inner: current().unwrap(), nanos: AtomicU64::new(0) });
        let clock = ahead.clone();
        root(ahead, async {
            for grace in [None, Some(Duration::ZERO)] {
                let mut scope = CancelScope::new().deadline_in(Duration::from_millis(1));
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

/// L4, L41: a child that somebody else spawns into a local nursery runs at once, though nothing else wakes the nursery.
#[test]
fn a_local_nursery_hears_of_a_child_that_another_task_spawns() {
    foster_sim::run(1, async {
        let Ok(()) = nursery(async |outer: Nursery| {
            let done = Arc::new(Event::new());
            let Ok(()) = local_nursery(async |n: LocalNursery<'static>| {
                let set = done.clone();
                outer.spawn(async move {
                    sleep(Duration::from_millis(1)).await;
                    n.spawn(async move { set.set() });
                });
                done.wait().await;
            })
            .await;
        })
        .await;
    });
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// R6: a sleep that has gone from one task to another wakes the one that polled it last, and holds on to no other waker.
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

/// L12, L15: runnable code gets one poll after the request, and others only as long as it drives a scope that has to end.
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
                    poll_fn::<std::convert::Infallible, _>(|cx| {
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

/// L12: of two requests of one instant the first makes nobody runnable, whichever that is: code that waits is dropped unpolled.
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
                    let around = scope.run(poll_fn::<std::convert::Infallible, _>(|cx| {
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

/// B141, L1, L9: a scope inside a child forgets, when the child is ready, the request that its caller had. (That the hard time does not
/// reach it either is among the behaviours of `starting`.)
#[test]
fn a_request_of_the_caller_is_forgotten_inside_a_child_that_is_ready() {
    foster_sim::run(1, async {
        let out = nursery(async |n: Nursery<StartError>| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let child = n.start(async move |ready| {
                let mut around = CancelScope::new();
                let _handle = around.handle();
                let inside = async {
                    assert!(handle.cancel_within(Duration::from_millis(4), "soon"));
                    assert!(poll_once(stopping()).await.is_some());
                    assert!(ready.notify(()));
                    assert!(poll_once(stopping()).await.is_none());
                };
                around.run(inside).await.expect("nobody cancels it");
            });
            scope.run(graceful(child)).await.expect("ready before the hard time")
        })
        .await;
        assert!(out.is_ok());
    });
}

/// A runtime that keeps its jobs: the test polls them.
struct ByHand {
    inner: Arc<dyn Runtime>,
    jobs: Mutex<Vec<Job>>,
}

impl ByHand {
    fn new() -> Arc<Self> {
        Arc::new(ByHand { inner: current().unwrap(), jobs: Mutex::default() })
    }

    fn only_job(&self) -> Job {
        let mut jobs = std::mem::take(&mut *self.jobs.lock().unwrap());
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }
}

impl Runtime for ByHand {
    fn name(&self) -> &'static str {
        "by hand"
    }

    fn spawn(&self, job: Job) {
        self.jobs.lock().unwrap().push(job);
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.inner.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.inner.blocking(work)
    }
}

/// R10: the job that guards a root which is polled elsewhere ends with the tree, and is woken for that.
#[test]
fn the_sentinel_of_a_tree_is_woken_at_its_end() {
    foster_sim::run(1, async {
        let by_hand = ByHand::new();
        let mut root = pin!(root(by_hand.clone(), yield_now()));
        assert!(poll_once(root.as_mut()).await.is_none());
        let mut sentinel = by_hand.only_job();
        let woken = Arc::new(Wakes::default());
        let waker = Waker::from(woken.clone());
        assert!(Pin::new(&mut sentinel).poll(&mut Context::from_waker(&waker)).is_pending());
        root.await;
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(poll_once(&mut sentinel).await.is_some());
    });
}

/// L30: a root that is polled elsewhere is told when its runtime is gone.
#[test]
fn a_root_that_waits_is_told_that_its_runtime_is_gone() {
    foster_sim::run(1, async {
        let by_hand = ByHand::new();
        let mut root = pin!(root(by_hand.clone(), sleep_forever()));
        let woken = Arc::new(Wakes::default());
        let waker = Waker::from(woken.clone());
        assert!(root.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(by_hand.only_job());
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        let said = catch_unwind(AssertUnwindSafe(|| root.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()));
        assert!(said.is_err(), "it tells that the runtime was torn down");
    });
}

/// L30: a root that waits, and has a request of its own already, is woken when its runtime is gone.
#[test]
fn a_root_that_has_panicked_is_woken_when_its_runtime_is_gone() {
    foster_sim::run(1, async {
        let by_hand = ByHand::new();
        let mut root = pin!(root(by_hand.clone(), async {
            let mut lost = Box::pin(CancelScope::new().run(async {
                defer(std::future::pending::<()>());
                sleep_forever().await
            }));
            assert!(poll_once(&mut lost).await.is_none());
            drop(lost);
            panic!("on purpose");
        }));
        let woken = Arc::new(Wakes::default());
        let waker = Waker::from(woken.clone());
        assert!(root.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "it waits for what was lost");
        let before = woken.0.load(Ordering::SeqCst);
        // The sentinel first: it tells the root, and what would have left the root finds that closed.
        let jobs = std::mem::take(&mut *by_hand.jobs.lock().unwrap());
        jobs.into_iter().rev().for_each(drop);
        assert!(woken.0.load(Ordering::SeqCst) > before);
        let said = catch_unwind(AssertUnwindSafe(|| root.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()));
        assert!(said.is_err(), "it tells that the runtime was torn down");
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
            let body = async |_: Lent<()>| {
                let _panics = PanicsOnDrop;
                std::future::pending::<()>().await
            };
            let mut lost = Box::pin(bracket(async {}, body, async move |(), exit| drop(tells.set(exit))));
            assert!(poll_once(&mut lost).await.is_none());
        });
    };
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    assert!(matches!(told.get(), Some(Exit::Panicked)), "{told:?}");
}

/// A runtime on which each operation takes a millisecond.
struct Slow(Ahead);

impl Runtime for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn spawn(&self, job: Job) {
        self.0.spawn(job);
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.0.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.0.blocking(work)
    }

    fn poll_budget(&self, _: &mut Context<'_>) -> Poll<()> {
        self.0.nanos.fetch_add(1_000_000, Ordering::SeqCst);
        Poll::Ready(())
    }
}

/// L14: code that becomes cancelled while it looks at a channel is not told that the channel is closed.
#[test]
fn a_channel_that_is_closed_is_no_news_after_the_deadline() {
    foster_sim::run(1, async {
        let slow = Slow(Ahead { inner: current().unwrap(), nanos: AtomicU64::new(0) });
        root(Arc::new(slow), async {
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

/// A runtime whose budget the test sets.
struct Metered {
    inner: Arc<dyn Runtime>,
    left: AtomicUsize,
}

impl Runtime for Metered {
    fn name(&self) -> &'static str {
        "metered"
    }

    fn spawn(&self, job: Job) {
        self.inner.spawn(job);
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.inner.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.inner.blocking(work)
    }

    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.should_yield() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.left.fetch_sub(1, Ordering::SeqCst);
        Poll::Ready(())
    }

    fn should_yield(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

/// Who was polled, in order.
type Polled = Arc<Mutex<Vec<usize>>>;

/// Each poll takes a unit of the budget, if there is one, and asks for another poll.
fn goes_on(number: usize, polled: &Polled) -> impl Future<Output = ()> + use<> {
    let polled = polled.clone();
    poll_fn(move |cx| {
        polled.lock().unwrap().push(number);
        let _ = foster::leaf::poll_budget(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Polls what `make` makes once with each of these budgets. Returns who was polled each time.
fn polled_with<const N: usize, F: Future>(budgets: [usize; N], make: impl FnOnce(&Polled) -> F) -> [Vec<usize>; N] {
    foster_sim::run(1, async {
        let metered = Arc::new(Metered { inner: current().unwrap(), left: AtomicUsize::new(usize::MAX) });
        let meter = metered.clone();
        root(metered, async {
            let polled = Polled::default();
            let mut future = pin!(make(&polled));
            let mut said = [const { Vec::new() }; N];
            for (budget, said) in budgets.into_iter().zip(&mut said) {
                meter.left.store(budget, Ordering::SeqCst);
                assert!(poll_once(future.as_mut()).await.is_none());
                *said = std::mem::take(&mut *polled.lock().unwrap());
            }
            meter.left.store(usize::MAX, Ordering::SeqCst);
            said
        })
        .await
    })
}

/// L38: who polls many futures stops when the budget is used up. A turn that begins without any polls all of them, lest it be the same
/// one every time.
#[test]
fn a_turn_ends_with_the_budget_unless_it_began_without() {
    let all = |polled: &Polled| [0, 1, 2].map(|number| goes_on(number, polled));
    let group = polled_with([9, 1, 0], |polled| race_all(all(polled)));
    let merged = polled_with([9, 1, 0], |polled| {
        let streams = all(polled).map(|future| {
            let mut future = Box::pin(future);
            futures_lite::stream::poll_fn(move |cx| future.as_mut().poll(cx).map(Some))
        });
        let mut merged = merge(streams);
        async move { merged.next().await }
    });
    let children = polled_with([9, 1, 0], |polled| {
        let children = all(polled);
        local_nursery(async |n: LocalNursery<'static>| children.into_iter().for_each(|child| drop(n.spawn(child))))
    });
    for turns in [group, merged, children] {
        assert_eq!(turns.map(|polled| polled.len()), [3, 1, 3]);
    }
}

/// L38: whichever future of a tuple comes first in a turn with a budget, another one does in the next; turns without any do not count.
#[test]
fn the_first_of_a_tuple_changes_whenever_there_is_a_budget() {
    let turns = polled_with([9, 0, 9, 0], |polled| join((goes_on(0, polled), goes_on(1, polled))));
    assert_ne!(turns[0][0], turns[2][0]);
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
