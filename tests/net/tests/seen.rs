//! The view of a server from outside: its names in a dump and in a report of an error that has no caller, and the
//! bounds of its type.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::observer::{Observer, Orphan};
use foster::{CancelScope, Nursery, dump, fail_after, move_on_after, nursery, sleep};
use foster_net::{ServeOptions, TcpListener, TcpStream, UdpSocket, serve, serve_in};
use futures_lite::future::zip;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

#[derive(Default)]
struct Reports(Mutex<Vec<String>>);

impl Observer for Reports {
    fn orphan(&self, orphan: &Orphan<'_>) {
        let (name, error) = (orphan.origin.name(), format!("{:?}", orphan.error));
        self.0.lock().unwrap().push(format!("{name}: {error}"));
    }
}

/// A handler with a name.
async fn fails_when_it_is_told_to(stream: TcpStream) -> io::Result<()> {
    stream.read(&mut [0]).await?;
    Err(io::Error::other("on purpose"))
}

/// D9: both name the handler, and the dump has the place where the server was started; not code of foster-net.
#[test]
fn a_server_and_its_handlers_have_names() {
    let reports = Arc::new(Reports::default());
    let observed = foster_smol::Builder::new().observer(reports.clone());
    let seen = observed.run(fail_after(Duration::from_secs(60), async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut scope = CancelScope::new();
        let stop = scope.handle();
        nursery(async |n: Nursery<io::Error>| {
            n.spawn(async move {
                let handler = |stream, _: SocketAddr| fails_when_it_is_told_to(stream);
                let _ = scope.run(serve(listener, ServeOptions::new(), handler)).await;
                Ok(())
            });
            let client = TcpStream::connect(address).await?;
            let seen = loop {
                let seen = dump().to_string();
                if seen.contains("fails_when") {
                    break seen;
                }
                sleep(Duration::from_millis(1)).await;
            };
            client.write_all(b"!").await?;
            client.read(&mut [0]).await?;
            stop.cancel("enough");
            Ok(seen)
        })
        .await
    }));
    let seen = seen.unwrap().unwrap();
    let line = seen.lines().find(|line| line.contains("serve")).unwrap_or_else(|| panic!("{seen}"));
    assert!(line.contains("tests/seen.rs") || line.contains(r"tests\seen.rs"), "{seen}");
    let reports = reports.0.lock().unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].starts_with("seen::fails_when_it_is_told_to: Handler"), "{reports:?}");
    assert!(reports[0].contains("on purpose"), "{reports:?}");
}

/// A server can be spawned if its handler is `Send`: as the bound says, it need not be `Sync`.
#[test]
fn a_handler_need_not_be_sync() {
    fn is_send(_: &impl Send) {}

    let handler = || {
        let connections = Cell::new(0);
        move |_: TcpStream, _: SocketAddr| {
            connections.set(connections.get() + 1);
            async { io::Result::Ok(()) }
        }
    };
    foster_smol::run(async {
        let (one, other) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        is_send(&serve(one, ServeOptions::new(), handler()));
        nursery(async |n: Nursery<io::Error>| {
            is_send(&serve_in(&n, other, ServeOptions::new(), handler()));
            Ok(())
        })
        .await
    })
    .unwrap();
}

/// Runs it on smol, and on both runtimes of tokio.
fn on_each<F: Future<Output = ()>>(program: impl Fn() -> F) {
    foster_smol::run(program());
    foster_tokio::Builder::new().current_thread().run(program());
    foster_tokio::run(program());
}

/// D1: of two readers in one task that share a stream, the one that reads first leaves the other its wake-up.
#[test]
fn two_readers_in_one_task_both_read() {
    on_each(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (mut one, mut two) = (&client, &client);
        let (mut a, mut b) = ([0], [0]);
        let first = AsyncReadExt::read(&mut one, &mut a);
        let second = async {
            server.write_all(b"xy").await.unwrap();
            AsyncReadExt::read(&mut two, &mut b).await.unwrap();
        };
        fail_after(Duration::from_secs(20), zip(first, second)).await.expect("a wake-up was lost").0.unwrap();
    });
}

/// D12: a connected socket that waits is told that nobody listens at the other end.
#[test]
#[cfg(target_os = "linux")]
fn a_datagram_that_is_refused_ends_the_wait_for_an_answer() {
    on_each(|| async {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(gone).await.unwrap();
        let mut buf = [0];
        for _ in 0..3 {
            let (refused, sent) = zip(socket.recv(&mut buf), socket.send(b"x")).await;
            assert_eq!(sent.unwrap(), 1);
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        // It goes on, and rests.
        let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(there.local_addr().unwrap()).await.unwrap();
        assert!(foster::move_on_after(Duration::from_millis(20), socket.recv(&mut buf)).await.is_none());
        there.send_to(b"y", socket.local_addr().unwrap()).await.unwrap();
        assert_eq!(socket.recv(&mut buf).await.unwrap(), 1);
    });
}

/// D12: so is whoever waits by a poll function until there is something to receive, and the next receive says what.
#[test]
#[cfg(target_os = "linux")]
fn a_datagram_that_is_refused_makes_its_socket_ready() {
    on_each(|| async {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(gone).await.unwrap();
        let mut buf = [0];
        for _ in 0..3 {
            let ready = zip(poll_fn(|cx| socket.poll_recv_ready(cx)), socket.send(b"x"));
            let (ready, sent) = fail_after(Duration::from_secs(20), ready).await.expect("it sleeps on");
            ready.unwrap();
            assert_eq!(sent.unwrap(), 1);
            let refused = poll_fn(|cx| socket.poll_recv_from(cx, &mut buf)).await;
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            // The error is over.
            let ready = poll_fn(|cx| socket.poll_recv_ready(cx));
            assert!(foster::move_on_after(Duration::from_millis(20), ready).await.is_none());
        }
        // A send takes the error, and nothing is left to receive.
        socket.send(b"x").await.unwrap();
        poll_fn(|cx| socket.poll_recv_ready(cx)).await.unwrap();
        assert_eq!(socket.send(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(foster::move_on_after(Duration::from_millis(20), socket.recv(&mut buf)).await.is_none());
        // It goes on with data.
        let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(there.local_addr().unwrap()).await.unwrap();
        let ready = zip(poll_fn(|cx| socket.poll_recv_ready(cx)), async {
            there.send_to(b"y", socket.local_addr().unwrap()).await.unwrap();
        });
        fail_after(Duration::from_secs(20), ready).await.expect("it sleeps on").0.unwrap();
        assert_eq!(socket.recv(&mut buf).await.unwrap(), 1);
    });
}

/// L14: that the write side was shut down is no news for cancelled code, whichever way it writes.
#[test]
fn a_write_side_that_was_shut_down_is_no_news_for_cancelled_code() {
    on_each(|| async {
        for polls in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let told = Cell::new(false);
            let outcome = scope.run(async {
                handle.cancel("now");
                client.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = if polls { AsyncWriteExt::write(&mut client, b"x").await } else { client.write(b"x").await };
                told.set(true);
            });
            assert!(outcome.await.is_err() && !told.get(), "by a poll function: {polls}");
            let error = AsyncWriteExt::write(&mut client, b"").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    });
}

/// L14: the host tells of a reset once. If that meets the end of a short deadline, the next read tells of it; it is never
/// taken for an end.
#[test]
fn a_reset_is_never_taken_for_an_end() {
    on_each(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, peers) = std::sync::mpsc::channel::<std::net::TcpStream>();
        let resets = std::thread::spawn(move || {
            for (round, peer) in peers.into_iter().enumerate() {
                // At any moment of those reads, which take some microseconds.
                (0..round * 7919 % 20_000).for_each(|step| _ = std::hint::black_box(step));
                socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            }
        });
        let mut cut = 0;
        for round in 0..2_000 {
            sender.send(std::net::TcpStream::connect(address).unwrap()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut reads = 0;
            let read = loop {
                let time = Duration::from_nanos(1_000 + (round * 31 + reads * 4_999) % 8_000);
                reads += 1;
                if let Some(read) = move_on_after(time, stream.read(&mut [0; 8])).await {
                    break read;
                }
                cut += 1;
            };
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
        assert!(cut > 0, "no read was cut");
        drop(sender);
        resets.join().unwrap();
    });
}
