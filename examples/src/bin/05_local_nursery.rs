//! Lesson 5: the children of a local nursery may borrow, because they live in the task of their parent.
//!
//! ```text
//!   one task ─┬─ body ──────▶┄┄┄┄┄┄┄┄┄┄┬─▶ returns when all have ended
//!             ├─ child a, borrows ──▶  │
//!             └─ child b, borrows ───▶ ┘
//! ```
//!
//! They take turns on one thread. For work that needs several, `nursery` has children that own what they use.
//!
//! Run it with `cargo run -p foster-examples --bin 05_local_nursery -- --runtime smol` (or `tokio`, or `sim`).

use std::sync::Mutex;
use std::time::Duration;

use foster::{LocalNursery, local_nursery, sleep};

fn main() {
    foster_examples::run(async {
        let urls = ["a.example".to_owned(), "b.example".to_owned(), "c.example".to_owned()];
        let mut answers = vec![0; urls.len()];
        let failures = Mutex::new(Vec::new());

        let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
            // Neither `Arc` nor `clone`: each child borrows its URL and its own place for the answer.
            for (url, answer) in urls.iter().zip(&mut answers) {
                let failures = &failures;
                n.spawn(async move {
                    match fetch(url).await {
                        Some(length) => *answer = length,
                        None => failures.lock().unwrap().push(url),
                    }
                });
            }
        })
        .await;

        println!("{answers:?}");
        println!("failed: {:?}", failures.into_inner().unwrap());
    });
}

async fn fetch(url: &str) -> Option<usize> {
    sleep(Duration::from_millis(10)).await;
    (!url.starts_with('b')).then_some(url.len())
}
