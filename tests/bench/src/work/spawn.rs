//! Children are spawned and joined; in nurseries of 2, 10, 1000 and 100 000. And futures of one type, gathered.

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

/// All futures are of one type, and none is spawned.
async fn gather<const BATCH: u64>(n: u64) -> u64 {
    let mut sum = 0;
    for batch in batches(n, BATCH) {
        sum += foster::combine::gather(batch.map(|i| async move { Ok::<_, ()>(i) }))
            .await
            .unwrap()
            .into_iter()
            .sum::<u64>();
    }
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    for host in Host::ALL {
        let bars: &[Bar] = match host {
            Host::Smol1 | Host::Smol2 => &[Bar::Ratio(2.0)],
            Host::TokioCt | Host::TokioMt2 => &[Bar::Ratio(1.0)],
            Host::Plain => &[],
        };
        let row = rows.on(host, "spawn-1e3", "nursery: spawn and join, 1000 at once", 20_000).bars(bars);
        row.foster(move |n| host.foster(measure(n, nursery::<1_000>)));
        #[cfg(feature = "peers")]
        peers::runtime::<1_000>(row, host);
        if !host.is_parallel() {
            row.gated();
        }

        let row = rows.on(host, "spawn-1e5", "nursery: spawn and join, 100 000 at once", 100_000).bars(bars);
        row.foster(move |n| host.foster(measure(n, nursery::<100_000>)));
        #[cfg(feature = "peers")]
        peers::runtime::<100_000>(row, host);

        let row = rows.on(host, "spawn-1e6", "nursery: spawn and join, 1 000 000 at once", 1_000_000).uncounted();
        row.foster(move |n| host.foster(measure(n, nursery::<1_000_000>)));
        #[cfg(feature = "peers")]
        peers::runtime::<1_000_000>(row, host);
    }
    let bars = [Bar::Ratio(4.0)];
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
    let row = rows.on(Host::Plain, "gather-1e3", "gather: 1000 futures of one type", 20_000);
    row.foster(|n| Host::Plain.foster(measure(n, gather::<1_000>)));
    #[cfg(feature = "peers")]
    peers::one_type::<1_000>(row);

    let bars = [Bar::Ratio(5.0)];
    let row = rows.on(Host::Plain, "local-2", "local nursery of 2 children", 4_000).per(2).bars(&bars).gated();
    row.foster(|n| Host::Plain.foster(measure(n, local::<2>)));
    #[cfg(feature = "peers")]
    peers::small::<2>(row);
    #[cfg(feature = "peers")]
    row.peer("join", |n| Host::Plain.alone(measure(n, peers::two)));
    let row = rows.on(Host::Plain, "local-10", "local nursery of 10 children", 20_000).per(10).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, local::<10>)));
    #[cfg(feature = "peers")]
    peers::small::<10>(row);

    for host in Host::ALL {
        let is_tokio = matches!(host, Host::TokioCt | Host::TokioMt2);
        let bars = |most| if is_tokio { vec![Bar::Ratio(most)] } else { Vec::new() };
        let row = rows.on(host, "nursery-2", "nursery of 2 children", 4_000).per(2).bars(&bars(1.8));
        row.foster(move |n| host.foster(measure(n, nursery::<2>)));
        #[cfg(feature = "peers")]
        peers::runtime::<2>(row, host);
        let row = rows.on(host, "nursery-10", "nursery of 10 children", 20_000).per(10).bars(&bars(1.2));
        row.foster(move |n| host.foster(measure(n, nursery::<10>)));
        #[cfg(feature = "peers")]
        peers::runtime::<10>(row, host);
    }
}

#[cfg(feature = "peers")]
mod peers {
    use async_executor::StaticExecutor;
    use async_executors::TokioCt;
    use async_nursery::{NurseExt, Nursery};
    use futures::StreamExt;
    use futures::future::{join, join_all};
    use smol::{Executor, Task};
    use std::future::Future;
    use std::hint::black_box;
    use std::pin::Pin;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::batches;
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;
    use crate::work::least::{Job, Nursery as LeastNursery};

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

    /// The tracker is waited for, the token would tell them to stop, and the handles have the results.
    async fn tracker<const BATCH: u64>(n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
            let child = |i| token.clone().run_until_cancelled_owned(async move { i });
            let tasks: Vec<_> = batch.map(|i| tracker.spawn(child(i))).collect();
            tracker.close();
            tracker.wait().await;
            for task in tasks {
                sum += task.await.unwrap().unwrap();
            }
        }
        sum
    }

    async fn least<const BATCH: u64>(spawn: impl Fn(Job), n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let nursery = LeastNursery::default();
            let tasks: Vec<_> = batch.map(|i| nursery.spawn(&spawn, async move { i })).collect();
            for task in tasks {
                sum += task.await;
            }
        }
        sum
    }

    async fn tasks<const BATCH: u64>(spawn: impl Fn(u64) -> Task<u64>, n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let tasks: Vec<_> = batch.map(&spawn).collect();
            for task in tasks {
                sum += task.await;
            }
        }
        sum
    }

    async fn unordered_tasks<const BATCH: u64>(executor: &Executor<'static>, n: u64) -> u64 {
        let mut sum = 0;
        for batch in batches(n, BATCH) {
            let mut set: futures::stream::FuturesUnordered<_> =
                batch.map(|i| executor.spawn(async move { i })).collect();
            while let Some(i) = set.next().await {
                sum += i;
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

    pub(super) async fn two(n: u64) -> u64 {
        let mut sum = 0;
        for i in (0..n).step_by(2) {
            // Else the compiler would do the sum.
            let (first, second) = join(async move { black_box(i) }, async move { black_box(i + 1) }).await;
            sum += first + second;
        }
        sum
    }

    macro_rules! one_type {
        ($name:ident, $set:ty) => {
            async fn $name<const BATCH: u64>(n: u64) -> u64 {
                let mut sum = 0;
                for batch in batches(n, BATCH) {
                    let mut set: $set = batch.map(|i| async move { i }).collect();
                    while let Some(i) = set.next().await {
                        sum += i;
                    }
                }
                sum
            }
        };
    }

    one_type!(unordered_of_one, futures::stream::FuturesUnordered<_>);
    one_type!(buffered_of_one, futures_buffered::FuturesUnorderedBounded<_>);

    pub(super) fn runtime<const BATCH: u64>(row: &mut Row, host: Host) {
        if matches!(host, Host::Smol1 | Host::Smol2) {
            row.peer("smol tasks", move |n| {
                host.smol(|executor| async move {
                    measure(n, async |n| tasks::<BATCH>(|i| executor.spawn(async move { i }), n).await).await
                })
            });
            row.peer("the least nursery", move |n| {
                host.smol(|executor| async move {
                    measure(n, async |n| least::<BATCH>(|job| executor.spawn(job).detach(), n).await).await
                })
            });
            if host == Host::Smol1 {
                row.peer("StaticExecutor tasks", |n| {
                    static EXECUTOR: StaticExecutor = StaticExecutor::new();
                    smol::block_on(
                        EXECUTOR
                            .run(measure(n, async |n| tasks::<BATCH>(|i| EXECUTOR.spawn(async move { i }), n).await)),
                    );
                });
            }
            row.peer("smol tasks in a FuturesUnordered", move |n| {
                host.smol(
                    |executor| async move { measure(n, async |n| unordered_tasks::<BATCH>(&executor, n).await).await },
                )
            });
        } else {
            row.peer("JoinSet", move |n| host.tokio(measure(n, joinset::<BATCH>)));
            row.peer("tokio tasks", move |n| host.tokio(measure(n, handles::<BATCH>)));
            row.peer("the least nursery", move |n| {
                host.tokio(measure(n, async |n| least::<BATCH>(|job| drop(tokio::spawn(job)), n).await))
            });
            if BATCH <= 10 {
                row.peer("TaskTracker and CancellationToken", move |n| host.tokio(measure(n, tracker::<BATCH>)));
            }
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
        row.peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, unordered::<BATCH>)));
        row.peer("futures-buffered", |n| Host::Plain.alone(measure(n, buffered::<BATCH>)));
        row.peer("moro", |n| Host::Plain.alone(measure(n, moro::<BATCH>)));
    }

    pub(super) fn one_type<const BATCH: u64>(row: &mut Row) {
        row.peer("futures-buffered", |n| Host::Plain.alone(measure(n, buffered_of_one::<BATCH>)));
        row.peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, unordered_of_one::<BATCH>)));
        row.peer("join_all", |n| Host::Plain.alone(measure(n, all::<BATCH>)));
    }

    pub(super) fn small<const BATCH: u64>(row: &mut Row) {
        row.peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, unordered::<BATCH>)));
        row.peer("futures-buffered", |n| Host::Plain.alone(measure(n, buffered::<BATCH>)));
        row.peer("join_all", |n| Host::Plain.alone(measure(n, all::<BATCH>)));
        row.peer("moro", |n| Host::Plain.alone(measure(n, moro::<BATCH>)));
    }
}
