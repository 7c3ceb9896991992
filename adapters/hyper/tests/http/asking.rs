//! Helpers of all tests: a server in a scope, and clients that write by hand.

use std::error::Error;
use std::future::Future;
use std::mem::take;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::{CancelScope, Instant, Nursery, ScopeHandle, Task, nursery, sleep};
use foster_hyper::{ConnectionError, HttpOptions, serve_connection};
use foster_net::{Incident, ServeOptions, TcpListener, TcpStream, serve};
use futures_lite::AsyncReadExt;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

pub(crate) type AnyError = Box<dyn Error + Send + Sync>;
pub(crate) type Body = Full<Bytes>;
pub(crate) type Answer = Result<Response<Body>, AnyError>;

/// The grace of servers. An event that has to happen at once takes less than half of it.
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// Which of the server's connections a request has come by: it is in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionNumber(usize);

/// A server that runs.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stop: ScopeHandle,
    /// Ends when `serve` has returned.
    pub(crate) task: Task<()>,
    /// How many connections were accepted.
    accepted: Arc<AtomicUsize>,
    reported: Arc<Mutex<Vec<ConnectionError>>>,
}

impl Server {
    /// Starts a server in a child of `n`, in a scope with a grace.
    pub(crate) async fn start<F, Fut, B>(
        n: &Nursery<AnyError>,
        http: HttpOptions,
        answer: F,
    ) -> Result<Server, AnyError>
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<Response<B>, AnyError>> + Send + 'static,
        B: hyper::body::Body<Data: Send, Error: Into<AnyError>> + Send + 'static,
    {
        Server::start_with_grace(GRACE, n, http, answer).await
    }

    pub(crate) async fn start_with_grace<F, Fut, B>(
        grace: Duration,
        n: &Nursery<AnyError>,
        http: HttpOptions,
        answer: F,
    ) -> Result<Server, AnyError>
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<Response<B>, AnyError>> + Send + 'static,
        B: hyper::body::Body<Data: Send, Error: Into<AnyError>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (accepted, reported) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, reports) = (accepted.clone(), reported.clone());
        let options = ServeOptions::new().on_incident(move |incident| match incident {
            Incident::Handler { error, .. } => reports.lock().unwrap().push(error),
            other => panic!("{other:?}"),
        });
        let handler = move |stream, _| {
            let (connection, answer) = (ConnectionNumber(count.fetch_add(1, Ordering::SeqCst)), answer.clone());
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(connection);
                answer(request)
            });
            serve_connection(stream, http.clone(), service)
        };
        let mut scope = CancelScope::new().grace(grace);
        let stop = scope.handle();
        let task = n.spawn(async move {
            match scope.run(serve(listener, options, handler)).await {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) | Err(_) => Ok(()),
            }
        });
        Ok(Server { address, stop, task, accepted, reported })
    }

    pub(crate) async fn connect(&self) -> Result<TcpStream, AnyError> {
        Ok(TcpStream::connect(self.address).await?)
    }

    /// Waits until so many connections were accepted in all.
    pub(crate) async fn has_accepted(&self, connections: usize) {
        comes_true(|| self.accepted() >= connections).await;
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn reported(&self) -> Vec<String> {
        self.reported.lock().unwrap().iter().map(|error| format!("{error:?}")).collect()
    }

    pub(crate) fn uri(&self, path: &str) -> hyper::Uri {
        format!("http://{}{path}", self.address).parse().expect("an address")
    }

    /// Stops it gracefully, and waits for its end, which takes but a part of the grace. Nothing was reported.
    pub(crate) async fn ends_soon(self) -> Result<(), AnyError> {
        let reported = self.ends_soon_with_reports().await?;
        assert!(reported.is_empty(), "{reported:?}");
        Ok(())
    }

    /// The same, whatever was reported.
    pub(crate) async fn ends_soon_with_reports(self) -> Result<Vec<ConnectionError>, AnyError> {
        let start = Instant::now();
        self.stop.cancel("enough");
        self.task.await?;
        assert!(start.elapsed() < GRACE / 2, "the server has waited for something: {:?}", start.elapsed());
        Ok(take(&mut *self.reported.lock().unwrap()))
    }
}

/// Waits for what another task does.
pub(crate) async fn comes_true(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Reads to the end of the stream, as text.
pub(crate) async fn rest(mut stream: TcpStream) -> Result<String, AnyError> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text.to_lowercase())
}

/// Reads until the text ends so.
pub(crate) async fn until(stream: &TcpStream, end: &str) -> Result<String, AnyError> {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        text.push(byte[0].into());
    }
    Ok(text.to_lowercase())
}

/// Counts what is dropped.
pub(crate) struct Counter(pub(crate) Arc<AtomicUsize>);

impl Drop for Counter {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs a test in a nursery.
pub(crate) async fn test<F, Fut>(body: F)
where
    F: FnOnce(Nursery<AnyError>) -> Fut,
    Fut: Future<Output = Result<(), AnyError>>,
{
    nursery(body).await.unwrap();
}
