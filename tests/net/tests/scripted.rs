//! Tests that need exact times, or errors that no host gives on demand: on the simulator, with a network that follows a
//! script.
//!
//! It is also the smallest network there is, for authors of adapters: the contract is object-safe, and asks for little.

#[path = "scripted/network.rs"]
mod network;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foster::runtime::{BlockingError, Job, Runtime, Timer, Work, current, root};
use foster::{CancelScope, Instant, Nursery, fail_after, move_on_after, nursery, sleep};
use foster_net::contract::{ConnectOptions, with_net};
use foster_net::{Connect, ConnectError, Incident, ServeError, ServeOptions, TcpListener, TcpStream, serve};
use network::{Answer, Script, next_read};

fn secs(seconds: f64) -> Duration {
    Duration::from_nanos((seconds * 1e9).round() as u64)
}

/// Runs the body on several schedules.
fn on_sim<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    for seed in 0..5 {
        foster_conformance::check(name, || foster_sim::run(seed, body()));
    }
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(number).unwrap()], 80))
}

/// A script that answers at each address in turn, and those addresses.
fn answers(answers: &[Answer]) -> (Arc<Script>, Vec<SocketAddr>) {
    let addresses: Vec<_> = (1..=answers.len()).map(address).collect();
    (Script::connecting(addresses.iter().copied().zip(answers.iter().copied())), addresses)
}

/// Connects, and returns what came of it, and when.
async fn connect(script: &Arc<Script>, connect: Connect, to: &[SocketAddr]) -> (io::Result<TcpStream>, Duration) {
    let start = Instant::now();
    let connected = with_net(script.clone(), connect.to(to)).await;
    (connected, start.elapsed())
}

const ACCEPT: fn(f64) -> Answer = |after| Answer::Accept(after);
const REFUSE: fn(f64) -> Answer = |after| Answer::Refuse(after);

/// N031: in a task, around a nursery: that it compiles is the point.
#[test]
fn n031_a_network_around_a_nursery() {
    on_sim("n031 nursery", || async {
        let (script, to) = answers(&[ACCEPT(0.1)]);
        let connected = nursery(async |n: Nursery<io::Error>| {
            n.spawn(async move {
                let inside = nursery(async |n: Nursery<io::Error>| {
                    n.spawn(async move { TcpStream::connect(&*to).await.map(drop) });
                    Ok(())
                });
                with_net(script, inside).await
            });
            Ok(())
        });
        connected.await.unwrap();
    });
}

/// N031: one address: the call ends when that answers, with what it says.
#[test]
fn n031_one_address() {
    on_sim("n031", || async {
        for after in [0.123, 100.0] {
            let (script, to) = answers(&[ACCEPT(after)]);
            let (connected, took) = connect(&script, Connect::new(), &to).await;
            assert_eq!((connected.unwrap().peer_addr().unwrap(), took), (to[0], secs(after)));
            let (script, to) = answers(&[REFUSE(after)]);
            let (connected, took) = connect(&script, Connect::new(), &to).await;
            assert_eq!((connected.unwrap_err().kind(), took), (io::ErrorKind::ConnectionRefused, secs(after)));
        }
    });
}

/// N032, N033, N040: attempts begin at their times; the first to answer wins; all others are closed when the call
/// returns.
#[test]
fn n032_attempts_are_staggered() {
    on_sim("n032", || async {
        let cases: &[(&[f64], f64, f64, usize, &[f64])] = &[
            (&[1.0, 1.0, 0.2], 0.25, 0.7, 3, &[0.0, 0.25, 0.5]),
            (&[1.0, 1.0, 0.2], 0.45, 1.0, 1, &[0.0, 0.45, 0.9]),
            (&[1.0, 0.1, 0.2], 0.25, 0.35, 2, &[0.0, 0.25]),
        ];
        for (accepts, stagger, ends, winner, starts) in cases {
            let (script, to) = answers(&accepts.iter().map(|after| ACCEPT(*after)).collect::<Vec<_>>());
            let begin = Instant::now();
            let (connected, took) = connect(&script, Connect::new().stagger(secs(*stagger)), &to).await;
            let stream = connected.unwrap();
            assert_eq!((stream.peer_addr().unwrap(), took), (address(*winner), secs(*ends)));
            let begun: Vec<_> = script.attempts().iter().map(|(_, at)| *at - begin).collect();
            assert_eq!(begun, starts.iter().map(|at| secs(*at)).collect::<Vec<_>>());
            assert_eq!(script.open(), 1, "a loser is open");
            drop(stream);
            assert_eq!(script.open(), 0);
        }
    });
}

/// N035: the failure of the newest attempt begins the next one at once.
#[test]
fn n035_a_failure_begins_the_next() {
    on_sim("n035", || async {
        let (script, to) = answers(&[REFUSE(0.1), REFUSE(0.2), ACCEPT(10.0), ACCEPT(0.25)]);
        let begin = Instant::now();
        let (connected, took) = connect(&script, Connect::new(), &to).await;
        assert_eq!((connected.unwrap().peer_addr().unwrap(), took), (address(4), secs(0.8)));
        let begun: Vec<_> = script.attempts().iter().map(|(_, at)| *at - begin).collect();
        assert_eq!(begun, [0.0, 0.1, 0.3, 0.55].map(secs));
    });
}

/// N036: if all fail, the error comes with the last of them, and has them all, in the order of the attempts.
#[test]
fn n036_all_errors_are_kept() {
    on_sim("n036", || async {
        let (script, to) = answers(&[REFUSE(0.1), REFUSE(0.2), REFUSE(10.0), REFUSE(0.25)]);
        let (connected, took) = connect(&script, Connect::new(), &to).await;
        let error = connected.unwrap_err();
        assert_eq!((error.kind(), took), (io::ErrorKind::ConnectionRefused, secs(10.3)));
        let parts = error.get_ref().unwrap().downcast_ref::<ConnectError>().unwrap();
        assert_eq!(parts.attempts.iter().map(|(address, _)| *address).collect::<Vec<_>>(), to);
    });
}

/// N037: families alternate after the first.
#[test]
fn n037_families_alternate() {
    on_sim("n037", || async {
        let [a, b, c]: [SocketAddr; 3] = ["10.0.0.1:80", "10.0.0.2:80", "[fd00::3]:80"].map(|a| a.parse().unwrap());
        let script = Script::connecting([a, b, c].map(|address| (address, REFUSE(0.0))));
        let _ = connect(&script, Connect::new(), &[a, b, c]).await;
        assert_eq!(script.attempts().iter().map(|(address, _)| *address).collect::<Vec<_>>(), [a, c, b]);
    });
}

/// N039: a cancel comes back in its instant, and no socket of any attempt is open.
#[test]
fn n039_a_cancel_closes_all_attempts() {
    on_sim("n039", || async {
        let (script, to) = answers(&[ACCEPT(1e6); 4]);
        let start = Instant::now();
        let cut = move_on_after(secs(5.0), with_net(script.clone(), TcpStream::connect(&to[..]))).await;
        assert!(cut.is_none());
        assert_eq!((start.elapsed(), script.open(), script.attempts().len()), (secs(5.0), 0, 4));
    });
}

/// N046: one deadline for the lookup and all attempts.
#[test]
fn n046_one_deadline_covers_all() {
    on_sim("n046", || async {
        let (script, _) = answers(&[ACCEPT(1e6)]);
        script.resolve_after(secs(1.5));
        let start = Instant::now();
        let connects = with_net(script.clone(), fail_after(secs(2.0), TcpStream::connect("server:80")));
        assert!(connects.await.is_err());
        assert_eq!((start.elapsed(), script.attempts().len(), script.open()), (secs(2.0), 1, 0));
    });
}

/// The simulator without its network.
struct Bare(Arc<dyn Runtime>);

impl Runtime for Bare {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn spawn(&self, job: Job) {
        self.0.spawn(job);
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.0.timer()
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.0.blocking(work)
    }
}

/// N047: without a network each constructor says so, names the runtime and the fix, and opens nothing; also without any
/// runtime.
#[test]
fn n047_a_missing_network_is_an_error() {
    on_sim("n047", || async {
        let bare = Arc::new(Bare(current().expect("the simulator")));
        let missing = root(bare, async {
            [
                TcpListener::bind("127.0.0.1:0").await.map(drop),
                TcpStream::connect("127.0.0.1:1").await.map(drop),
                TcpStream::connect("localhost:1").await.map(drop),
                foster_net::UdpSocket::bind("127.0.0.1:0").await.map(drop),
                foster_net::UnixStream::pair().map(drop),
                foster_net::UnixListener::bind("/tmp/never").map(drop),
                foster_net::UnixDatagram::unbound().map(drop),
                TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).map(drop),
            ]
        });
        let missing = missing.await;
        for missing in missing {
            let error = missing.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error:?}");
            assert!(error.to_string().contains("the runtime `bare` has no network: build its adapter"), "{error}");
        }
    });
    let error = foster_net::UnixStream::pair().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("there is no foster runtime here"), "{error}");
}

#[cfg(target_os = "linux")]
mod errno {
    pub(super) const PASSING: [i32; 6] = [103, 1, 71, 101, 110, 113];
    pub(super) const NO_ROOM: [i32; 5] = [24, 23, 105, 12, 28];
    pub(super) const UNKNOWN: i32 = 22;
}

/// N055, N058: an error that concerns one connection is passed over; one that says there is no room comes back.
#[cfg(target_os = "linux")]
#[test]
fn n055_accept_passes_over_what_concerns_one_connection() {
    on_sim("n055", || async {
        let script = Script::accepting(errno::PASSING.map(Err).into_iter().chain([Ok(())]));
        let accepted = with_net(script, async { TcpListener::bind("10.0.0.1:80").await?.accept().await });
        assert_eq!(accepted.await.unwrap().1, address(99));
        for number in errno::NO_ROOM {
            let script = Script::accepting([Err(number), Ok(())]);
            let accepts = with_net(script, async {
                let listener = TcpListener::bind("10.0.0.1:80").await.unwrap();
                assert_eq!(listener.accept().await.unwrap_err().raw_os_error(), Some(number));
                listener.accept().await.unwrap();
            });
            accepts.await;
        }
    });
}

/// N055: what is passed over, and may come for ever, comes back in the end; unless something else comes in between.
#[cfg(target_os = "linux")]
#[test]
fn n055_a_refusal_that_never_ends_comes_back() {
    on_sim("n055 refusals", || async {
        for number in [1, 13, 95] {
            let script = Script::accepting(std::iter::repeat_n(Err(number), 1000).chain([Ok(())]));
            let accepted = with_net(script, async { TcpListener::bind("10.0.0.1:80").await?.accept().await });
            assert_eq!(accepted.await.unwrap_err().raw_os_error(), Some(number));
            let mixed = (0..1000).map(|turn| Err(if turn % 100 == 99 { 103 } else { number }));
            let script = Script::accepting(mixed.chain([Ok(())]));
            let accepted = with_net(script, async { TcpListener::bind("10.0.0.1:80").await?.accept().await });
            assert_eq!(accepted.await.unwrap().1, address(99));
        }
    });
}

/// N056: if there is never room, the server tries every 100 ms, and reports each time.
#[cfg(target_os = "linux")]
#[test]
fn n056_a_server_without_room_pauses_and_reports() {
    on_sim("n056", || async {
        let script = Script::accepting(errno::NO_ROOM.into_iter().cycle().take(1000).map(Err));
        let reports = Arc::new(std::sync::Mutex::new(Vec::new()));
        let start = Instant::now();
        let told = reports.clone();
        let options = ServeOptions::<io::Error>::new().on_incident(move |incident| {
            let Incident::Accept { error, .. } = incident else { panic!("{incident:?}") };
            told.lock().unwrap().push((error.raw_os_error(), Instant::now() - start));
        });
        let serving = with_net(script, async {
            let listener = TcpListener::bind("10.0.0.1:80").await.unwrap();
            serve(listener, options, async |_: TcpStream, _| Ok(())).await
        });
        assert!(move_on_after(secs(0.95), serving).await.is_none());
        let numbers = errno::NO_ROOM.into_iter().cycle();
        let wanted: Vec<_> =
            (0..10).zip(numbers).map(|(turn, number)| (Some(number), Duration::from_millis(turn * 100))).collect();
        assert_eq!(*reports.lock().unwrap(), wanted);
    });
}

/// N058, N059: any number of errors that pass do not end the server; one that is not known does, with that error, and
/// closes the listener.
#[cfg(target_os = "linux")]
#[test]
fn n059_an_unknown_error_ends_the_server() {
    on_sim("n059", || async {
        let passing = (0..200).map(|turn| Err(errno::PASSING[turn % 6])).chain([Ok(()), Err(24), Ok(())]);
        let script = Script::accepting(passing.chain([Err(errno::UNKNOWN)]));
        let served = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counts = served.clone();
        let serving = with_net(script.clone(), async {
            let listener = TcpListener::bind("10.0.0.1:80").await.unwrap();
            let handler = move |_: TcpStream, _| {
                counts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                async { Ok::<(), io::Error>(()) }
            };
            serve(listener, ServeOptions::new().on_incident(drop), handler).await
        });
        let ended = serving.await;
        assert!(
            matches!(&ended, Err(ServeError::Accept(error)) if error.raw_os_error() == Some(errno::UNKNOWN)),
            "{ended:?}"
        );
        assert_eq!((served.load(std::sync::atomic::Ordering::SeqCst), script.open()), (2, 0));
    });
}

/// N065, N067: the listener closes in the instant of the stop; a handler that does not care is cut in the instant in
/// which the grace ends.
#[test]
fn n067_stops_are_exact() {
    on_sim("n067", || async {
        let script = Script::accepting([Ok(())]);
        let mut scope = CancelScope::new().grace(secs(5.0));
        let stop = scope.handle();
        let start = Instant::now();
        let serving = with_net(script.clone(), async {
            let listener = TcpListener::bind("10.0.0.1:80").await.unwrap();
            let handler = async |stream: TcpStream, _| {
                let _open = stream;
                std::future::pending::<io::Result<()>>().await
            };
            scope.run(serve(listener, ServeOptions::new(), handler)).await
        });
        let stops = async {
            sleep(secs(1.0)).await;
            assert_eq!(script.open(), 2, "the listener and a connection");
            stop.cancel("stop well");
            sleep(secs(0.001)).await;
            assert_eq!(script.open(), 1, "the connection");
        };
        let (ended, ()) = foster::combine::join((serving, stops)).await;
        assert!(ended.is_err());
        assert_eq!((start.elapsed(), script.open()), (secs(6.0), 0));
    });
}

/// The options of a connection reach the network.
#[test]
fn n044_options_reach_the_network() {
    on_sim("n044", || async {
        let (script, to) = answers(&[ACCEPT(0.0)]);
        let local = SocketAddr::from(([10, 9, 9, 9], 7));
        connect(&script, Connect::new().local(local).nodelay(false), &to).await.0.unwrap();
        let options: ConnectOptions = script.last_options().unwrap();
        assert_eq!((options.local, options.nodelay), (Some(local), false));
    });
}

/// L14: code that is cancelled while the host answers is told neither of a reset nor of an end. The next operation is told
/// of the reset, of which the host tells once.
#[test]
fn cancelled_code_is_told_neither_of_a_reset_nor_of_an_end() {
    on_sim("a_reset_or_an_end", || async {
        let (script, to) = answers(&[ACCEPT(0.1)]);
        let stream = connect(&script, Connect::new(), &to).await.0.unwrap();
        for (exactly, reset) in [(false, true), (true, true), (true, false)] {
            let mut scope = CancelScope::new();
            let cancels = scope.handle();
            next_read(move || {
                cancels.cancel("meanwhile");
                if reset { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(0) }
            });
            let told = scope.run(async {
                match exactly {
                    true => stream.read_exact(&mut [0; 8]).await,
                    false => stream.read(&mut [0; 8]).await.map(drop),
                }
            });
            assert!(told.await.is_err(), "cancelled code was told; exactly: {exactly}, of a reset: {reset}");
            if reset {
                assert_eq!(stream.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            }
            next_read(|| Ok(0));
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        }
    });
}
