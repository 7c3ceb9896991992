//! A port scanner: so many connections at once, so many a second, and a limit of time for each.
//!
//! ```text
//!   ports   1 2 3 4 5 6 7 8 …        taken when there is room
//!             │ │ │ │
//!   probes  ├─ connect ── read ─┤    four at once; each has two limits of time
//!           ├─ refused ┤
//!                 ├─ connect ── silence ─╳
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 12_a_port_scanner -- --runtime smol` (or `tokio`, `sim`). It scans servers of its
//! own.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::combine::map_concurrent;
use foster::rate::RateLimiter;
use foster::{Instant, Nursery, fail_after, move_on_after, nursery};
use foster_net::{ServeOptions, TcpListener, TcpStream, serve};

/// How many probes go on at once: no more descriptors are used.
const AT_ONCE: usize = 4;
/// How many begin: ten at once, and then a hundred a second. A scanner that floods the network finds less.
static BEGIN: RateLimiter = RateLimiter::new(100, Duration::from_secs(1)).burst(10);
/// How long a port may take to accept, and then to say something.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> io::Result<()> {
    foster_examples::run(nursery(async |n: Nursery<io::Error>| {
        let mail = greeter(&n, "220 mail.example is ready\r\n").await?;
        let shell = greeter(&n, "SSH-2.0-example\r\n").await?;
        // Clients wait in its backlog.
        let silent = TcpListener::bind("127.0.0.1:0").await?;
        // Nobody listens at the port that a client has.
        let client = TcpStream::connect(mail).await?;
        let closed = client.local_addr()?;

        let mut ports = vec![closed; 20];
        ports.splice(5..5, [mail, silent.local_addr()?, shell]);
        let start = Instant::now();
        let found = map_concurrent(AT_ONCE, ports, async |port| Ok::<_, io::Error>((port, probe(port).await?))).await?;
        let took = start.elapsed();

        let names = [(mail, "mail"), (shell, "shell"), (silent.local_addr()?, "silent")];
        for (port, state) in &found {
            if let Some((_, name)) = names.iter().find(|(address, _)| address == port) {
                println!("{name}: {state:?}");
            }
        }
        let closed = found.iter().filter(|(_, state)| *state == Port::Closed).count();
        println!("closed: {closed} of {}", found.len());
        println!("at most {} at once", MOST.load(Ordering::SeqCst));
        println!("as fast as is allowed, and not faster: {}", took >= Duration::from_millis(130));
        Ok(())
    }))
}

#[derive(Debug, PartialEq, Eq)]
enum Port {
    /// Somebody said so, or nobody answered.
    Closed,
    /// Open, but it says nothing.
    Silent,
    /// Open, and this is its first line.
    Says(String),
}

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

async fn probe(port: SocketAddr) -> io::Result<Port> {
    MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    let state = look_at(port).await;
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    state
}

/// An error is one of ours, such as no descriptors: it is the end of the scan, since all that follows would be called closed.
async fn look_at(port: SocketAddr) -> io::Result<Port> {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};

    BEGIN.acquire().await;
    let stream = match fail_after(PATIENCE, TcpStream::connect(port)).flatten().await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ConnectionRefused | ConnectionReset | TimedOut) => {
            return Ok(Port::Closed);
        }
        Err(error) => return Err(error),
    };
    let mut line = [0; 80];
    match move_on_after(PATIENCE, stream.read(&mut line)).await {
        Some(Ok(length)) if length > 0 => {
            let line = String::from_utf8_lossy(&line[..length]);
            Ok(Port::Says(line.lines().next().unwrap_or_default().to_owned()))
        }
        _ => Ok(Port::Silent),
    }
}

/// A server that says who it is, until only servers are left.
async fn greeter(n: &Nursery<io::Error>, line: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    n.spawn_daemon(async move {
        let greet = async |stream: TcpStream, _| stream.write_all(line.as_bytes()).await;
        serve(listener, ServeOptions::new(), greet).await.map_err(io::Error::other)
    });
    Ok(address)
}
