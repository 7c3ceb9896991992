//! Lesson 1: tasks are born in a nursery, and the nursery returns when all of them have ended.
//!
//! ```text
//!   body   ──┬──────┬──────┬──────▶ over ···········▶ the nursery returns
//!   ada      └────▶ 3      │                        ▲
//!   grace           └────▶ 5                        │
//!   late                   └────────────────────────┘
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 01_hello_nursery -- --runtime smol` (or `tokio`, or `sim`).

use std::convert::Infallible;
use std::time::Duration;

use foster::{Nursery, nursery, sleep};

fn main() {
    // In a program of your own: `foster_smol::run(…)` or `foster_tokio::run(…)`.
    foster_examples::run(hello());
}

async fn hello() {
    let Ok(letters) = nursery(async |n: Nursery| {
        println!("the body spawns three children");
        let ada = n.spawn(count("Ada"));
        let grace = n.spawn(count("Grace"));
        // Nobody keeps this handle; the child is waited for all the same.
        n.spawn(async {
            sleep(Duration::from_millis(100)).await;
            println!("the late child ends");
        });
        Ok(ada.await.unwrap() + grace.await.unwrap())
    })
    .await;
    println!("the nursery returns {letters}");
}

/// A child that has a value says that it cannot fail, because a nursery takes no other children than `()` and `Result`.
async fn count(name: &str) -> Result<usize, Infallible> {
    sleep(Duration::from_millis(10)).await;
    Ok(name.len())
}
