//! The network, on async-io's reactor.
//!
//! A socket is one of the standard library's, watched by [`Async`]. There is one sort of each for TCP, UDP and Unix
//! sockets alike.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(unix)]
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
#[cfg(windows)]
use std::os::windows::io::AsSocket as AsFd;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use async_io::Async;
use foster_net::contract::{
    Address, DatagramSocket, ListenerSocket, Net, NetFuture, OptionName, Socket, SocketOption, StreamSocket,
};
use foster_net::host::{self, HostDatagram, HostListener, HostNet, HostStream, Reactor};

/// The network of all trees on smol: async-io has one reactor in the process.
pub(crate) fn of_the_process() -> &'static (dyn Any + Send + Sync) {
    static NET: LazyLock<Arc<dyn Net>> = LazyLock::new(|| Arc::new(HostNet::new(AsyncIo)));
    &*NET
}

struct AsyncIo;

impl Reactor for AsyncIo {
    fn stream(&self, stream: HostStream) -> io::Result<Box<dyn StreamSocket>> {
        Ok(match stream {
            HostStream::Inet(stream) => Box::new(Watched::of(stream)?),
            #[cfg(unix)]
            HostStream::Unix(stream) => Box::new(Watched::of(stream)?),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn connected(&self, stream: HostStream) -> NetFuture<'static, Box<dyn StreamSocket>> {
        Box::pin(async move {
            Ok(match stream {
                HostStream::Inet(stream) => {
                    let stream = Watched::of(stream)?;
                    stream.io.writable().await?;
                    stream.io.get_ref().take_error()?.map_or(Ok(()), Err)?;
                    Box::new(stream) as Box<dyn StreamSocket>
                }
                #[cfg(unix)]
                HostStream::Unix(stream) => {
                    let stream = Watched::of(stream)?;
                    stream.io.writable().await?;
                    stream.io.get_ref().take_error()?.map_or(Ok(()), Err)?;
                    Box::new(stream)
                }
                _ => return Err(io::ErrorKind::Unsupported.into()),
            })
        })
    }

    fn listener(&self, listener: HostListener) -> io::Result<Box<dyn ListenerSocket>> {
        Ok(match listener {
            HostListener::Inet(listener) => Box::new(Watched::of(listener)?),
            #[cfg(unix)]
            HostListener::Unix(listener) => Box::new(Watched::of(listener)?),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn datagram(&self, socket: HostDatagram) -> io::Result<Box<dyn DatagramSocket>> {
        Ok(match socket {
            HostDatagram::Inet(socket) => Box::new(Watched::of(socket)?),
            #[cfg(unix)]
            HostDatagram::Unix(socket) => Box::new(Watched::of(socket)?),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

/// A socket of the host that async-io watches. It is in non-blocking mode already.
struct Watched<T> {
    io: Async<T>,
}

impl<T> Watched<T> {
    fn poll_read_with<R>(&self, cx: &mut Context<'_>, attempt: impl FnMut(&T) -> io::Result<R>) -> Poll<io::Result<R>> {
        poll_with(self.io.get_ref(), cx, attempt, |cx| self.io.poll_readable(cx))
    }

    fn poll_write_with<R>(
        &self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        poll_with(self.io.get_ref(), cx, attempt, |cx| self.io.poll_writable(cx))
    }
}

#[cfg(unix)]
impl Watched<UnixDatagram> {
    /// To an address: such a socket counts as writable whatever the queue of the other is, and to wait for that would
    /// be to spin.
    fn try_without_waiting<R>(
        &self,
        _: &mut Context<'_>,
        mut attempt: impl FnMut(&UnixDatagram) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            match attempt(self.io.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

/// C2, C3: tries, and waits if the host would. async-io keeps a waker a direction.
fn poll_with<T, R>(
    socket: &T,
    cx: &mut Context<'_>,
    mut attempt: impl FnMut(&T) -> io::Result<R>,
    mut poll_ready: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
) -> Poll<io::Result<R>> {
    loop {
        match attempt(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // async-io tells once of each event that was waited for. The first of them is mostly the one that has
                // woken this task for an earlier attempt, so it is asked again before the next attempt. Nothing is
                // lost: registering asks the host what is ready.
                if poll_ready(cx)?.is_pending() || poll_ready(cx)?.is_pending() {
                    return Poll::Pending;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}

impl<T: AsFd> Watched<T> {
    fn of(socket: T) -> io::Result<Self> {
        Ok(Watched { io: Async::new_nonblocking(socket)? })
    }
}

impl<T> fmt::Debug for Watched<T>
where
    T: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.get_ref().fmt(f)
    }
}

/// The methods that all sockets have; `$pack` makes an [`Address`] of one of the family's.
macro_rules! socket {
    ($kind:ty, $pack:path) => {
        impl Socket for Watched<$kind> {
            fn local_address(&self) -> io::Result<Address> {
                self.io.get_ref().local_addr().map($pack)
            }

            fn set_option(&self, option: SocketOption) -> io::Result<()> {
                host::set_option(self.io.get_ref(), option)
            }

            fn option(&self, name: OptionName) -> io::Result<SocketOption> {
                host::option(self.io.get_ref(), name)
            }
        }
    };
}

macro_rules! stream {
    ($kind:ty, $pack:path, $host:path, $peek:expr) => {
        socket!($kind, $pack);

        impl StreamSocket for Watched<$kind> {
            fn peer_address(&self) -> io::Result<Address> {
                self.io.get_ref().peer_addr().map($pack)
            }

            fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.poll_read_with(cx, |mut stream| stream.read(buf))
            }

            fn poll_read_vectored(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
                self.poll_read_with(cx, |mut stream| stream.read_vectored(bufs))
            }

            fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                let peek: fn(&$kind, &mut [u8]) -> io::Result<usize> = $peek;
                self.poll_read_with(cx, |stream| peek(stream, buf))
            }

            fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.poll_write_with(cx, |mut stream| stream.write(buf))
            }

            fn poll_write_vectored(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
                self.poll_write_with(cx, |mut stream| stream.write_vectored(bufs))
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.io.get_ref().shutdown(how)
            }

            fn to_host(&self) -> io::Result<HostStream> {
                self.io.get_ref().try_clone().map($host)
            }
        }
    };
}

stream!(TcpStream, Address::Inet, HostStream::Inet, |stream, buf| stream.peek(buf));
#[cfg(unix)]
stream!(UnixStream, Address::Unix, HostStream::Unix, |stream, buf| host::peek(stream, buf));

socket!(TcpListener, Address::Inet);

impl ListenerSocket for Watched<TcpListener> {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>> {
        let (stream, peer) = ready!(self.poll_read_with(cx, TcpListener::accept))?;
        stream.set_nonblocking(true)?;
        Poll::Ready(Ok((Box::new(Watched::of(stream)?), Address::Inet(peer))))
    }

    fn to_host(&self) -> io::Result<HostListener> {
        self.io.get_ref().try_clone().map(HostListener::Inet)
    }
}

#[cfg(unix)]
socket!(UnixListener, Address::Unix);

#[cfg(unix)]
impl ListenerSocket for Watched<UnixListener> {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn StreamSocket>, Address)>> {
        let (stream, peer) = ready!(self.poll_read_with(cx, host::accept))?;
        Poll::Ready(Ok((Box::new(Watched::of(stream)?), Address::Unix(peer))))
    }

    fn to_host(&self) -> io::Result<HostListener> {
        self.io.get_ref().try_clone().map(HostListener::Unix)
    }
}

macro_rules! datagram {
    ($kind:ty, $family:path, $host:path, $send_to:path, $poll_send_to:ident, $connect:path, $peek:path) => {
        socket!($kind, $family);

        impl DatagramSocket for Watched<$kind> {
            fn peer_address(&self) -> io::Result<Address> {
                self.io.get_ref().peer_addr().map($family)
            }

            fn connect(&self, to: &Address) -> io::Result<()> {
                match to {
                    $family(to) => $connect(self.io.get_ref(), to),
                    _ => Err(io::ErrorKind::InvalidInput.into()),
                }
            }

            fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8], to: Option<&Address>) -> Poll<io::Result<usize>> {
                match to {
                    None => self.poll_write_with(cx, |socket| socket.send(buf)),
                    Some($family(to)) => self.$poll_send_to(cx, |socket| $send_to(socket, buf, to)),
                    Some(_) => Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
                }
            }

            fn poll_receive(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [u8],
                peek: bool,
            ) -> Poll<io::Result<(usize, Address)>> {
                let received = self.poll_read_with(cx, |socket| match peek {
                    true => $peek(socket, buf),
                    false => socket.recv_from(buf),
                });
                received.map_ok(|(length, from)| (length, $family(from)))
            }

            fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.io.poll_readable(cx)
            }

            fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.io.poll_writable(cx)
            }

            fn to_host(&self) -> io::Result<HostDatagram> {
                self.io.get_ref().try_clone().map($host)
            }
        }
    };
}

datagram!(
    UdpSocket,
    Address::Inet,
    HostDatagram::Inet,
    UdpSocket::send_to,
    poll_write_with,
    UdpSocket::connect,
    UdpSocket::peek_from
);
#[cfg(unix)]
datagram!(
    UnixDatagram,
    Address::Unix,
    HostDatagram::Unix,
    UnixDatagram::send_to_addr,
    try_without_waiting,
    UnixDatagram::connect_addr,
    cannot_peek
);

/// Only UDP sockets are asked for this.
#[cfg(unix)]
fn cannot_peek(_: &UnixDatagram, _: &mut [u8]) -> io::Result<(usize, std::os::unix::net::SocketAddr)> {
    Err(io::ErrorKind::Unsupported.into())
}
