//! Cancelled code that takes what its cancellation did to its siblings for a result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foster::channel::{Receiver, Sender, bounded, unbounded};
use foster::{Nursery, move_on_after, nursery, sleep, sleep_forever};

use super::{ends, rounds};
use crate::harness::ms;

const ROUNDS: usize = 100;

/// L12, L14: the end of a channel whose sender was cancelled is no end to a receiver that was cancelled with it.
pub async fn partial_work_of_a_bounded_channel_is_never_committed() {
    ends("partial_work_of_a_bounded_channel_is_never_committed", never_committed(|| bounded(2))).await;
}

/// L12, L14: as above, with a channel whose sender never waits.
pub async fn partial_work_of_an_unbounded_channel_is_never_committed() {
    ends("partial_work_of_an_unbounded_channel_is_never_committed", never_committed(unbounded)).await;
}

/// L12, L14: as above, with a channel whose sender always waits.
pub async fn partial_work_of_a_rendezvous_is_never_committed() {
    ends("partial_work_of_a_rendezvous_is_never_committed", never_committed(|| bounded(0))).await;
}

async fn never_committed(channel: impl Fn() -> (Sender<u32>, Receiver<u32>)) {
    for _ in rounds(ROUNDS, 5) {
        let (tx, rx) = channel();
        let committed = Arc::new(AtomicBool::new(false));
        let commits = committed.clone();
        let cut = move_on_after(
            ms(1),
            nursery(async |n: Nursery| {
                n.spawn(async move {
                    loop {
                        let _ = tx.send(1).await;
                        sleep(Duration::from_micros(200)).await;
                    }
                });
                n.spawn(async move {
                    while rx.recv().await.is_ok() {}
                    commits.store(true, Ordering::SeqCst);
                });
                Ok(())
            }),
        );
        assert!(cut.await.is_none());
        assert!(!committed.load(Ordering::SeqCst), "a consumer whose producer was cut off has committed");
    }
}

/// L14: a task that waits for a sibling and is cancelled with it does not learn that the sibling was cancelled.
pub async fn a_failed_join_is_never_taken_for_a_result() {
    ends("a_failed_join_is_never_taken_for_a_result", async {
        for _ in rounds(ROUNDS, 5) {
            let seen = Arc::new(AtomicBool::new(false));
            let sees = seen.clone();
            let cut = move_on_after(
                ms(1),
                nursery(async |n: Nursery| {
                    let sibling = n.spawn(sleep_forever());
                    n.spawn(async move {
                        if sibling.await.is_err() {
                            sees.store(true, Ordering::SeqCst);
                        }
                    });
                    Ok(())
                }),
            );
            assert!(cut.await.is_none());
            assert!(!seen.load(Ordering::SeqCst), "a task that was cancelled has seen a sibling's cancellation");
        }
    })
    .await;
}
