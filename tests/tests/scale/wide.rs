//! Thousands of scopes in one body: when it is cancelled, each poll of it looks at some of them, not at all.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use foster::{CancelScope, ScopeHandle, bracket, graceful, shield, sleep, sleep_forever, yield_now};
use foster_conformance::check;
use foster_conformance::harness::ms;

use crate::bytes;

/// Whether it was called.
struct Called(AtomicBool, Waker);

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
        self.1.wake_by_ref();
    }
}

/// Polls the futures in turn, but no more than two in a poll that wake themselves, as `FuturesUnordered` does. Cancels the
/// scope when all have been polled once.
async fn in_turn<F: Future>(futures: impl Iterator<Item = F>, scope: ScopeHandle) {
    let mut all: VecDeque<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut new = all.len();
    poll_fn(|cx| {
        let mut yields = 0;
        for _ in 0..all.len() {
            let called = Arc::new(Called(AtomicBool::new(false), cx.waker().clone()));
            assert!(all[0].as_mut().poll(&mut Context::from_waker(&called.clone().into())).is_pending());
            all.rotate_left(1);
            new = new.saturating_sub(1);
            yields += usize::from(called.0.load(Relaxed));
            if yields == 2 {
                break;
            }
        }
        if new == 0 {
            scope.cancel("all are open");
        }
        Poll::<()>::Pending
    })
    .await;
}

/// Looks, when it is dropped, whether that many were released.
struct Last(Arc<AtomicUsize>, usize);

impl Drop for Last {
    fn drop(&mut self) {
        assert_eq!(self.0.load(Relaxed), self.1, "what is inside ends first");
    }
}

/// How many bytes are allocated for each of `count` brackets, which are opened and then cancelled.
fn bytes_for_each(count: usize) -> usize {
    let before = bytes();
    foster_sim::Builder::new(1).run(async move {
        let released = Arc::new(AtomicUsize::new(0));
        let last = Last(released.clone(), count);
        let brackets = (0..count).map(move |_| {
            let released = released.clone();
            let release = async move |(), _| {
                yield_now().await;
                yield_now().await;
                released.fetch_add(1, Relaxed);
            };
            bracket(async {}, |_| sleep_forever(), release)
        });
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let body = async move {
            let _last = last;
            in_turn(brackets, handle).await;
        };
        assert!(scope.run(body).await.is_err());
    });
    (bytes() - before) / count
}

#[test]
fn many_scopes_that_end_in_one_body_take_as_much_each_as_few() {
    check("many_scopes_that_end_in_one_body_take_as_much_each_as_few", || {
        let [few, many] = [250, 4_000].map(bytes_for_each);
        println!("bytes for each of 250 brackets: {few}, of 4,000: {many}");
        assert!(many < 2 * few, "{few} bytes for each of 250, {many} for each of 4,000");
    });
}

/// The hundred that came first hold off nothing any more when their grace is over, between two polls of the body. The last
/// one still has to end.
#[test]
fn a_scope_behind_many_that_have_nothing_to_end_is_driven() {
    check("a_scope_behind_many_that_have_nothing_to_end_is_driven", || {
        foster_sim::Builder::new(1).run(async {
            let ended = Arc::new(AtomicBool::new(false));
            let mut scope = CancelScope::new().grace(ms(2));
            let handle = scope.handle();
            let mut all: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
            for _ in 0..100 {
                all.push(Box::pin(graceful(async { match sleep_forever().await {} })));
            }
            let of_last = ended.clone();
            all.push(Box::pin(shield(async move {
                sleep(ms(10)).await;
                of_last.store(true, Relaxed);
            })));
            all.push(Box::pin(async move {
                sleep(ms(1)).await;
                handle.cancel("all are open");
                sleep_forever().await;
            }));
            let body = poll_fn(move |cx| {
                for one in &mut all {
                    let _ = one.as_mut().poll(cx);
                }
                Poll::<()>::Pending
            });
            assert!(scope.run(body).await.is_err());
            assert!(ended.load(Relaxed), "it was dropped");
        });
    });
}
