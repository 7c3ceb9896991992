//! Children give way to one another: what one more poll of a child costs.

use foster::{LocalNursery, Nursery};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

/// Gives way once, by waking itself; knows nothing of any runtime.
#[derive(Default)]
pub(super) struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How many children share the turns.
const CHILDREN: u64 = 100;

/// The body of the child with this number: its part of `n` turns.
async fn turns(child: u64, n: u64) -> u64 {
    let mut sum = 0;
    for i in (child..n).step_by(CHILDREN as usize) {
        Yield::default().await;
        sum += i;
    }
    sum
}

async fn nursery(n: u64) -> u64 {
    let Ok(sum) = foster::nursery(async |nursery: Nursery| {
        let tasks: Vec<_> =
            (0..CHILDREN).map(|child| nursery.spawn(async move { Ok(turns(child, n).await) })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

async fn local(n: u64) -> u64 {
    let Ok(sum) = foster::local_nursery(async |nursery: LocalNursery<'_>| {
        let tasks: Vec<_> =
            (0..CHILDREN).map(|child| nursery.spawn(async move { Ok(turns(child, n).await) })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

/// How often each child gives way in the rows about ten turns.
const TEN: u64 = 10;

/// Spawned, ten turns, joined: what a short child costs in all.
async fn ten(child: u64) -> u64 {
    for _ in 0..TEN {
        Yield::default().await;
    }
    child
}

async fn nursery_ten(n: u64) -> u64 {
    let Ok(sum) = foster::nursery(async |nursery: Nursery| {
        let tasks: Vec<_> = (0..n).map(|i| nursery.spawn(async move { Ok(ten(i).await) })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

async fn local_ten(n: u64) -> u64 {
    let Ok(sum) = foster::local_nursery(async |nursery: LocalNursery<'_>| {
        let tasks: Vec<_> = (0..n).map(|i| nursery.spawn(async move { Ok(ten(i).await) })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    for host in Host::ALL {
        let row = rows.on(host, "ten", "nursery: 1000 children that give way ten times, and their end", 1_000);
        row.foster(move |n| host.foster(measure(n, nursery_ten)));
        #[cfg(feature = "peers")]
        peers::ten(row, host);
    }
    let row = rows.on(Host::Plain, "ten", "local nursery: 1000 children that give way ten times, and their end", 1_000);
    row.foster(|n| Host::Plain.foster(measure(n, local_ten)));
    #[cfg(feature = "peers")]
    row.peer("futures-buffered", |n| Host::Plain.alone(measure(n, peers::buffered_ten)))
        .peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, peers::unordered_ten)));
    for host in Host::ALL {
        let row = rows.on(host, "turn", "nursery: one turn of a child", 200_000);
        row.foster(move |n| host.foster(measure(n, nursery)));
        if !host.is_parallel() {
            row.bars(&[Bar::Ratio(if host == Host::TokioCt { 1.5 } else { 1.4 })]).gated();
        }
        #[cfg(feature = "peers")]
        peers::add(row, host);
    }
    let row = rows.on(Host::Plain, "turn", "local nursery: one turn of a child", 200_000);
    row.gated();
    row.foster(|n| Host::Plain.foster(measure(n, local)));
    #[cfg(feature = "peers")]
    row.peer("futures-buffered", |n| Host::Plain.alone(measure(n, peers::buffered)))
        .peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, peers::unordered)))
        .peer("moro", |n| Host::Plain.alone(measure(n, peers::moro)));
}

#[cfg(feature = "peers")]
mod peers {
    use futures::StreamExt;
    use tokio::task::JoinSet;

    use super::{CHILDREN, turns};
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;
    use crate::work::least::{Job, Nursery as LeastNursery};

    async fn joinset(n: u64) -> u64 {
        let mut set = JoinSet::new();
        (0..CHILDREN).for_each(|child| drop(set.spawn(turns(child, n))));
        let mut sum = 0;
        while let Some(part) = set.join_next().await {
            sum += part.unwrap();
        }
        sum
    }

    async fn handles(n: u64) -> u64 {
        let tasks: Vec<_> = (0..CHILDREN).map(|child| tokio::spawn(turns(child, n))).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    }

    async fn least(spawn: impl Fn(Job), n: u64) -> u64 {
        let nursery = LeastNursery::default();
        let tasks: Vec<_> = (0..CHILDREN).map(|child| nursery.spawn(&spawn, turns(child, n))).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        sum
    }

    pub(super) fn add(row: &mut Row, host: Host) {
        if matches!(host, Host::Smol1 | Host::Smol2) {
            row.peer("smol tasks", move |n| {
                host.smol(|executor| async move {
                    let work = async |n| {
                        let tasks: Vec<_> = (0..CHILDREN).map(|child| executor.spawn(turns(child, n))).collect();
                        let mut sum = 0;
                        for task in tasks {
                            sum += task.await;
                        }
                        sum
                    };
                    measure(n, work).await
                })
            });
            row.peer("the least nursery", move |n| {
                host.smol(|executor| async move {
                    measure(n, async |n| least(|job| executor.spawn(job).detach(), n).await).await
                })
            });
        } else {
            row.peer("JoinSet", move |n| host.tokio(measure(n, joinset)));
            row.peer("tokio tasks", move |n| host.tokio(measure(n, handles)));
            row.peer("the least nursery", move |n| {
                host.tokio(measure(n, async |n| least(|job| drop(tokio::spawn(job)), n).await))
            });
        }
    }

    async fn joinset_ten(n: u64) -> u64 {
        let mut set = JoinSet::new();
        (0..n).for_each(|i| drop(set.spawn(super::ten(i))));
        let mut sum = 0;
        while let Some(i) = set.join_next().await {
            sum += i.unwrap();
        }
        sum
    }

    pub(super) fn ten(row: &mut Row, host: Host) {
        if matches!(host, Host::Smol1 | Host::Smol2) {
            row.peer("smol tasks", move |n| {
                host.smol(|executor| async move {
                    let work = async |n| {
                        let tasks: Vec<_> = (0..n).map(|i| executor.spawn(super::ten(i))).collect();
                        let mut sum = 0;
                        for task in tasks {
                            sum += task.await;
                        }
                        sum
                    };
                    measure(n, work).await
                })
            });
        } else {
            row.peer("JoinSet", move |n| host.tokio(measure(n, joinset_ten)));
        }
    }

    macro_rules! ten {
        ($name:ident, $set:ty) => {
            pub(super) async fn $name(n: u64) -> u64 {
                let mut set: $set = (0..n).map(|i| Box::pin(super::ten(i))).collect();
                let mut sum = 0;
                while let Some(i) = set.next().await {
                    sum += i;
                }
                sum
            }
        };
    }

    ten!(unordered_ten, futures::stream::FuturesUnordered<_>);
    ten!(buffered_ten, futures_buffered::FuturesUnordered<_>);

    pub(super) async fn unordered(n: u64) -> u64 {
        let mut set: futures::stream::FuturesUnordered<_> =
            (0..CHILDREN).map(|child| Box::pin(turns(child, n))).collect();
        let mut sum = 0;
        while let Some(part) = set.next().await {
            sum += part;
        }
        sum
    }

    pub(super) async fn moro(n: u64) -> u64 {
        moro::async_scope!(|scope| {
            let tasks: Vec<_> = (0..CHILDREN).map(|child| scope.spawn(turns(child, n))).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await;
            }
            sum
        })
        .await
    }

    pub(super) async fn buffered(n: u64) -> u64 {
        let mut set: futures_buffered::FuturesUnordered<_> =
            (0..CHILDREN).map(|child| Box::pin(turns(child, n))).collect();
        let mut sum = 0;
        while let Some(part) = set.next().await {
            sum += part;
        }
        sum
    }
}
