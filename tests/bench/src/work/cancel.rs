//! Many children that wait are told to stop, and waited for; flat, and ten in each of ten in each of ten. Told by the
//! scope around them, and one by one.

use foster::{CancelScope, LocalNursery, Nursery, ScopeHandle};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::turn::Yield;
use crate::host::Host;
use crate::meter::{self, measure};
use crate::row::{Bar, Rows};

/// Adds its number when it is dropped: then the child has ended.
pub(super) struct Ended(Arc<AtomicU64>, u64);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_add(self.1, Ordering::Relaxed);
    }
}

/// A child that waits for ever. Counts itself in when it has begun.
async fn child(ended: Ended, begun: Arc<AtomicU64>) {
    begun.fetch_add(1, Ordering::Relaxed);
    std::future::pending::<()>().await;
    drop(ended);
}

#[derive(Clone, Default)]
pub(super) struct Counts {
    begun: Arc<AtomicU64>,
    sum: Arc<AtomicU64>,
}

impl Counts {
    pub(super) fn child(&self, i: u64) -> impl Future<Output = ()> + Send + use<> {
        child(Ended(self.sum.clone(), i), self.begun.clone())
    }

    pub(super) async fn all_have_begun(&self, n: u64) {
        while self.begun.load(Ordering::Relaxed) < n {
            Yield::default().await;
        }
        meter::all_is_live();
    }

    /// Those that nobody waits for.
    #[cfg(feature = "peers")]
    pub(super) async fn all_have_ended(&self, n: u64) {
        while self.sum() < n * n.saturating_sub(1) / 2 {
            Yield::default().await;
        }
    }

    pub(super) fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

/// A nursery in a scope: `spawn` puts the children in, and when all of them wait, `tell` tells them to stop. The
/// measurement begins there, and ends with the last child if not before.
pub(super) async fn cancelled(
    n: u64,
    spawn: impl Fn(&Nursery, &Counts, u64),
    tell: impl Fn(&Nursery, &ScopeHandle),
) -> u64 {
    let counts = Counts::default();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let body = foster::nursery(async |nursery: Nursery| {
        spawn(&nursery, &counts, n);
        counts.all_have_begun(n).await;
        meter::begin();
        tell(&nursery, &handle);
        Ok::<(), Infallible>(())
    });
    drop(scope.run(body).await);
    meter::end();
    counts.sum()
}

/// All children in the one nursery.
pub(super) fn side_by_side(nursery: &Nursery, counts: &Counts, n: u64) {
    (0..n).for_each(|i| drop(nursery.spawn(counts.child(i))));
}

/// The children as the leaves of a tree.
pub(super) fn in_a_tree(nursery: &Nursery, counts: &Counts, n: u64) {
    drop(nursery.spawn(tree(counts.clone(), 0, n)));
}

fn by_scope(_: &Nursery, scope: &ScopeHandle) {
    scope.cancel("enough");
}

async fn flat(n: u64) -> u64 {
    cancelled(n, side_by_side, by_scope).await
}

async fn nested(n: u64) -> u64 {
    cancelled(n, in_a_tree, by_scope).await
}

async fn one_by_one(n: u64) -> u64 {
    cancelled(n, side_by_side, |nursery, _| _ = nursery.cancel_children("enough")).await
}

/// As [`cancelled`], in a local nursery.
async fn flat_local(n: u64) -> u64 {
    let counts = Counts::default();
    let mut scope = CancelScope::new();
    let handle = scope.handle();
    let body = foster::local_nursery(async |nursery: LocalNursery<'_>| {
        (0..n).for_each(|i| drop(nursery.spawn(counts.child(i))));
        counts.all_have_begun(n).await;
        meter::begin();
        handle.cancel("enough");
        Ok::<(), Infallible>(())
    });
    drop(scope.run(body).await);
    meter::end();
    counts.sum()
}

pub(super) const WIDTH: u64 = 10;

/// A part of a tree, with all that is further in.
type Branch = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The leaves from `start` to `end`, ten to a nursery.
fn tree(counts: Counts, start: u64, end: u64) -> Branch {
    Box::pin(async move {
        foster::nursery(async |nursery: Nursery| {
            let part = (end - start).div_ceil(WIDTH);
            for from in (start..end).step_by(part as usize) {
                let to = end.min(from + part);
                if part == 1 {
                    nursery.spawn(counts.child(from));
                } else {
                    nursery.spawn(tree(counts.clone(), from, to));
                }
            }
            Ok(())
        })
        .await
        .unwrap_or_else(|never| match never {});
    })
}

pub(super) fn rows(rows: &mut Rows) {
    for host in Host::ALL {
        let is_tokio = matches!(host, Host::TokioCt | Host::TokioMt2);
        let bars = |most| if is_tokio { vec![Bar::Ratio(most)] } else { Vec::new() };
        let row = rows.on(host, "cancel-flat", "cancel 100 000 waiting children, to the last one's end", 100_000);
        row.bars(&bars(1.2)).foster(move |n| host.foster(measure(n, flat)));
        #[cfg(feature = "peers")]
        peers::flat(row, host);
        let text = "cancel 100 000 waiting children one by one (`cancel_children`), to the last one's end";
        let row = rows.on(host, "cancel-each", text, 100_000);
        row.foster(move |n| host.foster(measure(n, one_by_one)));
        #[cfg(feature = "peers")]
        peers::flat(row, host);
        let row = rows.on(host, "cancel-tree", "cancel a tree ten wide with 100 000 leaves", 100_000);
        row.bars(&bars(1.7)).foster(move |n| host.foster(measure(n, nested)));
        #[cfg(feature = "peers")]
        peers::nested(row, host);
        let row = rows.on(host, "cancel-1e6", "cancel 1 000 000 waiting children, to the last one's end", 1_000_000);
        row.uncounted().bars(&bars(1.2)).foster(move |n| host.foster(measure(n, flat)));
        #[cfg(feature = "peers")]
        peers::flat(row, host);
        let row = rows.on(host, "cancel-tree-1e6", "cancel a tree ten wide with 1 000 000 leaves", 1_000_000);
        row.uncounted().bars(&bars(1.7)).foster(move |n| host.foster(measure(n, nested)));
        #[cfg(feature = "peers")]
        peers::nested(row, host);
    }
    let row = rows.on(Host::Plain, "cancel-local", "cancel 100 000 waiting children of a local nursery", 100_000);
    row.foster(|n| Host::Plain.foster(measure(n, flat_local)));
    #[cfg(feature = "peers")]
    row.peer("FuturesUnordered", |n| Host::Plain.alone(measure(n, peers::dropped)));
}

#[cfg(feature = "peers")]
mod peers {
    use futures::StreamExt;
    use smol::Executor;
    use std::sync::Arc;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::{Branch, Counts, WIDTH};
    use crate::host::Host;
    use crate::meter::{self, measure};
    use crate::row::Row;

    async fn joinset(n: u64) -> u64 {
        let counts = Counts::default();
        let mut set = JoinSet::new();
        (0..n).for_each(|i| drop(set.spawn(counts.child(i))));
        counts.all_have_begun(n).await;
        meter::begin();
        set.abort_all();
        while set.join_next().await.is_some() {}
        meter::end();
        counts.sum()
    }

    async fn token(n: u64) -> u64 {
        let counts = Counts::default();
        let (token, mut set) = (CancellationToken::new(), JoinSet::new());
        (0..n).for_each(|i| drop(set.spawn(token.clone().run_until_cancelled_owned(counts.child(i)))));
        counts.all_have_begun(n).await;
        meter::begin();
        token.cancel();
        while set.join_next().await.is_some() {}
        meter::end();
        counts.sum()
    }

    /// As foster's tree; a set that is dropped aborts its tasks, and does not wait for them.
    fn tree(counts: Counts, start: u64, end: u64) -> Branch {
        Box::pin(async move {
            let mut set = JoinSet::new();
            let part = (end - start).div_ceil(WIDTH);
            for from in (start..end).step_by(part as usize) {
                let to = end.min(from + part);
                if part == 1 {
                    set.spawn(counts.child(from));
                } else {
                    set.spawn(tree(counts.clone(), from, to));
                }
            }
            while set.join_next().await.is_some() {}
        })
    }

    async fn joinsets(n: u64) -> u64 {
        let counts = Counts::default();
        let mut set = JoinSet::new();
        set.spawn(tree(counts.clone(), 0, n));
        counts.all_have_begun(n).await;
        meter::begin();
        set.abort_all();
        while set.join_next().await.is_some() {}
        // Nobody waits for those further in; look until they have ended.
        counts.all_have_ended(n).await;
        meter::end();
        counts.sum()
    }

    /// As foster's tree; a task that is dropped is cancelled, and not waited for.
    fn branch(executor: Arc<Executor<'static>>, counts: Counts, start: u64, end: u64) -> Branch {
        Box::pin(async move {
            let part = (end - start).div_ceil(WIDTH);
            let mut tasks = Vec::new();
            for from in (start..end).step_by(part as usize) {
                let to = end.min(from + part);
                tasks.push(if part == 1 {
                    executor.spawn(counts.child(from))
                } else {
                    executor.spawn(branch(executor.clone(), counts.clone(), from, to))
                });
            }
            for task in tasks {
                task.await;
            }
        })
    }

    pub(super) fn flat(row: &mut Row, host: Host) {
        if matches!(host, Host::TokioCt | Host::TokioMt2) {
            row.peer("JoinSet::abort_all", move |n| host.tokio(measure(n, joinset)));
            row.peer("JoinSet and CancellationToken", move |n| host.tokio(measure(n, token)));
            return;
        }
        row.peer("smol Task::cancel", move |n| {
            host.smol(|executor| async move {
                let work = async |n| {
                    let counts = Counts::default();
                    let tasks: Vec<_> = (0..n).map(|i| executor.spawn(counts.child(i))).collect();
                    counts.all_have_begun(n).await;
                    meter::begin();
                    let mut cancels: Vec<_> = tasks.into_iter().map(|task| Some(Box::pin(task.cancel()))).collect();
                    // All are told before the first is waited for.
                    for cancel in &mut cancels {
                        let Some(future) = cancel else { continue };
                        if futures::poll!(future).is_ready() {
                            *cancel = None;
                        }
                    }
                    for cancel in cancels.into_iter().flatten() {
                        cancel.await;
                    }
                    meter::end();
                    counts.sum()
                };
                measure(n, work).await
            })
        });
        row.peer("smol tasks, dropped", move |n| {
            host.smol(|executor| async move {
                let work = async |n| {
                    let counts = Counts::default();
                    let tasks: Vec<_> = (0..n).map(|i| executor.spawn(counts.child(i))).collect();
                    counts.all_have_begun(n).await;
                    meter::begin();
                    drop(tasks);
                    counts.all_have_ended(n).await;
                    meter::end();
                    counts.sum()
                };
                measure(n, work).await
            })
        });
    }

    pub(super) fn nested(row: &mut Row, host: Host) {
        if matches!(host, Host::TokioCt | Host::TokioMt2) {
            row.peer("nested JoinSets", move |n| host.tokio(measure(n, joinsets)));
            return;
        }
        row.peer("nested smol tasks", move |n| {
            host.smol(|executor| async move {
                let work = async |n| {
                    let counts = Counts::default();
                    let root = executor.spawn(branch(executor.clone(), counts.clone(), 0, n));
                    counts.all_have_begun(n).await;
                    meter::begin();
                    root.cancel().await;
                    counts.all_have_ended(n).await;
                    meter::end();
                    counts.sum()
                };
                measure(n, work).await
            })
        });
    }

    pub(super) async fn dropped(n: u64) -> u64 {
        let counts = Counts::default();
        let mut set: futures::stream::FuturesUnordered<_> = (0..n).map(|i| Box::pin(counts.child(i))).collect();
        assert!(futures::poll!(set.next()).is_pending());
        while counts.begun.load(std::sync::atomic::Ordering::Relaxed) < n {
            assert!(futures::poll!(set.next()).is_pending());
        }
        meter::begin();
        drop(set);
        meter::end();
        counts.sum()
    }
}
