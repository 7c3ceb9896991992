//! Behaviours: scopes that have their place in the tree before their first poll.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::{CancelScope, Instant, ScopedValue, checkpoint, deadline, defer, move_on_after, sleep, sleep_forever};

use crate::groups::probe::poll_once;
use crate::harness::ms;

/// L1: whichever scopes it is polled in, and whatever becomes of them, it belongs to the one around `run_here`.
pub async fn a_placed_scope_outlives_the_scopes_that_poll_it() {
    static PLACE: ScopedValue<u8> = ScopedValue::new();
    PLACE
        .scope(1, async {
            let work = CancelScope::new().run_here(async {
                for _ in 0..4 {
                    sleep(ms(2)).await;
                    assert_eq!((PLACE.get(), deadline()), (Some(1), None));
                }
            });
            let mut work = pin!(work);
            let mut ended = None;
            while ended.is_none() {
                ended = PLACE.scope(2, move_on_after(ms(3), &mut work)).await;
            }
            ended.unwrap().unwrap();
        })
        .await;
}

/// L8: its deadline counts from `run_here`, and holds whether or not anybody polls.
pub async fn the_deadline_of_a_placed_scope_counts_from_its_placing() {
    let start = Instant::now();
    let mut scope = CancelScope::new().deadline_after(ms(5));
    let handle = scope.handle();
    let work = scope.run_here(sleep_forever());
    assert!(handle.deadline() >= start + ms(5) && handle.deadline() <= Instant::now() + ms(5));
    sleep(ms(10)).await;
    assert!(handle.is_cancelled() && !handle.is_closed());
    // Entering is no checkpoint: its body is polled once, and stops.
    work.await.unwrap_err();
    assert!(handle.is_closed());
}

/// L26: thrown away before its first poll it is gone at once, and what it was to run was not begun.
pub async fn a_placed_scope_that_is_dropped_unpolled_leaves_nothing() {
    let begun = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let begun = begun.clone();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let work = scope.run_here(async move { begun.fetch_add(1, Ordering::SeqCst) });
        assert!(!handle.is_closed());
        drop(work);
        assert!(handle.is_closed());
        assert!(!handle.cancel("too late"));
    }
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    // L28: kept from being polled or dropped, it ends with the scope around.
    let mut kept = None;
    move_on_after(ms(1000), async { kept = Some(scope.run_here(async {})) }).await.unwrap();
    assert!(handle.is_closed());
    drop(kept);
}

/// L16: it delays a cancel of the scope around it only as long as it is polled; what it leaves is waited for (L27).
pub async fn a_placed_scope_that_nobody_polls_delays_no_cancel() {
    let cleaned = Arc::new(AtomicUsize::new(0));
    let out = move_on_after(ms(2), async {
        let unpolled = CancelScope::new().run_here(sleep_forever());
        let once = CancelScope::new().run_here(async {
            let cleaned = cleaned.clone();
            defer(async move {
                sleep(ms(1)).await;
                cleaned.fetch_add(1, Ordering::SeqCst);
            });
            checkpoint().await;
            sleep_forever().await
        });
        let mut once = pin!(once);
        assert!(poll_once(once.as_mut()).await.is_pending());
        sleep_forever().await;
        drop(unpolled);
    });
    assert_eq!(out.await, None);
    assert_eq!(cleaned.load(Ordering::SeqCst), 1);
}

/// Lists the behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! placing_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; placing {
            a_placed_scope_outlives_the_scopes_that_poll_it,
            the_deadline_of_a_placed_scope_counts_from_its_placing,
            a_placed_scope_that_is_dropped_unpolled_leaves_nothing,
            a_placed_scope_that_nobody_polls_delays_no_cancel,
        });
    };
}
