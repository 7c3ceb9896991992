//! A root whose jobs are polled, and dropped, by the test.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use foster::nursery::TaskStatus;
use foster::runtime::root;
use foster::{CancelScope, Nursery, ScopeHandle, defer, is_cancelled, nursery, shield, sleep_forever, yield_now};
use futures_lite::future::poll_once;

use super::Wakes;
use super::runtimes::ByHand;

/// R10: the job that guards a root which is polled elsewhere ends with the tree, and is woken for that.
#[test]
fn the_sentinel_of_a_tree_is_woken_at_its_end() {
    foster_sim::run(1, async {
        let by_hand = ByHand::over_current();
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
        let by_hand = ByHand::over_current();
        let mut root = pin!(root(by_hand.clone(), sleep_forever()));
        let woken = Arc::new(Wakes::default());
        let waker = Waker::from(woken.clone());
        assert!(root.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(by_hand.only_job());
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        tells_of_the_teardown(root, &woken);
    });
}

/// L30: a root whose runtime is gone panics. Not in the first poll that finds it, after which it is woken once more: a
/// runtime that polls the root itself drops it instead.
fn tells_of_the_teardown<F: Future>(mut root: Pin<&mut F>, woken: &Arc<Wakes>) {
    let waker = Waker::from(woken.clone());
    let before = woken.0.load(Ordering::SeqCst);
    assert!(root.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(woken.0.load(Ordering::SeqCst), before + 1);
    let said = catch_unwind(AssertUnwindSafe(|| root.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()));
    assert!(said.is_err(), "it tells that the runtime was torn down");
}

/// L30, L11: when a root is dropped, all its tasks are asked to stop before its body is dropped: a task that another
/// thread polls just then does not see what that drop does.
#[test]
fn tasks_are_cancelled_before_the_body_of_a_root_that_is_dropped() {
    struct Looks(ScopeHandle, Arc<Mutex<Vec<bool>>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            self.1.lock().unwrap().extend([self.0.is_cancelled(), is_cancelled()]);
        }
    }
    foster_sim::run(1, async {
        let by_hand = ByHand::over_current();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sees = seen.clone();
        let mut root = Box::pin(root(by_hand.clone(), async {
            let Ok(()) = nursery(async |n: Nursery| {
                let mut scope = CancelScope::new();
                let looks = Looks(scope.handle(), sees);
                n.spawn(async move { drop(scope.run(shield(sleep_forever())).await) });
                yield_now().await;
                let _looks = looks;
                sleep_forever().await;
            })
            .await;
        }));
        assert!(poll_once(root.as_mut()).await.is_none());
        let mut jobs = std::mem::take(&mut *by_hand.jobs.lock().unwrap());
        for job in &mut jobs {
            assert!(poll_once(job).await.is_none());
        }
        assert!(poll_once(root.as_mut()).await.is_none());
        drop(root);
        assert_eq!(*seen.lock().unwrap(), [true, true], "a scope of the task, and the body's own");
    });
}

/// L30: a root that waits, and has a request of its own already, is woken when its runtime is gone.
#[test]
fn a_root_that_has_panicked_is_woken_when_its_runtime_is_gone() {
    foster_sim::run(1, async {
        let by_hand = ByHand::over_current();
        let mut root = pin!(root(by_hand.clone(), async {
            let mut lost = Box::pin(CancelScope::new().run(async {
                defer(pending::<()>());
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
        tells_of_the_teardown(root, &woken);
    });
}

/// L12: an executor may poll a root for no reason, as smol's does after each task that it runs on the same thread. Its
/// body is not polled for that, and a request finds it blocked. But a root that has moved to another executor is woken
/// there.
#[test]
fn a_root_that_nobody_woke_does_not_poll_its_body() {
    foster_sim::run(1, async {
        let polls = AtomicUsize::new(0);
        let own = Mutex::new(None);
        let mut root = pin!(root(
            ByHand::over_current(),
            poll_fn(|cx| {
                polls.fetch_add(1, Ordering::SeqCst);
                *own.lock().unwrap() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
        ));
        let (old, new) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        for wakes in [&old, &old, &new] {
            assert!(root.as_mut().poll(&mut Context::from_waker(&Waker::from(wakes.clone()))).is_pending());
            assert_eq!(polls.load(Ordering::SeqCst), 1);
        }
        own.lock().unwrap().take().unwrap().wake();
        assert_eq!((old.0.load(Ordering::SeqCst), new.0.load(Ordering::SeqCst)), (0, 1));
        assert!(root.as_mut().poll(&mut Context::from_waker(&Waker::from(new.clone()))).is_pending());
        assert_eq!(polls.load(Ordering::SeqCst), 2);
    });
}

/// L30: a root that is polled while its runtime is being torn down, when its finalizers do not run any more and it is
/// not closed yet, is told when it is.
#[test]
fn a_root_that_is_polled_during_a_teardown_is_woken_at_the_end_of_it() {
    type AnyRoot = Pin<Box<dyn Future<Output = ()>>>;
    thread_local! {
        static ROOT: RefCell<Option<AnyRoot>> = const { RefCell::new(None) };
        static POLLED: RefCell<Option<AnyRoot>> = const { RefCell::new(None) };
    }

    /// Polls the root where it is woken, once: in the middle of the teardown.
    struct PollsInline(AtomicUsize);

    impl Wake for PollsInline {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            if let Some(mut root) = ROOT.take() {
                assert!(root.as_mut().poll(&mut Context::from_waker(&Waker::from(self))).is_pending());
                POLLED.set(Some(root));
            }
        }
    }

    foster_sim::run(1, async {
        let by_hand = ByHand::over_current();
        let mut waits: AnyRoot = Box::pin(root(by_hand.clone(), async {
            defer(async {});
            sleep_forever().await;
        }));
        let woken = Arc::new(PollsInline(AtomicUsize::new(0)));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&Waker::from(woken.clone()))).is_pending());
        ROOT.set(Some(waits));
        drop(by_hand.only_job());
        assert_eq!(woken.0.load(Ordering::SeqCst), 2, "for the request, and when it is closed");
        let mut polled = POLLED.take().unwrap();
        tells_of_the_teardown(pin!(polled.as_mut()), &Arc::default());
    });
}

/// L30: code that another thread runs as the root is dropped goes on to its next operation without a panic, and what it
/// spawns is cut off.
#[test]
fn code_that_runs_on_as_its_root_is_dropped_may_spawn() {
    let (begun, begins) = mpsc::channel();
    let (dropped, drops) = mpsc::channel();
    let (told, tells) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut root = Box::pin(foster_tokio::attach(async move {
            let Err(_) = nursery(async move |n: Nursery| {
                n.spawn(async move {
                    let body = async move |inner: Nursery| {
                        begun.send(()).unwrap();
                        drops.recv().unwrap();
                        let task = inner.spawn(async { unreachable!("it is cut off") });
                        told.send(task.status()).unwrap();
                        sleep_forever().await
                    };
                    let Err(_) = nursery(body).await;
                });
                sleep_forever().await
            })
            .await;
        }));
        assert!(poll_once(root.as_mut()).await.is_none());
        begins.recv().unwrap();
        drop(root);
        dropped.send(()).unwrap();
    });
    assert_eq!(tells.recv().expect("it has not panicked"), TaskStatus::Cancelled);
}

/// L32: a shield that is ready in its first poll needs no tree, and a panic in that poll is the one that goes on.
#[test]
fn a_panic_outside_of_any_tree_goes_on_as_it_is() {
    let once = |body: Pin<&mut dyn Future<Output = ()>>| {
        let mut shielded = pin!(shield(body));
        catch_unwind(AssertUnwindSafe(|| shielded.as_mut().poll(&mut Context::from_waker(Waker::noop()))))
    };
    assert_eq!(once(pin!(async {})).expect("no panic"), Poll::Ready(()));
    let own = once(pin!(async { panic!("its own") })).expect_err("its own");
    assert_eq!(own.downcast_ref(), Some(&"its own"));
    let other = once(pin!(std::future::pending())).expect_err("it has to wait, and there is no tree");
    assert!(other.downcast_ref::<String>().expect("a text").contains("there is no foster runtime here"));
}
