//! Streams that are written as code: pages of an API, batches, and sessions that answer word by word.
//!
//! ```text
//!   consumer ── next ──┐        ┌─ item ── next ──┐        ┌─ item ──╳ closed
//!   body               └─ emit ─┘ ┆               └─ emit ─┘         ╳── releases what it holds ──▶
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin streams -- --runtime smol` (or `tokio`, or `sim`).

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::combine::Emitter;
use foster::combine::{batch, map_concurrent, merge, produce, throttle, try_produce};
use foster::{bracket, move_on_after, sleep};
use futures_lite::{Stream, StreamExt};

fn main() -> io::Result<()> {
    foster_examples::run(async {
        pages().await?;
        batches().await;
        sessions().await?;
        several_as_one().await;
        Ok(())
    })
}

/// One page of an API; the last one is number 3.
async fn page(number: u32) -> io::Result<Vec<u32>> {
    println!("fetches page {number}");
    match number {
        1..=3 => Ok((1..=4).map(|row| number * 10 + row).collect()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

/// The rows of all pages. A page is fetched when its first row is asked for.
fn rows() -> impl Stream<Item = io::Result<u32>> {
    try_produce(async |mut out: Emitter<u32>| {
        for number in 1..=3 {
            for row in page(number).await? {
                out.emit(row).await;
            }
        }
        io::Result::Ok(())
    })
}

/// Streams are those of the `futures` crates, with all their adapters.
async fn pages() -> io::Result<()> {
    let even: Vec<u32> = pin!(rows()).filter_map(Result::ok).filter(|row| row % 2 == 0).take(3).collect().await;
    println!("three even rows: {even:?}");
    let all: Vec<u32> = pin!(rows()).try_collect().await?;
    println!("{} rows", all.len());
    Ok(())
}

/// Batches by count, and by time for the last ones; none is lost.
async fn batches() {
    let entries = produce(async |mut out| {
        for number in 1..=8 {
            if number == 8 {
                sleep(Duration::from_millis(300)).await; // longer than a batch waits
            }
            out.emit(number).await;
        }
    });
    let mut batches = batch(entries, 3, Duration::from_millis(20));
    while let Some(batch) = batches.next().await {
        println!("batch {batch:?}");
    }
}

/// A session with an assistant, of which there are never more open than were asked for.
struct Session<'a>(&'a AtomicUsize);

impl Session<'_> {
    /// The answer, word by word.
    fn ask(&self, question: &str) -> impl Stream<Item = String> + Unpin + use<> {
        let words: Vec<String> = question.split(' ').rev().map(str::to_owned).collect();
        produce(async |mut out| {
            for word in words {
                sleep(Duration::from_millis(1)).await;
                out.emit(word).await;
            }
        })
    }
}

/// Many sessions, two at a time. Each is closed on every path, and an answer that takes too long is cut where it is.
async fn sessions() -> io::Result<()> {
    static OPEN: AtomicUsize = AtomicUsize::new(0);
    let most = AtomicUsize::new(0);
    let questions = ["are streams simple", "is it so", "who knows"];
    let answers = map_concurrent(2, questions, |question| {
        bracket(
            async {
                most.fetch_max(OPEN.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                Session(&OPEN)
            },
            async move |session| {
                let mut answer = Vec::new();
                let patience = Duration::from_secs(if question == "who knows" { 0 } else { 60 });
                let in_time = move_on_after(patience, async {
                    let mut words = session.ask(question);
                    while let Some(word) = words.next().await {
                        answer.push(word);
                    }
                });
                let end = if in_time.await.is_some() { "." } else { "…" };
                io::Result::Ok(answer.join(" ") + end)
            },
            |session, _exit| async move {
                session.0.fetch_sub(1, Ordering::SeqCst);
            },
        )
    });
    println!("{:?}", answers.await?);
    println!("at most {} sessions at once, {} are open", most.into_inner(), OPEN.load(Ordering::SeqCst));
    Ok(())
}

/// Several streams as one, and one that does not go too fast.
async fn several_as_one() {
    let count = |from: u32, to| {
        produce(async move |mut out| {
            for number in from..to {
                out.emit(number).await;
            }
        })
    };
    let merged: Vec<u32> = merge([count(0, 50), count(50, 100)]).collect().await;
    println!("merged: {}", merged.len());
    let start = foster::Instant::now();
    let slow: Vec<u32> = throttle(count(0, 4), Duration::from_millis(10)).collect().await;
    println!("throttled: {slow:?}, 30 ms or more: {}", start.elapsed() >= Duration::from_millis(30));
}
