//! Why a connection was not opened.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why no address could be connected to; inside of an [`io::Error`], whose kind is that of the attempts if they agree,
/// and else that of the first one which got as far as the other host.
///
/// Its source is the error of that attempt, with the number that the host gave.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectError {
    /// The addresses that were tried, in this order, and why each failed.
    pub attempts: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    /// The attempt that says most: the first that was not stopped on this host.
    fn main(&self) -> Option<&(SocketAddr, io::Error)> {
        let unreachable = |error: &io::Error| {
            use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
            matches!(error.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable)
        };
        self.attempts.iter().find(|(_, error)| !unreachable(error)).or(self.attempts.first())
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        let kind = error.main().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
        io::Error::new(kind, error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(address, error)] = &self.attempts[..] {
            return write!(f, "cannot connect to {address}: {error}");
        }
        f.write_str("cannot connect to any address:")?;
        for (number, (address, error)) in self.attempts.iter().enumerate() {
            let separator = if number == 0 { "" } else { ";" };
            write!(f, "{separator} {address}: {error}")?;
        }
        Ok(())
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.main().map(|(_, error)| error as _)
    }
}
