//! The views for people: the trace, the open sockets, the report of a deadlock; and that a seed is a run.

use std::collections::BTreeSet;

use foster::combine::join;
use foster::{Nursery, nursery, sleep};
use foster_sim::net::Chaos;
use foster_sim::{Builder, Event, Loss};

use super::*;

/// N169: each packet has its send, and its arrival, its loss with the reason, or its hold.
#[test]
fn n169_the_wire_is_in_the_trace() {
    foster_conformance::check("n169_the_wire_is_in_the_trace", || {
        let run = Builder::new(1).record_trace().observe(async {
            let (client, server) = two_hosts(ms(5));
            let asked = beside_server((&client, &server), ask(b"hello"));
            asked.await.unwrap();
            sleep(ms(100)).await;
            net::hold(&client, &server);
            let sends = |port: u16| async move {
                let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                socket.send_to(b"x", ("server", port)).await.unwrap();
            };
            client.run(sends(1)).await.unwrap();
            sleep(ms(10)).await;
            net::release(&client, &server);
            client.run(sends(2)).await.unwrap();
            sleep(ms(10)).await;
            net::partition(&client, &server);
            client.run(sends(3)).await.unwrap();
            net::repair(&client, &server);
            server.crash();
            client.run(sends(4)).await.unwrap();
            sleep(ms(1000)).await;
        });
        run.outcome.unwrap();
        let (mut sent, mut ended, mut lost, mut held) = (0, BTreeSet::new(), Vec::new(), 0);
        for (_, event) in run.trace.events() {
            match event {
                Event::Send(packet) => {
                    assert_eq!(packet, sent);
                    sent += 1;
                }
                Event::Arrive(packet) => assert!(ended.insert(packet) || run.trace.packet(packet).is_some()),
                Event::Lose(packet, why) => {
                    ended.insert(packet);
                    lost.push(why);
                }
                Event::Hold(_) => held += 1,
                _ => {}
            }
        }
        assert!(sent > 10);
        assert_eq!((ended.len() as u64, held), (sent, 1));
        assert_eq!(lost, [Loss::NobodyListens, Loss::NobodyListens, Loss::Partition, Loss::HostIsDown]);
        let text = run.trace.to_string();
        for part in [
            "send   client 10.0.0.2:49152 → server 10.0.0.3:80  SYN\n",
            "arrive server 10.0.0.3:80 → client 10.0.0.2:49152  SYN-ACK\n",
            "→ server 10.0.0.3:80  bytes 0..5, ACK 0\n",
            "datagram of 1 bytes (the link is cut)",
            "datagram of 1 bytes (the host is down)",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    });
}

/// N172: a limit of simulated time ends the run, and the report shows the trees, and what each leaf waits for.
#[test]
fn n172_a_limit_of_time_shows_what_goes_on() {
    foster_conformance::check("n172_a_limit_of_time_shows_what_goes_on", || {
        let run = Builder::new(1).time_limit(Duration::from_secs(60)).observe(async {
            let (client, server) = two_hosts(ms(5));
            let serves = server.run(async {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                listener.accept().await.map(drop)
            });
            // It never connects.
            let asks = client.run(async {
                loop {
                    sleep(ms(1000)).await;
                }
            });
            join((serves, asks)).await.0.map(drop)
        });
        assert_eq!(run.elapsed, Duration::from_secs(60));
        let message = *run.outcome.map(drop).unwrap_err().downcast::<String>().unwrap();
        for part in ["limit of virtual time", "On the host server:\n", "accept", "On the host client:\n", "sleep"] {
            assert!(message.contains(part), "{part:?} is not in\n{message}");
        }
    });
}

/// N172: the report of a deadlock names the sockets, who waits for them, and the trees of the hosts.
#[test]
fn n172_a_deadlock_names_the_sockets() {
    foster_conformance::check("n172_a_deadlock_names_the_sockets", || {
        let stuck = std::panic::catch_unwind(|| {
            foster_sim::run(1, async {
                let (client, server) = two_hosts(ms(5));
                let serves = server.run(async {
                    let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.read(&mut [0]).await
                });
                let asks = client.run(async {
                    sleep(ms(1)).await;
                    let stream = TcpStream::connect("server:80").await.unwrap();
                    // Both wait for the other one to begin.
                    stream.read(&mut [0]).await
                });
                join((serves, asks)).await
            })
        });
        let message = *stuck.map(|_| ()).unwrap_err().downcast::<String>().unwrap();
        for part in [
            "deadlock: ",
            "On the host server:\n",
            "On the host client:\n",
            "read",
            "The open sockets:\n",
            "server tcp listener 0.0.0.0:80\n",
            "client tcp 10.0.0.2:49152 ↔ 10.0.0.3:80, open, `root` (",
            "waits to read\n",
        ] {
            assert!(message.contains(part), "{part:?} is not in\n{message}");
        }
    });
}

/// N170: a connection that still closes is listed, and then gone.
#[test]
fn n170_what_is_open_is_listed() {
    on_sim("n170", || async {
        let (client, server) = two_hosts(ms(50));
        let listed = beside_server((&client, &server), async {
            drop(TcpStream::connect("server:80").await.unwrap());
            net::sockets().into_iter().map(|one| (one.host, one.kind, one.state)).collect::<Vec<_>>()
        });
        let names = |(host, kind, state): (&str, _, _)| (host.to_owned(), kind, state);
        let wanted =
            [("server", "tcp listener", ""), ("client", "tcp", "closing"), ("server", "tcp", "being accepted")];
        assert_eq!(listed.await, wanted.map(names));
    });
}

/// Ten hosts that talk with each other by TCP and UDP, with faults.
async fn ten_hosts() {
    net::set_default_link(Link::new().loss(0.05).duplication(0.05).reordering(0.05));
    let hosts: Vec<Host> = (0..10).map(|number| Host::new(&format!("host{number}"))).collect();
    let chaos = Chaos::new(&hosts).crashes(true);
    let Ok(()) = nursery(async |n: Nursery| {
        for (number, host) in hosts.iter().enumerate() {
            let host = host.clone();
            n.spawn_daemon(async move { host.boot(move || talks(number)).await });
        }
        n.spawn_daemon(async move { chaos.run().await });
        sleep(ms(3000)).await;
    })
    .await;
}

async fn talks(number: usize) {
    let next = format!("host{}", (number + 1) % 10);
    let serves = async {
        let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = foster::move_on_after(ms(500), async {
                let mut buf = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut buf).await {
                    if stream.write_all(&buf[..read]).await.is_err() {
                        break;
                    }
                }
            })
            .await;
        }
    };
    let asks = async {
        loop {
            sleep(ms(50 + foster_sim::random() % 100)).await;
            let _ = foster::move_on_after(ms(300), async {
                let stream = TcpStream::connect((next.as_str(), 80)).await?;
                stream.write_all(&[7; 3000]).await?;
                stream.read_exact(&mut [0; 3000]).await?;
                let udp = UdpSocket::bind("0.0.0.0:0").await?;
                udp.send_to(b"hello", (next.as_str(), 7)).await.map(drop)
            })
            .await;
        }
    };
    foster::combine::race((serves, asks)).await
}

/// N167: a seed is a run, to the last packet; and other seeds are other runs.
#[test]
fn n167_a_seed_is_a_run() {
    foster_conformance::check("n167_a_seed_is_a_run", || {
        let hash = |seed| {
            let run = Builder::new(seed).observe(ten_hosts());
            run.outcome.unwrap();
            run.hash
        };
        let hashes: BTreeSet<_> = (0..100).map(hash).collect();
        assert!(hashes.len() >= 90, "only {} differ", hashes.len());
        let mut traces = String::new();
        for seed in 0..5 {
            let runs = [(); 2].map(|()| Builder::new(seed).record_trace().observe(ten_hosts()));
            let [one, other] = runs.map(|run| (run.hash, run.trace.to_string()));
            assert!(one == other, "seed {seed} gives two runs");
            assert_eq!(one.0, hash(seed), "to record a run changes it");
            traces += &one.1;
        }
        for part in ["lost on the link", "the link is cut", "the host is down", "RST"] {
            assert!(traces.contains(part), "no run has `{part}`");
        }
    });
}

/// A plain thread wakes the program, and neither the clock nor the end of the run comes before.
#[test]
fn the_simulation_holds_for_a_thread() {
    foster_conformance::check("the_simulation_holds_for_a_thread", || {
        for _ in 0..20 {
            let run = Builder::new(1).observe(async {
                let event = std::sync::Arc::new(foster::sync::Event::new());
                let (sets, hold) = (event.clone(), foster_sim::hold());
                let thread = std::thread::spawn(move || {
                    // Long enough for the simulation to find nothing to do.
                    std::thread::park_timeout(ms(5));
                    sets.set();
                    drop(hold);
                });
                let woken = foster::move_on_after(ms(1), event.wait()).await;
                thread.join().unwrap();
                assert_eq!((woken, foster_sim::clock().elapsed()), (Some(()), Duration::ZERO));
                // From here on nobody is waited for.
                assert_eq!(foster::move_on_after(ms(1), std::future::pending::<()>()).await, None);
            });
            run.outcome.unwrap();
            assert!(run.outside > 0, "such a run need not repeat");
        }
    });
}
