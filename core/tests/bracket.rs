//! Brackets whose parts are ready at once, and those whose parts wait: what is run, when, and what survives the loss of
//! the future.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::cleanup::BracketExit;
use foster::observer::{HostDropped, Observer};
use foster::sync::Event;
use foster::{CancelScope, Instant, bracket, defer, is_cancelled, move_on_after, shield, sleep, yield_now};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Polls it once; says whether it waits.
async fn waits<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// The events, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    #[track_caller]
    fn is(&self, expected: &[&str]) {
        assert_eq!(*self.0.lock().unwrap(), expected);
    }
}

/// Once with a release that is ready at once, once with one that waits.
fn with_both_releases(run: impl Fn(u64)) {
    [0, 5].into_iter().for_each(run);
}

async fn wait(millis: u64) {
    if millis > 0 {
        sleep(ms(millis)).await;
    }
}

/// L22, L23: the release is the first finalizer of its scope, so it runs last, also after those that a body registers
/// which is ready at once.
#[test]
fn finalizers_of_a_ready_body_run_before_the_release() {
    with_both_releases(|millis| {
        foster_sim::run(1, async {
            let log = Log::default();
            let (first, second, last) = (log.clone(), log.clone(), log.clone());
            let body = async move |_| {
                defer(async move { first.add("older") });
                defer(async move {
                    sleep(ms(3)).await;
                    second.add("newer");
                });
            };
            let release = move |(), exit| async move {
                wait(millis).await;
                last.add(format!("{exit:?}"));
            };
            bracket(async {}, body, release).await;
            log.is(&["newer", "older", "Returned"]);
        });
    });
}

/// L23, L27: what a body lost that is ready at once is waited for before the release.
#[test]
fn what_a_ready_body_lost_ends_before_the_release() {
    with_both_releases(|millis| {
        foster_sim::run(1, async {
            let log = Log::default();
            let (inner, outer) = (log.clone(), log.clone());
            let body = async move |_| {
                let mut lost = Box::pin(bracket(
                    async {},
                    async |_| pending::<()>().await,
                    |(), _| async move {
                        sleep(ms(3)).await;
                        inner.add("inner");
                    },
                ));
                assert!(waits(lost.as_mut()).await);
            };
            let release = move |(), _| async move {
                wait(millis).await;
                outer.add("outer");
            };
            bracket(async {}, body, release).await;
            log.is(&["inner", "outer"]);
        });
    });
}

/// L23, L32: a body that panics in its first poll is released, and the panic comes out after that.
#[test]
fn a_panic_in_the_first_poll_is_released() {
    with_both_releases(|millis| {
        let log = Log::default();
        let (note, start) = (log.clone(), AtomicUsize::new(0));
        let ended = catch_unwind(AssertUnwindSafe(|| {
            foster_sim::run(1, async {
                let body = async |_| -> () { panic!("in the use") };
                let release = move |(), exit| async move {
                    wait(millis).await;
                    note.add(format!("{exit:?}"));
                };
                start.store(1, Ordering::Relaxed);
                bracket(async {}, body, release).await;
                start.store(2, Ordering::Relaxed);
            });
        }));
        assert_eq!(ended.unwrap_err().downcast_ref(), Some(&"in the use"));
        assert_eq!(start.into_inner(), 1);
        log.is(&["Panicked"]);
    });
}

/// L32: a panic of a release comes out, be it at once or later, and whatever the release leaves.
#[test]
fn a_panic_of_the_release_comes_out() {
    for (millis, defers) in [(0, 0), (0, 1), (5, 0), (5, 1)] {
        let ended = catch_unwind(|| {
            foster_sim::run(1, async move {
                let release = move |(), _| async move {
                    (0..defers).for_each(|_| defer(wait(millis)));
                    wait(millis).await;
                    assert!(millis > 100, "in the release");
                };
                bracket(async {}, async |_| 1, release).await
            })
        });
        assert_eq!(ended.unwrap_err().downcast_ref(), Some(&"in the release"));
    }
}

/// L13, L20, L23: cancelled in the poll in which the body returns, the value stands, and the release is not disturbed.
#[test]
fn a_body_that_is_ready_when_it_is_cancelled_is_released() {
    with_both_releases(|millis| {
        foster_sim::run(1, async {
            let log = Log::default();
            let note = log.clone();
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let body = async |_| {
                handle.cancel("enough");
                1
            };
            let release = move |(), exit| async move {
                assert!(!is_cancelled());
                wait(millis).await;
                note.add(format!("{exit:?}"));
            };
            assert_eq!(scope.run(bracket(async {}, body, release)).await.unwrap(), 1);
            log.is(&["Returned"]);
        });
    });
}

/// L21, L26: a release that waits goes on when the future is dropped, though its scope had no node when it began; and
/// the scope around waits for it.
#[test]
fn a_release_that_waits_survives_the_loss_of_the_future() {
    foster_sim::run(1, async {
        let log = Log::default();
        let note = log.clone();
        let start = Instant::now();
        let outer = CancelScope::new().run(async {
            let release = move |(), exit| async move {
                sleep(ms(20)).await;
                note.add(format!("{exit:?}"));
            };
            let mut lost = Box::pin(bracket(async {}, async |_| 1, release));
            assert!(waits(lost.as_mut()).await);
            sleep(ms(5)).await;
            drop(lost);
        });
        outer.await.unwrap();
        assert_eq!(start.elapsed(), ms(20));
        log.is(&["Returned"]);
    });
}

/// L23, L26: what was registered in the one poll of a ready body still runs when the future is lost, and then the
/// release.
#[test]
fn a_ready_body_whose_finalizer_waits_is_released_though_the_future_is_lost() {
    with_both_releases(|millis| {
        foster_sim::run(1, async {
            let log = Log::default();
            let (first, last) = (log.clone(), log.clone());
            let start = Instant::now();
            let outer = CancelScope::new().run(async {
                let body = async move |_| {
                    defer(async move {
                        sleep(ms(20)).await;
                        first.add("finalizer");
                    });
                };
                let release = move |(), exit| async move {
                    wait(millis).await;
                    last.add(format!("{exit:?}"));
                };
                let mut lost = Box::pin(bracket(async {}, body, release));
                assert!(waits(lost.as_mut()).await);
            });
            outer.await.unwrap();
            assert_eq!(start.elapsed(), ms(20 + millis));
            log.is(&["finalizer", "Returned"]);
        });
    });
}

/// L30: in a tree whose host was dropped no release runs any more; it is counted.
#[test]
fn no_release_runs_in_a_dead_tree() {
    /// Uses a bracket in its destructor.
    struct Late(Log);

    impl Drop for Late {
        fn drop(&mut self) {
            let (used, released) = (self.0.clone(), self.0.clone());
            let late = pin!(bracket(
                async {},
                async move |_| used.add("used"),
                move |(), _| async move {
                    released.add("released");
                }
            ));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(late.poll(&mut cx).is_pending());
        }
    }

    /// An observer that notes how many finalizers were cut off.
    struct Report(Log);

    impl Observer for Report {
        fn host_dropped(&self, report: &HostDropped) {
            self.0.add(format!("{} finalizers", report.finalizers));
        }
    }

    foster_sim::run(1, async {
        let log = Log::default();
        let late = Late(log.clone());
        let runtime = foster::runtime::current().unwrap();
        let host = foster::runtime::root(runtime, async move {
            let _late = late;
            pending::<()>().await;
        });
        let mut host = Box::pin(host.observe(Arc::new(Report(log.clone()))));
        assert!(waits(host.as_mut()).await);
        drop(host);
        log.is(&["used", "1 finalizers"]);
    });
}

/// L20, L22: … it is shielded while it waits, and the value stands.
#[test]
fn a_release_that_waits_is_shielded() {
    foster_sim::run(1, async {
        let start = Instant::now();
        let out = move_on_after(ms(5), bracket(async {}, async |_| 1, |(), _| sleep(ms(20)))).await;
        assert_eq!((out, start.elapsed()), (Some(1), ms(20)));
    });
}

/// L16, L19: … also if it is polled only when it is woken: it is told of the cancellation, and not passed over.
#[test]
fn a_release_that_waits_is_not_undriven_in_a_lazy_combinator() {
    /// Polls what is inside only if that was woken.
    struct Lazy<F>(Pin<Box<F>>, Arc<Woken>);

    #[derive(Default)]
    struct Woken(AtomicBool, Mutex<Option<Waker>>);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
            let outer = self.1.lock().unwrap().clone();
            outer.into_iter().for_each(Waker::wake);
        }
    }

    impl<F: Future> Future for Lazy<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            let Lazy(inside, woken) = &mut *self;
            let first = woken.1.lock().unwrap().replace(cx.waker().clone()).is_none();
            if first || woken.0.swap(false, Ordering::Relaxed) {
                return inside.as_mut().poll(&mut Context::from_waker(&woken.clone().into()));
            }
            Poll::Pending
        }
    }

    /// Notes when it is dropped.
    struct Permit(Log);

    impl Drop for Permit {
        fn drop(&mut self) {
            self.0.add("permit");
        }
    }

    foster_sim::run(1, async {
        let log = Log::default();
        let (permit, note) = (Permit(log.clone()), log.clone());
        let out = move_on_after(ms(5), async {
            let _permit = permit;
            let release = move |(), _| async move {
                sleep(ms(20)).await;
                note.add("released");
            };
            Lazy(Box::pin(bracket(async {}, async |_| (), release)), Arc::default()).await;
            sleep(ms(100)).await;
        });
        assert_eq!(out.await, None);
        log.is(&["released", "permit"]);
    });
}

/// L22: … within its budget, which counts from its own start, whatever the use took.
#[test]
fn a_release_has_its_budget_from_its_start() {
    for used in [0, 7] {
        foster_sim::run(1, async {
            let start = Instant::now();
            bracket(async {}, async |_| wait(used).await, |(), _| sleep(ms(1000))).budget(ms(10)).await;
            assert_eq!(start.elapsed(), ms(used + 10));
            // Nothing but checkpoints stops it.
            bracket(async {}, async |_| wait(used).await, |(), _| shield(sleep(ms(30)))).budget(ms(10)).await;
            assert_eq!(start.elapsed(), ms(2 * used + 40));
        });
    }
}

/// A release that waits is polled when it is woken, and not before: what gives way does.
#[test]
fn a_release_that_waits_is_not_polled_again_at_once() {
    foster_sim::run(1, async {
        let (polls, event) = (Arc::new(AtomicUsize::new(0)), Arc::new(Event::new()));
        let (count, signal) = (polls.clone(), event.clone());
        let release = move |(), _| async move {
            let mut signalled = pin!(signal.wait());
            poll_fn(|cx| {
                count.fetch_add(1, Ordering::Relaxed);
                signalled.as_mut().poll(cx)
            })
            .await;
        };
        let mut used = pin!(bracket(async {}, async |_| (), release));
        assert!(waits(used.as_mut()).await);
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        event.set();
        used.await;
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    });
}

/// A guard that is the body's value keeps the resource: nothing is released.
#[test]
fn a_guard_that_is_moved_out_of_a_ready_body_keeps_the_resource() {
    for yields in [false, true] {
        foster_sim::run(1, async {
            let released = Arc::new(AtomicUsize::new(0));
            let count = released.clone();
            let body = async |guard| {
                if yields {
                    yield_now().await;
                }
                guard
            };
            let guard = bracket(async { 7 }, body, move |_, _| async move { count.store(1, Ordering::Relaxed) });
            assert_eq!(*guard.await, 7);
            assert_eq!(released.load(Ordering::Relaxed), 0);
        });
    }
}

/// L5: what a release defers belongs to the release: it has run when the bracket returns.
#[test]
fn a_finalizer_of_a_release_has_run_when_the_bracket_returns() {
    with_both_releases(|millis| {
        foster_sim::run(1, async {
            let log = Log::default();
            let (note, end) = (log.clone(), log.clone());
            let release = move |(), _: BracketExit| async move {
                defer(async move {
                    sleep(ms(1)).await;
                    note.add("deferred");
                });
                wait(millis).await;
                end.add("release");
            };
            bracket(async {}, async |_| (), release).await;
            log.is(&["release", "deferred"]);
        });
    });
}

/// L23: an acquisition that is cut between its awaits has no release, and nothing is used; one that is shielded goes
/// on, and is released.
#[test]
fn an_acquisition_that_is_cut_has_no_release() {
    foster_sim::run(1, async {
        let log = Log::default();
        let acquire = || async {
            log.add("opens");
            sleep(ms(10)).await;
            log.add("is open");
        };
        let release = || {
            let log = log.clone();
            move |(), _: BracketExit| async move { log.add("release") }
        };
        let cut = bracket(acquire(), async |_| log.add("use"), release());
        assert!(move_on_after(ms(5), cut).await.is_none());
        log.is(&["opens"]);
        let shielded = bracket(shield(acquire()), async |_| sleep(ms(1)).await, release());
        assert!(move_on_after(ms(5), shielded).await.is_none());
        log.is(&["opens", "opens", "is open", "release"]);
    });
}

/// Outside of any tree nothing is used that could not be released.
#[test]
fn a_bracket_outside_of_any_tree_is_not_used() {
    let used = Cell::new(false);
    let mut outside = Box::pin(bracket(async {}, async |_| used.set(true), |(), _| async {}));
    let mut cx = Context::from_waker(Waker::noop());
    let ended = catch_unwind(AssertUnwindSafe(|| outside.as_mut().poll(&mut cx)));
    assert!(ended.unwrap_err().downcast_ref::<String>().unwrap().contains("bracket"));
    drop(outside);
    assert!(!used.get());
}
