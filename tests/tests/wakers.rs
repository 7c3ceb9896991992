//! The waker that code in a tree is given, wherever it runs, and its clones know that they are the same.
//!
//! Others rely on it: async-io wakes the waker that another one replaces. If a task's own waker were taken for another
//! one, a task that waits at a socket and is woken for nothing would wake itself without end.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use foster::{Nursery, move_on_after, nursery};

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
    foster::yield_now().await;
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
    let Ok(()) = foster::local_nursery(async |n: foster::LocalNursery<'_>| {
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
