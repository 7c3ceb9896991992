//! How connections are made, carried on and ended: what each packet of TCP does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use foster_net::contract::{Address, ConnectOptions};

use super::connection::{Connection, LINK_SEGMENT, LOOPBACK_SEGMENT, Phase};
use super::failure::Failure;
use super::hosts::{HostId, Protocol};
use super::inet;
use super::network::{Network, SocketKind};
use super::packet::{Load, Packet, Segment, SocketId};
use crate::trace::Loss;

/// The probability that a segment on a link is cut in two: nobody may count on its borders.
const CUT: f64 = 0.1;

/// The probability that a read ends at the border of a segment, although there is more.
const STOP: f64 = 0.2;

/// The same address, and if it is one of IPv4 that is mapped into IPv6, the one of IPv4.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address as a socket of this family has it.
pub(super) fn as_seen_by(v6: bool, address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if v6 => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), address.port()),
        _ => address,
    }
}

/// Returns the address itself, or the loopback address if it is unspecified: packets to no address in particular are
/// for this host.
pub(super) fn specified(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl Network<'_> {
    pub(super) fn connection(&mut self, id: SocketId) -> Option<&mut Connection> {
        match &mut self.socket(id)?.kind {
            SocketKind::Stream(connection) => Some(connection),
            _ => None,
        }
    }

    /// Begins to connect.
    pub(super) fn connect(
        &mut self,
        host: HostId,
        to: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<SocketId, Failure> {
        let to = specified(canonical(to));
        let source = self.host(host).source_for(to.ip());
        let local = options.local.map_or(SocketAddr::new(source, 0), canonical);
        if local.is_ipv4() != to.is_ipv4() {
            return Err(Failure::OtherFamily);
        }
        let id = self.next_id();
        let local = self.host(host).bind(Protocol::Tcp, local, true, false, id)?;
        let ip = if local.ip().is_unspecified() { source } else { local.ip() };
        let local = SocketAddr::new(ip, local.port());
        let peer_host = self.host_at(host, to.ip());
        let mut connection =
            Connection::new(Address::Inet(local), Address::Inet(to), peer_host, Phase::Connecting, self.now);
        connection.bound = true;
        connection.options.nodelay = options.nodelay;
        let added = self.add(host, SocketKind::Stream(Box::new(connection)));
        debug_assert_eq!(added, id, "the id was that of the next socket");
        self.send_syn(id);
        Ok(id)
    }

    fn send_syn(&mut self, id: SocketId) {
        let now = self.now;
        let Some(connection) = self.connection(id) else { return };
        connection.asked = now;
        let load = Load::Syn { client: id, room: connection.room() };
        self.send_for(id, load);
    }

    /// Sends a packet of a connection to its other end.
    fn send_for(&mut self, id: SocketId, load: Load) {
        let Some(socket) = self.socket(id) else { return };
        let from = socket.host;
        let Some(connection) = self.connection(id) else { return };
        // Unix sockets have no addresses that could be sent to.
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let source = inet(&connection.local).unwrap_or(nowhere);
        let (target, to) = (inet(&connection.peer).unwrap_or(nowhere), connection.peer_host);
        self.send(from, to, source, target, load);
    }

    /// Answers a packet for which there is no connection.
    fn refuse(&mut self, packet: &Packet, to: SocketId) {
        let Some(host) = packet.to else { return };
        self.send(host, Some(packet.from), packet.target, packet.source, Load::Rst { to });
    }

    pub(super) fn arrive_syn(&mut self, host: HostId, packet: Box<Packet>) {
        let Load::Syn { client, room } = packet.load else { return };
        let at_port: Vec<_> = self.host(host).bound_at(Protocol::Tcp, packet.target).collect();
        let listener = at_port.into_iter().find_map(|id| self.listener(id).map(|_| id));
        let Some(listener_id) = listener else { return self.refuse(&packet, client) };
        let Some(listener) = self.listener(listener_id) else { return };
        let half_open = listener.half_open.clone();
        let is_of_client = |id: &SocketId| self.connection(*id).is_some_and(|half| half.other == Some(client));
        if let Some(known) = half_open.into_iter().find(is_of_client) {
            // The answer was lost.
            return self.send_syn_ack(known);
        }
        let Some(listener) = self.listener(listener_id) else { return };
        if listener.is_full() {
            return self.lose(&packet, Loss::QueueIsFull);
        }
        let v6 = inet(&listener.local).is_some_and(|local| local.is_ipv6());
        let [local, peer] = [packet.target, packet.source].map(|at| Address::Inet(as_seen_by(v6, at)));
        let mut connection = Connection::new(local, peer, Some(packet.from), Phase::Accepting(listener_id), self.now);
        connection.learn(client, room);
        let server = self.add(host, SocketKind::Stream(Box::new(connection)));
        if let Some(listener) = self.listener(listener_id) {
            listener.half_open.push(server);
        }
        self.send_syn_ack(server);
    }

    fn send_syn_ack(&mut self, server: SocketId) {
        let now = self.now;
        let Some(connection) = self.connection(server) else { return };
        connection.asked = now;
        let (client, room) = (connection.other, connection.room());
        if let Some(client) = client {
            self.send_for(server, Load::SynAck { client, server, room });
        }
    }

    pub(super) fn arrive_syn_ack(&mut self, client: SocketId, server: SocketId, room: u64, packet: &Packet) {
        let Some(connection) = self.connection(client).filter(|connection| connection.phase != Phase::Failed) else {
            return self.refuse(packet, server);
        };
        if connection.phase == Phase::Connecting {
            connection.open();
            connection.learn(server, room);
            self.wake_writer(client);
        }
        self.answer(client);
        self.pump(client);
    }

    pub(super) fn arrive_rst(&mut self, to: SocketId) {
        let Some(connection) = self.connection(to) else { return };
        match connection.phase {
            Phase::Connecting => self.break_off(to, Failure::Refused),
            // Nobody has seen it yet.
            Phase::Accepting(_) => self.forget_half_open(to),
            Phase::Open | Phase::Failed => {
                let means = connection.reset_means();
                self.break_off(to, means);
            }
        }
    }

    /// The connection is broken. An orphan has nobody to tell.
    pub(super) fn break_off(&mut self, id: SocketId, failure: Failure) {
        let Some(connection) = self.connection(id) else { return };
        connection.fail(failure);
        if connection.orphan {
            self.remove(id);
            return;
        }
        self.wake_reader(id);
        self.wake_writer(id);
    }

    pub(super) fn arrive_segment(&mut self, host: HostId, packet: Box<Packet>) {
        let Load::Segment(segment) = &packet.load else { return };
        let (id, is_answer, other) = (segment.to, segment.is_answer(), segment.from);
        let Some(connection) = self.connection(id).filter(|connection| connection.phase != Phase::Failed) else {
            // An answer may come late to a connection that was closed here. If it was lost with the power, the other
            // side has to be told.
            if !is_answer || id.serial < self.host(host).lost_before {
                self.refuse(&packet, other);
            }
            return;
        };
        if let Phase::Accepting(listener) = connection.phase {
            connection.open();
            self.enqueue(listener, id);
        }
        let link = packet.from != host;
        let Load::Segment(mut segment) = packet.load else { return };
        let Some(connection) = self.connection(id) else { return };
        if connection.acknowledge(&segment) {
            self.wake_writer(id);
        }
        let Some(connection) = self.connection(id) else { return };
        if connection.refuses_data() && connection.is_news(&segment) {
            return self.refuse_data(id, other);
        }
        if connection.receive(&mut segment, link) {
            if connection.orphan && connection.has_unread() {
                // Nobody will ever read that.
                return self.reset(id);
            }
            self.wake_reader(id);
        }
        if !is_answer {
            self.answer(id);
        }
        self.pump(id);
        if self.connection(id).is_some_and(|connection| connection.orphan && connection.is_over()) {
            self.remove(id);
        }
    }

    /// Data have come to a socket that has shut down both directions: a reset (RFC 1122, 4.2.2.13), as Linux has it. What
    /// was received before can be read.
    fn refuse_data(&mut self, id: SocketId, to: SocketId) {
        self.send_for(id, Load::Rst { to });
        self.break_off(id, Failure::Reset);
    }

    /// Tells the other side what was received.
    pub(super) fn answer(&mut self, id: SocketId) {
        if let Some(segment) = self.connection(id).and_then(|connection| connection.answer(id)) {
            self.send_for(id, Load::Segment(segment));
        }
    }

    /// The longest segment between these two.
    pub(super) fn longest_segment(&mut self, id: SocketId) -> usize {
        let Some(socket) = self.socket(id) else { return LINK_SEGMENT };
        let host = socket.host;
        match self.connection(id).and_then(|connection| connection.peer_host) {
            Some(peer) if peer == host => LOOPBACK_SEGMENT,
            _ => LINK_SEGMENT,
        }
    }

    /// Sends what there is to send and room for. If the news that there is room was lost, it will be asked for.
    pub(super) fn pump(&mut self, id: SocketId) {
        self.send_unsent(id);
        if self.connection(id).is_some_and(|connection| connection.is_stalled()) {
            self.plan_retry(id);
        }
    }

    fn send_unsent(&mut self, id: SocketId) {
        let longest = self.longest_segment(id);
        loop {
            let mut most = longest;
            if longest == LINK_SEGMENT && self.chance(CUT) {
                most = 1 + self.up_to(LINK_SEGMENT as u64 - 1) as usize;
            }
            let segment = self.connection(id).and_then(|connection| connection.next_segment(id, most));
            let Some(segment) = segment else { break };
            self.send_for(id, Load::Segment(segment));
        }
    }

    /// Draws how many of these borders a read passes, before it ends at one although there is more.
    pub(super) fn draw_borders(&mut self, borders: usize) -> usize {
        (0..borders).find(|_| self.chance(STOP)).unwrap_or(borders)
    }

    /// Something of this connection was lost: it will be sent again after some time.
    pub(super) fn plan_retry(&mut self, id: SocketId) {
        let Some(socket) = self.socket(id) else { return };
        let host = socket.host;
        let Some(connection) = self.connection(id) else { return };
        if connection.retry.is_some() || !connection.is_outstanding() || connection.phase == Phase::Failed {
            return;
        }
        let peer = connection.peer_host.filter(|peer| *peer != host);
        let trip = peer.map(|peer| self.world.links.slowest(host, peer) + self.world.links.slowest(peer, host));
        let now = self.now;
        let Some(connection) = self.connection(id) else { return };
        let at = connection.next_try(now, trip.unwrap_or_default());
        let number = self.schedule_retry(at, id);
        if let Some(connection) = self.connection(id) {
            connection.retry = Some(number);
        }
    }

    /// The time has come to send again what was lost.
    pub(super) fn retry(&mut self, id: SocketId, number: u64) {
        let host = self.socket(id).map(|socket| socket.host);
        if let Some(paused) = host.and_then(|host| self.host(host).paused.as_mut()) {
            return paused.retries.push((id, number));
        }
        let Some(connection) = self.connection(id).filter(|connection| connection.retry == Some(number)) else {
            return;
        };
        connection.retry = None;
        if !connection.is_outstanding() {
            return;
        }
        if connection.is_hopeless() {
            return match connection.phase {
                Phase::Accepting(_) => self.forget_half_open(id),
                _ => self.break_off(id, Failure::TimedOut),
            };
        }
        match connection.phase {
            Phase::Connecting => self.send_syn(id),
            Phase::Accepting(_) => self.send_syn_ack(id),
            Phase::Open => {
                connection.go_back();
                let before = self.world.packets;
                self.send_unsent(id);
                if self.world.packets == before {
                    // No room, as far as is known.
                    self.probe(id);
                }
            }
            Phase::Failed => {}
        }
    }

    fn probe(&mut self, id: SocketId) {
        if let Some(segment) = self.connection(id).and_then(|connection| connection.answer(id)) {
            self.send_for(id, Load::Segment(Segment { probe: true, ..segment }));
        }
    }

    /// Ends a connection at once, and tells the other side.
    pub(super) fn reset(&mut self, id: SocketId) {
        if let Some(to) = self.connection(id).filter(|one| one.phase != Phase::Failed).and_then(|one| one.other) {
            self.send_for(id, Load::Rst { to });
        }
        self.remove(id);
    }

    /// Nobody has a handle to this connection any more.
    pub(super) fn close(&mut self, id: SocketId) {
        let Some(connection) = self.connection(id) else { return };
        let at_once = connection.options.linger.is_some_and(|time| time.is_zero());
        if connection.phase == Phase::Connecting || at_once || connection.has_unread() {
            return self.reset(id);
        }
        connection.orphan = true;
        connection.finish();
        self.pump(id);
        if self.connection(id).is_some_and(|connection| connection.is_over()) {
            self.remove(id);
        }
    }
}
