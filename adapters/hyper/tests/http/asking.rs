//! What the tests have in common: a server in a scope, and clients.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::{CancelScope, Nursery, ScopeHandle, Task, nursery};
use foster_hyper::{ConnectionError, HttpOptions, serve};
use foster_net::{Incident, ServeOptions, TcpListener};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

pub(crate) type AnyError = Box<dyn Error + Send + Sync>;
pub(crate) type Body = Full<Bytes>;
pub(crate) type Answer = Result<Response<Body>, AnyError>;

/// The grace of servers: far longer than any test.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// A server that runs.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stop: ScopeHandle,
    /// Ends when `serve` has returned.
    pub(crate) task: Task<()>,
    reported: Arc<Mutex<Vec<ConnectionError>>>,
}

impl Server {
    /// Starts a server in a child of `n`, in a scope with a grace.
    pub(crate) async fn start<F, Fut>(n: &Nursery<AnyError>, http: HttpOptions, answer: F) -> Result<Server, AnyError>
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Server::start_with_grace(n, GRACE, http, answer).await
    }

    pub(crate) async fn start_with_grace<F, Fut>(
        n: &Nursery<AnyError>,
        grace: Duration,
        http: HttpOptions,
        answer: F,
    ) -> Result<Server, AnyError>
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let reported = Arc::new(Mutex::new(Vec::new()));
        let reports = reported.clone();
        let options = ServeOptions::new().on_incident(move |incident| match incident {
            Incident::Handler { error, .. } => reports.lock().unwrap().push(error),
            other => panic!("{other:?}"),
        });
        let mut scope = CancelScope::new().grace(grace);
        let stop = scope.handle();
        let task = n.spawn(async move {
            match scope.run(serve(listener, options, http, service_fn(answer))).await {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) | Err(_) => Ok(()),
            }
        });
        Ok(Server { address, stop, task, reported })
    }

    /// Stops it gracefully, waits for its end, and returns what it has reported.
    pub(crate) async fn ended(self) -> Result<Vec<String>, AnyError> {
        self.stop.cancel("enough");
        self.task.await?;
        Ok(texts(&self.reported))
    }

    pub(crate) fn reported(&self) -> Vec<String> {
        texts(&self.reported)
    }

    pub(crate) fn uri(&self, path: &str) -> hyper::Uri {
        format!("http://{}{path}", self.address).parse().expect("an address")
    }
}

fn texts(errors: &Mutex<Vec<ConnectionError>>) -> Vec<String> {
    errors.lock().unwrap().iter().map(|error| format!("{error:?}")).collect()
}

/// Runs a test in a nursery.
pub(crate) async fn test<F, Fut>(body: F)
where
    F: FnOnce(Nursery<AnyError>) -> Fut,
    Fut: Future<Output = Result<(), AnyError>>,
{
    nursery(body).await.unwrap();
}
