//! Fault rules.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use foster::combine::join;
use foster::{move_on_after, sleep};
use foster_sim::net::{Action, PacketInfo, PacketKind, Protocol, RuleGuard};
use foster_sim::{Builder, Event, Loss};

use super::*;

/// A rule that counts how often it is asked for datagrams, and answers always the same.
fn counting(count: &Arc<AtomicU32>, answer: Action) -> RuleGuard {
    let count = count.clone();
    net::rule(move |packet| {
        if packet.kind() != PacketKind::Datagram {
            return Action::Pass;
        }
        count.fetch_add(1, SeqCst);
        answer
    })
}

/// Sends a datagram to the echo server; whether the answer comes, and after how long.
async fn echoed(client: &Host) -> Option<Duration> {
    let asked = move_on_after(ms(10_000), client.run(udp_ask(b"?")));
    let (answer, took) = timed(asked).await;
    answer.map(|answer| {
        assert_eq!(answer.unwrap().unwrap(), b"?");
        took
    })
}

/// The echo server has begun, with a link of 5 ms.
async fn beside_echo() -> (Host, Host) {
    let (client, server) = two_hosts(ms(5));
    server.start(udp_echo);
    sleep(ms(1)).await;
    (client, server)
}

/// N171: the rules are asked in their order, a rule that does not decide passes on, and the first that decides wins.
#[test]
fn n171_the_first_rule_that_decides_wins() {
    on_sim("n171 first", || async {
        let (client, server) = beside_echo().await;
        let counts = [(); 4].map(|()| Arc::new(AtomicU32::new(0)));
        let asked = |wanted: [u32; 4]| {
            assert_eq!(counts.each_ref().map(|count| count.swap(0, SeqCst)), wanted);
        };
        assert_eq!(echoed(&client).await, Some(ms(10)));
        let passes = counting(&counts[0], Action::Pass);
        let delays = counting(&counts[1], Action::Delay(ms(7)));
        let drops = counting(&counts[2], Action::Drop);
        let _last = counting(&counts[3], Action::Drop);
        assert_eq!(echoed(&client).await, Some(ms(10 + 2 * 7)));
        asked([2, 2, 0, 0]);
        drop(delays);
        assert_eq!(echoed(&client).await, None);
        asked([1, 0, 1, 0]);
        // A rule that is made later is asked last.
        let _delivers = counting(&counts[1], Action::Deliver);
        assert_eq!(echoed(&client).await, None);
        asked([1, 0, 1, 0]);
        drop(drops);
        assert_eq!(echoed(&client).await, None);
        asked([1, 0, 0, 1]);
        drop(passes);
        server.crash();
    });
}

/// N171: to deliver is to decide, and what then happens is a matter of the link.
#[test]
fn n171_what_is_delivered_is_handed_to_the_link() {
    on_sim("n171 deliver", || async {
        let (client, server) = beside_echo().await;
        let _exception = net::rule(|packet| if packet.from() == "client" { Action::Deliver } else { Action::Pass });
        let count = Arc::new(AtomicU32::new(0));
        let drops = counting(&count, Action::Drop);
        assert_eq!(echoed(&client).await, None);
        assert_eq!(count.load(SeqCst), 1, "only the answer was dropped");
        drop(drops);
        assert_eq!(echoed(&client).await, Some(ms(10)));
        net::set_default_link(Link::new().loss(1.0));
        assert_eq!(echoed(&client).await, None);
        server.crash();
    });
}

/// N171: a rule ends with its guard, with the scope that the guard is in, also if that is cancelled, and with the power
/// of its host.
#[test]
fn n171_a_rule_ends_with_its_guard_or_its_scope() {
    on_sim("n171 ends", || async {
        let (client, server) = beside_echo().await;
        let count = Arc::new(AtomicU32::new(0));
        let guard = counting(&count, Action::Drop);
        assert_eq!(echoed(&client).await, None);
        drop(guard);
        assert_eq!((echoed(&client).await, Arc::strong_count(&count)), (Some(ms(10)), 1));

        let cut = move_on_after(ms(20_000), async {
            let _guard = counting(&count, Action::Drop);
            assert_eq!(echoed(&client).await, None);
            std::future::pending::<()>().await;
        });
        assert!(cut.await.is_none());
        assert_eq!((echoed(&client).await, Arc::strong_count(&count)), (Some(ms(10)), 1));

        let (other, rules) = (Host::new("other"), count.clone());
        let holds = other.run(async move {
            let _guard = counting(&rules, Action::Drop);
            drop(rules);
            std::future::pending::<()>().await;
        });
        let crashes = async {
            sleep(ms(1)).await;
            assert_eq!(echoed(&client).await, None);
            other.crash();
            assert_eq!((echoed(&client).await, Arc::strong_count(&count)), (Some(ms(10)), 1));
        };
        join((holds, crashes)).await.0.unwrap_err();
        assert_eq!(count.load(SeqCst), 3);

        counting(&count, Action::Drop).keep();
        assert_eq!((echoed(&client).await, Arc::strong_count(&count)), (None, 2));
        server.crash();
    });
}

/// N171, N155: what a rule drops of a stream is sent again, and the trace has the reason.
#[test]
fn n171_tcp_sends_again_what_a_rule_drops() {
    foster_conformance::check("n171_tcp_sends_again_what_a_rule_drops", || {
        let run = Builder::new(3).record_trace().observe(async {
            let (client, server) = two_hosts(ms(5));
            server.start(echo_server);
            sleep(ms(1)).await;
            let (seen, mut left) = (Arc::new(Mutex::new(Vec::new())), vec![PacketKind::Syn, PacketKind::SynAck]);
            left.extend([PacketKind::Data, PacketKind::Fin]);
            let sees = seen.clone();
            // The first packet of each kind.
            let _rule = net::rule(move |packet| {
                sees.lock().unwrap().push((packet.kind(), packet.payload().to_vec(), packet.to_string()));
                assert_eq!(packet.protocol(), Protocol::Tcp);
                let known = left.iter().position(|kind| *kind == packet.kind());
                known.map_or(Action::Pass, |at| {
                    left.remove(at);
                    Action::Drop
                })
            });
            let (asked, took) = timed(client.run(ask(b"hello"))).await;
            asked.unwrap().unwrap();
            // A second for the SYN, and one for its answer.
            assert!(took > ms(2000), "{took:?}");
            sleep(ms(1_000_000)).await;
            let seen = std::mem::take(&mut *seen.lock().unwrap());
            assert!(seen.iter().any(|(kind, bytes, _)| *kind == PacketKind::Data && b"hello".starts_with(bytes)));
            assert_eq!(seen[0].2, "client 10.0.0.2:49152 → server 10.0.0.3:80  SYN");
        });
        run.outcome.unwrap();
        let dropped = run.trace.events().filter(|(_, event)| matches!(event, Event::Lose(_, Loss::Rule)));
        assert_eq!(dropped.count(), 4);
        assert!(run.trace.to_string().contains("SYN (dropped by a rule)"));
    });
}

/// N171: a segment that is delayed delays those behind it in its stream, and no other stream; datagrams overtake each
/// other.
#[test]
fn n171_a_delay_is_that_of_one_stream() {
    on_sim("n171 delay", || async {
        let (client, server) = two_hosts(ms(5));
        let serves = server.run(async {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let (one, _) = listener.accept().await.unwrap();
            let (other, _) = listener.accept().await.unwrap();
            let reads = |stream: TcpStream| async move {
                let mut bytes = [0; 2];
                stream.read_exact(&mut bytes).await.unwrap();
                (bytes, foster_sim::clock().elapsed())
            };
            join((reads(one), reads(other))).await
        });
        let sends = client.run(async {
            sleep(ms(1)).await;
            let one = TcpStream::connect("server:80").await.unwrap();
            let other = TcpStream::connect("server:80").await.unwrap();
            sleep(ms(979)).await;
            let mut first = true;
            let delays = net::rule(move |packet| match packet.kind() {
                PacketKind::Data if std::mem::take(&mut first) => Action::Delay(ms(300)),
                _ => Action::Pass,
            });
            one.write_all(b"1").await.unwrap();
            other.write_all(b"3").await.unwrap();
            one.write_all(b"2").await.unwrap();
            other.write_all(b"4").await.unwrap();
            // A rule may go before what it has delayed arrives.
            drop(delays);
            sleep(ms(1000)).await;
        });
        let (seen, sent) = join((serves, sends)).await;
        sent.unwrap();
        assert_eq!(seen.unwrap(), ((*b"12", ms(1305)), (*b"34", ms(1005))));
    });
    on_sim("n171 delay udp", || async {
        let (client, server) = two_hosts(ms(5));
        let receives = server.run(async {
            let socket = UdpSocket::bind("0.0.0.0:7").await.unwrap();
            let mut seen = Vec::new();
            for _ in 0..2 {
                let mut buf = [0];
                socket.recv_from(&mut buf).await.unwrap();
                seen.push((buf[0], foster_sim::clock().elapsed()));
            }
            seen
        });
        let _rule = net::rule(|packet| match packet.payload() {
            [1] => Action::Delay(ms(300)),
            _ => Action::Pass,
        });
        let sends = client.run(async {
            sleep(ms(1)).await;
            let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
            socket.send_to(&[1], "server:7").await.unwrap();
            socket.send_to(&[2], "server:7").await.unwrap();
        });
        let (seen, _) = join((receives, sends)).await;
        assert_eq!(seen.unwrap(), [(2, ms(6)), (1, ms(306))]);
    });
}

/// N171: a rule is code as any other: it may send, change links, make rules and end them, its own too; no lock is held
/// around it.
#[test]
fn n171_a_rule_may_use_the_network() {
    on_sim("n171 uses", || async {
        let (client, server) = beside_echo().await;
        let own = Arc::new(Mutex::new(None::<RuleGuard>));
        let (holds, sends) = (own.clone(), UdpSocket::bind("0.0.0.0:0").await.unwrap());
        let mut asked = 0;
        let guard = net::rule(move |packet: &PacketInfo| {
            asked += 1;
            assert!(net::packets_sent() > 0 && !net::sockets().is_empty());
            assert_eq!(Host::new(packet.from()).name(), packet.from());
            net::rule(|_| Action::Drop).keep();
            net::set_default_link(Link::new().latency(ms(50)));
            // It waits behind this one, and is dropped by the other rule.
            let sent = futures_lite::future::block_on(sends.send_to(&[asked], packet.target()));
            assert_eq!(sent.unwrap(), 1);
            drop(holds.lock().unwrap().take());
            Action::Deliver
        });
        *own.lock().unwrap() = Some(guard);
        let before = net::packets_sent();
        assert_eq!(echoed(&client).await, None);
        // The question, that of the rule, and the answer of the server.
        assert_eq!(net::packets_sent() - before, 3);
        assert_eq!(Arc::strong_count(&own), 1, "the rule is gone");
        server.crash();
    });
}

/// N171: a rule that panics lets the run fail, whoever has sent the packet.
#[test]
fn n171_a_rule_that_panics_fails_the_run() {
    foster_conformance::check("n171_a_rule_that_panics_fails_the_run", || {
        for by_the_clock in [false, true] {
            let fails = || {
                foster_sim::run(1, async {
                    let (client, server) = two_hosts(ms(5));
                    server.start(echo_server);
                    sleep(ms(1)).await;
                    let _rule = net::rule(move |packet| {
                        // The answer to a SYN is sent when that arrives, by nobody's call.
                        let kind = if by_the_clock { PacketKind::SynAck } else { PacketKind::Syn };
                        if packet.kind() == kind {
                            std::panic::resume_unwind(Box::new("a packet that should not be"));
                        }
                        Action::Pass
                    });
                    let asked = client.run(async { ask(b"hello").await.map_err(drop) });
                    asked.await.unwrap().unwrap();
                    sleep(ms(1000)).await;
                })
            };
            let payload = catch_unwind(AssertUnwindSafe(fails)).unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"a packet that should not be"));
        }
    });
}

/// N171: also if it is the last that the run does: the last packet of the main future, or what a program says as it is
/// ended.
#[test]
fn n171_a_rule_that_panics_at_the_end_fails_the_run() {
    foster_conformance::check("n171_a_rule_that_panics_at_the_end_fails_the_run", || {
        for by_the_main_future in [false, true] {
            let run = Builder::new(1).observe(async {
                let (client, server) = two_hosts(ms(5));
                server.start(echo_server);
                client.start(|| async {
                    sleep(ms(1)).await;
                    let _stream = TcpStream::connect("server:80").await?;
                    std::future::pending::<io::Result<()>>().await
                });
                sleep(ms(100)).await;
                let kind = if by_the_main_future { PacketKind::Datagram } else { PacketKind::Fin };
                let panics = net::rule(move |packet| {
                    assert_ne!(packet.kind(), kind, "on purpose");
                    Action::Pass
                });
                panics.keep();
                if by_the_main_future {
                    UdpSocket::bind("0.0.0.0:0").await.unwrap().send_to(b"bye", "server:7").await.unwrap();
                }
            });
            let message = *run.outcome.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains("on purpose"), "{message}");
        }
    });
}

/// N171, N167: what rules do is the same in each run of a seed.
#[test]
fn n171_rules_repeat_with_the_seed() {
    foster_conformance::check("n171_rules_repeat_with_the_seed", || {
        let run = |seed| {
            let run = Builder::new(seed).observe(async {
                let (client, _server) = beside_echo().await;
                net::set_default_link(Link::new().loss(0.1));
                let mut count = 0;
                let _rule = net::rule(move |_| {
                    count += 1;
                    if count % 3 == 0 { Action::Delay(ms(foster_sim::random() % 100)) } else { Action::Pass }
                });
                for _ in 0..10 {
                    let _ = move_on_after(ms(100), client.run(udp_ask(b"?"))).await;
                }
            });
            run.outcome.unwrap();
            run.hash
        };
        for seed in 0..10 {
            assert_eq!(run(seed), run(seed));
        }
        assert_ne!(run(1), run(2));
    });
}
