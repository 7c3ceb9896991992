//! Cancelled code that takes what its cancellation did to its siblings for a result.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use foster::channel::{Receiver, Sender, bounded, unbounded};
use foster::combine::{race, race_all};
use foster::{CancelScope, Nursery, ScopeHandle, graceful, move_on_after, nursery, sleep, sleep_forever};

use super::{ends, rounds, until};
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

/// L11, L14: children that are cancelled together see nothing of one another's end.
pub async fn children_that_are_cancelled_together_commit_nothing() {
    let name = "children_that_are_cancelled_together_commit_nothing";
    stopped_together(name, async |n, producer, consumer, begun| {
        n.spawn(producer);
        n.spawn(consumer);
        begun.await;
        assert_eq!(n.cancel_children("together"), 2);
    })
    .await;
}

/// L11, L24: as above, for daemons that are dismissed.
pub async fn daemons_that_are_dismissed_commit_nothing() {
    stopped_together("daemons_that_are_dismissed_commit_nothing", async |n, producer, consumer, begun| {
        n.spawn_daemon(producer);
        n.spawn_daemon(consumer);
        begun.await;
    })
    .await;
}

/// L11: as above, for scopes anywhere.
pub async fn scopes_that_are_cancelled_together_commit_nothing() {
    stopped_together("scopes_that_are_cancelled_together_commit_nothing", async |n, producer, consumer, begun| {
        let mut scopes = [CancelScope::new(), CancelScope::new()];
        let handles = scopes.each_mut().map(CancelScope::handle);
        let [first, second] = scopes;
        n.spawn(async { drop(first.run(producer).await) });
        n.spawn(async { drop(second.run(consumer).await) });
        begun.await;
        assert_eq!(ScopeHandle::cancel_all(&handles, "together"), 2);
    })
    .await;
}

/// L11: as above, for the losers of a race, and of one of a list.
pub async fn losers_that_are_stopped_together_commit_nothing() {
    async fn in_a_child(job: Job) {
        let Ok(()) = nursery(async |n: Nursery| {
            n.spawn(job);
            Ok(())
        })
        .await;
    }
    let name = "losers_that_are_stopped_together_commit_nothing";
    stopped_together(name, async |_, producer, consumer, begun| {
        race((in_a_child(producer), in_a_child(consumer), begun)).await;
    })
    .await;
    stopped_together(name, async |_, producer, consumer, begun| {
        race_all([producer, consumer, begun].map(in_a_child)).await;
    })
    .await;
}

/// L11: behind graceful shields, at the end of the grace, with many siblings, and a producer that is polled again and again.
pub async fn nothing_is_committed_at_the_hard_time() {
    ends("nothing_is_committed_at_the_hard_time", async {
        for _ in rounds(ROUNDS, 5) {
            let (tx, rx) = bounded::<u32>(1);
            let (begun, committed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let (commits, producer, consumer) = (committed.clone(), begun.clone(), begun.clone());
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let cut = scope.run(nursery(async |n: Nursery| {
                n.spawn(graceful(async move {
                    let _tx = tx;
                    producer.fetch_add(1, Ordering::SeqCst);
                    loop {
                        sleep(Duration::from_micros(10)).await;
                    }
                }));
                for _ in 0..20 {
                    n.spawn(graceful(sleep_forever()));
                }
                n.spawn(graceful(async move {
                    consumer.fetch_add(1, Ordering::SeqCst);
                    while rx.recv().await.is_ok() {}
                    commits.store(true, Ordering::SeqCst);
                }));
                // One that has not begun is dropped at the request, before the grace.
                until(|| begun.load(Ordering::SeqCst) == 2).await;
                assert!(handle.cancel_within(ms(1), "with a grace"));
                Ok(())
            }));
            assert!(cut.await.is_err());
            assert!(!committed.load(Ordering::SeqCst), "a consumer whose producer was cut off has committed");
        }
    })
    .await;
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has a producer, and a consumer that commits at the end of the data, started by `body`, and stopped by it when both have
/// begun, which the third job waits for; again and again.
async fn stopped_together(name: &'static str, body: impl AsyncFn(&Nursery, Job, Job, Job)) {
    ends(name, async {
        for _ in rounds(ROUNDS, 5) {
            let (tx, rx) = bounded::<u32>(1);
            let (begun, committed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let (commits, produces, consumes) = (committed.clone(), begun.clone(), begun.clone());
            let producer = async move {
                let _tx = tx;
                produces.fetch_add(1, Ordering::SeqCst);
                pending().await
            };
            let consumer = async move {
                consumes.fetch_add(1, Ordering::SeqCst);
                while rx.recv().await.is_ok() {}
                commits.store(true, Ordering::SeqCst);
            };
            let both = async move { until(|| begun.load(Ordering::SeqCst) == 2).await };
            let Ok(()) = nursery(async |n: Nursery| {
                body(&n, Box::pin(producer), Box::pin(consumer), Box::pin(both)).await;
                Ok(())
            })
            .await;
            assert!(!committed.load(Ordering::SeqCst), "a consumer that was stopped with its producer has committed");
        }
    })
    .await;
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
