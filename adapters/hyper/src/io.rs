//! Streams, in the traits of hyper and in the neutral ones.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use pin_project_lite::pin_project;

/// How much is read at once.
const CHUNK_SIZE: usize = 64 * 1024;

thread_local! {
    /// What a stream reads into: the memory that hyper lends may be uninitialized, and can only be copied to without
    /// unsafe code. Taken out for a read. What was read is cleared, so that no other stream finds it; a stream that
    /// writes more than it says it has read leaves the rest there.
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
        // What was read from it before: hyper gets that first.
        start: Vec<u8>,
        // Counts how often something was read or written, for whoever has the other one.
        moved: Option<Arc<AtomicUsize>>,
    }
}

impl<S> Io<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Io { stream, start: Vec::new(), moved: None }
    }

    /// Wraps a stream from which `start` was read already.
    pub(crate) fn starting_with(start: Vec<u8>, stream: S) -> Self {
        Io { stream, start, moved: None }
    }

    /// Counts from now on how often something is read or written.
    pub(crate) fn counting(mut self, moved: Arc<AtomicUsize>) -> Self {
        self.moved = Some(moved);
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

fn count(moved: &Option<Arc<AtomicUsize>>) {
    if let Some(moved) = moved {
        moved.fetch_add(1, Ordering::Relaxed);
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
            count(this.moved);
        }
        CHUNK.set(chunk);
        result.map_ok(drop)
    }
}

impl<S: AsyncWrite> Write for Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = ready!(this.stream.poll_write(cx, buf));
        count(this.moved);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_close(cx)
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
        let written = ready!(this.stream.poll_write_vectored(cx, bufs));
        count(this.moved);
        Poll::Ready(written)
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
