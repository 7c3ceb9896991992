//! Lesson 4: what is open gets closed, on every path, and closing may take its time.
//!
//! ```text
//!   in time    begin ─▶ transfer ───────▶ commit ─▶ receipt ─▶ finalizers, newest first ─▶ Some(())
//!   too late   begin ─▶ transfer ──╳ ─▶ roll back ───────────▶ finalizers, newest first ─▶ None
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 04_closing_well -- --runtime smol` (or `tokio`, or `sim`).

use std::time::Duration;

use foster::{bracket, defer, move_on_after, shield, sleep};

fn main() {
    foster_examples::run(async {
        transfer("in time", Duration::ZERO).await;
        transfer("too late", Duration::MAX).await;
    });
}

async fn transfer(name: &str, pause: Duration) {
    println!("{name}:");
    let outcome = move_on_after(Duration::from_millis(500), async {
        defer(async { println!("  finalizer: disconnect") });
        defer(async { println!("  finalizer: flush") });
        bracket(
            async { Transaction },
            async |tx| {
                tx.update("from", -10).await;
                sleep(pause).await;
                tx.update("to", 10).await;
            },
            |tx, exit| async move {
                // A release may await: it is shielded, within a budget of time.
                sleep(Duration::from_millis(5)).await;
                tx.end(if exit.is_success() { "commit" } else { "roll back" });
            },
        )
        .await;
        // Not interrupted, whatever the deadline says; but not begun either, once it has passed.
        shield(async { println!("  shield: write the receipt") }).await;
    });
    println!("  {:?}", outcome.await);
}

struct Transaction;

impl Transaction {
    async fn update(&self, account: &str, amount: i32) {
        sleep(Duration::from_millis(1)).await;
        println!("  {account}: {amount:+}");
    }

    fn end(self, how: &str) {
        println!("  {how}");
    }
}
