//! Our ends of the pipes of a child.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use foster_core::leaf::Gate;
use futures_io::{AsyncRead, AsyncWrite};

use crate::contract::{ReadPipe, WritePipe};

/// The standard input of a child: what is written here, it reads.
///
/// It is an [`AsyncWrite`]. To drop or to close it is the end of the child's input, which has all that was written
/// before. A child that has exited, or has closed its input, gives [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// On Windows up to 64 KiB are taken at once, and written meanwhile. If that fails, the next write, or a flush, which
/// waits until they are written, gives the error. Elsewhere a flush does nothing.
///
/// # Cancellation
///
/// Each poll is a checkpoint: cancelled code writes nothing. A write that is Pending has written nothing.
#[derive(Debug)]
pub struct ChildStdin {
    /// None when it is closed.
    pipe: Option<Box<dyn WritePipe>>,
}

impl ChildStdin {
    pub(crate) fn new(pipe: Box<dyn WritePipe>) -> Self {
        ChildStdin { pipe: Some(pipe) }
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Gate::new("write to a child").poll_start(cx));
        match &self.pipe {
            Some(_) if buf.is_empty() => Poll::Ready(Ok(0)),
            Some(pipe) => pipe.poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.pipe {
            Some(pipe) => pipe.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe = None;
        Poll::Ready(Ok(()))
    }
}

macro_rules! output {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// It is an [`AsyncRead`], and ends when the child and whoever has inherited the stream from it have closed it,
        /// or have ended. To drop it closes it: the child gets an error, or `SIGPIPE`, when it writes. It can be
        /// [given](crate::Stdio) to another process as its input.
        ///
        /// # Cancellation
        ///
        /// Each poll is a checkpoint: cancelled code reads nothing. Bytes that it has not read are there for the next
        /// read.
        #[derive(Debug)]
        pub struct $name {
            pipe: Box<dyn ReadPipe>,
        }

        impl $name {
            pub(crate) fn new(pipe: Box<dyn ReadPipe>) -> Self {
                $name { pipe }
            }

            pub(crate) fn into_pipe(self) -> Box<dyn ReadPipe> {
                self.pipe
            }
        }

        impl AsyncRead for $name {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                ready!(Gate::new($what).poll_start(cx));
                if buf.is_empty() { Poll::Ready(Ok(0)) } else { self.pipe.poll_read(cx, buf) }
            }
        }
    };
}

output! {
    /// The standard output of a child.
    ChildStdout, "read the output of a child"
}

output! {
    /// The standard error of a child.
    ChildStderr, "read the errors of a child"
}
