//! Unix sockets for datagrams.

use std::io;
use std::task::{Context, Poll, ready};

use foster_net::contract::{Address, DatagramSocket, OptionName, Socket, SocketOption};
use foster_net::host::{self, HostDatagram, unix_address};
use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::UnixDatagram;

use super::Watched;

socket!(UnixDatagram, super::unix_address);

impl DatagramSocket for Watched<UnixDatagram> {
    fn peer_address(&self) -> io::Result<Address> {
        self.0.peer_addr().map(super::unix_address)
    }

    fn connect(&self, to: &Address) -> io::Result<()> {
        match to {
            Address::Unix(to) => SockRef::from(&self.0).connect(&unix_address(to)?),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8], to: Option<&Address>) -> Poll<io::Result<usize>> {
        // Not here: tokio's `poll_send_to`, which knows no abstract names.
        let to = match to {
            None => None,
            Some(Address::Unix(to)) => Some(unix_address(to)?),
            Some(_) => return Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
        };
        loop {
            let sent = match &to {
                None => self.0.try_io(Interest::WRITABLE, || SockRef::from(&self.0).send(buf)),
                // Such a socket counts as writable whatever the queue of the other is: to wait for that would be to
                // spin.
                Some(to) => match SockRef::from(&self.0).send_to(buf, to) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                    sent => sent,
                },
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_send_ready(cx))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut [u8], peek: bool) -> Poll<io::Result<(usize, Address)>> {
        if peek {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        let mut buf = ReadBuf::new(buf);
        let from = ready!(self.0.poll_recv_from(cx, &mut buf))?;
        Poll::Ready(Ok((buf.filled().len(), super::unix_address(from))))
    }

    fn poll_receivable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_recv_ready(cx)
    }

    fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_send_ready(cx)
    }

    fn to_host(&self) -> io::Result<HostDatagram> {
        Ok(HostDatagram::Unix(SockRef::from(&self.0).try_clone()?.into()))
    }
}
