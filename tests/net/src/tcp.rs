//! N1 to N3: what only TCP has; connecting and listening.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::combine::join;
use foster::sync::Event;
use foster::{CancelScope, Nursery, fail_after, move_on_after, nursery, shield, sleep};
use foster_net::contract::NetFuture;
use foster_net::{Connect, ConnectError, Listen, Resolve, TcpListener, TcpStream, with_resolver};

use crate::kinds::{Kind, Tcp, read_to_end};
use foster_conformance::harness::ms;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// An address at which nobody listens.
async fn closed_port() -> SocketAddr {
    listener().await.1
}

/// N016: a reader that waits wakes when the other side resets the connection, and the error has the number of the host.
pub async fn n016_a_reset_wakes_the_reader() {
    let (one, other) = Tcp::pair().await;
    let reads = nursery(async |n: Nursery<io::Error>| {
        let reader = n.spawn(async move { Ok(one.read(&mut [0; 8]).await) });
        sleep(ms(30)).await;
        other.set_linger(Some(Duration::ZERO))?;
        drop(other);
        let error = fail_after(ms(5000), reader).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(error.raw_os_error().is_some());
        Ok(())
    });
    reads.await.unwrap();
}

/// N023, D6: each side knows the other's address, also when that has closed; options can be read back, and `nodelay` is
/// on.
pub async fn n023_addresses_and_options() {
    let (one, other) = Tcp::pair().await;
    assert_eq!(one.local_addr().unwrap(), other.peer_addr().unwrap());
    assert_eq!(other.local_addr().unwrap(), one.peer_addr().unwrap());
    for stream in [&one, &other] {
        assert!(stream.nodelay().unwrap());
        stream.set_nodelay(false).unwrap();
        assert!(!stream.nodelay().unwrap());
        stream.set_ttl(42).unwrap();
        assert_eq!(stream.ttl().unwrap(), 42);
        assert_eq!(stream.linger().unwrap(), None);
        stream.set_linger(Some(Duration::from_secs(0))).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
        stream.set_linger(None).unwrap();
        assert_eq!(stream.keepalive().unwrap(), None);
        stream.set_keepalive(Some(Duration::from_secs(77))).unwrap();
        assert_eq!(stream.keepalive().unwrap(), Some(Duration::from_secs(77)));
        stream.set_send_buffer_size(40_000).unwrap();
        assert!(stream.send_buffer_size().unwrap() >= 40_000);
        stream.set_recv_buffer_size(40_000).unwrap();
        assert!(stream.recv_buffer_size().unwrap() >= 40_000);
    }
    let peer = other.peer_addr().unwrap();
    one.set_linger(Some(Duration::ZERO)).unwrap();
    drop(one);
    sleep(ms(20)).await;
    assert_eq!(other.peer_addr().unwrap(), peer);
}

/// N024: sockets of the standard library can be had and given, in either mode, with nothing lost; what is no connection
/// is refused.
pub async fn n024_std_sockets_come_and_go() {
    let std_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = std_listener.local_addr().unwrap();
    let listener = TcpListener::from_std(std_listener).unwrap();
    let blocking = foster::to_thread(move || std::net::TcpStream::connect(address)).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let stream = TcpStream::from_std(blocking).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address);
    let mut buf = [0; 8];
    assert!(move_on_after(ms(20), stream.read(&mut buf)).await.is_none(), "it is in non-blocking mode");
    accepted.write_all(b"unread").await.unwrap();
    let back = stream.into_std().unwrap();
    let read = foster::to_thread(move || {
        use std::io::{Read, Write};
        let mut back = back;
        let mut buf = [0; 6];
        back.read_exact(&mut buf).and_then(|()| back.write_all(b"thanks")).map(|()| buf)
    });
    assert_eq!(&read.await.unwrap(), b"unread");
    assert_eq!(read_to_end(&accepted).await.unwrap(), b"thanks");
    let listener = listener.into_std().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (_, peer) = foster::to_thread(move || listener.accept()).await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
}

/// N024: a socket that is not connected is refused.
#[cfg(unix)]
pub async fn n024_a_socket_that_is_no_connection_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let not_connected = std::net::TcpStream::from(std::os::fd::OwnedFd::from(listener));
    assert_eq!(TcpStream::from_std(not_connected).unwrap_err().kind(), io::ErrorKind::NotConnected);
}

/// N024: what does not listen is no listener, whatever the standard library takes it for.
#[cfg(unix)]
pub async fn n024_what_does_not_listen_is_refused() {
    use std::os::fd::OwnedFd;
    if cfg!(target_vendor = "apple") {
        println!("this host does not say what listens");
        return;
    }
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let stream = std::os::unix::net::UnixStream::pair().unwrap().0;
    for no_listener in [OwnedFd::from(datagrams), OwnedFd::from(stream)] {
        let refused = TcpListener::from_std(no_listener.try_clone().unwrap().into()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        let refused = foster_net::UnixListener::from_std(no_listener.into()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}

/// N041: refused, with the host's number and the address; of several addresses, all parts are listed.
pub async fn n041_a_closed_port_refuses() {
    let (first, second) = (closed_port().await, closed_port().await);
    let error = TcpStream::connect(first).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&first.to_string()), "{error}");
    let error = TcpStream::connect([first, second]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let parts = error.get_ref().and_then(|error| error.downcast_ref::<ConnectError>()).expect("its parts");
    assert_eq!(parts.attempts.iter().map(|(address, _)| *address).collect::<Vec<_>>(), [first, second]);
    assert!(parts.attempts.iter().all(|(_, error)| error.raw_os_error().is_some()), "{parts:?}");
}

/// A name of both families, in this order.
#[derive(Debug)]
struct Both([IpAddr; 2]);

impl Resolve for Both {
    fn resolve<'a>(&'a self, _: &'a str) -> NetFuture<'a, Vec<IpAddr>> {
        Box::pin(async { Ok(self.0.to_vec()) })
    }
}

/// N042: `localhost` is found, whichever family the server has; so is any name of both families, in whatever order.
pub async fn n042_localhost_has_two_families() {
    let [v4, v6] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for server in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(server).await else {
            assert!(server.starts_with('['), "loopback is there");
            println!("there is no IPv6 here");
            continue;
        };
        let address = listener.local_addr().unwrap();
        let port = address.port();
        for order in [[v4, v6], [v6, v4]] {
            let connects = with_resolver(Arc::new(Both(order)), TcpStream::connect(("both", port)));
            let (client, accepted) = join((connects, listener.accept())).await;
            assert_eq!(client.unwrap().peer_addr().unwrap(), address);
            accepted.unwrap();
        }
        // That of IPv4 each host has, and some that of IPv6.
        let names = foster_net::lookup_host(("localhost", port)).await.unwrap();
        if address.is_ipv4() || names.contains(&address) {
            let (client, accepted) = join((TcpStream::connect(("localhost", port)), listener.accept())).await;
            assert_eq!(client.unwrap().peer_addr().unwrap(), address);
            accepted.unwrap();
        }
    }
}

/// N043: all ways to say where; a list is tried in its order.
pub async fn n043_all_ways_to_say_where() {
    let (listener, address) = listener().await;
    let port = address.port();
    let closed = closed_port().await;
    let text = format!("127.0.0.1:{port}");
    let connects = [
        TcpStream::connect(address).await,
        TcpStream::connect((IpAddr::V4(Ipv4Addr::LOCALHOST), port)).await,
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await,
        TcpStream::connect(("127.0.0.1", port)).await,
        TcpStream::connect(("127.0.0.1".to_owned(), port)).await,
        TcpStream::connect(&text).await,
        TcpStream::connect(text.as_str()).await,
        TcpStream::connect([closed, address]).await,
        TcpStream::connect(&[closed, address][..]).await,
        TcpStream::connect(vec![address, closed]).await,
    ];
    for stream in connects {
        let stream = stream.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert_eq!(listener.accept().await.unwrap().1, stream.local_addr().unwrap());
    }
    let none: [SocketAddr; 0] = [];
    assert_eq!(TcpStream::connect(none).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(TcpListener::bind(none).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

/// N044: a local address is what the server sees; one of the other family is an error that names both.
pub async fn n044_a_local_address_is_used() {
    let (listener, address) = listener().await;
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let stream = Connect::new().local(local).nodelay(false).to(address).await.unwrap();
    assert!(!stream.nodelay().unwrap());
    assert_eq!(listener.accept().await.unwrap().1, stream.local_addr().unwrap());
    let other = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let error = Connect::new().local(other).to(address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(text.contains(&other.to_string()) && text.contains(&address.to_string()), "{text}");
}

/// N051: port 0 becomes one that nobody else can have.
pub async fn n051_a_bound_address_is_taken() {
    let (_listener, address) = listener().await;
    assert_ne!(address.port(), 0);
    let error = TcpListener::bind(address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// N052: a port is free at once when its listener was closed, with a connection open and others closed lately; what was
/// accepted goes on.
pub async fn n052_a_port_is_free_at_once() {
    let (mut current, address) = listener().await;
    let client = TcpStream::connect(address).await.unwrap();
    let (open, _) = current.accept().await.unwrap();
    for _ in 0..3 {
        // The server's side closes first, so the connection stays in TIME_WAIT there.
        let (client, accepted) = join((TcpStream::connect(address), current.accept())).await;
        drop(accepted.unwrap());
        drop(client.unwrap());
        current.close();
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        current = TcpListener::bind(address).await.unwrap();
    }
    open.write_all(b"still open").await.unwrap();
    drop(open);
    assert_eq!(read_to_end(&client).await.unwrap(), b"still open");
}

/// N054: clients get in before anybody accepts; any number is a backlog.
pub async fn n054_the_backlog_is_passed_on() {
    for backlog in [1, 10, 100_000_000, u32::MAX] {
        let listener = Listen::new().backlog(backlog).at("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients = join((TcpStream::connect(address), TcpStream::connect(address))).await;
        let clients = [clients.0.unwrap(), clients.1.unwrap()].map(|client| client.local_addr().unwrap());
        for _ in 0..2 {
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), peer);
            assert!(clients.contains(&peer));
        }
    }
}

/// N069: `[::1]` is not 127.0.0.1, and `[::]` is all addresses unless it is to be IPv6 alone.
pub async fn n069_what_the_unspecified_address_stands_for() {
    let Ok(only) = TcpListener::bind("[::1]:0").await else {
        println!("there is no IPv6 here");
        return;
    };
    let v4 = |listener: &TcpListener| (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
    assert_eq!(TcpStream::connect(v4(&only)).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let all = TcpListener::bind("[::]:0").await.unwrap();
    TcpStream::connect(v4(&all)).await.unwrap();
    let only = Listen::new().only_v6(true).at("[::]:0").await.unwrap();
    assert_eq!(TcpStream::connect(v4(&only)).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

/// N071: who waits to accept ends when another closes the listener, and so does who comes later.
pub async fn n071_close_ends_accept() {
    let (listener, address) = listener().await;
    let listener = Arc::new(listener);
    let closes = nursery(async |n: Nursery<io::Error>| {
        let accepts: Vec<_> = (0..3)
            .map(|_| {
                let listener = listener.clone();
                n.spawn(async move { Ok(listener.accept().await.map(drop)) })
            })
            .collect();
        sleep(ms(20)).await;
        listener.close();
        for accept in accepts {
            let error = fail_after(ms(5000), accept).await.unwrap().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        }
        assert_eq!(listener.accept().await.unwrap_err().kind(), io::ErrorKind::NotConnected);
        listener.close();
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
    closes.await.unwrap();
}

/// N071: it ends an accept behind one that was polled, and is held, too.
pub async fn n071_close_ends_accept_behind_a_held_one() {
    let (listener, _) = listener().await;
    let mut held = std::pin::pin!(listener.accept());
    assert!(move_on_after(ms(20), held.as_mut()).await.is_none());
    let closes = async {
        sleep(ms(20)).await;
        listener.close();
    };
    let behind = fail_after(ms(5000), async { join((listener.accept(), closes)).await.0 }).await.unwrap();
    assert_eq!(behind.unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(held.await.unwrap_err().kind(), io::ErrorKind::NotConnected);
}

/// N072: a connection is for those behind an accept that is cancelled, and goes on to be there beside a shield.
pub async fn n072_a_cancelled_accept_is_passed_over() {
    let (listener, address) = listener().await;
    let listener = Arc::new(listener);
    let accepts = nursery(async |n: Nursery<io::Error>| {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let (first, second) = (listener.clone(), listener.clone());
        let end = Arc::new(Event::new());
        let shielded = end.clone();
        n.spawn(async move {
            let cancelled = scope.run(async { join((first.accept(), shield(shielded.wait()))).await });
            assert!(cancelled.await.is_err());
            Ok(())
        });
        sleep(ms(30)).await;
        let behind = n.spawn(async move { second.accept().await });
        sleep(ms(30)).await;
        handle.cancel("not that one");
        sleep(ms(30)).await;
        let client = TcpStream::connect(address).await?;
        let (_accepted, peer) = fail_after(ms(5000), behind).await.unwrap().unwrap();
        assert_eq!(peer, client.local_addr()?);
        end.set();
        Ok(())
    });
    accepts.await.unwrap();
}

/// N072: of fifty tasks that accept, each connection reaches one; and tasks that lose interest take none along.
pub async fn n072_no_connection_is_lost_among_many() {
    const TASKS: usize = 50;
    let (listener, address) = listener().await;
    let (listener, accepted) = (Arc::new(listener), Arc::new(AtomicUsize::new(0)));
    let gave_up = Arc::new(AtomicUsize::new(0));
    let accepts = nursery(async |n: Nursery<io::Error>| {
        for number in 0..TASKS {
            let (listener, accepted, gave_up) = (listener.clone(), accepted.clone(), gave_up.clone());
            n.spawn(async move {
                if number % 2 == 0 {
                    assert!(move_on_after(ms(5), listener.accept()).await.is_none());
                    gave_up.fetch_add(1, Ordering::SeqCst);
                }
                listener.accept().await?;
                accepted.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
        }
        // Nobody connects before: to drop a connection that one has got is no loss.
        while gave_up.load(Ordering::SeqCst) < TASKS / 2 {
            sleep(ms(1)).await;
        }
        sleep(ms(50)).await;
        for number in 0..TASKS {
            let _client = TcpStream::connect(address).await?;
            while accepted.load(Ordering::SeqCst) <= number {
                sleep(ms(1)).await;
            }
        }
        Ok(())
    });
    fail_after(ms(20_000), accepts).await.expect("a connection was lost").unwrap();
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! tcp_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; tcp, tcp [] {
            n016_a_reset_wakes_the_reader,
            n023_addresses_and_options,
            n041_a_closed_port_refuses,
            n042_localhost_has_two_families,
            n043_all_ways_to_say_where,
            n044_a_local_address_is_used,
            n051_a_bound_address_is_taken,
            n052_a_port_is_free_at_once,
            n054_the_backlog_is_passed_on,
            n069_what_the_unspecified_address_stands_for,
            n071_close_ends_accept,
            n071_close_ends_accept_behind_a_held_one,
            n072_a_cancelled_accept_is_passed_over,
            n072_no_connection_is_lost_among_many,
        });
    };
}

/// The behaviours of this section with sockets of the standard library.
#[doc(hidden)]
#[macro_export]
macro_rules! tcp_host_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; tcp_host, tcp [] {
            n024_std_sockets_come_and_go,
            n024_a_socket_that_is_no_connection_is_refused,
            n024_what_does_not_listen_is_refused,
        });
    };
}
