//! Streams, in the traits of hyper and in the neutral ones.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use pin_project_lite::pin_project;

/// How much is read at once.
const CHUNK_SIZE: usize = 64 * 1024;

thread_local! {
    /// The buffer that a stream reads into: the memory that hyper lends may be uninitialized, and without unsafe code
    /// can only be copied to. Taken out for a read. The bytes that were read are cleared, so that no other stream finds
    /// them; a stream that writes more than it says it has read leaves the rest there.
    static CHUNK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pin_project! {
    /// A stream of one world in the traits of the other: what is `futures_io::AsyncRead` and `AsyncWrite`, such as a
    /// [`TcpStream`](foster_net::TcpStream), becomes [`hyper::rt::Read`] and [`Write`], and the other way round, for
    /// [`Upgraded`](hyper::upgrade::Upgraded) connections.
    ///
    /// Nothing is held back: each read, write, flush and close is one of the stream inside, with its errors, its wakes and
    /// its end. A write of several buffers is passed on as one. (A stream that cannot do this is better served by
    /// `writev(false)` of hyper's builders.)
    ///
    /// # Examples
    ///
    /// ```
    /// use foster_hyper::Io;
    /// use foster_net::{TcpListener, TcpStream};
    /// use hyper::client::conn::http1;
    ///
    /// # foster_smol::run(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// # let server = listener.local_addr().unwrap();
    /// let stream = TcpStream::connect(server).await.unwrap();
    /// let (sender, connection) = http1::handshake::<_, String>(Io::new(stream)).await.unwrap();
    /// # drop((sender, connection));
    /// # });
    /// ```
    pub struct Io<S> {
        #[pin]
        stream: S,
        // Bytes that were read from it before: hyper gets these first.
        start: Vec<u8>,
        // The counts of bytes read and written, for the owner of the other reference.
        transfers: Option<Arc<Transfers>>,
    }
}

impl<S> Io<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Io { stream, start: Vec::new(), transfers: None }
    }

    /// Wraps a stream from which `start` was read already.
    pub(crate) fn starting_with(start: Vec<u8>, stream: S) -> Self {
        Io { stream, start, transfers: None }
    }

    /// Notes from now on what is read and written.
    pub(crate) fn noting(mut self, transfers: Option<Arc<Transfers>>) -> Self {
        self.transfers = transfers;
        self
    }

    /// Returns the stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Gives the stream back.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: fmt::Debug> fmt::Debug for Io<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Io").field(&self.stream).finish()
    }
}

/// The counts of bytes that an [`Io`] has read and written, for the connection above it, which is polled by the same
/// task.
#[derive(Default)]
pub(crate) struct Transfers {
    read: AtomicUsize,
    written: AtomicUsize,
    /// Whether the last write, flush or close was Pending.
    writer_waits: AtomicBool,
}

impl Transfers {
    /// Returns how often something was read or written.
    pub(crate) fn moved(&self) -> usize {
        self.read.load(Ordering::Relaxed).wrapping_add(self.written())
    }

    /// Returns how often something was written.
    pub(crate) fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Returns whether the last write, flush or close was Pending.
    pub(crate) fn writer_waits(&self) -> bool {
        self.writer_waits.load(Ordering::Relaxed)
    }
}

fn note_write(transfers: &Option<Arc<Transfers>>, outcome: &Poll<io::Result<usize>>) {
    let Some(transfers) = transfers else { return };
    transfers.writer_waits.store(outcome.is_pending(), Ordering::Relaxed);
    if outcome.is_ready() {
        transfers.written.fetch_add(1, Ordering::Relaxed);
    }
}

/// Notes a flush or a close. That it has ended says nothing of the peer: there may have been nothing to write.
fn note_flush(transfers: &Option<Arc<Transfers>>, outcome: &Poll<io::Result<()>>) {
    if let Some(transfers) = transfers {
        transfers.writer_waits.store(outcome.is_pending(), Ordering::Relaxed);
    }
}

impl<S: AsyncRead> Read for Io<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        if !this.start.is_empty() {
            let length = this.start.len().min(buf.remaining());
            buf.put_slice(&this.start[..length]);
            this.start.drain(..length);
            return Poll::Ready(Ok(()));
        }
        let mut chunk = CHUNK.take();
        chunk.resize(CHUNK_SIZE, 0);
        let room = buf.remaining().min(CHUNK_SIZE);
        let result = this.stream.poll_read(cx, &mut chunk[..room]);
        if let Poll::Ready(Ok(read)) = result {
            buf.put_slice(&chunk[..read]);
            chunk[..read].fill(0);
            if let Some(transfers) = this.transfers {
                transfers.read.fetch_add(1, Ordering::Relaxed);
            }
        }
        CHUNK.set(chunk);
        result.map_ok(drop)
    }
}

impl<S: AsyncWrite> Write for Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.stream.poll_write(cx, buf);
        note_write(this.transfers, &written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let flushed = this.stream.poll_flush(cx);
        note_flush(this.transfers, &flushed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let closed = this.stream.poll_close(cx);
        note_flush(this.transfers, &closed);
        closed
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.stream.poll_write_vectored(cx, bufs);
        note_write(this.transfers, &written);
        written
    }
}

impl<S: Read> AsyncRead for Io<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(self.project().stream.poll_read(cx, buf.unfilled()))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<S: Write> AsyncWrite for Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }
}
