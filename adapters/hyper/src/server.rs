//! Servers.

mod options;
mod requests;
mod write_timeout;

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use foster::{Nursery, NurseryOptions, fail_after, sleep, stopping};
use foster_net::{Family, Listener, ServeError, ServeOptions};
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::AsyncReadExt;
use futures_lite::future::{or, poll_once};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::{Request, Response};

use crate::executor::Executor;
use crate::io::{Io, Transfers};
use crate::timer::Timer;
use requests::{BoxError, Errors, OpenRequests, Requests};
use write_timeout::WriteTimeout;

pub use options::HttpOptions;

/// Accepts connections, and answers their requests with `service`, HTTP/1 and HTTP/2: [`foster_net::serve`] with
/// [`serve_connection`] for each connection.
///
/// The documentation of these two holds here. In short: there is a child for each connection; errors of a connection
/// are reported and end that connection only; a panic of the service ends the server, and is resumed; when the code
/// around it is cancelled with a grace, requests in progress are completed, and everything else is closed at once.
///
/// A service that has to know its client is made for each connection: call [`foster_net::serve`] with a handler that
/// calls [`serve_connection`].
///
/// # Cancellation
///
/// *Partial effect*: as [`foster_net::serve`].
///
/// # Errors
///
/// As [`foster_net::serve`].
///
/// # Panics
///
/// Resumes the first panic of a service.
///
/// # Examples
///
/// ```
/// use foster::{CancelScope, Nursery, nursery};
/// use foster_hyper::{HttpOptions, client, serve};
/// use foster_net::{ServeOptions, TcpListener};
/// use http_body_util::BodyExt;
/// use hyper::body::Incoming;
/// use hyper::service::service_fn;
/// use hyper::{Request, Response};
/// use std::convert::Infallible;
/// use std::time::Duration;
///
/// async fn greet(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
///     Ok(Response::new(format!("hello, {}", request.uri().path())))
/// }
///
/// # foster_smol::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let mut server = CancelScope::new().grace(Duration::from_secs(5));
/// let stop = server.handle();
/// nursery(async |n: Nursery<Box<dyn std::error::Error + Send + Sync>>| {
///     n.spawn(async move {
///         let _ = server.run(serve(listener, ServeOptions::new(), HttpOptions::new(), service_fn(greet))).await;
///         Ok(())
///     });
///     let client = client::pool::<_, String>(&n);
///     let response = client.get(format!("http://{address}/world").parse()?).await?;
///     assert_eq!(response.into_body().collect().await?.to_bytes(), "hello, /world");
///     stop.cancel("enough");
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
#[track_caller]
pub fn serve<F, H, B>(
    listener: Listener<F>,
    options: ServeOptions<ConnectionError>,
    http: HttpOptions,
    service: H,
) -> impl Future<Output = Result<(), ServeError<ConnectionError>>>
where
    F: Family,
    H: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError> + Send, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    foster_net::serve(listener, options, move |stream, _peer| serve_connection(stream, http.clone(), service.clone()))
}

/// Answers the requests of one connection, HTTP/1 or HTTP/2, whichever the client speaks.
///
/// * **It is a nursery.** All that hyper spawns for the connection are children in it: that of an HTTP/2 request is
///   cancelled at the latest when the connection is closed.
/// * **Each request is a scope**: what its future opens has ended, and its finalizers have run, before it is answered.
/// * **An error** of the service, or of the body of a response, is the end of the connection with HTTP/1, and returned.
///   With HTTP/2 it is the end of the request, and goes to the observer of the tree.
/// * **A client that goes away** cancels the requests that it waits for: their futures are dropped, and their finalizers
///   run. hyper finds out by reading, and with HTTP/1 does not read while a further request, or a body that the service
///   does not read, lies before the end: then the request goes on until it is answered. Give each a limit of time.
///   (HTTP/1 with [`half_close`](hyper::server::conn::http1::Builder::half_close) completes them, if the client has but
///   closed its own side.)
/// * **A client that does not read** what is written to it has the connection, and the request, until the
///   [write timeout](HttpOptions::write_timeout) ends it.
/// * **A graceful stop**, in code that sees [`stopping()`](foster::stopping()), as below [`serve`] and in
///   [`graceful`](foster::graceful()): a connection that has not sent a byte is closed at once, and so is one that waits
///   for the next request (hyper takes one for that of which but a part of the head of a later request has come). A
///   request that is being answered, or the first one if it has come in part, is completed; the answer says
///   `connection: close` (HTTP/2: `GOAWAY`), and then the connection is closed. A client of HTTP/2 without a request has
///   five seconds in which it says and takes nothing, since a request may be on its way.
/// * **An upgraded connection** (websockets, `CONNECT`) belongs to the task that serves it. Spawn that with the
///   [`Executor`] that a request for an upgrade has in its extensions: it is a child of the connection then, sees
///   `stopping()`, and is waited for.
///
/// Its timeouts are in the time of the tree: see [`HttpOptions`].
///
/// # Cancellation
///
/// *Partial effect*: the connection is closed, and requests that are being answered are dropped.
///
/// # Errors
///
/// A failure of this connection, see [`ConnectionError`]. It is not an error if the client closes the connection
/// between requests, or without having sent anything.
///
/// # Panics
///
/// Resumes the first panic of the service.
///
/// # Examples
///
/// ```
/// use foster::stopping;
/// use foster_hyper::{Executor, Io};
/// use futures_lite::AsyncWriteExt;
/// use hyper::body::Incoming;
/// use hyper::header::{CONNECTION, UPGRADE};
/// use hyper::rt::Executor as _;
/// use hyper::{Request, Response, StatusCode};
///
/// /// Answers a request to speak another protocol: says goodbye when the server is stopped.
/// async fn upgrade(mut request: Request<Incoming>) -> Result<Response<String>, hyper::http::Error> {
///     let tasks: Executor = request.extensions().get().cloned().expect("of a server of foster-hyper");
///     let upgrade = hyper::upgrade::on(&mut request);
///     tasks.execute(async {
///         let Ok(upgraded) = upgrade.await else { return };
///         stopping().await;
///         let _ = Io::new(upgraded).write_all(b"goodbye").await;
///     });
///     let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
///     response.header(CONNECTION, "upgrade").header(UPGRADE, "goodbye").body(String::new())
/// }
/// ```
pub async fn serve_connection<S, H, B>(mut stream: S, http: HttpOptions, service: H) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError> + Send, Future: Send> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let start = fail_after(http.header_timeout, read_start(&mut stream)).flatten().await;
    let start = start.map_err(ConnectionError::Start)?;
    if start.is_empty() {
        return Ok(());
    }
    let Ok(served) = NurseryOptions::new()
        .named("connection")
        .run(async move |n: Nursery<Infallible>| {
            let is_http2 = start == PREFACE;
            let limit = http.write_timeout;
            let transfers = (is_http2 || limit != Duration::MAX).then(Arc::<Transfers>::default);
            let io = Io::starting_with(start, stream).noting(transfers.clone());
            let open = OpenRequests::default();
            let requests = |errors| Requests { service, executor: Executor::new(&n), errors, open: open.clone() };
            Ok(if is_http2 {
                let mut builder = http2::Builder::new(Executor::daemons(&n));
                builder.timer(Timer);
                (http.http2)(&mut builder);
                let connection = builder.serve_connection(io, requests(Errors::OfStream));
                let connection = WriteTimeout::new(connection, transfers.clone(), limit);
                let transfers = || transfers.as_ref().filter(|_| open.is_none()).map(|transfers| transfers.moved());
                drive(connection, |connection| connection.connection().graceful_shutdown(), transfers).await
            } else {
                let connection = http.http1.serve_connection(io, requests(Errors::OfConnection)).with_upgrades();
                let connection = WriteTimeout::new(connection, transfers, limit);
                drive(connection, |connection| connection.connection().graceful_shutdown(), || None).await
            })
        })
        .await;
    served
}

/// The first bytes of an HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until it is known which version the client speaks: all of the preface, or something else. Empty, if the client
/// closes the connection first, or the server is stopped before the first byte.
async fn read_start(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (mut start, mut filled) = (vec![0; PREFACE.len()], 0);
    while filled < start.len() && start[..filled] == PREFACE[..filled] {
        let is_silent = filled == 0;
        let stopped = async {
            match is_silent {
                true => stopping_and_told().await,
                false => pending().await,
            }
            Ok(0)
        };
        match or(stream.read(&mut start[filled..]), stopped).await {
            Ok(0) => break,
            Ok(read) => filled += read,
            // As those do it who only look whether the server is there.
            Err(error) if is_silent && error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    start.truncate(filled);
    Ok(start)
}

/// A reactor that has not looked for so long is busy with more than the connections.
const TURN: Duration = Duration::from_millis(1);

/// Waits until the server is to stop, and the runtime has had time to tell what had come by then. A reactor has to look at
/// the host before a read finds anything, tokio's, that is; it does so when it has nothing else to do, and now and then.
async fn stopping_and_told() {
    stopping().await;
    sleep(TURN).await;
}

/// How long a client of HTTP/2 may say nothing and take nothing, when the server stops and answers no request of it. hyper
/// waits for it to answer the `GOAWAY`, since a request may be on its way; and the end of an answer may wait for it to read.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs a connection. When the server is to stop, `shut_down` tells it so, once. From then on it is closed when it has been
/// silent for some time: `transfers` says how often something was read or written, unless a request is being answered.
async fn drive<C>(
    connection: C,
    shut_down: impl FnOnce(Pin<&mut C>),
    transfers: impl Fn() -> Option<usize>,
) -> Result<(), ConnectionError>
where
    C: Future<Output = Result<(), ConnectionError>>,
{
    let (mut connection, mut stopping) = (pin!(connection), pin!(stopping_and_told()));
    let mut shut_down = Some(shut_down);
    let stopped = poll_fn(|cx| {
        // First: hyper reads what has come of a request, and does not take the connection for an idle one.
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        ready!(stopping.as_mut().poll(cx));
        if let Some(shut_down) = shut_down.take() {
            shut_down(connection.as_mut());
        }
        Poll::Ready(None)
    });
    if let Some(ended) = stopped.await {
        return ended;
    }
    // It says so to the client.
    if let Some(ended) = poll_once(connection.as_mut()).await {
        return ended;
    }
    loop {
        let before = transfers();
        let ended = or(async { Some(connection.as_mut().await) }, async {
            sleep(FAREWELL).await;
            None
        });
        match ended.await {
            Some(ended) => return ended,
            None if before.is_some() && before == transfers() => return Ok(()),
            None => {}
        }
    }
}

/// Why a connection ended that was not closed in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Before it was known which version the client speaks. [`TimedOut`](io::ErrorKind::TimedOut): it has not said it
    /// within the [header timeout](HttpOptions::header_timeout).
    Start(io::Error),
    /// The error of hyper: the client has broken the protocol, has gone away in the middle of a message, or has been
    /// too slow; or the service or the body of a response has failed.
    Http(hyper::Error),
    /// The client has taken nothing of what was written to it for as long as the
    /// [write timeout](HttpOptions::write_timeout), which is this.
    WriteTimeout(Duration),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Start(_) => f.write_str("the connection has failed before the first request"),
            ConnectionError::Http(_) => f.write_str("the connection has failed"),
            ConnectionError::WriteTimeout(limit) => {
                write!(f, "the client has taken nothing of what was written to it for {limit:?}")
            }
        }
    }
}

impl Error for ConnectionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ConnectionError::Start(error) => Some(error),
            ConnectionError::Http(error) => Some(error),
            ConnectionError::WriteTimeout(_) => None,
        }
    }
}
