//! Sizes of futures, memory of children that wait, and a `run` with nothing to do.

use foster::{CancelScope, LocalNursery, Nursery, bracket, fail_after, local_nursery, nursery, shield};
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::limit::{eight, whole};
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
        use super::limit::peers::limit;
        use tokio::time::timeout;
        row.peer("tokio timeout", |_| {
            Host::TokioCt.tokio(async { meter::size_of(&eight!(timeout, ready(()), whole)) })
        })
        .peer("async-io Timer", |_| meter::size_of(&eight!(limit, ready(()), whole)));
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
    let mut all: Vec<Pin<Box<_>>> = Vec::with_capacity(n as usize);
    for _ in 0..n {
        let mut scope = Box::pin(CancelScope::new().run(pending::<()>()));
        std::future::poll_fn(|cx| {
            assert!(scope.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        all.push(scope);
    }
    meter::all_is_live();
    drop(all);
    n * n.saturating_sub(1) / 2
}

pub(super) fn rows(rows: &mut Rows) {
    sizes(rows);
    for n in [1_000, 100_000] {
        let key = if n == 1_000 { "1e3" } else { "1e5" };
        let row =
            rows.on(Host::Plain, &format!("memory-local-{key}"), "a waiting child of a local nursery: bytes in use", n);
        row.bars(&[Bar::Bytes(150.0)]).foster(|n| Host::Plain.foster(measure(n, local_children)));
        #[cfg(feature = "peers")]
        row.peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, peers::unordered)))
            .peer("futures-buffered", |n| Host::Plain.alone(measure(n, peers::buffered)));
        let row = rows.on(Host::TokioCt, &format!("memory-{key}"), "a waiting child of a nursery: bytes in use", n);
        row.foster(|n| Host::TokioCt.foster(measure(n, children)));
        #[cfg(feature = "peers")]
        row.peer("JoinSet", |n| Host::TokioCt.tokio(measure(n, peers::joinset)));
    }
    let row = rows.on(Host::Plain, "memory-scope", "a waiting `CancelScope` and its box: bytes in use", 10_000);
    row.foster(|n| Host::Plain.foster(measure(n, scopes)));
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
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use tokio::task::JoinSet;

    use super::{all_have_begun, waits};

    pub(super) async fn joinset(n: u64) -> u64 {
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
