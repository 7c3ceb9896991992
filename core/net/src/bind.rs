//! To get an address: which one of a target's a socket gets.

use std::io;
use std::net::SocketAddr;

use crate::resolve::lookup_host;
use crate::target::ToTarget;

/// The first address that can be had; else the error of the last, which names it.
pub(crate) async fn first_of<T>(
    target: impl ToTarget,
    mut open: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failed = None;
    for address in lookup_host(target).await? {
        match open(address) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Err(error),
            Err(error) => failed = Some((address, error)),
            opened => return opened,
        }
    }
    Err(self::failed(failed))
}

/// Returns the error that names the last address that was tried; if there was none to try, an error without an address.
pub(crate) fn failed(last: Option<(SocketAddr, io::Error)>) -> io::Error {
    match last {
        Some((address, error)) => io::Error::new(error.kind(), BindError { address, error }),
        None => io::Error::new(io::ErrorKind::InvalidInput, "there is no address to bind"),
    }
}

/// Why an address could not be had, or used; inside of an [`io::Error`].
#[derive(Debug)]
#[non_exhaustive]
pub struct BindError {
    /// The address, the last one that was tried.
    pub address: SocketAddr,
    /// The error of the host.
    pub error: io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot use the address {}: {}", self.address, self.error)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
