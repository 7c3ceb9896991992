//! One end of a stream: what was written and has not been received, what was received and has not been read.
//!
//! ```text
//!                    1                2
//!   Connecting ─────────▶ Open ◀────────── Accepting
//!       │ 3                │ 3                 │ 3
//!       └────────────────▶ Failed ◀────────────┘
//! ```
//! 1. the answer to its SYN has come. 2. the client has answered the SYN-ACK. 3. `Connection::fail`: a reset, or too
//!    many tries.
//!
//! It is TCP without what only speed needs: cumulative acknowledgements, a window, and after a loss all again from the
//! first byte that is missing (go-back-N). The bytes of a stream are numbered from 0, and its end counts as one more.
//!
//! A real host sends again when no answer has come for some time. Here the network knows what it has lost, and starts
//! that time only then (`Network::lose`). So a connection on which nothing was lost has no timers, and two ends that
//! wait for each other are a deadlock, which the simulation reports.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use foster::Instant;
use foster_net::contract::{Address, SocketOption};

use super::failure::Failure;
use super::hosts::HostId;
use super::packet::{Segment, SocketId};
use super::received::Received;
use super::waiting::Waiting;

/// The bytes that the buffers of a stream hold, in each direction and on each side.
pub(super) const BUFFER: usize = 64 * 1024;

/// No buffer becomes larger, whatever is asked for.
const LARGEST_BUFFER: usize = 1 << 30;

/// The most bytes in a segment: on a link as on Ethernet, on loopback as Linux has it.
pub(super) const LINK_SEGMENT: usize = 1460;
pub(super) const LOOPBACK_SEGMENT: usize = 32 * 1024;

/// How often Linux asks for a connection again, and sends data again: 127 seconds, and about 15 minutes.
const CONNECT_TRIES: u32 = 6;
const SEND_TRIES: u32 = 15;
const FIRST_CONNECT_TRY: Duration = Duration::from_secs(1);
const FIRST_SEND_TRY: Duration = Duration::from_millis(200);
const LONGEST_TRY: Duration = Duration::from_secs(120);

/// How a connection is described to which nobody has a handle any more.
pub(super) const CLOSING: &str = "closing";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    /// In the backlog of this listener, which has not heard from the client again.
    Accepting(SocketId),
    Open,
    Failed,
}

pub(super) struct Connection {
    pub(super) local: Address,
    pub(super) peer: Address,
    /// None: nobody has the peer's address.
    pub(super) peer_host: Option<HostId>,
    /// The other end, as soon as it is known.
    pub(super) other: Option<SocketId>,
    pub(super) phase: Phase,
    /// It has a port of its own; an accepted one has that of its listener.
    pub(super) bound: bool,
    /// Nobody has a handle any more: it goes on until what was written is received.
    pub(super) orphan: bool,
    /// Not told to anybody yet.
    failure: Option<Failure>,
    /// How often in a row it was sent again.
    tries: u32,
    /// When it was asked for last.
    pub(super) asked: Instant,
    /// It will be sent again; which of the events for this connection counts.
    pub(super) retry: Option<u64>,

    /// Written, and not known to be received: from `acknowledged` on.
    written: VecDeque<u8>,
    acknowledged: u64,
    /// The position that is sent next.
    next: u64,
    /// How far the other side has room.
    limit: u64,
    /// How far the other side has said that it has room, in what was lost.
    missed: u64,
    end: End,

    received: Received,
    /// The position that is expected next.
    expected: u64,
    /// How far the other side was told that there is room.
    offered: u64,
    /// The end of the other side's stream has come.
    ended: bool,
    /// Reading was shut down.
    deaf: bool,

    pub(super) options: StreamOptions,
    pub(super) reader: Option<Waiting>,
    /// Also whoever waits for the connection to be made.
    pub(super) writer: Option<Waiting>,
}

/// The end of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// To be sent behind what was written.
    Wanted,
    Sent,
    Received,
}

/// The options of a stream. Only the buffers and a linger time of zero have an effect.
#[derive(Clone, Debug)]
pub(super) struct StreamOptions {
    pub(super) nodelay: bool,
    pub(super) linger: Option<Duration>,
    pub(super) keepalive: Option<Duration>,
    pub(super) ttl: u32,
    pub(super) send_buffer: usize,
    pub(super) receive_buffer: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions {
            nodelay: false,
            linger: None,
            keepalive: None,
            ttl: 64,
            send_buffer: BUFFER,
            receive_buffer: BUFFER,
        }
    }
}

impl StreamOptions {
    pub(super) fn set(&mut self, option: SocketOption) -> bool {
        match option {
            SocketOption::NoDelay(on) => self.nodelay = on,
            SocketOption::Linger(time) => self.linger = time,
            SocketOption::KeepAlive(time) => self.keepalive = time,
            SocketOption::Ttl(hops) => self.ttl = hops,
            SocketOption::SendBuffer(size) => self.send_buffer = size.clamp(1, LARGEST_BUFFER),
            SocketOption::ReceiveBuffer(size) => self.receive_buffer = size.clamp(1, LARGEST_BUFFER),
            _ => return false,
        }
        true
    }
}

/// The result of a read or write; none if it has to wait.
pub(super) type Attempt<T> = Option<Result<T, Failure>>;

impl Connection {
    pub(super) fn new(local: Address, peer: Address, peer_host: Option<HostId>, phase: Phase, now: Instant) -> Self {
        let options = StreamOptions::default();
        Connection {
            local,
            peer,
            peer_host,
            other: None,
            phase,
            bound: false,
            orphan: false,
            failure: None,
            tries: 0,
            asked: now,
            retry: None,
            written: VecDeque::new(),
            acknowledged: 0,
            next: 0,
            limit: 0,
            missed: 0,
            end: End::Open,
            received: Received::default(),
            expected: 0,
            offered: options.receive_buffer as u64,
            ended: false,
            deaf: false,
            options,
            reader: None,
            writer: None,
        }
    }

    /// The connection is made. Packets that were lost until now do not matter any more.
    pub(super) fn open(&mut self) {
        (self.phase, self.tries, self.retry) = (Phase::Open, 0, None);
    }

    /// The other end is known, and has room for so much.
    pub(super) fn learn(&mut self, other: SocketId, room: u64) {
        self.other = Some(other);
        self.limit = self.limit.max(self.acknowledged + room);
        self.tries = 0;
    }

    /// How much the other side may send, beyond what has come.
    pub(super) fn room(&self) -> u64 {
        self.offered - self.expected
    }

    fn last(&self) -> u64 {
        self.acknowledged + self.written.len() as u64
    }

    /// Nothing is left to do for an orphan: all was received, or never will be.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Failed || self.end == End::Received
    }

    pub(super) fn has_unread(&self) -> bool {
        self.received.length > 0
    }

    /// Between how many segments there is a border in what can be read.
    pub(super) fn borders(&self) -> usize {
        self.received.parts.len().saturating_sub(1)
    }

    /// Something was sent, or would be if there were room, whose receipt is not known.
    pub(super) fn is_outstanding(&self) -> bool {
        self.phase != Phase::Open || !self.written.is_empty() || matches!(self.end, End::Wanted | End::Sent)
    }

    /// A segment of the other side, to this one, was lost.
    pub(super) fn miss(&mut self, segment: &Segment) {
        self.missed = self.missed.max(segment.received + segment.room);
    }

    /// There is something to send and no room for it, as far as is known, but more was lost that said otherwise.
    pub(super) fn is_stalled(&self) -> bool {
        self.phase == Phase::Open && self.missed > self.limit && self.limit <= self.next && self.next < self.last()
    }

    /// When it is sent again, if something is lost now; `trip` is what the way there and back takes.
    pub(super) fn next_try(&mut self, now: Instant, trip: Duration) -> Instant {
        let tries = self.tries;
        self.tries += 1;
        match self.phase {
            Phase::Open => now + trip + LONGEST_TRY.min(FIRST_SEND_TRY * 2u32.saturating_pow(tries)),
            _ => now.max(self.asked + LONGEST_TRY.min(FIRST_CONNECT_TRY * 2u32.saturating_pow(tries))),
        }
    }

    /// It was sent again often enough.
    pub(super) fn is_hopeless(&self) -> bool {
        self.tries > if self.phase == Phase::Open { SEND_TRIES } else { CONNECT_TRIES }
    }

    /// Begins again with the first byte that is not known to be received.
    pub(super) fn go_back(&mut self) {
        self.next = self.acknowledged;
        if self.end == End::Sent {
            self.end = End::Wanted;
        }
    }

    /// Takes the next part of what was written that there is room for, at most so many bytes.
    pub(super) fn next_segment(&mut self, from: SocketId, longest: usize) -> Option<Segment> {
        if self.phase != Phase::Open {
            return None;
        }
        let (unsent, room) = (self.last() - self.next, self.limit.saturating_sub(self.next));
        let length = unsent.min(room).min(longest as u64);
        let end = self.end == End::Wanted && length == unsent;
        if length == 0 && !end {
            return None;
        }
        let begin = (self.next - self.acknowledged) as usize;
        let mut bytes = Vec::with_capacity(length as usize);
        let (first, second) = self.written.as_slices();
        let stop = begin + length as usize;
        bytes.extend_from_slice(&first[begin.min(first.len())..stop.min(first.len())]);
        bytes.extend_from_slice(&second[begin.saturating_sub(first.len())..stop.saturating_sub(first.len())]);
        let mut segment = self.answer(from)?;
        (segment.bytes, segment.end) = (bytes, end);
        self.next += length;
        if end {
            self.end = End::Sent;
        }
        Some(segment)
    }

    /// A segment without bytes, which tells what was received. None before the other end is known.
    pub(super) fn answer(&self, from: SocketId) -> Option<Segment> {
        Some(Segment {
            from,
            to: self.other?,
            at: self.next,
            bytes: Vec::new(),
            end: false,
            probe: false,
            received: self.expected + u64::from(self.ended),
            room: self.room(),
        })
    }

    /// Takes what the other side says about what it has received. Returns whether there is room to write by now.
    pub(super) fn acknowledge(&mut self, segment: &Segment) -> bool {
        let bytes = segment.received.min(self.last());
        let end = segment.received > self.last() && self.end == End::Sent;
        if bytes > self.acknowledged || end {
            self.tries = 0;
        }
        let progress = bytes.saturating_sub(self.acknowledged);
        self.written.drain(..progress as usize);
        self.acknowledged += progress;
        self.next = self.next.max(self.acknowledged);
        if end {
            self.end = End::Received;
        }
        let limit = segment.received + segment.room;
        if limit > self.limit {
            (self.limit, self.tries) = (limit, 0);
        }
        progress > 0
    }

    /// Takes the bytes and the end of a segment, as far as they come in order. Returns whether a reader has something
    /// to read.
    pub(super) fn receive(&mut self, segment: &mut Segment, cuts: bool) -> bool {
        let behind = segment.at + segment.bytes.len() as u64;
        if segment.at > self.expected || behind < self.expected {
            return false;
        }
        let known = (self.expected - segment.at) as usize;
        let mut bytes = std::mem::take(&mut segment.bytes);
        if known > 0 {
            bytes.drain(..known);
        }
        let news = !bytes.is_empty() || (segment.end && !self.ended);
        self.expected = behind;
        self.ended |= segment.end;
        self.received.push(bytes, cuts);
        news
    }

    /// Reads. `stops` is asked at each border of segments whether the read ends there.
    pub(super) fn read(
        &mut self,
        bufs: &mut [io::IoSliceMut<'_>],
        peek: bool,
        stops: impl FnMut() -> bool,
    ) -> Attempt<usize> {
        if self.received.length > 0 {
            return Some(Ok(self.received.read(bufs, peek, stops)));
        }
        if self.ended {
            return Some(Ok(0));
        }
        match self.failure.take() {
            Some(failure) => Some(Err(failure)),
            None if self.deaf || self.phase == Phase::Failed => Some(Ok(0)),
            None => None,
        }
    }

    /// After a read: whether the other side should be told that there is room again.
    pub(super) fn offers_more(&mut self, longest: usize) -> bool {
        let capacity = self.options.receive_buffer;
        let free = self.expected + capacity.saturating_sub(self.received.length) as u64;
        let grown = free.saturating_sub(self.offered);
        let worth = self.phase == Phase::Open && !self.ended && grown >= longest.min(capacity.div_ceil(2)) as u64;
        if worth {
            self.offered = free;
        }
        worth
    }

    /// Writes.
    pub(super) fn write(&mut self, bufs: &[io::IoSlice<'_>]) -> Attempt<usize> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        if self.phase == Phase::Failed || self.end != End::Open {
            return Some(Err(Failure::BrokenPipe));
        }
        let mut room = self.options.send_buffer.saturating_sub(self.written.len());
        let mut written = 0;
        for buf in bufs {
            let part = &buf[..buf.len().min(room)];
            self.written.extend(part);
            (room, written) = (room - part.len(), written + part.len());
        }
        (written > 0).then_some(Ok(written))
    }

    /// Nothing will be written any more.
    pub(super) fn finish(&mut self) {
        if self.end == End::Open {
            self.end = End::Wanted;
        }
    }

    /// Nothing will be read any more but what is there.
    pub(super) fn deafen(&mut self) {
        self.deaf = true;
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// Returns whether data that come now are refused, as TCP does when both directions were shut down here.
    pub(super) fn refuses_data(&self) -> bool {
        self.deaf && self.end != End::Open && matches!(self.local, Address::Inet(_))
    }

    /// Returns whether there are bytes in a segment that have not come before.
    pub(super) fn is_news(&self, segment: &Segment) -> bool {
        segment.at + segment.bytes.len() as u64 > self.expected
    }

    /// Has room for what would be refused. A writer at the other end that waits for some finds that out by it, as one of a
    /// kernel does that tries from time to time.
    pub(super) fn offer_to_refuse(&mut self) {
        self.offered = self.offered.max(self.expected + self.options.receive_buffer as u64);
    }

    /// The failure of this side if the other one resets the connection: as on Linux, that it has closed, if it has said
    /// so before.
    pub(super) fn reset_means(&self) -> Failure {
        if self.ended { Failure::BrokenPipe } else { Failure::Reset }
    }

    /// The connection is broken, for this reason, which the next caller gets. A reset that comes when both sides had
    /// said their last is not a failure.
    pub(super) fn fail(&mut self, failure: Failure) {
        let both_ended = self.ended && self.written.is_empty() && self.end != End::Open;
        if self.phase != Phase::Failed && !(both_ended && failure != Failure::TimedOut) {
            self.failure = Some(failure);
        }
        self.phase = Phase::Failed;
        self.retry = None;
        self.written.clear();
    }

    /// Why it is broken, if nobody was told.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// How far it is, for people.
    pub(super) fn describe(&self) -> &'static str {
        match (self.phase, self.end, self.ended) {
            (Phase::Connecting, ..) => "connecting",
            (Phase::Accepting(_), ..) => "being accepted",
            (Phase::Failed, ..) => "broken",
            _ if self.orphan => CLOSING,
            (_, End::Open, false) => "open",
            (_, End::Open, true) => "closed by the other side",
            (_, _, false) => "closed by this side",
            (_, _, true) => "closed by both sides",
        }
    }

    /// How many bytes were written and are not known to be received, and how many were received and are not read.
    pub(super) fn buffered(&self) -> (usize, usize) {
        (self.written.len(), self.received.length)
    }
}
