//! Lesson 9: operations of your own, which cancelled code neither starts nor is given anything by.
//!
//! ```text
//!   a future of another crate:        operation("answer", receiver)
//!
//!   a resource with waiters of its own:
//!     ann ── holds the baton ──────── passes it on ──▶
//!     bob ───────── waits ── cancelled ──╳  │ skipped
//!     cat ────────────── waits ─────────────▼ holds it ──▶
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 09_an_operation_of_your_own -- --runtime smol` (or `tokio`, or `sim`).

mod baton;

use std::sync::Arc;
use std::time::Duration;

use foster::leaf::operation;
use foster::sync::Event;
use foster::{CancelScope, Nursery, move_on_after, nursery, shield};
use tokio::sync::oneshot;

use baton::Baton;

fn main() {
    foster_examples::run(async {
        a_foreign_future().await;
        a_resource_of_ones_own().await;
    });
}

/// Waits for an answer that comes over the one-shot of another crate.
async fn answer(receiver: oneshot::Receiver<u32>) -> Option<u32> {
    operation("answer", receiver).await.ok()
}

async fn a_foreign_future() {
    let (sender, receiver) = oneshot::channel();
    let Ok(()) = nursery(async |n: Nursery| {
        n.spawn(async move { sender.send(42).expect("it is awaited") });
        println!("the answer: {:?}", answer(receiver).await);
    })
    .await;

    let (_sender, receiver) = oneshot::channel();
    println!("no answer in time: {:?}", move_on_after(Duration::from_millis(10), answer(receiver)).await);

    // The answer is there, and the code is cancelled: it comes behind a shield.
    let (sender, receiver) = oneshot::channel();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(async {
        shield(async {
            handle.cancel("not wanted any more");
            sender.send(42)
        })
        .await
        .expect("it can be received");
        println!("cancelled code got {:?}", answer(receiver).await);
    });
    println!("cancelled: {}", outcome.await.unwrap_err().reason().text().unwrap_or_default());
}

async fn a_resource_of_ones_own() {
    let baton = Arc::new(Baton::default());
    let bob_is_gone = Arc::new(Event::new());
    let Ok(()) = nursery(async |n: Nursery| {
        let ann = baton.take().await;
        println!("ann holds the baton");
        let mut bob = CancelScope::new();
        let handle = bob.handle();
        let (bobs, gone) = (baton.clone(), bob_is_gone.clone());
        n.spawn(async move {
            let outcome = bob.run(async { drop(bobs.take().await) }).await;
            println!("bob was cancelled: {}", outcome.is_err());
            gone.set();
        });
        baton.until_waiting(1).await;
        let (cats, gone) = (baton.clone(), bob_is_gone.clone());
        n.spawn(async move {
            let _baton = cats.take().await;
            gone.wait().await;
            println!("cat holds the baton");
        });
        baton.until_waiting(2).await;
        // As long as his task has had no turn, bob is the first in the queue; all the same, the baton goes to cat.
        handle.cancel("bob is tired");
        drop(ann);
    })
    .await;
    println!("the baton is free: {}", baton.try_take().is_some());
}
