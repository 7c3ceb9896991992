//! UDP on the loopback: a datagram there, and back; sockets of foster-net, beside those of the runtime that they are on.
//!
//! The same code for all three: `$socket` is that of foster-net, smol or tokio. Two tasks on one thread have a socket
//! each, and wait for each other.

use super::echo::{SIZE, number};
use super::net::{Spawn, in_nursery};
use crate::host::Host;
use crate::meter::measure;
#[cfg(feature = "peers")]
use crate::row::Row;
use crate::row::{Bar, Rows};

macro_rules! there_and_back {
    ($name:ident, $socket:path) => {
        async fn $name(n: u64, beside: &impl Spawn) -> u64 {
            let asking = <$socket>::bind("127.0.0.1:0").await.unwrap();
            let answering = <$socket>::bind("127.0.0.1:0").await.unwrap();
            let address = answering.local_addr().unwrap();
            let answers = beside.spawn(async move {
                let (mut message, mut sum) = ([0; SIZE], 0);
                for _ in 0..n {
                    let (length, from) = answering.recv_from(&mut message).await.unwrap();
                    sum += number(&message);
                    answering.send_to(&message[..length], from).await.unwrap();
                }
                sum
            });
            let mut message = [0; SIZE];
            for i in 0..n {
                message[..8].copy_from_slice(&i.to_le_bytes());
                asking.send_to(&message, address).await.unwrap();
                assert_eq!(asking.recv_from(&mut message).await.unwrap(), (SIZE, address));
                assert_eq!(number(&message), i, "an answer to something else");
            }
            answers.await
        }
    };
}

there_and_back!(on_foster, foster_net::UdpSocket);

pub(super) fn rows(rows: &mut Rows) {
    for host in [Host::Smol1, Host::TokioCt] {
        let what = "UDP: a datagram of 1 KiB there and back, two tasks on one thread";
        let row = rows.on(host, "net-udp", what, 10_000).bars(&[Bar::Ratio(1.1)]);
        row.foster(move |n| host.foster(measure(n, |n| in_nursery(n, on_foster))));
        #[cfg(feature = "peers")]
        peers::udp(row, host);
    }
}

/// The same on the runtimes alone.
#[cfg(feature = "peers")]
mod peers {
    use std::sync::Arc;

    use smol::Executor;

    use super::super::net::peers::Tokio;
    use super::*;

    there_and_back!(on_smol, smol::net::UdpSocket);
    there_and_back!(on_tokio, tokio::net::UdpSocket);

    pub(super) fn udp(row: &mut Row, host: Host) {
        match host {
            Host::Smol1 => row.peer("smol", |n| {
                Host::Smol1.smol(|executor: Arc<Executor<'static>>| async move {
                    measure(n, async |n| on_smol(n, &*executor).await).await;
                });
            }),
            _ => row.peer("tokio", |n| {
                Host::TokioCt.tokio(measure(n, async |n| on_tokio(n, &Tokio).await));
            }),
        };
    }
}
