//! Opens connections: by address, or by name over both families.

mod attempts;
mod error;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use crate::address::{Address, Inet};
use crate::contract::{ConnectOptions, net};
use crate::direction::operation;
use crate::resolve::lookup_host;
use crate::stream::Stream;
use crate::target::ToTarget;
use crate::tcp::TcpStream;
use attempts::attempts;

pub use error::ConnectError;

/// How long an attempt has before the next one begins, if nothing else is said (RFC 8305, section 5).
pub const STAGGER: Duration = Duration::from_millis(250);

/// How to open a TCP connection.
///
/// # Examples
///
/// ```
/// use foster_net::{Connect, TcpListener};
/// use std::time::Duration;
///
/// # foster_smol::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let connect = Connect::new().stagger(Duration::from_millis(100)).local("127.0.0.1:0".parse().unwrap());
/// let stream = connect.to(listener.local_addr()?).await?;
/// assert!(stream.nodelay()?);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "it opens nothing before `to` is awaited"]
pub struct Connect {
    options: ConnectOptions,
    stagger: Duration,
}

impl Connect {
    /// Starts with [`STAGGER`], without a local address, and with `nodelay` on.
    pub fn new() -> Self {
        Connect { options: ConnectOptions::default(), stagger: STAGGER }
    }

    /// Sets how long an attempt has before the next one begins.
    pub fn stagger(mut self, stagger: Duration) -> Self {
        self.stagger = stagger;
        self
    }

    /// Connects from this address. Addresses of the other family are not tried.
    pub fn local(mut self, local: SocketAddr) -> Self {
        self.options.local = Some(local);
        self
    }

    /// Sets whether small writes are sent at once (`TCP_NODELAY`).
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.options.nodelay = nodelay;
        self
    }

    /// Opens a connection; see [`TcpStream::connect`].
    ///
    /// # Cancellation
    ///
    /// *Strict*, as [`TcpStream::connect`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`]; and [`InvalidInput`](io::ErrorKind::InvalidInput) if no address is of the family of
    /// the [local](Connect::local) one.
    pub async fn to(&self, target: impl ToTarget) -> io::Result<TcpStream> {
        let mut addresses = lookup_host(target).await?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to"));
        }
        if let Some(local) = self.options.local {
            let first = addresses[0];
            addresses.retain(|address| address.is_ipv4() == local.is_ipv4());
            if addresses.is_empty() {
                let message = format!("cannot connect from {local} to {first}: they are of different families");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        let net = net()?;
        let connect = |address: SocketAddr| net.connect(&Address::Inet(address), &self.options);
        let mut attempts = pin!(attempts(alternate(addresses), self.stagger, connect));
        let (socket, peer) = operation("connect", |cx| attempts.as_mut().poll(cx)).await?;
        Ok(Stream::<Inet>::new(socket, peer))
    }
}

impl Default for Connect {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts the addresses into an order in which the families alternate, beginning with the family of the first (RFC 8305,
/// section 4).
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.len() < 2 {
        return addresses;
    }
    let begins = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == begins);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut alternating = Vec::with_capacity(one.len() + other.len());
    while one.len() + other.len() > 0 {
        alternating.extend(one.next());
        alternating.extend(other.next());
    }
    alternating
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N037: families alternate after the first; one family keeps its order.
    #[test]
    fn n037_families_alternate() {
        let order = |names: &[&str]| {
            let addresses = names.iter().map(|name| format!("{name}:1").parse().unwrap()).collect();
            alternate(addresses).iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(&["1.0.0.1", "1.0.0.2", "[2::3]"]), ["1.0.0.1", "2::3", "1.0.0.2"]);
        assert_eq!(order(&["[2::1]", "[2::2]", "[2::3]", "1.0.0.4"]), ["2::1", "1.0.0.4", "2::2", "2::3"]);
        assert_eq!(order(&["1.0.0.1", "1.0.0.2"]), ["1.0.0.1", "1.0.0.2"]);
        assert_eq!(order(&[]), [""; 0]);
    }
}
