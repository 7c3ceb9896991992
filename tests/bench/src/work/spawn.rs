//! Children are spawned and joined; in nurseries of 2, 10, 1000 and 100 000.

use foster::{LocalNursery, Nursery};
use std::ops::Range;

use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

/// The numbers of the children of one nursery after the other.
fn batches(n: u64, batch: u64) -> impl Iterator<Item = Range<u64>> {
    (0..n).step_by(batch as usize).map(move |start| start..n.min(start + batch))
}

async fn nursery<const BATCH: u64>(n: u64) -> u64 {
    let mut sum = 0;
    for batch in batches(n, BATCH) {
        let Ok(part) = foster::nursery(async |nursery: Nursery| {
            let tasks: Vec<_> = batch.map(|i| nursery.spawn(async move { Ok(i) })).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            Ok(sum)
        })
        .await;
        sum += part;
    }
    sum
}

async fn local<const BATCH: u64>(n: u64) -> u64 {
    let mut sum = 0;
    for batch in batches(n, BATCH) {
        let Ok(part) = foster::local_nursery(async |nursery: LocalNursery<'_>| {
            let tasks: Vec<_> = batch.map(|i| nursery.spawn(async move { Ok(i) })).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            Ok(sum)
        })
        .await;
        sum += part;
    }
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    for host in Host::ALL {
        let bars: &[Bar] = match host {
            Host::Smol1 => &[Bar::Ratio(1.3)],
            Host::Smol2 | Host::Plain => &[],
            Host::TokioCt => &[Bar::Ratio(0.7), Bar::Instr(1970.0), Bar::Allocs(2.0)],
            Host::TokioMt2 => &[],
        };
        let row = rows.on(host, "spawn-1e3", "nursery: spawn and join, 1000 at once", 20_000).bars(bars);
        row.foster(move |n| host.foster(measure(n, nursery::<1_000>)));
        #[cfg(feature = "peers")]
        peers::runtime::<1_000>(row, host);
        if !host.is_parallel() {
            row.gated();
        }

        let bars: &[Bar] = if host == Host::TokioMt2 { &[Bar::Ratio(0.8)] } else { bars };
        let row = rows.on(host, "spawn-1e5", "nursery: spawn and join, 100 000 at once", 100_000).bars(bars);
        row.foster(move |n| host.foster(measure(n, nursery::<100_000>)));
        #[cfg(feature = "peers")]
        peers::runtime::<100_000>(row, host);

        let row = rows.on(host, "spawn-1e6", "nursery: spawn and join, 1 000 000 at once", 1_000_000).uncounted();
        row.foster(move |n| host.foster(measure(n, nursery::<1_000_000>)));
        #[cfg(feature = "peers")]
        peers::runtime::<1_000_000>(row, host);
    }
    let bars = [Bar::Instr(600.0), Bar::Nanos(45.0), Bar::Allocs(1.0)];
    let row =
        rows.on(Host::Plain, "local-1e3", "local nursery: spawn and join, 1000 at once", 20_000).bars(&bars).gated();
    row.foster(|n| Host::Plain.foster(measure(n, local::<1_000>)));
    #[cfg(feature = "peers")]
    peers::one_task::<1_000>(row);
    let row = rows.on(Host::Plain, "local-1e5", "local nursery: spawn and join, 100 000 at once", 100_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, local::<100_000>)));
    #[cfg(feature = "peers")]
    peers::one_task::<100_000>(row);
    let row = rows.on(Host::Plain, "local-1e6", "local nursery: spawn and join, 1 000 000 at once", 1_000_000);
    row.uncounted().foster(|n| Host::Plain.foster(measure(n, local::<1_000_000>)));
    #[cfg(feature = "peers")]
    peers::one_task::<1_000_000>(row);

    let bars = [Bar::Ratio(1.0)];
    let row = rows.on(Host::Plain, "local-2", "local nursery of 2 children", 4_000).per(2).bars(&bars).gated();
    row.foster(|n| Host::Plain.foster(measure(n, local::<2>)));
    #[cfg(feature = "peers")]
    peers::small::<2>(row);
    let row = rows.on(Host::Plain, "local-10", "local nursery of 10 children", 20_000).per(10).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, local::<10>)));
    #[cfg(feature = "peers")]
    peers::small::<10>(row);

    for host in Host::ALL {
        let row = rows.on(host, "nursery-2", "nursery of 2 children", 4_000).per(2);
        row.foster(move |n| host.foster(measure(n, nursery::<2>)));
        #[cfg(feature = "peers")]
        peers::runtime::<2>(row, host);
        let row = rows.on(host, "nursery-10", "nursery of 10 children", 20_000).per(10);
        row.foster(move |n| host.foster(measure(n, nursery::<10>)));
        #[cfg(feature = "peers")]
        peers::runtime::<10>(row, host);
    }
}

#[cfg(feature = "peers")]
mod peers {
    use async_executors::TokioCt;
    use async_nursery::{NurseExt, Nursery};
    use futures::StreamExt;
    use futures::future::join_all;
    use smol::Executor;
    use std::future::Future;
    use std::pin::Pin;
    use tokio::task::JoinSet;

    use super::batches;
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;

    type Boxed = Pin<Box<dyn Future<Output = u64>>>;

    async fn joinset<const BATCH: u64>(n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let mut set = JoinSet::new();
            batch.for_each(|i| drop(set.spawn(async move { i })));
            while let Some(i) = set.join_next().await {
                sum += i.unwrap();
            }
        }
        sum
    }

    async fn handles<const BATCH: u64>(n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let tasks: Vec<_> = batch.map(|i| tokio::spawn(async move { i })).collect();
            for task in tasks {
                sum += task.await.unwrap();
            }
        }
        sum
    }

    async fn tasks<const BATCH: u64>(executor: &Executor<'static>, n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let tasks: Vec<_> = batch.map(|i| executor.spawn(async move { i })).collect();
            for task in tasks {
                sum += task.await;
            }
        }
        sum
    }

    async fn unordered<const BATCH: u64>(n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let mut set: futures::stream::FuturesUnordered<Boxed> =
                batch.map(|i| Box::pin(async move { i }) as Boxed).collect();
            while let Some(i) = set.next().await {
                sum += i;
            }
        }
        sum
    }

    async fn buffered<const BATCH: u64>(n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let mut set: futures_buffered::FuturesUnordered<Boxed> =
                batch.map(|i| Box::pin(async move { i }) as Boxed).collect();
            while let Some(i) = set.next().await {
                sum += i;
            }
        }
        sum
    }

    async fn moro<const BATCH: u64>(n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            sum += moro::async_scope!(|scope| {
                let tasks: Vec<_> = batch.map(|i| scope.spawn(async move { i })).collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await;
                }
                sum
            })
            .await;
        }
        sum
    }

    async fn async_nursery<const BATCH: u64>(tokio: &TokioCt, n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let (nursery, results) = Nursery::new(tokio.clone());
            batch.for_each(|i| nursery.nurse(async move { i }).unwrap());
            drop(nursery);
            sum += results.fold(0, async |sum, i: u64| sum + i).await;
        }
        sum
    }

    async fn all<const BATCH: u64>(n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            sum += join_all(batch.map(|i| async move { i })).await.into_iter().sum::<u64>();
        }
        sum
    }

    pub(super) fn runtime<const BATCH: u64>(row: &mut Row, host: Host) {
        if matches!(host, Host::Smol1 | Host::Smol2) {
            row.peer("smol tasks", move |n| {
                host.smol(|executor| async move { measure(n, async |n| tasks::<BATCH>(&executor, n).await).await })
            });
        } else {
            row.peer("JoinSet", move |n| host.tokio(measure(n, joinset::<BATCH>)));
            row.peer("tokio tasks", move |n| host.tokio(measure(n, handles::<BATCH>)));
            // At 1e5 it spends tokio's budget in one task: 19 µs a child on mt2.
            if host == Host::TokioCt && BATCH <= 1_000 {
                row.peer("async_nursery", |n| {
                    let tokio = TokioCt::new().unwrap();
                    tokio.block_on(measure(n, async |n| async_nursery::<BATCH>(&tokio, n).await));
                });
            }
        }
    }

    pub(super) fn one_task<const BATCH: u64>(row: &mut Row) {
        row.peer("futures-buffered", |n| Host::Plain.alone(measure(n, buffered::<BATCH>)));
        row.peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, unordered::<BATCH>)));
        row.peer("moro", |n| Host::Plain.alone(measure(n, moro::<BATCH>)));
    }

    pub(super) fn small<const BATCH: u64>(row: &mut Row) {
        row.peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, unordered::<BATCH>)));
        row.peer("futures-buffered", |n| Host::Plain.alone(measure(n, buffered::<BATCH>)));
        row.peer("join_all", |n| Host::Plain.alone(measure(n, all::<BATCH>)));
        row.peer("moro", |n| Host::Plain.alone(measure(n, moro::<BATCH>)));
    }
}
