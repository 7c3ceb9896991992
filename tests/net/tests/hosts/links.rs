//! The effects of links on packets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foster::combine::join;
use foster::{Nursery, nursery, sleep};
use foster_net::UnixStream;

use super::*;

/// N151: a datagram and its answer take two latencies, a connection a round trip; a link of its own is that of one
/// pair, for what is sent from then on.
#[test]
fn n151_latency_is_exact() {
    on_sim("n151", || async {
        let (client, server) = two_hosts(ms(50));
        let other = Host::new("other");
        let echo = server.run(udp_echo());
        let asks = async {
            sleep(ms(1)).await;
            assert_eq!(timed(client.run(udp_ask(b"?"))).await.1, ms(100));
            net::set_link(&client, &server, Link::new().latency(ms(7)));
            assert_eq!(timed(client.run(udp_ask(b"?"))).await.1, ms(14));
            assert_eq!(timed(other.run(udp_ask(b"?"))).await.1, ms(100));
            net::set_link_one_way(&server, &client, Link::new().latency(ms(1)));
            assert_eq!(timed(client.run(udp_ask(b"?"))).await.1, ms(8));
        };
        foster::combine::race((async { drop(echo.await) }, asks)).await;
    });
    on_sim("n151 tcp", || async {
        let (client, server) = two_hosts(ms(50));
        let took = beside_server((&client, &server), async {
            let (stream, connected) = timed(TcpStream::connect("server:80")).await;
            let stream = stream.unwrap();
            stream.write_all(b"x").await.unwrap();
            (connected, timed(stream.read(&mut [0])).await.1)
        });
        assert_eq!(took.await, (ms(100), ms(100)));
    });
}

/// N151: within its jitter a packet takes as long as the seed says.
#[test]
fn n151_jitter_is_from_the_seed() {
    foster_conformance::check("n151_jitter_is_from_the_seed", || {
        let took = |seed| {
            foster_sim::run(seed, async {
                let (client, server) = two_hosts(ms(50));
                net::set_default_link(Link::new().latency(ms(50)).jitter(ms(10)));
                let echo = server.run(udp_echo());
                let asks = async {
                    sleep(ms(1)).await;
                    timed(client.run(udp_ask(b"?"))).await.1
                };
                foster::combine::race((async { unreachable!("{:?}", echo.await) }, asks)).await
            })
        };
        let times: std::collections::BTreeSet<_> = (0..50).map(took).collect();
        assert!(times.iter().all(|time| (ms(100)..=ms(120)).contains(time)), "{times:?}");
        assert!(times.len() > 40, "{times:?}");
        assert_eq!(took(7), took(7));
    });
}

/// N152: the last byte comes as much later as the link takes for all of them; two who send share it.
#[test]
fn n152_bandwidth_is_shared() {
    for senders in [1, 2] {
        on_sim("n152", move || async move {
            const LENGTH: usize = 50_000;
            let (client, server) = two_hosts(ms(10));
            net::set_link_one_way(&client, &server, Link::new().latency(ms(10)).bandwidth(100_000));
            let received = async move {
                let listener = TcpListener::bind("0.0.0.0:80").await?;
                nursery(async |n: Nursery<io::Error>| {
                    for _ in 0..senders {
                        let (stream, _) = listener.accept().await?;
                        n.spawn(async move {
                            let all = foster_net_conformance::kinds::read_to_end(&stream).await?;
                            assert_eq!(all.len(), LENGTH);
                            Ok(())
                        });
                    }
                    Ok(())
                })
                .await?;
                Ok::<_, io::Error>(Instant::now())
            };
            let sends = || async {
                let stream = TcpStream::connect("server:80").await.unwrap();
                let start = Instant::now();
                stream.write_all(&[0; LENGTH]).await.unwrap();
                start
            };
            let sent = client.run(async move {
                sleep(ms(1)).await;
                match senders {
                    1 => sends().await,
                    _ => join((sends(), sends())).await.0,
                }
            });
            let (end, start) = join((server.run(received), sent)).await;
            let took = end.unwrap().unwrap() - start.unwrap();
            assert_eq!(took, ms(500) * senders + ms(10));
        });
    }
}

async fn count_datagrams(sent: u32) -> Vec<u32> {
    let (client, server) = (Host::new("client"), Host::new("server"));
    let receives = server.run(async {
        let socket = UdpSocket::bind("0.0.0.0:7").await.unwrap();
        let (mut seen, mut buf) = (Vec::new(), [0; 4]);
        while let Some(received) = foster::move_on_after(ms(1000), socket.recv_from(&mut buf)).await {
            received.unwrap();
            seen.push(u32::from_be_bytes(buf));
        }
        seen
    });
    let sends = client.run(async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        sleep(ms(1)).await;
        for number in 0..sent {
            socket.send_to(&number.to_be_bytes(), "server:7").await.unwrap();
            sleep(Duration::from_micros(10)).await;
        }
    });
    let (seen, ()) = join((async { receives.await.unwrap() }, async { sends.await.unwrap() })).await;
    seen
}

/// N153: lost datagrams vanish at the rate that was asked for, and without error.
#[test]
fn n153_datagrams_are_lost_at_the_rate() {
    on_sim("n153", || async {
        net::set_default_link(Link::new().loss(0.1));
        let seen = count_datagrams(10_000).await.len();
        // Three times the standard deviation, which is 30.
        assert!((8910..=9090).contains(&seen), "{seen}");
    });
}

/// N153, N154: what goes over a bad link by TCP comes late, complete and in order, and once.
#[test]
fn n153_tcp_hides_loss() {
    on_sim("n153 tcp", || async {
        const LENGTH: usize = 200_000;
        let (client, server) = two_hosts(ms(20));
        let bad = Link::new().latency(ms(20)).jitter(ms(30)).loss(0.05).duplication(0.2).reordering(0.2);
        net::set_default_link(bad);
        let took = beside_server((&client, &server), async {
            let (mut read, mut write) = TcpStream::connect("server:80").await.unwrap().into_split();
            let data = foster_net_conformance::kinds::pattern(LENGTH);
            let start = Instant::now();
            let reads = async {
                let mut all = vec![0; LENGTH];
                futures_lite::AsyncReadExt::read_exact(&mut read, &mut all).await.unwrap();
                all
            };
            let (all, ()) = join((reads, async { write.write_all(&data).await.unwrap() })).await;
            assert!(all == data);
            start.elapsed()
        });
        // Without loss there are four windows to be sent, and not a pause between them.
        assert!(took.await > ms(500));
    });
}

/// N154: datagrams come twice and in another order, for some seeds.
#[test]
fn n154_datagrams_come_twice_and_out_of_order() {
    foster_conformance::check("n154_datagrams_come_twice_and_out_of_order", || {
        let runs = (0..20).map(|seed| {
            foster_sim::run(seed, async {
                net::set_default_link(Link::new().latency(ms(1)).duplication(0.05).reordering(0.05));
                count_datagrams(100).await
            })
        });
        let runs: Vec<Vec<u32>> = runs.collect();
        assert!(runs.iter().any(|seen| seen.len() > 100), "none came twice");
        assert!(runs.iter().any(|seen| !seen.is_sorted()), "none was overtaken");
        net_is_calm_without_faults();
    });
}

/// On a link of one latency, what is sent first comes first.
fn net_is_calm_without_faults() {
    foster_sim::run(3, async {
        net::set_default_link(Link::new().latency(ms(1)));
        assert_eq!(count_datagrams(1000).await, (0..1000).collect::<Vec<_>>());
    });
}

/// N158: on a way that is held nothing arrives, and all of it in its order when it is released.
#[test]
fn n158_held_packets_arrive_when_released() {
    on_sim("n158", || async {
        let (client, server) = two_hosts(ms(1));
        net::hold(&client, &server);
        let (holder, held) = (client.clone(), server.clone());
        let releases = async move {
            sleep(ms(5000)).await;
            net::release(&holder, &held);
        };
        let (seen, ()) = join((
            async {
                let receives = server.run(async {
                    let socket = UdpSocket::bind("0.0.0.0:7").await.unwrap();
                    let mut buf = [0; 4];
                    let (mut seen, mut times) = (Vec::new(), Vec::new());
                    for _ in 0..100 {
                        socket.recv_from(&mut buf).await.unwrap();
                        seen.push(u32::from_be_bytes(buf));
                        times.push(Instant::now());
                    }
                    (seen, times[0], times[99])
                });
                let sends = client.run(async {
                    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                    for number in 0..100u32 {
                        sleep(ms(1)).await;
                        socket.send_to(&number.to_be_bytes(), "server:7").await.unwrap();
                    }
                });
                join((async { receives.await.unwrap() }, async { sends.await.unwrap() })).await.0
            },
            releases,
        ))
        .await;
        let (seen, first, last) = seen;
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert_eq!([first - Instant::from_nanos(0), last - Instant::from_nanos(0)], [ms(5000); 2]);
    });
}

/// N166: the number and the sizes of the reads of one message are others for other seeds.
#[test]
fn n166_one_write_is_not_one_read() {
    foster_conformance::check("n166_one_write_is_not_one_read", || {
        let reads = |seed| {
            foster_sim::run(seed, async {
                let (client, server) = two_hosts(ms(1));
                let sizes = server.run(async {
                    let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                    let (stream, _) = listener.accept().await.unwrap();
                    let mut sizes = Vec::new();
                    loop {
                        match stream.read(&mut [0; 10_000]).await.unwrap() {
                            0 => return sizes,
                            read => sizes.push(read),
                        }
                    }
                });
                let sends = client.run(async {
                    sleep(ms(1)).await;
                    TcpStream::connect("server:80").await.unwrap().write_all(&[0; 4000]).await.unwrap();
                });
                let (sizes, sent) = join((sizes, sends)).await;
                sent.unwrap();
                sizes.unwrap()
            })
        };
        let all: Vec<Vec<usize>> = (0..200).map(reads).collect();
        assert!(all.iter().all(|sizes| sizes.iter().sum::<usize>() == 4000));
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert!(different.len() > 10, "{different:?}");
        let counts: std::collections::BTreeSet<_> = all.iter().map(Vec::len).collect();
        assert!(counts.len() > 2, "{counts:?}");
    });
}

/// N168: time jumps to the next packet, and not past it; an hour of silence costs nothing.
#[test]
fn n168_time_jumps_to_the_next_packet() {
    on_sim("n168", || async {
        let (client, server) = two_hosts(ms(50));
        let late = Arc::new(AtomicU32::new(0));
        let counts = late.clone();
        let asked = nursery(async |n: Nursery<io::Error>| {
            n.spawn_daemon(async move {
                loop {
                    sleep(ms(3_600_000)).await;
                    counts.fetch_add(1, Ordering::Relaxed);
                }
            });
            Ok(beside_server((&client, &server), ask(b"hello")).await)
        });
        let (asked, took) = timed(asked).await;
        asked.unwrap().unwrap();
        assert_eq!((took, late.load(Ordering::Relaxed)), (ms(201), 0));
    });
}

/// N008: a writer is blocked after exactly as much as the two buffers hold.
#[test]
fn n008_the_window_is_exact() {
    on_sim("n008", || async {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut written = 0;
        while let Some(more) = foster::move_on_after(ms(1), one.write(&[0; 1000])).await {
            written += more.unwrap();
        }
        assert_eq!(written, 2 * 64 * 1024);
    });
}

/// N008: a writer that waits goes on when its buffer is made larger; there is no size that is too large to ask for.
#[test]
fn n008_a_larger_buffer_has_room() {
    on_sim("n008 larger", || async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let writer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (reader, _) = listener.accept().await.unwrap();
        writer.write_all(&[0; 2 * 64 * 1024]).await.unwrap();
        let grows = async {
            sleep(ms(10)).await;
            writer.set_send_buffer_size(usize::MAX).unwrap();
        };
        let (written, took) = timed(join((writer.write(b"more"), grows))).await;
        assert_eq!((written.0.unwrap(), took), (4, ms(10)));
        reader.set_recv_buffer_size(usize::MAX).unwrap();
        reader.read_exact(&mut vec![0; 2 * 64 * 1024 + 4]).await.unwrap();
    });
}

/// N015: who writes after the other side has closed is told as by Linux: with TCP by the second write, with a Unix
/// socket by the first.
#[test]
fn n015_a_write_after_the_end() {
    on_sim("n015 tcp", || async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let writer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        drop(listener.accept().await.unwrap());
        assert_eq!(writer.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(writer.write(b"one").await.unwrap(), 3);
        for _ in 0..2 {
            assert_eq!(writer.write(b"two").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(writer.read(&mut [0]).await.unwrap(), 0);
        }
    });
    on_sim("n015 unix", || async {
        let (one, other) = UnixStream::pair().unwrap();
        other.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(one.write(b"it reads").await.unwrap(), 8);
        drop(other);
        for _ in 0..2 {
            assert_eq!(one.write(b"one").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    });
}

/// N084: what the queue of a receiver has no room for is lost, the newest first; nobody is told.
#[test]
fn n084_a_full_queue_drops_the_newest() {
    on_sim("n084", || async {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = receiver.local_addr().unwrap();
        for number in 0..1000u32 {
            let mut bytes = [0; 1000];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            sender.send_to(&bytes, to).await.unwrap();
        }
        let (mut seen, mut buf) = (Vec::new(), [0; 4]);
        while foster::move_on_after(ms(1), receiver.recv_from(&mut buf)).await.is_some() {
            seen.push(u32::from_be_bytes(buf));
        }
        // As many of 1064 bytes as there is room for in 212,992.
        assert_eq!(seen, (0..200).collect::<Vec<_>>());
    });
}
