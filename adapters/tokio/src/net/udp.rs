//! UDP sockets.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use foster_net::contract::{Address, DatagramSocket, OptionName, Socket, SocketOption};
use foster_net::host::{self, HostDatagram};
use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

/// A UDP socket of tokio's, and the error of it that somebody waits for.
pub(super) struct Udp {
    /// Dropped before the socket, which it shares.
    refused: Mutex<Option<Refused>>,
    socket: Arc<UdpSocket>,
}

/// Ready when the socket has an error.
type Refused = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl Udp {
    pub(super) fn new(socket: UdpSocket) -> Self {
        Udp { refused: Mutex::new(None), socket: Arc::new(socket) }
    }

    /// Polls for the error of a connected socket. A host tells of it, that nobody listens at the other end, by an event
    /// of its own; tokio's poll functions wait for data alone, its `async` ones for both.
    fn poll_refused(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            // Polled with the lock released: that clones a waker.
            let refused = self.lock().take();
            let mut refused = refused.unwrap_or_else(|| {
                let socket = self.socket.clone();
                Box::pin(async move { socket.ready(Interest::ERROR).await.map(drop) })
            });
            match refused.as_mut().poll(cx) {
                Poll::Pending => {
                    let other = self.lock().replace(refused);
                    drop(other);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Ready(Ok(())) => {}
            }
            // "It would block" tells tokio that there is no error any more.
            let taken = self.socket.try_io(Interest::ERROR, || match self.socket.take_error()? {
                Some(error) => Ok(error),
                None => Err(io::ErrorKind::WouldBlock.into()),
            });
            match taken {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(error) | Err(error) => return Poll::Ready(error),
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl Socket for Udp {
    fn local_address(&self) -> io::Result<Address> {
        self.socket.local_addr().map(Address::Inet)
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        host::set_option(&*self.socket, option)
    }

    fn option(&self, name: OptionName) -> io::Result<SocketOption> {
        host::option(&*self.socket, name)
    }
}

impl DatagramSocket for Udp {
    fn peer_address(&self) -> io::Result<Address> {
        self.socket.peer_addr().map(Address::Inet)
    }

    fn connect(&self, to: &Address) -> io::Result<()> {
        match to {
            Address::Inet(to) => SockRef::from(&*self.socket).connect(&(*to).into()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8], to: Option<&Address>) -> Poll<io::Result<usize>> {
        match to {
            None => self.socket.poll_send(cx, buf),
            Some(Address::Inet(to)) => self.socket.poll_send_to(cx, buf, *to),
            Some(_) => Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
        }
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut [u8], peek: bool) -> Poll<io::Result<(usize, Address)>> {
        let mut buf = ReadBuf::new(buf);
        let polled =
            if peek { self.socket.poll_peek_from(cx, &mut buf) } else { self.socket.poll_recv_from(cx, &mut buf) };
        match polled {
            Poll::Ready(from) => {
                let from = from?;
                Poll::Ready(Ok((buf.filled().len(), Address::Inet(from))))
            }
            Poll::Pending if self.socket.peer_addr().is_ok() => self.poll_refused(cx).map(Err),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(cx)
    }

    fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_send_ready(cx)
    }

    fn to_host(&self) -> io::Result<HostDatagram> {
        Ok(HostDatagram::Inet(SockRef::from(&*self.socket).try_clone()?.into()))
    }
}
