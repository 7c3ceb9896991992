//! Links, and what they do to packets: the one place for what can go wrong on the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use foster::Instant;

use super::hosts::HostId;
use super::packet::Packet;
use crate::runtime::Choices;
use crate::trace::Loss;

/// The properties of the way from one host to another.
///
/// A new one takes between one and two milliseconds, as the seed says, and loses nothing. The loopback of a host is not
/// a link: it takes no time and loses nothing.
///
/// # Examples
///
/// ```
/// use foster_sim::net::Link;
/// use std::time::Duration;
///
/// let satellite = Link::new().latency(Duration::from_millis(300)).bandwidth(250_000).loss(0.01);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a link has to be given to `set_link` or `set_default_link`"]
pub struct Link {
    latency: Duration,
    jitter: Duration,
    bandwidth: Option<u64>,
    loss: f64,
    duplication: f64,
    reordering: f64,
}

impl Link {
    /// Starts with one to two milliseconds, and no fault.
    pub fn new() -> Self {
        let millisecond = Duration::from_millis(1);
        Link {
            latency: millisecond,
            jitter: millisecond,
            bandwidth: None,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
        }
    }

    /// Sets how long a packet takes; exactly that, until [`jitter`](Link::jitter) is set again.
    pub fn latency(self, latency: Duration) -> Self {
        Link { latency, jitter: Duration::ZERO, ..self }
    }

    /// Sets by how much a packet may take longer than the latency. Datagrams may overtake each other then; the segments
    /// of TCP do not.
    pub fn jitter(self, jitter: Duration) -> Self {
        Link { jitter, ..self }
    }

    /// Sets how many bytes a second the link carries, in one direction, for all who send on it. Headers do not count.
    ///
    /// # Panics
    ///
    /// Panics if it is 0: cut the link instead.
    #[track_caller]
    pub fn bandwidth(self, bytes: u64) -> Self {
        assert!(bytes > 0, "a link of no bandwidth is one that is cut: see `foster_sim::net::partition`");
        Link { bandwidth: Some(bytes), ..self }
    }

    /// Sets the probability that a packet is lost. TCP sends again what was lost.
    ///
    /// # Panics
    ///
    /// Panics if `probability` is not between 0 and 1.
    #[track_caller]
    pub fn loss(self, probability: f64) -> Self {
        Link { loss: checked(probability), ..self }
    }

    /// Sets the probability that a datagram arrives twice.
    ///
    /// # Panics
    ///
    /// Panics if `probability` is not between 0 and 1.
    #[track_caller]
    pub fn duplication(self, probability: f64) -> Self {
        Link { duplication: checked(probability), ..self }
    }

    /// Sets the probability that a datagram is delayed, by up to three times the latency, and so overtaken by later
    /// ones.
    ///
    /// # Panics
    ///
    /// Panics if `probability` is not between 0 and 1.
    #[track_caller]
    pub fn reordering(self, probability: f64) -> Self {
        Link { reordering: checked(probability), ..self }
    }

    /// The longest that a packet may take which need not wait for others.
    pub(super) fn slowest(&self) -> Duration {
        self.latency + self.jitter
    }
}

impl Default for Link {
    fn default() -> Self {
        Link::new()
    }
}

#[track_caller]
fn checked(probability: f64) -> f64 {
    assert!((0.0..=1.0).contains(&probability), "a probability is between 0 and 1, not {probability}");
    probability
}

/// One direction between two hosts.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// None: as all others.
    link: Option<Link>,
    pub(super) cut: bool,
    /// How often it was cut: what was sent before does not arrive after.
    pub(super) cuts: u64,
    pub(super) held: bool,
    /// The packets that have come while it was held.
    pub(super) waiting: Vec<(Packet, u64)>,
    /// Until then others are being sent.
    free_at: Option<Instant>,
    /// When the last segment of a stream arrives: none overtakes another.
    last_segment: Option<Instant>,
    /// The streams of which a rule has delayed a segment, by their addresses, and when that arrives.
    delayed: BTreeMap<(SocketAddr, SocketAddr), Instant>,
}

impl Way {
    /// When a segment arrives that would arrive `at` without its delay: not before one that was delayed earlier.
    fn delay_segment(&mut self, packet: &Packet, at: Instant, delay: Duration, now: Instant) -> Instant {
        if self.delayed.is_empty() && delay.is_zero() {
            return at;
        }
        let stream = (packet.source, packet.target);
        let late = self.delayed.get(&stream).map_or(at + delay, |earlier| *earlier.max(&(at + delay)));
        if !delay.is_zero() {
            self.delayed.retain(|_, arrives| *arrives > now);
            self.delayed.insert(stream, late);
        }
        late
    }
}

/// When a packet arrives, and again if it is repeated; or that it does not.
pub(super) enum Fate {
    Arrives { at: Instant, again: Option<Instant>, cuts: u64 },
    Lost(Loss),
}

/// The ways between hosts.
#[derive(Debug, Default)]
pub(super) struct Links {
    default: Link,
    ways: BTreeMap<(HostId, HostId), Way>,
}

impl Links {
    pub(super) fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    pub(super) fn set(&mut self, from: HostId, to: HostId, link: Link) {
        self.way(from, to).link = Some(link);
    }

    pub(super) fn way(&mut self, from: HostId, to: HostId) -> &mut Way {
        self.ways.entry((from, to)).or_default()
    }

    /// Returns the longest time that a packet takes on the way, without those that wait before it.
    pub(super) fn slowest(&self, from: HostId, to: HostId) -> Duration {
        let way = self.ways.get(&(from, to));
        way.and_then(|way| way.link.as_ref()).unwrap_or(&self.default).slowest()
    }

    /// Returns the fate of a packet that is sent now, and that a rule delays by so much.
    pub(super) fn depart(
        &mut self,
        packet: &Packet,
        to: HostId,
        delay: Duration,
        now: Instant,
        choices: &mut Choices,
    ) -> Fate {
        let way = self.ways.entry((packet.from, to)).or_default();
        let link = way.link.as_ref().unwrap_or(&self.default);
        if way.cut {
            return Fate::Lost(Loss::Partition);
        }
        let mut leaves = now;
        if let Some(bandwidth) = link.bandwidth {
            let nanos = u128::from(packet.size()) * 1_000_000_000 / u128::from(bandwidth);
            leaves = way.free_at.map_or(now, |free_at| free_at.max(now))
                + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            way.free_at = Some(leaves);
        }
        if choices.chance(link.loss) {
            return Fate::Lost(Loss::Link);
        }
        let mut arrives = leaves + link.latency + choices.time_up_to(link.jitter);
        let mut again = None;
        if packet.is_datagram() {
            if choices.chance(link.reordering) {
                arrives += choices.time_up_to(link.latency * 3);
            }
            if choices.chance(link.duplication) {
                again = Some(arrives + choices.time_up_to(link.slowest()) + delay);
            }
            arrives += delay;
        } else {
            arrives = way.last_segment.map_or(arrives, |last| last.max(arrives));
            way.last_segment = Some(arrives);
            arrives = way.delay_segment(packet, arrives, delay, now);
        }
        Fate::Arrives { at: arrives, again, cuts: way.cuts }
    }
}
