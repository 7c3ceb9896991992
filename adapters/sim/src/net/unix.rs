//! Unix sockets: paths, and sockets for datagrams. Their streams are connections as those of TCP, between two sockets
//! of one host.
//!
//! A path is an entry in a table of the host, and not a file: `std::fs` does not see it. It stays when its socket is
//! closed, as a file would.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::task::{Context, Poll};

use foster_net::contract::{Address, DatagramSocket, ListenOptions, OptionName, Socket, SocketOption};

use super::connection::{Connection, Phase};
use super::failure::{Failure, gone};
use super::hosts::HostId;
use super::listener::ListenerState;
use super::network::{Network, SocketKind};
use super::packet::SocketId;
use super::waiting::Waiting;
use super::{Direction, unsupported};
use crate::runtime::Sim;

/// How many datagrams wait for a socket: as many as Linux has.
const QUEUE: usize = 512;

/// The paths and abstract names of all hosts, with the socket at each.
#[derive(Default)]
pub(super) struct Paths {
    /// None: the socket was closed, and its path is in the way.
    entries: BTreeMap<(HostId, Vec<u8>), Option<SocketId>>,
}

/// The name of an address in the table; abstract ones begin with a zero byte. None if it is unnamed.
fn name(address: &UnixAddr) -> Option<Vec<u8>> {
    if let Some(path) = address.as_pathname() {
        return (!path.as_os_str().is_empty()).then(|| path.as_os_str().as_bytes().to_vec());
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        if let Some(name) = address.as_abstract_name() {
            return Some([b"\0", name].concat());
        }
    }
    None
}

fn is_abstract(name: &[u8]) -> bool {
    name.first() == Some(&0)
}

/// The address of a socket without a name.
pub(super) fn unnamed() -> Address {
    // It is made of no path at all, which is never too long, and has no NUL.
    Address::Unix(UnixAddr::from_pathname("").expect("the empty path is the unnamed address"))
}

/// A Unix socket for datagrams.
pub(super) struct UnixDatagramState {
    local: Address,
    peer: Option<SocketId>,
    peer_address: Option<Address>,
    queue: VecDeque<(Address, Vec<u8>)>,
    /// The sockets that wait until there is room.
    blocked: Vec<SocketId>,
    pub(super) reader: Option<Waiting>,
    pub(super) writer: Option<Waiting>,
}

impl UnixDatagramState {
    pub(super) fn local(&self) -> &Address {
        &self.local
    }
}

impl Network<'_> {
    /// The host has lost its power: as if its sockets had been in memory.
    pub(super) fn forget_paths(&mut self, host: HostId) {
        self.world.paths.entries.retain(|(on, _), _| *on != host);
    }

    /// Looks a name up.
    fn at_path(&self, host: HostId, address: &UnixAddr) -> Result<SocketId, Failure> {
        let name = name(address).ok_or(Failure::Refused)?;
        let missing = if is_abstract(&name) { Failure::Refused } else { Failure::NoFile };
        self.world.paths.entries.get(&(host, name)).copied().ok_or(missing)?.ok_or(Failure::Refused)
    }

    fn claim_path(&mut self, host: HostId, address: &UnixAddr, socket: SocketId) -> Result<(), Failure> {
        let Some(name) = name(address) else { return Ok(()) };
        match self.world.paths.entries.entry((host, name)) {
            Entry::Vacant(vacant) => vacant.insert(Some(socket)),
            Entry::Occupied(_) => return Err(Failure::InUse),
        };
        Ok(())
    }

    /// The socket at a path is closed: the path stays, an abstract name does not.
    pub(super) fn close_path(&mut self, id: SocketId) {
        let entries = &mut self.world.paths.entries;
        entries.retain(|(_, name), socket| *socket != Some(id) || !is_abstract(name));
        entries.values_mut().filter(|socket| **socket == Some(id)).for_each(|socket| *socket = None);
    }

    pub(super) fn listen_at_path(
        &mut self,
        host: HostId,
        at: &UnixAddr,
        options: &ListenOptions,
    ) -> Result<SocketId, Failure> {
        if options.replace_stale {
            match self.connect_to_path(host, at) {
                // Somebody listens. The question was a connection, and ends.
                Ok(question) => self.close(question),
                Err(Failure::Refused) => {
                    let stale = name(at).map(|name| (host, name));
                    stale.and_then(|stale| self.world.paths.entries.remove(&stale));
                }
                Err(_) => {}
            }
        }
        let id = self.next_id();
        self.claim_path(host, at, id)?;
        Ok(self.add(host, SocketKind::Listener(ListenerState::new(Address::Unix(at.clone()), options))))
    }

    pub(super) fn connect_to_path(&mut self, host: HostId, to: &UnixAddr) -> Result<SocketId, Failure> {
        let at = self.at_path(host, to)?;
        let Some(listener) = self.listener(at) else { return Err(Failure::OtherKind) };
        if listener.is_full() {
            return Err(Failure::WouldBlock);
        }
        let [client, server] = self.unix_pair(host, [unnamed(), Address::Unix(to.clone())]);
        self.enqueue(at, server);
        Ok(client)
    }

    /// Two connections that are connected with each other.
    pub(super) fn unix_pair(&mut self, host: HostId, addresses: [Address; 2]) -> [SocketId; 2] {
        let [one, other] = &addresses;
        let ends = [(one, other), (other, one)].map(|(local, peer)| {
            let connection = Connection::new(local.clone(), peer.clone(), Some(host), Phase::Open, self.now);
            self.add(host, SocketKind::Stream(Box::new(connection)))
        });
        for (id, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let room = self.connection(other).map_or(0, |other| other.room());
            if let Some(connection) = self.connection(id) {
                connection.learn(other, room);
            }
        }
        ends
    }

    /// Whether this is a Unix socket whose other end is closed, or does not read any more. It knows that before it writes,
    /// where one of TCP has to send something first.
    pub(super) fn is_left(&mut self, id: SocketId) -> bool {
        let Some(connection) = self.connection(id) else { return false };
        let (is_unix, other) = (matches!(connection.local, Address::Unix(_)), connection.other);
        is_unix && other.and_then(|other| self.connection(other)).is_none_or(|other| other.orphan || other.is_deaf())
    }

    fn unix_datagram(&mut self, id: SocketId) -> Option<&mut UnixDatagramState> {
        match &mut self.socket(id)?.kind {
            SocketKind::UnixDatagram(socket) => Some(socket),
            _ => None,
        }
    }

    pub(super) fn open_unix_datagram(&mut self, host: HostId, at: Option<&UnixAddr>) -> Result<SocketId, Failure> {
        if let Some(at) = at {
            let id = self.next_id();
            self.claim_path(host, at, id)?;
        }
        let local = at.map_or_else(unnamed, |at| Address::Unix(at.clone()));
        let socket = UnixDatagramState {
            local,
            peer: None,
            peer_address: None,
            queue: VecDeque::new(),
            blocked: Vec::new(),
            reader: None,
            writer: None,
        };
        Ok(self.add(host, SocketKind::UnixDatagram(socket)))
    }

    pub(super) fn unix_datagram_pair(&mut self, host: HostId) -> Result<[SocketId; 2], Failure> {
        let ends = [self.open_unix_datagram(host, None)?, self.open_unix_datagram(host, None)?];
        for (id, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            if let Some(socket) = self.unix_datagram(id) {
                (socket.peer, socket.peer_address) = (Some(other), Some(unnamed()));
            }
        }
        Ok(ends)
    }

    /// Where a datagram goes to.
    fn receiver(&mut self, id: SocketId, to: Option<&Address>) -> Result<SocketId, Failure> {
        let host = self.socket(id).ok_or(Failure::NotConnected)?.host;
        let found = match to {
            Some(Address::Unix(to)) => self.at_path(host, to)?,
            Some(_) => return Err(Failure::OtherFamily),
            None => self.unix_datagram(id).and_then(|socket| socket.peer).ok_or(Failure::NotConnected)?,
        };
        if self.unix_datagram(found).is_some() { Ok(found) } else { Err(Failure::Refused) }
    }

    /// None: the receiver has no room.
    fn send_unix(&mut self, id: SocketId, bytes: &[u8], to: Option<&Address>) -> Option<Result<usize, Failure>> {
        let receiver = match self.receiver(id, to) {
            Ok(receiver) => receiver,
            Err(failure) => return Some(Err(failure)),
        };
        let from = self.unix_datagram(id)?.local.clone();
        let socket = self.unix_datagram(receiver)?;
        if socket.queue.len() >= QUEUE {
            if !socket.blocked.contains(&id) {
                socket.blocked.push(id);
            }
            return None;
        }
        socket.queue.push_back((from, bytes.to_vec()));
        self.wake_reader(receiver);
        Some(Ok(bytes.len()))
    }

    fn close_unix_datagram(&mut self, id: SocketId) {
        let blocked = self.unix_datagram(id).map(|socket| std::mem::take(&mut socket.blocked));
        self.close_path(id);
        self.remove(id);
        for sender in blocked.into_iter().flatten() {
            self.wake_writer(sender);
        }
    }
}

/// The handle to a Unix socket for datagrams.
pub(super) struct SimUnixDatagram {
    sim: Sim,
    id: SocketId,
}

impl SimUnixDatagram {
    pub(super) fn new(sim: Sim, id: SocketId) -> Self {
        SimUnixDatagram { sim, id }
    }

    fn with<R>(&self, act: impl FnOnce(&mut UnixDatagramState) -> R) -> io::Result<R> {
        self.sim.network(|network| network.unix_datagram(self.id).map(act)).flatten().ok_or_else(gone)
    }
}

impl Socket for SimUnixDatagram {
    fn local_address(&self) -> io::Result<Address> {
        self.with(|socket| socket.local.clone())
    }

    fn set_option(&self, _: SocketOption) -> io::Result<()> {
        Err(unsupported("options of Unix sockets for datagrams"))
    }

    fn option(&self, _: OptionName) -> io::Result<SocketOption> {
        Err(unsupported("options of Unix sockets for datagrams"))
    }
}

impl DatagramSocket for SimUnixDatagram {
    fn peer_address(&self) -> io::Result<Address> {
        self.with(|socket| socket.peer_address.clone())?.ok_or_else(|| Failure::NotConnected.into())
    }

    fn connect(&self, to: &Address) -> io::Result<()> {
        let connected = self.sim.network(|network| {
            let peer = network.receiver(self.id, Some(to))?;
            if let Some(socket) = network.unix_datagram(self.id) {
                (socket.peer, socket.peer_address) = (Some(peer), Some(to.clone()));
            }
            Ok::<(), Failure>(())
        });
        connected.map_or_else(|| Err(gone()), |connected| connected.map_err(io::Error::from))
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8], to: Option<&Address>) -> Poll<io::Result<usize>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Write, |network| {
            Some(network.send_unix(self.id, buf, to)?.map_err(io::Error::from))
        })
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut [u8], peek: bool) -> Poll<io::Result<(usize, Address)>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Read, |network| {
            let Some(socket) = network.unix_datagram(self.id) else { return Some(Err(gone())) };
            let (from, bytes) = socket.queue.front()?;
            let length = bytes.len().min(buf.len());
            buf[..length].copy_from_slice(&bytes[..length]);
            let received = (length, from.clone());
            if !peek {
                socket.queue.pop_front();
                for sender in std::mem::take(&mut socket.blocked) {
                    network.wake_writer(sender);
                }
            }
            Some(Ok(received))
        })
    }

    fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Read, |network| {
            let Some(socket) = network.unix_datagram(self.id) else { return Some(Err(gone())) };
            (!socket.queue.is_empty()).then_some(Ok(()))
        })
    }

    fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Write, |network| {
            // A socket that is not connected finds out where to when it sends.
            let Ok(receiver) = network.receiver(self.id, None) else { return Some(Ok(())) };
            let socket = network.unix_datagram(receiver)?;
            if socket.queue.len() < QUEUE {
                return Some(Ok(()));
            }
            if !socket.blocked.contains(&self.id) {
                socket.blocked.push(self.id);
            }
            None
        })
    }
}

impl Drop for SimUnixDatagram {
    fn drop(&mut self) {
        self.sim.network(|network| network.close_unix_datagram(self.id));
    }
}

impl fmt::Debug for SimUnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimUnixDatagram").field(&self.local_address().ok()).finish()
    }
}
