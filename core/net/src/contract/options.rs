//! How a socket is opened, and what can be set on one.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How a socket that listens is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// How many connections wait to be accepted before others have to wait for room. The host has a limit of its own.
    pub backlog: u32,
    /// Whether the port may be that of a connection which has been closed lately. No effect on Windows, where it would
    /// mean something else.
    pub reuse_address: bool,
    /// Whether several sockets may listen at the same port.
    pub reuse_port: bool,
    /// Whether `[::]` stands for IPv6 alone, and not for IPv4, too.
    pub only_v6: bool,
    /// Whether the file of a Unix socket that no one listens at any more is replaced.
    pub replace_stale: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions { backlog: 1024, reuse_address: true, reuse_port: false, only_v6: false, replace_stale: false }
    }
}

/// How a connection is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The address to connect from.
    pub local: Option<SocketAddr>,
    /// Whether small writes are sent at once, and not held back until earlier ones have been acknowledged.
    pub nodelay: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions { local: None, nodelay: true }
    }
}

/// How a socket for datagrams is opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DatagramOptions {
    /// Whether several sockets may have the same address.
    pub reuse_address: bool,
    /// Whether several sockets share what comes to one port.
    pub reuse_port: bool,
}

/// An option of a socket, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// Small writes are sent at once.
    NoDelay(bool),
    /// How long the host goes on to deliver what is left when the socket is closed. Zero resets the connection.
    Linger(Option<Duration>),
    /// After how much silence the host asks whether the other side is still there.
    KeepAlive(Option<Duration>),
    /// How many hops a packet may take.
    Ttl(u32),
    /// The size of the host's buffer for what is sent. The host may round it.
    SendBuffer(usize),
    /// The size of the host's buffer for what is received. The host may round it.
    ReceiveBuffer(usize),
    /// Datagrams may be sent to broadcast addresses.
    Broadcast(bool),
    /// A member of a multicast group receives what it sends itself.
    MulticastLoop(bool),
    /// Joins a multicast group on the interface with this address; the unspecified one leaves the choice to the host.
    /// Cannot be read.
    JoinMulticastV4(Ipv4Addr, Ipv4Addr),
    /// Leaves it. Cannot be read.
    LeaveMulticastV4(Ipv4Addr, Ipv4Addr),
    /// Joins a multicast group on the interface with this number; 0 leaves the choice to the host. Cannot be read.
    JoinMulticastV6(Ipv6Addr, u32),
    /// Leaves it. Cannot be read.
    LeaveMulticastV6(Ipv6Addr, u32),
}

/// The name of an option that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionName {
    /// [`SocketOption::NoDelay`]
    NoDelay,
    /// [`SocketOption::Linger`]
    Linger,
    /// [`SocketOption::KeepAlive`]
    KeepAlive,
    /// [`SocketOption::Ttl`]
    Ttl,
    /// [`SocketOption::SendBuffer`]
    SendBuffer,
    /// [`SocketOption::ReceiveBuffer`]
    ReceiveBuffer,
    /// [`SocketOption::Broadcast`]
    Broadcast,
    /// [`SocketOption::MulticastLoop`]
    MulticastLoop,
}
