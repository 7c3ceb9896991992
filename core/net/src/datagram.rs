//! Datagrams: what UDP and Unix sockets for them have in common.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::task::{Context, Poll, ready};

use foster_core::leaf::Gate;

use crate::address::Family;
use crate::contract::DatagramSocket;
use crate::direction::{Direction, poll_unless_cancelled};
use crate::line::Line;

/// A socket for datagrams: a [`UdpSocket`](crate::UdpSocket) or a [`UnixDatagram`](crate::UnixDatagram).
///
/// All methods take `&self`, and any number of tasks may receive and send: those of one direction take turns, first
/// come, first served. A `poll_*` function is for whoever writes futures by hand, as QUIC libraries do: all who were
/// Pending are woken, and any of them may be faster. While a task waits in a method, `poll_*` functions of that
/// direction are refused with [`ResourceBusy`](io::ErrorKind::ResourceBusy).
///
/// # Cancellation
///
/// Each operation is a checkpoint. A cancelled operation has neither taken a datagram nor sent one, and those behind it do not
/// wait for it. They do wait for a future that was polled, and is held without being polled any more.
pub struct Datagram<F: Family> {
    socket: Box<dyn DatagramSocket>,
    receiving: Turns,
    sending: Turns,
    family: PhantomData<F>,
}

/// A direction that many futures may wait in, one behind the other.
#[derive(Debug)]
struct Turns {
    line: Line,
    direction: Direction,
}

impl Turns {
    fn new() -> Self {
        Turns { line: Line::new(), direction: Direction::default() }
    }

    async fn wait<T>(
        &self,
        what: &'static str,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let mut claim = None;
        let wait = self
            .line
            .operation(what, |cx| claim.get_or_insert_with(|| self.direction.claim_in_line()).poll(cx, &mut poll));
        wait.await
    }

    /// Polls for one of many, who do not take turns. An error for code that is cancelled by now goes: it is mostly about the
    /// one datagram, and no business of who comes next.
    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let found = ready!(self.direction.poll_shared(cx, poll));
        poll_unless_cancelled(cx, found)
    }
}

impl<F: Family> Datagram<F> {
    pub(crate) fn new(socket: Box<dyn DatagramSocket>) -> Self {
        Datagram { socket, receiving: Turns::new(), sending: Turns::new(), family: PhantomData }
    }

    pub(crate) fn socket(&self) -> &dyn DatagramSocket {
        &*self.socket
    }

    /// Returns the address of the socket.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn local_addr(&self) -> io::Result<F::Addr> {
        F::unpack(self.socket.local_address()?)
    }

    /// Returns the address that it is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected): it is not.
    pub fn peer_addr(&self) -> io::Result<F::Addr> {
        F::unpack(self.socket.peer_address()?)
    }

    /// Receives a datagram, and returns its length and its sender. If the buffer is too short, the rest of the datagram
    /// is gone.
    ///
    /// # Cancellation
    ///
    /// *Loses its place* among those who wait to receive. No datagram is lost.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, F::Addr)> {
        let (length, from) = self.receiving.wait("receive", |cx| self.socket.poll_receive(cx, buf, false)).await?;
        Ok((length, F::unpack(from)?))
    }

    /// Does as [`recv_from`](Datagram::recv_from), on a connected socket, which has one sender.
    ///
    /// # Cancellation
    ///
    /// As [`recv_from`](Datagram::recv_from).
    ///
    /// # Errors
    ///
    /// As the host says; on UDP [`ConnectionRefused`](io::ErrorKind::ConnectionRefused), if nobody listens at the other
    /// end.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let received = self.receiving.wait("receive", |cx| self.socket.poll_receive(cx, buf, false)).await;
        received.map(|(length, _)| length)
    }

    /// Sends a datagram on a connected socket. An empty one is sent, too.
    ///
    /// # Cancellation
    ///
    /// *Loses its place* among those who wait to send. Nothing was sent.
    ///
    /// # Errors
    ///
    /// * [`NotConnected`](io::ErrorKind::NotConnected): the socket is not connected.
    /// * As the host says; it is an error if the datagram is too long for the host.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.sending.wait("send", |cx| self.poll_send_to_peer(cx, buf)).await
    }

    /// Sends to where the socket is connected to. If it is not, hosts have errors of different kinds.
    fn poll_send_to_peer(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_send(cx, buf, None).map_err(|error| match self.socket.peer_address() {
            Err(peer) if peer.kind() == io::ErrorKind::NotConnected => io::Error::new(peer.kind(), error),
            _ => error,
        })
    }

    pub(crate) async fn peek_sender(&self, buf: &mut [u8]) -> io::Result<(usize, F::Addr)> {
        let (length, from) = self.receiving.wait("peek", |cx| self.socket.poll_receive(cx, buf, true)).await?;
        Ok((length, F::unpack(from)?))
    }

    pub(crate) async fn send_to_address(&self, buf: &[u8], to: F::Addr) -> io::Result<usize> {
        let to = F::pack(to);
        self.sending.wait("send", |cx| self.socket.poll_send(cx, buf, Some(&to))).await
    }

    /// Polls for a datagram; see [`recv_from`](Datagram::recv_from).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Datagram::recv_from).
    pub fn poll_recv_from(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, F::Addr)>> {
        ready!(Gate::poll_once("receive", cx));
        let receive = |cx: &mut Context<'_>| self.socket.poll_receive(cx, buf, false);
        let (length, from) = ready!(self.receiving.poll(cx, receive))?;
        Poll::Ready(Ok((length, F::unpack(from)?)))
    }

    /// Polls until there is a datagram to receive. Another task may be faster and take it.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Gate::poll_once("receive", cx));
        self.receiving.poll(cx, |cx| self.socket.poll_receivable(cx))
    }

    /// Polls to send a datagram, to `to` or to where the socket is connected to.
    ///
    /// # Errors
    ///
    /// As [`send`](Datagram::send).
    pub fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], to: Option<F::Addr>) -> Poll<io::Result<usize>> {
        ready!(Gate::poll_once("send", cx));
        let to = to.map(F::pack);
        self.sending.poll(cx, |cx| match &to {
            Some(to) => self.socket.poll_send(cx, buf, Some(to)),
            None => self.poll_send_to_peer(cx, buf),
        })
    }

    /// Polls until there is room to send. Another task may be faster and take it.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Gate::poll_once("send", cx));
        self.sending.poll(cx, |cx| self.socket.poll_sendable(cx))
    }
}

impl<F: Family> fmt::Debug for Datagram<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram").field("socket", &self.socket).finish()
    }
}
