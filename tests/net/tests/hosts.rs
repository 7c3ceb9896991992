//! N9: hosts, links and faults, which only the simulator has. All times are exact.

#[path = "hosts/crashes.rs"]
mod crashes;
#[path = "hosts/determinism.rs"]
mod determinism;
#[path = "hosts/links.rs"]
mod links;
#[path = "hosts/looking.rs"]
mod looking;
#[path = "hosts/machines.rs"]
mod machines;
#[path = "hosts/partitions.rs"]
mod partitions;
#[path = "hosts/pauses.rs"]
mod pauses;
#[path = "hosts/rules.rs"]
mod rules;
#[path = "hosts/software.rs"]
mod software;

use std::io;
use std::time::Duration;

use foster::Instant;
use foster_net::{TcpListener, TcpStream, UdpSocket};
use foster_sim::net::{self, Host, Link};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Runs the body on several schedules, and holds that it leaves nothing behind, no socket either (N170).
fn on_sim<F, Fut>(name: &str, body: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    for seed in 0..5 {
        let checked = async {
            body().await;
            // Packets may still be on the network.
            foster::sleep(Duration::from_secs(10_000)).await;
            assert_eq!(net::sockets(), [], "seed {seed}");
        };
        foster_conformance::check(name, || foster_sim::run(seed, checked));
    }
}

/// A client and a server, with a link of exactly this latency.
fn two_hosts(latency: Duration) -> (Host, Host) {
    net::set_default_link(Link::new().latency(latency));
    (Host::new("client"), Host::new("server"))
}

/// Serves one connection with an echo, again and again.
async fn echo_server() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let mut buf = [0; 4096];
        // A client that breaks off is no reason to stop.
        while let Ok(read @ 1..) = stream.read(&mut buf).await {
            if stream.write_all(&buf[..read]).await.is_err() {
                break;
            }
        }
    }
}

/// Asks the server and gets the same back.
async fn ask(text: &[u8]) -> io::Result<()> {
    let stream = TcpStream::connect("server:80").await?;
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, text);
    Ok(())
}

/// Runs `client` on its host, as long as the server serves.
async fn beside_server<T: Send + 'static>(
    (client_host, server_host): (&Host, &Host),
    client: impl Future<Output = T> + Send + 'static,
) -> T {
    let served = server_host.boot(echo_server);
    let asked = async {
        foster::sleep(ms(1)).await;
        client_host.run(client).await.expect("the client does not crash")
    };
    let raced = foster::combine::race((async { Err(served.await) }, async { Ok(asked.await) }));
    raced.await.expect("the server goes on")
}

/// Sends the datagram and waits for the answer of [`udp_echo`].
async fn udp_ask(text: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.send_to(text, "server:7").await?;
    let mut buf = [0; 2048];
    let (length, _) = socket.recv_from(&mut buf).await?;
    Ok(buf[..length].to_vec())
}

async fn udp_echo() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:7").await?;
    let mut buf = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buf).await?;
        socket.send_to(&buf[..length], from).await?;
    }
}

/// Returns the output, and how long it took.
async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}
