//! Sockets of the host, for adapters of real runtimes: everything but the waiting.
//!
//! An adapter implements [`Reactor`]: it watches sockets that were opened here, in non-blocking mode. [`HostNet`] makes
//! a [`Net`](crate::contract::Net) of that.

#[cfg(any(unix, windows))]
mod net;
#[cfg(any(unix, windows))]
mod open;
#[cfg(any(unix, windows))]
mod options;

#[cfg(any(unix, windows))]
pub use net::{HostNet, Reactor};
#[cfg(unix)]
pub use open::{accept, peek, send, unix_address};
#[cfg(any(unix, windows))]
pub use options::{option, set_option};

/// A stream of the host.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostStream {
    /// TCP.
    Inet(std::net::TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

/// A listener of the host.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostListener {
    /// TCP.
    Inet(std::net::TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// A socket for datagrams of the host.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostDatagram {
    /// UDP.
    Inet(std::net::UdpSocket),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixDatagram),
}
