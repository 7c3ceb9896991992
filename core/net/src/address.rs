//! Addresses, and the two families of sockets.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::unix::net::SocketAddr as UnixAddr;

use crate::contract::{SocketOption, StreamSocket};

/// An address of either family, as the [contract](crate::contract) passes it on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Address {
    /// Of TCP and UDP.
    Inet(SocketAddr),
    /// Of Unix sockets: a path, an abstract name, or none.
    #[cfg(unix)]
    Unix(UnixAddr),
}

/// TCP and UDP.
#[derive(Clone, Copy, Debug)]
pub enum Inet {}

/// Unix sockets.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
pub enum Unix {}

/// A family of sockets: [`Inet`], or [`Unix`](crate::Unix). There are no others.
pub trait Family: sealed::Sealed + Debug + Send + Sync + Unpin + 'static {
    /// Its addresses.
    type Addr: Clone + Debug + Send + Sync + Unpin + 'static;

    #[doc(hidden)]
    const NAME: &'static str;

    #[doc(hidden)]
    fn unpack(address: Address) -> io::Result<Self::Addr>;

    #[doc(hidden)]
    fn pack(address: Self::Addr) -> Address;

    #[doc(hidden)]
    fn accepted(stream: &dyn StreamSocket);
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
    impl Sealed for super::Inet {}
    #[cfg(unix)]
    impl Sealed for super::Unix {}
}

impl Family for Inet {
    type Addr = SocketAddr;
    const NAME: &'static str = "Tcp";

    fn unpack(address: Address) -> io::Result<SocketAddr> {
        match address {
            Address::Inet(address) => Ok(address),
            #[cfg(unix)]
            Address::Unix(_) => Err(other_family()),
        }
    }

    fn pack(address: SocketAddr) -> Address {
        Address::Inet(address)
    }

    fn accepted(stream: &dyn StreamSocket) {
        // If the host refuses, the connection is broken, and its first read says so.
        let _ = stream.set_option(SocketOption::NoDelay(true));
    }
}

#[cfg(unix)]
impl Family for Unix {
    type Addr = UnixAddr;
    const NAME: &'static str = "Unix";

    fn unpack(address: Address) -> io::Result<UnixAddr> {
        match address {
            Address::Unix(address) => Ok(address),
            Address::Inet(_) => Err(other_family()),
        }
    }

    fn pack(address: UnixAddr) -> Address {
        Address::Unix(address)
    }

    fn accepted(_: &dyn StreamSocket) {}
}

#[cfg(unix)]
fn other_family() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the socket is of the other family: TCP and Unix sockets were mixed up")
}
