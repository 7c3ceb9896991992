//! Sockets of foster-net, beside those of the runtime that they are on: an echo, opening and closing, bulk, and what a
//! connection that waits needs.
//!
//! The same code for all three: `$net` is `foster_net`, `smol::net` or `tokio::net`. Where both ends are in the
//! process, they are two tasks.

use foster::{Nursery, nursery};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::echo::{CLIENT, LONG, Listen, SIZE, foster as echo, number};
use crate::host::Host;
use crate::meter::{self, measure};
#[cfg(feature = "peers")]
use crate::row::Row;
use crate::row::{Bar, Rows};

/// Bytes of one write, in the row of a bulk transfer.
const CHUNK: usize = 64 * 1024;

impl Listen for foster_net::TcpListener {
    type Stream = foster_net::TcpStream;

    async fn bind() -> Self {
        Self::bind("127.0.0.1:0").await.unwrap()
    }

    async fn accept(&self) -> Self::Stream {
        self.accept().await.unwrap().0
    }

    fn address(&self) -> SocketAddr {
        self.local_addr().unwrap()
    }
}

async fn serve(stream: foster_net::TcpStream) -> u64 {
    let (mut message, mut sum) = ([0; SIZE], 0);
    loop {
        let mut got = 0;
        while got < SIZE {
            match stream.read(&mut message[got..]).await.unwrap() {
                0 => return sum,
                more => got += more,
            }
        }
        sum += number(&message);
        stream.write_all(&message).await.unwrap();
    }
}

async fn serve_in_time(stream: foster_net::TcpStream) -> u64 {
    let (mut message, mut sum) = ([0; SIZE], 0);
    loop {
        let mut got = 0;
        while got < SIZE {
            match foster::fail_after(LONG, stream.read(&mut message[got..])).await.unwrap().unwrap() {
                0 => return sum,
                more => got += more,
            }
        }
        sum += number(&message);
        stream.write_all(&message).await.unwrap();
    }
}

/// Runs a future beside others.
pub(super) trait Spawn {
    fn spawn(&self, future: impl Future<Output = u64> + Send + 'static) -> impl Future<Output = u64>;
}

impl Spawn for Nursery {
    fn spawn(&self, future: impl Future<Output = u64> + Send + 'static) -> impl Future<Output = u64> {
        let task = Nursery::spawn(self, Succeeds { future });
        async { task.await.unwrap() }
    }
}

pin_project! {
    /// A child's future, of another one that cannot fail. Not an `async` block around it: that would have room for it twice.
    struct Succeeds<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Succeeds<F> {
    type Output = Result<F::Output, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(Ok)
    }
}

/// The pieces of work that need both ends.
macro_rules! both_ends {
    ($module:ident, $listener:path, $stream:path, $sends_at_once:expr $(, $traits:path)*) => {
        mod $module {
            use super::*;
            $(use $traits as _;)*

            /// Opens a connection and closes it, again and again. Both ends send small writes at once.
            pub(super) async fn connect(n: u64, beside: &impl Spawn) -> u64 {
                let sends_at_once: fn(&$stream) = $sends_at_once;
                let listener = <$listener>::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let accepting = beside.spawn(async move {
                    let mut sum = 0;
                    for i in 0..n {
                        sends_at_once(&listener.accept().await.unwrap().0);
                        sum += i;
                    }
                    sum
                });
                for _ in 0..n {
                    sends_at_once(&<$stream>::connect(address).await.unwrap());
                }
                accepting.await
            }

            /// One way, chunk after chunk.
            #[allow(unused_mut, reason = "streams of foster-net are shared")]
            pub(super) async fn bulk(n: u64, beside: &impl Spawn) -> u64 {
                let listener = <$listener>::bind("127.0.0.1:0").await.unwrap();
                let mut sender = <$stream>::connect(listener.local_addr().unwrap()).await.unwrap();
                let mut receiver = listener.accept().await.unwrap().0;
                let receiving = beside.spawn(async move {
                    let (mut buf, mut filled, mut sum) = (vec![0; CHUNK], 0, 0);
                    loop {
                        match receiver.read(&mut buf[filled..]).await.unwrap() {
                            0 => return sum,
                            more => filled += more,
                        }
                        if filled == CHUNK {
                            sum += u64::from_le_bytes(buf[..8].try_into().unwrap());
                            filled = 0;
                        }
                    }
                });
                let mut chunk = vec![0; CHUNK];
                for i in 0..n {
                    chunk[..8].copy_from_slice(&i.to_le_bytes());
                    sender.write_all(&chunk).await.unwrap();
                }
                drop(sender);
                receiving.await
            }

            /// Connections on which a task waits to read.
            #[allow(unused_mut, reason = "streams of foster-net are shared")]
            pub(super) async fn idle(n: u64, beside: &impl Spawn) -> u64 {
                let listener = <$listener>::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let (mut clients, mut servers) = (Vec::new(), Vec::new());
                for _ in 0..n {
                    clients.push(std::net::TcpStream::connect(address).unwrap());
                    servers.push(listener.accept().await.unwrap().0);
                }
                let waits = |i: u64, mut stream: $stream| async move {
                    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
                    i
                };
                let tasks: Vec<_> = (0..n).zip(servers).map(|(i, stream)| beside.spawn(waits(i, stream))).collect();
                // Until all wait.
                for _ in 0..100 {
                    futures_lite::future::yield_now().await;
                }
                meter::all_is_live();
                drop(clients);
                let mut sum = 0;
                for task in tasks {
                    sum += task.await;
                }
                sum
            }
        }
    };
}

// They do so by themselves.
both_ends!(on_foster, foster_net::TcpListener, foster_net::TcpStream, |_| ());

/// Runs a piece of work in a nursery.
pub(super) async fn in_nursery(n: u64, work: impl AsyncFn(u64, &Nursery) -> u64) -> u64 {
    let Ok(sum) = nursery(async |nursery: Nursery| Ok(work(n, &nursery).await)).await;
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    for host in [Host::Smol1, Host::TokioCt] {
        let echoed = "TCP echo of 1 KiB on 64 connections of foster-net; one server thread";
        let row = rows.on(host, "net-echo", echoed, 64_000).by_cpu().uncounted().bars(&[Bar::Ratio(1.03)]);
        row.foster(move |n| host.foster(measure(n, |n| echo::<foster_net::TcpListener, _>(CLIENT, n, serve))));
        #[cfg(feature = "peers")]
        peers::echo(row, host);
        row.peer("a limit of 30 s on each read", move |n| {
            host.foster(measure(n, |n| echo::<foster_net::TcpListener, _>(CLIENT, n, serve_in_time)));
        });

        let connected = "TCP: connect, accept, close both ends; one thread";
        let row = rows.on(host, "net-connect", connected, 5_000).uncounted().bars(&[Bar::Ratio(1.1)]);
        row.foster(move |n| host.foster(measure(n, |n| in_nursery(n, on_foster::connect))));
        #[cfg(feature = "peers")]
        peers::connect(row, host);

        let bulk = "TCP: 64 KiB one way, written and read by two tasks; one thread";
        let row = rows.on(host, "net-bulk", bulk, 8_000).uncounted().bars(&[Bar::Ratio(1.03)]);
        row.foster(move |n| host.foster(measure(n, |n| in_nursery(n, on_foster::bulk))));
        #[cfg(feature = "peers")]
        peers::bulk(row, host);

        let idle = "TCP: a connection on which a task waits; bytes in use";
        let row = rows.on(host, "net-idle", idle, 1_000).uncounted();
        row.foster(move |n| host.foster(measure(n, |n| in_nursery(n, on_foster::idle))));
        #[cfg(feature = "peers")]
        peers::idle(row, host);
    }
}

/// The same on the runtimes alone.
#[cfg(feature = "peers")]
pub(super) mod peers {
    use std::sync::Arc;

    use smol::Executor;

    use super::*;

    both_ends!(
        on_smol,
        smol::net::TcpListener,
        smol::net::TcpStream,
        |stream| stream.set_nodelay(true).unwrap(),
        smol::io::AsyncReadExt,
        smol::io::AsyncWriteExt
    );
    both_ends!(
        on_tokio,
        tokio::net::TcpListener,
        tokio::net::TcpStream,
        |stream| stream.set_nodelay(true).unwrap(),
        tokio::io::AsyncReadExt,
        tokio::io::AsyncWriteExt
    );

    impl Spawn for Executor<'static> {
        fn spawn(&self, future: impl Future<Output = u64> + Send + 'static) -> impl Future<Output = u64> {
            Executor::spawn(self, future)
        }
    }

    pub(in crate::work) struct Tokio;

    impl Spawn for Tokio {
        fn spawn(&self, future: impl Future<Output = u64> + Send + 'static) -> impl Future<Output = u64> {
            let task = tokio::spawn(future);
            async { task.await.unwrap() }
        }
    }

    pub(super) fn echo(row: &mut Row, host: Host) {
        match host {
            Host::Smol1 => super::super::echo::peers::smol(row),
            _ => super::super::echo::peers::tokio(row),
        }
    }

    /// Adds the piece of work of that name, on the runtime alone.
    macro_rules! peer {
        ($name:ident) => {
            pub(super) fn $name(row: &mut Row, host: Host) {
                match host {
                    Host::Smol1 => row.peer("smol", |n| {
                        Host::Smol1.smol(|executor: Arc<Executor<'static>>| async move {
                            measure(n, async |n| on_smol::$name(n, &*executor).await).await;
                        });
                    }),
                    _ => row.peer("tokio", |n| {
                        Host::TokioCt.tokio(measure(n, async |n| on_tokio::$name(n, &Tokio).await));
                    }),
                };
            }
        };
    }

    peer!(connect);
    peer!(bulk);
    peer!(idle);
}
