//! Portals from a `main` that is not async, on each adapter: its runtime on a thread of its own, and a structured end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::portal::{Portal, portal, try_portal};
use foster::portal::{PortalError, PortalHost};
use foster::{defer, sleep, sleep_forever, to_thread};

/// Each of the adapters, under its name.
fn on_each(test: fn(fn(PortalHost))) {
    let simulated: fn(PortalHost) = |host| foster_sim::Builder::new(1).real_threads(Duration::from_secs(60)).run(host);
    let single: fn(PortalHost) = |host| foster_tokio::Builder::new().current_thread().run(host);
    let runs: [(&str, fn(PortalHost)); 4] = [
        ("smol", foster_smol::run),
        ("tokio, multi-thread", foster_tokio::run),
        ("tokio, current-thread", single),
        ("the simulator", simulated),
    ];
    for (name, run) in runs {
        println!("on {name}");
        foster_conformance::check(name, || test(run));
    }
}

fn lingering(cleaned: &Arc<AtomicUsize>) -> impl Future<Output = ()> + Send + use<> {
    let cleaned = cleaned.clone();
    async move {
        defer(async move {
            sleep(Duration::from_millis(2)).await;
            cleaned.fetch_add(1, Ordering::SeqCst);
        });
        sleep_forever().await;
    }
}

/// B234: calls and tasks from sync code; the end waits for what was started.
#[test]
fn sync_code_runs_async_work_and_its_end_waits_for_it() {
    on_each(|run| {
        let ended = Arc::new(AtomicUsize::new(0));
        let end = ended.clone();
        let sum = portal(run, |tree| {
            let slow = tree.spawn(async {
                sleep(Duration::from_millis(2)).await;
                to_thread(|| 40).await
            })?;
            tree.spawn(async move {
                sleep(Duration::from_millis(5)).await;
                end.fetch_add(1, Ordering::SeqCst);
            })?;
            Ok::<_, PortalError>(tree.call(async { 2 })? + slow.join()?)
        });
        assert_eq!(sum.unwrap(), 42);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    });
}

/// B234: an error of the sync code, or its panic, cancels what was started, waits for its cleanup, and comes out.
#[test]
fn a_failure_of_the_sync_code_cancels_the_tasks() {
    on_each(|run| {
        let cleaned = Arc::new(AtomicUsize::new(0));
        let begin = |tree: &Portal| {
            tree.spawn(lingering(&cleaned)).unwrap();
            // The next task may begin earlier, so by itself this would not prove that the first has begun.
            tree.call(sleep(Duration::from_millis(5))).unwrap();
        };
        let failed: Result<(), &str> = try_portal(run, |tree| {
            begin(tree);
            Err("in sync code")
        });
        assert_eq!(failed, Err("in sync code"));
        assert_eq!(cleaned.load(Ordering::SeqCst), 1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            portal(run, |tree| {
                begin(tree);
                std::panic::panic_any("in sync code")
            })
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"in sync code"));
        assert_eq!(cleaned.load(Ordering::SeqCst), 2);
    });
}

/// B234: a call after the end is refused; a handle may outlive the portal.
#[test]
fn a_call_after_the_end_is_refused() {
    on_each(|run| {
        let (kept, task) = portal(run, |tree| (tree.clone(), tree.spawn(async { 7 }).unwrap()));
        assert!(matches!(kept.call(async {}), Err(PortalError::Closed)));
        assert!(matches!(kept.spawn(async {}), Err(PortalError::Closed)));
        assert!(!task.cancel("after the stop"));
        assert_eq!(task.join().unwrap(), 7);
    });
}

/// B234, L32: the panic of a task that nobody joins comes out of the portal.
#[test]
fn the_panic_of_a_task_comes_out_of_the_portal() {
    on_each(|run| {
        let out = catch_unwind(AssertUnwindSafe(|| {
            portal(run, |tree| drop(tree.spawn(async { std::panic::panic_any(7_u8) }).unwrap()))
        }));
        assert_eq!(out.unwrap_err().downcast_ref(), Some(&7_u8));
    });
}
