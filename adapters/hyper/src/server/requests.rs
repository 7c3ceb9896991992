//! What a service of a user is for hyper: each request is a scope, and no error is lost.

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use foster::future::CancelScopeFuture;
use foster::leaf::poll_budget;
use foster::observer::{OrphanKind, report};
use foster::{CancelScope, stopping};
use http_body_util::BodyExt;
use http_body_util::combinators::MapErr;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;

use crate::executor::Executor;

/// What hyper makes of the errors of services and bodies.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// The requests of a connection, answered by a service.
pub(super) struct Requests<H> {
    pub(super) service: H,
    /// Where upgraded connections are served: requests for an upgrade refer to it.
    pub(super) executor: Executor,
    /// Where errors of a service and of its bodies go.
    pub(super) errors: Errors,
}

/// Where errors of a service and of its bodies go.
#[derive(Clone, Copy)]
pub(super) enum Errors {
    /// They are the end of the connection, which returns them.
    OfConnection,
    /// They are the end of a stream, and hyper drops them: they go to the observer.
    OfStream,
}

impl Errors {
    fn pass<E: Into<BoxError>>(self, error: E) -> BoxError {
        let error = error.into();
        if let Errors::OfStream = self {
            report(&error, OrphanKind::Later);
        }
        error
    }

    fn passing<E: Into<BoxError>>(self) -> fn(E) -> BoxError {
        match self {
            Errors::OfConnection => |error| Errors::OfConnection.pass(error),
            Errors::OfStream => |error| Errors::OfStream.pass(error),
        }
    }
}

impl<H, B> Service<Request<Incoming>> for Requests<H>
where
    H: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Error: Into<BoxError>>,
{
    type Response = Response<MapErr<B, fn(B::Error) -> BoxError>>;
    type Error = BoxError;
    type Future = Answering<H::Future, H::Response, H::Error>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if may_be_upgraded(&request) {
            request.extensions_mut().insert(self.executor.clone());
        }
        let says_last = matches!(self.errors, Errors::OfConnection) && request.method() != Method::CONNECT;
        // Without a name, which would need a node also where the service does not wait.
        let scope = CancelScope::new();
        Answering { scope: scope.run(self.service.call(request)), answered: None, says_last, errors: self.errors }
    }
}

/// Returns whether the client asks for another protocol: `CONNECT`, or HTTP/1 with an `upgrade`.
fn may_be_upgraded(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}

pin_project! {
    /// The scope of a request.
    pub(super) struct Answering<F, R, E> {
        #[pin]
        scope: CancelScopeFuture<F, Result<R, E>>,
        answered: Option<R>,
        // Whether the response tells the client when it is the last.
        says_last: bool,
        errors: Errors,
    }
}

impl<F, B, E> Future for Answering<F, Response<B>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Error: Into<BoxError>>,
{
    type Output = Result<Response<MapErr<B, fn(B::Error) -> BoxError>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.answered.is_none() {
            match ready!(this.scope.poll(cx)) {
                Ok(Ok(response)) => *this.answered = Some(response),
                Ok(Err(error)) => return Poll::Ready(Err(this.errors.pass(error))),
                Err(_) => unreachable!("nobody has a handle to the scope of a request"),
            }
        }
        let is_last = *this.says_last && ready!(poll_is_stopping(cx));
        let mut response = this.answered.take().expect("it was put there, and a response is returned once");
        if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| body.map_err(this.errors.passing()))))
    }
}

/// Returns whether the server is to stop by now. Pending if that cannot be told in this poll.
fn poll_is_stopping(cx: &mut Context<'_>) -> Poll<bool> {
    if pin!(stopping()).poll(cx).is_ready() {
        return Poll::Ready(true);
    }
    // It was not ready for want of a budget, perhaps; in that case there still is none.
    poll_budget(cx).map(|()| false)
}
