//! UDP.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use foster_net::contract::{Address, DatagramOptions, DatagramSocket, OptionName, Socket, SocketOption};

use super::failure::{Failure, gone};
use super::hosts::{HostId, Protocol};
use super::network::{Network, SocketKind};
use super::packet::{Load, Packet, SocketId};
use super::tcp::{as_seen_by, canonical, specified};
use super::waiting::Waiting;
use super::{Direction, inet, unsupported};
use crate::runtime::Sim;
use crate::trace::Loss;

/// The bytes that a queue holds, as on Linux, and what each datagram counts beside its own.
const QUEUE: usize = 212_992;
const OVERHEAD: usize = 64;

/// The longest datagrams: what the length field of the header leaves room for.
const LONGEST_V4: usize = 65_507;
const LONGEST_V6: usize = 65_527;

/// A UDP socket.
pub(super) struct UdpState {
    pub(super) local: SocketAddr,
    pub(super) peer: Option<SocketAddr>,
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    queued: usize,
    /// The port that it is connected to has nobody; not told to anybody yet.
    refused: bool,
    options: UdpOptions,
    pub(super) reader: Option<Waiting>,
}

#[derive(Clone)]
struct UdpOptions {
    broadcast: bool,
    multicast_loop: bool,
    ttl: u32,
    send_buffer: usize,
    receive_buffer: usize,
}

impl UdpState {
    /// The datagrams that wait to be received.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    fn take_refusal(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.refused) { Err(Failure::Refused) } else { Ok(()) }
    }
}

impl Network<'_> {
    fn udp(&mut self, id: SocketId) -> Option<&mut UdpState> {
        match &mut self.socket(id)?.kind {
            SocketKind::Udp(udp) => Some(udp),
            _ => None,
        }
    }

    pub(super) fn open_udp(
        &mut self,
        host: HostId,
        at: SocketAddr,
        options: &DatagramOptions,
    ) -> Result<SocketId, Failure> {
        let id = self.next_id();
        let shared = options.reuse_port || options.reuse_address;
        let local = self.host(host).bind(Protocol::Udp, at, false, shared, id)?;
        let options =
            UdpOptions { broadcast: false, multicast_loop: true, ttl: 64, send_buffer: QUEUE, receive_buffer: QUEUE };
        let (peer, queue) = (None, VecDeque::new());
        let udp = UdpState { local, peer, queue, queued: 0, refused: false, options, reader: None };
        Ok(self.add(host, SocketKind::Udp(udp)))
    }

    fn send_datagram(&mut self, id: SocketId, bytes: &[u8], to: Option<SocketAddr>) -> Result<usize, Failure> {
        let Some(udp) = self.udp(id) else { return Err(Failure::NotConnected) };
        udp.take_refusal()?;
        let to = canonical(to.or(udp.peer).ok_or(Failure::NoDestination)?);
        let (local, broadcast) = (udp.local, udp.options.broadcast);
        if bytes.len() > if to.is_ipv4() { LONGEST_V4 } else { LONGEST_V6 } {
            return Err(Failure::TooLong);
        }
        if local.is_ipv4() && to.is_ipv6() {
            return Err(Failure::OtherFamily);
        }
        let Some(host) = self.socket(id).map(|socket| socket.host) else { return Err(Failure::NotConnected) };
        let is_broadcast = to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST);
        if is_broadcast && !broadcast {
            return Err(Failure::Forbidden);
        }
        let to = specified(to);
        let source = match local.ip().to_canonical() {
            ip if ip.is_unspecified() => self.host(host).source_for(to.ip()),
            ip => ip,
        };
        let source = SocketAddr::new(source, local.port());
        let load = || Load::Datagram { bytes: bytes.to_vec(), sender: id };
        if is_broadcast {
            for other in 0..self.world.hosts.len() {
                self.send(host, Some(HostId(other)), source, to, load());
            }
        } else {
            let target = self.host_at(host, to.ip());
            self.send(host, target, source, to, load());
        }
        Ok(bytes.len())
    }

    pub(super) fn arrive_datagram(&mut self, host: HostId, packet: Box<Packet>) {
        let broadcast = packet.target.ip() == IpAddr::V4(Ipv4Addr::BROADCAST);
        // A broadcast is for the sockets that take all addresses.
        let ip = if broadcast { IpAddr::V4(self.host(host).v4) } else { packet.target.ip() };
        let at_port: Vec<_> =
            self.host(host).bound_at(Protocol::Udp, SocketAddr::new(ip, packet.target.port())).collect();
        let hears = |peer: Option<SocketAddr>| peer.is_none_or(|peer| canonical(peer) == packet.source);
        let found = at_port.into_iter().find(|id| self.udp(*id).is_some_and(|udp| hears(udp.peer)));
        let Some((id, udp)) = found.and_then(|id| self.udp(id).map(|udp| (id, udp))) else {
            if let (Load::Datagram { sender, .. }, false) = (&packet.load, broadcast) {
                let sender = *sender;
                self.send(host, Some(packet.from), packet.target, packet.source, Load::Unreachable { sender });
            }
            return self.lose(&packet, Loss::NobodyListens);
        };
        let size = packet.size() as usize + OVERHEAD;
        if udp.queued + size > udp.options.receive_buffer {
            return self.lose(&packet, Loss::QueueIsFull);
        }
        let from = as_seen_by(udp.local.is_ipv6(), packet.source);
        if let Load::Datagram { bytes, .. } = packet.load {
            udp.queued += size;
            udp.queue.push_back((from, bytes));
        }
        self.wake_reader(id);
    }

    /// The answer to a datagram is that nobody listens. Only who is connected is told.
    pub(super) fn is_unreachable(&mut self, sender: SocketId, at: SocketAddr) {
        let Some(udp) = self.udp(sender).filter(|udp| udp.peer.map(canonical) == Some(at)) else { return };
        udp.refused = true;
        self.wake_reader(sender);
    }
}

/// The handle to a UDP socket.
pub(super) struct SimUdp {
    sim: Sim,
    id: SocketId,
}

impl SimUdp {
    pub(super) fn new(sim: Sim, id: SocketId) -> Self {
        SimUdp { sim, id }
    }

    fn with<R>(&self, act: impl FnOnce(&mut UdpState) -> R) -> io::Result<R> {
        self.sim.network(|network| network.udp(self.id).map(act)).flatten().ok_or_else(gone)
    }
}

impl Socket for SimUdp {
    fn local_address(&self) -> io::Result<Address> {
        self.with(|udp| Address::Inet(udp.local))
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        let set = self.with(|udp| {
            match option {
                SocketOption::Broadcast(on) => udp.options.broadcast = on,
                SocketOption::MulticastLoop(on) => udp.options.multicast_loop = on,
                SocketOption::Ttl(hops) => udp.options.ttl = hops,
                SocketOption::SendBuffer(size) => udp.options.send_buffer = size,
                SocketOption::ReceiveBuffer(size) => udp.options.receive_buffer = size,
                _ => return false,
            }
            true
        });
        if set? { Ok(()) } else { Err(unsupported("this option of a UDP socket, nor multicast groups")) }
    }

    fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        let options = self.with(|udp| udp.options.clone())?;
        Ok(match name {
            OptionName::Broadcast => SocketOption::Broadcast(options.broadcast),
            OptionName::MulticastLoop => SocketOption::MulticastLoop(options.multicast_loop),
            OptionName::Ttl => SocketOption::Ttl(options.ttl),
            OptionName::SendBuffer => SocketOption::SendBuffer(options.send_buffer),
            OptionName::ReceiveBuffer => SocketOption::ReceiveBuffer(options.receive_buffer),
            _ => return Err(unsupported("this option of a UDP socket")),
        })
    }
}

impl DatagramSocket for SimUdp {
    fn peer_address(&self) -> io::Result<Address> {
        let peer = self.with(|udp| udp.peer)?;
        peer.map(Address::Inet).ok_or_else(|| Failure::NotConnected.into())
    }

    fn connect(&self, to: &Address) -> io::Result<()> {
        let to = inet(to).ok_or(Failure::OtherFamily)?;
        self.with(|udp| {
            udp.peer = Some(specified(to));
            // Datagrams that others have sent before are not for this one any more.
            udp.queue.retain(|(from, _)| canonical(*from) == canonical(to));
            udp.queued = udp.queue.iter().map(|(_, bytes)| bytes.len() + OVERHEAD).sum();
        })
    }

    fn poll_send(&self, _: &mut Context<'_>, buf: &[u8], to: Option<&Address>) -> Poll<io::Result<usize>> {
        let to = match to {
            None => None,
            Some(to) => Some(inet(to).ok_or(Failure::OtherFamily)?),
        };
        let sent = self.sim.network(|network| network.send_datagram(self.id, buf, to));
        Poll::Ready(sent.map_or_else(|| Err(gone()), |sent| sent.map_err(io::Error::from)))
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut [u8], peek: bool) -> Poll<io::Result<(usize, Address)>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Read, |network| {
            let Some(udp) = network.udp(self.id) else { return Some(Err(gone())) };
            if let Err(failure) = udp.take_refusal() {
                return Some(Err(failure.into()));
            }
            let (from, bytes) = udp.queue.front()?;
            let length = bytes.len().min(buf.len());
            buf[..length].copy_from_slice(&bytes[..length]);
            let received = (length, Address::Inet(*from));
            if !peek {
                udp.queued -= bytes.len() + OVERHEAD;
                udp.queue.pop_front();
            }
            Some(Ok(received))
        })
    }

    fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        super::wait_for(&self.sim, cx, self.id, Direction::Read, |network| {
            let Some(udp) = network.udp(self.id) else { return Some(Err(gone())) };
            (udp.refused || !udp.queue.is_empty()).then_some(Ok(()))
        })
    }

    fn poll_sendable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.with(|_| ()))
    }
}

impl Drop for SimUdp {
    fn drop(&mut self) {
        self.sim.network(|network| network.remove(self.id));
    }
}

impl fmt::Debug for SimUdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimUdp").field(&self.with(|udp| udp.local).ok()).finish()
    }
}
