//! Lesson 2: when a timeout returns, nothing that it was put around is going on any more.
//!
//! ```text
//!   move_on_after(100 ms) ──┬─ body ──────╳
//!                           ├─ child a ───╳ ── cleanup ──┐
//!                           └─ child b ───╳ ── cleanup ──┴──▶ None
//!                                       100 ms        130 ms
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 02_a_timeout_that_means_it -- --runtime smol` (or `tokio`, or `sim`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::{Instant, Nursery, defer, fail_after, move_on_after, nursery, sleep, sleep_forever};

fn main() {
    foster_examples::run(timeouts());
}

async fn timeouts() {
    let running = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let outcome = move_on_after(
        Duration::from_millis(100),
        nursery(async |n: Nursery| {
            n.spawn(work(running.clone()));
            n.spawn(work(running.clone()));
        }),
    )
    .await;
    println!("{outcome:?}, and {} children are running", running.load(Ordering::SeqCst));
    println!("the cleanup was waited for: {}", start.elapsed() >= Duration::from_millis(130));

    // `fail_after` is the same with an error, which converts into `io::Error`.
    let error = fail_after(Duration::from_millis(10), sleep_forever()).await.unwrap_err();
    println!("{}", std::io::Error::from(error).kind());
}

async fn work(running: Arc<AtomicUsize>) {
    running.fetch_add(1, Ordering::SeqCst);
    defer(async move {
        sleep(Duration::from_millis(30)).await; // say goodbye to a server
        running.fetch_sub(1, Ordering::SeqCst);
    });
    sleep_forever().await;
}
