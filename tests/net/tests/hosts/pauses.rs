//! Hosts that are paused.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::Poll;

use foster::combine::{join, race};
use foster::sync::Event;
use foster::{Nursery, fail_after, nursery, sleep, to_thread};
use foster_sim::net::{Chaos, Crashed};
use foster_sim::{Builder, clock};

use super::*;

/// N163: while a host is paused none of its code runs: not what its program waits for itself, nor its tasks, nor its
/// blocking jobs. Timers that are due fire when it goes on, once, and other hosts do not notice.
#[test]
fn n163_a_paused_host_does_nothing() {
    on_sim("n163 nothing", || async {
        let server = Host::new("server");
        let counts = [(); 4].map(|()| Arc::new(AtomicU32::new(0)));
        let [root, task, job, woken] = counts.clone();
        let runs = server.run(async move {
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn(async move {
                    loop {
                        sleep(ms(100)).await;
                        task.fetch_add(1, SeqCst);
                    }
                });
                n.spawn(async move {
                    loop {
                        sleep(ms(100)).await;
                        let job = job.clone();
                        to_thread(move || job.fetch_add(1, SeqCst)).await;
                    }
                });
                n.spawn(async move {
                    // Due in the middle of the pause.
                    sleep(ms(30_000)).await;
                    woken.fetch_add(1, SeqCst);
                });
                loop {
                    sleep(ms(100)).await;
                    root.fetch_add(1, SeqCst);
                }
            })
            .await;
        });
        let seen = || counts.each_ref().map(|count| count.load(SeqCst));
        let pauses = async {
            sleep(ms(1050)).await;
            let before = seen();
            assert!(before[..3].iter().all(|count| *count >= 9), "{before:?}");
            assert!(!server.is_paused());
            server.pause();
            server.pause();
            assert!(server.is_paused() && server.is_up());
            sleep(ms(59_000)).await;
            assert_eq!(seen(), before);
            server.resume();
            server.resume();
            assert_eq!(seen(), before, "it has not run inside of the call");
            sleep(ms(1)).await;
            // Each timer has fired once, however much time is over.
            assert_eq!(seen(), [before[0] + 1, before[1] + 1, before[2] + 1, 1]);
            sleep(ms(1000)).await;
            assert!(
                seen()[..3].iter().zip(before).all(|(now, before)| *now >= before + 10),
                "{before:?}, {:?}",
                seen()
            );
        };
        race((async { unreachable!("{:?}", runs.await) }, pauses)).await;
    });
}

/// N163: nor does it run what is woken from outside, was woken just before, or is polled for nothing.
#[test]
fn n163_a_paused_host_is_not_woken() {
    foster_conformance::check("n163_a_paused_host_is_not_woken", || {
        for seed in 0..20 {
            Builder::new(seed).spurious_polls(0.3).run(async {
                let server = Host::new("server");
                let [before, meanwhile] = [(); 2].map(|()| Arc::new(Event::new()));
                let (polls, woken) = <(Arc<AtomicU32>, Arc<AtomicU32>)>::default();
                let (waits, counts, wakes) = ([before.clone(), meanwhile.clone()], polls.clone(), woken.clone());
                let runs = server.run(async move {
                    let Ok(()) = nursery(async |n: Nursery| {
                        n.spawn(poll_fn::<(), _>(move |_| {
                            counts.fetch_add(1, SeqCst);
                            Poll::Pending
                        }));
                        for event in waits {
                            let wakes = wakes.clone();
                            n.spawn(async move {
                                event.wait().await;
                                wakes.fetch_add(1, SeqCst);
                            });
                        }
                    })
                    .await;
                });
                let pauses = async {
                    sleep(ms(1)).await;
                    before.set();
                    server.pause();
                    let seen = polls.load(SeqCst);
                    meanwhile.set();
                    for _ in 0..100 {
                        foster::yield_now().await;
                    }
                    sleep(ms(10)).await;
                    assert_eq!((polls.load(SeqCst), woken.load(SeqCst)), (seen, 0));
                    server.resume();
                    sleep(ms(10)).await;
                    assert_eq!(woken.load(SeqCst), 2);
                };
                race((async { unreachable!("{:?}", runs.await) }, pauses)).await;
            });
        }
    });
}

/// N163: who talks with a paused host sees silence: no answer, no error, no new connection; what arrived meanwhile is
/// there when it goes on.
#[test]
fn n163_peers_see_silence_and_then_the_answers() {
    on_sim("n163 tcp", || async {
        let (client, server) = two_hosts(ms(5));
        let pauses = server.clone();
        let asked = beside_server((&client, &server), async move {
            let stream = TcpStream::connect("server:80").await.unwrap();
            pauses.pause();
            stream.write_all(b"hello").await.unwrap();
            let mut buf = [0; 5];
            let silence = foster::move_on_after(ms(60_000), stream.read(&mut buf)).await;
            assert!(silence.is_none(), "{silence:?}");
            assert!(foster::move_on_after(ms(10_000), TcpStream::connect("server:80")).await.is_none());
            pauses.resume();
            let (read, took) = timed(stream.read_exact(&mut buf)).await;
            read.unwrap();
            assert_eq!((buf, took), (*b"hello", ms(5)), "it was there, and only the answer is on its way");
            drop(stream);
            ask(b"again").await
        });
        asked.await.unwrap();
    });
    on_sim("n163 udp", || async {
        let (client, server) = two_hosts(ms(5));
        server.start(udp_echo);
        sleep(ms(1)).await;
        let pauses = server.clone();
        let asks = client.run(async move {
            let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
            pauses.pause();
            for number in 0..10 {
                socket.send_to(&[number], "server:7").await.unwrap();
                sleep(ms(100)).await;
            }
            let mut buf = [0];
            assert!(foster::move_on_after(ms(10_000), socket.recv(&mut buf)).await.is_none());
            pauses.resume();
            for number in 0..10 {
                let (received, took) = timed(socket.recv(&mut buf)).await;
                received.unwrap();
                assert_eq!((buf, took), ([number], ms(if number == 0 { 5 } else { 0 })));
            }
        });
        asks.await.unwrap();
        server.crash();
    });
}

/// N163: a pause is as long as one likes, and so peers give up as if there were no power: a connect after two minutes,
/// data after a quarter of an hour. The host hears of it when it goes on.
#[test]
fn n163_peers_of_a_paused_host_give_up() {
    on_sim("n163 gives up", || async {
        let (client, server) = two_hosts(ms(5));
        let pauses = server.clone();
        let asked = beside_server((&client, &server), async move {
            let stream = TcpStream::connect("server:80").await.unwrap();
            pauses.pause();
            let (error, took) = timed(TcpStream::connect((pauses.ip(), 80))).await;
            assert_eq!((error.unwrap_err().kind(), took), (io::ErrorKind::TimedOut, ms(127_000)));
            stream.write_all(b"hello").await.unwrap();
            let (error, took) = timed(stream.read(&mut [0])).await;
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!((ms(600_000)..ms(1_200_000)).contains(&took), "{took:?}");
            pauses.resume();
            ask(b"again").await
        });
        asked.await.unwrap();
    });
}

/// N163: a paused host sends nothing, not even again; what it had sent before is on its way.
#[test]
fn n163_a_paused_host_is_silent() {
    on_sim("n163 silent", || async {
        let (client, server) = two_hosts(ms(50));
        let (from, to) = (client.clone(), server.clone());
        let serves = server.run(async {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"1").await.unwrap();
            sleep(ms(1)).await;
            stream.write_all(b"2").await.unwrap();
            stream.read(&mut [0]).await.unwrap()
        });
        let asks = client.run(async move {
            sleep(ms(1)).await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            let mut buf = [0; 2];
            // Both bytes have left, and are lost.
            sleep(ms(55)).await;
            net::partition_one_way(&to, &from);
            net::repair_one_way(&to, &from);
            sleep(ms(30)).await;
            to.pause();
            sleep(ms(100)).await;
            let before = net::packets_sent();
            sleep(ms(600_000)).await;
            assert_eq!(net::packets_sent(), before);
            to.resume();
            stream.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, *b"12");
        });
        let (served, asked) = join((serves, asks)).await;
        asked.unwrap();
        assert_eq!(served, Ok(0));
    });
}

/// N163: a deadline that passes in a pause is kept when the host goes on, whatever has arrived meanwhile; which is
/// there for who asks next.
#[test]
fn n163_a_deadline_passes_in_a_pause() {
    for arrives in [false, true] {
        on_sim("n163 deadline", move || async move {
            let (client, server) = two_hosts(ms(5));
            let waits = server.run(async {
                let socket = UdpSocket::bind("0.0.0.0:7").await.unwrap();
                let (received, took) = timed(fail_after(ms(1000), socket.recv(&mut [0]))).await;
                let next = foster::move_on_after(ms(1), socket.recv(&mut [0])).await;
                (received.is_ok(), took, next.is_some())
            });
            let sends = async {
                sleep(ms(500)).await;
                server.pause();
                if arrives {
                    let sends = client.run(async {
                        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                        socket.send_to(b"x", "server:7").await.unwrap();
                    });
                    sends.await.unwrap();
                }
                sleep(ms(9_500)).await;
                server.resume();
            };
            let (waited, ()) = join((waits, sends)).await;
            assert_eq!(waited, Ok((false, ms(10_000), arrives)));
        });
    }
}

/// N163: a program that is started on a paused host begins when that goes on; one that pauses its own host goes on
/// until its next `await`.
#[test]
fn n163_programs_of_a_paused_host() {
    on_sim("n163 programs", || async {
        let server = Host::new("server");
        server.pause();
        let starts = server.run(async { clock().elapsed() });
        let resumes = async {
            sleep(ms(500)).await;
            server.resume();
        };
        assert_eq!(join((starts, resumes)).await.0, Ok(ms(500)));
        for from_a_task in [false, true] {
            let (own, steps) = (server.clone(), Arc::new(AtomicU32::new(0)));
            let counts = steps.clone();
            let pauses = async move {
                own.pause();
                counts.fetch_add(1, SeqCst);
                foster::yield_now().await;
                counts.fetch_add(1, SeqCst);
            };
            let program = server.run(async move {
                if !from_a_task {
                    return pauses.await;
                }
                let Ok(()) = nursery(async |n: Nursery| {
                    n.spawn(pauses);
                })
                .await;
            });
            let resumes = async {
                sleep(ms(1000)).await;
                assert_eq!(steps.load(SeqCst), 1);
                server.resume();
            };
            join((program, resumes)).await.0.unwrap();
            assert_eq!(steps.load(SeqCst), 2);
        }
    });
}

/// N163, N160: a crash ends a pause, and what has arrived is lost; a kill, too, and the kernel lives on.
#[test]
fn n163_a_paused_host_can_crash() {
    for kill in [false, true] {
        on_sim("n163 crash", move || async move {
            let (client, server) = two_hosts(ms(5));
            let (crashes, dropped) = (server.clone(), Arc::new(()));
            let held = dropped.clone();
            let serves = server.run(async move {
                let _held = held;
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                let (stream, _) = listener.accept().await.unwrap();
                let _ = fail_after(ms(100_000), stream.read(&mut [0])).await;
                panic!("it runs");
            });
            let asks = client.run(async move {
                sleep(ms(1)).await;
                let stream = TcpStream::connect("server:80").await.unwrap();
                sleep(ms(10)).await;
                crashes.pause();
                stream.write_all(b"x").await.unwrap();
                sleep(ms(100)).await;
                if kill {
                    crashes.kill()
                } else {
                    crashes.crash()
                }
                assert_eq!((Arc::strong_count(&dropped), crashes.is_paused()), (1, false));
                crashes.restart();
                stream.read(&mut [0]).await.unwrap_err().kind()
            });
            let (served, asked) = join((serves, asks)).await;
            assert_eq!((served, asked), (Err(Crashed), Ok(io::ErrorKind::ConnectionReset)));
            assert_eq!(server.run(async { 42 }).await, Ok(42));
        });
    }
}

/// N163: a run that waits for a paused host is stuck, and the report says so; `main` cannot be paused.
#[test]
fn n163_a_pause_without_end() {
    foster_conformance::check("n163_a_pause_without_end", || {
        let run = Builder::new(1).observe(async {
            let server = Host::new("server");
            let sleeps = server.run(sleep(ms(1000)));
            join((sleeps, async { server.pause() })).await.0.unwrap();
        });
        assert_eq!(run.elapsed, ms(0), "its timer does not move the clock");
        let message = *run.outcome.unwrap_err().downcast::<String>().unwrap();
        for part in ["deadlock: ", "On the host server, which is paused:\n"] {
            assert!(message.contains(part), "{part:?} is not in\n{message}");
        }
        let refused = std::panic::catch_unwind(|| foster_sim::run(1, async { Host::new("main").pause() }));
        refused.unwrap_err();
    });
}

async fn asks_for_ever(answers: Arc<AtomicU32>) {
    loop {
        if let Ok(Ok(())) = fail_after(ms(1000), ask(b"hello")).await {
            answers.fetch_add(1, SeqCst);
        }
        sleep(ms(50)).await;
    }
}

/// N163, N167: pauses among all that may go wrong repeat with the seed, and end well.
#[test]
fn n163_pauses_repeat_with_the_seed() {
    foster_conformance::check("n163_pauses_repeat_with_the_seed", || {
        let run = |seed| {
            let run = Builder::new(seed).spurious_polls(0.05).observe(async {
                let (client, server) = two_hosts(ms(5));
                server.start(echo_server);
                let chaos = Chaos::new(&[client.clone(), server.clone()]).crashes(true);
                let answers = Arc::new(AtomicU32::new(0));
                let counts = answers.clone();
                client.start(move || asks_for_ever(counts.clone()));
                let pauses = async {
                    for _ in 0..20 {
                        let host = if foster_sim::random() % 2 == 0 { &client } else { &server };
                        host.pause();
                        sleep(ms(foster_sim::random() % 2000)).await;
                        host.resume();
                        sleep(ms(foster_sim::random() % 500)).await;
                    }
                };
                race((pauses, async { chaos.run().await })).await;
                chaos.mend();
                let before = answers.load(SeqCst);
                sleep(ms(10_000)).await;
                assert!(answers.load(SeqCst) > before + 50, "all is well again");
            });
            run.outcome.unwrap();
            run.hash
        };
        for seed in 0..10 {
            assert_eq!(run(seed), run(seed), "seed {seed}");
        }
    });
}
