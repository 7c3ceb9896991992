//! Work that blocks or computes: on threads, so many at once, and asked to stop when nobody wants it any more.
//!
//! ```text
//!   caller  ──── to_thread(f) ─────╳ ·· waits ···▶ cancelled
//!   thread          └─ f ─ is_cancelled()? ─ yes ─┘
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin threads -- --runtime smol` (or `tokio`, or `sim`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use foster::checkpoint_if_cancelled;
use foster::combine::map_concurrent;
use foster::sync::CapacityLimiter;
use foster::thread::{self, from_thread};
use foster::{checkpoint, move_on_after, nursery, sleep, to_thread, yield_now};

fn main() -> io::Result<()> {
    foster_examples::run(async {
        blocking().await?;
        computing().await?;
        stopped().await;
        and_back().await;
        Ok(())
    })
}

/// A call that blocks: the other tasks go on meanwhile.
async fn blocking() -> io::Result<()> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let text = to_thread(move || std::fs::read_to_string(manifest)).await?;
    println!("the manifest names the package: {}", text.contains("foster-examples"));
    Ok(())
}

/// Work for the cores: at most two threads at once, by a limiter of its own.
async fn computing() -> io::Result<()> {
    let cores = Arc::new(CapacityLimiter::new(2));
    let counts = map_concurrent(100, [10, 100, 1000], async |limit| {
        io::Result::Ok(to_thread(move || primes_below(limit)).limiter(cores.clone()).await)
    });
    println!("primes: {:?}", counts.await?);
    // Where a task computes itself, it gives way now and then.
    let in_task = nursery(async |n| {
        let sum = n.spawn(async {
            let mut sum = 0;
            for chunk in 0..10_u64 {
                sum += (chunk * 1000..(chunk + 1) * 1000).sum::<u64>();
                checkpoint().await;
            }
            io::Result::Ok(sum)
        });
        Ok(sum.await?)
    });
    println!("sum: {}", in_task.await?);
    Ok(())
}

fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..*n).all(|divisor| n % divisor != 0)).count()
}

/// A thread cannot be interrupted, so it is waited for; but it can ask.
async fn stopped() {
    let in_time = move_on_after(Duration::from_millis(20), async {
        let counted = to_thread(|| {
            let mut chunks = 0_u64;
            while !thread::is_cancelled() {
                chunks += 1; // one more chunk of the work
            }
            chunks
        })
        .await;
        checkpoint_if_cancelled().await; // half a result is none
        counted
    });
    println!("stopped by the deadline: {:?}", in_time.await);
    let not_wanted = move_on_after(Duration::ZERO, async {
        yield_now().await;
        to_thread(|| unreachable!("code that is cancelled starts no thread")).await
    });
    println!("not even started: {:?}", not_wanted.await);
}

/// From the thread back into the scope that awaits it.
async fn and_back() {
    let total = to_thread(|| {
        // A parser that knows nothing of async code.
        ["ann", "bob"].map(|name| from_thread(lookup(name))).into_iter().sum::<Result<usize, _>>()
    });
    println!("looked up: {:?}", total.await);
}

async fn lookup(name: &str) -> usize {
    sleep(Duration::from_millis(1)).await;
    name.len()
}
