//! UDP sockets.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use foster_net::contract::{Address, DatagramSocket, OptionName, Socket, SocketOption};
use foster_net::host::{self, HostDatagram};
use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

/// A UDP socket of tokio's, and its error that somebody waits for.
pub(super) struct Udp {
    /// Dropped before the socket, which it shares.
    failing: Mutex<Option<Failing>>,
    socket: Arc<UdpSocket>,
    /// It was connected here, or before it was taken over: only then a host tells it of datagrams that were refused.
    connected: AtomicBool,
}

/// Ready when the socket has an error.
type Failing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl Udp {
    pub(super) fn new(socket: UdpSocket) -> Self {
        let connected = AtomicBool::new(socket.peer_addr().is_ok());
        Udp { failing: Mutex::new(None), socket: Arc::new(socket), connected }
    }

    /// Polls until a connected socket has an error, after tokio has found that there are no data. A host tells of it,
    /// that nobody listens at the other end, by an event of its own; tokio's poll functions wait for data alone, its
    /// `async` ones for both.
    fn poll_failing(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connected.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        // Polled with the lock released: that clones a waker.
        let failing = self.lock().take();
        let mut failing = failing.unwrap_or_else(|| {
            let socket = self.socket.clone();
            Box::pin(async move { socket.ready(Interest::ERROR).await.map(drop) })
        });
        let polled = failing.as_mut().poll(cx);
        if polled.is_pending() {
            let other = self.lock().replace(failing);
            drop(other);
        }
        polled
    }

    /// Does as [`poll_failing`](Self::poll_failing), and takes the error.
    fn poll_error(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            if let Err(error) = ready!(self.poll_failing(cx)) {
                return Poll::Ready(error);
            }
            let mut taken = None;
            let asked = self.socket.try_io::<()>(Interest::ERROR, || {
                taken = self.socket.take_error()?;
                // So tokio is told that there is none any more; unless the next one has come meanwhile.
                Err(io::ErrorKind::WouldBlock.into())
            });
            match (taken, asked) {
                (Some(error), _) => return Poll::Ready(error),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(error),
                // Another operation has taken it.
                (None, _) => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
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
            Address::Inet(to) => {
                SockRef::from(&*self.socket).connect(&(*to).into())?;
                self.connected.store(true, Ordering::Relaxed);
                Ok(())
            }
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
            Poll::Pending => self.poll_error(cx).map(Err),
        }
    }

    fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.poll_recv_ready(cx) {
            // The next receive takes it.
            Poll::Pending => self.poll_failing(cx),
            ready => ready,
        }
    }

    fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_send_ready(cx)
    }

    fn to_host(&self) -> io::Result<HostDatagram> {
        Ok(HostDatagram::Inet(SockRef::from(&*self.socket).try_clone()?.into()))
    }
}
