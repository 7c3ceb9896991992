//! Fault rules: closures of the user that decide, packet by packet, what goes wrong.
//!
//! ```text
//!   Network::send ─▶ queue ─▶ a rule decides? ── yes ──▶ deliver, delay ─▶ link
//!                                  │                └──▶ drop: lost
//!                                  └─ no, nor any other ──────────────▶ link
//! ```
//!
//! A rule is code of the user, so no lock is held while it is called. A packet is sent with the network locked: it
//! waits in a queue, and the thread that unlocks the network asks for all of the queue (`Sim::ask_rules`). One at a
//! time asks; what a rule itself sends waits behind. Where nobody unlocks, since it is the clock that has moved, a
//! waker asks.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::end::RunFailure;
use super::hosts::Protocol;
use super::network::Network;
use super::packet::{Load, Packet};
use crate::runtime::Sim;
use crate::trace::Loss;

/// Asks `rule` for each packet that one host sends to another, from now on, until the guard is dropped.
///
/// Rules are asked in the order in which they were made. The first that decides wins, and the others are not asked; one
/// that answers [`Action::Pass`] does not decide. If no rule has decided, the [`Link`](super::Link) does. Packets on
/// the loopback of a host do not go over a link, and no rule is asked.
///
/// The guard is a value like any other: kept in a variable of a scope, the rule ends with the scope, even when that is
/// cancelled; kept by the program of a host, it ends when the host crashes.
///
/// The closure is called when a packet is sent, with no lock held: it may use the tools of this module, and count. If
/// it panics, the run fails with its panic.
///
/// # Panics
///
/// Panics where no simulation runs on this thread.
///
/// # Examples
///
/// The first request for a connection is lost, and asked for again after a second:
///
/// ```
/// use foster_net::{TcpListener, TcpStream};
/// use foster_sim::net::{self, Action, Host, PacketKind};
/// use std::time::Duration;
///
/// foster_sim::run(1, async {
///     let server = Host::new("server");
///     server.start(|| async {
///         let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
///         while let Ok(connection) = listener.accept().await {
///             drop(connection);
///         }
///     });
///     foster::sleep(Duration::from_millis(1)).await; // the server listens by then
///     let mut lost = 0;
///     let rule = net::rule(move |packet| {
///         if packet.to() == "server" && packet.kind() == PacketKind::Syn && lost < 1 {
///             lost += 1;
///             return Action::Drop;
///         }
///         Action::Pass
///     });
///     TcpStream::connect("server:80").await.unwrap();
///     assert!(foster_sim::clock().elapsed() > Duration::from_secs(1));
///     drop(rule);
/// });
/// ```
#[track_caller]
pub fn rule(rule: impl FnMut(&PacketInfo) -> Action + Send + 'static) -> RuleGuard {
    let sim = Sim::current("net::rule");
    let (rule, asks) = (Arc::new(Mutex::new(rule)), Waker::from(Arc::new(AskRules(sim.clone()))));
    let number = sim.network(|network| network.world.rules.insert(rule, asks));
    RuleGuard { number: number.expect("the simulation that runs on this thread is not over"), sim: Some(sim) }
}

/// The fate of a packet: the answer of a [`rule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The rule does not decide: the next one is asked, and after the last the link does what it does.
    Pass,
    /// The packet is handed to the link, and no other rule is asked.
    Deliver,
    /// The packet is lost. TCP sends it again, as it does what a link has lost.
    Drop,
    /// The packet arrives so much later than it would, and no other rule is asked. Packets behind it in the same stream
    /// of TCP do not overtake it; datagrams do. It is late, and not lost: TCP does not send it again.
    Delay(Duration),
}

/// A packet that one host sends to another, as a [`rule`] sees it; `Display` prints it as the trace does.
pub struct PacketInfo {
    from: String,
    to: String,
    packet: Box<Packet>,
}

/// The purpose of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PacketKind {
    /// A datagram of UDP.
    Datagram,
    /// The answer to a datagram: nobody listens at the port.
    Unreachable,
    /// Asks for a connection.
    Syn,
    /// The answer of who listens.
    SynAck,
    /// Bytes of a stream.
    Data,
    /// The end of a stream, with or without bytes before it.
    Fin,
    /// Tells what was received, or asks the other side for that; without bytes.
    Ack,
    /// Nobody listens, or the connection is broken.
    Rst,
}

impl PacketInfo {
    /// Returns the name of the host that sends it.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Returns the name of the host that it is sent to.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Returns the address and port that it is sent from.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.packet.source
    }

    /// Returns the address and port that it is sent to.
    #[must_use]
    pub fn target(&self) -> SocketAddr {
        self.packet.target
    }

    /// Returns the protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self.kind() {
            PacketKind::Datagram | PacketKind::Unreachable => Protocol::Udp,
            _ => Protocol::Tcp,
        }
    }

    /// Returns what it is for.
    #[must_use]
    pub fn kind(&self) -> PacketKind {
        match &self.packet.load {
            Load::Datagram { .. } => PacketKind::Datagram,
            Load::Unreachable { .. } => PacketKind::Unreachable,
            Load::Syn { .. } => PacketKind::Syn,
            Load::SynAck { .. } => PacketKind::SynAck,
            Load::Rst { .. } => PacketKind::Rst,
            Load::Segment(segment) if segment.end => PacketKind::Fin,
            Load::Segment(segment) if segment.bytes.is_empty() => PacketKind::Ack,
            Load::Segment(_) => PacketKind::Data,
        }
    }

    /// Returns the bytes that it carries, without headers: a datagram, or a part of a stream, which may be cut
    /// anywhere.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.packet.payload()
    }
}

impl fmt::Display for PacketInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to, packet) = (&self.from, &self.to, &self.packet);
        write!(f, "{from} {} → {to} {}  {}", packet.source, packet.target, packet.load)
    }
}

impl fmt::Debug for PacketInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketInfo({self})")
    }
}

/// Keeps a [`rule`]; its drop ends it.
#[must_use = "the rule ends when the guard is dropped"]
pub struct RuleGuard {
    /// None if the rule goes on.
    sim: Option<Sim>,
    number: u64,
}

impl RuleGuard {
    /// Lets the rule go on to the end of the run.
    pub fn keep(mut self) {
        self.sim = None;
    }
}

impl Drop for RuleGuard {
    fn drop(&mut self) {
        let Some(sim) = &self.sim else { return };
        // The closure is dropped here, with no lock held.
        drop(sim.network(|network| network.world.rules.remove(self.number)));
    }
}

impl fmt::Debug for RuleGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleGuard").field("number", &self.number).finish_non_exhaustive()
    }
}

type Rule = Arc<Mutex<dyn FnMut(&PacketInfo) -> Action + Send>>;

/// The rules of a network, and the packets that they have to be asked for.
#[derive(Default)]
pub(super) struct Rules {
    /// In the order in which they were made.
    rules: Vec<(u64, Rule)>,
    made: u64,
    waiting: VecDeque<Box<Packet>>,
    /// Somebody asks already.
    asking: bool,
    /// Asks, where nobody unlocks the network.
    asks: Option<Waker>,
}

impl Rules {
    fn insert(&mut self, rule: Rule, asks: Waker) -> u64 {
        let number = self.made;
        self.made += 1;
        self.rules.push((number, rule));
        // The first one stays: it is of the same simulation.
        self.asks.get_or_insert(asks);
        number
    }

    fn remove(&mut self, number: u64) -> Option<Rule> {
        let at = self.rules.iter().position(|(other, _)| *other == number)?;
        Some(self.rules.remove(at).1)
    }

    /// Keeps a packet that the rules have to be asked for; gives it back if there are none. A packet that waits, or for
    /// which they are being asked, is not overtaken.
    pub(super) fn hold_back(&mut self, packet: Box<Packet>) -> Option<Box<Packet>> {
        if self.rules.is_empty() && self.waiting.is_empty() && !self.asking {
            return Some(packet);
        }
        self.waiting.push_back(packet);
        None
    }

    /// Begins to ask, if there is something to ask for and nobody does so.
    pub(super) fn begin_to_ask(&mut self) -> bool {
        let begins = !self.asking && !self.waiting.is_empty();
        self.asking |= begins;
        begins
    }

    /// Returns the waker of the task that asks, where nobody unlocks the network.
    pub(super) fn asker(&self) -> Option<Waker> {
        self.asks.clone().filter(|_| !self.asking && !self.waiting.is_empty())
    }
}

impl Sim {
    /// Asks the rules for the packets that wait, one after the other. The caller has begun to ask.
    pub(super) fn ask_rules(&self) {
        while let Some((info, rules)) = self.next_to_ask() {
            let decided = catch_unwind(AssertUnwindSafe(|| first_decision(&info, rules)));
            let action = decided.unwrap_or_else(|payload| {
                self.fail(RunFailure::Panic(payload));
                Action::Pass
            });
            self.send_on(info.packet, action);
        }
    }

    /// The next packet that waits, with the rules as they are now. If there is none, nobody asks any more.
    fn next_to_ask(&self) -> Option<(PacketInfo, Vec<Rule>)> {
        let mut state = self.lock();
        let world = &mut state.world;
        let Some(packet) = world.rules.waiting.pop_front() else {
            world.rules.asking = false;
            return None;
        };
        let name = |host: usize| world.hosts.get(host).map_or_else(String::new, |host| host.name.clone());
        let (from, to) = (name(packet.from.0), packet.to.map_or_else(String::new, |to| name(to.0)));
        let rules = world.rules.rules.iter().map(|(_, rule)| rule.clone()).collect();
        Some((PacketInfo { from, to, packet }, rules))
    }

    fn send_on(&self, packet: Box<Packet>, action: Action) {
        self.network(|network| match action {
            Action::Drop => network.lose(&packet, Loss::Rule),
            Action::Delay(delay) => network.depart(packet, delay),
            Action::Pass | Action::Deliver => network.depart(packet, Duration::ZERO),
        });
    }
}

/// Takes the rules: one may have been removed meanwhile, and is dropped here, with no lock held.
fn first_decision(info: &PacketInfo, rules: Vec<Rule>) -> Action {
    let mut answers = rules.iter().map(|rule| {
        // Only one at a time asks: nobody else has it.
        let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
        (*rule)(info)
    });
    answers.find(|action| *action != Action::Pass).unwrap_or(Action::Pass)
}

/// Wakes nobody: asks the rules.
struct AskRules(Sim);

impl Wake for AskRules {
    fn wake(self: Arc<Self>) {
        // The thread that unlocks the network asks.
        self.0.network(|_: &mut Network<'_>| ());
    }
}
