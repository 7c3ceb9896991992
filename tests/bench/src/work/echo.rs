//! 64 connections over the loopback, a kilobyte there and back; a server on one thread, with and without a limit on
//! each read.
//!
//! The client is a process of its own, so the time of the processor is the server's alone; it writes to all
//! connections, then reads from all. Each message carries its number, and the server adds them up.

use foster::{Nursery, fail_after};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use crate::host::Host;
use crate::meter::{self, measure};
use crate::row::{Bar, Rows};

pub(super) const CONNECTIONS: u64 = 64;
pub(super) const SIZE: usize = 1024;
pub(super) const LONG: Duration = Duration::from_secs(30);

/// The client: so many messages in all, on so many connections.
pub(crate) fn client(address: SocketAddr, n: u64) -> std::io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mut message = [0; SIZE];
    for start in (0..n).step_by(CONNECTIONS as usize) {
        let round = (start..n).take(CONNECTIONS as usize);
        for (i, stream) in round.clone().zip(&mut streams) {
            message[..8].copy_from_slice(&i.to_le_bytes());
            stream.write_all(&message)?;
        }
        for (i, stream) in round.zip(&mut streams) {
            stream.read_exact(&mut message)?;
            assert_eq!(message[..8], i.to_le_bytes(), "an answer to somebody else");
        }
    }
    Ok(())
}

/// As what this program is to be started, to be the [`client`].
pub(super) const CLIENT: &str = "client";

fn start_client(client: &str, address: SocketAddr, n: u64) -> Child {
    let program = std::env::current_exe().unwrap();
    Command::new(program).args([client, &address.to_string(), &n.to_string()]).spawn().unwrap()
}

pub(super) fn number(message: &[u8; SIZE]) -> u64 {
    message.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A listener of either runtime.
pub(super) trait Listen: Sized {
    type Stream: Send + 'static;

    fn bind() -> impl Future<Output = Self>;
    fn accept(&self) -> impl Future<Output = Self::Stream>;
    fn address(&self) -> SocketAddr;
}

macro_rules! listen {
    ($net:ident) => {
        impl Listen for $net::net::TcpListener {
            type Stream = $net::net::TcpStream;

            async fn bind() -> Self {
                Self::bind("127.0.0.1:0").await.unwrap()
            }

            async fn accept(&self) -> Self::Stream {
                let stream = self.accept().await.unwrap().0;
                stream.set_nodelay(true).unwrap();
                stream
            }

            fn address(&self) -> SocketAddr {
                self.local_addr().unwrap()
            }
        }
    };
}

listen!(smol);
listen!(tokio);

/// A function that serves one connection; `$read` is a read, to be awaited by `$wait`, with a limit or without.
macro_rules! connection {
    ($name:ident, $net:ident, $read:ident => $wait:expr) => {
        async fn $name(mut stream: $net::net::TcpStream) -> u64 {
            use $net::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut message, mut sum) = ([0; SIZE], 0);
            loop {
                let mut got = 0;
                while got < SIZE {
                    let $read = stream.read(&mut message[got..]);
                    match $wait.unwrap() {
                        0 => return sum,
                        more => got += more,
                    }
                }
                sum += number(&message);
                stream.write_all(&message).await.unwrap();
            }
        }
    };
}

connection!(on_smol, smol, read => read.await);
connection!(limited_on_smol, smol, read => fail_after(LONG, read).await.unwrap());
connection!(on_tokio, tokio, read => read.await);
connection!(limited_on_tokio, tokio, read => fail_after(LONG, read).await.unwrap());

/// All connections of such a client, and what is to be done at their end.
pub(super) async fn accepted<L: Listen>(client: &str, n: u64) -> (Vec<L::Stream>, impl FnOnce()) {
    let listener = L::bind().await;
    let mut client = start_client(client, listener.address(), n);
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(listener.accept().await);
    }
    meter::begin();
    let end = move || {
        meter::end();
        assert!(client.wait().unwrap().success());
    };
    (streams, end)
}

/// A child for each connection of such a client.
pub(super) async fn foster<L: Listen, F>(client: &str, n: u64, serve: impl Fn(L::Stream) -> F) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let (streams, end) = accepted::<L>(client, n).await;
    let Ok(sum) = foster::nursery(async |nursery: Nursery| {
        let child = |stream| {
            let served = serve(stream);
            async move { Ok(served.await) }
        };
        let tasks: Vec<_> = streams.into_iter().map(|stream| nursery.spawn(child(stream))).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    end();
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    let what = "TCP echo of 1 KiB on 64 connections, a limit of 30 s on each read; one server thread";
    let (n, host) = (64_000, Host::Smol1);
    let row = rows.on(host, "echo", what, n).by_cpu().uncounted().bars(&[Bar::Ratio(1.01)]);
    row.foster(move |n| host.foster(measure(n, |n| foster::<smol::net::TcpListener, _>(CLIENT, n, limited_on_smol))));
    #[cfg(feature = "peers")]
    peers::smol(row);
    row.peer("foster without limits", move |n| {
        host.foster(measure(n, |n| foster::<smol::net::TcpListener, _>(CLIENT, n, on_smol)))
    });
    let host = Host::TokioCt;
    let row = rows.on(host, "echo", what, n).by_cpu().uncounted().bars(&[Bar::Ratio(1.01)]);
    row.foster(move |n| host.foster(measure(n, |n| foster::<tokio::net::TcpListener, _>(CLIENT, n, limited_on_tokio))));
    #[cfg(feature = "peers")]
    peers::tokio(row);
    row.peer("foster without limits", move |n| {
        host.foster(measure(n, |n| foster::<tokio::net::TcpListener, _>(CLIENT, n, on_tokio)))
    });
}

#[cfg(feature = "peers")]
pub(super) mod peers {
    use std::future::Future;

    use super::super::limit::peers::limit;
    use super::{CLIENT, LONG, SIZE, accepted, number, on_smol, on_tokio};
    use crate::host::Host;
    use crate::meter::measure;
    use crate::row::Row;

    connection!(timer_on_smol, smol, read => limit(LONG, read).await.unwrap());
    connection!(timeout_on_tokio, tokio, read => tokio::time::timeout(LONG, read).await.unwrap());

    fn on_executor<F>(n: u64, serve: impl Fn(smol::net::TcpStream) -> F)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        Host::Smol1.smol(|executor| async move {
            let work = async |n| {
                let (streams, end) = accepted::<smol::net::TcpListener>(CLIENT, n).await;
                let tasks: Vec<_> = streams.into_iter().map(|stream| executor.spawn(serve(stream))).collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await;
                }
                end();
                sum
            };
            measure(n, work).await;
        });
    }

    fn on_set<F>(n: u64, serve: impl Fn(tokio::net::TcpStream) -> F)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        Host::TokioCt.tokio(async {
            let work = async |n| {
                let (streams, end) = accepted::<tokio::net::TcpListener>(CLIENT, n).await;
                let mut set: tokio::task::JoinSet<u64> = streams.into_iter().map(&serve).collect();
                let mut sum = 0;
                while let Some(part) = set.join_next().await {
                    sum += part.unwrap();
                }
                end();
                sum
            };
            measure(n, work).await;
        });
    }

    pub(in crate::work) fn smol(row: &mut Row) {
        row.peer("smol without limits", |n| on_executor(n, on_smol));
        row.peer("smol and Timer", |n| on_executor(n, timer_on_smol));
    }

    pub(in crate::work) fn tokio(row: &mut Row) {
        row.peer("JoinSet without limits", |n| on_set(n, on_tokio));
        row.peer("JoinSet and timeout", |n| on_set(n, timeout_on_tokio));
    }
}
