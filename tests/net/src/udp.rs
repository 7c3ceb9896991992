//! N4: UDP.

use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use foster::combine::join;
use foster::sync::Event;
use foster::{CancelScope, Nursery, fail_after, move_on_after, nursery, shield, sleep};
use foster_net::UdpSocket;

use crate::kinds::waiting;
use foster_conformance::harness::ms;

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.expect("loopback is there")
}

/// N076: datagrams arrive one by one with their sender, which can be answered.
pub async fn n076_datagrams_and_answers() {
    let (one, other) = (socket().await, socket().await);
    let mut buf = [0; 64];
    for text in [&b"xxx"[..], b"yyy", b""] {
        assert_eq!(one.send_to(text, other.local_addr().unwrap()).await.unwrap(), text.len());
    }
    for text in [&b"xxx"[..], b"yyy", b""] {
        let (length, from) = other.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..length], from), (text, one.local_addr().unwrap()));
    }
    other.send_to(b"answer", one.local_addr().unwrap()).await.unwrap();
    assert_eq!(one.recv_from(&mut buf).await.unwrap(), (6, other.local_addr().unwrap()));
}

/// N077: what does not fit is gone, and the next receive gets the next datagram.
pub async fn n077_short_buffers_clip() {
    let (one, other) = (socket().await, socket().await);
    one.send_to(b"twelve bytes", other.local_addr().unwrap()).await.unwrap();
    one.send_to(b"next", other.local_addr().unwrap()).await.unwrap();
    let mut buf = [0; 8];
    assert_eq!(other.recv_from(&mut buf).await.unwrap().0, 8);
    assert_eq!(&buf, b"twelve b");
    assert_eq!(other.recv_from(&mut buf).await.unwrap().0, 4);
}

/// N078: a connected socket receives from its peer alone.
pub async fn n078_a_connected_socket_hears_its_peer_alone() {
    let (one, peer, stranger) = (socket().await, socket().await, socket().await);
    one.connect(peer.local_addr().unwrap()).await.unwrap();
    assert_eq!(one.peer_addr().unwrap(), peer.local_addr().unwrap());
    stranger.send_to(b"psst", one.local_addr().unwrap()).await.unwrap();
    assert!(move_on_after(ms(50), poll_fn(|cx| one.poll_recv_ready(cx))).await.is_none());
    peer.send_to(b"hello", one.local_addr().unwrap()).await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(one.recv(&mut buf).await.unwrap(), 5);
    one.send(b"answer").await.unwrap();
    assert_eq!(peer.recv(&mut buf).await.unwrap(), 6);
}

/// N079: without an address there is nobody to send to: one kind of error on every host, in whatever way it is sent.
pub async fn n079_an_unconnected_socket_has_no_peer() {
    let (one, other) = (socket().await, socket().await);
    for _ in 0..2 {
        let polled = poll_fn(|cx| one.poll_send_to(cx, b"x", None)).await;
        for error in [one.send(b"x").await.unwrap_err(), polled.unwrap_err(), one.peer_addr().map(drop).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::NotConnected, "{error:?}");
        }
    }
    let address = other.local_addr().unwrap();
    one.connect(address).await.unwrap();
    assert_eq!(one.peer_addr().unwrap(), address);
    assert_eq!(one.send(b"x").await.unwrap(), 1);
    // It has a peer, and another error.
    assert_ne!(one.send(&[0; 65_508]).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
}

/// N080: a datagram that is too long is refused, and the socket goes on working.
pub async fn n080_too_long_is_refused() {
    let (one, other) = (socket().await, socket().await);
    let to = other.local_addr().unwrap();
    let error = one.send_to(&[0; 65_508], to).await.unwrap_err();
    assert!(error.raw_os_error().is_some(), "{error:?}");
    assert_eq!(one.send_to(&[0; 65_507], to).await.unwrap(), 65_507);
    let mut buf = vec![0; 70_000];
    assert_eq!(other.recv_from(&mut buf).await.unwrap().0, 65_507);
}

/// N081: a port where nobody listens does not end the loop of a server.
pub async fn n081_a_dead_port_does_no_harm() {
    let (one, other) = (socket().await, socket().await);
    let dead = socket().await.local_addr().unwrap();
    for _ in 0..3 {
        one.send_to(b"anybody?", dead).await.unwrap();
        let mut buf = [0; 16];
        assert!(move_on_after(ms(10), one.recv_from(&mut buf)).await.is_none());
        other.send_to(b"me", one.local_addr().unwrap()).await.unwrap();
        assert_eq!(one.recv_from(&mut buf).await.unwrap(), (2, other.local_addr().unwrap()));
    }
}

/// N082: a cancelled receive takes nothing, and a look takes nothing.
pub async fn n082_cancelled_receives_and_looks_take_nothing() {
    let (one, other) = (socket().await, socket().await);
    let (to, mut buf) = (other.local_addr().unwrap(), [0; 64]);
    for number in 0..200u8 {
        let limit = std::time::Duration::from_micros(u64::from(number) * 3);
        let receives = async { move_on_after(limit, other.recv_from(&mut buf)).await };
        let (received, sent) = foster::combine::join((receives, one.send_to(&[number], to))).await;
        sent.unwrap();
        if received.is_none() {
            assert_eq!(other.peek_from(&mut buf).await.unwrap(), (1, one.local_addr().unwrap()));
            other.recv_from(&mut buf).await.unwrap();
        }
        assert_eq!(buf[0], number);
    }
}

/// N083: one socket, a task that receives and one that sends; and several that receive take turns, with nothing lost.
pub async fn n083_a_socket_is_shared() {
    const DATAGRAMS: usize = 200;
    let (one, other) = (Arc::new(socket().await), socket().await);
    let (ones, others) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    let shared = nursery(async |n: Nursery<io::Error>| {
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let one = one.clone();
                n.spawn(async move {
                    let (mut count, mut buf) = (0, [0; 8]);
                    while one.recv_from(&mut buf).await?.0 > 0 {
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let sends = one.clone();
        let sender = n.spawn(async move {
            for _ in 0..DATAGRAMS {
                sends.send_to(b"x", others).await?;
            }
            Ok(())
        });
        let mut buf = [0; 8];
        for _ in 0..DATAGRAMS {
            other.send_to(b"x", ones).await?;
            other.recv_from(&mut buf).await?;
        }
        sender.await.unwrap();
        for _ in 0..receivers.len() {
            other.send_to(b"", ones).await?;
        }
        let mut count = 0;
        for receiver in receivers {
            count += receiver.await.unwrap();
        }
        assert_eq!(count, DATAGRAMS);
        Ok(())
    });
    fail_after(ms(20_000), shared).await.expect("a wake-up was lost").unwrap();
}

/// N083: a datagram is for those behind a receive that is cancelled, and goes on to be there beside a shield.
pub async fn n083_a_cancelled_receive_is_passed_over() {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    let receives = nursery(async |n: Nursery<io::Error>| {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let (first, second) = (socket.clone(), socket.clone());
        let end = Arc::new(Event::new());
        let shielded = end.clone();
        n.spawn(async move {
            let mut buf = [0; 8];
            let cancelled = scope.run(async { join((first.recv_from(&mut buf), shield(shielded.wait()))).await });
            assert!(cancelled.await.is_err());
            Ok(())
        });
        sleep(ms(30)).await;
        let behind = n.spawn(async move { second.recv_from(&mut [0; 8]).await });
        sleep(ms(30)).await;
        handle.cancel("not that one");
        sleep(ms(30)).await;
        let sender = UdpSocket::bind("127.0.0.1:0").await?;
        sender.send_to(b"x", address).await?;
        let (length, from) = fail_after(ms(5000), behind).await.unwrap().unwrap();
        assert_eq!((length, from), (1, sender.local_addr()?));
        end.set();
        Ok(())
    });
    receives.await.unwrap();
}

/// N083, D1: polls of several tasks lose no wake-up; while a method waits in that direction they are refused.
pub async fn n083_polls_lose_no_wake_up() {
    let (one, other) = (Arc::new(socket().await), socket().await);
    let to = one.local_addr().unwrap();
    let polls = nursery(async |n: Nursery<io::Error>| {
        for _ in 0..5 {
            let one = one.clone();
            n.spawn(async move { poll_fn(|cx| one.poll_recv_from(cx, &mut [0; 8])).await.map(drop) });
        }
        for _ in 0..5 {
            sleep(ms(5)).await;
            poll_fn(|cx| other.poll_send_ready(cx)).await?;
            poll_fn(|cx| other.poll_send_to(cx, b"x", Some(to))).await?;
        }
        Ok(())
    });
    fail_after(ms(10_000), polls).await.expect("a wake-up was lost").unwrap();
    let polls = nursery(async |n: Nursery<io::Error>| {
        let (receives, waits) = (one.clone(), Arc::new(Event::new()));
        n.spawn({
            let waits = waits.clone();
            async move { waiting(receives.recv_from(&mut [0; 8]), &waits).await.map(drop) }
        });
        waits.wait().await;
        let refused = poll_fn(|cx| one.poll_recv_from(cx, &mut [0; 8])).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        other.send_to(b"x", to).await.map(drop)
    });
    fail_after(ms(10_000), polls).await.unwrap().unwrap();
}

/// N085: options; a port that is free at once.
pub async fn n085_options_and_ports() {
    let one = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let port = one.local_addr().unwrap().port();
    assert_ne!(port, 0);
    assert!(!one.broadcast().unwrap());
    let refused = one.send_to(b"x", (Ipv4Addr::BROADCAST, 9)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    one.set_broadcast(true).unwrap();
    assert!(one.broadcast().unwrap());
    one.set_ttl(42).unwrap();
    assert_eq!(one.ttl().unwrap(), 42);
    one.set_multicast_loop(false).unwrap();
    assert!(!one.multicast_loop().unwrap());
    assert_eq!(UdpSocket::bind(("127.0.0.1", port)).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(one);
    UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
}

/// N085: a member of a multicast group receives what is sent to it: not before it has joined, nor when it has left.
#[cfg(target_os = "linux")]
pub async fn n085_members_of_a_group_hear_it() {
    let group = Ipv4Addr::new(239, 255, 70, 85);
    let member = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    // By its address, it sends on the loopback.
    let sender = socket().await;
    let mut buf = [0; 8];
    let nobody_hears = async |socket: &UdpSocket| {
        sender.send_to(b"to all", (group, socket.local_addr().unwrap().port())).await.unwrap();
        // Comes behind the one to the group, if that comes.
        sender.send_to(b"to one", (Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port())).await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(socket.recv(&mut buf).await.unwrap(), 6);
        assert_eq!(&buf[..6], b"to one");
    };
    nobody_hears(&member).await;
    member.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
    assert_eq!(
        member.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap_err().kind(),
        io::ErrorKind::AddrInUse,
        "it is a member"
    );
    for _ in 0..3 {
        sender.send_to(b"to all", (group, member.local_addr().unwrap().port())).await.unwrap();
        let heard = fail_after(ms(10_000), member.recv_from(&mut buf)).await.expect("a member hears nothing").unwrap();
        assert_eq!(heard, (6, sender.local_addr().unwrap()));
        assert_eq!(&buf[..6], b"to all");
    }
    member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
    nobody_hears(&member).await;
    assert_eq!(
        member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap_err().kind(),
        io::ErrorKind::AddrNotAvailable,
        "it is no member"
    );
}

/// N024: std sockets come and go, and keep what has come.
pub async fn n024_std_sockets_come_and_go() {
    let (one, other) = (socket().await, socket().await);
    other.send_to(b"unread", one.local_addr().unwrap()).await.unwrap();
    let one = UdpSocket::from_std(one.into_std().unwrap()).unwrap();
    assert_eq!(one.recv_from(&mut [0; 8]).await.unwrap(), (6, other.local_addr().unwrap()));
}

/// The behaviours of this section.
#[doc(hidden)]
#[macro_export]
macro_rules! udp_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; udp, udp [] {
            n076_datagrams_and_answers,
            n077_short_buffers_clip,
            n078_a_connected_socket_hears_its_peer_alone,
            n079_an_unconnected_socket_has_no_peer,
            n080_too_long_is_refused,
            n081_a_dead_port_does_no_harm,
            n082_cancelled_receives_and_looks_take_nothing,
            n083_a_socket_is_shared,
            n083_a_cancelled_receive_is_passed_over,
            n083_polls_lose_no_wake_up,
            n085_options_and_ports,
        });
    };
}

/// The behaviours of this section with sockets of the standard library.
#[doc(hidden)]
#[macro_export]
macro_rules! udp_host_suite {
    ($runner:ident) => {
        $crate::behaviours!($runner; udp_host, udp [] {
            n024_std_sockets_come_and_go,
        });
        #[cfg(target_os = "linux")]
        $crate::behaviours!($runner; udp_host_on_linux, udp [] {
            n085_members_of_a_group_hear_it,
        });
    };
}
