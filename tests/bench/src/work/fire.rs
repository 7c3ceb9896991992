//! Many sleeps that end, spread over 200 ms.
//!
//! The time of these rows is that of the processor: the rest is waiting. On smol what async-io's own thread does is in
//! it.

use foster::{Nursery, nursery, sleep};
use std::time::Duration;

use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

/// How long the child with this number sleeps.
fn duration(i: u64) -> Duration {
    Duration::from_micros(i * 7919 % 200_000)
}

async fn foster(n: u64) -> u64 {
    let Ok(sum) = nursery(async |nursery: Nursery| {
        let child = |i| async move {
            sleep(duration(i)).await;
            Ok(i)
        };
        let tasks: Vec<_> = (0..n).map(|i| nursery.spawn(child(i))).collect();
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
    for host in [Host::Smol1, Host::TokioCt, Host::TokioMt2] {
        let row = rows.on(host, "fire", "children that sleep, to their end; 100 000 at once", 100_000).by_cpu();
        row.bars(&[Bar::Ratio(1.2)]);
        row.foster(move |n| host.foster(measure(n, foster)));
        #[cfg(feature = "peers")]
        peers::add(row, host);
    }
}

#[cfg(feature = "peers")]
mod peers {
    use tokio::task::JoinSet;

    use super::duration;
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;

    async fn joinset(n: u64) -> u64 {
        let mut set = JoinSet::new();
        for i in 0..n {
            set.spawn(async move {
                tokio::time::sleep(duration(i)).await;
                i
            });
        }
        let mut sum = 0;
        while let Some(i) = set.join_next().await {
            sum += i.unwrap();
        }
        sum
    }

    pub(super) fn add(row: &mut Row, host: Host) {
        if host != Host::Smol1 {
            row.peer("JoinSet and tokio sleep", move |n| host.tokio(measure(n, joinset)));
            return;
        }
        row.peer("smol tasks and Timer", move |n| {
            host.smol(|executor| async move {
                let work = async |n| {
                    let child = |i| async move {
                        smol::Timer::after(duration(i)).await;
                        i
                    };
                    let tasks: Vec<_> = (0..n).map(|i| executor.spawn(child(i))).collect();
                    let mut sum = 0;
                    for task in tasks {
                        sum += task.await;
                    }
                    sum
                };
                measure(n, work).await
            })
        });
    }
}
