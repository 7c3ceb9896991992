//! Small programs, as users write them: what foster costs where it is one cost among others.
//!
//! The pipeline has four stages over channels with room for a hundred. The server has 64 connections, each with a child
//! at either end: requests come over a channel, and are answered over a oneshot. The work on a request has a limit; it
//! waits twice, or spawns two children that wait once.

use foster::channel::{bounded, oneshot};
use foster::{Nursery, fail_after, nursery};
use std::time::Duration;

use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

const ROOM: usize = 100;
const LONG: Duration = Duration::from_secs(30);
const CONNECTIONS: u64 = 64;

async fn pipeline<const LIMITED: bool>(n: u64) -> u64 {
    let Ok(sum) = nursery(async |scope: Nursery| {
        let (first, mut received) = bounded(ROOM);
        scope.spawn(async move {
            for i in 0..n {
                first.send(i).await.unwrap();
            }
        });
        for _ in 0..2 {
            let (next, after) = bounded(ROOM);
            let before = std::mem::replace(&mut received, after);
            scope.spawn(async move {
                while let Ok(i) = before.recv().await {
                    if LIMITED {
                        fail_after(LONG, next.send(i)).await.unwrap().unwrap();
                    } else {
                        next.send(i).await.unwrap();
                    }
                }
            });
        }
        let last = scope.spawn(async move {
            let mut sum = 0;
            while let Ok(i) = received.recv().await {
                sum += i;
            }
            Ok(sum)
        });
        Ok(last.await.unwrap())
    })
    .await;
    sum
}

async fn half(i: u64) -> u64 {
    futures_lite::future::yield_now().await;
    i / 2
}

async fn server<const CHILDREN: bool>(n: u64) -> u64 {
    let Ok(sum) = nursery(async |scope: Nursery| {
        let clients = (0..CONNECTIONS).map(|connection| {
            let (requests, received) = bounded::<(u64, foster::channel::OneshotSender<u64>)>(1);
            scope.spawn(async move {
                while let Ok((i, answer)) = received.recv().await {
                    let work = async {
                        if !CHILDREN {
                            return half(i).await + half(i + 1).await;
                        }
                        let Ok(sum) = nursery(async |pair: Nursery| {
                            let parts = [
                                pair.spawn(async move { Ok(half(i).await) }),
                                pair.spawn(async move { Ok(half(i + 1).await) }),
                            ];
                            let mut sum = 0;
                            for part in parts {
                                sum += part.await.unwrap();
                            }
                            Ok(sum)
                        })
                        .await;
                        sum
                    };
                    answer.send(fail_after(LONG, work).await.unwrap()).unwrap();
                }
            });
            scope.spawn(async move {
                let mut sum = 0;
                for i in (connection..n).step_by(CONNECTIONS as usize) {
                    let (answer, answered) = oneshot();
                    requests.send((i, answer)).await.unwrap();
                    sum += answered.await.unwrap();
                }
                Ok(sum)
            })
        });
        let mut sum = 0;
        for client in clients.collect::<Vec<_>>() {
            sum += client.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

/// The same with tokio's own parts.
#[cfg(feature = "peers")]
mod peers {
    use super::{CONNECTIONS, LONG, ROOM, half};
    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    pub(super) async fn pipeline<const LIMITED: bool>(n: u64) -> u64 {
        let mut set = JoinSet::new();
        let (first, mut received) = mpsc::channel(ROOM);
        set.spawn(async move {
            for i in 0..n {
                first.send(i).await.unwrap();
            }
            0
        });
        for _ in 0..2 {
            let (next, after) = mpsc::channel(ROOM);
            let mut before = std::mem::replace(&mut received, after);
            set.spawn(async move {
                while let Some(i) = before.recv().await {
                    if LIMITED {
                        timeout(LONG, next.send(i)).await.unwrap().unwrap();
                    } else {
                        next.send(i).await.unwrap();
                    }
                }
                0
            });
        }
        set.spawn(async move {
            let mut sum = 0;
            while let Some(i) = received.recv().await {
                sum += i;
            }
            sum
        });
        set.join_all().await.into_iter().sum()
    }

    pub(super) async fn server<const CHILDREN: bool>(n: u64) -> u64 {
        let mut set = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let (requests, mut received) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(1);
            set.spawn(async move {
                while let Some((i, answer)) = received.recv().await {
                    let work = async {
                        if !CHILDREN {
                            return half(i).await + half(i + 1).await;
                        }
                        let mut pair = JoinSet::new();
                        pair.spawn(half(i));
                        pair.spawn(half(i + 1));
                        pair.join_all().await.into_iter().sum()
                    };
                    answer.send(timeout(LONG, work).await.unwrap()).unwrap();
                }
                0
            });
            set.spawn(async move {
                let mut sum = 0;
                for i in (connection..n).step_by(CONNECTIONS as usize) {
                    let (answer, answered) = oneshot::channel();
                    requests.send((i, answer)).await.unwrap();
                    sum += answered.await.unwrap();
                }
                sum
            });
        }
        set.join_all().await.into_iter().sum()
    }
}

pub(super) fn rows(rows: &mut Rows) {
    macro_rules! program {
        ($host:ident, $key:literal, $what:literal, $bar:expr, $work:ident, $setting:literal) => {
            let row = rows.on($host, $key, $what, 40_000).bars(&[$bar]);
            row.foster(move |n| $host.foster(measure(n, $work::<$setting>)));
            #[cfg(feature = "peers")]
            row.peer("tokio", move |n| $host.tokio(measure(n, peers::$work::<$setting>)));
        };
    }
    for host in [Host::TokioCt, Host::TokioMt2] {
        program!(host, "pipeline", "program: four stages, an item", Bar::Ratio(0.8), pipeline, false);
        program!(
            host,
            "pipeline-limits",
            "the same, a limit around each of two sends",
            Bar::Ratio(1.0),
            pipeline,
            true
        );
        program!(host, "server", "program: 64 connections, a request with a limit", Bar::Ratio(1.1), server, false);
        program!(host, "server-pairs", "the same, two children a request", Bar::Ratio(1.3), server, true);
    }
}
