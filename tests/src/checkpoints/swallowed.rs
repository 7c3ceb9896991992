//! Code that is woken, though the wake-up goes no further than foreign code around it (L12, L41).
//!
//! To be woken is to be runnable only as far as the code around is. A nursery's body stands in the code around the
//! nursery, whichever sort of nursery it is: a local one counts the wake-ups of its body, and that alone makes it no
//! task of its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Waker};

use foster::{CancelScope, yield_now};

use crate::groups::both::both;
use crate::running::witness::{Flag, Log, both};

/// Polls a future whenever it is polled itself, and hands on none of its wake-ups.
async fn muted<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|_| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))).await
}

both! {
    /// L12, L41: what a nursery's body waits for has happened, but the code around it was not woken: that is blocked
    /// when it is cancelled, and so is the body. It does not find out what has happened.
    a_body_is_blocked_with_the_code_around, a_local_body_is_blocked_with_the_code_around: {
        let (news, log) = (Flag::new(), Log::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let around = scope.run(muted(open(async |_: Handle| {
            let _end = log.on_drop("dropped");
            news.wait().await;
            log.add("went on");
        })));
        // In one task, and one poll of it: the scope has been polled, and waits, when the other branch cancels it.
        let (outcome, ()) = both(around, async {
            news.set();
            assert!(handle.cancel("now"));
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(log.entries(), ["dropped"]);
    }

    /// L12, L41: so is a scope in such a body, when it alone is cancelled. The body goes on behind it.
    a_scope_in_a_body_is_blocked_with_the_code_around, a_scope_in_a_local_body_is_blocked_with_the_code_around: {
        let (news, log) = (Flag::new(), Log::new());
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let around = CancelScope::new().run(muted(open(async |_: Handle| {
            let outcome = scope.run(async {
                let _end = log.on_drop("dropped");
                news.wait().await;
                log.add("went on");
            });
            log.add(if outcome.await.is_err() { "cancelled" } else { "done" });
        })));
        let (outcome, ()) = both(around, async {
            news.set();
            assert!(handle.cancel("now"));
            // Nobody hands on that the scope was cancelled, either.
            yield_now().await;
        })
        .await;
        let Ok(Ok(())) = outcome else { panic!("only the scope in the body was cancelled") };
        assert_eq!(log.entries(), ["dropped", "cancelled"]);
    }
}
