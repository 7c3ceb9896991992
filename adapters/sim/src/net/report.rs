//! A list of the open sockets, for people who have to find out why a run is stuck.

use std::fmt::{self, Write};

use foster::runtime::TreeHandle;
use foster_net::contract::Address;

use super::connection::CLOSING;
use super::hosts::{HostId, HostState};
use super::network::{Network, Socket, SocketKind};
use super::packet::SocketId;
use super::waiting::Waiting;
use crate::runtime::Sim;

/// A socket that is open; `Display` prints a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenSocket {
    /// The name of its host.
    pub host: String,
    /// Its kind: `tcp`, `tcp listener`, `udp`, or the same of `unix`.
    pub kind: &'static str,
    /// Its own address.
    pub local: String,
    /// The address of the other side, if there is one.
    pub peer: Option<String>,
    /// How far it is.
    pub state: &'static str,
    /// The contents of its buffers.
    pub queue: String,
    /// The tasks that wait for it, each with the direction.
    pub waiting: Vec<String>,
}

impl fmt::Display for OpenSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.host, self.kind, self.local)?;
        if let Some(peer) = &self.peer {
            write!(f, " ↔ {peer}")?;
        }
        if !self.state.is_empty() {
            write!(f, ", {}", self.state)?;
        }
        if !self.queue.is_empty() {
            write!(f, ", {}", self.queue)?;
        }
        for waiting in &self.waiting {
            write!(f, ", {waiting}")?;
        }
        Ok(())
    }
}

/// Returns the sockets that are open, of all hosts, in the order in which they were made. Connections that are still
/// closing, and those that wait to be accepted, are among them.
///
/// # Panics
///
/// Panics where no simulation runs on this thread.
///
/// # Examples
///
/// ```
/// use foster_net::TcpListener;
///
/// foster_sim::run(1, async {
///     let listener = TcpListener::bind("127.0.0.1:80").await.unwrap();
///     let open: Vec<_> = foster_sim::net::sockets().iter().map(ToString::to_string).collect();
///     assert_eq!(open, ["main tcp listener 127.0.0.1:80"]);
///     drop(listener);
///     assert!(foster_sim::net::sockets().is_empty());
/// });
/// ```
#[must_use]
#[track_caller]
pub fn sockets() -> Vec<OpenSocket> {
    list(&Sim::current("net::sockets"))
}

fn list(sim: &Sim) -> Vec<OpenSocket> {
    let listed = sim.network(|network| {
        let mut ids = network.ids();
        ids.sort_by_key(|id| id.serial);
        ids.into_iter().filter_map(|id| network.describe(id)).collect()
    });
    listed.unwrap_or_default()
}

/// The open sockets, for the report of a run that is stuck; empty if there are none.
pub(crate) fn open_sockets(sim: &Sim) -> String {
    let mut text = String::new();
    let sockets = list(sim);
    if !sockets.is_empty() {
        text.push_str("\n\nThe open sockets:\n");
        sockets.iter().for_each(|socket| {
            let _ = writeln!(text, "{socket}");
        });
    }
    text
}

/// The sockets that are open after the end of all programs. Those that only close are not among them: their kernel sees
/// to that, as after the end of a process.
pub(super) fn left_open(sim: &Sim) -> String {
    let open = list(sim).into_iter().filter(|socket| socket.state != CLOSING);
    open.map(|socket| format!("{socket}\n")).collect()
}

/// The trees of the hosts, for the same report.
pub(crate) fn host_trees(sim: &Sim) -> String {
    let trees: Vec<(String, TreeHandle)> = sim
        .network(|network| {
            let hosts = network.world.hosts.iter();
            let paused = |host: &HostState| if host.paused.is_some() { ", which is paused" } else { "" };
            let name = |host: &HostState| format!("{}{}", host.name, paused(host));
            hosts.flat_map(|host| host.programs.iter().map(move |one| (name(host), one.tree()))).collect()
        })
        .unwrap_or_default();
    trees.into_iter().map(|(host, tree)| format!("\nOn the host {host}:\n{}", tree.dump())).collect()
}

impl Network<'_> {
    fn ids(&self) -> Vec<SocketId> {
        self.world.sockets.iter().map(|(key, socket)| SocketId { key, serial: socket.serial() }).collect()
    }

    pub(super) fn sockets_of(&self, host: HostId) -> Vec<SocketId> {
        let mine = self.world.sockets.iter().filter(|(_, socket)| socket.host == host);
        mine.map(|(key, socket)| SocketId { key, serial: socket.serial() }).collect()
    }

    fn describe(&mut self, id: SocketId) -> Option<OpenSocket> {
        let host = self.socket(id)?.host;
        let name = self.host(host).name.clone();
        Some(self.socket(id)?.describe(name))
    }
}

impl Socket {
    fn describe(&self, host: String) -> OpenSocket {
        let mut waiting = Vec::new();
        let mut waits = |one: &Option<Waiting>, what: &str| {
            if let Some(one) = one {
                let task = one.task.as_ref().map_or_else(|| "a task".to_owned(), ToString::to_string);
                waiting.push(format!("{task} waits to {what}"));
            }
        };
        let (kind, local, peer, state, queue) = match &self.kind {
            SocketKind::Stream(one) => {
                waits(&one.reader, "read");
                waits(&one.writer, if one.other.is_none() { "connect" } else { "write" });
                let queue = match one.buffered() {
                    (0, 0) => String::new(),
                    (written, 0) => format!("{written} bytes written and not received"),
                    (0, received) => format!("{received} bytes received and not read"),
                    (written, received) => {
                        format!("{written} bytes written and not received, {received} received and not read")
                    }
                };
                (family(&one.local, "tcp", "unix"), text(&one.local), Some(text(&one.peer)), one.describe(), queue)
            }
            SocketKind::Listener(one) => {
                waits(&one.acceptor, "accept");
                let queue = match one.queue.len() {
                    0 => String::new(),
                    length => format!("{length} connections wait to be accepted"),
                };
                (family(&one.local, "tcp listener", "unix listener"), text(&one.local), None, "", queue)
            }
            SocketKind::Udp(one) => {
                waits(&one.reader, "receive");
                let queue = match one.queued() {
                    0 => String::new(),
                    length => format!("{length} datagrams wait to be received"),
                };
                ("udp", one.local.to_string(), one.peer.map(|peer| peer.to_string()), "", queue)
            }
            #[cfg(unix)]
            SocketKind::UnixDatagram(one) => {
                waits(&one.reader, "receive");
                waits(&one.writer, "send");
                ("unix datagram", text(one.local()), None, "", String::new())
            }
        };
        OpenSocket { host, kind, local, peer, state, queue, waiting }
    }
}

fn family(address: &Address, inet: &'static str, unix: &'static str) -> &'static str {
    if matches!(address, Address::Inet(_)) { inet } else { unix }
}

fn text(address: &Address) -> String {
    match address {
        Address::Inet(address) => address.to_string(),
        #[cfg(unix)]
        Address::Unix(address) => format!("{address:?}"),
        _ => String::new(),
    }
}
