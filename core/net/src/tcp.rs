//! TCP.

mod listen;

use std::io;
use std::time::Duration;

use crate::address::Inet;
use crate::connect::Connect;
use crate::contract::{OptionName, Socket, SocketOption, net};
use crate::host::{HostListener, HostStream};
use crate::listener::Listener;
use crate::stream::Stream;
use crate::target::ToTarget;

pub use listen::Listen;

/// A TCP connection. Its methods are those of [`Stream`].
///
/// Small writes are sent at once (`TCP_NODELAY` is on), whether the stream was connected or accepted;
/// [`set_nodelay`](Stream::set_nodelay) changes it.
///
/// # Examples
///
/// ```
/// use foster::{Nursery, nursery};
/// use foster_net::{TcpListener, TcpStream};
/// use std::io;
///
/// # foster_smol::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// nursery(async |n: Nursery<io::Error>| {
///     n.spawn(async move {
///         let (stream, _) = listener.accept().await?;
///         stream.write_all(b"hello").await
///     });
///     let stream = TcpStream::connect(address).await?;
///     let mut greeting = [0; 5];
///     stream.read_exact(&mut greeting).await?;
///     assert_eq!(&greeting, b"hello");
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
pub type TcpStream = Stream<Inet>;

/// A TCP socket that accepts connections. Its methods are those of [`Listener`].
///
/// # Examples
///
/// ```
/// use foster_net::TcpListener;
///
/// # foster_smol::run(async {
/// let listener = TcpListener::bind("localhost:0").await?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub type TcpListener = Listener<Inet>;

impl Stream<Inet> {
    /// Opens a connection, to the first address of `target` that answers.
    ///
    /// A name is [looked up](crate::lookup_host). Several addresses are tried as RFC 8305 has it ("happy eyeballs"):
    /// the families alternate, beginning with that of the first, and an attempt begins 250 ms after the one before, or
    /// as soon as that one has failed. When this returns, all attempts but the one that won are closed. There is no
    /// time limit of its own: a deadline around it covers the lookup and all attempts. [`Connect`] has settings.
    ///
    /// # Cancellation
    ///
    /// *Strict*: all attempts are closed. A lookup in `getaddrinfo` is abandoned, see
    /// [`lookup_host`](crate::lookup_host).
    ///
    /// # Errors
    ///
    /// * The errors of [`lookup_host`](crate::lookup_host).
    /// * All attempts failed: see [`ConnectError`](crate::ConnectError), which is inside.
    pub async fn connect(target: impl ToTarget) -> io::Result<Self> {
        Connect::new().to(target).await
    }

    /// Takes over a stream of the standard library, which is switched to non-blocking mode.
    ///
    /// # Errors
    ///
    /// * [`NotConnected`](io::ErrorKind::NotConnected): it is not a connection.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network, or none of the host.
    /// * Other errors of the host.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        let peer = stream.peer_addr()?;
        stream.set_nonblocking(true)?;
        Ok(Stream::new(net()?.adopt_stream(HostStream::Inet(stream))?, peer))
    }

    /// Gives the connection to the standard library, in blocking mode. Nothing that has come is lost.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Stream::from_std).
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        match self.socket().to_host()? {
            HostStream::Inet(stream) => stream.set_nonblocking(false).map(|()| stream),
            #[cfg(unix)]
            HostStream::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Returns whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn nodelay(&self) -> io::Result<bool> {
        flag(self.socket(), OptionName::NoDelay)
    }

    /// Sets whether small writes are sent at once, and not held back until earlier ones have been acknowledged.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket().set_option(SocketOption::NoDelay(nodelay))
    }

    /// Returns the time of [`set_linger`](Stream::set_linger).
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        match self.socket().option(OptionName::Linger)? {
            SocketOption::Linger(time) => Ok(time),
            _ => Err(wrong_answer()),
        }
    }

    /// Sets what the host does with what it has not yet sent when the stream is closed. `None`, where it begins: it
    /// goes on. Zero: it throws it away, and resets the connection. Other times are a trap: the host waits for so long
    /// inside of the `Drop`, and blocks the thread.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket().set_option(SocketOption::Linger(linger))
    }

    /// Returns the time of [`set_keepalive`](Stream::set_keepalive).
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        match self.socket().option(OptionName::KeepAlive)? {
            SocketOption::KeepAlive(time) => Ok(time),
            _ => Err(wrong_answer()),
        }
    }

    /// Sets after how much silence the host asks whether the other side is still there. `None`, where it begins: never.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_keepalive(&self, keepalive: Option<Duration>) -> io::Result<()> {
        self.socket().set_option(SocketOption::KeepAlive(keepalive))
    }

    /// Returns how many hops a packet may take.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn ttl(&self) -> io::Result<u32> {
        number(self.socket(), OptionName::Ttl)
    }

    /// Sets how many hops a packet may take.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket().set_option(SocketOption::Ttl(ttl))
    }

    /// Returns the size of the host's buffer for what is sent.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        size(self.socket(), OptionName::SendBuffer)
    }

    /// Sets the size of the host's buffer for what is sent. The host may round it; Linux doubles it.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_send_buffer_size(&self, size: usize) -> io::Result<()> {
        self.socket().set_option(SocketOption::SendBuffer(size))
    }

    /// Returns the size of the host's buffer for what is received.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        size(self.socket(), OptionName::ReceiveBuffer)
    }

    /// Sets the size of the host's buffer for what is received. The host may round it; Linux doubles it.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn set_recv_buffer_size(&self, size: usize) -> io::Result<()> {
        self.socket().set_option(SocketOption::ReceiveBuffer(size))
    }
}

pub(crate) fn flag(socket: &(impl Socket + ?Sized), name: OptionName) -> io::Result<bool> {
    match socket.option(name)? {
        SocketOption::NoDelay(on) | SocketOption::Broadcast(on) | SocketOption::MulticastLoop(on) => Ok(on),
        _ => Err(wrong_answer()),
    }
}

pub(crate) fn number(socket: &(impl Socket + ?Sized), name: OptionName) -> io::Result<u32> {
    match socket.option(name)? {
        SocketOption::Ttl(number) => Ok(number),
        _ => Err(wrong_answer()),
    }
}

pub(crate) fn size(socket: &(impl Socket + ?Sized), name: OptionName) -> io::Result<usize> {
    match socket.option(name)? {
        SocketOption::SendBuffer(size) | SocketOption::ReceiveBuffer(size) => Ok(size),
        _ => Err(wrong_answer()),
    }
}

fn wrong_answer() -> io::Error {
    io::Error::other("the network has answered for another option than that it was asked for")
}

impl Listener<Inet> {
    /// Listens at the first address of `target` that can be had. With port 0 the host chooses one; see
    /// [`local_addr`](Listener::local_addr).
    ///
    /// `[::]` stands for all addresses, also those of IPv4, on every host. [`Listen`] has settings.
    ///
    /// # Cancellation
    ///
    /// *Strict*: nothing is left open. A lookup in `getaddrinfo` is abandoned, see [`lookup_host`](crate::lookup_host).
    ///
    /// # Errors
    ///
    /// * [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable),
    ///   [`PermissionDenied`](io::ErrorKind::PermissionDenied), and what else the host says.
    /// * The errors of [`lookup_host`](crate::lookup_host).
    pub async fn bind(target: impl ToTarget) -> io::Result<Self> {
        Listen::new().at(target).await
    }

    /// Takes over a listener of the standard library, which is switched to non-blocking mode.
    ///
    /// # Errors
    ///
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): it does not listen.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network, or none of the host.
    /// * Other errors of the host.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Listener::new(net()?.adopt_listener(HostListener::Inet(listener))?)
    }

    /// Gives the socket to the standard library, in blocking mode.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Listener::from_std).
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        match self.socket()?.to_host()? {
            HostListener::Inet(listener) => listener.set_nonblocking(false).map(|()| listener),
            #[cfg(unix)]
            HostListener::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}
