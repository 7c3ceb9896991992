//! Packets: datagrams, and the segments of streams.

use std::fmt;
use std::net::SocketAddr;

use super::hosts::HostId;

/// A socket, and never another one in the same place of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketId {
    pub(super) key: usize,
    pub(super) serial: u64,
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) number: u64,
    pub(super) from: HostId,
    /// None: no host has the address.
    pub(super) to: Option<HostId>,
    pub(super) source: SocketAddr,
    pub(super) target: SocketAddr,
    pub(super) load: Load,
}

#[derive(Clone, Debug)]
pub(super) enum Load {
    Datagram {
        bytes: Vec<u8>,
        /// The socket that is told that nobody listens.
        sender: SocketId,
    },
    /// The answer to a datagram for which there was no socket.
    Unreachable {
        sender: SocketId,
    },
    /// Asks for a connection. The answer is `SynAck`, or `Rst` if nobody listens.
    Syn {
        client: SocketId,
        room: u64,
    },
    SynAck {
        client: SocketId,
        server: SocketId,
        room: u64,
    },
    Rst {
        to: SocketId,
    },
    Segment(Segment),
}

/// A part of a stream, with what its sender has received so far.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) from: SocketId,
    pub(super) to: SocketId,
    /// The place of the first byte in the stream.
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    /// The stream ends behind these bytes. The end counts as one more byte.
    pub(super) end: bool,
    /// The receiver is to tell how much room it has.
    pub(super) probe: bool,
    /// All before this has been received.
    pub(super) received: u64,
    /// How much there is room for behind that.
    pub(super) room: u64,
}

impl Segment {
    /// Whether it carries nothing that would have to be sent again.
    pub(super) fn is_answer(&self) -> bool {
        self.bytes.is_empty() && !self.end && !self.probe
    }
}

impl Packet {
    /// How many bytes a link has to carry. Headers count nothing.
    pub(super) fn size(&self) -> u64 {
        self.payload().len() as u64
    }

    pub(super) fn payload(&self) -> &[u8] {
        match &self.load {
            Load::Datagram { bytes, .. } => bytes,
            Load::Segment(segment) => &segment.bytes,
            _ => &[],
        }
    }

    /// The connection that will send it again if no answer comes.
    pub(super) fn asker(&self) -> Option<SocketId> {
        match &self.load {
            Load::Syn { client, .. } => Some(*client),
            Load::SynAck { server, .. } => Some(*server),
            Load::Segment(segment) if !segment.is_answer() => Some(segment.from),
            _ => None,
        }
    }

    /// Whether the link may repeat it, and let others overtake it.
    pub(super) fn is_datagram(&self) -> bool {
        matches!(self.load, Load::Datagram { .. })
    }

    /// The part of a packet that goes into the hash of a run: its kind, its ports, its sender, how many bytes it has,
    /// and the place of a segment in its stream. Not what the bytes are, nor whom it is for, nor what a segment
    /// acknowledges; packets that differ may have the same.
    pub(super) fn digest(&self) -> u64 {
        let kind = match &self.load {
            Load::Datagram { .. } => 1,
            Load::Unreachable { .. } => 2,
            Load::Syn { .. } => 3,
            Load::SynAck { .. } => 4,
            Load::Rst { .. } => 5,
            Load::Segment(segment) => 6 + u64::from(segment.end) + (segment.at << 8),
        };
        let ports = u64::from(self.source.port()) << 16 | u64::from(self.target.port());
        kind ^ self.size() << 40 ^ ports << 4 ^ (self.from.0 as u64) << 52
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Datagram { bytes, .. } => write!(f, "datagram of {} bytes", bytes.len()),
            Load::Unreachable { .. } => f.write_str("port unreachable"),
            Load::Syn { .. } => f.write_str("SYN"),
            Load::SynAck { .. } => f.write_str("SYN-ACK"),
            Load::Rst { .. } => f.write_str("RST"),
            Load::Segment(segment) => {
                if segment.probe {
                    f.write_str("probe, ")?;
                }
                if !segment.bytes.is_empty() {
                    write!(f, "bytes {}..{}, ", segment.at, segment.at + segment.bytes.len() as u64)?;
                }
                if segment.end {
                    f.write_str("FIN, ")?;
                }
                write!(f, "ACK {}", segment.received)
            }
        }
    }
}
