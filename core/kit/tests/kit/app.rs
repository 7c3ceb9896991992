//! The graceful root, in virtual time, with signals that are injected.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foster::app::{ExitCause, ExitReport, Signal, Straggler, app};
use foster::channel::unbounded;
use foster::cleanup::defer_within;
use foster::future::Sleep;
use foster::{
    Instant, Nursery, bracket, checkpoint, defer, graceful, move_on_after, nursery, shield, sleep, sleep_forever,
    sleep_until, stopping, to_thread,
};
use futures_core::Stream;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The events, and when they happened.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(u64, &'static str)>>>);

impl Log {
    fn add(&self, entry: &'static str) {
        self.0.lock().unwrap().push((Instant::now().as_nanos() / 1_000_000_000, entry));
    }

    fn entries(&self) -> Vec<(u64, &'static str)> {
        self.0.lock().unwrap().clone()
    }
}

/// Signals at these seconds.
fn at<const N: usize>(times: [u64; N]) -> impl Stream<Item = Signal> {
    at_each(&times)
}

fn at_each(times: &[u64]) -> impl Stream<Item = Signal> + use<> {
    let (sender, receiver) = unbounded();
    for at in times {
        sender.try_send(*at).unwrap();
    }
    drop(sender);
    Timed { receiver, sleep: None }
}

struct Timed {
    receiver: foster::channel::Receiver<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stream for Timed {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        if self.sleep.is_none() {
            match self.receiver.try_recv() {
                Ok(second) => self.sleep = Some(Box::pin(sleep_until(Instant::from_nanos(second * 1_000_000_000)))),
                Err(_) => return Poll::Ready(None),
            }
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
        }
        self.sleep = None;
        Poll::Ready(Some(Signal::TERMINATE))
    }
}

/// A server: an accept loop, one request in flight that needs `request` seconds to finish, a connection in a bracket.
async fn server(log: Log, request: u64) {
    let _served = bracket(
        async { "connection" },
        async |_connection| {
            let Ok(()) = nursery(async |n: Nursery| {
                let log = log.clone();
                n.spawn(graceful(async move {
                    stopping().await;
                    log.add("stopping");
                    sleep(secs(request)).await;
                    log.add("request finished");
                }));
                loop {
                    sleep(secs(1000)).await;
                    n.spawn(async {});
                }
            })
            .await;
        },
        {
            let log = log.clone();
            move |_, _| async move {
                sleep(secs(1)).await;
                log.add("released");
            }
        },
    )
    .await;
}

fn run<F: Future>(program: F) -> F::Output {
    foster_sim::run(1, program)
}

/// L6, L9, L20: a first signal: what is not graceful stops at once, what is in flight is finished, brackets are
/// released.
#[test]
fn a_signal_stops_the_app_and_lets_graceful_work_finish() {
    run(async {
        let log = Log::default();
        let ended = app(at([3]), server(log.clone(), 4)).grace(secs(10)).await;
        assert_eq!(ended.cause(), &ExitCause::Stopped(Signal::TERMINATE));
        assert_eq!((ended.code(), ended.value()), (0, None));
        assert_eq!(log.entries(), [(3, "stopping"), (7, "request finished"), (8, "released")]);
        assert!(ended.stragglers().is_empty());
    });
}

/// L9, L20: at the end of the grace graceful work is cut off; the release runs all the same.
#[test]
fn the_end_of_the_grace_cuts_graceful_work_off() {
    run(async {
        let log = Log::default();
        let ended = app(at([3]), server(log.clone(), 100)).grace(secs(10)).patience(secs(5)).await;
        assert_eq!(ended.cause(), &ExitCause::CutOff(Signal::TERMINATE));
        assert_eq!(ended.code(), 124);
        assert_eq!(log.entries(), [(3, "stopping"), (14, "released")]);
        assert!(ended.stragglers().is_empty());
    });
}

/// Without a grace what is graceful is cut off at once, and the report says so; a program that has nothing graceful, or
/// only where it cannot be cut off, has stopped as it was asked to.
#[test]
fn without_a_grace_only_graceful_work_is_cut_off() {
    async fn forever() {
        match sleep_forever().await {}
    }

    async fn children<F: Future<Output = ()> + Send + 'static>(child: impl Fn() -> F) {
        let Ok(()) = nursery(async |n: Nursery| {
            for _ in 0..4 {
                n.spawn(child());
            }
            Ok(())
        })
        .await;
    }

    let ends = |code: u8, body: fn() -> Pin<Box<dyn Future<Output = ()>>>| {
        for seed in 0..20 {
            foster_sim::run(seed, async {
                let ended = app(at([3]), body()).grace(Duration::ZERO).await;
                assert_eq!(Instant::now().as_nanos() / 1_000_000_000, 3);
                assert!(ended.stragglers().is_empty());
                let signal = Signal::TERMINATE;
                let cause = if code == 0 { ExitCause::Stopped(signal) } else { ExitCause::CutOff(signal) };
                assert_eq!((ended.cause(), ended.code()), (&cause, code));
            });
        }
    };
    ends(0, || Box::pin(forever()));
    ends(0, || Box::pin(children(forever)));
    ends(0, || Box::pin(shield(graceful(sleep(Duration::from_millis(3500))))));
    ends(124, || Box::pin(graceful(forever())));
    ends(124, || Box::pin(children(|| graceful(forever()))));
    ends(124, || Box::pin(graceful(children(forever))));
}

/// L22: what a stop does not cut counts as well if it goes on beyond the grace, though there was no graceful work; without
/// a grace it does not.
#[test]
fn a_finalizer_that_goes_on_beyond_the_grace_is_told_by_the_cause() {
    let ends = |signals: &'static [u64], grace: u64, cause: ExitCause| {
        run(async move {
            let log = Log::default();
            let end = log.clone();
            let ended = app(at_each(signals), async move {
                defer_within(secs(9), async move {
                    sleep(secs(4)).await;
                    end.add("finalized");
                });
                sleep_forever().await
            });
            let ended = ended.grace(secs(grace)).patience(secs(60)).await;
            assert_eq!(ended.cause(), &cause, "signals at {signals:?}, and a grace of {grace} s");
            assert_eq!(log.entries(), [(7, "finalized")]);
        });
    };
    ends(&[3], 5, ExitCause::Stopped(Signal::TERMINATE));
    ends(&[3], 2, ExitCause::CutOff(Signal::TERMINATE));
    ends(&[3], 0, ExitCause::Stopped(Signal::TERMINATE));
    ends(&[3, 5], 50, ExitCause::Forced(Signal::TERMINATE));
}

/// L6: a second signal cuts it off at once; a third changes nothing.
#[test]
fn a_second_signal_cuts_graceful_work_off_at_once() {
    run(async {
        let log = Log::default();
        let ended = app(at([3, 5, 5]), server(log.clone(), 100)).grace(secs(50)).patience(secs(5)).await;
        assert_eq!(ended.cause(), &ExitCause::Forced(Signal::TERMINATE));
        assert_eq!(ended.code(), 143);
        assert_eq!(log.entries(), [(3, "stopping"), (6, "released")]);
    });
}

/// L12: a body that ends by itself ends the app, with its value; one that is asked and returns all the same has
/// completed.
#[test]
fn a_body_that_ends_by_itself_ends_the_app() {
    run(async {
        let ended = app(at([]), async {
            sleep(secs(2)).await;
            7
        })
        .await;
        assert_eq!((ended.cause(), ended.value(), ended.code()), (&ExitCause::Finished, Some(&7), 0));
        let start = Instant::now();
        let asked = app(
            Signal::after(secs(1), Signal::INTERRUPT),
            graceful(async {
                stopping().await;
                8
            }),
        );
        let asked = asked.await;
        assert_eq!((asked.cause(), asked.value()), (&ExitCause::Stopped(Signal::INTERRUPT), Some(&8)));
        assert_eq!(start.elapsed(), secs(1));
    });
}

/// L22: finalizers run within their budgets, however often the app is asked to stop.
#[test]
fn finalizers_keep_their_budgets() {
    run(async {
        let log = Log::default();
        let (first, second) = (log.clone(), log.clone());
        let ended = app(at([1, 2, 3]), async {
            defer_within(secs(4), async move {
                sleep(secs(100)).await;
                first.add("over budget, never");
            });
            defer(async move {
                sleep(secs(3)).await;
                second.add("within budget");
            });
            sleep_forever().await
        });
        let ended = ended.patience(secs(60)).await;
        assert_eq!(ended.cause(), &ExitCause::Forced(Signal::TERMINATE));
        assert_eq!(log.entries(), [(4, "within budget")]);
        assert_eq!(Instant::now(), Instant::from_nanos(8_000_000_000));
    });
}

static REPORTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// B280, B283: what refuses to stop is listed: the innermost scopes, by name and place, with their tasks.
#[test]
fn what_refuses_to_stop_is_listed_by_name_and_site() {
    let report: fn(&[Straggler]) = |late| REPORTED.lock().unwrap().extend(late.iter().map(Straggler::to_string));
    run(async {
        let body = async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.child().named("well-behaved").spawn(sleep_forever());
                n.child().named("billing").spawn(shield(sleep(secs(30))));
                n.child()
                    .named("hashing")
                    .spawn(to_thread(|| foster::thread::block_on(foster::sync::Event::new().wait())).named("digest"));
            })
            .await;
        };
        // The thread waits for ever, so the whole cannot end: it is looked at, not waited for.
        let stuck = async { app(at([2]), body).grace(secs(3)).patience(secs(1)).on_stragglers(report).await };
        let root = foster::runtime::root(foster::runtime::current().unwrap(), stuck);
        let mut root = Box::pin(root);
        let seen = move_on_after(secs(20), std::future::poll_fn(move |cx| root.as_mut().poll(cx))).await;
        assert!(seen.is_none());
    });
    let reported = REPORTED.lock().unwrap().clone();
    assert_eq!(reported.len(), 2, "{reported:#?}");
    assert!(reported.iter().any(|line| line.starts_with("shield `shield` (") && line.contains("in task `billing` (")));
    assert!(reported.iter().any(|line| line.starts_with("thread `digest` (") && line.contains("in task `hashing` (")));
    assert!(reported.iter().all(|line| line.contains("core/kit/tests/kit/app.rs:")), "{reported:#?}");
}

/// A stream of signals that is always ready does not keep the body from ending.
#[test]
fn signals_without_end_are_asked_for_twice() {
    run(async {
        let log = Log::default();
        let mut polls = 0;
        let signals = futures_lite::stream::poll_fn(|_| {
            polls += 1;
            assert!(polls < 1_000, "nobody else has a turn");
            Poll::Ready(Some(Signal::TERMINATE))
        });
        let body = async {
            let end = log.clone();
            defer(async move {
                sleep(secs(1)).await;
                end.add("ends");
            });
            sleep_forever().await;
        };
        let ended = app(signals, body).await;
        assert_eq!(ended.cause(), &ExitCause::Forced(Signal::TERMINATE));
        assert_eq!(polls, 2);
    });
}

/// L35: an error of the body is the app's, and decides the exit code; a panic resumes.
#[test]
fn an_error_of_the_body_decides() {
    use std::process::{ExitCode, Termination};

    run(async {
        let failed: ExitReport<Result<(), &str>> = app(at([]), async {
            checkpoint().await;
            Err("no port")
        })
        .await;
        assert_eq!(failed.value(), Some(&Err("no port")));
        assert_eq!(format!("{:?}", failed.report()), format!("{:?}", ExitCode::FAILURE));
        let fine: ExitReport<Result<(), &str>> = app(at([]), async { Ok(()) }).await;
        assert_eq!(format!("{:?}", fine.report()), format!("{:?}", ExitCode::SUCCESS));
    });
    let crash = || std::panic::panic_any("in the body");
    let panicked = std::panic::catch_unwind(|| run(async { app(at([]), async { crash() }).await.code() }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"in the body"));
}

/// L16, L25-L27: an app that is dropped at any point: what it has begun is cleaned up, and waited for.
#[test]
fn an_app_may_be_dropped_anywhere() {
    for polls in 0..12 {
        run(async {
            let log = Log::default();
            let mut left = polls;
            let out = foster::CancelScope::new().run(async {
                let mut app = Box::pin(app(at([1, 3]), server(log.clone(), 100)).grace(secs(50)));
                std::future::poll_fn(|cx| {
                    if left == 0 {
                        return Poll::Ready(());
                    }
                    left -= 1;
                    app.as_mut().poll(cx).map(drop)
                })
                .await;
            });
            assert!(out.await.is_ok());
            let released = log.entries().iter().filter(|(_, what)| *what == "released").count();
            assert_eq!(released, usize::from(polls > 0), "after {polls} polls: {:?}", log.entries());
        });
    }
}
