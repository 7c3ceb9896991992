//! A chat room: a broadcast to all, a client that does not read is dropped, and a stop at which everybody hears the last word.
//!
//! ```text
//!   ann ──▶ talk ──┐                   ┌──▶ listen ──▶ ann
//!   bob ──▶ talk ──┼──▶ the channel ───┼──▶ listen ──▶ bob
//!   carl           ┘         ▲         └──▶ listen ──╳ carl does not read: the deadline of a write
//!                            │
//!                        stopping(): the last word, and nothing more; who has written it to his client, ends
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 11_a_chat_room -- --runtime smol` (or `tokio`). In the
//! simulator a message takes no time, so nobody is too slow for the room, and it does not end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foster::channel::{BroadcastReceiver, BroadcastSender, Lag, broadcast};
use foster::combine::{race, try_join};
use foster::{CancelScope, Nursery, fail_after, graceful, move_on_after, nursery, stopping};
use foster_net::{ServeOptions, TcpListener, TcpStream, serve};
use futures_lite::io::{BufReader, Take};
use futures_lite::{AsyncBufReadExt, AsyncReadExt};

/// How long a client may take to say its name.
const NAME: Duration = Duration::from_secs(1);
/// How long a client may take for a message to it.
const MESSAGE: Duration = Duration::from_secs(2);
/// The longest line. Without a limit, one that never ends would fill the memory.
const LONGEST: u64 = 16 * 1024;
/// How many messages a guest may be behind.
const BEHIND: usize = 64;

fn main() -> io::Result<()> {
    foster_examples::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut scope = CancelScope::new().grace(Duration::from_secs(5));
        let stop = scope.handle();
        nursery(async |n: Nursery<io::Error>| {
            n.spawn(async move {
                match scope.run(graceful(chat_room(listener))).await {
                    Ok(ended) => ended?,
                    Err(_) => println!("the grace was too short"),
                }
                Ok(())
            });
            let mut ann = Client::join(address, "ann").await?;
            let mut bob = Client::join(address, "bob").await?;
            println!("ann hears {:?}", ann.hear().await?);
            bob.say("hello").await?;
            println!("bob hears {:?}", bob.hear().await?);
            println!("ann hears {:?}", ann.hear().await?);
            drop(bob);
            println!("ann hears {:?}", ann.hear().await?);

            let carl = Client::join(address, "carl").await?;
            println!("ann hears {:?}", ann.hear().await?);
            let story = "once upon a time ".repeat(500);
            let mut heard = String::new();
            while !heard.starts_with('*') {
                ann.say(&story).await?;
                heard = ann.hear().await?;
            }
            println!("carl does not read; ann hears {heard:?}");
            drop(carl);

            stop.cancel("closing time");
            while heard != "* the room is closed" {
                heard = ann.hear().await?;
            }
            println!("ann hears {heard:?}");
            Ok(())
        })
        .await?;
        println!("the server has stopped");
        Ok(())
    })
}

/// One end of the channel, shared by all guests: when it is closed, nobody has another one.
type Room = Arc<BroadcastSender<Arc<str>>>;

/// Lets guests in, until it is to stop; and has the last word.
async fn chat_room(listener: TcpListener) -> io::Result<()> {
    // Nobody waits for the slowest guest: it is cut off.
    let (sender, _) = broadcast(BEHIND, Lag::Disconnect);
    let room = Arc::new(sender);
    let guests = async {
        let (room, options) = (room.clone(), ServeOptions::new().limit(100));
        let served = serve(listener, options, move |stream, _| guest(stream, room.clone())).await;
        served.map_err(io::Error::other)
    };
    let last_word = async {
        stopping().await;
        tell(&room, "* the room is closed".into());
        room.close();
        Ok(())
    };
    try_join((guests, last_word)).await.map(drop)
}

/// Tells something to all guests. Waits for nobody.
fn tell(room: &Room, text: String) {
    // An error says that nobody is there, or that the room is closed.
    let _ = room.try_send(text.into());
}

/// A guest, from its name to its end: it has left, it was too slow, or the room is closed.
async fn guest(stream: TcpStream, room: Room) -> io::Result<()> {
    // A small buffer of the host: so it is soon noticed if nobody reads.
    stream.set_send_buffer_size(64 * 1024)?;
    let mut lines = BufReader::new(&stream).take(LONGEST);
    let Some(name) = fail_after(NAME, next_line(&mut lines)).flatten().await? else { return Ok(()) };
    let messages = room.subscribe();
    tell(&room, format!("* {name} has joined"));
    let talk = async {
        while let Some(line) = next_line(&mut lines).await? {
            tell(&room, format!("{name}: {line}"));
        }
        Ok(())
    };
    let ended = race((talk, listen(&stream, messages))).await;
    tell(&room, format!("* {name} has left"));
    ended
}

/// Writes to a guest what is said, until the room is closed or the guest is too slow: for the channel, or for one message.
async fn listen(stream: &TcpStream, mut messages: BroadcastReceiver<Arc<str>>) -> io::Result<()> {
    while let Ok(text) = messages.recv().await {
        let line = format!("{text}\n");
        let Some(written) = move_on_after(MESSAGE, stream.write_all(line.as_bytes())).await else { break };
        written?;
    }
    Ok(())
}

/// A line without its end. `None` is the end of the stream.
async fn next_line(lines: &mut Take<BufReader<&TcpStream>>) -> io::Result<Option<String>> {
    lines.set_limit(LONGEST);
    let mut line = String::new();
    match lines.read_line(&mut line).await? {
        0 => Ok(None),
        _ if line.ends_with('\n') => Ok(Some(line.trim_end().to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the line does not end")),
    }
}

/// The other end of a conversation.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn join(room: SocketAddr, name: &str) -> io::Result<Client> {
        let stream = fail_after(Duration::from_secs(5), TcpStream::connect(room)).flatten().await?;
        let mut client = Client { stream: BufReader::new(stream) };
        client.say(name).await?;
        // It is in the room when it hears of itself.
        client.hear().await.map(|_| client)
    }

    async fn say(&self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        fail_after(Duration::from_secs(5), self.stream.get_ref().write_all(line.as_bytes())).flatten().await
    }

    async fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        fail_after(Duration::from_secs(5), self.stream.read_line(&mut line)).flatten().await?;
        Ok(line.trim_end().to_owned())
    }
}
