//! The table of hosts: names, addresses, ports, and which of them are up.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use super::failure::Failure;
use super::packet::SocketId;
use super::pause::Paused;
use super::program::Program;

/// The place of a host in the table. The first is the one that code is on which is on no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(pub(super) usize);

/// The host of all code that does not run in another one.
pub(super) const MAIN: HostId = HostId(0);

/// The first of the ports that the host gives out itself, as RFC 6335 has them.
const EPHEMERAL: u16 = 49_152;

/// A protocol of the simulated network. Each has ports of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A host.
pub(super) struct HostState {
    pub(super) name: String,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
    /// It answers on the network.
    pub(super) powered: bool,
    /// Sockets with a lower serial number were lost with its power.
    pub(super) lost_before: u64,
    /// Programs may run on it.
    pub(super) running: bool,
    /// The events that wait until it goes on, if it is paused.
    pub(super) paused: Option<Paused>,
    pub(super) programs: Vec<Arc<dyn Program>>,
    /// The wakers of those who wait until it runs, by the number that each got.
    pub(super) waiting: BTreeMap<u64, Waker>,
    pub(super) last_waiting: u64,
    ports: BTreeMap<(Protocol, u16), Vec<Bound>>,
    next_port: u16,
}

/// A socket at a port.
#[derive(Clone, Debug)]
struct Bound {
    ip: IpAddr,
    /// `[::]` that stands for IPv4, too.
    both: bool,
    shared: bool,
    socket: SocketId,
}

impl Bound {
    fn takes(&self, ip: IpAddr) -> bool {
        self.ip == ip || (self.ip.is_unspecified() && (self.both || self.ip.is_ipv4() == ip.is_ipv4()))
    }
}

impl HostState {
    /// The host with this place in the table.
    pub(super) fn new(name: &str, id: HostId) -> Self {
        let number = u16::try_from(id.0 + 1).expect("a simulation has less than 65,536 hosts");
        let [high, low] = number.to_be_bytes();
        HostState {
            name: name.to_owned(),
            v4: Ipv4Addr::new(10, 0, high, low),
            v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number),
            powered: true,
            lost_before: 0,
            running: true,
            paused: None,
            programs: Vec::new(),
            waiting: BTreeMap::new(),
            last_waiting: 0,
            ports: BTreeMap::new(),
            next_port: EPHEMERAL,
        }
    }

    pub(super) fn has(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || ip == IpAddr::V4(self.v4) || ip == IpAddr::V6(self.v6)
    }

    /// The address that packets to `to` are sent from.
    pub(super) fn source_for(&self, to: IpAddr) -> IpAddr {
        match to {
            _ if self.has(to) => to,
            IpAddr::V4(_) => IpAddr::V4(self.v4),
            IpAddr::V6(_) => IpAddr::V6(self.v6),
        }
    }

    /// Gives a socket an address, and a port if it has none.
    pub(super) fn bind(
        &mut self,
        protocol: Protocol,
        at: SocketAddr,
        only_v6: bool,
        shared: bool,
        socket: SocketId,
    ) -> Result<SocketAddr, Failure> {
        if !(at.ip().is_unspecified() || self.has(at.ip())) {
            return Err(Failure::NotAvailable);
        }
        let both = at.is_ipv6() && at.ip().is_unspecified() && !only_v6;
        let new = Bound { ip: at.ip(), both, shared, socket };
        let port = match at.port() {
            0 => self.free_port(protocol).ok_or(Failure::NotAvailable)?,
            port => port,
        };
        let bound = self.ports.entry((protocol, port)).or_default();
        let conflicts = |other: &Bound| (other.takes(new.ip) || new.takes(other.ip)) && !(other.shared && shared);
        if bound.iter().any(conflicts) {
            return Err(Failure::InUse);
        }
        bound.push(new);
        Ok(SocketAddr::new(at.ip(), port))
    }

    fn free_port(&mut self, protocol: Protocol) -> Option<u16> {
        for _ in EPHEMERAL..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(EPHEMERAL);
            if !self.ports.contains_key(&(protocol, port)) {
                return Some(port);
            }
        }
        None
    }

    /// Frees the port of a socket.
    pub(super) fn unbind(&mut self, protocol: Protocol, port: u16, socket: SocketId) {
        if let Some(bound) = self.ports.get_mut(&(protocol, port)) {
            bound.retain(|bound| bound.socket != socket);
            if bound.is_empty() {
                self.ports.remove(&(protocol, port));
            }
        }
    }

    /// The sockets at an address, those with exactly this one first.
    pub(super) fn bound_at(&self, protocol: Protocol, at: SocketAddr) -> impl Iterator<Item = SocketId> + '_ {
        let bound = self.ports.get(&(protocol, at.port())).map_or(&[][..], Vec::as_slice);
        let exact = bound.iter().filter(move |bound| bound.ip == at.ip());
        let wide = bound.iter().filter(move |bound| bound.ip != at.ip() && bound.takes(at.ip()));
        exact.chain(wide).map(|bound| bound.socket)
    }

    /// The host has lost its power: nothing is bound any more.
    pub(super) fn forget_ports(&mut self) {
        self.ports.clear();
    }
}
