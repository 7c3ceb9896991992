//! A tree ten wide, made and ended; and nothing but the word that all have to stop, side by side and in a tree.

use foster::Nursery;
use std::future::Future;
use std::pin::Pin;

use super::cancel::{Counts, WIDTH, cancelled, in_a_tree, side_by_side};
use crate::host::Host;
use crate::meter::{self, measure};
use crate::row::Rows;

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
async fn signal(n: u64, spawn: fn(&Nursery, &Counts, u64)) -> u64 {
    cancelled(n, spawn, |_, scope| {
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
            row.foster(move |n| host.foster(measure(n, |n| signal(n, side_by_side))));
            row.counted = n <= 100_000;
            #[cfg(feature = "peers")]
            peers::signal(row, host);
        }
    }
    for (key, n) in [("signal-tree-1e5", 100_000), ("signal-tree-1e6", 1_000_000)] {
        for host in [Host::Smol1, Host::TokioCt] {
            let row = rows.on(host, key, "the word to the leaves of a tree ten wide that they have to stop", n);
            row.foster(move |n| host.foster(measure(n, |n| signal(n, in_a_tree))));
            row.counted = n <= 100_000;
            #[cfg(feature = "peers")]
            peers::signal_tree(row, host);
        }
    }
}

#[cfg(feature = "peers")]
mod peers {
    use event_listener::Event;
    use futures_lite::future::or;
    use smol::Executor;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use tokio::sync::{Notify, watch};
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::{Counts, WIDTH};
    use crate::host::Host;
    use crate::meter::{self, measure};
    use crate::row::Row;

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

    /// Children that wait, until `tell`: only that is measured.
    async fn told(n: u64, mut spawn: impl FnMut(&Counts, u64), tell: impl FnOnce()) -> u64 {
        let counts = Counts::default();
        (0..n).for_each(|i| spawn(&counts, i));
        counts.all_have_begun(n).await;
        meter::begin();
        tell();
        meter::end();
        counts.all_have_ended(n).await;
        counts.sum()
    }

    /// All in one set; child `i` ends with `wait(i)`.
    async fn in_set<F: Future<Output = ()> + Send + 'static>(
        n: u64,
        wait: impl Fn(u64) -> F,
        tell: impl FnOnce(),
    ) -> u64 {
        let mut set = JoinSet::new();
        told(n, |counts, i| drop(set.spawn(or(counts.child(i), wait(i)))), tell).await
    }

    async fn in_tasks<F>(executor: &Executor<'static>, n: u64, wait: impl Fn(u64) -> F, tell: impl FnOnce()) -> u64
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = Vec::new();
        told(n, |counts, i| tasks.push(executor.spawn(or(counts.child(i), wait(i)))), tell).await
    }

    pub(super) fn signal(row: &mut Row, host: Host) {
        if host == Host::Smol1 {
            row.peer("event-listener", move |n| {
                host.smol(|executor| async move {
                    let work = async |n| {
                        let event = Event::new();
                        in_tasks(&executor, n, |_| event.listen(), || _ = event.notify(usize::MAX)).await
                    };
                    measure(n, work).await
                })
            });
            return;
        }
        row.peer("tokio Notify", |n| {
            let work = async |n| {
                let notify = Arc::new(Notify::new());
                in_set(n, |_| notify.clone().notified_owned(), || notify.notify_waiters()).await
            };
            Host::TokioCt.tokio(measure(n, work))
        });
        row.peer("event-listener", |n| {
            let work = async |n| {
                let event = Event::new();
                in_set(n, |_| event.listen(), || _ = event.notify(usize::MAX)).await
            };
            Host::TokioCt.tokio(measure(n, work))
        });
        row.peer("tokio watch", |n| {
            let work = async |n| {
                let sender = watch::Sender::new(false);
                let wait = |_| {
                    let mut receiver = sender.subscribe();
                    async move { drop(receiver.changed().await) }
                };
                in_set(n, wait, || _ = sender.send_replace(true)).await
            };
            Host::TokioCt.tokio(measure(n, work))
        });
        row.peer("CancellationToken", |n| {
            let work = async |n| {
                let token = CancellationToken::new();
                in_set(n, |_| token.clone().cancelled_owned(), || token.cancel()).await
            };
            Host::TokioCt.tokio(measure(n, work))
        });
        row.peer("a token of its own for each", |n| {
            let work = async |n| {
                let token = CancellationToken::new();
                in_set(n, |_| token.child_token().cancelled_owned(), || token.cancel()).await
            };
            Host::TokioCt.tokio(measure(n, work))
        });
    }

    /// A tree of tokens ten wide with at least `n` leaves: all of it, the root first and the leaves last.
    fn tokens(n: u64) -> Vec<CancellationToken> {
        let mut tokens = vec![CancellationToken::new()];
        let mut level = 0..1;
        while (level.len() as u64) < n {
            for parent in level.clone() {
                (0..WIDTH).for_each(|_| tokens.push(tokens[parent].child_token()));
            }
            level = level.end..tokens.len();
        }
        tokens
    }

    pub(super) fn signal_tree(row: &mut Row, host: Host) {
        let leaf = |tokens: &[CancellationToken], i| tokens[tokens.len() - 1 - i as usize].clone().cancelled_owned();
        if host == Host::TokioCt {
            row.peer("a tree of tokens", move |n| {
                let work = async |n| {
                    let tokens = tokens(n);
                    in_set(n, |i| leaf(&tokens, i), || tokens[0].cancel()).await
                };
                Host::TokioCt.tokio(measure(n, work))
            });
            return;
        }
        row.peer("a tree of tokens", move |n| {
            host.smol(|executor| async move {
                let work = async |n| {
                    let tokens = tokens(n);
                    in_tasks(&executor, n, |i| leaf(&tokens, i), || tokens[0].cancel()).await
                };
                measure(n, work).await
            })
        });
    }
}
