//! Requests, adoption, spawning, waking and completion, each against what may happen at the same moment.
//!
//! The file is long as it has one model for each pair of these; none of them needs another one.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

use super::{Boxed, Count, Threads, begun, check, ended, tree};
use crate::error::JoinError;
use crate::nursery::TaskStatus;
use crate::runtime::root;
use crate::sync::Event;
use crate::{CancelScope, Nursery, defer, nursery, shield, sleep_forever, yield_now};

/// L6, L17: a request changes something until the scope is closed, and nothing afterwards; and a scope whose request
/// changed nothing has its value.
///
/// Fails without `if state.life == Life::Closed { return false; }` in `NodeRef::mark`.
#[test]
fn a_request_races_with_the_close() {
    check(|| {
        tree(async {
            let returned = Count::default();
            nursery(async |n: Nursery| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let seen = returned.clone();
                let canceller = n.spawn(async move {
                    let before = seen.get();
                    Ok((before, handle.cancel("race"), handle.is_closed()))
                });
                let inside = nursery(async |m: Nursery| {
                    m.spawn(yield_now());
                    Ok(())
                });
                let outcome = scope.run(inside).await;
                returned.add();
                let (before, changed, closed) = canceller.await.unwrap();
                assert!(changed || closed, "a request is refused by a scope that has ended");
                assert!(changed || outcome.is_ok(), "cancelled without a request");
                assert!(!(changed && before > 0), "a request was taken by a scope that had returned");
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}

/// L9, Invariant 2: a scope or a child that comes while a request goes down is marked by it, or starts with its mark.
///
/// Fails without `comes_late` in `NodeRef::inherit`.
#[test]
fn a_request_races_with_those_who_come() {
    check(|| {
        tree(async {
            nursery(async |n: Nursery| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                n.spawn(async move {
                    handle.cancel("race");
                });
                let inside = async {
                    nursery(async |m: Nursery| {
                        m.spawn(async { drop(CancelScope::new().run(sleep_forever()).await) });
                        Ok(())
                    })
                    .await
                };
                assert!(scope.run(inside).await.is_err());
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}

/// L25–L28: a scope that is dropped on another thread while the scope around it ends is finished before the tree is, by
/// whichever ancestor adopts it: its child is dropped and its finalizer has run.
///
/// Fails if `NodeRef::end_body` leaves the inner scopes as they are, as it did (`children.of(Role::Inner)` for
/// `children.orphan_inner()`).
#[test]
fn adoption_races_with_the_close() {
    check(|| {
        let (dropped, finalized) = (Count::default(), Count::default());
        let (child, own, last) = (dropped.on_drop(), dropped.on_drop(), finalized.clone());
        let threads = Threads::new();
        let dropper = block_on(root(threads.clone(), async move {
            let around = CancelScope::new().run(async move {
                let inside: Boxed<_> = Box::pin(nursery(async move |m: Nursery| {
                    defer(async move {
                        yield_now().await;
                        last.add();
                    });
                    m.spawn(async move {
                        let _child = child;
                        sleep_forever().await
                    });
                    let _own = own;
                    sleep_forever().await;
                    Ok(())
                }));
                let Ok(inside) = begun(inside) else { unreachable!("it waits") };
                thread::spawn(move || drop(inside))
            });
            around.await.unwrap()
        }));
        assert_eq!(finalized.get(), 1, "the tree has ended before the finalizer");
        dropper.join().unwrap();
        assert_eq!(dropped.get(), 2);
        ended(&threads);
    });
}

/// L4, L22: a child that was admitted has ended when the nursery returns; one that was not has never run.
///
/// Fails if `State::admits` says `true` for `Closed`.
#[test]
fn a_spawn_races_with_the_drain() {
    check(|| {
        tree(async {
            nursery(async |outer: Nursery| {
                let ran = Count::default();
                let run = ran.clone();
                let spawner = nursery(async |inner: Nursery| {
                    let handle = inner.clone();
                    let spawner = outer.spawn(async move {
                        let late = async move {
                            yield_now().await;
                            run.add();
                        };
                        Ok(handle.try_spawn(late).is_ok())
                    });
                    inner.spawn(yield_now());
                    Ok(spawner)
                })
                .await
                .unwrap();
                let ran_by_the_end = ran.get();
                let admitted = spawner.await.unwrap();
                assert_eq!(ran_by_the_end, usize::from(admitted));
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}

/// L12: the driver of a scope is woken by a request, also by one that comes while it is about to wait.
///
/// Fails if `NodeRef::mark` sets `CANCELLED` after it has taken the waker.
#[test]
fn a_wake_races_with_the_driver_that_registers() {
    check(|| {
        tree(async {
            nursery(async |n: Nursery| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                n.spawn(async move { assert!(handle.cancel("race")) });
                assert!(scope.run(sleep_forever()).await.is_err());
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}

/// L6, L11: a request that comes while a child is polled for the first times reaches it.
///
/// Fails if `DriverWakes::push` takes the waker, before all scopes of the request are marked.
#[test]
fn a_request_races_with_the_first_polls_of_a_child() {
    check(|| {
        tree(async {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let other = thread::spawn(move || handle.cancel("now"));
            let outcome = scope.run(nursery(async |n: Nursery| {
                n.spawn(async { match sleep_forever().await {} });
                Ok(())
            }));
            assert!(outcome.await.is_err());
            other.join().unwrap();
        });
    });
}

/// L16.1: what a shield in a cancelled scope waits for wakes the scope's driver, past wakers that lead nowhere, also if
/// the request comes meanwhile.
///
/// Fails if `Node::end_call` returns no parent.
#[test]
fn a_wake_below_a_shield_races_with_the_request() {
    check(|| {
        tree(async {
            nursery(async |n: Nursery| {
                let event = Arc::new(Event::new());
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let setter = event.clone();
                n.spawn(async move {
                    assert!(handle.cancel("race"));
                    setter.set();
                });
                let through = Count::default();
                let outcome = scope
                    .run(async {
                        let mut shielded = Box::pin(shield(async {
                            event.wait().await;
                            through.add();
                        }));
                        poll_fn(|_| shielded.as_mut().poll(&mut Context::from_waker(Waker::noop()))).await;
                        sleep_forever().await
                    })
                    .await;
                assert!(outcome.is_err());
                assert_eq!(through.get(), 1, "the scope does not stop before its shield has ended");
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}

/// L16.2: a cancelled scope that is polled while a shield in it is being woken does not take that for passed over: its
/// driver does not know of the wake-up yet.
///
/// Fails if `Node::is_due` does not look at `calls`.
#[test]
fn a_wake_below_a_shield_races_with_polls_of_the_scope_around() {
    check(|| {
        tree(async {
            let event = Arc::new(Event::new());
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let (through, mut setter) = (Count::default(), None);
            let outcome = scope
                .run(async {
                    handle.cancel("before the shield");
                    let mut shielded = Box::pin(shield(async {
                        event.wait().await;
                        through.add();
                    }));
                    let member = Arc::new(Member { called: AtomicBool::new(true), around: Mutex::default() });
                    let mut turns = 0..2;
                    poll_fn(|cx| {
                        if member.called.swap(false, Ordering::SeqCst) {
                            *member.around.lock().unwrap() = Some(cx.waker().clone());
                            ready!(shielded.as_mut().poll(&mut Context::from_waker(&Waker::from(member.clone()))));
                            return Poll::Ready(());
                        }
                        let event = event.clone();
                        setter.get_or_insert_with(|| thread::spawn(move || event.set()));
                        if turns.next().is_some() {
                            cx.waker().wake_by_ref();
                        }
                        Poll::Pending
                    })
                    .await;
                    sleep_forever().await
                })
                .await;
            assert!(outcome.is_err());
            assert_eq!(through.get(), 1, "the scope does not stop before its shield has ended");
            setter.map(thread::JoinHandle::join).expect("the shield has waited").unwrap();
        });
    });
}

/// A member of a combinator that polls only those of its members whose wakers were called.
struct Member {
    called: AtomicBool,
    around: Mutex<Option<Waker>>,
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        self.called.store(true, Ordering::SeqCst);
        let around = self.around.lock().unwrap().clone();
        around.into_iter().for_each(Waker::wake);
    }
}

/// L11, L14: children that are asked to stop together see nothing of one another's end, and neither do daemons that are
/// dismissed.
///
/// Fails if `request_together` wakes after each of them.
#[test]
fn siblings_that_are_stopped_together_see_nothing_of_one_another() {
    for daemons in [false, true] {
        check(move || {
            tree(async move {
                let (event, begun, seen) = (Arc::new(Event::new()), Arc::new(Event::new()), Count::default());
                let sees = seen.clone();
                nursery(async |n: Nursery| {
                    let (sets, waits, begins) = (SetsWhenDropped(event.clone()), event.clone(), begun.clone());
                    let first = async move {
                        let _sets = sets;
                        begins.set();
                        sleep_forever().await
                    };
                    let second = async move {
                        waits.wait().await;
                        sees.add();
                    };
                    if daemons {
                        n.spawn_daemon(first);
                        n.spawn_daemon(second);
                    } else {
                        n.spawn(first);
                        n.spawn(second);
                        begun.wait().await;
                        n.cancel_children("together");
                    }
                    Ok(())
                })
                .await
                .unwrap();
                assert_eq!(seen.get(), 0, "one of them was told of the other one's end");
            });
        });
    }
}

/// Sets the event when it is dropped.
struct SetsWhenDropped(Arc<Event>);

impl Drop for SetsWhenDropped {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// L34: a handle resolves once, with what the child has come to; a request that changed nothing came after its end.
///
/// Fails without the second look at `outcome()` in `NodeRef::poll_outcome`.
#[test]
fn a_cancel_races_with_the_completion() {
    check(|| {
        tree(async {
            nursery(async |n: Nursery| {
                let dropped = Count::default();
                let guard = dropped.on_drop();
                let mut child = n.spawn(async move {
                    let _guard = guard;
                    yield_now().await;
                    Ok(7)
                });
                let changed = child.cancel("race");
                let result = (&mut child).await;
                assert_eq!(dropped.get(), 1, "the handle resolves after the child's future is dropped");
                match result {
                    Ok(value) => assert_eq!((value, child.status()), (7, TaskStatus::Finished)),
                    Err(JoinError::Cancelled) => assert!(changed && child.status() == TaskStatus::Cancelled),
                    Err(error) => panic!("{error}"),
                }
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}

/// R3, L16: a future that goes from one driver to another is woken in the new place, by a request and by a child's end.
///
/// Fails with `state.waker.is_some()` for the comparison in `NodeRef::register`, and with `Some(_) => None` for the one
/// in `NodeRef::poll_outcome`.
#[test]
fn a_waker_is_replaced_while_it_is_called() {
    check(|| {
        tree(async {
            nursery(async |n: Nursery| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                let child = n.spawn(async move { Ok(handle.cancel("race")) });
                assert!(twice(scope.run(sleep_forever())).await.is_err());
                assert!(twice(child).await.unwrap());
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}

/// Awaits a future that was polled by somebody else before.
async fn twice<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let mut first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut first) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Poll::Ready(output);
            }
        }
        future.as_mut().poll(cx)
    })
    .await
}

/// L30: a root that is polled elsewhere learns that its runtime was torn down, whatever the tree is doing at that
/// moment.
///
/// Fails if `Root::poll` spawns no sentinel.
#[test]
fn a_teardown_races_with_a_root_that_is_polled_elsewhere() {
    check(|| {
        let threads = Threads::new();
        let host = threads.clone();
        let other = thread::spawn(move || host.tear_down());
        let tree = root(threads.clone(), async {
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn(yield_now());
                sleep_forever().await;
            })
            .await;
        });
        let ended = catch_unwind(AssertUnwindSafe(|| block_on(tree)));
        assert!(ended.is_err(), "nothing in the tree could end");
        other.join().unwrap();
        super::ended(&threads);
    });
}

/// L30: so does one that is polled for no reason at that moment, by another thread than before, and has a request
/// already.
///
/// Fails if `NodeRef::keep_waker` does not wake the driver of a scope that is Closed.
#[test]
fn a_teardown_races_with_a_root_that_has_moved() {
    check(|| {
        let threads = Threads::new();
        let mut tree: Boxed<()> = Box::pin(root(threads.clone(), async {
            let lost = begun(Box::pin(async {
                drop(CancelScope::new().run(async { defer(pending::<()>()) }).await);
            }));
            drop(lost);
            panic!("on purpose");
        }));
        // It waits for what was lost.
        assert!(tree.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let host = threads.clone();
        let other = thread::spawn(move || host.tear_down());
        let ended = catch_unwind(AssertUnwindSafe(|| block_on(tree)));
        assert!(ended.is_err(), "it has panicked, or tells of the teardown");
        other.join().unwrap();
        super::ended(&threads);
    });
}

/// L11, L14: what is spawned while a request marks others is not dropped before its siblings are marked.
///
/// Fails if `Attachment::behind` takes `PROPAGATED` for `LATE`.
#[test]
fn a_spawn_races_with_the_marks_of_a_request() {
    check(|| {
        tree(async {
            let seen = Count::default();
            let sees = seen.clone();
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let other = thread::spawn(move || handle.cancel("now"));
            let outcome = scope.run(nursery(async |n: Nursery| {
                let spawner = n.clone();
                n.spawn(async move {
                    for _ in 0..2 {
                        if spawner.spawn(async {}).await.is_err() {
                            sees.add();
                        }
                    }
                    match sleep_forever().await {}
                });
                Ok(())
            }));
            assert!(outcome.await.is_err());
            other.join().unwrap();
            assert_eq!(seen.get(), 0, "a child has seen what its own cancellation did to another");
        });
    });
}

/// L32: a root that is polled while the panic of an orphan is being requested is polled again.
///
/// Fails if `Node::call_driver` does not mark the scope.
#[test]
fn the_panic_of_an_orphan_races_with_the_polls_of_the_root() {
    async fn panics() {
        std::panic::resume_unwind(Box::new("seen"))
    }

    check(|| {
        let threads = Threads::new();
        let tree = root(threads.clone(), async {
            let lost: Boxed<_> = Box::pin(CancelScope::new().run(async {
                defer(panics());
                match sleep_forever().await {}
            }));
            let Ok(lost) = begun(lost) else { unreachable!("it waits") };
            drop(lost);
            yield_now().await;
            yield_now().await;
            match sleep_forever().await {}
        });
        let ended = catch_unwind(AssertUnwindSafe(|| block_on(tree)));
        assert!(ended.is_err(), "the root ends with the panic of what it has adopted");
        super::ended(&threads);
    });
}

/// L12.6: a scope that whoever polls it has given up is dropped at once, also if another request on it is on its way, and
/// has not marked all of its scopes yet.
///
/// Fails with `PROPAGATED` alone in `NodeRef::may_be_delivered`.
#[test]
fn what_is_given_up_waits_for_no_other_request() {
    check(|| {
        tree(async {
            nursery(async |n: Nursery| {
                let mut around = CancelScope::new();
                let handle = around.handle();
                n.spawn(async move {
                    handle.cancel("race");
                    Ok(())
                });
                let body = async {
                    let mut loser = pin!(CancelScope::new().run(pending::<()>()));
                    poll_fn(|cx| {
                        assert!(loser.as_mut().poll(cx).is_pending());
                        let is_over = thread_rng().gen_bool(0.5) && loser.as_mut().give_up("lost");
                        if !is_over {
                            loser.as_mut().cancel("lost");
                        }
                        let has_ended = is_over || loser.as_mut().poll(cx).is_ready() || loser.never_returns();
                        assert!(has_ended, "it had nothing to end");
                        Poll::Ready(())
                    })
                    .await;
                };
                // Cancelled before it began, or completed.
                drop(around.run(body).await);
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}
