//! N176, N177: exchanges, and the tasks that hyper spawns.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::combine::gather;
use foster::sync::Event;
use foster::{Nursery, nursery};
use foster_hyper::{HttpOptions, client};
use futures_lite::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

use crate::asking::{Answer, AnyError, Body, Counter, Server, comes_true, test};

/// Answers with the body of the request, backwards.
pub(crate) async fn reverse(request: Request<Incoming>) -> Answer {
    let mut body = request.into_body().collect().await?.to_bytes().to_vec();
    body.reverse();
    Ok(Response::new(Body::new(Bytes::from(body))))
}

/// Larger than buffers are.
fn payload(number: usize) -> Vec<u8> {
    (0..100_000).map(|byte| (byte * 31 + number) as u8).collect()
}

pub(crate) fn post(uri: &str, number: usize) -> Request<Body> {
    Request::post(uri).header("host", "test").body(Body::from(payload(number))).expect("a request")
}

/// Holds that this is the answer to that request.
pub(crate) async fn check(response: Response<Incoming>, number: usize) -> Result<(), AnyError> {
    let mut sent = payload(number);
    sent.reverse();
    assert!(response.into_body().collect().await?.to_bytes() == sent, "it was not what was sent");
    Ok(())
}

/// N176: HTTP/1, with bodies both ways, one request after the other over one connection.
pub(crate) async fn n176_http1_in_both_directions_over_keep_alive() {
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), reverse).await?;
        let mut sender = client::http1(&n, server.connect().await?).await?;
        for number in 0..5 {
            sender.ready().await?;
            check(sender.send_request(post("/", number)).await?, number).await?;
        }
        assert_eq!(server.accepted(), 1);
        server.ends_soon().await
    })
    .await;
}

/// N176: HTTP/2, several requests at once over one connection.
pub(crate) async fn n176_http2_in_both_directions_at_once() {
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), reverse).await?;
        let sender = client::http2(&n, server.connect().await?).await?;
        let requests = (0..5).map(|number| {
            let (mut sender, request) = (sender.clone(), post(&server.uri("/").to_string(), number));
            async move { check(sender.send_request(request).await?, number).await }
        });
        gather(requests).await?;
        assert_eq!(server.accepted(), 1);
        server.ends_soon().await
    })
    .await;
}

/// N177: what hyper spawns for HTTP/2 has ended when the scope of the server has, and so have the client's tasks when
/// their nursery has.
pub(crate) async fn n177_tasks_end_with_their_scope() {
    test(async |n| {
        let (begun, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (begins, drops) = (begun.clone(), dropped.clone());
        let answer = move |request| {
            let dropped = Counter(drops.clone());
            begins.fetch_add(1, Ordering::SeqCst);
            async move {
                let _dropped = dropped;
                Event::new().wait().await; // for ever
                reverse(request).await
            }
        };
        let server = Server::start_with_grace(Duration::ZERO, &n, HttpOptions::new(), answer).await?;
        let sender = nursery(async |clients: Nursery<AnyError>| {
            let sender = client::http2(&clients, server.connect().await?).await?;
            for number in 0..3 {
                let mut sender = sender.clone();
                let request = post(&server.uri("/").to_string(), number);
                clients.child().daemon().spawn(async move {
                    assert!(sender.send_request(request).await.is_err(), "nobody answers");
                    Ok(())
                });
            }
            comes_true(|| begun.load(Ordering::SeqCst) == 3).await;
            server.stop.cancel("enough");
            server.task.await?;
            assert_eq!(dropped.load(Ordering::SeqCst), 3);
            Ok(sender)
        });
        // It is used when the nursery is over, and nobody panics.
        let mut sender = sender.await?;
        assert!(sender.send_request(post("http://test/", 1)).await.is_err());
        Ok(())
    })
    .await;
}

/// N177: a panic in a task that hyper has spawned ends the server, and is resumed.
pub(crate) async fn n177_panics_are_reported() {
    let body = nursery(async |n: Nursery<AnyError>| {
        let answer = async |_| -> Answer { panic!("on purpose, in a service") };
        let server = Server::start(&n, HttpOptions::new(), answer).await?;
        let mut sender = client::http2(&n, server.connect().await?).await?;
        drop(sender.send_request(post(&server.uri("/").to_string(), 1)).await);
        server.task.await?;
        Ok(())
    });
    let panicked: Result<Result<(), AnyError>, _> = AssertUnwindSafe(body).catch_unwind().await;
    let payload = panicked.expect_err("it is resumed");
    assert_eq!(payload.downcast_ref(), Some(&"on purpose, in a service"));
}
