//! A program that waits does nothing: its futures are polled for what they wait for, and else hardly; and nothing else of it
//! runs.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::channel::bounded;
use foster::combine::merge;
use foster::sync::{Event, Semaphore};
use foster::{
    CancelScope, LocalNursery, Nursery, defer, interval, local_nursery, move_on_after, nursery, shield, sleep,
    sleep_forever,
};

use super::on_host;
use crate::hosts::HOSTS;
#[cfg(target_os = "linux")]
use crate::quiet::processor_time;

/// Counts the polls of a future.
async fn counted<F: Future>(polls: Arc<AtomicUsize>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.fetch_add(1, Ordering::Relaxed);
        future.as_mut().poll(cx)
    })
    .await
}

#[test]
fn programs_that_wait_are_hardly_polled() {
    const TASKS: usize = 20;
    const SLEEPS: usize = 5;
    foster_conformance::check("programs_that_wait_are_hardly_polled", || {
        for host in HOSTS {
            let polls = on_host(host, "programs_that_wait_are_hardly_polled", async |_| {
                let polls = Arc::new(AtomicUsize::new(0));
                let (tx, rx) = bounded::<()>(0);
                let waits = nursery(async |n: Nursery| {
                    for task in 0..TASKS as u64 {
                        n.spawn(counted(polls.clone(), async move {
                            for round in 0..SLEEPS as u64 {
                                move_on_after(
                                    Duration::from_secs(60),
                                    sleep(Duration::from_millis(3 + task % 5 + round)),
                                )
                                .await;
                            }
                        }));
                        // These wait until the nursery is over.
                        let rx = rx.clone();
                        n.spawn_daemon(counted(polls.clone(), async move { while rx.recv().await.is_ok() {} }));
                    }
                    Ok(())
                });
                let Ok(()) = counted(polls.clone(), waits).await;
                drop(tx);
                polls.load(Ordering::Relaxed)
            });
            println!("{host:?}: {polls} polls");
            // One for each sleep, one at the start and one at the end of each task; the nursery itself once for each
            // child.
            let needed = TASKS * (SLEEPS + 2) + 2 * TASKS + 2 * TASKS;
            assert!(polls <= 3 * needed, "{host:?}: {polls} polls of futures that needed {needed}");
        }
    });
}

/// A tree in which everything waits, after much has come and gone, uses no processor: no alarm, driver, root or reaper goes
/// round and round.
#[cfg(target_os = "linux")]
#[test]
fn a_tree_that_waits_uses_no_processor() {
    const HOUR: Duration = Duration::from_secs(3600);
    let in_no_time = Duration::from_millis(1);
    foster_conformance::check("a_tree_that_waits_uses_no_processor", || {
        for host in HOSTS {
            on_host(host, "a_tree_that_waits_uses_no_processor", async |_| {
                let over = Arc::new(Event::new());
                let Ok(()) = nursery(async |n: Nursery| {
                    // What has passed, and left something that waits: a shield in a scope that was cancelled, a finalizer,
                    // a timer.
                    let mut scope = CancelScope::new();
                    let handle = scope.handle();
                    let (ends, cleans) = (over.clone(), over.clone());
                    n.spawn_daemon(async move {
                        let stopped = scope.run(async {
                            defer(async move { cleans.wait().await });
                            shield(move_on_after(HOUR, ends.wait())).await;
                        });
                        let _cancelled = stopped.await;
                    });
                    for _ in 0..50 {
                        assert!(move_on_after(in_no_time, sleep_forever()).await.is_none());
                        assert!(move_on_after(HOUR, sleep(in_no_time)).await.is_some());
                    }
                    handle.cancel("it waits all the same");
                    // What waits for what never comes.
                    n.spawn_daemon(async move { _ = move_on_after(HOUR, sleep_forever()).await });
                    n.spawn_daemon(async move {
                        let mut ticks = merge([interval(HOUR), interval(2 * HOUR)]);
                        while ticks.next().await.is_some() {}
                    });
                    n.spawn_daemon(async move {
                        let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
                            for _ in 0..3 {
                                n.spawn(async { _ = move_on_after(HOUR, sleep_forever()).await });
                            }
                        })
                        .await;
                    });
                    let (tx, rx) = bounded::<()>(1);
                    n.spawn_daemon(async move { while rx.recv().await.is_ok() {} });
                    n.spawn_daemon(async move {
                        let none = Semaphore::new(0);
                        let _permit = move_on_after(HOUR, none.acquire()).await;
                    });
                    // The least of some: other tests of this process may run.
                    let mut least = Duration::MAX;
                    for _ in 0..10 {
                        let before = processor_time().expect("Linux says so");
                        sleep(Duration::from_millis(250)).await;
                        least = least.min(processor_time().expect("Linux says so") - before);
                        if least <= Duration::from_millis(20) {
                            break;
                        }
                    }
                    over.set();
                    drop(tx);
                    println!("{host:?}: {least:?} of 250 ms");
                    assert!(least <= Duration::from_millis(50), "{host:?} uses the processor: {least:?} of 250 ms");
                    Ok(())
                })
                .await;
            });
        }
    });
}
