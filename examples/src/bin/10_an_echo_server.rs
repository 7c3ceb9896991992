//! An echo server and its clients: a deadline for each message, and a stop that lets conversations end.
//!
//! ```text
//!   server  serve ──┬──────────────┬─────────────────── stop: takes nothing in any more ──▶ returns when the last has ended
//!   ann             └─ echo ─ echo ─ … ──────────────── stopping(): says goodbye ──┘
//!   bob                            └─ says nothing ─╳ the deadline of a message
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 10_an_echo_server -- --runtime smol` (or `tokio`, or `sim`).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use foster::combine::race;
use foster::{CancelScope, Elapsed, Nursery, fail_after, nursery, stopping};
use foster_net::{ServeOptions, TcpListener, TcpStream, serve};
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, StreamExt};

/// How long a client may take for a line.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> io::Result<()> {
    foster_examples::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // The grace is for conversations that go on when the server is to stop.
        let mut scope = CancelScope::new().grace(Duration::from_secs(5));
        let stop = scope.handle();
        nursery(async |n: Nursery<io::Error>| {
            n.spawn(async move {
                let options = ServeOptions::new().limit(100);
                match scope.run(serve(listener, options, |stream, _| echo(stream))).await {
                    Ok(served) => served.map_err(io::Error::other)?,
                    Err(_) => println!("the grace was too short"),
                }
                Ok(())
            });
            let mut ann = Client::connect(address).await?;
            println!("ann hears {:?}", ann.say("hello").await?);
            println!("ann hears {:?}", ann.say("is anybody there?").await?);
            let mut bob = Client::connect(address).await?;
            println!("bob says nothing, and hears {:?}", bob.hear().await?);
            let mut ann = Client::connect(address).await?;
            println!("ann is back, and hears {:?}", ann.say("hello").await?);
            stop.cancel("closing time");
            println!("ann hears {:?}", ann.hear().await?);
            Ok(())
        })
        .await?;
        println!("the server has stopped");
        Ok(())
    })
}

/// The next event for the server.
enum Next {
    Line(Option<io::Result<String>>),
    Silence,
    Stop,
}

/// Answers each line, until the client has ended, has been silent for too long, or the server is to stop.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let line = async {
            match fail_after(PATIENCE, lines.next()).await {
                Ok(line) => Next::Line(line),
                Err(Elapsed { .. }) => Next::Silence,
            }
        };
        let stop = async {
            stopping().await;
            Next::Stop
        };
        match race((line, stop)).await {
            Next::Line(Some(line)) => write.write_all(format!("{}\n", line?).as_bytes()).await?,
            Next::Line(None) => return Ok(()),
            Next::Silence => return write.write_all(b"too slow\n").await,
            Next::Stop => return write.write_all(b"goodbye\n").await,
        }
    }
}

/// The other end of a conversation.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(server: SocketAddr) -> io::Result<Client> {
        // One deadline for all that belongs to connecting: a name, its addresses, each attempt.
        let stream = fail_after(Duration::from_secs(5), TcpStream::connect(server)).flatten().await?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// One deadline for a message and its answer. If it passes, half of either may be on its way: the connection is of no use any more.
    async fn say(&mut self, line: &str) -> io::Result<String> {
        let exchange = async {
            self.stream.get_ref().write_all(format!("{line}\n").as_bytes()).await?;
            self.hear().await
        };
        fail_after(Duration::from_secs(5), exchange).flatten().await
    }

    async fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        fail_after(Duration::from_secs(5), self.stream.read_line(&mut line)).flatten().await?;
        Ok(line.trim_end().to_owned())
    }
}
