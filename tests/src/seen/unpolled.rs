//! Code that was given something while nobody polled it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use foster::channel::bounded;
use foster::{CancelScope, Nursery, nursery, yield_now};

use super::{ends, rounds};

const ROUNDS: usize = 50;

/// L12, L14: a message is taken from a sender whose future is held, by code that is polled since, and then its scope is
/// cancelled: it was sent, and the sender is told.
pub async fn what_was_taken_from_a_held_sender_was_sent() {
    ends("what_was_taken_from_a_held_sender_was_sent", held(1)).await;
}

/// L12, L14: as above, without a buffer.
pub async fn what_was_handed_over_by_a_held_sender_was_sent() {
    ends("what_was_handed_over_by_a_held_sender_was_sent", held(0)).await;
}

async fn held(capacity: usize) {
    for _ in rounds(ROUNDS, 1) {
        let (tx, rx) = bounded(capacity);
        for _ in 0..capacity {
            tx.try_send("before").expect("there is place");
        }
        let Ok(()) = nursery(async |n: Nursery| {
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let mut sends = pin!(scope.run(tx.send("taken")));
            let has_ended = poll_fn(|cx| Poll::Ready(sends.as_mut().poll(cx).is_ready())).await;
            assert!(!has_ended, "there is no place");
            assert!(rx.try_recv().is_ok(), "a sender waits");
            yield_now().await;
            // Not by this task, the code of which is running.
            n.spawn(async move {
                let _ = handle.cancel("it was sent by now");
            })
            .await
            .expect("nobody cancels it");
            assert_eq!(sends.await.expect("it has completed"), Ok(()), "it was taken, and whoever sent it was cut");
            Ok(())
        })
        .await;
    }
}
