//! The network as a whole: its tables, its queue of events, and how packets come from one host to another.
//!
//! It is a part of the state of the simulation, under the same lock, and plain data: wakers are taken out of it, and
//! called and dropped with the lock released (`Later`). All that is to happen is in one queue, by virtual time. The
//! timers of the simulation have one alarm for the earliest of it.
//!
//! ```text
//!   a call on a socket ─▶ change of a socket ─▶ send ─▶ link ─▶ queue ─▶ arrive ─▶ change of a socket ─▶ a task is woken
//!                                                        └────▶ lost ─▶ queue: try again
//! ```
//!
//! Events of the present instant, as all of loopback are, happen before the call returns: as on a kernel.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use foster::Instant;
use foster::leaf::wake_all;
use slab::Slab;

use super::connection::Connection;
use super::end::RunFailure;
use super::hosts::{HostId, HostState, Protocol};
use super::link::{Fate, Links};
use super::listener::ListenerState;
use super::packet::{Load, Packet, SocketId};
use super::rules::Rules;
use super::udp::UdpState;
#[cfg(unix)]
use super::unix::{Paths, UnixDatagramState};
use super::waiting::Waiting;
use crate::runtime::{Alarm, Choices, Recorder, Sim, State};
use crate::trace::{Event, Loss};

/// The network of a simulation.
pub(crate) struct World {
    queue: BinaryHeap<Reverse<Entry>>,
    entries: u64,
    /// The alarm of the simulation for the earliest event.
    armed: Option<(Instant, u64)>,
    pub(super) hosts: Vec<HostState>,
    pub(super) links: Links,
    pub(super) rules: Rules,
    pub(super) sockets: Slab<Socket>,
    serial: u64,
    /// How many packets were sent.
    pub(super) packets: u64,
    #[cfg(unix)]
    pub(super) paths: Paths,
    /// Why the run is to fail, until the main future is told.
    pub(super) failure: Option<RunFailure>,
    /// The task of the main future.
    pub(super) main: Option<Waker>,
    pub(super) later: Later,
}

/// The wakers to be called or dropped when the lock is released.
#[derive(Default)]
pub(super) struct Later {
    pub(super) wake: Vec<Waker>,
    pub(super) drop: Vec<Waker>,
}

/// A socket in the table.
pub(super) struct Socket {
    serial: u64,
    pub(super) host: HostId,
    pub(super) kind: SocketKind,
}

pub(super) enum SocketKind {
    Stream(Box<Connection>),
    Listener(ListenerState),
    Udp(UdpState),
    #[cfg(unix)]
    UnixDatagram(UnixDatagramState),
}

/// An event of the network.
struct Entry {
    at: Instant,
    number: u64,
    what: What,
}

enum What {
    /// A packet arrives, if the way was not cut since: it had been cut so often when it was sent.
    Arrive { packet: Box<Packet>, cuts: u64 },
    /// A connection sends again what was lost; which of its times it is.
    Retry { connection: SocketId, number: u64 },
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl World {
    /// The network as it is at the beginning: with one host.
    pub(crate) fn new() -> Self {
        World {
            queue: BinaryHeap::new(),
            entries: 0,
            armed: None,
            hosts: vec![HostState::new("main", super::hosts::MAIN)],
            links: Links::default(),
            rules: Rules::default(),
            sockets: Slab::new(),
            serial: 0,
            packets: 0,
            #[cfg(unix)]
            paths: Paths::default(),
            failure: None,
            main: None,
            later: Later::default(),
        }
    }
}

/// The network, with the parts of the simulation that it uses.
pub(super) struct Network<'a> {
    pub(super) now: Instant,
    pub(super) world: &'a mut World,
    choices: &'a mut Choices,
    recorder: &'a mut Recorder,
}

impl Sim {
    /// Does something to the network. None if the simulation is over.
    pub(super) fn network<R>(&self, act: impl FnOnce(&mut Network<'_>) -> R) -> Option<R> {
        self.simulation(|state| act(&mut Network::of(state)))
    }

    /// As [`network`](Sim::network), for what concerns the tasks and timers, too.
    pub(super) fn simulation<R>(&self, act: impl FnOnce(&mut State) -> R) -> Option<R> {
        let mut state = self.lock();
        if state.over {
            return None;
        }
        let result = act(&mut state);
        Network::of(&mut state).happen();
        state.arm_network();
        let Later { wake, drop } = std::mem::take(&mut state.world.later);
        let asks = state.world.rules.begin_to_ask();
        self.changed(state);
        if asks {
            self.ask_rules();
        }
        wake_all(wake);
        std::mem::drop(drop);
        Some(result)
    }
}

impl State {
    /// The time of the earliest event has come. The wakers that are to be called are put into `due`.
    pub(crate) fn network_is_due(&mut self, due: &mut Vec<Waker>) {
        self.world.armed = None;
        Network::of(self).happen();
        self.arm_network();
        let Later { wake, drop } = std::mem::take(&mut self.world.later);
        due.extend(wake);
        // A wake-up for nothing is allowed, and this is not the place to drop a waker.
        due.extend(drop);
        // First: what the rules let through at this instant may be what a task is woken for.
        due.splice(..0, self.world.rules.asker());
    }

    fn arm_network(&mut self) {
        let next = self.world.queue.peek().map(|Reverse(entry)| entry.at);
        if self.world.armed.map(|key| key.0) == next {
            return;
        }
        if let Some(key) = self.world.armed.take() {
            self.timers.remove(&key);
        }
        self.world.armed = next.map(|at| self.timers.insert(at, Alarm::Network));
    }
}

impl<'a> Network<'a> {
    pub(super) fn of(state: &'a mut State) -> Self {
        let State { now, world, choices, recorder, .. } = state;
        Network { now: *now, world, choices, recorder }
    }

    /// Lets everything happen whose time has come.
    fn happen(&mut self) {
        while self.world.queue.peek().is_some_and(|Reverse(entry)| entry.at <= self.now) {
            let Some(Reverse(entry)) = self.world.queue.pop() else { break };
            match entry.what {
                What::Arrive { packet, cuts } => self.reach(packet, cuts),
                What::Retry { connection, number } => self.retry(connection, number),
            }
        }
    }

    fn schedule(&mut self, at: Instant, what: What) -> u64 {
        let number = self.world.entries;
        self.world.entries += 1;
        self.world.queue.push(Reverse(Entry { at, number, what }));
        number
    }

    pub(super) fn schedule_retry(&mut self, at: Instant, connection: SocketId) -> u64 {
        let number = self.world.entries;
        self.schedule(at, What::Retry { connection, number })
    }

    /// Lets the waker be called when the lock is released.
    fn wake_later(later: &mut Later, waiting: &mut Option<Waiting>) {
        later.wake.extend(waiting.take().map(|waiting| waiting.waker));
    }

    pub(super) fn wake_all(&mut self, wakers: Vec<Waker>) {
        self.world.later.wake.extend(wakers);
    }

    /// Wakes who reads, or accepts.
    pub(super) fn wake_reader(&mut self, id: SocketId) {
        if let Some(socket) = self.world.sockets.get_mut(id.key) {
            Self::wake_later(&mut self.world.later, socket.reader());
        }
    }

    /// Wakes who writes, or connects.
    pub(super) fn wake_writer(&mut self, id: SocketId) {
        if let Some(writer) = self.world.sockets.get_mut(id.key).and_then(Socket::writer) {
            Self::wake_later(&mut self.world.later, writer);
        }
    }

    /// Whether something happens that the seed decides.
    pub(super) fn chance(&mut self, yes: f64) -> bool {
        self.choices.chance(yes)
    }

    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        self.choices.up_to(most)
    }

    /// The socket, if it is still there.
    pub(super) fn socket(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.world.sockets.get_mut(id.key).filter(|socket| socket.serial == id.serial)
    }

    /// The host has lost its power: no socket that it has by now will be there again.
    pub(super) fn lose_sockets(&mut self, host: HostId) {
        self.world.hosts[host.0].lost_before = self.world.serial;
    }

    pub(super) fn add(&mut self, host: HostId, kind: SocketKind) -> SocketId {
        let serial = self.world.serial;
        self.world.serial += 1;
        SocketId { key: self.world.sockets.insert(Socket { serial, host, kind }), serial }
    }

    /// The id that the next socket will have.
    pub(super) fn next_id(&self) -> SocketId {
        SocketId { key: self.world.sockets.vacant_key(), serial: self.world.serial }
    }

    /// Takes a socket out of the table, and frees its port. Code that waits for it is woken, and finds it gone.
    pub(super) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        self.socket(id)?;
        let mut socket = self.world.sockets.remove(id.key);
        Self::wake_later(&mut self.world.later, socket.reader());
        if let Some(writer) = socket.writer() {
            Self::wake_later(&mut self.world.later, writer);
        }
        if let Some((protocol, port)) = socket.port() {
            self.world.hosts[socket.host.0].unbind(protocol, port, id);
        }
        Some(socket)
    }

    pub(super) fn host(&mut self, id: HostId) -> &mut HostState {
        &mut self.world.hosts[id.0]
    }

    /// The host that has this address, seen from another one.
    pub(super) fn host_at(&self, from: HostId, ip: IpAddr) -> Option<HostId> {
        if self.world.hosts[from.0].has(ip) {
            return Some(from);
        }
        let has = |host: &HostState| ip == IpAddr::V4(host.v4) || ip == IpAddr::V6(host.v6);
        self.world.hosts.iter().position(has).map(HostId)
    }

    /// Sends a packet between hosts; who it reaches, and when, the link says.
    pub(super) fn send(
        &mut self,
        from: HostId,
        to: Option<HostId>,
        source: SocketAddr,
        target: SocketAddr,
        load: Load,
    ) {
        let mut packet = Box::new(Packet { number: 0, from, to, source, target, load });
        self.world.packets += 1;
        let hosts = &self.world.hosts;
        packet.number = self.recorder.send(self.now, packet.digest(), || {
            let name = |host: HostId| hosts[host.0].name.as_str();
            let text = format!("{} {source} → {} {target}  {}", name(from), to.map_or("?", name), packet.load);
            (text, BuildHasherDefault::<DefaultHasher>::default().hash_one(packet.payload()))
        });
        let Some(to) = to else { return self.lose(&packet, Loss::NoSuchHost) };
        if from == to {
            self.schedule(self.now, What::Arrive { packet, cuts: 0 });
            return;
        }
        if let Some(packet) = self.world.rules.hold_back(packet) {
            self.depart(packet, Duration::ZERO);
        }
    }

    /// A packet to another host goes on its way, and takes longer by so much.
    pub(super) fn depart(&mut self, packet: Box<Packet>, delay: Duration) {
        let Some(to) = packet.to else { return };
        match self.world.links.depart(&packet, to, delay, self.now, self.choices) {
            Fate::Lost(why) => self.lose(&packet, why),
            Fate::Arrives { at, again, cuts } => {
                if let Some(again) = again {
                    self.schedule(again, What::Arrive { packet: packet.clone(), cuts });
                }
                self.schedule(at, What::Arrive { packet, cuts });
            }
        }
    }

    /// A packet has come to the end of its way.
    fn reach(&mut self, packet: Box<Packet>, cuts: u64) {
        let Some(to) = packet.to else { return };
        if packet.from != to {
            let way = self.world.links.way(packet.from, to);
            if way.cut || way.cuts != cuts {
                return self.lose(&packet, Loss::Partition);
            }
            if way.held {
                self.recorder.add(self.now, Event::Hold(packet.number));
                way.waiting.push((*packet, cuts));
                return;
            }
        }
        self.deliver(to, packet);
    }

    /// A packet has come to its host.
    pub(super) fn deliver(&mut self, to: HostId, packet: Box<Packet>) {
        let host = &mut self.world.hosts[to.0];
        if !host.powered {
            return self.lose(&packet, Loss::HostIsDown);
        }
        if let Some(paused) = &mut host.paused {
            self.recorder.add(self.now, Event::Hold(packet.number));
            let asker = packet.asker();
            paused.packets.push(*packet);
            // No answer will come for a while.
            return asker.map_or((), |asker| self.plan_retry(asker));
        }
        self.recorder.add(self.now, Event::Arrive(packet.number));
        self.arrive(to, packet);
    }

    fn arrive(&mut self, host: HostId, packet: Box<Packet>) {
        match packet.load {
            Load::Datagram { .. } => self.arrive_datagram(host, packet),
            Load::Unreachable { sender } => self.is_unreachable(sender, packet.source),
            Load::Syn { .. } => self.arrive_syn(host, packet),
            Load::SynAck { client, server, room } => self.arrive_syn_ack(client, server, room, &packet),
            Load::Rst { to } => self.arrive_rst(to),
            Load::Segment(_) => self.arrive_segment(host, packet),
        }
    }

    /// The packets that waited on a way that was held arrive now, in their order.
    pub(super) fn release(&mut self, from: HostId, to: HostId) {
        let way = self.world.links.way(from, to);
        way.held = false;
        for (packet, cuts) in std::mem::take(&mut way.waiting) {
            self.schedule(self.now, What::Arrive { packet: Box::new(packet), cuts });
        }
    }

    /// A packet does not arrive. If it belonged to a stream, somebody will send it again.
    pub(super) fn lose(&mut self, packet: &Packet, why: Loss) {
        self.recorder.add(self.now, Event::Lose(packet.number, why));
        match &packet.load {
            Load::Datagram { .. } | Load::Unreachable { .. } => {}
            // It was an answer, and its receiver asks again.
            Load::Rst { to } => self.plan_retry(*to),
            Load::Syn { client, .. } => self.plan_retry(*client),
            // The server may be gone before it sends that again.
            Load::SynAck { client, server, .. } => {
                self.plan_retry(*client);
                self.plan_retry(*server);
            }
            // The side that waits for the answer does not know what was received, and how much room there is.
            Load::Segment(segment) if segment.is_answer() => {
                if let Some(connection) = self.connection(segment.to) {
                    connection.miss(segment);
                }
                self.plan_retry(segment.to);
            }
            Load::Segment(segment) => self.plan_retry(segment.from),
        }
    }
}

impl Socket {
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn reader(&mut self) -> &mut Option<Waiting> {
        match &mut self.kind {
            SocketKind::Stream(connection) => &mut connection.reader,
            SocketKind::Listener(listener) => &mut listener.acceptor,
            SocketKind::Udp(udp) => &mut udp.reader,
            #[cfg(unix)]
            SocketKind::UnixDatagram(socket) => &mut socket.reader,
        }
    }

    pub(super) fn writer(&mut self) -> Option<&mut Option<Waiting>> {
        match &mut self.kind {
            SocketKind::Stream(connection) => Some(&mut connection.writer),
            SocketKind::Listener(_) | SocketKind::Udp(_) => None,
            #[cfg(unix)]
            SocketKind::UnixDatagram(socket) => Some(&mut socket.writer),
        }
    }

    /// The port that only it has.
    fn port(&self) -> Option<(Protocol, u16)> {
        match &self.kind {
            SocketKind::Stream(connection) if !connection.bound => None,
            SocketKind::Stream(connection) => Some((Protocol::Tcp, super::inet(&connection.local)?.port())),
            SocketKind::Listener(listener) => Some((Protocol::Tcp, super::inet(&listener.local)?.port())),
            SocketKind::Udp(udp) => Some((Protocol::Udp, udp.local.port())),
            #[cfg(unix)]
            SocketKind::UnixDatagram(_) => None,
        }
    }
}
