//! Connections: what TCP and Unix streams have in common.

mod halves;
mod polled;
mod reading;
mod writing;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use foster_core::leaf::{operation, poll_budget};

use crate::address::Family;
use crate::contract::StreamSocket;
use crate::direction::poll_unless_cancelled;
use reading::Reading;
use writing::{Writer, Writing};

pub use halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};

/// A connection: a [`TcpStream`](crate::TcpStream) or a [`UnixStream`](crate::UnixStream).
///
/// All methods take `&self`, so a stream can be shared by a reader and a writer, in an [`Arc`] or by reference. There
/// may be **one of each**: a second one that begins while the first waits is refused with
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy), and the first goes on undisturbed. For tasks that have a direction
/// each there are halves: [`split`](Stream::split) lends them, [`into_split`](Stream::into_split) gives them away.
///
/// It is an [`AsyncRead`](futures_io::AsyncRead) and an [`AsyncWrite`](futures_io::AsyncWrite), and so is `&Stream`.
/// Buffers, lines and whatever else is made of these comes from other crates, such as futures-lite. A `poll_*` function
/// of `&Stream` cannot tell whether its caller still waits: several who poll it one beside the other are all woken, and
/// any of them may get what comes.
///
/// Urgent data (`MSG_OOB`) are no part of it. The host takes them out; and on tokio what lies behind them may be read only
/// when still more has come, as with tokio's own streams.
///
/// # Closing
///
/// To drop a stream, both halves included, closes it; what was written before is still delivered. If there are data
/// that nobody has read, the host *resets* the connection instead, and the other side may lose what was sent last: read
/// to the end first. [`shutdown`](Stream::shutdown) closes one direction.
///
/// # Cancellation
///
/// Each operation is a checkpoint. Cancelled code does not begin one, and nothing is taken from or given to the host
/// for code that was cancelled while it waited. A stream whose operation was cancelled can be used as before. `poll_*`
/// functions, and with them whatever futures other crates make of them, keep the same rules.
pub struct Stream<F: Family> {
    shared: Arc<Shared>,
    peer: F::Addr,
    family: PhantomData<F>,
}

/// The state that the halves of a stream share.
#[derive(Debug)]
struct Shared {
    socket: Box<dyn StreamSocket>,
    reading: Reading,
    writing: Writing,
}

impl<F: Family> Stream<F> {
    pub(crate) fn new(socket: Box<dyn StreamSocket>, peer: F::Addr) -> Self {
        let shared = Shared { socket, reading: Reading::default(), writing: Writing::default() };
        Stream { shared: Arc::new(shared), peer, family: PhantomData }
    }

    pub(crate) fn socket(&self) -> &dyn StreamSocket {
        &*self.shared.socket
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn local_addr(&self) -> io::Result<F::Addr> {
        F::unpack(self.socket().local_address()?)
    }

    /// Returns the address of the other end, also after it has closed the connection.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn peer_addr(&self) -> io::Result<F::Addr> {
        Ok(self.peer.clone())
    }

    /// Reads what is there, at least one byte; waits if there is nothing. `Ok(0)` is the end of the stream, and comes
    /// again each time; an empty buffer gives `Ok(0)` at once, too.
    ///
    /// # Cancellation
    ///
    /// *Strict*: no data are lost.
    ///
    /// # Errors
    ///
    /// * [`ResourceBusy`](io::ErrorKind::ResourceBusy): another task is reading.
    /// * [`ConnectionReset`](io::ErrorKind::ConnectionReset), and what else the host says.
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.shared.read("read", buf.is_empty().then_some(0), move |stream, cx| {
            stream.poll_host_read(cx, |socket, cx| socket.poll_read(cx, buf))
        })
    }

    /// Does as [`read`](Stream::read), into several buffers, the first of them first.
    ///
    /// # Cancellation
    ///
    /// *Strict*: no data are lost.
    ///
    /// # Errors
    ///
    /// As [`read`](Stream::read).
    pub fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> impl Future<Output = io::Result<usize>> + Send {
        let empty = bufs.iter().all(|buf| buf.is_empty());
        self.shared.read("read", empty.then_some(0), move |stream, cx| {
            stream.poll_host_read(cx, |socket, cx| socket.poll_read_vectored(cx, bufs))
        })
    }

    /// Does as [`read`](Stream::read), and leaves the data where they are: the next read gets them again.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    ///
    /// # Errors
    ///
    /// As [`read`](Stream::read).
    pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.shared.read("peek", buf.is_empty().then_some(0), move |stream, cx| {
            stream.poll_host_read(cx, |socket, cx| socket.poll_peek(cx, buf))
        })
    }

    /// Reads until the buffer is full.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: what was read so far is in the buffer, and it is not known how much that is.
    ///
    /// # Errors
    ///
    /// * [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): the stream ended before. The bytes that came are in the
    ///   buffer.
    /// * As [`read`](Stream::read).
    pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> + Send {
        let (mut filled, empty) = (0, buf.is_empty());
        self.shared.read("read", empty.then_some(()), move |stream, cx| {
            loop {
                match ready!(stream.poll_host_read(cx, |socket, cx| socket.poll_read(cx, &mut buf[filled..])))? {
                    0 => return poll_unless_cancelled(cx, Err(io::ErrorKind::UnexpectedEof.into())),
                    read => filled += read,
                }
                if filled == buf.len() {
                    return Poll::Ready(Ok(()));
                }
                ready!(poll_budget(cx));
            }
        })
    }

    /// Writes as much as there is room for, at least one byte; waits if there is none. An empty buffer gives `Ok(0)` at
    /// once, and nothing is sent.
    ///
    /// # Cancellation
    ///
    /// *Strict*: nothing has been written.
    ///
    /// # Errors
    ///
    /// * [`ResourceBusy`](io::ErrorKind::ResourceBusy): another task is writing.
    /// * [`BrokenPipe`](io::ErrorKind::BrokenPipe): the write side was [shut down](Stream::shutdown), here or, as far
    ///   as the host knows by now, by the other end.
    /// * [`ConnectionReset`](io::ErrorKind::ConnectionReset), and what else the host says.
    pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.shared.write(buf.is_empty().then_some(0), move |stream, cx| {
            stream.poll_host_write(cx, |socket, cx| socket.poll_write(cx, buf))
        })
    }

    /// Does as [`write`](Stream::write), from several buffers, the first of them first.
    ///
    /// # Cancellation
    ///
    /// *Strict*: nothing has been written.
    ///
    /// # Errors
    ///
    /// As [`write`](Stream::write).
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> + Send {
        let empty = bufs.iter().all(|buf| buf.is_empty());
        self.shared.write(empty.then_some(0), move |stream, cx| {
            stream.poll_host_write(cx, |socket, cx| socket.poll_write_vectored(cx, bufs))
        })
    }

    /// Writes the whole buffer. It has been handed to the host then, which need not have sent it.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: any part of the buffer from its beginning may have been written, from nothing to all but one
    /// byte, and it is not known how much. The stream can still be shut down; to write something else would put it
    /// behind half a message.
    ///
    /// # Errors
    ///
    /// As [`write`](Stream::write); a part of the buffer may have been written.
    pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        let mut written = 0;
        self.shared.write(buf.is_empty().then_some(()), move |stream, cx| {
            loop {
                match ready!(stream.poll_host_write(cx, |socket, cx| socket.poll_write(cx, &buf[written..])))? {
                    0 => return poll_unless_cancelled(cx, Err(io::ErrorKind::WriteZero.into())),
                    more => written += more,
                }
                if written == buf.len() {
                    return Poll::Ready(Ok(()));
                }
                ready!(poll_budget(cx));
            }
        })
    }

    /// Shuts down a direction, or both. Does not wait, and is no checkpoint.
    ///
    /// After [`Write`](Shutdown::Write) the other side reads what was written before, and then the end; here each write
    /// fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe). It can still be read. After [`Read`](Shutdown::Read) each
    /// read gives the end, when what had come before is read. An operation that waits in another task ends so, too.
    ///
    /// Doing it again does nothing, nor does it after the other side has gone: that is `Ok`.
    ///
    /// # Errors
    ///
    /// As the host says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shared.shutdown(how)
    }

    /// Lends the two directions as halves, for a reader and a writer in one task.
    pub fn split(&mut self) -> (ReadHalf<'_, F>, WriteHalf<'_, F>) {
        halves::split(self)
    }

    /// Divides the stream into halves that can go to different tasks. To drop the one for writing shuts that direction
    /// down; the connection is closed when both are dropped.
    pub fn into_split(self) -> (OwnedReadHalf<F>, OwnedWriteHalf<F>) {
        halves::into_split(self)
    }

    /// Another handle, for the halves.
    fn again(&self) -> Self {
        Stream { shared: self.shared.clone(), peer: self.peer.clone(), family: PhantomData }
    }
}

impl Shared {
    /// Reads with `poll`, unless it is known what comes `at_once`, because there is no room.
    fn read<T: Send>(
        &self,
        what: &'static str,
        mut at_once: Option<T>,
        mut poll: impl FnMut(&Shared, &mut Context<'_>) -> Poll<io::Result<T>> + Send,
    ) -> impl Future<Output = io::Result<T>> + Send {
        let mut claim = None;
        let read = poll_fn(move |cx| match at_once.take() {
            Some(nothing) => Poll::Ready(Ok(nothing)),
            None => self.reading.direction.poll_claimed(&mut claim, cx, |cx| poll(self, cx)),
        });
        operation(what, read)
    }

    /// As [`read`](Shared::read).
    fn write<T: Send>(
        &self,
        mut at_once: Option<T>,
        mut poll: impl FnMut(&Shared, &mut Context<'_>) -> Poll<io::Result<T>> + Send,
    ) -> impl Future<Output = io::Result<T>> + Send {
        let mut writer = Writer::default();
        let write = poll_fn(move |cx| {
            if let Err(ended) = self.writing.check_open() {
                return poll_unless_cancelled(cx, Err(ended));
            }
            match at_once.take() {
                Some(nothing) => Poll::Ready(Ok(nothing)),
                None => self.writing.poll_claimed(&mut writer, cx, |cx| poll(self, cx)),
            }
        });
        operation("write", write)
    }

    /// Reads at the host, once. For whoever has the direction.
    #[inline]
    fn poll_host_read(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&dyn StreamSocket, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.reading.poll_host(cx, |cx| poll(&*self.socket, cx))
    }

    /// Writes at the host, once. For whoever has the direction.
    #[inline]
    fn poll_host_write(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&dyn StreamSocket, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.writing.direction.poll_host(cx, |cx| poll(&*self.socket, cx))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.writing.end();
        }
        if how != Shutdown::Write {
            self.reading.end();
        }
        let done = self.socket.shutdown(how);
        if how != Shutdown::Read {
            self.writing.wake();
        }
        match done {
            // The other side was faster, or we were here before.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }
}

impl<F: Family> fmt::Debug for Stream<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(&format!("{}Stream", F::NAME)).field(&self.peer).finish()
    }
}
