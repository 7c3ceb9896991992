//! Clients: a pool of connections, or one connection, with their tasks in a nursery.

mod connector;

use std::fmt::{Debug, Display};
use std::future::Future;

use foster::Nursery;
use foster::observer::{OrphanKind, report};
use futures_io::{AsyncRead, AsyncWrite};
use hyper::body::Body;
use hyper::client::conn::{http1, http2};
use hyper_util::client::legacy::Builder;

use crate::executor::Executor;
use crate::io::Io;
use crate::timer::Timer;

pub use connector::Connector;
/// The client of [`pool`], which is that of hyper-util; here so that it can be named, as in a field.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, nursery};
/// use foster_hyper::client::{self, Client, Connector};
///
/// struct Crawler {
///     client: Client<Connector, String>,
///     seen: Vec<hyper::Uri>,
/// }
///
/// # foster_smol::run(async {
/// let Ok(()) = nursery(async |n: Nursery| {
///     let crawler = Crawler { client: client::pool(&n), seen: Vec::new() };
/// #   drop((crawler.client, crawler.seen));
/// })
/// .await;
/// # });
/// ```
#[doc(inline)]
pub use hyper_util::client::legacy::Client;

/// An error of a body, as hyper boxes it.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes a client with a pool of connections: that of hyper-util, with its tasks as daemons of `nursery`.
///
/// When the nursery ends, no connection and no task is left. A client that is kept beyond that answers each request with
/// an error. Connections that nobody uses are closed after 90 s, and with the last clone of the client.
///
/// A response whose future or body is dropped before its end takes its connection with it, if that is HTTP/1; of an
/// HTTP/2 connection it is the stream that is reset. (hyper would end the connection, with all requests on it, after 1024
/// streams for which the server had still sent something. That limit is off here.)
///
/// # Examples
///
/// See [`serve`](crate::serve()).
pub fn pool<E, B>(nursery: &Nursery<E>) -> Client<Connector, B>
where
    E: Debug + Send + 'static,
    B: Body<Data: Send> + Send,
{
    pool_builder(nursery).build(Connector)
}

/// Returns the settings of [`pool`], for a pool with others, or with another connector.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, nursery};
/// use foster_hyper::client::{Client, Connector, pool_builder};
///
/// # foster_smol::run(async {
/// let Ok(()) = nursery(async |n: Nursery| {
///     let client: Client<_, String> = pool_builder(&n).pool_max_idle_per_host(4).http2_only(true).build(Connector);
/// #   drop(client);
/// })
/// .await;
/// # });
/// ```
pub fn pool_builder<E: Debug + Send + 'static>(nursery: &Nursery<E>) -> Builder {
    let mut builder = Client::builder(Executor::daemons(nursery));
    builder.timer(Timer).pool_timer(Timer).http2_max_local_error_reset_streams(None);
    builder
}

/// Makes an HTTP/1 client of a stream. Its task is a daemon of `nursery`: the connection is closed at the latest when
/// that ends, and before when the sender is dropped.
///
/// An error of the connection that no request can be told goes to the observer of the tree.
///
/// # Cancellation
///
/// *Strict*: nothing is sent before the first request. The stream is closed.
///
/// # Errors
///
/// None today.
///
/// # Panics
///
/// If the nursery has ended.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, nursery};
/// use foster_hyper::client;
/// use foster_net::TcpStream;
/// use hyper::Request;
///
/// # async fn ask(address: std::net::SocketAddr) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// nursery(async |n: Nursery<Box<dyn std::error::Error + Send + Sync>>| {
///     let mut sender = client::http1(&n, TcpStream::connect(address).await?).await?;
///     let request = Request::get("/").header("host", "example.org").body(String::new())?;
///     println!("{}", sender.send_request(request).await?.status());
///     Ok(())
/// })
/// .await
/// # }
/// ```
pub async fn http1<E, S, B>(nursery: &Nursery<E>, stream: S) -> hyper::Result<http1::SendRequest<B>>
where
    E: Debug + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (sender, connection) = http1::handshake(Io::new(stream)).await?;
    spawn(nursery, "http1 connection", connection.with_upgrades());
    Ok(sender)
}

/// Makes an HTTP/2 client of a stream, as [`http1()`] does.
///
/// # Cancellation
///
/// *Partial effect*: the handshake has begun. The stream is closed.
///
/// # Errors
///
/// The handshake fails.
///
/// # Panics
///
/// If the nursery has ended.
pub async fn http2<E, S, B>(nursery: &Nursery<E>, stream: S) -> hyper::Result<http2::SendRequest<B>>
where
    E: Debug + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let mut builder = http2::Builder::new(Executor::daemons(nursery));
    builder.timer(Timer).max_local_error_reset_streams(None);
    let (sender, connection) = builder.handshake(Io::new(stream)).await?;
    spawn(nursery, "http2 connection", connection);
    Ok(sender)
}

/// Runs a connection in a daemon.
fn spawn<E, X>(
    nursery: &Nursery<E>,
    name: &'static str,
    connection: impl Future<Output = Result<(), X>> + Send + 'static,
) where
    E: Debug + Send + 'static,
    X: Debug + Display,
{
    nursery.child().named(name).daemon().spawn(async move {
        if let Err(error) = connection.await {
            report(&error, OrphanKind::Incident);
        }
    });
}
