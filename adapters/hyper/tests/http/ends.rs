//! N182, N184: clients that go away.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::sync::Event;
use foster::{Nursery, defer, nursery, sleep, yield_now};
use foster_hyper::{HttpOptions, client};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::asking::{Answer, AnyError, Body, Counter, Server, comes_true, rest, test, until};
use crate::exchanges::post;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// A service that waits, and what it tells.
#[derive(Clone, Default)]
struct Waiting {
    begun: Arc<AtomicUsize>,
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
        self.begun.fetch_add(1, Ordering::SeqCst);
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
        comes_true(|| waiting.begun.load(Ordering::SeqCst) == 1).await;
        drop(client);
        comes_true(|| waiting.ends() == (1, 1)).await;
        comes_true(|| !server.reported().is_empty()).await;
        assert_eq!(server.reported(), ["Http(hyper::Error(IncompleteMessage))"]);
        server.stop.cancel("enough");
        Ok(())
    })
    .await;
}

/// N182: so are those of an HTTP/2 client that goes away, and one that it gives up while the others go on.
pub(crate) async fn n182_http2_requests_end_with_their_client() {
    test(async |n| {
        let waiting = Waiting::default();
        let service = waiting.clone();
        let server = Server::start(&n, HttpOptions::new(), move |request| service.clone().answer(request)).await?;
        let uri = server.uri("/").to_string();
        nursery(async |clients: Nursery<AnyError>| {
            let mut sender = client::http2(&clients, server.connect().await?).await?;
            let mut ask = || {
                let asked = sender.send_request(post(&uri, 1));
                clients.child().daemon().spawn(async move {
                    drop(asked.await);
                    Ok(())
                })
            };
            let (first, _second, _third) = (ask(), ask(), ask());
            comes_true(|| waiting.begun.load(Ordering::SeqCst) == 3).await;
            first.cancel("given up");
            comes_true(|| waiting.ends() == (1, 1)).await;
            Ok(())
        })
        .await?;
        comes_true(|| waiting.ends() == (3, 3)).await;
        assert!(!server.task.is_finished());
        server.stop.cancel("enough");
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
        comes_true(|| waiting.begun.load(Ordering::SeqCst) == 1).await;
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
        let reset = server.connect().await?;
        server.has_accepted(4).await;
        reset.set_linger(Some(Duration::ZERO))?;
        drop(reset);
        sleep(Duration::from_millis(20)).await; // until the server has seen it, if it is slow
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
