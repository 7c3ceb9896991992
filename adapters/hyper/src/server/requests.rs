//! A user's service, wrapped for hyper: each request is a scope, and no error is lost.

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use foster::future::CancelScopeFuture;
use foster::leaf::poll_budget;
use foster::observer::{OrphanKind, report};
use foster::{CancelScope, stopping};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;

use crate::executor::Executor;

/// An error of a service or of a body, as hyper boxes it.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// The requests of a connection, answered by a service.
pub(super) struct Requests<H> {
    pub(super) service: H,
    /// Where upgraded connections are served: requests for an upgrade refer to it.
    pub(super) executor: Executor,
    /// Where errors of a service and of its bodies go.
    pub(super) errors: Errors,
    /// Counts the requests that are being answered, up to the end of their bodies, and of the tasks of upgraded ones.
    pub(super) open: OpenRequests,
}

/// Counts the requests of a connection that are being answered: there is a clone in each.
#[derive(Clone, Default)]
pub(super) struct OpenRequests(Arc<()>);

impl OpenRequests {
    /// Returns whether there is none. To be asked of one of two that have been there from the beginning.
    pub(super) fn is_none(&self) -> bool {
        Arc::strong_count(&self.0) <= 2
    }
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
            report(&error, OrphanKind::Incident);
        }
        error
    }
}

impl<H, B> Service<Request<Incoming>> for Requests<H>
where
    H: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Error: Into<BoxError>>,
{
    type Response = Response<Answer<B>>;
    type Error = BoxError;
    type Future = Answering<H::Future, H::Response, H::Error>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if may_be_upgraded(&request) {
            request.extensions_mut().insert(self.executor.keeping(self.open.0.clone()));
        }
        let says_last = matches!(self.errors, Errors::OfConnection) && request.method() != Method::CONNECT;
        // Without a name, which would need a node also where the service does not wait.
        let scope = CancelScope::new();
        let scope = scope.run(self.service.call(request));
        Answering { scope, answered: None, says_last, errors: self.errors, open: self.open.clone() }
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
        open: OpenRequests,
    }
}

impl<F, B, E> Future for Answering<F, Response<B>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Error: Into<BoxError>>,
{
    type Output = Result<Response<Answer<B>>, BoxError>;

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
        Poll::Ready(Ok(response.map(|body| Answer { body, errors: *this.errors, _open: this.open.clone() })))
    }
}

pin_project! {
    /// The body of a response.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        errors: Errors,
        _open: OpenRequests,
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for Answer<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        this.body.poll_frame(cx).map_err(|error| this.errors.pass(error))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
