//! A name server over UDP, and a client that asks again when a datagram is lost; then programs find names by it.
//!
//! ```text
//!   client   ask ─ ─ ─ ─ ─ ─ ─ ─ ─╳ no answer in time    ask ─ ─ ─ ─ ┐        ┌▶ the address
//!   server         lost on its way                                   └ answer ─┘
//! ```
//!
//! Run it with `cargo run -p foster-examples --bin 14_a_name_server -- --runtime smol` (or `tokio`, `sim`).

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use foster::retry::{Backoff, retry};
use foster::{Nursery, nursery};
use foster_net::contract::NetFuture;
use foster_net::{Resolve, TcpListener, TcpStream, UdpSocket, with_resolver};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, QTYPE, Question, RCODE, ResourceRecord, TYPE};

const NAMES: [(&str, Ipv4Addr); 2] =
    [("printer.example", Ipv4Addr::LOCALHOST), ("router.example", Ipv4Addr::new(192, 0, 2, 1))];
/// The longest message over UDP, if nothing else was agreed.
const LONGEST: usize = 512;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> io::Result<()> {
    foster_examples::run(nursery(async |n: Nursery<io::Error>| {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let names = NameServer { address: socket.local_addr()? };
        n.spawn_daemon(serve_names(socket));

        // Anybody can send anything.
        UdpSocket::bind("127.0.0.1:0").await?.send_to(b"?", names.address).await?;
        println!("router.example: {:?}", names.look_up("router.example").await?);
        println!("nobody.example: {:?}", names.look_up("nobody.example").await?);

        let silent = UdpSocket::bind("127.0.0.1:0").await?;
        let nobody = NameServer { address: silent.local_addr()? };
        println!("a server that is silent: {}", nobody.look_up("router.example").await.unwrap_err().kind());

        // All code inside finds names by this server.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        with_resolver(Arc::new(names), async {
            let printer = TcpStream::connect(("printer.example", port)).await?;
            println!("printer.example is at {}", printer.peer_addr()?.ip());
            let unknown = TcpStream::connect("nobody.example:80").await.unwrap_err();
            println!("nobody.example: {unknown}");
            Ok(())
        })
        .await
    }))
}

/// Answers one question after the other, until it is cancelled.
async fn serve_names(socket: UdpSocket) -> io::Result<()> {
    let mut buf = [0; LONGEST];
    let mut questions = 0;
    loop {
        let (length, client) = socket.recv_from(&mut buf).await?;
        // A datagram that is not a question is passed over.
        let Some(answer) = answer(&buf[..length]) else { continue };
        questions += 1;
        if questions == 1 {
            // As if it had been lost on its way.
            continue;
        }
        if let Err(error) = socket.send_to(&answer, client).await {
            eprintln!("cannot answer {client}: {error}");
        }
    }
}

fn answer(message: &[u8]) -> Option<Vec<u8>> {
    let query = Packet::parse(message).ok()?;
    let [question] = &*query.questions else { return None };
    let name = question.qname.to_string();
    let known = NAMES.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    let mut reply = Packet::new_reply(query.id());
    match known {
        Some((_, address)) if question.qtype == QTYPE::TYPE(TYPE::A) => {
            let address = RData::A(A::from(address));
            reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 60, address));
        }
        Some(_) => {}
        None => *reply.rcode_mut() = RCODE::NameError,
    }
    reply.questions.push(question.clone());
    reply.build_bytes_vec().ok()
}

/// A client of one server.
#[derive(Debug)]
struct NameServer {
    address: SocketAddr,
}

impl NameServer {
    /// Asks up to three times. An answer that the name has no address is an answer.
    async fn look_up(&self, name: &str) -> io::Result<Vec<Ipv4Addr>> {
        retry(Backoff::new(), || self.ask(name))
            .attempts(3)
            .attempt_timeout(PATIENCE)
            .when(|error| error.kind() == io::ErrorKind::TimedOut)
            .observe(|failure| println!("{name}, attempt {}: {}", failure.attempt, failure.error.kind()))
            .await
    }

    async fn ask(&self, name: &str) -> io::Result<Vec<Ipv4Addr>> {
        // A port and a number that others do not know, and only datagrams from the server: else anybody could answer.
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(self.address).await?;
        let id = RandomState::new().hash_one(name) as u16;
        let mut query = Packet::new_query(id);
        let name = Name::new(name).map_err(io::Error::other)?;
        query.questions.push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
        socket.send(&query.build_bytes_vec().map_err(io::Error::other)?).await?;
        let mut buf = [0; LONGEST];
        loop {
            let length = socket.recv(&mut buf).await?;
            match Packet::parse(&buf[..length]) {
                Ok(reply) if reply.id() == id => return Ok(addresses(&reply)),
                // Too late for an earlier question, or forged.
                _ => continue,
            }
        }
    }
}

fn addresses(reply: &Packet<'_>) -> Vec<Ipv4Addr> {
    let address = |record: &ResourceRecord<'_>| match &record.rdata {
        RData::A(a) => Some(Ipv4Addr::from(a.address)),
        _ => None,
    };
    reply.answers.iter().filter_map(address).collect()
}

impl Resolve for NameServer {
    fn resolve<'a>(&'a self, host: &'a str) -> NetFuture<'a, Vec<IpAddr>> {
        Box::pin(async move { Ok(self.look_up(host).await?.into_iter().map(IpAddr::from).collect()) })
    }
}
