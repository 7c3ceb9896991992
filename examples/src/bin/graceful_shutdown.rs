//! A program that stops well: at SIGINT or SIGTERM it takes nothing in any more, finishes what it has begun, and ends with an
//! exit code that tells how it went.
//!
//! ```text
//!   first signal   accept loop ends at once · request in flight is finished · log is flushed ─▶ 0
//!   second signal                            · request in flight is cut off  · log is flushed ─▶ 128 + n
//!   grace over                               · request in flight is cut off  · log is flushed ─▶ 124
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin graceful_shutdown -- --runtime smol` (or `tokio`, or `sim`), and press ctrl-C.
//! In the simulation the signal comes by itself.

use std::process::ExitCode;
use std::time::Duration;

use foster::app::{ExitReport, Signal, app};
use foster::{Nursery, defer, graceful, nursery, sleep, stopping};
use foster_examples::Adapter;

/// How long a request takes to be finished, and how long it is waited for; from the environment, so that a test can choose.
fn seconds(variable: &str, default: f64) -> Duration {
    let given = std::env::var(variable).ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(given.unwrap_or(default))
}

fn main() -> std::io::Result<ExitCode> {
    let grace = seconds("GRACE", 2.0);
    foster_examples::run_with(|adapter| async move {
        let ended: ExitReport<()> = match adapter {
            Adapter::Smol => app(foster_smol::signals()?, serve()).grace(grace).await,
            Adapter::Tokio | Adapter::TokioCurrentThread => app(foster_tokio::signals()?, serve()).grace(grace).await,
            Adapter::Sim => app(Signal::after(Duration::from_secs(1), Signal::TERMINATE), serve()).grace(grace).await,
        };
        println!("{}", ended.cause());
        Ok(ExitCode::from(ended.code()))
    })
}

async fn serve() {
    defer(async { println!("the log is flushed") });
    let Ok(()) = nursery(async |n: Nursery| {
        n.child().named("request 1").spawn(graceful(async {
            // It has begun: from here on it is finished. (A child that is cancelled before its first poll is dropped.)
            println!("ready");
            request().await;
        }));
        loop {
            // Accept: stops here when the signal comes.
            sleep(Duration::from_secs(3600)).await;
            n.spawn(graceful(request()));
        }
    })
    .await;
}

async fn request() {
    stopping().await;
    println!("stopping: finishes the request");
    sleep(seconds("REQUEST", 0.05)).await;
    println!("the request is answered");
}
