//! Many inputs, at most a hundred at a time.

use foster::combine::map_concurrent;
use foster::{Nursery, NurseryOptions};

use super::turn::Yield;
use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

const LIMIT: usize = 100;

/// The work on one input, which gives way so many times.
async fn one<const TURNS: u64>(i: u64) -> u64 {
    for _ in 0..TURNS {
        Yield::default().await;
    }
    i
}

async fn foster<const TURNS: u64>(n: u64) -> u64 {
    let sums = map_concurrent(LIMIT, 0..n, async |i| Ok::<_, ()>(one::<TURNS>(i).await)).await;
    sums.unwrap().into_iter().sum()
}

/// In tasks; the results are taken from their handles.
async fn limited<const TURNS: u64>(n: u64) -> u64 {
    let sum = NurseryOptions::new().limit(LIMIT).run(async |nursery: Nursery<()>| {
        let mut tasks = Vec::new();
        for i in 0..n {
            tasks.push(nursery.spawn_limited(async move { Ok(one::<TURNS>(i).await) }).await);
        }
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    });
    sum.await.unwrap()
}

pub(super) fn rows(rows: &mut Rows) {
    let row = rows.on(Host::Plain, "map-ready", "bounded map, 100 at a time, each ready at once", 20_000);
    row.bars(&[Bar::Ratio(2.5)]).gated().foster(|n| Host::Plain.foster(measure(n, foster::<0>)));
    #[cfg(feature = "peers")]
    peers::add::<0>(row);
    let row = rows.on(Host::Plain, "map-turn", "bounded map, 100 at a time, each pending once", 20_000);
    row.bars(&[Bar::Ratio(2.5)]).foster(|n| Host::Plain.foster(measure(n, foster::<1>)));
    #[cfg(feature = "peers")]
    peers::add::<1>(row);
    // It stays in the task of the caller, here too; these peers spawn.
    let host = Host::TokioCt;
    let row = rows.on(host, "map-ready", "bounded map, 100 at a time, each ready at once", 20_000);
    row.bars(&[Bar::Ratio(2.5)]).foster(move |n| host.foster(measure(n, foster::<0>)));
    #[cfg(feature = "peers")]
    peers::spawned::<0>(row, host);
    let row = rows.on(host, "map-turn", "bounded map, 100 at a time, each pending once", 20_000);
    row.bars(&[Bar::Ratio(2.5)]).foster(move |n| host.foster(measure(n, foster::<1>)));
    #[cfg(feature = "peers")]
    peers::spawned::<1>(row, host);
    let row = rows.on(host, "limited-ready", "`spawn_limited`, 100 at a time, each ready at once", 20_000);
    row.bars(&[Bar::Ratio(1.5)]).foster(move |n| host.foster(measure(n, limited::<0>)));
    #[cfg(feature = "peers")]
    peers::limited::<0>(row, host);
    let row = rows.on(host, "limited-turn", "`spawn_limited`, 100 at a time, each pending once", 20_000);
    row.bars(&[Bar::Ratio(1.5)]).foster(move |n| host.foster(measure(n, limited::<1>)));
    #[cfg(feature = "peers")]
    peers::limited::<1>(row, host);
}

#[cfg(feature = "peers")]
mod peers {
    use futures::{StreamExt, stream};
    use futures_buffered::BufferedStreamExt;
    use std::sync::Arc;
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::{LIMIT, one};
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;

    async fn unordered<const TURNS: u64>(n: u64) -> u64 {
        stream::iter(0..n).map(one::<TURNS>).buffer_unordered(LIMIT).fold(0, async |sum, i| sum + i).await
    }

    async fn ordered<const TURNS: u64>(n: u64) -> u64 {
        let all: Vec<u64> = StreamExt::buffered(stream::iter(0..n).map(one::<TURNS>), LIMIT).collect().await;
        all.into_iter().sum()
    }

    async fn buffered<const TURNS: u64>(n: u64) -> u64 {
        stream::iter(0..n).map(one::<TURNS>).buffered_unordered(LIMIT).fold(0, async |sum, i| sum + i).await
    }

    pub(super) fn add<const TURNS: u64>(row: &mut Row) {
        row.peer("buffer_unordered", |n| Host::Plain.alone(measure(n, unordered::<TURNS>)));
        row.peer("buffered", |n| Host::Plain.alone(measure(n, ordered::<TURNS>)));
        row.peer("futures-buffered", |n| Host::Plain.alone(measure(n, buffered::<TURNS>)));
    }

    /// A task of the set's has to end before the next one is spawned.
    async fn window<const TURNS: u64>(n: u64) -> u64 {
        let mut set = JoinSet::new();
        let mut sum = 0;
        for i in 0..n {
            if set.len() == LIMIT {
                sum += set.join_next().await.unwrap().unwrap();
            }
            set.spawn(one::<TURNS>(i));
        }
        while let Some(i) = set.join_next().await {
            sum += i.unwrap();
        }
        sum
    }

    /// Each task has a permit, and its result is kept in the set.
    async fn permits<const TURNS: u64>(n: u64) -> u64 {
        let semaphore = Arc::new(Semaphore::new(LIMIT));
        let mut set = JoinSet::new();
        for i in 0..n {
            let permit = semaphore.clone().acquire_owned().await.unwrap();
            set.spawn(async move {
                let _permit = permit;
                one::<TURNS>(i).await
            });
        }
        let mut sum = 0;
        while let Some(i) = set.join_next().await {
            sum += i.unwrap();
        }
        sum
    }

    pub(super) fn spawned<const TURNS: u64>(row: &mut Row, host: Host) {
        row.peer("window over a JoinSet", move |n| host.tokio(measure(n, window::<TURNS>)));
        row.peer("JoinSet and Semaphore", move |n| host.tokio(measure(n, permits::<TURNS>)));
    }
    pub(super) fn limited<const TURNS: u64>(row: &mut Row, host: Host) {
        row.peer("JoinSet and Semaphore", move |n| host.tokio(measure(n, permits::<TURNS>)));
    }
}
