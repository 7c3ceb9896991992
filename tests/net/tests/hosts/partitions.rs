//! Links that are cut, packets that are lost, and connections that break.

use foster::combine::join;
use foster::sleep;
use foster_net::Listen;

use super::*;

/// N045, D7: a host that is up refuses in one round trip; where nobody is there is no answer, and the error comes when
/// it was tried often enough.
#[test]
fn n045_a_closed_port_refuses_and_a_black_hole_is_silent() {
    on_sim("n045", || async {
        let (client, server) = two_hosts(ms(50));
        let (error, took) = timed(client.run(TcpStream::connect((server.ip(), 80)))).await;
        assert_eq!((error.unwrap().unwrap_err().kind(), took), (io::ErrorKind::ConnectionRefused, ms(100)));
        let nobody = "10.77.77.77:80".parse::<std::net::SocketAddr>().unwrap();
        let (error, took) = timed(client.run(TcpStream::connect(nobody))).await;
        assert_eq!((error.unwrap().unwrap_err().kind(), took), (io::ErrorKind::TimedOut, ms(127_000)));
    });
}

/// N155: after a lost SYN the connection is made when it was asked for again; when all that is written is lost, the
/// writer learns that nobody answers.
#[test]
fn n155_lost_packets_are_sent_again() {
    on_sim("n155 syn", || async {
        let (client, server) = two_hosts(ms(50));
        let mends = async {
            sleep(ms(500)).await;
            net::repair(&client, &server);
        };
        net::partition(&client, &server);
        let connects = beside_server((&client, &server), async {
            let connected = timed(TcpStream::connect("server:80")).await;
            connected.0.unwrap();
            connected.1
        });
        // One second, and a round trip.
        assert_eq!(join((connects, mends)).await.0, ms(1100));
    });
    on_sim("n155 data", || async {
        let (client, server) = two_hosts(ms(50));
        let (from, to) = (client.clone(), server.clone());
        let error = beside_server((&client, &server), async move {
            let stream = TcpStream::connect("server:80").await.unwrap();
            net::partition(&from, &to);
            let (error, took) = timed(async {
                loop {
                    if let Err(error) = stream.write(&[0; 1000]).await {
                        return error;
                    }
                }
            })
            .await;
            net::repair(&from, &to);
            (error.kind(), took)
        });
        let (kind, took) = error.await;
        assert_eq!(kind, io::ErrorKind::TimedOut);
        assert!(took > Duration::from_secs(900) && took < Duration::from_secs(1000), "{took:?}");
    });
}

/// N156: a partition takes what is on the way, too, and fails nothing at once; when it ends, connections go on without
/// an error.
#[test]
fn n156_connections_survive_a_partition() {
    on_sim("n156", || async {
        let (client, server) = two_hosts(ms(50));
        let (from, to) = (client.clone(), server.clone());
        let took = beside_server((&client, &server), async move {
            let stream = TcpStream::connect("server:80").await.unwrap();
            stream.write_all(b"before").await.unwrap();
            sleep(ms(10)).await;
            // The bytes are on their way.
            net::partition(&from, &to);
            sleep(ms(10)).await;
            net::repair(&from, &to);
            let mut buf = [0; 6];
            let (read, took) = timed(stream.read_exact(&mut buf)).await;
            read.unwrap();
            assert_eq!(&buf, b"before");
            // A longer one, with waiting on both sides.
            net::partition(&from, &to);
            let mends = async {
                sleep(ms(60_000)).await;
                net::repair(&from, &to);
            };
            let asks = async {
                stream.write_all(b"within").await.unwrap();
                stream.read_exact(&mut buf).await.unwrap();
            };
            join((asks, mends)).await;
            assert_eq!(&buf, b"within");
            drop(stream);
            ask(b"a new one").await.unwrap();
            took
        });
        // They were lost 30 ms later, and are sent again after 200 ms and a round trip; then there and back.
        assert_eq!(took.await, ms(30 + 200 + 100 + 100));
    });
}

/// N157: each direction is as the last word on it says, after any sequence of words.
#[test]
fn n157_the_last_word_on_a_direction_counts() {
    type Act = fn(&Host, &Host);
    const ACTS: [Act; 6] = [
        net::partition,
        net::repair,
        net::partition_one_way,
        net::repair_one_way,
        |one, other| net::partition_one_way(other, one),
        |one, other| net::repair_one_way(other, one),
    ];
    const CUTS: [(Option<bool>, Option<bool>); 6] = [
        (Some(true), Some(true)),
        (Some(false), Some(false)),
        (Some(true), None),
        (Some(false), None),
        (None, Some(true)),
        (None, Some(false)),
    ];
    on_sim("n157", || async {
        for _ in 0..40 {
            let (client, server) = two_hosts(ms(1));
            let (mut there, mut back) = (false, false);
            net::repair(&client, &server);
            for _ in 0..foster_sim::random() % 6 {
                let act = (foster_sim::random() % 6) as usize;
                ACTS[act](&client, &server);
                there = CUTS[act].0.unwrap_or(there);
                back = CUTS[act].1.unwrap_or(back);
            }
            assert_eq!((arrives(&client, &server).await, arrives(&server, &client).await), (!there, !back));
        }
    });
}

/// Whether a datagram gets from one host to another.
async fn arrives(from: &Host, to: &Host) -> bool {
    let name = to.name().to_owned();
    let receives = to.run(async {
        let socket = UdpSocket::bind("0.0.0.0:7").await.unwrap();
        foster::move_on_after(ms(100), socket.recv_from(&mut [0; 8])).await.is_some()
    });
    let sends = from.run(async move {
        sleep(ms(1)).await;
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket.send_to(b"x", (name, 7)).await.unwrap();
    });
    let (arrived, sent) = join((receives, sends)).await;
    sent.unwrap();
    arrived.unwrap()
}

/// N155, N157: when only the answers are lost, the writer tries again and again, and gives up.
#[test]
fn n157_without_answers_a_writer_gives_up() {
    on_sim("n157 answers", || async {
        let (client, server) = two_hosts(ms(5));
        let (from, to) = (client.clone(), server.clone());
        let kind = beside_server((&client, &server), async move {
            let stream = TcpStream::connect("server:80").await.unwrap();
            net::partition_one_way(&to, &from);
            stream.write_all(b"x").await.unwrap();
            let error = stream.read(&mut [0]).await.unwrap_err();
            net::repair_one_way(&to, &from);
            error.kind()
        });
        assert_eq!(kind.await, io::ErrorKind::TimedOut);
    });
}

/// N159: when the connections of a host are reset, both ends are told, also one that waits.
#[test]
fn n159_a_reset_reaches_both_ends() {
    on_sim("n159", || async {
        let (client, server) = two_hosts(ms(5));
        let serves = server.run(async {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            stream.read(&mut [0]).await.unwrap_err().kind()
        });
        let asks = client.run(async {
            sleep(ms(1)).await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            sleep(ms(1000)).await;
            stream.write(b"x").await.unwrap_err().kind()
        });
        let resets = async {
            sleep(ms(500)).await;
            server.reset_connections();
        };
        let (kinds, ()) = join((join((serves, asks)), resets)).await;
        assert_eq!(kinds, (Ok(io::ErrorKind::ConnectionReset), Ok(io::ErrorKind::ConnectionReset)));
    });
}

/// N165: clients that find the backlog full are not refused. They ask again, and get in when there is room; or give up.
#[test]
fn n165_a_full_backlog_is_asked_again() {
    on_sim("n165", || async {
        let (client, server) = two_hosts(ms(1));
        let serves = server.run(async {
            let listener = Listen::new().backlog(1).at("0.0.0.0:80").await.unwrap();
            sleep(ms(10_000)).await;
            for _ in 0..4 {
                drop(listener.accept().await.unwrap());
            }
            // Nobody is accepted any more.
            sleep(ms(300_000)).await;
        });
        let connects = client.run(async {
            sleep(ms(1)).await;
            let connects =
                foster::combine::gather_results((0..4).map(|_| timed(TcpStream::connect("server:80")))).await;
            let mut times =
                connects.into_iter().map(|(stream, took)| stream.map(|_| took).unwrap()).collect::<Vec<_>>();
            times.sort();
            // Two at once; the others were asked again after 1, 2, 4 and 8 seconds.
            assert_eq!(times, [ms(2), ms(2), ms(15_002), ms(15_002)]);
            let _full =
                (TcpStream::connect("server:80").await.unwrap(), TcpStream::connect("server:80").await.unwrap());
            let (error, took) = timed(TcpStream::connect("server:80")).await;
            assert_eq!((error.unwrap_err().kind(), took), (io::ErrorKind::TimedOut, ms(127_000)));
        });
        let (served, connected) = join((serves, connects)).await;
        served.unwrap();
        connected.unwrap();
    });
}

/// N156: if it is the reset that is lost, whoever has sent something sends it again, and gets another one.
#[test]
fn n156_a_lost_reset_is_sent_again() {
    on_sim("n156 reset", || async {
        let (client, server) = two_hosts(ms(50));
        let (from, to) = (client.clone(), server.clone());
        let seen = beside_server((&client, &server), async move {
            let stream = TcpStream::connect("server:80").await.unwrap();
            // Without a word to the client, and so the server resets what the client sends.
            to.crash();
            to.restart();
            stream.write_all(b"x").await.unwrap();
            sleep(ms(75)).await;
            net::partition_one_way(&to, &from);
            sleep(ms(1000)).await;
            net::repair_one_way(&to, &from);
            let (read, took) = timed(stream.read(&mut [0])).await;
            (read.unwrap_err().kind(), took < ms(10_000))
        });
        assert_eq!(seen.await, (io::ErrorKind::ConnectionReset, true));
    });
}

/// N155: if it is the answers to its SYN that are lost, a client gives up as if nobody had heard it, also if the server
/// loses its power.
#[test]
fn n155_lost_answers_to_a_syn() {
    for crash in [false, true] {
        on_sim("n155 answers", || async {
            let (client, server) = two_hosts(ms(50));
            let (from, to) = (client.clone(), server.clone());
            let seen = beside_server((&client, &server), async move {
                net::partition_one_way(&to, &from);
                let crashes = async {
                    sleep(ms(500)).await;
                    if crash {
                        to.crash();
                    }
                };
                let (error, took) = timed(join((TcpStream::connect((to.ip(), 80)), crashes))).await;
                net::repair_one_way(&to, &from);
                to.restart();
                (error.0.unwrap_err().kind(), took)
            });
            assert_eq!(seen.await, (io::ErrorKind::TimedOut, ms(127_000)));
        });
    }
    on_sim("n155 one connection", || async {
        let (client, server) = two_hosts(ms(50));
        let (from, to) = (client.clone(), server.clone());
        let serves = server.run(async {
            let listener = Listen::new().backlog(0).at("0.0.0.0:80").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            let more = foster::move_on_after(ms(1_000_000), listener.accept()).await;
            assert!(more.is_none(), "it was asked for twice, and made once");
        });
        let connects = client.run(async move {
            sleep(ms(1)).await;
            net::partition_one_way(&to, &from);
            let mends = async {
                sleep(ms(3000)).await;
                net::repair_one_way(&to, &from);
            };
            let (connected, took) = timed(join((TcpStream::connect((to.ip(), 80)), mends))).await;
            connected.0.unwrap();
            // Asked for again after one second and two more, and then a round trip.
            took
        });
        assert_eq!(join((serves, connects)).await, (Ok(()), Ok(ms(3100))));
    });
}

/// N155: the news that there is room again may be lost when nobody waits for it; whoever writes later asks for it.
#[test]
fn n155_a_lost_window_stops_nobody() {
    on_sim("n155 window", || async {
        let (client, server) = two_hosts(ms(50));
        let (from, to) = (client.clone(), server.clone());
        let serves = server.run(async move {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            sleep(ms(10_000)).await;
            net::partition_one_way(&to, &from);
            stream.read_exact(&mut vec![0; 64 * 1024]).await.unwrap();
            net::repair_one_way(&to, &from);
            stream.read_exact(&mut [0]).await.unwrap();
        });
        let writes = client.run(async {
            sleep(ms(1)).await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            stream.write_all(&[0; 64 * 1024]).await.unwrap();
            sleep(ms(60_000)).await;
            stream.write_all(b"x").await.unwrap();
            timed(stream.read(&mut [0])).await.1
        });
        // It asks after 200 ms and a round trip. The question, its answer, the byte and the end are a way each.
        assert_eq!(join((serves, writes)).await, (Ok(()), Ok(ms(200 + 100 + 4 * 50))));
    });
}

/// N159: connections that the server has not heard of again are broken, too, and leave their places in the backlog.
#[test]
fn n159_a_reset_of_half_a_connection() {
    on_sim("n159 half", || async {
        let (client, server) = two_hosts(ms(5));
        let serves = server.run(async {
            let listener = Listen::new().backlog(1).at("0.0.0.0:80").await.unwrap();
            drop(listener.accept().await.unwrap());
        });
        let connects = client.run(async {
            sleep(ms(1)).await;
            let (one, other) = join((TcpStream::connect("server:80"), TcpStream::connect("server:80"))).await;
            let kinds = (one.unwrap_err().kind(), other.unwrap_err().kind());
            assert_eq!(kinds, (io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionReset));
            let (connected, took) = timed(TcpStream::connect("server:80")).await;
            connected.unwrap();
            took
        });
        let resets = async {
            // The answers are on their way.
            sleep(ms(8)).await;
            server.reset_connections();
        };
        let (ended, ()) = join((join((serves, connects)), resets)).await;
        assert_eq!(ended, (Ok(()), Ok(ms(10))));
    });
}
