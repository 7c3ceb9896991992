//! Sources of another run: virtual, or reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{SystemTime, UNIX_EPOCH};

use foster::{sleep, to_thread};
use foster_net::lookup_host;
use foster_sim::{Nondeterminism, check_determinism, clock};

use super::*;

/// The time on the wall, which no run has twice.
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Holds that the runs of the program differ, and returns how: the same line, or both.
fn difference<Fut: Future<Output = ()>>(program: impl Fn() -> Fut) -> (String, String) {
    for seed in 0..3 {
        let found = check_determinism(seed, &program).unwrap_err();
        let text = found.to_string();
        let Nondeterminism::Difference { same, first, second } = found else { panic!("{found}") };
        let [first, second] = [first, second].map(|line| line.unwrap_or_default());
        assert_ne!(first, second);
        assert!(
            text.contains(&format!("After {same} events")) && text.contains(&first) && text.contains(&second),
            "{text}"
        );
        if seed == 2 {
            return (first, second);
        }
    }
    unreachable!("three seeds were run")
}

/// N173: what foster has of the kind is virtual: its clock, its threads, its names. The clock does not follow the one
/// on the wall, a closure that may block takes the time that the seed says, and nobody asks the resolver of the system.
#[test]
fn n173_fosters_own_are_virtual() {
    foster_conformance::check("n173_fosters_own_are_virtual", || {
        // A name that the system knows, and the simulation does not.
        let known = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let known: Vec<String> = known
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>())
            .filter(|name| !name.eq_ignore_ascii_case("localhost"))
            .collect();
        let program = || {
            let known = known.clone();
            async move {
                let (client, server) = two_hosts(ms(5));
                server.start(echo_server);
                for name in known {
                    assert_eq!(
                        lookup_host((name.as_str(), 1)).await.unwrap_err().kind(),
                        io::ErrorKind::NotFound,
                        "{name}"
                    );
                }
                assert_eq!(lookup_host("server:1").await.unwrap()[0].ip(), server.ip());
                let before = Instant::now();
                assert_eq!(before.to_std(), None, "it is on no clock of the host");
                sleep(ms(1)).await;
                // However long it takes on the wall.
                to_thread(|| std::thread::park_timeout(ms(2))).await;
                assert_eq!((before.elapsed(), clock().elapsed()), (ms(1), ms(1)));
                client.run(ask(b"hello")).await.unwrap().unwrap();
                let pauses = to_thread(|| foster_sim::random() % 1000).await;
                sleep(ms(pauses)).await;
            }
        };
        for seed in 0..5 {
            check_determinism(seed, program).unwrap();
        }
        let failing = || async { Err::<(), _>("always") };
        check_determinism(1, failing).unwrap();
        check_determinism(1, || async { assert!(clock().elapsed() > ms(1), "always") }).unwrap();
    });
}

/// N173: a program that goes by the clock on the wall is reported, with the first event that is another one.
#[test]
fn n173_the_clock_on_the_wall_is_reported() {
    foster_conformance::check("n173_the_clock_on_the_wall_is_reported", || {
        let (first, second) = difference(|| async {
            foster_sim::note("before");
            sleep(Duration::from_nanos(u64::from(wall_clock().subsec_nanos()) + 1)).await;
        });
        assert!(first.ends_with("jump") && second.ends_with("jump"), "{first}, {second}");
        // It makes no difference but to what is sent.
        let (first, second) = difference(|| async {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let stamp = wall_clock().as_nanos().to_be_bytes();
            socket.send_to(&stamp, "127.0.0.1:9").await.unwrap();
        });
        assert!(
            first.ends_with("datagram of 16 bytes") && second == format!("{first}, with other bytes"),
            "{first}, {second}"
        );
        // Nor to that, and a note says it.
        let (first, _) = difference(|| async { foster_sim::note(wall_clock().as_nanos()) });
        assert!(first.contains("note "), "{first}");
    });
}

/// N173: so is one that goes by the order of a hash map, or by what another run has left.
#[test]
fn n173_other_sources_are_reported() {
    foster_conformance::check("n173_other_sources_are_reported", || {
        difference(|| async {
            let map: std::collections::HashMap<u64, ()> = (1..30).map(|key| (key, ())).collect();
            for (key, ()) in map {
                sleep(ms(key)).await;
            }
        });
        let runs = Arc::new(AtomicU32::new(0));
        let counts = runs.clone();
        let (_, second) = difference(move || {
            let number = counts.fetch_add(1, SeqCst);
            async move {
                if number % 2 == 1 {
                    panic!("the second time");
                }
            }
        });
        assert!(second.contains("the second time"), "{second}");
        assert_eq!(runs.load(SeqCst), 6, "each seed twice");
    });
}

/// N173: a thread of the program's own that does something to the simulation is reported, though the runs may be the
/// same.
#[test]
fn n173_a_thread_is_reported() {
    foster_conformance::check("n173_a_thread_is_reported", || {
        for _ in 0..5 {
            let found = check_determinism(1, || async {
                let event = Arc::new(foster::sync::Event::new());
                let (sets, hold) = (event.clone(), foster_sim::hold());
                let thread = std::thread::spawn(move || {
                    sets.set();
                    drop(hold);
                });
                event.wait().await;
                thread.join().unwrap();
            });
            let found = found.unwrap_err();
            let what = found.to_string();
            match found {
                Nondeterminism::OtherThread { times } => {
                    assert!(times > 0 && what.contains("std::thread::spawn"), "{what}")
                }
                _ => assert!(what.contains("two different runs"), "{what}"),
            }
        }
    });
}
