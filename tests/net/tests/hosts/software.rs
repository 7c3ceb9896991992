//! The software that hosts run by themselves, and the end of a run.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use foster::sleep;
use foster_net::UnixStream;
use foster_sim::Builder;

use super::*;

fn text(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

/// Runs a program that fails on some seeds, and returns the message of each.
fn failures<Fut: Future<Output = ()>>(program: impl Fn() -> Fut) -> Vec<String> {
    let fails = |seed| catch_unwind(AssertUnwindSafe(|| foster_sim::run(seed, program())));
    (0..5).map(|seed| text(fails(seed).unwrap_err())).collect()
}

/// N162: if what a host runs by itself returns an error or panics, the run fails, with that error and the name of the
/// host, though nobody asks.
#[test]
fn n162_the_failure_of_a_host_fails_the_run() {
    foster_conformance::check("n162_the_failure_of_a_host_fails_the_run", || {
        let runs = |fails: fn() -> io::Result<()>| {
            let messages = failures(|| async {
                let (client, server) = two_hosts(ms(5));
                client.start(echo_server);
                server.start(move || async move {
                    sleep(ms(1000)).await;
                    fails()
                });
                sleep(ms(1500)).await;
                panic!("the main future goes on");
            });
            assert!(messages.iter().all(|message| *message == messages[0]), "{messages:?}");
            messages[0].clone()
        };
        let message = runs(|| Err(io::Error::other("no disk")));
        for part in ["`server`", "has failed", "no disk"] {
            assert!(message.contains(part), "{message}");
        }
        let message = runs(|| std::panic::resume_unwind(Box::new("no memory")));
        for part in ["`server`", "has panicked", "no memory"] {
            assert!(message.contains(part), "{message}");
        }
        // Before it has made a future.
        let message = &failures(|| async {
            Host::new("early").start(|| -> std::future::Ready<()> { std::panic::resume_unwind(Box::new("too early")) });
            sleep(ms(1000)).await;
        })[0];
        assert!(message.contains("`early`") && message.contains("too early"), "{message}");
    });
}

/// N162: the main future that waits for nothing else is told, too; `explore` and `observe` see the failure.
#[test]
fn n162_a_failure_ends_a_wait() {
    foster_conformance::check("n162_a_failure_ends_a_wait", || {
        let run = Builder::new(1).observe(async {
            Host::new("server").start(|| async { Err::<(), _>("on purpose") });
            std::future::pending::<()>().await;
        });
        assert!(text(run.outcome.unwrap_err()).contains("on purpose"));
        let found = foster_sim::explore(0..5, || async {
            Host::new("server")
                .start(|| async { if foster_sim::random() % 2 == 0 { Err("sometimes") } else { Ok(()) } });
            sleep(ms(1)).await;
        });
        assert!(found.failed > 0 && found.failed < 5, "{found}");
        assert!(found.failure.unwrap().message.contains("sometimes"));
    });
}

/// N162, N161: a crash is no failure; the program starts anew with the host, until it returns, and ends with the run.
#[test]
fn n162_a_crash_is_no_failure() {
    on_sim("n162 crash", || async {
        let (client, server) = two_hosts(ms(5));
        let (starts, held) = (Arc::new(AtomicU32::new(0)), Arc::new(()));
        let (counts, holds) = (starts.clone(), held.clone());
        server.start(move || {
            counts.fetch_add(1, SeqCst);
            let held = holds.clone();
            async move {
                let served = echo_server().await;
                drop(held);
                served
            }
        });
        for round in 1..=3 {
            sleep(ms(1)).await;
            client.run(ask(b"hello")).await.unwrap().unwrap();
            assert_eq!(starts.load(SeqCst), round);
            if round == 3 {
                server.kill()
            } else {
                server.crash()
            }
            sleep(ms(100_000)).await;
            assert_eq!((starts.load(SeqCst), server.is_up()), (round, false));
            server.restart();
        }
        sleep(ms(1)).await;
        server.crash();
        let ends = Arc::new(AtomicU32::new(0));
        let counts = ends.clone();
        client.start(move || {
            counts.fetch_add(1, SeqCst);
            async {}
        });
        sleep(ms(1)).await;
        client.crash();
        client.restart();
        sleep(ms(1)).await;
        assert_eq!(ends.load(SeqCst), 1, "it has returned");
    });
}

/// N162, N170: what hosts run by themselves ends with the main future: all is dropped, and their sockets are closed.
#[test]
fn n162_programs_end_with_the_run() {
    foster_conformance::check("n162_programs_end_with_the_run", || {
        let held = Arc::new(());
        for seed in 0..5 {
            let holds = held.clone();
            foster_sim::run(seed, async move {
                let server = Host::new("server");
                server.start(move || {
                    let held = holds.clone();
                    async move {
                        let listener = TcpListener::bind("0.0.0.0:80").await?;
                        let _one = listener.accept().await?;
                        drop(held);
                        std::future::pending::<io::Result<()>>().await
                    }
                });
                sleep(ms(1)).await;
                assert_eq!(net::sockets().len(), 1);
            });
            assert_eq!(Arc::strong_count(&held), 1);
        }
    });
}

/// N170: a run at whose end a socket is open fails, and lists it by host and state; one that the kernel still closes is
/// not open.
#[test]
fn n170_a_socket_that_is_left_open_fails_the_run() {
    foster_conformance::check("n170_a_socket_that_is_left_open_fails_the_run", || {
        let kept = Mutex::new(Vec::<Box<dyn Any>>::new());
        let keep = |socket: Box<dyn Any>| kept.lock().unwrap().push(socket);
        let messages = failures(|| async {
            let (client, server) = two_hosts(ms(50));
            let (sends, receives) = std::sync::mpsc::channel();
            let serves = server.run(async move {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                sends.send(listener.accept().await.unwrap().0).unwrap();
            });
            let connects = client.run(async {
                sleep(ms(1)).await;
                TcpStream::connect("server:80").await.unwrap()
            });
            let (served, connected) = foster::combine::join((serves, connects)).await;
            served.unwrap();
            // Of the two ends of this one only one is kept.
            keep(Box::new(receives.recv().unwrap()));
            drop(connected.unwrap());
            keep(Box::new(UdpSocket::bind("0.0.0.0:7").await.unwrap()));
            keep(Box::new(TcpListener::bind("127.0.0.1:80").await.unwrap()));
        });
        for message in messages {
            let (_, listed) = message.split_once("The open sockets:\n").expect(&message);
            let lines: Vec<&str> = listed.lines().collect();
            let wanted = [
                "server tcp 10.0.0.3:80 ↔ 10.0.0.2:49152, open",
                "main udp 0.0.0.0:7",
                "main tcp listener 127.0.0.1:80",
            ];
            assert_eq!(lines, wanted);
        }
        kept.lock().unwrap().clear();
        // A connection that is being closed at the end, and what it carries, is no mistake.
        on_seeds(|| async {
            let (client, server) = two_hosts(ms(50));
            server.start(echo_server);
            sleep(ms(1)).await;
            let asked = client.run(async {
                let stream = TcpStream::connect("server:80").await.unwrap();
                stream.write_all(b"hello").await.unwrap();
            });
            asked.await.unwrap();
            assert!(!net::sockets().is_empty());
            drop(UnixStream::pair().unwrap());
        });
    });
}

fn on_seeds<Fut: Future<Output = ()>>(program: impl Fn() -> Fut) {
    (0..5).for_each(|seed| foster_sim::run(seed, program()));
}

/// N170: a run that fails otherwise fails with that.
#[test]
fn n170_another_failure_comes_first() {
    foster_conformance::check("n170_another_failure_comes_first", || {
        let kept = Mutex::new(Vec::new());
        let messages = failures(|| async {
            let socket = UdpSocket::bind("0.0.0.0:7").await.unwrap();
            kept.lock().unwrap().push(socket);
            panic!("something else");
        });
        assert!(messages.iter().all(|message| message == "something else"), "{messages:?}");
    });
}
