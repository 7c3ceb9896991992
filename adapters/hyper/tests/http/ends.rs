//! N182, N184: clients that go away.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::sync::Event;
use foster::{defer, yield_now};
use foster_hyper::{HttpOptions, client};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::asking::{Answer, Body, Counter, Server, comes_true, rest, test, until};
use crate::exchanges::post;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// A service that waits, and what it tells.
#[derive(Clone, Default)]
struct Waiting {
    begun: Arc<Event>,
    go_on: Arc<Event>,
    dropped: Arc<AtomicUsize>,
    finalized: Arc<AtomicUsize>,
}

impl Waiting {
    async fn answer(self, _: Request<Incoming>) -> Answer {
        let _dropped = Counter(self.dropped);
        let finalized = self.finalized;
        defer(async move {
            yield_now().await;
            finalized.fetch_add(1, Ordering::SeqCst);
        });
        self.begun.set();
        self.go_on.wait().await;
        Ok(Response::new(Body::from("hello")))
    }

    fn ends(&self) -> (usize, usize) {
        (self.dropped.load(Ordering::SeqCst), self.finalized.load(Ordering::SeqCst))
    }
}

/// N182: the request of a client that goes away is dropped, and its finalizers run, while the server goes on.
pub(crate) async fn n182_requests_end_with_their_client() {
    test(async |n| {
        let waiting = Waiting::default();
        let service = waiting.clone();
        let server = Server::start(&n, HttpOptions::new(), move |request| service.clone().answer(request)).await?;
        let client = server.connect().await?;
        client.write_all(GET).await?;
        waiting.begun.wait().await;
        drop(client);
        comes_true(|| waiting.ends() == (1, 1)).await;
        comes_true(|| !server.reported().is_empty()).await;
        assert_eq!(server.reported(), ["Http(hyper::Error(IncompleteMessage))"]);
        server.stop.cancel("enough");
        Ok(())
    })
    .await;
}

/// N182: so is that of an HTTP/2 client, and one that but gives up its request.
pub(crate) async fn n182_http2_requests_end_with_their_client() {
    test(async |n| {
        let waiting = Waiting::default();
        let service = waiting.clone();
        let server = Server::start(&n, HttpOptions::new(), move |request| service.clone().answer(request)).await?;
        let sender = client::http2(&n, server.connect().await?).await?;
        for _ in 0..2 {
            let mut sender = sender.clone();
            let request = post(&server.uri("/").to_string(), 1);
            n.spawn(async move {
                drop(sender.send_request(request).await);
                Ok(())
            });
        }
        waiting.begun.wait().await;
        n.cancel_children("no more");
        comes_true(|| waiting.ends().0 > 0).await;
        let (dropped, finalized) = waiting.ends();
        assert!(dropped >= finalized);
        Ok(())
    })
    .await;
}

/// N182: with half-close, it is completed for a client that has closed its own side only.
pub(crate) async fn n182_half_closed_requests_are_completed() {
    test(async |n| {
        let waiting = Waiting::default();
        let service = waiting.clone();
        let http = HttpOptions::new().http1(|builder| {
            builder.half_close(true);
        });
        let server = Server::start(&n, http, move |request| service.clone().answer(request)).await?;
        let client = server.connect().await?;
        client.write_all(GET).await?;
        client.shutdown(Shutdown::Write)?;
        waiting.begun.wait().await;
        waiting.go_on.set();
        assert!(rest(client).await?.ends_with("hello"));
        assert_eq!(waiting.ends(), (1, 1));
        server.ends_soon().await
    })
    .await;
}

/// Finalizers run when the request has ended, not when the connection has.
pub(crate) async fn each_request_is_a_scope() {
    test(async |n| {
        let waiting = Waiting::default();
        waiting.go_on.set();
        let service = waiting.clone();
        let server = Server::start(&n, HttpOptions::new(), move |request| service.clone().answer(request)).await?;
        let client = server.connect().await?;
        for request in 1..3 {
            client.write_all(GET).await?;
            until(&client, "hello").await?;
            assert_eq!(waiting.ends(), (request, request));
        }
        server.ends_soon().await
    })
    .await;
}

/// N184: a connection that is closed without a byte is no incident; one that is cut in a head is one, of its own.
pub(crate) async fn n184_only_what_is_cut_is_an_error() {
    test(async |n| {
        let waiting = Waiting::default();
        waiting.go_on.set();
        let service = waiting.clone();
        let server = Server::start(&n, HttpOptions::new(), move |request| service.clone().answer(request)).await?;
        let other = server.connect().await?;
        let silent = server.connect().await?;
        silent.shutdown(Shutdown::Write)?;
        assert_eq!(rest(silent).await?, "");
        drop(server.connect().await?);
        server.has_accepted(3).await;
        assert_eq!(server.reported(), [""; 0]);
        for part in [1, 10] {
            let cut = server.connect().await?;
            cut.write_all(&GET[..part]).await?;
            cut.shutdown(Shutdown::Write)?;
            rest(cut).await?;
        }
        comes_true(|| server.reported().len() == 2).await;
        assert_eq!(server.reported(), ["Http(hyper::Error(IncompleteMessage))"; 2]);
        other.write_all(GET).await?;
        until(&other, "hello").await?;
        server.stop.cancel("enough");
        Ok(())
    })
    .await;
}
