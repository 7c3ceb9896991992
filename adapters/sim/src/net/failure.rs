//! The errors of the network: with the numbers that the host's own have, so that code sees the same in the simulation
//! as on a kernel.

use std::io;

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $errno:ident, $kind:ident;)*) => {
        /// The failure of a socket call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(unix), allow(dead_code, reason = "some are of Unix sockets alone"))]
        pub(super) enum Failure {
            $($(#[$doc])* $name,)*
        }

        #[cfg(unix)]
        impl From<Failure> for io::Error {
            fn from(failure: Failure) -> io::Error {
                let errno = match failure {
                    $(Failure::$name => rustix::io::Errno::$errno,)*
                };
                io::Error::from_raw_os_error(errno.raw_os_error())
            }
        }

        #[cfg(not(unix))]
        impl From<Failure> for io::Error {
            fn from(failure: Failure) -> io::Error {
                match failure {
                    $(Failure::$name => io::ErrorKind::$kind.into(),)*
                }
            }
        }
    };
}

failures! {
    /// Nobody listens there.
    Refused = CONNREFUSED, ConnectionRefused;
    /// The other side has reset the connection.
    Reset = CONNRESET, ConnectionReset;
    /// The other side has not answered, however often it was tried.
    TimedOut = TIMEDOUT, TimedOut;
    /// The stream was closed for writing.
    BrokenPipe = PIPE, BrokenPipe;
    /// Another socket has the address.
    InUse = ADDRINUSE, AddrInUse;
    /// The address is not one of this host, or it has no port left.
    NotAvailable = ADDRNOTAVAIL, AddrNotAvailable;
    /// The socket has no peer.
    NotConnected = NOTCONN, NotConnected;
    /// As [`NotConnected`](Failure::NotConnected), for datagrams without an address.
    NoDestination = DESTADDRREQ, NotConnected;
    /// The datagram is too long.
    TooLong = MSGSIZE, InvalidInput;
    /// Broadcasts were not asked for.
    Forbidden = ACCESS, PermissionDenied;
    /// There is no file at the path.
    NoFile = NOENT, NotFound;
    /// An address of the other family.
    OtherFamily = AFNOSUPPORT, InvalidInput;
    /// The socket at the path is of another kind.
    OtherKind = PROTOTYPE, InvalidInput;
    /// It cannot be done now.
    WouldBlock = AGAIN, WouldBlock;
}

/// The simulation has ended, or the host was crashed, and the socket with it.
pub(super) fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the socket is gone: its simulated host has crashed, or the simulation is over",
    )
}
