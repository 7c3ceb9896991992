//! Children that have ended already are taken note of: what is left is the reaping.

use foster::{LocalNursery, Nursery};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::turn::Yield;
use crate::host::Host;
use crate::meter::{self, measure};
use crate::row::Rows;

/// All children have run to their ends.
async fn all_have_run(count: &AtomicU64, n: u64) {
    while count.load(Ordering::Acquire) < n {
        Yield::default().await;
    }
    meter::begin();
}

async fn nursery(n: u64) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let Ok(sum) = foster::nursery(async |nursery: Nursery| {
        let child = |i| {
            let count = count.clone();
            async move {
                count.fetch_add(1, Ordering::Release);
                Ok(i)
            }
        };
        let tasks: Vec<_> = (0..n).map(|i| nursery.spawn(child(i))).collect();
        all_have_run(&count, n).await;
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

/// Each child of a local nursery waits for a task of tokio's that has ended: all of it in one task, with one budget.
async fn handles(n: u64) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let tasks = spawned(&count, n);
    all_have_run(&count, n).await;
    let Ok(sum) = foster::local_nursery(async |nursery: LocalNursery<'_>| {
        let tasks: Vec<_> =
            tasks.into_iter().map(|task| nursery.spawn(async move { Ok(task.await.unwrap()) })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

fn spawned(count: &Arc<AtomicU64>, n: u64) -> Vec<tokio::task::JoinHandle<u64>> {
    let child = |i| {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::Release);
            i
        }
    };
    (0..n).map(|i| tokio::spawn(child(i))).collect()
}

pub(super) fn rows(rows: &mut Rows) {
    for host in [Host::TokioCt, Host::TokioMt2] {
        let row = rows.on(host, "reap", "nursery: 100 000 children that have ended are joined", 100_000);
        row.foster(move |n| host.foster(measure(n, nursery)));
        #[cfg(feature = "peers")]
        row.peer("JoinSet", move |n| host.tokio(measure(n, peers::joinset)));
        let row =
            rows.on(host, "reap-local", "local nursery: 20 000 tasks of tokio's that have ended are awaited", 20_000);
        row.foster(move |n| host.foster(measure(n, handles)));
        #[cfg(feature = "peers")]
        // It goes on polling when the budget is gone: quadratic where nothing else comes between.
        row.peer("FuturesUnordered", move |n| host.tokio(measure(n, peers::unordered)));
    }
}

#[cfg(feature = "peers")]
mod peers {
    use futures::StreamExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::task::JoinSet;

    use super::{all_have_run, spawned};

    pub(super) async fn joinset(n: u64) -> u64 {
        let count = Arc::new(AtomicU64::new(0));
        let mut set = JoinSet::new();
        for i in 0..n {
            let count = count.clone();
            set.spawn(async move {
                count.fetch_add(1, Ordering::Release);
                i
            });
        }
        all_have_run(&count, n).await;
        let mut sum = 0;
        while let Some(i) = set.join_next().await {
            sum += i.unwrap();
        }
        sum
    }

    pub(super) async fn unordered(n: u64) -> u64 {
        let count = Arc::new(AtomicU64::new(0));
        let tasks = spawned(&count, n);
        all_have_run(&count, n).await;
        let mut set: futures::stream::FuturesUnordered<_> = tasks.into_iter().collect();
        let mut sum = 0;
        while let Some(i) = set.next().await {
            sum += i.unwrap();
        }
        sum
    }
}
