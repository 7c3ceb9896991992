//! Opens sockets of the host, in non-blocking mode.

use std::io;
#[cfg(unix)]
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{HostDatagram, HostListener, HostStream};
use crate::contract::{Address, ConnectOptions, DatagramOptions, ListenOptions};

/// Makes a socket, which does not block.
fn open(domain: Domain, kind: Type) -> io::Result<Socket> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "netbsd"))]
    return Socket::new(domain, kind.nonblocking(), None);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "netbsd")))]
    {
        let socket = Socket::new(domain, kind, None)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

pub(super) fn listener(at: &Address, options: &ListenOptions) -> io::Result<HostListener> {
    match at {
        Address::Inet(at) => {
            let socket = open(Domain::for_address(*at), Type::STREAM)?;
            if at.is_ipv6() {
                // The same on every host: Windows would have it the other way.
                socket.set_only_v6(options.only_v6)?;
            }
            #[cfg(not(windows))]
            socket.set_reuse_address(options.reuse_address)?;
            if options.reuse_port {
                reuse_port(&socket)?;
            }
            socket.bind(&SockAddr::from(*at))?;
            socket.listen(backlog(options))?;
            Ok(HostListener::Inet(socket.into()))
        }
        #[cfg(unix)]
        Address::Unix(at) => unix_listener(at, options).map(HostListener::Unix),
    }
}

/// Refuses what does not listen: anything may have become a listener of the standard library, by its descriptor. Apple's
/// hosts do not say.
pub(super) fn check_listens(listener: &HostListener) -> io::Result<()> {
    #[cfg(all(unix, not(target_vendor = "apple")))]
    let listens = match listener {
        HostListener::Inet(listener) => rustix::net::sockopt::socket_acceptconn(listener)?,
        HostListener::Unix(listener) => rustix::net::sockopt::socket_acceptconn(listener)?,
    };
    #[cfg(not(all(unix, not(target_vendor = "apple"))))]
    let (listens, _) = (true, listener);
    if listens { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket that listens")) }
}

/// The host clamps what is too large for it; a number that it would read as negative must not get there.
fn backlog(options: &ListenOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

#[cfg(unix)]
fn unix_listener(at: &UnixAddr, options: &ListenOptions) -> io::Result<UnixListener> {
    let listen = || -> io::Result<UnixListener> {
        let socket = open(Domain::UNIX, Type::STREAM)?;
        socket.bind(&unix_address(at)?)?;
        socket.listen(backlog(options))?;
        Ok(UnixListener::from(socket))
    };
    match (listen(), at.as_pathname()) {
        (Err(error), Some(path)) if options.replace_stale && error.kind() == io::ErrorKind::AddrInUse => {
            if !is_stale(path) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            listen()
        }
        (listening, _) => listening,
    }
}

/// Whether the file is a socket at which nobody listens.
#[cfg(unix)]
fn is_stale(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // A listener whose backlog is full does not refuse: this does not block, and anything but a refusal is a live one.
    let asks = || {
        let socket = open(Domain::UNIX, Type::STREAM)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    is_socket && asks().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Begins to connect. The socket becomes writable when that has succeeded or failed.
pub(super) fn connecting(to: &Address, options: &ConnectOptions) -> io::Result<HostStream> {
    match to {
        Address::Inet(to) => {
            let socket = open(Domain::for_address(*to), Type::STREAM)?;
            socket.set_tcp_nodelay(options.nodelay)?;
            if let Some(local) = options.local {
                #[cfg(not(windows))]
                socket.set_reuse_address(true)?;
                socket.bind(&SockAddr::from(local))?;
            }
            begin(&socket, &SockAddr::from(*to))?;
            Ok(HostStream::Inet(socket.into()))
        }
        #[cfg(unix)]
        Address::Unix(to) => {
            let socket = open(Domain::UNIX, Type::STREAM)?;
            begin(&socket, &unix_address(to)?)?;
            Ok(HostStream::Unix(socket.into()))
        }
    }
}

fn begin(socket: &Socket, to: &SockAddr) -> io::Result<()> {
    match socket.connect(to) {
        Err(error) if is_in_progress(&error) => Ok(()),
        connected => connected,
    }
}

#[cfg(unix)]
fn is_in_progress(error: &io::Error) -> bool {
    // Not `EAGAIN`: a Unix socket says so when the backlog is full, and nobody will wake us.
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
        || error.kind() == io::ErrorKind::Interrupted
}

#[cfg(windows)]
fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

pub(super) fn datagram(at: Option<&Address>, options: &DatagramOptions) -> io::Result<HostDatagram> {
    match at {
        Some(Address::Inet(at)) => {
            let socket = open(Domain::for_address(*at), Type::DGRAM)?;
            if at.is_ipv6() {
                socket.set_only_v6(false)?;
            }
            socket.set_reuse_address(options.reuse_address)?;
            if options.reuse_port {
                reuse_port(&socket)?;
            }
            socket.bind(&SockAddr::from(*at))?;
            Ok(HostDatagram::Inet(socket.into()))
        }
        #[cfg(unix)]
        Some(Address::Unix(at)) => {
            let socket = open(Domain::UNIX, Type::DGRAM)?;
            socket.bind(&unix_address(at)?)?;
            Ok(HostDatagram::Unix(socket.into()))
        }
        #[cfg(unix)]
        None => {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok(HostDatagram::Unix(socket))
        }
        #[cfg(not(unix))]
        None => Err(io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets here")),
    }
}

#[cfg(unix)]
pub(super) fn stream_pair() -> io::Result<[HostStream; 2]> {
    let (one, other) = UnixStream::pair()?;
    for socket in [&one, &other] {
        socket.set_nonblocking(true)?;
    }
    Ok([one, other].map(HostStream::Unix))
}

#[cfg(unix)]
pub(super) fn datagram_pair() -> io::Result<[HostDatagram; 2]> {
    let (one, other) = UnixDatagram::pair()?;
    for socket in [&one, &other] {
        socket.set_nonblocking(true)?;
    }
    Ok([one, other].map(HostDatagram::Unix))
}

/// Returns the address as socket2 has it.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput): it is that of a socket without a name.
#[cfg(unix)]
pub fn unix_address(address: &UnixAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        if let Some(name) = address.as_abstract_name() {
            let name = [b"\0", name].concat();
            return SockAddr::unix(std::path::Path::new(std::ffi::OsStr::from_bytes(&name)));
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the Unix socket has no name that could be used"))
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin")))))]
fn reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "ports cannot be shared here"))
}

/// Accepts a connection, which is in non-blocking mode then.
///
/// # Errors
///
/// As the host says.
#[cfg(unix)]
pub fn accept(listener: &UnixListener) -> io::Result<(UnixStream, UnixAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, peer))
}

/// Does as `recv`, and leaves the data where they are: the standard library does not for Unix sockets.
///
/// # Errors
///
/// As the host says.
#[cfg(unix)]
pub fn peek(socket: impl std::os::fd::AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let (read, _) = rustix::net::recv(socket, buf, rustix::net::RecvFlags::PEEK)?;
    Ok(read)
}

/// Does as `send`, and never raises a signal: the error says enough.
///
/// # Errors
///
/// As the host says.
#[cfg(unix)]
pub fn send(socket: impl std::os::fd::AsFd, buf: &[u8]) -> io::Result<usize> {
    // Where the flag is missing, the socket was opened with an option that says the same.
    #[cfg(not(target_vendor = "apple"))]
    let flags = rustix::net::SendFlags::NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    let flags = rustix::net::SendFlags::empty();
    Ok(rustix::net::send(socket, buf, flags)?)
}
