//! A stream in two: one half reads, the other writes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;

use super::Stream;
use crate::address::Family;

/// The half of a stream that reads, borrowed; from [`Stream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a, F: Family>(&'a Stream<F>);

/// The half of a stream that writes, borrowed; from [`Stream::split`]. To drop it closes nothing.
#[derive(Debug)]
pub struct WriteHalf<'a, F: Family>(&'a Stream<F>);

/// The half of a stream that reads; from [`Stream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf<F: Family>(Stream<F>);

/// The half of a stream that writes; from [`Stream::into_split`].
///
/// To drop it shuts this direction down: the other side reads what was written, and then the end.
/// [`forget`](OwnedWriteHalf::forget) drops it without.
#[derive(Debug)]
pub struct OwnedWriteHalf<F: Family> {
    stream: Stream<F>,
    closes: bool,
}

pub(super) fn split<F: Family>(stream: &mut Stream<F>) -> (ReadHalf<'_, F>, WriteHalf<'_, F>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(super) fn into_split<F: Family>(stream: Stream<F>) -> (OwnedReadHalf<F>, OwnedWriteHalf<F>) {
    (OwnedReadHalf(stream.again()), OwnedWriteHalf { stream, closes: true })
}

impl<F: Family> ReadHalf<'_, F> {
    pub(super) fn stream(&self) -> &Stream<F> {
        self.0
    }
}

impl<F: Family> WriteHalf<'_, F> {
    pub(super) fn stream(&self) -> &Stream<F> {
        self.0
    }
}

impl<F: Family> OwnedReadHalf<F> {
    pub(super) fn stream(&self) -> &Stream<F> {
        &self.0
    }

    /// Puts the two halves of one stream together again.
    ///
    /// # Errors
    ///
    /// They are of different streams; both come back.
    pub fn reunite(self, mut write: OwnedWriteHalf<F>) -> Result<Stream<F>, ReuniteError<F>> {
        if Arc::ptr_eq(&self.0.shared, &write.stream.shared) {
            write.closes = false;
            Ok(self.0)
        } else {
            Err(ReuniteError { read: self, write })
        }
    }
}

impl<F: Family> OwnedWriteHalf<F> {
    pub(super) fn stream(&self) -> &Stream<F> {
        &self.stream
    }

    /// Drops it, and leaves the direction open as long as the other half is there.
    pub fn forget(mut self) {
        self.closes = false;
    }
}

impl<F: Family> Drop for OwnedWriteHalf<F> {
    fn drop(&mut self) {
        if self.closes {
            // Nobody could be told of an error, and the connection is broken then.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

macro_rules! reading {
    ($kind:ty) => {
        impl<F: Family> $kind {
            /// Does as [`Stream::read`].
            ///
            /// # Cancellation
            ///
            /// *Strict*: no data are lost.
            ///
            /// # Errors
            ///
            /// As [`Stream::read`].
            pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream().read(buf).await
            }

            /// Does as [`Stream::read_vectored`].
            ///
            /// # Cancellation
            ///
            /// *Strict*: no data are lost.
            ///
            /// # Errors
            ///
            /// As [`Stream::read`].
            pub async fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.stream().read_vectored(bufs).await
            }

            /// Does as [`Stream::read_exact`].
            ///
            /// # Cancellation
            ///
            /// *Partial effect*: what was read so far is in the buffer, and it is not known how much that is.
            ///
            /// # Errors
            ///
            /// As [`Stream::read_exact`].
            pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
                self.stream().read_exact(buf).await
            }

            /// Does as [`Stream::peek`].
            ///
            /// # Cancellation
            ///
            /// *Strict*.
            ///
            /// # Errors
            ///
            /// As [`Stream::read`].
            pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream().peek(buf).await
            }

            /// Does as [`Stream::local_addr`].
            ///
            /// # Errors
            ///
            /// As [`Stream::local_addr`].
            pub fn local_addr(&self) -> io::Result<F::Addr> {
                self.stream().local_addr()
            }

            /// Does as [`Stream::peer_addr`].
            ///
            /// # Errors
            ///
            /// As [`Stream::peer_addr`].
            pub fn peer_addr(&self) -> io::Result<F::Addr> {
                self.stream().peer_addr()
            }
        }
    };
}

macro_rules! writing {
    ($kind:ty) => {
        impl<F: Family> $kind {
            /// Does as [`Stream::write`].
            ///
            /// # Cancellation
            ///
            /// *Strict*: nothing has been written.
            ///
            /// # Errors
            ///
            /// As [`Stream::write`].
            pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.stream().write(buf).await
            }

            /// Does as [`Stream::write_vectored`].
            ///
            /// # Cancellation
            ///
            /// *Strict*: nothing has been written.
            ///
            /// # Errors
            ///
            /// As [`Stream::write`].
            pub async fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream().write_vectored(bufs).await
            }

            /// Does as [`Stream::write_all`].
            ///
            /// # Cancellation
            ///
            /// *Partial effect*: any part of the buffer from its beginning may have been written.
            ///
            /// # Errors
            ///
            /// As [`Stream::write_all`].
            pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.stream().write_all(buf).await
            }

            /// Shuts this direction down; see [`Stream::shutdown`].
            ///
            /// # Errors
            ///
            /// As the host says.
            pub fn shutdown(&mut self) -> io::Result<()> {
                self.stream().shutdown(Shutdown::Write)
            }
        }
    };
}

reading!(ReadHalf<'_, F>);
reading!(OwnedReadHalf<F>);
writing!(WriteHalf<'_, F>);
writing!(OwnedWriteHalf<F>);

/// Two halves that are of different streams.
#[non_exhaustive]
pub struct ReuniteError<F: Family> {
    /// The half that reads.
    pub read: OwnedReadHalf<F>,
    /// The half that writes.
    pub write: OwnedWriteHalf<F>,
}

impl<F: Family> fmt::Debug for ReuniteError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").field("read", &self.read).field("write", &self.write).finish()
    }
}

impl<F: Family> fmt::Display for ReuniteError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of different streams")
    }
}

impl<F: Family> std::error::Error for ReuniteError<F> {}
