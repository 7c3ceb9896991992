//! Servers and the peers that nobody wishes for: slow ones, those that reset, send garbage, never close, or are too
//! many. The server lives, each error is told once and is clear, and good clients are served.

#[path = "../soak/hosts.rs"]
mod hosts;

mod resets;
#[cfg(target_os = "linux")]
mod too_many;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::{CancelScope, Nursery, fail_after, nursery, sleep};
use foster_conformance::harness::comes_true;
use foster_net::{Incident, ServeOptions, TcpListener, TcpStream, serve};
use foster_net_conformance::in_time;
use foster_net_conformance::kinds::{Numbers, open_descriptors};
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncReadExt};

use hosts::HOSTS;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a test on each host. It leaves nothing: see [`foster_conformance::check`]; nor a descriptor.
fn on_each_host<F: Future<Output = ()>>(name: &str, test: impl Fn() -> F) {
    foster_conformance::check(name, || {
        for host in HOSTS {
            // Descriptors that the runtime keeps for the next one are there then.
            host.run(async { drop(TcpListener::bind("127.0.0.1:0").await.expect("loopback is there")) });
            let before = open_descriptors();
            host.run(in_time(test()));
            // The runtime may close its own a moment later.
            let closed = comes_true(|| open_descriptors() <= before);
            assert!(closed, "descriptors are left on {host:?}: {:?}, before it {before:?}", open_descriptors());
        }
    });
}

/// The errors that the handlers of a server have returned.
type Told = Arc<Mutex<Vec<io::Error>>>;

/// Runs clients beside a server, and then stops it, with a grace of 200 ms. Returns what the clients do, and what the
/// server told; an incident of another sort is a panic.
async fn serving<H, Fut, T>(
    limit: usize,
    handler: H,
    clients: impl AsyncFnOnce(SocketAddr, Told) -> io::Result<T>,
) -> (T, Vec<io::Error>)
where
    H: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
    T: Send + 'static,
{
    let told = Told::default();
    let tell = told.clone();
    let served = nursery(async |n: Nursery<io::Error>| {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut scope = CancelScope::new().grace(ms(200));
        let stop = scope.handle();
        n.spawn(async move {
            let options = ServeOptions::new().limit(limit).on_incident(move |incident| match incident {
                Incident::Handler { error, .. } => tell.lock().unwrap().push(error),
                other => panic!("{other:?}"),
            });
            match scope.run(serve(listener, options, move |stream, _| handler(stream))).await {
                Ok(served) => served.map_err(io::Error::other),
                Err(_) => Ok(()),
            }
        });
        let value = clients(address, told.clone()).await?;
        stop.cancel("the clients have ended");
        Ok(value)
    })
    .await;
    (served.expect("the server lives"), std::mem::take(&mut *told.lock().unwrap()))
}

/// Waits until so many errors were told.
async fn wait_for(told: &Told, errors: usize) {
    while told.lock().unwrap().len() < errors {
        sleep(ms(1)).await;
    }
}

/// The longest line that the server takes.
const LONGEST: u64 = 1000;

/// Answers one line, for which a client has 200 ms.
async fn answer_a_line(stream: TcpStream) -> io::Result<()> {
    let mut line = String::new();
    fail_after(ms(200), BufReader::new(&stream).take(LONGEST).read_line(&mut line)).flatten().await?;
    if !line.ends_with('\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the line does not end"));
    }
    stream.write_all(line.as_bytes()).await
}

async fn ask(server: SocketAddr, line: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(line).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map(|_| answer)
}

/// Slowloris: 30 clients send a byte now and then, and the server takes four at once. A good one is served all the
/// same.
#[test]
fn slow_clients_are_dropped_at_their_deadline() {
    on_each_host("slow_clients_are_dropped_at_their_deadline", || async {
        let clients = async |server: SocketAddr, told: Told| {
            nursery(async |n: Nursery<io::Error>| {
                for _ in 0..30 {
                    n.spawn(async move {
                        let stream = TcpStream::connect(server).await?;
                        // Until the server has closed it.
                        while stream.write_all(b"x").await.is_ok() {
                            sleep(ms(10)).await;
                        }
                        Ok(())
                    });
                }
                wait_for(&told, 1).await;
                assert_eq!(ask(server, b"hello\n").await?, b"hello\n");
                Ok(())
            })
            .await
        };
        let ((), told) = serving(4, answer_a_line, clients).await;
        assert_eq!(told.len(), 30);
        for error in told {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(
                error.to_string().contains("time limit set at") && error.to_string().contains("bad_peers"),
                "{error}"
            );
        }
    });
}

/// Bytes that are not text, and a line that does not end: errors of these connections alone, which say what is wrong.
#[test]
fn garbage_is_an_error_of_its_connection() {
    on_each_host("garbage_is_an_error_of_its_connection", || async {
        let clients = async |server: SocketAddr, _: Told| {
            let mut numbers = Numbers::new(57);
            for length in 0..20 {
                let mut garbage: Vec<u8> = (0..length).map(|_| 0x80 | numbers.below(128) as u8).collect();
                garbage.extend(b"\xff\n");
                // The rest of it was not read, so it may be a reset.
                assert!(!matches!(ask(server, &garbage).await, Ok(answer) if !answer.is_empty()));
            }
            assert!(!matches!(ask(server, &[b'x'; 100_000]).await, Ok(answer) if !answer.is_empty()));
            assert_eq!(ask(server, b"hello\n").await?, b"hello\n");
            Ok(())
        };
        let ((), told) = serving(4, answer_a_line, clients).await;
        let mut texts: Vec<_> = told.iter().map(|error| (error.kind(), error.to_string())).collect();
        assert_eq!(texts.len(), 21, "{texts:?}");
        assert_eq!(texts.pop().unwrap(), (io::ErrorKind::InvalidData, "the line does not end".to_owned()));
        for (kind, text) in texts {
            assert_eq!((kind, &*text), (io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"));
        }
    });
}

/// A peer that never reads and never closes: its connection is closed when the handler has ended; and a handler that
/// waits for it is cut when the grace of a stop is over.
#[test]
fn peers_that_never_close_do_not_hold_the_server() {
    on_each_host("peers_that_never_close_do_not_hold_the_server", || async {
        let handler = async |stream: TcpStream| {
            let mut first = [0];
            stream.read_exact(&mut first).await?;
            let text = vec![b'x'; if first == *b"e" { 1_000 } else { 50_000_000 }];
            stream.write_all(&text).await
        };
        let clients = async |server: SocketAddr, _: Told| {
            let stays = TcpStream::connect(server).await?;
            stays.write_all(b"e").await?;
            stays.read_exact(&mut [0; 1000]).await?;
            // The handler has ended, and this side closes nothing.
            assert_eq!(stays.read(&mut [0]).await?, 0);
            let stuck = TcpStream::connect(server).await?;
            stuck.write_all(b"w").await?;
            stuck.read_exact(&mut [0]).await?;
            Ok((stays, stuck))
        };
        let ((stays, mut stuck), told) = serving(4, handler, clients).await;
        assert!(told.is_empty(), "{told:?}");
        // It was cut: it is over, with an end or a reset.
        let mut rest = Vec::new();
        let _ = stuck.read_to_end(&mut rest).await;
        assert!(rest.len() < 49_000_000, "{}", rest.len());
        drop(stays);
    });
}
