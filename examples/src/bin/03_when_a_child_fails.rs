//! Lesson 3: the first error cancels the siblings and is returned as it is; a collecting nursery returns all of them.
//!
//! ```text
//!   nursery ─┬─ body ───────────────╳          collecting ─┬─ body ─▶
//!            ├─ parse "x" ──▶ Err ──┐          nursery     ├─ parse "1" ──▶ Ok
//!            └─ sleeper ────────────╳─▶ Err                ├─ parse "x" ──▶ Err ─┐
//!                                                          └─ parse "y" ──▶ Err ─┴▶ Err(both)
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 03_when_a_child_fails -- --runtime smol` (or `tokio`, or `sim`).

use std::num::ParseIntError;

use foster::error::ErrorGroup;
use foster::{NurseryOptions, nursery, sleep_forever};

fn main() {
    foster_examples::run(failures());
}

async fn failures() {
    let failed: Result<(), ParseIntError> = nursery(async |n| {
        let guard = SaysGoodbye;
        n.spawn(async move {
            sleep_forever().await;
            drop(guard);
        });
        n.spawn(async { "x".parse::<u32>() });
        sleep_forever().await;
        Ok(()) // not reached: the body is cancelled, too
    })
    .await;
    println!("fail-fast: {}", failed.unwrap_err());

    let failed: Result<(), ErrorGroup<ParseIntError>> = NurseryOptions::new()
        .collect_errors()
        .run(async |n| {
            for text in ["1", "x", "y", ""] {
                n.child().named(format!("{text:?}")).spawn(async { text.parse::<u32>() });
            }
            Ok(())
        })
        .await;
    let mut group = failed.unwrap_err().into_iter().collect::<Vec<_>>();
    group.sort_by_key(|member| member.child.as_ref().map(|child| child.name().to_owned()));
    for member in group {
        println!("collected from {}: {}", member.child.map_or_else(String::new, |c| c.name().to_owned()), member.error);
    }
}

struct SaysGoodbye;

impl Drop for SaysGoodbye {
    fn drop(&mut self) {
        println!("the sibling is dropped");
    }
}
