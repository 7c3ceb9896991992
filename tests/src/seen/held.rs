//! Scopes that were cancelled before they were entered, and never ended because their body held something it had never
//! polled.

use std::pin::pin;

use foster::combine::{as_completed, produce};
use foster::{CancelScope, checkpoint};

use super::{ends, rounds};

const ROUNDS: usize = 100;

/// L16: a stream that has its place in the tree and was never polled delays nobody.
pub async fn a_scope_cancelled_before_it_is_entered_ends_with_a_stream_held_unpolled() {
    ends("a_scope_cancelled_before_it_is_entered_ends_with_a_stream_held_unpolled", async {
        for _ in rounds(ROUNDS, 1) {
            let mut scope = CancelScope::new();
            scope.handle().cancel("before it is entered");
            let ended = scope.run(async {
                as_completed([async {}]).next().await;
            });
            ended.await.expect_err("it was cancelled");
        }
    })
    .await;
}

/// L16: the same with a producer.
pub async fn a_scope_cancelled_before_it_is_entered_ends_with_a_producer_held_unpolled() {
    ends("a_scope_cancelled_before_it_is_entered_ends_with_a_producer_held_unpolled", async {
        for _ in rounds(ROUNDS, 1) {
            let mut scope = CancelScope::new();
            scope.handle().cancel("before it is entered");
            let ended = scope.run(async {
                let _produced = pin!(produce(async |mut out: foster::combine::Emitter<u32>| {
                    out.emit(1).await;
                }));
                checkpoint().await;
            });
            ended.await.expect_err("it was cancelled");
        }
    })
    .await;
}

/// L16: the same with a scope that was given its place by hand.
pub async fn a_scope_cancelled_before_it_is_entered_ends_with_a_placed_scope_held_unpolled() {
    ends("a_scope_cancelled_before_it_is_entered_ends_with_a_placed_scope_held_unpolled", async {
        for _ in rounds(ROUNDS, 1) {
            let mut scope = CancelScope::new();
            scope.handle().cancel("before it is entered");
            let ended = scope.run(async {
                let placed = CancelScope::new().run_here(async {});
                checkpoint().await;
                drop(placed);
            });
            ended.await.expect_err("it was cancelled");
        }
    })
    .await;
}
