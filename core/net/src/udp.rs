//! UDP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::address::{Address, Inet};
use crate::bind::first_of;
use crate::contract::{DatagramOptions, OptionName, SocketOption, net};
use crate::datagram::Datagram;
use crate::host::HostDatagram;
use crate::resolve::lookup_host;
use crate::target::{Target, ToTarget};
use crate::tcp::{flag, number};

/// A UDP socket. Its methods are those of [`Datagram`].
///
/// # Examples
///
/// ```
/// use foster_net::UdpSocket;
///
/// # foster_smol::run(async {
/// let one = UdpSocket::bind("127.0.0.1:0").await?;
/// let other = UdpSocket::bind("127.0.0.1:0").await?;
/// one.send_to(b"hello", other.local_addr()?).await?;
/// let mut buf = [0; 1500];
/// let (length, from) = other.recv_from(&mut buf).await?;
/// assert_eq!((&buf[..length], from), (&b"hello"[..], one.local_addr()?));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub type UdpSocket = Datagram<Inet>;

impl Datagram<Inet> {
    /// Opens a socket at the first address of `target` that can be had. With port 0 the host chooses one.
    ///
    /// # Cancellation
    ///
    /// *Strict*: nothing is left open. A lookup in `getaddrinfo` is abandoned, see [`lookup_host`].
    ///
    /// # Errors
    ///
    /// * [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable),
    ///   [`PermissionDenied`](io::ErrorKind::PermissionDenied), and what else the host says.
    /// * The errors of [`lookup_host`].
    pub async fn bind(target: impl ToTarget) -> io::Result<Self> {
        let open = |address| net()?.datagram(Some(&Address::Inet(address)), &DatagramOptions::default());
        Ok(Datagram::new(first_of(target, open).await?))
    }

    /// From now on sends to this address, and receives from it alone. Of several addresses the first is taken that the
    /// host accepts.
    ///
    /// # Cancellation
    ///
    /// *Strict*. A lookup in `getaddrinfo` is abandoned, see [`lookup_host`].
    ///
    /// # Errors
    ///
    /// As the host says, and as [`lookup_host`].
    pub async fn connect(&self, target: impl ToTarget) -> io::Result<()> {
        first_of(target, |address| self.socket().connect(&Address::Inet(address))).await
    }

    /// Sends a datagram to the first address of `target`. An empty one is sent, too.
    ///
    /// # Cancellation
    ///
    /// *Loses its place* among those who wait to send. Nothing was sent.
    ///
    /// # Errors
    ///
    /// As the host says, and as [`lookup_host`]; it is an error if the datagram is too long for the host: 65,507 bytes
    /// over IPv4.
    pub async fn send_to(&self, buf: &[u8], target: impl ToTarget) -> io::Result<usize> {
        let addresses = match target.to_target()? {
            Target::Addresses(addresses) => addresses,
            name => lookup_host(name).await?,
        };
        let Some(&address) = addresses.first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address to send to"));
        };
        self.send_to_address(buf, address).await
    }

    /// Does as [`recv_from`](Datagram::recv_from), and leaves the datagram where it is: the next receive gets it again.
    ///
    /// # Cancellation
    ///
    /// As [`recv_from`](Datagram::recv_from).
    ///
    /// # Errors
    ///
    /// As the host says.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.peek_sender(buf).await
    }

    /// Takes over a socket of the standard library, which is switched to non-blocking mode.
    ///
    /// # Errors
    ///
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network, or none of the host.
    /// * Other errors of the host.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Datagram::new(net()?.adopt_datagram(HostDatagram::Inet(socket))?))
    }

    /// Gives the socket to the standard library, in blocking mode.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Datagram::from_std).
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        match self.socket().to_host()? {
            HostDatagram::Inet(socket) => socket.set_nonblocking(false).map(|()| socket),
            #[cfg(unix)]
            HostDatagram::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Returns whether datagrams may be sent to broadcast addresses.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn broadcast(&self) -> io::Result<bool> {
        flag(self.socket(), OptionName::Broadcast)
    }

    /// Sets whether datagrams may be sent to broadcast addresses. At first they may not.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket().set_option(SocketOption::Broadcast(broadcast))
    }

    /// Returns how many hops a datagram may take.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn ttl(&self) -> io::Result<u32> {
        number(self.socket(), OptionName::Ttl)
    }

    /// Sets how many hops a datagram may take.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket().set_option(SocketOption::Ttl(ttl))
    }

    /// Returns whether a member of a multicast group receives what this socket sends to it on the same host.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn multicast_loop(&self) -> io::Result<bool> {
        flag(self.socket(), OptionName::MulticastLoop)
    }

    /// Sets whether a member of a multicast group receives what this socket sends to it on the same host.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_multicast_loop(&self, on: bool) -> io::Result<()> {
        self.socket().set_option(SocketOption::MulticastLoop(on))
    }

    /// Joins a multicast group, on the interface with this address; the unspecified one leaves the choice to the host.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket().set_option(SocketOption::JoinMulticastV4(group, interface))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket().set_option(SocketOption::LeaveMulticastV4(group, interface))
    }

    /// Joins a multicast group, on the interface with this number; 0 leaves the choice to the host.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket().set_option(SocketOption::JoinMulticastV6(group, interface))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket().set_option(SocketOption::LeaveMulticastV6(group, interface))
    }
}
