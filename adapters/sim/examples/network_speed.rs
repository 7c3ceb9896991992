//! How many packets a second the simulated network carries: `cargo run --release -p foster-sim --example
//! network_speed`.
#![allow(clippy::disallowed_methods, reason = "measures the simulator itself, from outside")]

use std::fs;
use std::time::{Duration, Instant};

use foster::combine::{join, race};
use foster_net::{TcpListener, TcpStream, UdpSocket};
use foster_sim::net::{self, Host, Link};

fn main() {
    measure("datagrams over a link, one way", datagrams());
    measure("bytes over a link, by TCP, 1,460 a segment", bytes("0.0.0.0:80", "server:80"));
    measure("questions and answers by datagrams, over a link", questions());
}

/// Runs the program on one schedule, and prints what it took.
fn measure(what: &str, program: impl Future<Output = u64>) {
    let (start, began) = (Instant::now(), on_the_core());
    let builder = foster_sim::Builder::new(0).unwatched().step_limit(u64::MAX);
    let packets = builder.run(async {
        net::set_default_link(Link::new().latency(Duration::from_millis(1)));
        program.await
    });
    // The work of others on the machine does not count, where that can be told.
    let took = on_the_core().zip(began).map_or_else(|| start.elapsed(), |(now, began)| now - began);
    println!(
        "{what}: {packets} packets in {took:.2?}, {:.2} million a second",
        packets as f64 / took.as_secs_f64() / 1e6
    );
}

/// How long the thread has had a core, on Linux.
fn on_the_core() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

async fn datagrams() -> u64 {
    const BATCHES: u64 = 20_000;
    const BATCH: u64 = 100;
    let receives = Host::new("server").run(async {
        let socket = UdpSocket::bind("0.0.0.0:7").await.expect("it is free");
        let mut buf = [0; 64];
        for _ in 0..BATCHES * BATCH {
            socket.recv_from(&mut buf).await.expect("it comes");
        }
    });
    let sends = Host::new("client").run(async {
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("it is free");
        socket.connect("server:7").await.expect("it is known");
        for _ in 0..BATCHES {
            // Batches, because the queue of the receiver is not without end.
            foster::sleep(Duration::from_micros(10)).await;
            for _ in 0..BATCH {
                socket.send(&[0; 64]).await.expect("it is sent");
            }
        }
    });
    let ended = join((receives, sends)).await;
    ended.0.and(ended.1).expect("no host crashes");
    net::packets_sent()
}

async fn bytes(at: &'static str, server: &'static str) -> u64 {
    const LENGTH: usize = 1 << 30;
    let receives = Host::new("server").run(async move {
        let listener = TcpListener::bind(at).await.expect("it is free");
        let (stream, _) = listener.accept().await.expect("one comes");
        let mut buf = vec![0; 64 * 1024];
        while stream.read(&mut buf).await.expect("nothing breaks") > 0 {}
    });
    let sends = Host::new("client").run(async move {
        foster::sleep(Duration::from_millis(1)).await;
        let stream = TcpStream::connect(server).await.expect("it listens");
        let piece = vec![0; 64 * 1024];
        for _ in 0..LENGTH / piece.len() {
            stream.write_all(&piece).await.expect("nothing breaks");
        }
    });
    let ended = join((receives, sends)).await;
    ended.0.and(ended.1).expect("no host crashes");
    net::packets_sent()
}

async fn questions() -> u64 {
    let answers = Host::new("server").run(async {
        let socket = UdpSocket::bind("0.0.0.0:7").await.expect("it is free");
        let mut buf = [0; 64];
        loop {
            let (length, from) = socket.recv_from(&mut buf).await.expect("it comes");
            socket.send_to(&buf[..length], from).await.expect("it is sent");
        }
    });
    let asks = Host::new("client").run(async {
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("it is free");
        socket.connect("server:7").await.expect("it is known");
        for _ in 0..300_000 {
            socket.send(&[0; 64]).await.expect("it is sent");
            socket.recv(&mut [0; 64]).await.expect("it comes");
        }
    });
    race((answers, asks)).await.expect("no host crashes");
    net::packets_sent()
}
