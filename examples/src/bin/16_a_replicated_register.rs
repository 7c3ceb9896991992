//! Lesson 11: a register on three replicas, whose readers take the first answer. The simulator cuts links, and finds the seed on which that matters.
//!
//! ```text
//!   client  ── writes 3 ─────────┬───────────┬───────╳      ── reads ──────────────────────────┐
//!   one                          └─ keeps 3  │       cut,                                      │
//!   two                                      └─ keeps 3     repaired                           │
//!   three                                                     └────── answers first: 2 ────────┘
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 16_a_replicated_register -- --version broken` (or `mended`). It fails as a test does;
//! `FOSTER_SEED=… cargo run …`, as the failure says, repeats it, with each packet.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foster::combine::{first_ok, gather_results};
use foster::{Nursery, fail_after, nursery, sleep};
use foster_examples::Version;
use foster_net::{ServeOptions, TcpListener, TcpStream, serve};
use foster_sim::net::{Chaos, Host};

fn main() {
    let version = Version::chosen();
    foster_sim::test("what_was_written_is_read", 200, || what_was_written_is_read(version));
    println!("what was written was read");
}

const REPLICAS: [&str; 3] = ["one", "two", "three"];

/// Keeps the greatest number that it was ever sent, and answers with it.
async fn replica() {
    let stored = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
    let handler = move |stream: TcpStream, _| {
        let stored = stored.clone();
        async move {
            let mut number = [0; 8];
            stream.read_exact(&mut number).await?;
            stored.fetch_max(u64::from_be_bytes(number), Ordering::SeqCst);
            stream.write_all(&stored.load(Ordering::SeqCst).to_be_bytes()).await
        }
    };
    // A client that is cut off is no incident.
    let options = ServeOptions::<io::Error>::new().on_incident(drop);
    serve(listener, options, handler).await.unwrap();
}

async fn ask(replica: &str, number: u64) -> io::Result<u64> {
    fail_after(Duration::from_millis(100), async {
        let stream = TcpStream::connect((replica, 80)).await?;
        stream.write_all(&number.to_be_bytes()).await?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await?;
        Ok(u64::from_be_bytes(answer))
    })
    .await?
}

/// Sends the number to all replicas. It is the greatest answer of at least two.
async fn ask_most(number: u64) -> io::Result<u64> {
    let answers = gather_results(REPLICAS.map(|replica| ask(replica, number))).await;
    let answers: Vec<u64> = answers.into_iter().flatten().collect();
    let greatest = answers.iter().max().copied().filter(|_| answers.len() >= 2);
    greatest.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "most replicas do not answer"))
}

/// Reads; broken if it takes the first answer that comes, instead of asking as many as a write does.
async fn read(version: Version) -> io::Result<u64> {
    match version {
        Version::Broken => first_ok(REPLICAS.map(|replica| ask(replica, 0))).await.map_err(io::Error::other),
        Version::Mended => ask_most(0).await,
    }
}

/// A value that was written, and acknowledged, is read.
async fn what_was_written_is_read(version: Version) {
    let replicas = REPLICAS.map(Host::new);
    let client = Host::new("client");
    let everybody: Vec<Host> = replicas.iter().chain([&client]).cloned().collect();
    let Ok(()) = nursery(async |n: Nursery| {
        for host in replicas {
            n.spawn_daemon(async move { host.boot(replica).await });
        }
        n.spawn_daemon(async move { Chaos::new(&everybody).run().await });
        let program = client.run(async move {
            for number in 1..=3 {
                sleep(Duration::from_millis(300)).await;
                // Until most of them have it.
                while ask_most(number).await.is_err() {
                    sleep(Duration::from_millis(100)).await;
                }
                if let Ok(seen) = read(version).await {
                    assert!(seen >= number, "{number} was written, and {seen} is read");
                }
            }
        });
        program.await.unwrap();
    })
    .await;
}
