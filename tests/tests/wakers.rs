//! The waker that code in a tree is given, wherever it runs, and its clones know that they are the same.
//!
//! And an operation that is dropped leaves no waker behind.
//!
//! Others rely on the first: async-io wakes the waker that another one replaces. If a task's own waker were taken for another
//! one, a task that waits at a socket and is woken for nothing would wake itself without end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use foster::nursery::Started;
use foster::{LocalNursery, Nursery, local_nursery, move_on_after, nursery, sleep_forever, yield_now};

/// The waker of the code that awaits this.
async fn waker() -> Waker {
    poll_fn(|cx| {
        let (clone, again) = (cx.waker().clone(), cx.waker().clone().clone());
        assert!(clone.will_wake(cx.waker()) && cx.waker().will_wake(&again) && clone.will_wake(&again));
        Poll::Ready(clone)
    })
    .await
}

/// A second poll of the same code gets the same waker.
async fn same_waker() {
    let first = waker().await;
    yield_now().await;
    assert!(first.will_wake(&waker().await));
}

async fn program() {
    same_waker().await;
    let Ok(()) = nursery(async |n: Nursery| {
        n.spawn(same_waker());
        n.spawn(async {
            move_on_after(std::time::Duration::from_secs(60), same_waker()).await.expect("it is not so slow");
        });
        same_waker().await;
    })
    .await;
    let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
        n.spawn(same_waker());
    })
    .await;
}

#[test]
fn a_clone_of_a_waker_is_the_same_waker() {
    foster_smol::run(program());
    foster_smol::Builder::new().threads(2).run(program());
    foster_tokio::Builder::new().current_thread().run(program());
    foster_tokio::run(program());
    foster_sim::run(1, program());
}

struct Plain;

impl Wake for Plain {
    fn wake(self: Arc<Self>) {}
}

/// A wait for a child that is given up leaves no waker with the child, whose handle is kept.
#[test]
fn a_wait_that_is_given_up_leaves_no_waker_with_the_child() {
    foster_sim::run(1, async {
        let Ok(()) = nursery(async |n: Nursery| {
            let mut task = n.spawn(sleep_forever());
            let plain = Arc::new(Plain);
            let waker = Waker::from(plain.clone());
            {
                let mut wait = pin!(task.wait());
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                assert!(Arc::strong_count(&plain) > 2, "it waits");
            }
            assert_eq!(Arc::strong_count(&plain), 2);
            task.cancel("enough");
        })
        .await;
    });
}

/// A `start` waits for the child's end as well, and leaves no waker there when the child is ready.
#[test]
fn a_start_that_is_answered_leaves_no_waker_with_the_child() {
    foster_sim::run(1, async {
        let started: Result<(), foster::error::JoinError> = nursery(async |n: Nursery<foster::error::JoinError>| {
            let plain = Arc::new(Plain);
            let waker = Waker::from(plain.clone());
            let start = n.start_task(async |status: Started<()>| {
                yield_now().await;
                status.started(());
                sleep_forever().await
            });
            let mut start = pin!(start);
            let task = loop {
                if let Poll::Ready(started) = start.as_mut().poll(&mut Context::from_waker(&waker)) {
                    break started?.1;
                }
                yield_now().await;
            };
            assert_eq!(Arc::strong_count(&plain), 2);
            task.cancel("enough");
            Ok(())
        })
        .await;
        started.unwrap();
    });
}
