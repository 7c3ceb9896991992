//! Channels between two children of one task.
//!
//! Peers run in the same tree on the same host, so only the channel differs. foster's own is measured with `fast_send` and
//! `fast_recv`, which give way only when they have to wait, as those of the peers do.

use std::future::Future;

use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

/// Both at once, in one task.
async fn both<F: Future<Output = ()>, G: Future<Output = u64>>(sender: F, receiver: G) -> u64 {
    futures_lite::future::zip(sender, receiver).await.1
}

async fn foster<const CAPACITY: usize>(n: u64) -> u64 {
    let (sender, receiver) = foster::channel::bounded(CAPACITY);
    let sends = async move {
        for i in 0..n {
            sender.fast_send(i).await.unwrap();
        }
    };
    let receives = async move {
        let mut sum = 0;
        while let Ok(i) = receiver.fast_recv().await {
            sum += i;
        }
        sum
    };
    both(sends, receives).await
}

/// Sent, then received, by one who never waits.
async fn alone(n: u64) -> u64 {
    let (sender, receiver) = foster::channel::bounded(100);
    let mut sum = 0;
    for i in 0..n {
        sender.fast_send(i).await.unwrap();
        sum += receiver.fast_recv().await.unwrap();
    }
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    let row = rows.on(Host::Plain, "channel-free", "channel, never waiting", 20_000).bars(&[Bar::Ratio(1.0)]).gated();
    row.foster(|n| Host::Plain.foster(measure(n, alone)));
    #[cfg(feature = "peers")]
    peers::alone(row);
    let row = rows.on(Host::Plain, "channel-100", "channel, bounded(100), one to one", 50_000).bars(&[Bar::Ratio(1.0)]);
    row.foster(|n| Host::Plain.foster(measure(n, foster::<100>)));
    #[cfg(feature = "peers")]
    peers::add::<100>(row);
    let row =
        rows.on(Host::Plain, "channel-1", "channel, bounded(1), one to one", 50_000).bars(&[Bar::Ratio(1.0)]).gated();
    row.foster(|n| Host::Plain.foster(measure(n, foster::<1>)));
    #[cfg(feature = "peers")]
    peers::add::<1>(row);
}

#[cfg(feature = "peers")]
mod peers {
    use super::both;
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;

    macro_rules! channel {
        ($pair:ident, $alone:ident, $new:path, $send:ident, $recv:ident, $value:ident) => {
            async fn $pair<const CAPACITY: usize>(n: u64) -> u64 {
                let (sender, receiver) = $new(CAPACITY);
                let sends = async move {
                    for i in 0..n {
                        sender.$send(i).await.unwrap();
                    }
                };
                let receives = async move {
                    #[allow(unused_mut, reason = "not all receivers need it")]
                    let mut receiver = receiver;
                    let mut sum = 0;
                    while let $value(i) = receiver.$recv().await {
                        sum += i;
                    }
                    sum
                };
                both(sends, receives).await
            }

            async fn $alone(n: u64) -> u64 {
                #[allow(unused_mut, reason = "not all receivers need it")]
                let (sender, mut receiver) = $new(100);
                let mut sum = 0;
                for i in 0..n {
                    sender.$send(i).await.unwrap();
                    sum += receiver.$recv().await.unwrap();
                }
                sum
            }
        };
    }

    channel!(flume, flume_alone, flume::bounded, send_async, recv_async, Ok);
    channel!(async_channel, async_channel_alone, async_channel::bounded, send, recv, Ok);
    channel!(tokio, tokio_alone, tokio::sync::mpsc::channel, send, recv, Some);

    pub(super) fn add<const CAPACITY: usize>(row: &mut Row) {
        row.peer("flume", |n| Host::Plain.foster(measure(n, flume::<CAPACITY>)));
        row.peer("async-channel", |n| Host::Plain.foster(measure(n, async_channel::<CAPACITY>)));
        row.peer("tokio mpsc", |n| Host::Plain.foster(measure(n, tokio::<CAPACITY>)));
    }

    pub(super) fn alone(row: &mut Row) {
        row.peer("flume", |n| Host::Plain.foster(measure(n, flume_alone)));
        row.peer("async-channel", |n| Host::Plain.foster(measure(n, async_channel_alone)));
        row.peer("tokio mpsc", |n| Host::Plain.foster(measure(n, tokio_alone)));
    }
}
