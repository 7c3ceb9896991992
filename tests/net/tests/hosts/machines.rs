//! Names, addresses and ports of hosts.

use foster::{Nursery, nursery};
use foster_net::lookup_host;
use foster_sim::net::Crashed;

use super::*;

/// N164: each host has ports of its own, and a loopback that nobody else reaches; TCP and UDP have ports of their own;
/// the address of another host cannot be bound.
#[test]
fn n164_hosts_have_ports_of_their_own() {
    on_sim("n164", || async {
        let (client, server) = two_hosts(ms(5));
        let address = client.ip();
        let server_task = server.run(async move {
            let inside = TcpListener::bind("127.0.0.1:80").await.unwrap();
            let same_port = UdpSocket::bind("127.0.0.1:80").await.unwrap();
            let error = TcpListener::bind((address, 0)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
            let own = TcpStream::connect("localhost:80").await.unwrap();
            inside.accept().await.unwrap();
            foster::sleep(ms(1000)).await;
            drop((own, same_port));
        });
        let client_task = client.run(async {
            foster::sleep(ms(1)).await;
            let error = TcpStream::connect("server:80").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            TcpListener::bind("127.0.0.1:80").await.unwrap();
            TcpListener::bind("0.0.0.0:80").await.unwrap();
        });
        let (one, other) = foster::combine::join((server_task, client_task)).await;
        one.unwrap();
        other.unwrap();
    });
}

/// Each side of a connection has the other's address; names are those of hosts, for all who ask; so is `localhost`, for
/// each its own.
#[test]
fn n023_names_and_addresses() {
    on_sim("n023", || async {
        let (client, server) = two_hosts(ms(5));
        let (ip, v6) = (server.ip(), server.ip_v6());
        assert_eq!(lookup_host("SERVER:1").await.unwrap(), [(ip, 1).into(), (v6, 1).into()]);
        assert_eq!(lookup_host("nobody:1").await.unwrap_err().kind(), io::ErrorKind::NotFound);
        let from = client.ip();
        let asked = beside_server((&client, &server), async move {
            let stream = TcpStream::connect("server:80").await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), (ip, 80).into());
            assert_eq!(stream.local_addr().unwrap().ip(), from);
            assert!(stream.local_addr().unwrap().port() >= 49_152);
        });
        asked.await;
        assert_eq!(Host::new("server").ip(), ip, "the same host");
    });
}

/// IPv6 works as IPv4 does; a socket at `[::]` sees clients of IPv4 under their mapped addresses.
#[test]
fn n069_both_families() {
    on_sim("n069", || async {
        let (client, server) = two_hosts(ms(5));
        let (v4, v6, own) = (server.ip(), server.ip_v6(), client.ip());
        let serves = server.run(async move {
            let listener = TcpListener::bind("[::]:80").await.unwrap();
            let udp = UdpSocket::bind("[::]:7").await.unwrap();
            let (_, first) = listener.accept().await.unwrap();
            let (_, second) = listener.accept().await.unwrap();
            let (_, third) = udp.recv_from(&mut [0; 8]).await.unwrap();
            udp.send_to(b"answer", third).await.unwrap();
            (first.ip(), second.ip(), third.ip())
        });
        let asks = client.run(async move {
            foster::sleep(ms(1)).await;
            let one = TcpStream::connect((v4, 80)).await.unwrap();
            let other = TcpStream::connect((v6, 80)).await.unwrap();
            let udp = UdpSocket::bind("0.0.0.0:0").await.unwrap();
            udp.send_to(b"?", (v4, 7)).await.unwrap();
            let (_, from) = udp.recv_from(&mut [0; 8]).await.unwrap();
            assert_eq!(from.ip(), v4);
            drop(one);
            other.local_addr().unwrap().ip()
        });
        let (seen, from) = foster::combine::join((serves, asks)).await;
        let std::net::IpAddr::V4(own) = own else { panic!("{own}") };
        assert_eq!(seen.unwrap(), (own.to_ipv6_mapped().into(), from.unwrap(), own.to_ipv6_mapped().into()));
    });
}

/// A connected socket learns that nobody is at the port of its peer; a broadcast reaches all hosts.
#[test]
fn n085_refusals_and_broadcasts() {
    on_sim("n085", || async {
        let (client, server) = two_hosts(ms(5));
        let refused = client.run(async {
            let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
            socket.connect("server:9").await.unwrap();
            socket.send(b"anybody?").await.unwrap();
            timed(socket.recv(&mut [0; 8])).await
        });
        let (error, took) = refused.await.unwrap();
        assert_eq!((error.unwrap_err().kind(), took), (io::ErrorKind::ConnectionRefused, ms(10)));
        let heard = nursery(async |n: Nursery<Crashed>| {
            let listens = [&client, &server].map(|host| {
                n.spawn(host.run(async {
                    let socket = UdpSocket::bind("0.0.0.0:5").await.unwrap();
                    socket.recv_from(&mut [0; 8]).await.unwrap().1.ip()
                }))
            });
            foster::sleep(ms(1)).await;
            let sends = server.run(async {
                let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                socket.set_broadcast(true).unwrap();
                socket.send_to(b"all", "255.255.255.255:5").await.unwrap();
            });
            sends.await?;
            let mut heard = Vec::new();
            for listens in listens {
                heard.push(listens.await.unwrap());
            }
            Ok(heard)
        });
        assert_eq!(heard.await.unwrap(), [server.ip(), server.ip()]);
    });
}

/// A bind that replaces the stale file of a dead server does not replace that of a live socket of any kind.
#[cfg(unix)]
#[test]
fn a_live_socket_keeps_its_path() {
    on_sim("live path", || async {
        let live = foster_net::UnixDatagram::bind("/run/log").unwrap();
        let error = foster_net::UnixListener::bind_replacing_stale("/run/log").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let sender = foster_net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"here", "/run/log").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(live.recv_from(&mut buf).await.unwrap().0, 4);
    });
}
