//! N105: many lookups at once have few threads.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::{Nursery, nursery, to_thread};
use foster_net::{LOOKUP_THREADS, lookup_host};
use foster_net_conformance::in_time;

use super::{HOSTS, Held, ONE_AT_A_TIME};

const LOOKUPS: usize = 1_000;

fn threads() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

/// N105: a thousand lookups are all answered, at most [`LOOKUP_THREADS`] of them at once, and other blocking work
/// is done beside them.
#[test]
fn n105_many_lookups_have_few_threads() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for host in HOSTS {
        Held::at_rest();
        let (before, most) = host.run(async {
            // What the runtime itself has is there then, and one for other work.
            to_thread(|| ()).await;
            let (before, most) = (threads(), AtomicUsize::new(0));
            let most_seen = &most;
            in_time(async {
                let lookups = nursery(async |n: Nursery<io::Error>| {
                    let tasks: Vec<_> = (0..LOOKUPS).map(|_| n.spawn(lookup_host("localhost:80"))).collect();
                    to_thread(|| ()).await;
                    for task in tasks {
                        let found = task.await.expect("it is found");
                        assert!(found.iter().all(|address| address.ip().is_loopback()));
                        most_seen.fetch_max(threads().unwrap_or(0), Ordering::Relaxed);
                    }
                    Ok(())
                });
                lookups.await.unwrap();
            })
            .await;
            (before, most.load(Ordering::Relaxed))
        });
        if let Some(before) = before {
            println!("{host:?}: {before} threads before, {most} with lookups");
            // A thread whose lookup has ended need not be idle yet when the next one begins.
            assert!(most <= before + 2 * LOOKUP_THREADS, "{host:?}: {before} threads before, {most} with lookups");
        }
    }
}
