//! A program that waits does nothing: its futures are polled for what they wait for, and else hardly.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::channel::bounded;
use foster::{Nursery, move_on_after, nursery, sleep};

use super::on_host;
use crate::hosts::HOSTS;

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
