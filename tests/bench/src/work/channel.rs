//! Channels: one sender and one receiver, four of each, and one who does both.
//!
//! Peers run in the same tree on the same host, so only the channel differs. foster's own is measured with `send` and
//! `recv`, which give way only when they have to wait, as those of the peers do.

use foster::{CancelScope, LocalNursery, Nursery, fail_after};
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::time::Duration;

use super::lock::begun;
use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

/// Both at once, in one task.
async fn both<F: Future<Output = ()>, G: Future<Output = u64>>(sender: F, receiver: G) -> u64 {
    futures_lite::future::zip(sender, receiver).await.1
}

const SIDE: u64 = 4;

/// Four senders and four receivers: children of one task, or of the runtime.
async fn crowd<const TASKS: bool, F, G>(senders: Vec<F>, receivers: Vec<G>) -> u64
where
    F: Future<Output = ()> + Send + 'static,
    G: Future<Output = u64> + Send + 'static,
{
    macro_rules! crowd {
        ($nursery:expr) => {{
            senders.into_iter().for_each(|sender| drop($nursery.spawn(sender)));
            let child = |receiver: G| async move { Ok(receiver.await) };
            let tasks: Vec<_> = receivers.into_iter().map(|receiver| $nursery.spawn(child(receiver))).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            Ok(sum)
        }};
    }
    let Ok(sum) = if TASKS {
        foster::nursery(async |nursery: Nursery| crowd!(nursery)).await
    } else {
        foster::local_nursery(async |nursery: LocalNursery<'_>| crowd!(nursery)).await
    };
    sum
}

/// Everything that is measured of one sort of channel. `many`: with receivers that can be cloned.
macro_rules! channel {
    ($name:ident, $new:path, $send:ident, $recv:ident, $value:ident $(, $many:ident)?) => {
        pub(super) mod $name {
            use super::*;

            /// Sent, then received, by one who never waits.
            pub(in super::super) async fn alone(n: u64) -> u64 {
                #[allow(unused_mut, reason = "not all ends need it")]
                let (mut sender, mut receiver) = $new(100);
                let mut sum = 0;
                for i in 0..n {
                    sender.$send(i).await.unwrap();
                    sum += receiver.$recv().await.unwrap();
                }
                sum
            }

            pub(in super::super) async fn pair<const CAPACITY: usize>(n: u64) -> u64 {
                let (sender, receiver) = $new(CAPACITY);
                let sends = async move {
                    #[allow(unused_mut, reason = "not all senders need it")]
                    let mut sender = sender;
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

            $(
                pub(in super::super) async fn $many<const CAPACITY: usize, const TASKS: bool>(n: u64) -> u64 {
                    let (sender, receiver) = $new(CAPACITY);
                    let sends = |from| {
                        let sender = sender.clone();
                        async move {
                            for i in (from..n).step_by(SIDE as usize) {
                                sender.$send(i).await.unwrap();
                            }
                        }
                    };
                    let receives = |_| {
                        let receiver = receiver.clone();
                        async move {
                            let mut sum = 0;
                            while let $value(i) = receiver.$recv().await {
                                sum += i;
                            }
                            sum
                        }
                    };
                    let (senders, receivers) = ((0..SIDE).map(sends).collect(), (0..SIDE).map(receives).collect());
                    drop((sender, receiver));
                    crowd::<TASKS, _, _>(senders, receivers).await
                }
            )?
        }
    };
}

mod ours {
    use super::{SIDE, both, crowd};

    channel!(foster, ::foster::channel::bounded, send, recv, Ok, many);
}
use ours::foster as own;

async fn alone_in_scope(n: u64) -> u64 {
    CancelScope::new().run(own::alone(n)).await.unwrap()
}

async fn alone_in_limit(n: u64) -> u64 {
    fail_after(Duration::from_secs(3600), own::alone(n)).await.unwrap()
}

/// Sends, where that never waits; then all is received.
async fn pile(n: u64) -> u64 {
    let (sender, receiver) = foster::channel::unbounded();
    (0..n).for_each(|i| sender.try_send(i).unwrap());
    let mut sum = 0;
    for _ in 0..n {
        sum += receiver.recv().await.unwrap();
    }
    sum
}

/// One channel after the other, each for one value that is there.
async fn oneshot(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        let (sender, mut receiver) = foster::channel::oneshot();
        sender.send(i).unwrap();
        sum += receiver.try_recv().unwrap();
    }
    sum
}

/// As above, but the receiver waits when the value is sent.
async fn oneshot_waited(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        let (sender, receiver) = foster::channel::oneshot();
        let mut wait = pin!(receiver);
        begun(wait.as_mut()).await;
        sender.send(i).unwrap();
        sum += wait.await.unwrap();
    }
    sum
}

/// Each value is sent, and then received by the one receiver.
async fn broadcast(n: u64) -> u64 {
    let (sender, mut receiver) = foster::channel::broadcast(16, foster::channel::Lag::Skip);
    let mut sum: u64 = 0;
    for i in 0..n {
        sender.try_send(i).unwrap();
        sum += receiver.try_recv().unwrap();
    }
    sum
}

/// Each value is sent, and then received by each of eight.
async fn broadcast_to_eight(n: u64) -> u64 {
    let (sender, receiver) = foster::channel::broadcast(16, foster::channel::Lag::Skip);
    let mut receivers = vec![receiver; 8];
    let mut sum: u64 = 0;
    for i in 0..n {
        sender.try_send(i).unwrap();
        sum += receivers.iter_mut().map(|receiver| receiver.try_recv().unwrap()).sum::<u64>() / 8;
    }
    sum
}

/// Each value is sent, and then seen by the one receiver.
async fn watch(n: u64) -> u64 {
    let (sender, mut receiver) = foster::channel::watch(0);
    let mut sum = 0;
    for i in 0..n {
        sender.send(i).unwrap();
        sum += *receiver.try_recv().unwrap();
    }
    sum
}

/// Made and dropped.
async fn made<C>(n: u64, new: impl Fn() -> C) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        drop(black_box(new()));
        sum += i;
    }
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    let bars = [Bar::Ratio(1.0)];
    let row = rows.on(Host::Plain, "channel-made", "channel, made and dropped", 20_000).bars(&[Bar::Allocs(1.0)]);
    row.foster(|n| Host::Plain.foster(measure(n, |n| made(n, || foster::channel::bounded::<u64>(100)))));
    #[cfg(feature = "peers")]
    peers::made(row);
    let row = rows.on(Host::Plain, "channel-free", "channel, never waiting", 20_000).bars(&bars).gated();
    row.foster(|n| Host::Plain.foster(measure(n, own::alone)));
    #[cfg(feature = "peers")]
    peers::alone(row);
    let row = rows.on(Host::Plain, "channel-free-scope", "channel, never waiting, in a `CancelScope`", 20_000);
    row.bars(&bars).foster(|n| Host::Plain.foster(measure(n, alone_in_scope)));
    #[cfg(feature = "peers")]
    peers::alone(row);
    let row = rows.on(Host::Plain, "channel-free-limit", "channel, never waiting, in a `fail_after`", 20_000);
    row.foster(|n| Host::Plain.foster(measure(n, alone_in_limit)));
    #[cfg(feature = "peers")]
    peers::alone(row);
    let row = rows.on(Host::Plain, "channel-100", "channel, bounded(100), one to one", 50_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, own::pair::<100>)));
    #[cfg(feature = "peers")]
    peers::pair::<100>(row);
    let row = rows.on(Host::Plain, "channel-1", "channel, bounded(1), one to one", 50_000).bars(&bars).gated();
    row.foster(|n| Host::Plain.foster(measure(n, own::pair::<1>)));
    #[cfg(feature = "peers")]
    peers::pair::<1>(row);
    let row = rows.on(Host::Plain, "channel-4-100", "channel, bounded(100), four to four, in one task", 50_000);
    row.bars(&bars).foster(|n| Host::Plain.foster(measure(n, own::many::<100, false>)));
    #[cfg(feature = "peers")]
    peers::many::<100, false>(row, Host::Plain);
    let row = rows.on(Host::Plain, "channel-4-1", "channel, bounded(1), four to four, in one task", 50_000);
    row.bars(&bars).foster(|n| Host::Plain.foster(measure(n, own::many::<1, false>)));
    #[cfg(feature = "peers")]
    peers::many::<1, false>(row, Host::Plain);
    for host in [Host::Smol2, Host::TokioMt2] {
        let row = rows.on(host, "channel-4-100", "channel, bounded(100), four to four, tasks on two threads", 50_000);
        row.bars(&bars).foster(move |n| host.foster(measure(n, own::many::<100, true>)));
        #[cfg(feature = "peers")]
        peers::many::<100, true>(row, host);
    }
    let row =
        rows.on(Host::Plain, "channel-pile", "channel, unbounded, all sent and then received", 50_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, pile)));
    #[cfg(feature = "peers")]
    peers::pile(row);
    let row = rows.on(Host::Plain, "oneshot", "oneshot: made, sent, received", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, oneshot)));
    #[cfg(feature = "peers")]
    peers::oneshot(row);
    let row = rows.on(Host::Plain, "oneshot-waited", "oneshot: made, waited for, sent", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, oneshot_waited)));
    #[cfg(feature = "peers")]
    peers::oneshot_waited(row);
    let row = rows.on(Host::Plain, "broadcast", "broadcast: sent and received, one receiver", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, broadcast)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::broadcast)));
    let row = rows.on(Host::Plain, "broadcast-8", "broadcast: sent and received, eight receivers", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, broadcast_to_eight)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::broadcast_to_eight)));
    let row = rows.on(Host::Plain, "watch", "watch: sent and seen, one receiver", 20_000).bars(&bars);
    row.foster(|n| Host::Plain.foster(measure(n, watch)));
    #[cfg(feature = "peers")]
    row.peer("tokio", |n| Host::Plain.foster(measure(n, peers::watch)));
}

#[cfg(feature = "peers")]
mod peers {
    use ::futures::channel::mpsc;
    use ::futures::{SinkExt, StreamExt};
    use std::pin::pin;

    use super::{SIDE, both, crowd};
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;
    use crate::work::lock::begun;

    channel!(flume, ::flume::bounded, send_async, recv_async, Ok, many);
    channel!(async_channel, ::async_channel::bounded, send, recv, Ok, many);
    channel!(tokio, ::tokio::sync::mpsc::channel, send, recv, Some);
    channel!(futures, futures_bounded, send, next, Some);
    channel!(kanal, ::kanal::bounded_async, send, recv, Ok, many);
    channel!(crossfire, ::crossfire::mpmc::bounded_async, send, recv, Ok, many);

    /// Of this capacity: theirs is one more for each sender.
    fn futures_bounded<T>(capacity: usize) -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
        mpsc::channel(capacity - 1)
    }

    pub(super) fn made(row: &mut Row) {
        macro_rules! made {
            ($name:literal, $new:expr) => {
                row.peer($name, |n| Host::Plain.foster(measure(n, |n| super::made(n, || $new))))
            };
        }
        made!("flume", ::flume::bounded::<u64>(100));
        made!("kanal", ::kanal::bounded_async::<u64>(100));
        made!("crossfire", ::crossfire::mpmc::bounded_async::<u64>(100));
        made!("async-channel", ::async_channel::bounded::<u64>(100));
        made!("tokio mpsc", ::tokio::sync::mpsc::channel::<u64>(100));
    }

    pub(super) fn alone(row: &mut Row) {
        row.peer("flume", |n| Host::Plain.foster(measure(n, flume::alone)));
        row.peer("kanal", |n| Host::Plain.foster(measure(n, kanal::alone)));
        row.peer("crossfire", |n| Host::Plain.foster(measure(n, crossfire::alone)));
        row.peer("async-channel", |n| Host::Plain.foster(measure(n, async_channel::alone)));
        row.peer("tokio mpsc", |n| Host::Plain.foster(measure(n, tokio::alone)));
        row.peer("futures mpsc", |n| Host::Plain.foster(measure(n, futures::alone)));
    }

    pub(super) fn pair<const CAPACITY: usize>(row: &mut Row) {
        row.peer("flume", |n| Host::Plain.foster(measure(n, flume::pair::<CAPACITY>)));
        row.peer("kanal", |n| Host::Plain.foster(measure(n, kanal::pair::<CAPACITY>)));
        if CAPACITY > 1 {
            // It spins before it waits: 3 µs a message at capacity 1, and no end under valgrind.
            row.peer("crossfire", |n| Host::Plain.foster(measure(n, crossfire::pair::<CAPACITY>)));
        }
        row.peer("async-channel", |n| Host::Plain.foster(measure(n, async_channel::pair::<CAPACITY>)));
        row.peer("tokio mpsc", |n| Host::Plain.foster(measure(n, tokio::pair::<CAPACITY>)));
        row.peer("futures mpsc", |n| Host::Plain.foster(measure(n, futures::pair::<CAPACITY>)));
    }

    pub(super) fn many<const CAPACITY: usize, const TASKS: bool>(row: &mut Row, host: Host) {
        row.peer("flume", move |n| host.foster(measure(n, flume::many::<CAPACITY, TASKS>)));
        row.peer("kanal", move |n| host.foster(measure(n, kanal::many::<CAPACITY, TASKS>)));
        if CAPACITY > 1 {
            row.peer("crossfire", move |n| host.foster(measure(n, crossfire::many::<CAPACITY, TASKS>)));
        }
        row.peer("async-channel", move |n| host.foster(measure(n, async_channel::many::<CAPACITY, TASKS>)));
    }

    pub(super) fn pile(row: &mut Row) {
        macro_rules! pile {
            ($name:literal, $new:path, $send:ident, $recv:ident) => {
                row.peer($name, |n| {
                    let work = async |n| {
                        #[allow(unused_mut, reason = "not all receivers need it")]
                        let (sender, mut receiver) = $new();
                        for i in 0..n {
                            _ = sender.$send(i).unwrap();
                        }
                        let mut sum = 0;
                        for _ in 0..n {
                            sum += receiver.$recv().await.unwrap();
                        }
                        sum
                    };
                    Host::Plain.foster(measure(n, work))
                })
            };
        }
        pile!("flume", ::flume::unbounded, send, recv_async);
        pile!("kanal", ::kanal::unbounded_async, try_send, recv);
        pile!("async-channel", ::async_channel::unbounded, try_send, recv);
        pile!("tokio mpsc", ::tokio::sync::mpsc::unbounded_channel, send, recv);
    }

    pub(super) fn oneshot(row: &mut Row) {
        macro_rules! oneshot {
            ($name:literal, $new:expr, $send:ident, $recv:ident => $value:expr) => {
                row.peer($name, |n| {
                    let work = async |n| {
                        let mut sum: u64 = 0;
                        for i in 0..n {
                            #[allow(unused_mut, reason = "not all receivers need it")]
                            let (sender, mut $recv) = $new;
                            sender.$send(i).unwrap();
                            sum += $value;
                        }
                        sum
                    };
                    Host::Plain.foster(measure(n, work))
                })
            };
        }
        oneshot!("tokio", ::tokio::sync::oneshot::channel(), send, receiver => receiver.try_recv().unwrap());
        oneshot!("futures", ::futures::channel::oneshot::channel(), send, receiver => receiver.try_recv().unwrap().unwrap());
        oneshot!("async-channel of 1", ::async_channel::bounded(1), try_send, receiver => receiver.try_recv().unwrap());
    }

    pub(super) fn oneshot_waited(row: &mut Row) {
        macro_rules! waited {
            ($name:literal, $new:expr, $send:ident, $recv:ident => $wait:expr) => {
                row.peer($name, |n| {
                    let work = async |n| {
                        let mut sum: u64 = 0;
                        for i in 0..n {
                            let (sender, $recv) = $new;
                            let mut wait = pin!($wait);
                            begun(wait.as_mut()).await;
                            sender.$send(i).unwrap();
                            sum += wait.await.unwrap();
                        }
                        sum
                    };
                    Host::Plain.foster(measure(n, work))
                })
            };
        }
        waited!("tokio", ::tokio::sync::oneshot::channel(), send, receiver => receiver);
        waited!("futures", ::futures::channel::oneshot::channel(), send, receiver => receiver);
        waited!("async-channel of 1", ::async_channel::bounded(1), try_send, receiver => receiver.recv());
    }

    pub(super) async fn broadcast(n: u64) -> u64 {
        let (sender, mut receiver) = ::tokio::sync::broadcast::channel(16);
        let mut sum: u64 = 0;
        for i in 0..n {
            sender.send(i).unwrap();
            sum += receiver.try_recv().unwrap();
        }
        sum
    }

    pub(super) async fn broadcast_to_eight(n: u64) -> u64 {
        let (sender, receiver) = ::tokio::sync::broadcast::channel(16);
        let mut receivers: Vec<_> = (0..8).map(|_| receiver.resubscribe()).collect();
        drop(receiver);
        let mut sum: u64 = 0;
        for i in 0..n {
            sender.send(i).unwrap();
            sum += receivers.iter_mut().map(|receiver| receiver.try_recv().unwrap()).sum::<u64>() / 8;
        }
        sum
    }

    pub(super) async fn watch(n: u64) -> u64 {
        let (sender, mut receiver) = ::tokio::sync::watch::channel(0);
        let mut sum = 0;
        for i in 0..n {
            sender.send(i).unwrap();
            sum += *receiver.borrow_and_update();
        }
        sum
    }
}
