//! Our ends of the pipes of a child.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use foster_core::is_cancelled;
use foster_core::leaf::Gate;
use futures_io::{AsyncRead, AsyncWrite};

use crate::contract::{ReadPipe, WritePipe};

/// The name of a write in dumps.
const WRITE: &str = "write to a child";

/// An error of the host that came for code that was cancelled by then.
#[derive(Debug, Default)]
pub(crate) struct Withheld(Option<io::Error>);

impl Withheld {
    /// Polls the host, where there is room. Code that is cancelled by now is told neither an error nor the end: the request
    /// may have come on another thread during the poll, and be what has stopped the process (law L14). The end comes again.
    /// But of an error a host may tell once: so it is kept, for the next poll.
    pub(crate) fn poll(
        &mut self,
        mut gate: Gate,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(gate.poll_start(cx));
        let polled = match self.0.take() {
            Some(error) => Err(error),
            None => ready!(poll(cx)),
        };
        if matches!(polled, Err(_) | Ok(0)) && is_cancelled() {
            self.0 = polled.err();
            return gate.restart(cx);
        }
        Poll::Ready(polled)
    }
}

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
    withheld: Withheld,
}

impl ChildStdin {
    pub(crate) fn new(pipe: Box<dyn WritePipe>) -> Self {
        ChildStdin { pipe: Some(pipe), withheld: Withheld::default() }
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut gate = Gate::new(WRITE);
        let ChildStdin { pipe, withheld } = &mut *self;
        match pipe {
            Some(pipe) if !buf.is_empty() => withheld.poll(gate, cx, |cx| pipe.poll_write(cx, buf)),
            pipe => {
                ready!(gate.poll_start(cx));
                Poll::Ready(if pipe.is_some() { Ok(0) } else { Err(io::ErrorKind::BrokenPipe.into()) })
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ChildStdin { pipe: Some(pipe), withheld } = &mut *self else { return Poll::Ready(Ok(())) };
        if withheld.0.is_none() {
            match ready!(pipe.poll_flush(cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                failed => withheld.0 = failed.err(),
            }
        }
        // Only where it has failed is it a checkpoint.
        withheld.poll(Gate::new(WRITE), cx, |_| Poll::Ready(Ok(0))).map_ok(|_| ())
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
            withheld: Withheld,
        }

        impl $name {
            pub(crate) fn new(pipe: Box<dyn ReadPipe>) -> Self {
                $name { pipe, withheld: Withheld::default() }
            }

            pub(crate) fn into_pipe(self) -> Box<dyn ReadPipe> {
                self.pipe
            }
        }

        impl AsyncRead for $name {
            fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                let mut gate = Gate::new($what);
                if buf.is_empty() {
                    return gate.poll_start(cx).map(|()| Ok(0));
                }
                let $name { pipe, withheld } = &mut *self;
                withheld.poll(gate, cx, |cx| pipe.poll_read(cx, buf))
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use foster_core::{CancelScope, ScopeHandle};

    use super::*;

    /// The host's side of a pipe that ends in the first poll, by a request that comes meanwhile.
    #[derive(Debug)]
    struct Ending {
        handle: ScopeHandle,
        polls: AtomicUsize,
        error: bool,
    }

    impl Ending {
        /// An error is told once.
        fn end(&self) -> Poll<io::Result<usize>> {
            self.handle.cancel("too late");
            let first = self.polls.fetch_add(1, Ordering::Relaxed) == 0;
            Poll::Ready(if self.error && first { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(0) })
        }
    }

    impl ReadPipe for Ending {
        fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            self.end()
        }

        fn into_host(self: Box<Self>) -> io::Result<File> {
            unreachable!()
        }
    }

    impl WritePipe for Ending {
        fn poll_write(&self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.end()
        }

        fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.end().map_ok(|_| ())
        }
    }

    /// Does `poll` with a pipe that ends by a request to the code of that poll, which is not to be told, and then in code
    /// that is not cancelled. Returns what came of this.
    async fn too_late<P, T>(
        error: bool,
        make: fn(Box<Ending>) -> P,
        mut poll: impl FnMut(&mut P, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let mut scope = CancelScope::new();
        let mut pipe = make(Box::new(Ending { handle: scope.handle(), polls: AtomicUsize::new(0), error }));
        let in_time = poll_fn(|cx| {
            assert!(poll(&mut pipe, cx).is_pending());
            // It is cancelled still.
            assert!(poll(&mut pipe, cx).is_pending());
            Poll::Ready(())
        });
        assert_eq!(scope.run(in_time).await.unwrap(), ());
        poll_fn(|cx| poll(&mut pipe, cx)).await
    }

    /// L14: neither an error nor the end is told to code that is cancelled by the time, and neither is lost to other code.
    #[test]
    fn an_end_that_came_too_late_is_for_the_next() {
        foster_smol::run(async {
            let read = |pipe: &mut ChildStdout, cx: &mut Context<'_>| Pin::new(pipe).poll_read(cx, &mut [0]);
            let make = |pipe: Box<Ending>| ChildStdout::new(pipe);
            assert_eq!(too_late(false, make, read).await.unwrap(), 0);
            assert_eq!(too_late(true, make, read).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            let make = |pipe: Box<Ending>| ChildStdin::new(pipe);
            let write = |pipe: &mut ChildStdin, cx: &mut Context<'_>| Pin::new(pipe).poll_write(cx, b"x");
            assert_eq!(too_late(true, make, write).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            let flush = |pipe: &mut ChildStdin, cx: &mut Context<'_>| Pin::new(pipe).poll_flush(cx);
            assert_eq!(too_late(true, make, flush).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
    }
}
