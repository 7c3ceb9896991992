//! A service from the inside: jobs in the background, callbacks when they end, what is going on now, and who holds up the others.
//!
//! ```text
//!   service ─┬─ body ────────────── requests ─────────▶ over
//!            ├─ mail (daemon) ─▶ done, told                ┆
//!            ├─ audit (daemon) ─▶ failed, logged           ┆
//!            └─ metrics (daemon) ──────────────────────────╳ stopped with the service
//! ```
//!
//! How such a program ends at SIGTERM is in `graceful_shutdown`.
//!
//! Run it with `cargo run -p foster-examples --bin service -- --runtime smol` (or `tokio`, or `sim`).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foster::channel::oneshot;
use foster::observer::{PollReport, PollWatch};
use foster::supervise::{Supervisor, SupervisorEvent};
use foster::{Nursery, NurseryOptions, Task, defer, dump, sleep_forever};
use foster_examples::Adapter;

fn main() {
    let adapter = Adapter::chosen();
    // Whoever is polled for longer than this holds up the other tasks of its thread.
    let slow = Arc::new(Mutex::new(Vec::new()));
    let noted = slow.clone();
    let watch = PollWatch::new(Duration::from_millis(500)).on_report(move |report| {
        if let PollReport::Slow { task, .. } = report {
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(task.name().to_owned());
        }
    });
    adapter.run_observed(Arc::new(watch), async {
        serve(adapter).await;
        restarted().await;
    });
    let slow = slow.lock().unwrap_or_else(PoisonError::into_inner);
    println!("held up the others: {}", slow.join(", "));
}

/// A job that nobody waits for. At the end of the service it is stopped.
fn spawn<F>(service: &Nursery<io::Error>, name: &'static str, job: F) -> Task<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    service.child().named(name).daemon().spawn(async move {
        // The code behind the await is the callback; a finalizer is one that also runs when the job is cancelled. (A
        // job that is cancelled before it begins is dropped as it is: nothing of it runs.)
        defer(async move { println!("{name} has ended") });
        job.await?;
        println!("{name} is done");
        Ok(())
    })
}

async fn serve(adapter: Adapter) {
    // A failure is told, and touches no other job.
    let service =
        NurseryOptions::new().on_error(|error: io::Error, job| println!("{} has failed: {error}", job.name()));
    let served = service.run(async |n: Nursery<io::Error>| {
        let mut mail = spawn(&n, "mail", async { Ok(()) });
        mail.wait().await;
        let mut audit = spawn(&n, "audit", async { Err(io::Error::other("the disk is full")) });
        audit.wait().await;
        let (begun, begins) = oneshot();
        spawn(&n, "metrics", async move {
            begun.send(()).expect("it is waited for");
            match sleep_forever().await {}
        });
        begins.await.expect("it begins");

        // A request that computes, or blocks, where it should give way. That is for `to_thread`.
        let mut careless = n.child().named("careless").spawn(async move { hold_up(adapter) });
        careless.wait().await;

        // The scopes that are alive now; with `Root::watch`, and in a simulation, also what they wait for.
        let alive = dump();
        let tasks = alive.scopes().iter().filter(|scope| scope.kind == "task").map(|scope| scope.origin.name());
        println!("alive: {}", tasks.collect::<Vec<_>>().join(", "));
        println!("the service ends");
        Ok(())
    });
    served.await.expect("only the body could fail");
}

#[expect(clippy::disallowed_methods, reason = "this is what one should not do")]
fn hold_up(adapter: Adapter) {
    match adapter {
        Adapter::Smol | Adapter::Tokio | Adapter::TokioCurrentThread => std::thread::sleep(Duration::from_millis(600)),
        Adapter::Sim => foster_sim::clock().jump(Duration::from_millis(600)),
    }
}

/// A job that is started again when it fails.
async fn restarted() {
    let mut lives = 0;
    let supervised = Supervisor::<io::Error>::new()
        .child("feed", move || {
            lives += 1;
            async move { if lives < 3 { Err(io::Error::other("connection lost")) } else { Ok(()) } }
        })
        .observe(|event| {
            if let SupervisorEvent::Started { child, lives, .. } = event {
                println!("{child} begins life {lives}");
            }
        });
    supervised.run().await.expect("the third time goes well");
}
