//! The network, on the runtime's own reactor.
//!
//! A socket is one of tokio's. It is registered with the runtime that the tree was started on, whatever thread it is
//! made on.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::Shutdown;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use foster_net::contract::{
    Address, DatagramSocket, ListenerSocket, Net, NetFuture, OptionName, Socket, SocketOption, StreamSocket,
};
use foster_net::host::{self, HostDatagram, HostListener, HostNet, HostStream, Reactor};
#[cfg(unix)]
use foster_net::host::{peek, send};
use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tokio::runtime::Handle;

/// The network of the trees on one runtime.
pub(crate) fn of(handle: Handle) -> Arc<dyn Net> {
    Arc::new(HostNet::new(Registrar { handle }))
}

struct Registrar {
    handle: Handle,
}

impl Registrar {
    /// Makes a socket of tokio's of one of the host's, in the context of the runtime. C9: a runtime without an I/O
    /// driver is an error.
    fn register<T>(&self, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _context = self.handle.enter();
        catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| {
            let message = "the tokio runtime of this tree has no I/O driver: build it with `enable_io` or `enable_all`";
            Err(io::Error::new(io::ErrorKind::Unsupported, message))
        })
    }

    fn listening<T>(&self, listener: T) -> Listening<T> {
        Listening { socket: Watched(listener), handle: self.handle.clone() }
    }
}

impl Reactor for Registrar {
    fn stream(&self, stream: HostStream) -> io::Result<Box<dyn StreamSocket>> {
        Ok(match stream {
            HostStream::Inet(stream) => Box::new(Watched(self.register(|| TcpStream::from_std(stream))?)),
            #[cfg(unix)]
            HostStream::Unix(stream) => Box::new(Watched(self.register(|| UnixStream::from_std(stream))?)),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn connected(&self, stream: HostStream) -> NetFuture<'static, Box<dyn StreamSocket>> {
        match stream {
            HostStream::Inet(stream) => {
                let stream = self.register(|| TcpStream::from_std(stream));
                Box::pin(async move {
                    let stream = stream?;
                    stream.writable().await?;
                    stream.take_error()?.map_or(Ok(()), Err)?;
                    Ok(Box::new(Watched(stream)) as _)
                })
            }
            #[cfg(unix)]
            HostStream::Unix(stream) => {
                let stream = self.register(|| UnixStream::from_std(stream));
                Box::pin(async move {
                    let stream = stream?;
                    stream.writable().await?;
                    stream.take_error()?.map_or(Ok(()), Err)?;
                    Ok(Box::new(Watched(stream)) as _)
                })
            }
            _ => Box::pin(async { Err(io::ErrorKind::Unsupported.into()) }),
        }
    }

    fn listener(&self, listener: HostListener) -> io::Result<Box<dyn ListenerSocket>> {
        Ok(match listener {
            HostListener::Inet(listener) => {
                Box::new(self.listening(self.register(|| TcpListener::from_std(listener))?))
            }
            #[cfg(unix)]
            HostListener::Unix(listener) => {
                Box::new(self.listening(self.register(|| UnixListener::from_std(listener))?))
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn datagram(&self, socket: HostDatagram) -> io::Result<Box<dyn DatagramSocket>> {
        Ok(match socket {
            HostDatagram::Inet(socket) => Box::new(Udp::new(self.register(|| UdpSocket::from_std(socket))?)),
            #[cfg(unix)]
            HostDatagram::Unix(socket) => Box::new(Watched(self.register(|| UnixDatagram::from_std(socket))?)),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

/// A socket of tokio's.
struct Watched<T>(T);

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a read or write that had more room than data shows that there is nothing left, and the next one would only
/// ask the host for nothing: so it is with epoll and kqueue, which tell of changes, and tokio's own operations do the
/// same.
const SHORT_MEANS_NOT_READY: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
));

/// Attempts a `transfer` for `try_io` of a socket of tokio's, which asks nothing of the host if the socket is not ready.
/// If something, and less than `room`, was transferred, that is kept as `short`, and tokio is told that it blocks: so
/// the socket is not ready any more.
#[inline]
fn attempt(room: usize, short: &mut Option<usize>, transfer: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    match transfer()? {
        length if SHORT_MEANS_NOT_READY && 0 < length && length < room => {
            *short = Some(length);
            Err(io::ErrorKind::WouldBlock.into())
        }
        length => Ok(length),
    }
}

/// Returns what an [`attempt`] has come to, of which tokio has `told`. Pending: it is to be repeated when the socket is
/// ready, which it still is if the attempt was interrupted.
#[inline]
fn transferred(short: Option<usize>, told: io::Result<usize>) -> Poll<io::Result<usize>> {
    match told {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            short.map_or(Poll::Pending, |length| Poll::Ready(Ok(length)))
        }
        done => Poll::Ready(done),
    }
}

#[cfg(not(unix))]
fn send(socket: &TcpStream, buf: &[u8]) -> io::Result<usize> {
    SockRef::from(socket).send(buf)
}

macro_rules! socket {
    ($kind:ty, $pack:expr) => {
        impl Socket for Watched<$kind> {
            fn local_address(&self) -> io::Result<Address> {
                self.0.local_addr().map($pack)
            }

            fn set_option(&self, option: SocketOption) -> io::Result<()> {
                host::set_option(&self.0, option)
            }

            fn option(&self, name: OptionName) -> io::Result<SocketOption> {
                host::option(&self.0, name)
            }
        }
    };
}

mod udp;
// Below the macro that it uses.
#[cfg(unix)]
mod unix_datagram;

use udp::Udp;

macro_rules! stream {
    ($kind:ty, $pack:expr, $host:expr, $short_read_means_not_ready:expr, $peek:expr) => {
        socket!($kind, $pack);

        impl Watched<$kind> {
            fn poll_read_with(
                &self,
                cx: &mut Context<'_>,
                room: usize,
                mut read: impl FnMut() -> io::Result<usize>,
            ) -> Poll<io::Result<usize>> {
                let room = if $short_read_means_not_ready { room } else { 0 };
                loop {
                    let mut short = None;
                    let told = self.0.try_io(Interest::READABLE, || attempt(room, &mut short, &mut read));
                    match transferred(short, told) {
                        Poll::Ready(done) => return Poll::Ready(done),
                        Poll::Pending => ready!(self.0.poll_read_ready(cx))?,
                    }
                }
            }

            fn poll_write_with(
                &self,
                cx: &mut Context<'_>,
                room: usize,
                mut write: impl FnMut() -> io::Result<usize>,
            ) -> Poll<io::Result<usize>> {
                loop {
                    let mut short = None;
                    let told = self.0.try_io(Interest::WRITABLE, || attempt(room, &mut short, &mut write));
                    match transferred(short, told) {
                        Poll::Ready(done) => return Poll::Ready(done),
                        Poll::Pending => ready!(self.0.poll_write_ready(cx))?,
                    }
                }
            }
        }

        impl StreamSocket for Watched<$kind> {
            fn peer_address(&self) -> io::Result<Address> {
                self.0.peer_addr().map($pack)
            }

            fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.poll_read_with(cx, buf.len(), || SockRef::from(&self.0).deref().read(buf))
            }

            fn poll_read_vectored(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
                let room = bufs.iter().map(|buf| buf.len()).sum();
                self.poll_read_with(cx, room, || SockRef::from(&self.0).deref().read_vectored(bufs))
            }

            fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                let peek: fn(&$kind, &mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>> = $peek;
                peek(&self.0, cx, buf)
            }

            fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.poll_write_with(cx, buf.len(), || send(&self.0, buf))
            }

            fn poll_write_vectored(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
                loop {
                    match self.0.try_write_vectored(bufs) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            ready!(self.0.poll_write_ready(cx))?;
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        done => return Poll::Ready(done),
                    }
                }
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                SockRef::from(&self.0).shutdown(how)
            }

            fn to_host(&self) -> io::Result<HostStream> {
                let socket = SockRef::from(&self.0).try_clone()?;
                Ok($host(socket.into()))
            }
        }
    };
}

stream!(TcpStream, Address::Inet, HostStream::Inet, true, |stream, cx, buf| {
    stream.poll_peek(cx, &mut ReadBuf::new(buf))
});
// The host ends a read behind a message that had descriptors with it, though there is more, and tells nothing of what
// was there already.
#[cfg(unix)]
stream!(UnixStream, unix_address, HostStream::Unix, false, |stream, cx, buf| loop {
    match stream.try_io(Interest::READABLE, || peek(stream, buf)) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_read_ready(cx))?,
        done => return Poll::Ready(done),
    }
});

#[cfg(unix)]
fn unix_address(address: tokio::net::unix::SocketAddr) -> Address {
    Address::Unix(address.into())
}

/// A listener of tokio's, which registers what it accepts with the runtime of the context: C1, any thread may accept.
#[derive(Debug)]
struct Listening<T> {
    socket: Watched<T>,
    handle: Handle,
}

impl<T: Send + Sync + fmt::Debug> Socket for Listening<T>
where
    Watched<T>: Socket,
{
    fn local_address(&self) -> io::Result<Address> {
        self.socket.local_address()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.socket.set_option(option)
    }

    fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        self.socket.option(name)
    }
}

socket!(TcpListener, Address::Inet);

impl ListenerSocket for Listening<TcpListener> {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>> {
        let _context = self.handle.enter();
        let (stream, peer) = ready!(self.socket.0.poll_accept(cx))?;
        Poll::Ready(Ok((Box::new(Watched(stream)), Address::Inet(peer))))
    }

    fn to_host(&self) -> io::Result<HostListener> {
        Ok(HostListener::Inet(SockRef::from(&self.socket.0).try_clone()?.into()))
    }
}

#[cfg(unix)]
socket!(UnixListener, unix_address);

#[cfg(unix)]
impl ListenerSocket for Listening<UnixListener> {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>> {
        let _context = self.handle.enter();
        let (stream, peer) = ready!(self.socket.0.poll_accept(cx))?;
        Poll::Ready(Ok((Box::new(Watched(stream)), unix_address(peer))))
    }

    fn to_host(&self) -> io::Result<HostListener> {
        Ok(HostListener::Unix(SockRef::from(&self.socket.0).try_clone()?.into()))
    }
}

#[cfg(test)]
mod tests {
    use foster_net::{TcpListener, TcpStream};

    /// C1: tokio takes the runtime of what it accepts from the context, and a plain thread has none.
    #[test]
    fn a_thread_of_no_runtime_accepts() {
        crate::run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let accepting = std::thread::spawn(move || {
                let (stream, peer) = foster::thread::block_on(listener.accept()).unwrap();
                drop(stream);
                peer
            });
            let stream = TcpStream::connect(address).await.unwrap();
            let peer = foster::to_thread(|| accepting.join().unwrap()).await;
            assert_eq!(peer, stream.local_addr().unwrap());
        });
    }
}
