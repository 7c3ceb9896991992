//! The neutral traits: `futures_io::AsyncRead` and `AsyncWrite`, for streams and their halves.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use foster_core::leaf::Gate;
use futures_io::{AsyncRead, AsyncWrite};

use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, Shared, Stream, WriteHalf};
use crate::address::Family;
use crate::contract::StreamSocket;
use crate::direction::poll_unless_cancelled;

/// The caller of a `poll_*` function: the only possible one in this direction, or one of many.
#[derive(Clone, Copy)]
pub(super) enum Poller {
    Alone,
    Shared,
}

impl Shared {
    fn poll_read(&self, poller: Poller, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Gate::poll_once("read", cx));
        let read = |socket: &dyn StreamSocket, cx: &mut Context<'_>| socket.poll_read(cx, buf);
        match poller {
            Poller::Alone => self.poll_host_read(cx, read),
            Poller::Shared => self.reading.direction.poll_shared(cx, |cx| self.poll_host_read(cx, read)),
        }
    }

    fn poll_read_vectored(
        &self,
        poller: Poller,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ready!(Gate::poll_once("read", cx));
        let read = |socket: &dyn StreamSocket, cx: &mut Context<'_>| socket.poll_read_vectored(cx, bufs);
        match poller {
            Poller::Alone => self.poll_host_read(cx, read),
            Poller::Shared => self.reading.direction.poll_shared(cx, |cx| self.poll_host_read(cx, read)),
        }
    }

    /// Starts a write. An error, if the write side was shut down.
    fn poll_start_writing(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Gate::poll_once("write", cx));
        poll_unless_cancelled(cx, self.writing.check_open())
    }

    fn poll_write(&self, poller: Poller, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() && self.writing.check_open().is_ok() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_start_writing(cx))?;
        let write = |socket: &dyn StreamSocket, cx: &mut Context<'_>| socket.poll_write(cx, buf);
        match poller {
            Poller::Alone => self.poll_host_write(cx, write),
            Poller::Shared => self.writing.poll_shared(cx, |cx| self.poll_host_write(cx, write)),
        }
    }

    fn poll_write_vectored(
        &self,
        poller: Poller,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) && self.writing.check_open().is_ok() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_start_writing(cx))?;
        let write = |socket: &dyn StreamSocket, cx: &mut Context<'_>| socket.poll_write_vectored(cx, bufs);
        match poller {
            Poller::Alone => self.poll_host_write(cx, write),
            Poller::Shared => self.writing.poll_shared(cx, |cx| self.poll_host_write(cx, write)),
        }
    }
}

macro_rules! reads {
    ($kind:ty, $poller:expr, $stream:expr) => {
        impl<F: Family> AsyncRead for $kind {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                let stream: fn(&Self) -> &Stream<F> = $stream;
                stream(&self).shared.poll_read($poller, cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let stream: fn(&Self) -> &Stream<F> = $stream;
                stream(&self).shared.poll_read_vectored($poller, cx, bufs)
            }
        }
    };
}

/// `poll_flush` has nothing to do, and `poll_close` shuts the write side down, which is idempotent; neither is a
/// checkpoint.
macro_rules! writes {
    ($kind:ty, $poller:expr, $stream:expr) => {
        impl<F: Family> AsyncWrite for $kind {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                let stream: fn(&Self) -> &Stream<F> = $stream;
                stream(&self).shared.poll_write($poller, cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let stream: fn(&Self) -> &Stream<F> = $stream;
                stream(&self).shared.poll_write_vectored($poller, cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                let stream: fn(&Self) -> &Stream<F> = $stream;
                Poll::Ready(stream(&self).shutdown(Shutdown::Write))
            }
        }
    };
}

reads!(Stream<F>, Poller::Alone, |stream| stream);
writes!(Stream<F>, Poller::Alone, |stream| stream);
reads!(&Stream<F>, Poller::Shared, |stream| stream);
writes!(&Stream<F>, Poller::Shared, |stream| stream);
reads!(ReadHalf<'_, F>, Poller::Alone, |half| half.stream());
writes!(WriteHalf<'_, F>, Poller::Alone, |half| half.stream());
reads!(OwnedReadHalf<F>, Poller::Alone, |half| half.stream());
writes!(OwnedWriteHalf<F>, Poller::Alone, |half| half.stream());
