//! A tree ten wide, made and ended; and nothing but the word that all of it has to stop.

use foster::Nursery;
use std::future::Future;
use std::pin::Pin;

use super::cancel::{WIDTH, cancelled, side_by_side};
use crate::host::Host;
use crate::meter::{self, measure};
use crate::row::{Bar, Rows};

/// The sum of the numbers from `start` to `end`, ten to a nursery.
fn tree(start: u64, end: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        let Ok(sum) = foster::nursery(async |nursery: Nursery| {
            let part = (end - start).div_ceil(WIDTH).max(1);
            let mut tasks = Vec::new();
            for from in (start..end).step_by(part as usize) {
                let to = end.min(from + part);
                tasks.push(if part == 1 {
                    nursery.spawn(async move { Ok(from) })
                } else {
                    nursery.spawn(async move { Ok(tree(from, to).await) })
                });
            }
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            Ok(sum)
        })
        .await;
        sum
    })
}

/// Only the call; what it sets off is not measured.
async fn signal(n: u64) -> u64 {
    cancelled(n, side_by_side, |_, scope| {
        scope.cancel("enough");
        meter::end();
    })
    .await
}

pub(super) fn rows(rows: &mut Rows) {
    for host in Host::ALL {
        let row = rows.on(host, "tree", "a tree ten wide with 100 000 leaves, made and ended", 100_000);
        row.foster(move |n| host.foster(measure(n, |n| tree(0, n))));
        #[cfg(feature = "peers")]
        peers::tree(row, host);
    }
    for (key, n) in [("signal-1e5", 100_000), ("signal-1e6", 1_000_000)] {
        for host in [Host::Smol1, Host::TokioCt] {
            let row = rows.on(host, key, "the word to many waiting children that they have to stop", n);
            row.bars(&[Bar::Nanos(10.0)]).foster(move |n| host.foster(measure(n, signal)));
            if n > 100_000 {
                row.uncounted();
            }
            #[cfg(feature = "peers")]
            peers::signal(row, host);
        }
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use tokio::sync::Notify;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::WIDTH;
    use crate::host::Host;
    use crate::meter::{self, measure};
    use crate::row::Row;
    use crate::work::cancel::Counts;

    /// Sets in sets; with tokens, each leaf has its own, as the way out of the tree.
    fn sets(token: Option<CancellationToken>, start: u64, end: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        Box::pin(async move {
            let mut set = JoinSet::new();
            let part = (end - start).div_ceil(WIDTH).max(1);
            for from in (start..end).step_by(part as usize) {
                let to = end.min(from + part);
                let token = token.as_ref().map(CancellationToken::child_token);
                if part > 1 {
                    set.spawn(sets(token, from, to));
                } else if let Some(token) = token {
                    set.spawn(async move { token.run_until_cancelled(async move { from }).await.unwrap() });
                } else {
                    set.spawn(async move { from });
                }
            }
            let mut sum = 0;
            while let Some(part) = set.join_next().await {
                sum += part.unwrap();
            }
            sum
        })
    }

    pub(super) fn tree(row: &mut Row, host: Host) {
        if matches!(host, Host::TokioCt | Host::TokioMt2) {
            row.peer("nested JoinSets", move |n| host.tokio(measure(n, |n| sets(None, 0, n))));
            row.peer("nested JoinSets and tokens", move |n| {
                host.tokio(measure(n, |n| sets(Some(CancellationToken::new()), 0, n)))
            });
        }
    }

    /// All in one set, for the end; what is measured is only `tell`.
    async fn told<F: Future<Output = ()> + Send + 'static>(n: u64, wait: impl Fn() -> F, tell: impl FnOnce()) -> u64 {
        let counts = Counts::default();
        let mut set = JoinSet::new();
        for i in 0..n {
            let (child, wait) = (counts.child(i), wait());
            set.spawn(async move {
                futures_lite::future::or(child, wait).await;
            });
        }
        counts.all_have_begun(n).await;
        meter::begin();
        tell();
        meter::end();
        while set.join_next().await.is_some() {}
        counts.sum()
    }

    pub(super) fn signal(row: &mut Row, host: Host) {
        if host != Host::TokioCt {
            return;
        }
        row.peer("tokio Notify", |n| {
            let work = async |n| {
                let notify = Arc::new(Notify::new());
                told(n, || notify.clone().notified_owned(), || notify.notify_waiters()).await
            };
            Host::TokioCt.tokio(measure(n, work))
        });
        row.peer("CancellationToken", |n| {
            let work = async |n| {
                let token = CancellationToken::new();
                told(n, || token.clone().cancelled_owned(), || token.cancel()).await
            };
            Host::TokioCt.tokio(measure(n, work))
        });
        row.peer("a token of its own for each", |n| {
            let work = async |n| {
                let token = CancellationToken::new();
                told(n, || token.child_token().cancelled_owned(), || token.cancel()).await
            };
            Host::TokioCt.tokio(measure(n, work))
        });
    }
}
