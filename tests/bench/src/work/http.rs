//! An HTTP/1.1 server on hyper: 64 connections over the loopback that are kept, a child for each, a limit for each
//! request.
//!
//! The client is a process of its own, the same for all, as in `echo`: so both the instructions and the time of the
//! processor are the server's alone. It writes a request to each connection, then reads all answers. A request has its
//! number, which the service returns, ready at once, or having waited, or from two children; the server adds them up.
//!
//! The service and its answer are the same for all. The servers differ: hyper on tokio's streams is as it is elsewhere,
//! with tokio's clock, and has foster's nursery or tokio's tasks around it. `foster_hyper` does more: it looks at the
//! first byte for HTTP/2, runs each request in a scope, is ready for an upgrade, and sees `stopping()`.

use std::convert::Infallible;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foster::{Nursery, fail_after};
use foster_hyper::HttpOptions;
use futures_lite::future::yield_now;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::echo::{CONNECTIONS, LONG, accepted, foster};
use crate::host::Host;
use crate::meter::measure;
use crate::row::{Bar, Rows};

/// As what this program is to be started, to be the [`client`].
const CLIENT: &str = "http-client";

/// The client: so many requests in all.
pub(crate) fn client(address: SocketAddr, n: u64) -> std::io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mut buf = [0; 512];
    for start in (0..n).step_by(CONNECTIONS as usize) {
        let round = (start..n).take(CONNECTIONS as usize);
        for (i, stream) in round.clone().zip(&mut streams) {
            stream.write_all(format!("GET /{i} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
        }
        for (i, stream) in round.zip(&mut streams) {
            let (body, mut filled) = (format!("\r\n\r\nhello {i}"), 0);
            while !buf[..filled].ends_with(body.as_bytes()) {
                let more = stream.read(&mut buf[filled..])?;
                assert!(more > 0, "no answer, or to somebody else: {}", String::from_utf8_lossy(&buf[..filled]));
                filled += more;
            }
        }
    }
    Ok(())
}

/// The number of a request.
fn number(request: &Request<Incoming>) -> u64 {
    request.uri().path()[1..].parse().unwrap()
}

fn answer(sum: &AtomicU64, number: u64) -> Result<Response<String>, Infallible> {
    sum.fetch_add(number, Ordering::Relaxed);
    Ok(Response::new(format!("hello {number}")))
}

/// The service of a connection: `$work` is the work on a request, to be awaited by `$limited`.
macro_rules! service {
    ($sum:ident, $of:ident, $work:ident => $limited:expr) => {{
        let sum = $sum.clone();
        service_fn(move |request| {
            let (sum, $work) = (sum.clone(), $of(number(&request)));
            async move { answer(&sum, $limited.await.unwrap()) }
        })
    }};
}

/// A function that serves one connection with hyper on a stream of tokio's.
macro_rules! connection {
    ($name:ident, $work:ident => $limited:expr) => {
        async fn $name<F>(stream: tokio::net::TcpStream, of: impl Fn(u64) -> F) -> u64
        where
            F: Future<Output = u64>,
        {
            let sum = Arc::new(AtomicU64::new(0));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service!(sum, of, $work => $limited));
            served.await.unwrap();
            sum.load(Ordering::Relaxed)
        }
    };
}

connection!(on_tokio, work => timeout(LONG, work));
connection!(on_foster, work => fail_after(LONG, work));

/// The same with `foster_hyper`, on a stream of foster's.
async fn on_foster_net<F>(stream: foster_net::TcpStream, of: impl Fn(u64) -> F + Send + 'static) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let sum = Arc::new(AtomicU64::new(0));
    let service = service!(sum, of, work => fail_after(LONG, work));
    foster_hyper::serve_connection(stream, HttpOptions::new(), service).await.unwrap();
    sum.load(Ordering::Relaxed)
}

async fn ready(i: u64) -> u64 {
    i
}

async fn waits(i: u64) -> u64 {
    yield_now().await;
    i
}

async fn half(i: u64) -> u64 {
    waits(i / 2).await
}

async fn two_children(i: u64) -> u64 {
    let Ok(sum) = foster::nursery(async |pair: Nursery| {
        let parts = [pair.spawn(async move { Ok(half(i).await) }), pair.spawn(async move { Ok(half(i + 1).await) })];
        let mut sum = 0;
        for part in parts {
            sum += part.await.unwrap();
        }
        Ok(sum)
    })
    .await;
    sum
}

async fn set_of_two(i: u64) -> u64 {
    let mut pair = JoinSet::new();
    pair.spawn(half(i));
    pair.spawn(half(i + 1));
    pair.join_all().await.into_iter().sum()
}

/// A task for each connection.
async fn tasks<F>(n: u64, serve: impl Fn(tokio::net::TcpStream) -> F) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let (streams, end) = accepted::<tokio::net::TcpListener>(CLIENT, n).await;
    let tasks: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(serve(stream))).collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    end();
    sum
}

pub(super) fn rows(rows: &mut Rows) {
    type OfTokio = tokio::net::TcpListener;
    type OfFoster = foster_net::TcpListener;
    // `$work` is the service, `$peers` the same with tokio's tasks.
    macro_rules! http {
        ($key:literal, $what:literal, $bar:literal, $work:ident, $peers:ident) => {
            let row = rows.on(Host::TokioCt, $key, $what, 64_000).bars(&[Bar::Ratio($bar)]);
            row.foster(|n| {
                let work = async |n| foster::<OfTokio, _>(CLIENT, n, |stream| on_foster(stream, $work)).await;
                Host::TokioCt.foster(measure(n, work));
            });
            row.peer("tokio", |n| Host::TokioCt.tokio(measure(n, |n| tasks(n, |stream| on_tokio(stream, $peers)))));
            for (name, host) in [("foster-hyper", Host::TokioCt), ("foster-hyper on smol", Host::Smol1)] {
                row.peer(name, move |n| {
                    let work = async |n| foster::<OfFoster, _>(CLIENT, n, |stream| on_foster_net(stream, $work)).await;
                    host.foster(measure(n, work));
                });
            }
        };
    }
    http!("http", "HTTP/1.1 server, 64 connections: a request with a limit, ready at once", 1.08, ready, ready);
    http!("http-waits", "the same, the service waits once", 1.08, waits, waits);
    http!("http-pairs", "the same, two children a request, which wait once", 1.3, two_children, set_of_two);
}
