//! Behaviour that only the simulator shows: links that lose packets, and time to the nanosecond.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foster::combine::gather;
use foster::future::Sleep;
use foster::observer::{Observer, Orphan};
use foster::{CancelScope, Instant, Nursery, nursery, sleep};
use foster_hyper::{Executor, HttpOptions, Io, client, serve};
use foster_net::{ServeOptions, TcpListener, TcpStream};
use foster_sim::net::{Host, Link, set_default_link};
use futures_lite::AsyncWriteExt;
use http_body_util::{BodyExt, Either};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::rt::Executor as _;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

use crate::asking::{Answer, AnyError, Body, Counter, Server, comes_true, rest, test, until};
use crate::exchanges::{check, post, reverse};
use crate::sim;
use crate::stopping;

/// N176: HTTP/1 and HTTP/2 over a link of 20 ms that loses one packet of a hundred.
#[test]
fn n176_over_a_link_that_loses_packets() {
    sim("n176_over_a_link_that_loses_packets", || async {
        set_default_link(Link::new().latency(Duration::from_millis(20)).loss(0.01));
        let served = nursery(async |n: Nursery<AnyError>| {
            n.spawn(async {
                Host::new("server").run(server(Arc::default())).await??;
                Ok(())
            });
            sleep(Duration::from_millis(1)).await;
            for http2 in [false, true] {
                let client = client::pool_builder(&n).http2_only(http2).build::<_, Body>(client::Connector);
                for number in 0..5 {
                    check(client.request(post("http://server/", number)).await?, number).await?;
                }
            }
            let client = client::pool::<_, Body>(&n);
            drop(client.get("http://server/stop".parse()?).await?);
            Ok(())
        });
        served.await.unwrap();
    });
}

/// A server that stops when it is told, and counts the bodies without end that were dropped.
async fn server(dropped: Arc<AtomicUsize>) -> Result<(), AnyError> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    let mut scope = CancelScope::new().grace(Duration::from_secs(10));
    let stop = scope.handle();
    let service = service_fn(move |request: Request<Incoming>| {
        let (stop, dropped) = (stop.clone(), dropped.clone());
        async move {
            match request.uri().path() {
                "/endless" => {
                    let body = Trickle { next: Box::pin(sleep(Duration::ZERO)), _dropped: Counter(dropped) };
                    return Ok::<_, AnyError>(Response::new(Either::Right(body)));
                }
                "/stop" => drop(stop.cancel("told to")),
                _ => {}
            }
            Ok(reverse(request).await?.map(Either::Left))
        }
    });
    match scope.run(serve(listener, ServeOptions::new(), HttpOptions::new(), service)).await {
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// A body that has a piece each five milliseconds, for ever.
struct Trickle {
    next: Pin<Box<Sleep>>,
    _dropped: Counter,
}

impl hyper::body::Body for Trickle {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        ready!(self.next.as_mut().poll(cx));
        self.next.set(sleep(Duration::from_millis(5)));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a piece")))))
    }
}

/// N183: HTTP/2 responses whose bodies are dropped while more of them is on the way. That is no error of the server, however
/// often it happens: the connection serves the others.
#[test]
fn n183_dropped_http2_bodies_over_a_link() {
    sim("n183_dropped_http2_bodies_over_a_link", || async {
        const ROUNDS: usize = 15;
        const EACH: usize = 100;
        set_default_link(Link::new().latency(Duration::from_millis(20)));
        let dropped = Arc::new(AtomicUsize::new(0));
        let served = nursery(async |n: Nursery<AnyError>| {
            let drops = dropped.clone();
            n.spawn(async {
                Host::new("server").run(server(drops)).await??;
                Ok(())
            });
            sleep(Duration::from_millis(1)).await;
            let mut sender = client::http2(&n, TcpStream::connect("server:80").await?).await?;
            let mut get = |path: &str| {
                let request = Request::get(format!("http://server/{path}")).body(Body::default());
                sender.send_request(request.expect("a request"))
            };
            let mut kept = get("endless").await?.into_body();
            for round in 1..=ROUNDS {
                let responses = gather((0..EACH).map(|_| get("endless"))).await;
                let mut bodies = Vec::new();
                for response in responses? {
                    let mut body = response.into_body();
                    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
                    bodies.push(body);
                }
                drop(bodies);
                comes_true(|| dropped.load(Ordering::SeqCst) == round * EACH).await;
                assert!(kept.frame().await.is_some_and(|frame| frame.is_ok()));
            }
            drop(kept);
            check(sender.send_request(post("http://server/", 1)).await?, 1).await?;
            comes_true(|| dropped.load(Ordering::SeqCst) == ROUNDS * EACH + 1).await;
            drop(sender.send_request(Request::get("http://server/stop").body(Body::default())?).await?);
            Ok(())
        });
        served.await.unwrap();
    });
}

const TIMEOUT: Duration = Duration::from_secs(3);

/// N178: a client that is too slow is cut at that very instant: one that says nothing, one that says its head byte by
/// byte, one of whose preface a part has come, one that does not ask again.
#[test]
fn n178_header_timeouts_are_exact() {
    const SLOW: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    sim("n178_header_timeouts_are_exact", || {
        test(async |n| {
            let server = Server::start(&n, HttpOptions::new().header_timeout(TIMEOUT), reverse).await?;
            let (start, silent) = (Instant::now(), server.connect().await?);
            assert_eq!(rest(silent).await?, "");
            assert_eq!(start.elapsed(), TIMEOUT);

            let (start, slow) = (Instant::now(), server.connect().await?);
            for byte in &SLOW[..3] {
                slow.write_all(&[*byte]).await?;
                sleep(Duration::from_millis(900)).await;
            }
            rest(slow).await?;
            assert_eq!(start.elapsed(), TIMEOUT);

            let (start, preface) = (Instant::now(), server.connect().await?);
            preface.write_all(b"PRI * HT").await?;
            assert_eq!(rest(preface).await?, "");
            assert_eq!(start.elapsed(), TIMEOUT);

            let idle = server.connect().await?;
            idle.write_all(SLOW).await?;
            until(&idle, "\r\n\r\n").await?;
            let start = Instant::now();
            assert_eq!(rest(idle).await?, "");
            assert_eq!(start.elapsed(), TIMEOUT);

            assert_eq!(server.reported().len(), 4, "{:?}", server.reported());
            server.stop.cancel("enough");
            Ok(())
        })
    });
}

/// N178: the pings of HTTP/2 and the idle timeout of a pool are in virtual time, too.
#[test]
fn n178_other_timeouts_are_exact() {
    sim("n178_other_timeouts_are_exact", || {
        test(async |n| {
            let http = HttpOptions::new().http2(|builder| {
                builder.keep_alive_interval(TIMEOUT).keep_alive_timeout(TIMEOUT);
            });
            let server = Server::start(&n, http, reverse).await?;
            let client = TcpStream::connect(server.address).await?;
            let start = Instant::now();
            client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
            let mut frames = [0; 1000];
            while client.read(&mut frames).await.is_ok_and(|read| read > 0) {}
            assert_eq!(start.elapsed(), 2 * TIMEOUT);

            let pool = client::pool_builder(&n).pool_idle_timeout(TIMEOUT).build::<_, Body>(client::Connector);
            check(pool.request(post(&server.uri("/").to_string(), 1)).await?, 1).await?;
            sleep(3 * TIMEOUT).await;
            check(pool.request(post(&server.uri("/").to_string(), 1)).await?, 1).await?;
            assert_eq!(server.accepted(), 3);
            server.stop.cancel("enough");
            Ok(())
        })
    });
}

/// The reports, as text.
#[derive(Default)]
struct Reports(Mutex<Vec<String>>);

impl Observer for Reports {
    fn orphan(&self, orphan: &Orphan<'_>) {
        self.0.lock().unwrap().push(format!("{:?}", orphan.error));
    }
}

/// An error of a service, or of a body, is told by the connection with HTTP/1, and by the observer with HTTP/2.
#[test]
fn errors_of_services_are_reported() {
    for http2 in [false, true] {
        let reports = Arc::new(Reports::default());
        let body = test(async |n| {
            let answer = |request: Request<Incoming>| async move {
                let error = AnyError::from("on purpose, in a service or a body");
                if request.uri().path() == "/service" { Err(error) } else { Ok(Response::new(Failing(Some(error)))) }
            };
            let server = Server::start(&n, HttpOptions::new(), answer).await?;
            let client = client::pool_builder(&n).http2_only(http2).build::<_, Body>(client::Connector);
            assert!(client.get(server.uri("/service")).await.is_err());
            // With HTTP/1 the head may not have been sent by then.
            if let Ok(response) = client.get(server.uri("/body")).await {
                assert!(response.into_body().collect().await.is_err());
            }
            comes_true(|| server.reported().len() + reports.0.lock().unwrap().len() == 2).await;
            assert_eq!(server.reported().len(), if http2 { 0 } else { 2 });
            for text in server.reported().iter().chain(reports.0.lock().unwrap().iter()) {
                assert!(text.contains("on purpose"), "{text}");
            }
            server.stop.cancel("enough");
            Ok(())
        });
        let simulation = foster_sim::Builder::new(1).observer(reports.clone());
        foster_conformance::check("errors_of_services_are_reported", || simulation.run(body));
    }
}

/// A body that fails.
struct Failing(Option<AnyError>);

impl hyper::body::Body for Failing {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

#[test]
fn n180_silent_clients_of_http2_are_closed() {
    sim("n180_silent_clients", stopping::n180_silent_clients_of_http2_are_closed);
}

#[test]
fn n181_slow_ends_of_http2_are_waited_for() {
    sim("n181_slow_ends", stopping::n181_slow_ends_of_http2_are_waited_for);
}

#[test]
fn n181_slow_clients_of_http2_are_waited_for() {
    sim("n181_slow_clients", stopping::n181_slow_clients_of_http2_are_waited_for);
}

/// More than the network holds of what is not read.
const LONG: usize = 10_000_000;

async fn answer_at_length(_: Request<Incoming>) -> Result<Response<Body>, AnyError> {
    Ok(Response::new(Body::from(vec![b'x'; LONG])))
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// The bytes of a client of HTTP/2 that gives all windows there are, and asks.
const GET_BY_HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\
    \0\0\x04\x08\0\0\0\0\0\x7f\0\0\0\
    \0\0\x09\x01\x05\0\0\0\x01\x82\x86\x84\x41\x04test";

/// That was now, or in the millisecond before, between two looks of `comes_true`.
#[track_caller]
fn assert_about(start: Instant, after: Duration) {
    let elapsed = start.elapsed();
    assert!(elapsed >= after && elapsed <= after + Duration::from_millis(1), "{elapsed:?} and not {after:?}");
}

/// N178: a client that takes nothing of its answer is closed, after the default of 30 s.
#[test]
fn n178_a_client_that_does_not_read_is_closed() {
    sim("n178_a_client_that_does_not_read_is_closed", || {
        test(async |n| {
            let server = Server::start(&n, HttpOptions::new(), answer_at_length).await?;
            let (start, client) = (Instant::now(), server.connect().await?);
            client.write_all(GET).await?;
            comes_true(|| !server.reported().is_empty()).await;
            assert_about(start, Duration::from_secs(30));
            assert_eq!(server.reported(), ["WriteTimeout(30s)"]);
            server.stop.cancel("enough");
            Ok(())
        })
    });
}

/// N178: one that takes a part now and then is closed that long after the last part, with HTTP/1 and HTTP/2; one that
/// takes all is not, however slow it is.
#[test]
fn n178_write_timeouts_begin_with_the_last_progress() {
    sim("n178_write_timeouts_begin_with_the_last_progress", || {
        test(async |n| {
            let http = HttpOptions::new().write_timeout(TIMEOUT).http2(|builder| {
                builder.max_send_buf_size(LONG);
            });
            let server = Server::start(&n, http, answer_at_length).await?;
            for (number, request) in [GET, GET_BY_HTTP2].into_iter().enumerate() {
                let (start, client) = (Instant::now(), server.connect().await?);
                client.write_all(request).await?;
                for _ in 0..4 {
                    sleep(Duration::from_secs(2)).await;
                    client.read_exact(&mut vec![0; LONG / 10]).await?;
                }
                comes_true(|| server.reported().len() > number).await;
                assert_about(start, Duration::from_secs(8) + TIMEOUT);
                assert_eq!(server.reported()[number], "WriteTimeout(3s)");

                let slow = server.connect().await?;
                slow.write_all(request).await?;
                for _ in 0..10 {
                    sleep(Duration::from_secs(1)).await;
                    slow.read_exact(&mut vec![0; LONG / 10]).await?;
                }
            }
            assert_eq!(server.reported().len(), 2);
            server.stop.cancel("enough");
            Ok(())
        })
    });
}

/// N178: an upgraded connection has no limit for its writes, and a server without a limit waits.
#[test]
fn n178_write_timeouts_are_not_for_tunnels() {
    const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: test\r\n\r\n";
    async fn upgrade(mut request: Request<Incoming>) -> Answer {
        let tasks: Executor = request.extensions().get().cloned().expect("it is there for an upgrade");
        let upgrade = hyper::upgrade::on(&mut request);
        tasks.execute(async {
            Io::new(upgrade.await.unwrap()).write_all(&vec![b'x'; LONG]).await.unwrap();
        });
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        Ok(response.header("connection", "upgrade").header("upgrade", "test").body(Body::default())?)
    }
    sim("n178_write_timeouts_are_not_for_tunnels", || {
        test(async |n| {
            let server = Server::start(&n, HttpOptions::new().write_timeout(TIMEOUT), upgrade).await?;
            let client = server.connect().await?;
            client.write_all(UPGRADE).await?;
            until(&client, "\r\n\r\n").await?;
            sleep(5 * TIMEOUT).await;
            client.read_exact(&mut vec![0; LONG]).await?;
            server.ends_soon().await?;

            let server = Server::start(&n, HttpOptions::new().write_timeout(Duration::MAX), answer_at_length).await?;
            let client = server.connect().await?;
            client.write_all(GET).await?;
            sleep(5 * TIMEOUT).await;
            client.read_exact(&mut vec![0; LONG]).await?;
            server.ends_soon().await
        })
    });
}
