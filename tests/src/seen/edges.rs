//! Foreign code at the edges: wakers that panic, scopes that are shared; and a nursery that is large.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::channel::oneshot;
use foster::observer::{Observer, Orphan};
use foster::runtime::root;
use foster::{CancelScope, Nursery, move_on_after, nursery, sleep_forever};

use super::{ends, rounds, until};
use crate::groups::probe::{is_virtual, runtime};

/// A waker that panics, and counts how often.
#[derive(Default)]
struct Throws(AtomicUsize);

impl Wake for Throws {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose, in a waker");
    }
}

/// Counts the errors and panics that have no caller.
#[derive(Default)]
struct Orphans(AtomicUsize);

impl Observer for Orphans {
    fn orphan(&self, _: &Orphan<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// L32, L36: a foreign waker that panics is contained: everybody else is cancelled all the same, and the observer is
/// told.
pub async fn a_waker_that_panics_loses_nobody_elses_cancellation() {
    const OTHERS: usize = 10;
    ends("a_waker_that_panics_loses_nobody_elses_cancellation", async {
        for _ in rounds(10, 1) {
            let (throws, orphans) = (Arc::new(Throws::default()), Arc::new(Orphans::default()));
            let (polled, bad) = (Arc::new(AtomicUsize::new(0)), Waker::from(throws.clone()));
            let tree = root(runtime(), async {
                nursery(async |n: Nursery| {
                    let holds = polled.clone();
                    n.spawn(async move {
                        let mut scope = pin!(CancelScope::new().run(sleep_forever()));
                        poll_fn(|_| {
                            let ended = scope.as_mut().poll(&mut Context::from_waker(&bad));
                            assert!(ended.is_pending());
                            holds.fetch_add(1, Ordering::SeqCst);
                            Poll::<()>::Pending
                        })
                        .await;
                    });
                    for _ in 0..OTHERS {
                        let polled = polled.clone();
                        n.spawn(async move {
                            polled.fetch_add(1, Ordering::SeqCst);
                            sleep_forever().await;
                        });
                    }
                    until(|| polled.load(Ordering::SeqCst) > OTHERS).await;
                    assert_eq!(n.cancel_children("that is enough"), OTHERS + 1);
                    Ok(())
                })
                .await
            });
            let Ok(()) = tree.observe(orphans.clone()).await;
            let thrown = throws.0.load(Ordering::SeqCst);
            // On threads the task may be woken, and its scope cancelled, before anybody calls the waker.
            assert!(thrown > 0 || !is_virtual(), "the waker was not called");
            assert_eq!(
                orphans.0.load(Ordering::SeqCst),
                thrown,
                "of {thrown} panics of the waker so many were reported"
            );
        }
    })
    .await;
}

/// A future that several tasks poll; all of them see it, none of them owns it.
struct Shared<F>(Arc<Mutex<Pin<Box<F>>>>);

impl<F> Clone for Shared<F> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<F: Future> Future for Shared<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

/// L18: a scope that has parked because the code around it is cancelled, and is polled by code that is not, says so.
pub async fn a_parked_scope_that_healthy_code_shares_panics() {
    ends("a_parked_scope_that_healthy_code_shares_panics", async {
        for _ in rounds(10, 1) {
            let polls = Arc::new(AtomicUsize::new(0));
            let counted = polls.clone();
            let shared = Shared(Arc::new(Mutex::new(Box::pin(CancelScope::new().named("the inner one").run(
                poll_fn(move |_| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    Poll::<()>::Pending
                }),
            )))));
            let message = Arc::new(Mutex::new(String::new()));
            let Ok(()) = nursery(async |n: Nursery| {
                let mut outer = CancelScope::new().named("the outer one");
                let (handle, owned) = (outer.handle(), shared.clone());
                n.spawn(async move {
                    let _ = outer.run(owned).await;
                });
                until(|| polls.load(Ordering::SeqCst) > 0).await;
                let (message, mut borrowed, before) = (message.clone(), shared, polls.load(Ordering::SeqCst));
                n.spawn(poll_fn(move |cx| {
                    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut borrowed).poll(cx)));
                    let Err(payload) = polled else { return Poll::Pending };
                    let text = payload.downcast::<String>().map_or_else(|_| "no text".to_owned(), |text| *text);
                    *message.lock().unwrap_or_else(PoisonError::into_inner) = text;
                    Poll::Ready(())
                }));
                until(|| polls.load(Ordering::SeqCst) > before).await;
                handle.cancel("it has to stop");
                Ok(())
            })
            .await;
            let message = message.lock().unwrap_or_else(PoisonError::into_inner).clone();
            assert!(message.contains("the inner one") && message.contains("the outer one"), "it says: {message}");
        }
    })
    .await;
}

/// L15, L16: a cancelled scope ends also if what it still waits for has escaped to another task, and is dropped there.
pub async fn a_scope_that_has_escaped_and_is_dropped_holds_up_nobody() {
    ends("a_scope_that_has_escaped_and_is_dropped_holds_up_nobody", async {
        for _ in rounds(10, 1) {
            let Ok(()) = nursery(async |n: Nursery| {
                let (tx, rx) = oneshot::<Pin<Box<dyn Future<Output = ()> + Send>>>();
                let mut outer = CancelScope::new();
                let cancels = outer.handle();
                // Until it was polled here the body that it was opened in waits, which would take it for undriven (L16).
                let gate = Arc::new(Mutex::new(()));
                let behind = gate.clone();
                n.spawn(async move {
                    let mut inside = rx.await.unwrap();
                    // Polled after the request, here alone: it has nothing to do, and delays the scope around it.
                    let mut begins = true;
                    let drives = poll_fn(|cx| {
                        let polled_first = std::mem::take(&mut begins).then(|| gate.lock().unwrap());
                        if polled_first.is_some() {
                            cancels.cancel("it has to stop");
                        }
                        inside.as_mut().poll(cx)
                    });
                    move_on_after(Duration::from_millis(5), drives).await;
                });
                let cancelled = outer.run(async move {
                    let mut inner = CancelScope::new().shielded();
                    drop(inner.handle());
                    let mut inside = Box::pin(async move { drop(inner.run(sleep_forever()).await) });
                    assert!(poll_fn(|cx| Poll::Ready(inside.as_mut().poll(cx).is_pending())).await);
                    assert!(tx.send(inside).is_ok());
                    poll_fn(|_| {
                        drop(behind.lock().unwrap());
                        Poll::<()>::Pending
                    })
                    .await;
                });
                assert!(cancelled.await.is_err());
                Ok(())
            })
            .await;
        }
    })
    .await;
}

/// L2: a nursery knows how many children are left in it; asking for the number costs the same for any number of
/// children.
pub async fn the_length_of_a_nursery_is_known_without_counting() {
    ends("the_length_of_a_nursery_is_known_without_counting", async {
        let many = if is_virtual() { 100 } else { 20_000 };
        let Ok(()) = nursery(async |n: Nursery| {
            for _ in 0..many {
                n.spawn_daemon(sleep_forever());
            }
            for _ in 0..many {
                assert_eq!(n.len(), many);
            }
            Ok(())
        })
        .await;
    })
    .await;
}
