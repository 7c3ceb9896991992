//! A TCP proxy: bytes go both ways, each way ends on its own, and a stop lets transfers end.
//!
//! ```text
//!   client ──▶ HELLO ──▶ end ──▶ proxy ──▶ HELLO ──▶ end ──▶ server       the end of one way is passed on,
//!   client ◀── end ◀── hello ◀── proxy ◀── end ◀── hello ◀── server       and the other way is still open
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 13_a_proxy -- --runtime smol` (or `tokio`, `sim`).

use std::io::{self, ErrorKind::ConnectionRefused};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use foster::combine::try_join;
use foster::{CancelScope, Nursery, fail_after, nursery, sleep};
use foster_net::{ServeOptions, TcpListener, TcpStream, serve};
use futures_lite::AsyncReadExt;
use futures_lite::io::copy;

fn main() -> io::Result<()> {
    foster_examples::run(nursery(async |n: Nursery<io::Error>| {
        let backend = TcpListener::bind("127.0.0.1:0").await?;
        let backend_address = backend.local_addr()?;
        n.spawn_daemon(async move {
            let served = serve(backend, ServeOptions::new(), |stream, _| lower_case(stream)).await;
            served.map_err(io::Error::other)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy_address = listener.local_addr()?;
        // Transfers that go on when the proxy is to stop may take so long.
        let mut scope = CancelScope::new().grace(Duration::from_secs(1));
        let stop = scope.handle();
        let proxy = n.spawn(async move {
            let options = ServeOptions::new().limit(100);
            let served = scope.run(serve(listener, options, move |client, _| relay(client, backend_address))).await;
            Ok(served.is_ok())
        });

        println!("through the proxy: {:?}", finish(open(proxy_address).await?, "HELLO").await?);

        let begun = open(proxy_address).await?;
        begun.write_all(b"HAVING BEGUN, ").await?;
        let endless = open(proxy_address).await?;
        stop.cancel("a new version");
        // A client in the backlog when the listener was closed has been reset; one that comes later is refused.
        while !matches!(TcpStream::connect(proxy_address).await, Err(error) if error.kind() == ConnectionRefused) {
            sleep(Duration::from_millis(1)).await;
        }
        println!("after the stop a client is refused");
        println!("a transfer that has begun: {:?}", finish(begun, "I FINISH").await?);
        let cut = fail_after(Duration::from_secs(5), endless.read(&mut [0])).await?;
        println!("one that does not end is cut: {}", matches!(cut, Ok(0) | Err(_)));
        println!("all ended in time: {}", proxy.await.map_err(io::Error::other)?);
        Ok(())
    }))
}

/// Opens a connection to the server for one to the proxy, and copies both ways until both have ended. An error of one is the end of both.
async fn relay(client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = fail_after(Duration::from_secs(5), TcpStream::connect(server)).flatten().await?;
    try_join((pass_on(&client, &server), pass_on(&server, &client))).await.map(drop)
}

/// Copies what comes, and then passes on the end.
async fn pass_on(from: &TcpStream, to: &TcpStream) -> io::Result<u64> {
    let copied = copy(from, to).await?;
    to.shutdown(Shutdown::Write)?;
    Ok(copied)
}

/// Answers when it has read all: through a proxy that does not pass on the end, it would wait for ever.
async fn lower_case(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(GREETING).await?;
    let mut text = String::new();
    // No more than so much: a client may send without end.
    (&mut stream).take(64 * 1024).read_to_string(&mut text).await?;
    stream.write_all(text.to_lowercase().as_bytes()).await
}

const GREETING: &[u8] = b"ready\n";

/// Connects, and waits for the greeting of the server.
async fn open(proxy: SocketAddr) -> io::Result<TcpStream> {
    fail_after(Duration::from_secs(5), async {
        let stream = TcpStream::connect(proxy).await?;
        stream.read_exact(&mut [0; GREETING.len()]).await?;
        Ok(stream)
    })
    .flatten()
    .await
}

/// Sends the rest and the end, and reads the answer to its end.
async fn finish(mut stream: TcpStream, rest: &str) -> io::Result<String> {
    fail_after(Duration::from_secs(5), async {
        stream.write_all(rest.as_bytes()).await?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    })
    .flatten()
    .await
}
