//! The simulated network: hosts, the links between them, and what goes wrong there, all in virtual time and from the
//! seed.
//!
//! Code that is written against `foster_net` runs on it unchanged. Without more it has one host, named `main`, with a
//! loopback that behaves as that of Linux does. A [`Host`] is a machine of its own, with a name that others look up, an
//! address, and its own ports:
//!
//! ```
//! use foster_net::{TcpListener, TcpStream};
//! use foster_sim::net::{self, Host, Link};
//! use std::io;
//! use std::time::Duration;
//!
//! foster_sim::run(7, async {
//!     net::set_default_link(Link::new().latency(Duration::from_millis(50)));
//!     let server = Host::new("server").run(async {
//!         let listener = TcpListener::bind("0.0.0.0:80").await?;
//!         let (stream, _) = listener.accept().await?;
//!         stream.write_all(b"hello").await
//!     });
//!     let client = Host::new("client").run(async {
//!         foster::sleep(Duration::from_millis(1)).await; // the server listens by then
//!         let stream = TcpStream::connect("server:80").await?;
//!         stream.read_exact(&mut [0; 5]).await
//!     });
//!     let (served, read) = foster::combine::join((server, client)).await;
//!     served.expect("it does not crash").and(read.expect("nor does this one"))?;
//!     // A round trip to connect, and one way for the answer.
//!     assert!(foster_sim::clock().elapsed() >= Duration::from_millis(151));
//!     io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! # What can go wrong
//!
//! | fault | with |
//! |---|---|
//! | latency, jitter, bandwidth; loss; for datagrams duplication and reordering | [`Link`] |
//! | partitions, both ways or one way, and their end | [`partition`], [`partition_one_way`], [`repair`], [`isolate`] |
//! | packets that are late as long as you like | [`hold`], [`release`] |
//! | power loss: a host's programs do not run on, and nobody is told | [`Host::crash`] |
//! | the death of a host's programs: their connections are closed or reset by its kernel | [`Host::kill`] |
//! | a machine that stands still for a while, with all that it has | [`Host::pause`], [`Host::resume`] |
//! | connections that break | [`Host::reset_connections`] |
//! | whatever you decide, packet by packet: this one is lost, that one is late | [`rule`] |
//! | partitions and crashes, when the seed says | [`Chaos`] |
//!
//! The [trace](crate::Trace) of a run has the packets that were sent, that have arrived and that were lost, and why;
//! [`sockets`] lists the open sockets, as does the report of a deadlock.
//!
//! # How a run ends
//!
//! It ends with the main future, and with it all programs of hosts. It fails if a program that a host runs in the
//! background ([`Host::start`]) returns an error or panics, or if a [`rule`] panics. And it fails if a socket is still
//! open at its end: a tree that has ended has dropped what it had, so that one was kept where no scope ends it, and a
//! real process would leak its descriptor. Connections that are still closing, as those of a process that has ended,
//! are not meant.
//!
//! # What is simulated, and what is not
//!
//! * **TCP**: connections, windows, half-closed connections, resets, backlogs, and retransmission, with the patience of
//!   Linux: a connection is asked for during 127 seconds, data are sent again during about a quarter of an hour; then
//!   it is `TimedOut`. There is no congestion control.
//! * **On a link** a stream is cut into segments, and a read may end at any of their borders, as the seed says. On
//!   loopback it does not.
//! * **UDP**: queues that overflow, lengths, connected sockets, broadcasts. There are no multicast groups.
//! * **Unix sockets**: paths belong to a host, and are no files: `std::fs` does not see them.
//! * **Names**: those of hosts, and `localhost`. No other name is found.
//! * **Options** can be set and read; only the sizes of buffers, a linger time of zero, and the permission to broadcast
//!   have an effect.
//! * Sockets of `std` cannot be converted: they are outside of the simulation.

mod chaos;
mod connection;
mod end;
mod failure;
mod faults;
mod host;
mod hosts;
mod link;
mod listener;
mod machine;
mod network;
mod packet;
mod pause;
mod program;
mod received;
mod report;
mod rules;
mod software;
mod stream;
mod tcp;
mod udp;
#[cfg(unix)]
mod unix;
mod waiting;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use foster_net::contract::Address;

use crate::runtime::Sim;
use failure::gone;
use network::Network;
use packet::SocketId;
use waiting::Waiting;

pub use chaos::Chaos;
pub use faults::{
    hold, isolate, packets_sent, partition, partition_one_way, release, repair, repair_one_way, set_default_link,
    set_link, set_link_one_way,
};
pub use host::{Crashed, Host};
pub use hosts::Protocol;
pub use link::Link;
pub use program::Running;
pub use report::{OpenSocket, sockets};
pub use rules::{Action, PacketInfo, PacketKind, RuleGuard, rule};

pub(crate) use end::until_the_end;
pub(crate) use machine::Machine;
pub(crate) use network::World;
pub(crate) use report::{host_trees, open_sockets};

/// The directions that a task waits in (contract C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// Does as `attempt`, and waits for the socket if that gives nothing (contract C3).
fn wait_for<T>(
    sim: &Sim,
    cx: &Context<'_>,
    socket: SocketId,
    direction: Direction,
    mut attempt: impl FnMut(&mut Network<'_>) -> Option<io::Result<T>>,
) -> Poll<io::Result<T>> {
    match sim.network(&mut attempt) {
        None => return Poll::Ready(Err(gone())),
        Some(Some(done)) => return Poll::Ready(done),
        Some(None) => {}
    }
    // Here, where no lock is held. Another thread may have been faster, so it is tried again.
    let mut waiting = Some(Waiting::new(cx));
    let again = sim.network(|network| {
        let done = attempt(network);
        if done.is_none() {
            network.register(socket, direction, &mut waiting);
        }
        done
    });
    // A waiter that was registered before is dropped now.
    drop(waiting);
    match again {
        None => Poll::Ready(Err(gone())),
        Some(Some(done)) => Poll::Ready(done),
        Some(None) => Poll::Pending,
    }
}

impl Network<'_> {
    /// Exchanges who waits.
    fn register(&mut self, id: SocketId, direction: Direction, waiting: &mut Option<Waiting>) {
        let Some(socket) = self.socket(id) else { return };
        match direction {
            Direction::Read => std::mem::swap(socket.reader(), waiting),
            Direction::Write => {
                if let Some(writer) = socket.writer() {
                    std::mem::swap(writer, waiting);
                }
            }
        }
    }
}

/// The address, if it is one of TCP or UDP.
fn inet(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Inet(address) => Some(*address),
        _ => None,
    }
}

fn unsupported(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("the simulated network does not have {what}"))
}
