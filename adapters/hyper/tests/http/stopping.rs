//! N179 to N181: a graceful stop.

use std::future::Future;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foster::sync::Event;
use foster::{Instant, sleep, sleep_forever, stopping};
use foster_hyper::{Executor, HttpOptions, Io, client};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, UPGRADE};
use hyper::rt::Executor as _;
use hyper::{Method, Request, Response, StatusCode};

use crate::asking::{Answer, AnyError, Body, GRACE, Server, comes_true, rest, test, until};
use crate::exchanges::{check, post, reverse};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

async fn hello(_: Request<Incoming>) -> Answer {
    Ok(Response::new(Body::from("hello")))
}

/// N179: connections that wait for the next request are closed at once.
pub(crate) async fn n179_idle_connections_are_closed() {
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), hello).await?;
        let http1 = server.connect().await?;
        http1.write_all(GET).await?;
        until(&http1, "hello").await?;
        let mut http2 = client::http2(&n, server.connect().await?).await?;
        let response = http2.send_request(post(&server.uri("/").to_string(), 1)).await?;
        assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
        server.ends_soon().await?;
        assert_eq!(rest(http1).await?, "");
        comes_true(|| http2.is_closed()).await;
        Ok(())
    })
    .await;
}

/// N179: a request that has come is answered, though the server is told to stop before it has looked: the first of a
/// connection, and a later one.
pub(crate) async fn n179_what_has_come_is_answered() {
    for later in [false, true] {
        test(async |n| {
            let server = Server::start(&n, HttpOptions::new(), hello).await?;
            let client = server.connect().await?;
            server.has_accepted(1).await;
            sleep(Duration::from_millis(20)).await; // until the server waits for it
            if later {
                client.write_all(GET).await?;
                until(&client, "hello").await?;
                sleep(Duration::from_millis(20)).await;
            }
            client.write_all(GET).await?;
            server.stop.cancel("enough");
            let answer = rest(client).await?;
            assert!(answer.ends_with("hello"), "later: {later}, {answer:?}");
            server.ends_soon().await
        })
        .await;
    }
}

/// N180: a client of HTTP/2 that has no request, and does not answer, does not hold the server until the grace ends.
pub(crate) async fn n180_silent_clients_of_http2_are_closed() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), hello).await?;
        let (one, other) = (server.connect().await?, server.connect().await?);
        one.write_all(PREFACE).await?;
        other.write_all(&[PREFACE, SETTINGS].concat()).await?;
        server.has_accepted(2).await;
        sleep(Duration::from_millis(50)).await; // until the server has read it, if it is slow
        let start = Instant::now();
        server.ends_soon().await?;
        assert!(start.elapsed() < GRACE / 2);
        drop((one, other));
        Ok(())
    })
    .await;
}

/// N179: a request of which a part has come is completed, and told that it was the last one; whether the part ends in
/// the head or in the body.
pub(crate) async fn n179_half_requests_are_completed() {
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\nabc";
    for part in [1, 2, 20, REQUEST.len() - 2] {
        test(async |n| {
            let server = Server::start(&n, HttpOptions::new(), reverse).await?;
            let client = server.connect().await?;
            client.write_all(&REQUEST[..part]).await?;
            server.has_accepted(1).await;
            sleep(Duration::from_millis(50)).await; // until the server has read it, if it is slow
            let start = Instant::now();
            server.stop.cancel("enough");
            sleep(Duration::from_millis(50)).await;
            client.write_all(&REQUEST[part..]).await?;
            let answer = rest(client).await?;
            assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("cba"), "{part}: {answer}");
            assert!(start.elapsed() < GRACE / 2);
            server.ends_soon().await
        })
        .await;
    }
}

/// N179: a client of whose HTTP/2 preface a part has come is one of HTTP/2, and is told so.
pub(crate) async fn n179_half_prefaces_are_completed() {
    const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const GOAWAY: u8 = 7;
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), hello).await?;
        let client = server.connect().await?;
        client.write_all(&START[..8]).await?;
        server.has_accepted(1).await;
        sleep(Duration::from_millis(50)).await; // until the server has read it, if it is slow
        server.stop.cancel("enough");
        sleep(Duration::from_millis(50)).await;
        client.write_all(&START[8..]).await?;
        loop {
            // A frame begins with its length, in three bytes, and its sort.
            let mut head = [0; 9];
            client.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            client.read_exact(&mut vec![0; length as usize]).await?;
            if head[3] == GOAWAY {
                break;
            }
        }
        client.shutdown(Shutdown::Write)?;
        while client.read(&mut [0; 100]).await? > 0 {}
        server.ends_soon().await
    })
    .await;
}

/// N179: a request that is being answered is completed, and the server waits for it.
pub(crate) async fn n179_answers_are_completed() {
    test(async |n| {
        let (asked, go_on) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let (asks, goes_on) = (asked.clone(), go_on.clone());
        let answer = move |request| {
            let (asked, go_on) = (asks.clone(), goes_on.clone());
            async move {
                asked.set();
                go_on.wait().await;
                hello(request).await
            }
        };
        let server = Server::start(&n, HttpOptions::new(), answer).await?;
        let client = server.connect().await?;
        client.write_all(GET).await?;
        asked.wait().await;
        server.stop.cancel("enough");
        sleep(Duration::from_millis(20)).await;
        assert!(!server.task.is_finished());
        go_on.set();
        let answer = rest(client).await?;
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("hello"), "{answer}");
        server.ends_soon().await
    })
    .await;
}

/// N179: so is one that was waiting for the stop.
pub(crate) async fn n179_answers_may_wait_for_the_stop() {
    test(async |n| {
        let asked = Arc::new(Event::new());
        let asks = asked.clone();
        let answer = move |request| {
            let asked = asks.clone();
            async move {
                asked.set();
                stopping().await;
                hello(request).await
            }
        };
        let server = Server::start(&n, HttpOptions::new(), answer).await?;
        let client = server.connect().await?;
        client.write_all(GET).await?;
        asked.wait().await;
        server.stop.cancel("enough");
        let answer = rest(client).await?;
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("hello"), "{answer}");
        server.ends_soon().await
    })
    .await;
}

/// N179: the same with HTTP/2, which takes no other request meanwhile.
pub(crate) async fn n179_http2_answers_are_completed() {
    test(async |n| {
        let (asked, go_on) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let (asks, goes_on) = (asked.clone(), go_on.clone());
        let answer = move |request| {
            let (asked, go_on) = (asks.clone(), goes_on.clone());
            async move {
                asked.set();
                go_on.wait().await;
                reverse(request).await
            }
        };
        let server = Server::start(&n, HttpOptions::new(), answer).await?;
        let mut sender = client::http2(&n, server.connect().await?).await?;
        let uri = server.uri("/").to_string();
        let response = n.spawn({
            let mut sender = sender.clone();
            let request = post(&uri, 1);
            async move { check(sender.send_request(request).await?, 1).await }
        });
        asked.wait().await;
        server.stop.cancel("enough");
        sleep(Duration::from_millis(20)).await;
        assert!(!server.task.is_finished());
        assert!(sender.send_request(post(&uri, 2)).await.is_err(), "it takes requests though it is to stop");
        go_on.set();
        response.await?;
        server.ends_soon().await
    })
    .await;
}

/// N180: a connection that has not sent a byte is closed at once.
pub(crate) async fn n180_silent_connections_are_closed() {
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), hello).await?;
        let (one, other) = (server.connect().await?, server.connect().await?);
        server.has_accepted(2).await;
        server.ends_soon().await?;
        assert_eq!((rest(one).await?, rest(other).await?), (String::new(), String::new()));
        Ok(())
    })
    .await;
}

/// Speaks another protocol on the connection: answers each byte, and says goodbye when the server is to stop.
async fn echo(mut request: Request<Incoming>) -> Answer {
    let tasks: Executor = request.extensions().get().cloned().expect("the client asks for an upgrade");
    let (upgrade, is_connect) = (hyper::upgrade::on(&mut request), request.method() == Method::CONNECT);
    tasks.execute(async {
        let mut stream = Io::new(upgrade.await.expect("it is upgraded"));
        let mut byte = [0];
        let echo = async {
            while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {
                stream.write_all(&byte).await.expect("the client is there");
            }
        };
        futures_lite::future::or(echo, stopping()).await;
        stream.write_all(b"goodbye").await.expect("the client is there");
        stream.close().await.expect("the client is there");
    });
    let response = if is_connect {
        Response::builder()
    } else {
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "echo")
    };
    Ok(response.body(Body::default())?)
}

const UPGRADES: [&[u8]; 2] = [
    b"GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
    b"CONNECT test:1 HTTP/1.1\r\nhost: test\r\n\r\n",
];

/// N181: an upgraded connection sees that the server is to stop, and is waited for. To ask again does nothing.
pub(crate) async fn n181_upgraded_connections_stop() {
    for request in UPGRADES {
        test(async |n| {
            let server = Server::start(&n, HttpOptions::new(), echo).await?;
            let client = server.connect().await?;
            client.write_all(request).await?;
            until(&client, "\r\n\r\n").await?;
            client.write_all(b"x").await?;
            until(&client, "x").await?;
            server.stop.cancel("enough");
            server.stop.cancel("enough");
            assert_eq!(rest(client).await?, "goodbye");
            server.ends_soon().await
        })
        .await;
    }
}

/// N181: a connection may still be upgraded by a request that is answered while the server stops.
pub(crate) async fn n181_upgrades_are_completed() {
    for request in UPGRADES {
        test(async |n| {
            let asked = Arc::new(Event::new());
            let asks = asked.clone();
            let answer = move |request| {
                let asked = asks.clone();
                async move {
                    asked.set();
                    stopping().await;
                    echo(request).await
                }
            };
            let server = Server::start(&n, HttpOptions::new(), answer).await?;
            let client = server.connect().await?;
            client.write_all(request).await?;
            asked.wait().await;
            server.stop.cancel("enough");
            let head = until(&client, "\r\n\r\n").await?;
            assert!(!head.contains("connection: close"), "{head}");
            assert_eq!(rest(client).await?, "goodbye");
            server.ends_soon().await
        })
        .await;
    }
}

/// N181: the same for `CONNECT` with HTTP/2.
pub(crate) async fn n181_http2_tunnels_stop() {
    test(async |n| {
        let server = Server::start(&n, HttpOptions::new(), echo).await?;
        let mut sender = client::http2(&n, server.connect().await?).await?;
        let request = Request::connect("test:1").body(http_body_util::Empty::<Bytes>::new())?;
        let mut tunnel = Io::new(hyper::upgrade::on(sender.send_request(request).await?).await?);
        tunnel.write_all(b"x").await?;
        tunnel.read_exact(&mut [0]).await?;
        server.stop.cancel("enough");
        let mut text = String::new();
        tunnel.read_to_string(&mut text).await?;
        assert_eq!(text, "goodbye");
        drop((tunnel, sender));
        server.ends_soon().await
    })
    .await;
}

/// N181: an HTTP/2 connection is not idle as long as a tunnel goes through it, or the body of an answer. In the simulator
/// only, for the time it takes.
pub(crate) async fn n181_slow_ends_of_http2_are_waited_for() {
    const SLOW: Duration = Duration::from_secs(12);
    struct SlowBody(Pin<Box<dyn Future<Output = ()> + Send>>, Option<Bytes>);

    impl hyper::body::Body for SlowBody {
        type Data = Bytes;
        type Error = AnyError;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
            if self.1.is_some() {
                ready!(self.0.as_mut().poll(cx));
            }
            Poll::Ready(self.1.take().map(|data| Ok(Frame::data(data))))
        }
    }

    let answer = |mut request: Request<Incoming>| async move {
        let slowly = || async {
            stopping().await;
            sleep(SLOW).await;
        };
        if request.method() == Method::GET {
            return Ok::<_, AnyError>(Response::new(SlowBody(Box::pin(slowly()), Some("slow".into()))));
        }
        let tasks: Executor = request.extensions().get().cloned().expect("the client asks for a tunnel");
        let upgrade = hyper::upgrade::on(&mut request);
        tasks.execute(async move {
            let Ok(upgraded) = upgrade.await else { return };
            slowly().await;
            let _ = Io::new(upgraded).write_all(b"goodbye").await;
        });
        Ok(Response::new(SlowBody(Box::pin(std::future::ready(())), None)))
    };
    for method in [Method::GET, Method::CONNECT] {
        test(async |n| {
            let server = Server::start(&n, HttpOptions::new(), answer).await?;
            let mut sender = client::http2(&n, server.connect().await?).await?;
            let uri = if method == Method::GET { server.uri("/") } else { "test:1".parse()? };
            let request = Request::builder().method(&method).uri(uri).body(http_body_util::Empty::<Bytes>::new())?;
            let response = sender.send_request(request).await?;
            server.stop.cancel("enough");
            if method == Method::GET {
                assert_eq!(response.into_body().collect().await?.to_bytes(), "slow");
            } else {
                let (mut tunnel, mut text) = (Io::new(hyper::upgrade::on(response).await?), String::new());
                tunnel.read_to_string(&mut text).await?;
                assert_eq!(text, "goodbye");
            }
            drop(sender);
            server.ends_soon().await
        })
        .await;
    }
}

/// N181: nor is it as long as its client takes what was answered, however slowly.
pub(crate) async fn n181_slow_clients_of_http2_are_waited_for() {
    const SIZE: usize = 4 << 20;
    test(async |n| {
        let answer = async |_| -> Answer { Ok(Response::new(Body::from(vec![7; SIZE]))) };
        let server = Server::start(&n, HttpOptions::new(), answer).await?;
        let mut sender = client::http2(&n, server.connect().await?).await?;
        let mut body = sender.send_request(post(&server.uri("/").to_string(), 1)).await?.into_body();
        server.stop.cancel("enough");
        let (start, mut got) = (Instant::now(), 0);
        while let Some(frame) = body.frame().await {
            got += frame?.into_data().map_or(0, |data| data.len());
            sleep(Duration::from_millis(40)).await;
        }
        assert_eq!(got, SIZE);
        assert!(start.elapsed() > Duration::from_secs(8), "{:?}", start.elapsed());
        drop((body, sender));
        server.ends_soon().await
    })
    .await;
}

/// N181: an upgraded connection that goes on is cut when the grace ends.
pub(crate) async fn n181_the_grace_ends_upgraded_connections() {
    const SHORT: Duration = Duration::from_millis(200);
    test(async |n| {
        let answer = |mut request: Request<Incoming>| async move {
            let tasks: Executor = request.extensions().get().cloned().expect("the client asks for an upgrade");
            let upgrade = hyper::upgrade::on(&mut request);
            tasks.execute(async {
                let _stream = upgrade.await;
                sleep_forever().await;
            });
            let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            Ok::<_, AnyError>(response.header(CONNECTION, "upgrade").header(UPGRADE, "echo").body(Body::default())?)
        };
        let server = Server::start_with_grace(SHORT, &n, HttpOptions::new(), answer).await?;
        let client = server.connect().await?;
        client.write_all(UPGRADES[0]).await?;
        until(&client, "\r\n\r\n").await?;
        let start = Instant::now();
        server.stop.cancel("enough");
        server.task.await?;
        let took = start.elapsed();
        assert!(took >= SHORT && took < GRACE / 2, "{took:?}");
        assert_eq!(rest(client).await?, "");
        Ok(())
    })
    .await;
}
