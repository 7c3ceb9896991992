//! Scopes that escape: what was begun in one scope is polled by another task while the scope around it ends (L28).

use std::future::{Ready, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use super::{Boxed, Count, Threads, begun, check, ended, tree};
use crate::reason::Origin;
use crate::runtime::root;
use crate::sync::Event;
use crate::thread::job_future::enter_job_scope;
use crate::tree::current;
use crate::tree::node::Life;
use crate::tree::scope_future::{Plain, ScopeFuture};
use crate::{CancelScope, Nursery, defer, nursery, sleep_forever, yield_now};

/// A future, or what its panic says.
async fn caught<T>(mut future: Boxed<T>) -> Result<T, String> {
    poll_fn(|cx| {
        let poll = || future.as_mut().poll(cx);
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => {
                let text = payload.downcast_ref::<String>().cloned();
                Poll::Ready(Err(text.unwrap_or_else(|| "another panic".to_owned())))
            }
        }
    })
    .await
}

fn assert_tells(text: &str) {
    assert!(text.contains("was polled after the body of the scope around it was over"), "{text}");
}

/// `scope` is begun in a scope, which ends while another thread polls it `polls` times. At the end of the tree, when
/// perhaps not all threads have ended, `over` is called.
fn escapes<T: 'static>(polls: usize, scope: impl FnOnce() -> Boxed<T> + Send + 'static, over: impl FnOnce()) {
    let threads = Threads::new();
    let poller = block_on(root(threads.clone(), async move {
        nursery(async |n: Nursery| {
            let around = CancelScope::new().run(nursery(async |around: Nursery| {
                let Ok(mut inside) = begun(scope()) else { return Ok(None) };
                // A neighbour, so that the scope around is not closed before the other has left.
                around.spawn(yield_now());
                let poller = thread::spawn(move || {
                    for _ in 0..polls {
                        let poll = || inside.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        match catch_unwind(AssertUnwindSafe(poll)) {
                            Ok(Poll::Pending) => {}
                            Ok(Poll::Ready(_)) => return,
                            Err(payload) => return assert_tells(payload.downcast_ref::<String>().unwrap()),
                        }
                    }
                });
                Ok(Some(poller))
            }));
            n.spawn(yield_now());
            around.await.unwrap()
        })
        .await
    }));
    over();
    if let Some(poller) = poller.unwrap() {
        poller.join().unwrap();
    }
    ended(&threads);
}

/// L28: a scope that has escaped to another task is being polled there when the scope around it ends: it is finished
/// once, leaves once, and whoever polls it is told.
///
/// Fails if `Children::remove`, or `Children::change_role`, does not look whose slot it is, as they did not.
#[test]
fn a_poll_races_with_the_end_of_the_scope_around() {
    check(|| escapes(1, || Box::pin(CancelScope::new().run(yield_now())), || {}));
}

/// L28, L22: as above, with finalizers, which both of them would run: each runs once, to its end, before the tree is
/// over. Nobody spins while the other polls one.
///
/// Fails if `Driver::is_replaced` says `false`, and without the look at `polls_finalizer` in `drain`.
#[test]
fn a_finalizer_is_driven_by_one_at_a_time() {
    check(|| {
        let runs = Count::default();
        let run = runs.clone();
        let inside = move || -> Boxed<_> {
            Box::pin(CancelScope::new().run(async move {
                for _ in 0..2 {
                    let run = run.clone();
                    defer(async move {
                        yield_now().await;
                        run.add();
                    });
                }
                yield_now().await;
            }))
        };
        escapes(4, inside, || assert_eq!(runs.get(), 2));
    });
}

/// L28, L22: as above, with finalizers that the body registers while its scope is being finished: they run, if the
/// scope was not Closed.
///
/// Fails if `abandon::abandon` looks what is left, and closes the scope under another lock.
#[test]
fn a_finalizer_races_with_the_end_of_its_escaped_scope() {
    check(|| {
        let (runs, admitted) = (Count::default(), Count::default());
        let (run, admit) = (runs.clone(), admitted.clone());
        let inside = move || -> Boxed<_> {
            Box::pin(CancelScope::new().run(async move {
                yield_now().await;
                for _ in 0..8 {
                    let run = run.clone();
                    defer(async move { run.add() });
                    if current::scope_for("the test").life() != Life::Closed {
                        admit.add();
                    }
                }
            }))
        };
        escapes(2, inside, || assert!(runs.get() >= admitted.get(), "a finalizer was lost"));
    });
}

/// L28, L21: as above, with a body that the core owns: it goes on, and is waited for.
///
/// Fails without the look at `polls_finalizer` in `drain`.
#[test]
fn an_owned_body_is_driven_by_one_at_a_time() {
    check(|| {
        let ended = Count::default();
        let end = ended.clone();
        let inside = move || -> Boxed<_> {
            Box::pin(async move {
                let body = async move {
                    yield_now().await;
                    yield_now().await;
                    end.add();
                };
                let node = enter_job_scope(Origin::new("job", Location::caller()), Box::pin(body));
                ScopeFuture::<Ready<()>, _, _, _>::draining(node, (), Plain).await;
            })
        };
        escapes(4, inside, || assert_eq!(ended.get(), 1));
    });
}

/// L28: a task that waits for a scope that has escaped is told when the scope around it ends, also if the scope had
/// been cancelled before, so that no request wakes the task.
///
/// Fails if `abandon::leaked` drops the waker.
#[test]
fn who_waits_for_an_escaped_scope_is_told() {
    check(|| {
        let told = Count::default();
        let tell = told.clone();
        tree(async move {
            nursery(async |n: Nursery| {
                let around = async move {
                    let event = Arc::new(Event::new());
                    let waited = event.clone();
                    let mut scope = CancelScope::new();
                    scope.handle().cancel("before");
                    let inside: Boxed<_> = Box::pin(scope.run(async move {
                        defer(async move { waited.wait().await });
                        sleep_forever().await
                    }));
                    let Ok(inside) = begun(inside) else { unreachable!("it waits") };
                    n.spawn(async move {
                        assert_tells(&caught(inside).await.unwrap_err());
                        tell.add();
                        event.set();
                    });
                    yield_now().await;
                    yield_now().await;
                };
                CancelScope::new().run(around).await.unwrap();
                Ok(())
            })
            .await
            .unwrap();
        });
        assert_eq!(told.get(), 1);
    });
}

/// L25, L27, L28: what the code of an escaped scope opens, in a poll during which the scopes around it end, is waited for
/// by the nearest scope that has not ended.
///
/// Fails if a scope gives up its place at its end although one inside it has escaped.
#[test]
fn what_escaped_code_opens_is_waited_for() {
    check(|| {
        let (runs, opened) = (Count::default(), Count::default());
        let (run, open) = (runs.clone(), opened.clone());
        let threads = Threads::new();
        let poller = block_on(root(threads.clone(), async move {
            let escapes = async move {
                yield_now().await;
                for _ in 0..3 {
                    let (run, open) = (run.clone(), open.clone());
                    let inner = CancelScope::new().run(async move {
                        defer(async move {
                            yield_now().await;
                            run.add();
                        });
                        // Or it was found with the scope around, and finished before this.
                        if current::scope_for("the test").life() != Life::Closed {
                            open.add();
                        }
                        sleep_forever().await
                    });
                    let Ok(inner) = begun(Box::pin(inner) as Boxed<_>) else { unreachable!("it waits") };
                    drop(inner);
                }
            };
            let ended = Arc::new(Event::new());
            let end = ended.clone();
            nursery(async |n: Nursery| {
                n.spawn(async move { ended.wait().await });
                let around = CancelScope::new().run(CancelScope::new().run(async {
                    let escapes: Boxed<_> = Box::pin(CancelScope::new().run(escapes));
                    let Ok(mut escapes) = begun(escapes) else { unreachable!("it gives way") };
                    thread::spawn(move || {
                        let poll = || escapes.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        if let Err(payload) = catch_unwind(AssertUnwindSafe(poll)) {
                            assert_tells(payload.downcast_ref::<String>().unwrap());
                        }
                        drop(escapes);
                        end.set();
                    })
                }));
                Ok(around.await.unwrap().unwrap())
            })
            .await
        }));
        assert!(runs.get() >= opened.get(), "a finalizer was lost");
        poller.unwrap().join().unwrap();
        ended(&threads);
    });
}
