//! Unix sockets.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod credentials;
pub(crate) mod own_file;

use std::io;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;
use std::time::Duration;

use foster_core::sleep;

use crate::address::{Address, Unix};
use crate::contract::{ConnectOptions, DatagramOptions, ListenOptions, ListenerSocket, net};
use crate::datagram::Datagram;
use crate::direction::operation;
use crate::host::{HostDatagram, HostListener, HostStream};
use crate::listener::Listener;
use crate::stream::Stream;
use own_file::{OwnFile, WithOwnFile};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use credentials::PeerCredentials;

/// A connection over a Unix socket. Its methods are those of [`Stream`].
///
/// # Examples
///
/// ```
/// use foster_net::UnixStream;
///
/// # foster_smol::run(async {
/// let (one, other) = UnixStream::pair()?;
/// one.write_all(b"hello").await?;
/// drop(one);
/// let mut buf = [0; 16];
/// assert_eq!(other.read(&mut buf).await?, 5);
/// assert_eq!(other.read(&mut buf).await?, 0);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub type UnixStream = Stream<Unix>;

/// A Unix socket that accepts connections. Its methods are those of [`Listener`].
pub type UnixListener = Listener<Unix>;

/// A Unix socket for datagrams. Its methods are those of [`Datagram`].
///
/// # Examples
///
/// ```
/// use foster_net::UnixDatagram;
///
/// # foster_smol::run(async {
/// let (one, other) = UnixDatagram::pair()?;
/// one.send(b"hello").await?;
/// let mut buf = [0; 16];
/// assert_eq!(other.recv(&mut buf).await?, 5);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub type UnixDatagram = Datagram<Unix>;

/// A full backlog tells nobody when there is room.
const FULL_BACKLOG: Duration = Duration::from_millis(10);

/// How long a datagram waits until it is sent again to a socket whose queue was full: Linux tells only who is connected
/// of room.
const FULL_QUEUE: Duration = Duration::from_millis(10);

impl Stream<Unix> {
    /// Connects to the socket at this path.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// * [`NotFound`](io::ErrorKind::NotFound): there is no file.
    /// * [`ConnectionRefused`](io::ErrorKind::ConnectionRefused): nobody listens at it.
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): the path is too long for a socket, or has a NUL in it.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::connect_addr(&UnixAddr::from_pathname(path)?).await
    }

    /// Does as [`connect`](Stream::connect), to a path or an abstract name.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// As [`connect`](Stream::connect); to an abstract name that nobody has, it is refused.
    pub async fn connect_addr(address: &UnixAddr) -> io::Result<Self> {
        let (net, to) = (net()?, Address::Unix(address.clone()));
        loop {
            let mut connect = net.connect(&to, &ConnectOptions::default());
            match operation("connect", |cx| connect.as_mut().poll(cx)).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(FULL_BACKLOG).await,
                connected => return Ok(Stream::new(connected?, address.clone())),
            }
        }
    }

    /// Makes two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network, or no pairs.
    /// * Other errors of the host.
    pub fn pair() -> io::Result<(Self, Self)> {
        let [one, other] = net()?.stream_pair()?;
        let (ones, others) = (Self::address_of(&*one)?, Self::address_of(&*other)?);
        Ok((Stream::new(one, others), Stream::new(other, ones)))
    }

    fn address_of(socket: &dyn crate::contract::StreamSocket) -> io::Result<UnixAddr> {
        match socket.local_address()? {
            Address::Unix(address) => Ok(address),
            Address::Inet(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Takes over a stream of the standard library, which is switched to non-blocking mode.
    ///
    /// # Errors
    ///
    /// * [`NotConnected`](io::ErrorKind::NotConnected): it is not a connection.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network, or none of the host.
    /// * Other errors of the host.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        let peer = stream.peer_addr()?;
        stream.set_nonblocking(true)?;
        Ok(Stream::new(net()?.adopt_stream(HostStream::Unix(stream))?, peer))
    }

    /// Gives the connection to the standard library, in blocking mode. Nothing that has come is lost.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Stream::from_std).
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        match self.socket().to_host()? {
            HostStream::Unix(stream) => stream.set_nonblocking(false).map(|()| stream),
            HostStream::Inet(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Listener<Unix> {
    /// Listens at this path, which must not exist. The file stays when the listener is closed, as it does with std; see
    /// [`bind_replacing_stale`](Listener::bind_replacing_stale) and
    /// [`remove_file_on_drop`](Listener::remove_file_on_drop).
    ///
    /// # Errors
    ///
    /// * [`AddrInUse`](io::ErrorKind::AddrInUse): there is a file of any kind at the path.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network.
    /// * Other errors of the host.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bind_addr(&UnixAddr::from_pathname(path)?)
    }

    /// Does as [`bind`](Listener::bind), and replaces the file of a socket that nobody listens at any more. One that
    /// somebody listens at, and a file of any other sort, are left alone.
    ///
    /// For one server at a time: of two that start at this path in the same instant, one may replace the file of the
    /// other, which then listens where nobody can find it. A lock file beside it keeps them apart.
    ///
    /// # Errors
    ///
    /// As [`bind`](Listener::bind).
    pub fn bind_replacing_stale(path: impl AsRef<Path>) -> io::Result<Self> {
        let options = ListenOptions { replace_stale: true, ..ListenOptions::default() };
        Self::open(&UnixAddr::from_pathname(path)?, &options)
    }

    /// Does as [`bind`](Listener::bind), at a path or an abstract name, which goes with the listener.
    ///
    /// # Errors
    ///
    /// As [`bind`](Listener::bind).
    pub fn bind_addr(address: &UnixAddr) -> io::Result<Self> {
        Self::open(address, &ListenOptions::default())
    }

    /// Has the file removed when the listener is closed or dropped, unless another file is at its path by then. The
    /// file is the one that was there when the listener was bound, or [taken over](Listener::from_std), in the
    /// directory of the process at that time.
    ///
    /// The thread that closes or drops the listener looks at the file and removes it: that blocks as long as the file
    /// system needs.
    ///
    /// A file that cannot be removed stays, and nobody is told; so does that of a process that is killed. The next
    /// [`bind_replacing_stale`](Listener::bind_replacing_stale) replaces both.
    ///
    /// # Errors
    ///
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): it listens at no path.
    /// * [`NotFound`](io::ErrorKind::NotFound): its file was gone already when it was bound or taken over.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): it is not a socket of the host.
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_net::UnixListener;
    ///
    /// # foster_smol::run(async {
    /// # let path = std::env::temp_dir().join(format!("foster-net-own-{}", std::process::id()));
    /// let listener = UnixListener::bind_replacing_stale(&path)?.remove_file_on_drop()?;
    /// assert!(path.exists());
    /// drop(listener);
    /// assert!(!path.exists());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn remove_file_on_drop(self) -> io::Result<Self> {
        if self.local_addr()?.as_pathname().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the listener has no file"));
        }
        let socket = self.socket()?;
        // In a simulated network the path is no file of the host's.
        drop(socket.to_host()?);
        let Some(file) = self.own_file.clone() else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file of the listener was gone when it was bound"));
        };
        let mut listener = Listener::new(Box::new(WithOwnFile::new(socket, file.clone())))?;
        listener.own_file = Some(file);
        Ok(listener)
    }

    fn open(address: &UnixAddr, options: &ListenOptions) -> io::Result<Self> {
        Self::with_file(net()?.listen(&Address::Unix(address.clone()), options)?)
    }

    /// Makes a listener that knows its file, which is looked for now: later there may be another one.
    fn with_file(socket: Box<dyn ListenerSocket>) -> io::Result<Self> {
        let mut listener = Self::new(socket)?;
        listener.own_file = listener.local_addr()?.as_pathname().and_then(|path| OwnFile::find(path).ok());
        Ok(listener)
    }

    /// Takes over a listener of the standard library, which is switched to non-blocking mode.
    ///
    /// # Errors
    ///
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): it does not listen.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network, or none of the host.
    /// * Other errors of the host.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::with_file(net()?.adopt_listener(HostListener::Unix(listener))?)
    }

    /// Gives the socket to the standard library, in blocking mode.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Listener::from_std).
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        match self.socket()?.to_host()? {
            HostListener::Unix(listener) => listener.set_nonblocking(false).map(|()| listener),
            HostListener::Inet(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Datagram<Unix> {
    /// Opens a socket at this path, which must not exist.
    ///
    /// # Errors
    ///
    /// * [`AddrInUse`](io::ErrorKind::AddrInUse): there is a file at the path.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network.
    /// * Other errors of the host.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = Address::Unix(UnixAddr::from_pathname(path)?);
        Ok(Datagram::new(net()?.datagram(Some(&address), &DatagramOptions::default())?))
    }

    /// Opens a socket without an address: nobody can answer it.
    ///
    /// # Errors
    ///
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network.
    /// * Other errors of the host.
    pub fn unbound() -> io::Result<Self> {
        Ok(Datagram::new(net()?.datagram(None, &DatagramOptions::default())?))
    }

    /// Makes two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network, or no pairs.
    /// * Other errors of the host.
    pub fn pair() -> io::Result<(Self, Self)> {
        let [one, other] = net()?.datagram_pair()?;
        Ok((Datagram::new(one), Datagram::new(other)))
    }

    /// From now on sends to the socket at this path.
    ///
    /// # Errors
    ///
    /// As [`UnixStream::connect`].
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.socket().connect(&Address::Unix(UnixAddr::from_pathname(path)?))
    }

    /// Sends a datagram to the socket at this path; waits while its queue is full. On Linux nobody tells a socket that
    /// is not connected when there is room again, so it tries every 10 ms: [`connect`](Datagram::connect) it to a
    /// receiver that may be slow, to be told.
    ///
    /// # Cancellation
    ///
    /// *Loses its place* among those who wait to send. Nothing was sent.
    ///
    /// # Errors
    ///
    /// As [`UnixStream::connect`], and what else the host says.
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_addr(buf, &UnixAddr::from_pathname(path)?).await
    }

    /// Does as [`send_to`](Datagram::send_to), to a path or an abstract name.
    ///
    /// # Cancellation
    ///
    /// As [`send_to`](Datagram::send_to).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Datagram::send_to).
    pub async fn send_to_addr(&self, buf: &[u8], address: &UnixAddr) -> io::Result<usize> {
        loop {
            match self.send_to_address(buf, address.clone()).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(FULL_QUEUE).await,
                sent => return sent,
            }
        }
    }

    /// Takes over a socket of the standard library, which is switched to non-blocking mode.
    ///
    /// # Errors
    ///
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the runtime has no network, or none of the host.
    /// * Other errors of the host.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Datagram::new(net()?.adopt_datagram(HostDatagram::Unix(socket))?))
    }

    /// Gives the socket to the standard library, in blocking mode.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Datagram::from_std).
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        match self.socket().to_host()? {
            HostDatagram::Unix(socket) => socket.set_nonblocking(false).map(|()| socket),
            HostDatagram::Inet(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}
