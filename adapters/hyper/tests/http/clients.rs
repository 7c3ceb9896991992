//! N183: pools of clients.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use foster::{Nursery, nursery, sleep, sleep_forever};
use foster_hyper::{HttpOptions, client};
use futures_lite::future::poll_once;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response};

use crate::asking::{Answer, AnyError, Body, ConnectionNumber, Counter, Server, comes_true, test};
use crate::exchanges::{check, post, reverse};

/// N183: requests that follow one another use the same connection, mostly: a response may have ended a moment before
/// its connection is idle.
pub(crate) async fn n183_a_pool_reuses_connections() {
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), reverse).await?;
        let client = client::pool::<_, Body>(&n);
        for number in 0..10 {
            check(client.request(post(&server.uri("/").to_string(), number)).await?, number).await?;
            sleep(Duration::from_millis(10)).await;
        }
        assert!(server.accepted() <= 3, "{} connections", server.accepted());
        server.ends_soon().await
    })
    .await;
}

/// N183: the connection of a response whose future is dropped is closed, and not used again. `/` is answered, anything
/// else is not.
pub(crate) async fn n183_a_dropped_response_closes_its_connection() {
    test(async |n| {
        let used = Arc::new(Mutex::new(Vec::new()));
        let uses = used.clone();
        let answer = move |request: Request<Incoming>| {
            let used = uses.clone();
            async move {
                let connection: Option<ConnectionNumber> = request.extensions().get().copied();
                used.lock().unwrap().push(connection.expect("it is in each request"));
                if request.uri() == "/" {
                    return reverse(request).await;
                }
                match sleep_forever().await {}
            }
        };
        let server = Server::start(&n, HttpOptions::new(), answer).await?;
        let client = client::pool::<_, Body>(&n);
        check(client.request(post(&server.uri("/").to_string(), 1)).await?, 1).await?;
        let mut never = client.get(server.uri("/never"));
        while used.lock().unwrap().len() == 1 {
            assert!(poll_once(&mut never).await.is_none());
            sleep(Duration::from_millis(1)).await;
        }
        drop(never);
        comes_true(|| server.reported().len() == 1).await; // the server sees that it is closed
        check(client.request(post(&server.uri("/").to_string(), 2)).await?, 2).await?;
        let used = used.lock().unwrap().clone();
        assert!(used.len() == 3 && used[2] != used[1], "{used:?}");
        server.stop.cancel("enough");
        Ok(())
    })
    .await;
}

/// N183: so is that of a body that is dropped before its end.
pub(crate) async fn n183_a_dropped_body_closes_its_connection() {
    test(async |n| {
        let answer = async |_| -> Answer { Ok(Response::new(Full::from(vec![0; 10_000_000]))) };
        let server = Server::start(&n, HttpOptions::new(), answer).await?;
        let client = client::pool::<_, Body>(&n);
        for connections in 1..3 {
            let mut body = client.get(server.uri("/")).await?.into_body();
            assert!(body.frame().await.is_some());
            drop(body);
            comes_true(|| server.reported().len() == connections).await;
            assert_eq!(server.accepted(), connections);
        }
        server.stop.cancel("enough");
        Ok(())
    })
    .await;
}

/// A body that does not end: after so many pieces it waits for ever.
struct Endless {
    pieces: usize,
    _dropped: Counter,
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.pieces.checked_sub(1) else { return Poll::Pending };
        self.pieces = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1000])))))
    }
}

/// N183: an HTTP/2 response whose body is dropped half-way ends at the server, too, whether that waits or still sends. The
/// connection goes on with the others.
pub(crate) async fn n183_dropped_http2_bodies_end_at_the_server() {
    const MANY: usize = 300;
    test(async |n| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let drops = dropped.clone();
        // The path says how many pieces there are.
        let answer = move |request: Request<Incoming>| {
            let pieces: Option<usize> = request.uri().path()[1..].parse().ok();
            let endless = pieces.map(|pieces| Endless { pieces, _dropped: Counter(drops.clone()) });
            async move {
                match endless {
                    Some(endless) => Ok::<_, AnyError>(Response::new(Either::Right(endless))),
                    None => Ok(reverse(request).await?.map(Either::Left)),
                }
            }
        };
        let server = Server::start(&n, HttpOptions::new(), answer).await?;
        nursery(async |clients: Nursery<AnyError>| {
            let mut sender = client::http2(&clients, server.connect().await?).await?;
            let mut begin = |pieces: usize| {
                let request = Request::get(server.uri(&format!("/{pieces}"))).body(Body::default());
                let response = request.map(|request| sender.send_request(request));
                async move { Ok::<_, AnyError>(response?.await?.into_body()) }
            };
            let mut kept = begin(60).await?;
            for number in 1..=MANY {
                let pieces = match number % 100 {
                    0 => usize::MAX,
                    1..10 => 1,
                    _ => 40,
                };
                let mut body = begin(pieces).await?;
                assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
                drop(body);
                if number % 100 == 0 {
                    comes_true(|| dropped.load(Ordering::SeqCst) == number).await;
                }
            }
            for _ in 0..60 {
                assert!(kept.frame().await.is_some_and(|frame| frame.is_ok()));
            }
            check(sender.send_request(post(&server.uri("/").to_string(), 1)).await?, 1).await?;
            assert_eq!(server.accepted(), 1);
            drop(kept);
            comes_true(|| dropped.load(Ordering::SeqCst) == MANY + 1).await;
            Ok(())
        })
        .await?;
        drop(server.ends_soon_with_reports().await?);
        Ok(())
    })
    .await;
}

/// N183: when the scope of a pool has ended, its idle connections are closed, and no task is left, though the client is
/// kept. It answers with errors then.
pub(crate) async fn n183_a_pool_ends_with_its_scope() {
    for http2 in [false, true] {
        test(async |n| {
            let server = Server::start(&n, HttpOptions::new(), reverse).await?;
            let client = nursery(async |clients: Nursery<AnyError>| {
                let client = client::pool_builder(&clients).http2_only(http2).build::<_, Body>(client::Connector);
                check(client.request(post(&server.uri("/").to_string(), 1)).await?, 1).await?;
                Ok(client)
            })
            .await?;
            assert!(client.request(post(&server.uri("/").to_string(), 2)).await.is_err());
            // An HTTP/2 connection may have been cut while the server was still talking.
            let reported = server.ends_soon_with_reports().await?;
            assert!(http2 || reported.is_empty(), "{reported:?}");
            Ok(())
        })
        .await;
    }
}
