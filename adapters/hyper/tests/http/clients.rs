//! N183: pools of clients.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::{Nursery, nursery, sleep, sleep_forever};
use foster_hyper::{HttpOptions, client};
use futures_lite::future::poll_once;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::asking::{Answer, AnyError, Body, ConnectionNumber, Server, comes_true, test};
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
