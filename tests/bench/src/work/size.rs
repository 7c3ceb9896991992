//! Sizes of futures, memory of children that wait, and a `run` with nothing to do.

use foster::{CancelScope, LocalNursery, Nursery, bracket, fail_after, local_nursery, nursery, shield};
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::limit::{armed, eight, whole};
use super::turn::Yield;
use crate::host::Host;
use crate::meter::{self, measure, measure_blocking};
use crate::row::{Bar, Rows};

const LONG: Duration = Duration::from_secs(300);

fn sizes(rows: &mut Rows) {
    let row = rows.on(Host::Plain, "size-limit", "size of `fail_after` around a ready future", 1);
    row.foster(|_| meter::size_of(&fail_after(LONG, ready(()))));
    #[cfg(feature = "peers")]
    row.peer("tokio timeout", |_| {
        Host::TokioCt.tokio(async { meter::size_of(&tokio::time::timeout(LONG, ready(()))) })
    })
    .peer("async-io Timer", |_| meter::size_of(&super::limit::peers::limit(LONG, ready(()))));
    let row = rows
        .on(Host::Plain, "size-limits", "size of eight `fail_after`, one in the other", 1)
        .bars(&[Bar::Bytes(512.0)]);
    row.foster(|_| meter::size_of(&eight!(fail_after, ready(()), whole)));
    #[cfg(feature = "peers")]
    {
        use super::limit::peers::{limit, or_timer, own_timeout};
        use tokio::time::timeout;
        row.peer("tokio timeout", |_| {
            Host::TokioCt.tokio(async { meter::size_of(&eight!(timeout, ready(()), whole)) })
        })
        .peer("tokio timeout in an async fn", |_| meter::size_of(&eight!(own_timeout, ready(()), whole)))
        .peer("async-io Timer", |_| meter::size_of(&eight!(limit, ready(()), whole)))
        .peer("or and async-io Timer", |_| meter::size_of(&eight!(or_timer, ready(()), whole)));
    }
    let row = rows.on(Host::Plain, "size-scope", "size of `CancelScope::run` around a ready future", 1);
    row.foster(|_| meter::size_of(&CancelScope::new().run(ready(()))));
    let row = rows.on(Host::Plain, "size-shield", "size of `shield` around a ready future", 1);
    row.foster(|_| meter::size_of(&shield(ready(()))));
    let row = rows.on(Host::Plain, "size-bracket", "size of `bracket` around ready futures", 1);
    row.foster(|_| meter::size_of(&bracket(ready(()), |_| ready(()), |(), _| ready(()))));
    let row = rows.on(Host::Plain, "size-nursery", "size of a nursery with an empty body", 1);
    row.foster(|_| meter::size_of(&nursery(async |_: Nursery| Ok(()))));
    let row = rows.on(Host::Plain, "size-local", "size of a local nursery with an empty body", 1);
    row.foster(|_| meter::size_of(&local_nursery(async |_: LocalNursery<'_>| Ok(()))));
}

/// A future of 40 bytes that waits for ever, once it has counted itself in.
async fn waits(begun: Arc<AtomicU64>, _numbers: [u64; 3]) {
    begun.fetch_add(1, Ordering::Relaxed);
    pending::<()>().await;
}

/// All children have begun, and wait.
async fn all_have_begun(begun: &AtomicU64, n: u64) {
    while begun.load(Ordering::Relaxed) < n {
        Yield::default().await;
    }
    meter::all_is_live();
}

async fn children(n: u64) -> u64 {
    let begun = Arc::new(AtomicU64::new(0));
    let Ok(()) = nursery(async |nursery: Nursery| {
        (0..n).for_each(|i| drop(nursery.spawn(waits(begun.clone(), [i; 3]))));
        all_have_begun(&begun, n).await;
        nursery.cancel_children("measured");
        Ok(())
    })
    .await;
    n * n.saturating_sub(1) / 2
}

async fn local_children(n: u64) -> u64 {
    let begun = Arc::new(AtomicU64::new(0));
    let Ok(()) = local_nursery(async |nursery: LocalNursery<'_>| {
        (0..n).for_each(|i| drop(nursery.spawn(waits(begun.clone(), [i; 3]))));
        all_have_begun(&begun, n).await;
        nursery.cancel_children("measured");
        Ok(())
    })
    .await;
    n * n.saturating_sub(1) / 2
}

async fn scopes(n: u64) -> u64 {
    armed(n, |_| CancelScope::new().run(pending::<()>())).await
}

pub(super) fn rows(rows: &mut Rows) {
    sizes(rows);
    for n in [1_000, 100_000] {
        let key = if n == 1_000 { "1e3" } else { "1e5" };
        let row =
            rows.on(Host::Plain, &format!("memory-local-{key}"), "a waiting child of a local nursery: bytes in use", n);
        row.foster(|n| Host::Plain.foster(measure(n, local_children)));
        #[cfg(feature = "peers")]
        row.peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, peers::unordered)))
            .peer("futures-buffered", |n| Host::Plain.alone(measure(n, peers::buffered)));
        for host in [Host::Smol1, Host::TokioCt] {
            let row = rows.on(host, &format!("memory-{key}"), "a waiting child of a nursery: bytes in use", n);
            row.foster(move |n| host.foster(measure(n, children)));
            #[cfg(feature = "peers")]
            peers::runtime(row, host);
        }
    }
    let row = rows.on(Host::Plain, "memory-scope", "a waiting `CancelScope` and its box: bytes in use", 10_000);
    row.foster(|n| Host::Plain.foster(measure(n, scopes)));
    #[cfg(feature = "peers")]
    row.peer("token and child", |n| Host::Plain.alone(measure(n, peers::tokens)));
    for host in Host::ALL {
        let row = rows.on(host, "run", "an empty `run`", 20);
        row.foster(move |n| measure_blocking(n, |n| (0..n).map(|i| host.foster(async { i })).sum()));
        #[cfg(feature = "peers")]
        if matches!(host, Host::Smol1 | Host::Smol2) {
            row.peer("smol", move |n| measure_blocking(n, |n| (0..n).map(|i| host.smol(|_| async { i })).sum()));
        } else {
            row.peer("tokio", move |n| measure_blocking(n, |n| (0..n).map(|i| host.tokio(async { i })).sum()));
        }
    }
}

#[cfg(feature = "peers")]
mod peers {
    use futures::StreamExt;
    use smol::Executor;
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::{all_have_begun, armed, waits};
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;

    pub(super) fn runtime(row: &mut Row, host: Host) {
        if host == Host::Smol1 {
            row.peer("smol tasks", move |n| {
                host.smol(|executor| async move { measure(n, async |n| tasks(&executor, n).await).await })
            });
        } else {
            row.peer("JoinSet", move |n| host.tokio(measure(n, joinset)));
        }
    }

    async fn tasks(executor: &Executor<'static>, n: u64) -> u64 {
        let begun = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..n).map(|i| executor.spawn(waits(begun.clone(), [i; 3]))).collect();
        all_have_begun(&begun, n).await;
        drop(tasks);
        n * n.saturating_sub(1) / 2
    }

    /// Each in a box, as the scopes.
    pub(super) async fn tokens(n: u64) -> u64 {
        let token = CancellationToken::new();
        armed(n, |_| token.child_token().run_until_cancelled_owned(pending::<()>())).await
    }

    async fn joinset(n: u64) -> u64 {
        let begun = Arc::new(AtomicU64::new(0));
        let mut set = JoinSet::new();
        (0..n).for_each(|i| drop(set.spawn(waits(begun.clone(), [i; 3]))));
        all_have_begun(&begun, n).await;
        n * n.saturating_sub(1) / 2
    }

    macro_rules! set {
        ($name:ident, $set:ty) => {
            pub(super) async fn $name(n: u64) -> u64 {
                let begun = Arc::new(AtomicU64::new(0));
                let mut set = <$set>::new();
                (0..n).for_each(|i| set.push(Box::pin(waits(begun.clone(), [i; 3]))));
                let children = async {
                    set.next().await;
                    unreachable!("they wait for ever")
                };
                futures_lite::future::or(children, all_have_begun(&begun, n)).await;
                n * n.saturating_sub(1) / 2
            }
        };
    }

    set!(unordered, futures::stream::FuturesUnordered<_>);
    set!(buffered, futures_buffered::FuturesUnordered<_>);
}
