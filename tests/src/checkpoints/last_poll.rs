//! Behaviours: which poll of cancelled code is its last one (L12).

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use foster::sync::Event;
use foster::{CancelScope, shield};
use futures_lite::future::yield_now;

use crate::running::witness::{both, counted};

/// Returns how often code in a scope is polled that waits for nothing, if the code beside it wakes its own, and cancels the
/// scope in the same poll.
async fn polls_beside_a_wake() -> usize {
    let polls = AtomicUsize::new(0);
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let cancel = poll_fn(|cx| {
        cx.waker().wake_by_ref();
        handle.cancel("now");
        Poll::Ready(())
    });
    let (cut, ()) = both(scope.run(counted(&polls, pending::<()>())), cancel).await;
    assert!(cut.is_err());
    polls.into_inner()
}

/// L12: code is runnable, and has one more poll, if a waker was called since it was polled that was given to code in its
/// task: also by code in the same poll, and behind a shield in a scope that is cancelled already, whose code is given other
/// wakers (L16.1); in the first poll of the shield, and in later ones.
pub async fn who_wakes_its_own_code_makes_it_runnable_in_any_scope() {
    assert_eq!(polls_beside_a_wake().await, 2);
    for later in [false, true] {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let polls = AtomicUsize::new(0);
        let outcome = scope.run(async {
            handle.cancel("around");
            shield(async {
                if later {
                    yield_now().await;
                }
                polls.store(polls_beside_a_wake().await, Ordering::SeqCst);
            })
            .await;
            foster::checkpoint().await;
        });
        assert!(outcome.await.is_err());
        assert_eq!(polls.into_inner(), 2, "later: {later}");
    }
}

/// L12: code that was given something in the poll in which it is cancelled has the one after that, too; and so has what it
/// opens in that poll.
pub async fn what_is_opened_in_the_poll_before_the_last_has_the_last_one() {
    for with_handle in [false, true] {
        for (given, expected) in [(false, 1), (true, 2)] {
            let polls = AtomicUsize::new(0);
            let event = Event::new();
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let opens = async {
                yield_now().await;
                if given {
                    event.set();
                }
                handle.cancel("now");
                let mut inner = CancelScope::new();
                if with_handle {
                    let _handle = inner.handle();
                }
                inner.run(counted(&polls, pending::<()>())).await
            };
            assert!(scope.run(both(opens, event.wait())).await.is_err());
            assert_eq!(polls.into_inner(), expected, "given: {given}, with a handle: {with_handle}");
        }
    }
}
