//! Descriptors of processes, on the runtime's own reactor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, ready};

use foster_process::host::{Direction, Reactor, Watched};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

pub(super) struct Registrar {
    pub(super) handle: Handle,
}

impl Reactor for Registrar {
    fn watch(&self, descriptor: OwnedFd, direction: Direction) -> io::Result<Box<dyn Watched>> {
        let interest = match direction {
            Direction::Read => Interest::READABLE,
            Direction::Write => Interest::WRITABLE,
        };
        let _context = self.handle.enter();
        #[allow(
            deprecated,
            reason = "what replaces it is newer than the oldest tokio that will do; the descriptor is owned"
        )]
        let register = || AsyncFd::with_interest(descriptor, interest);
        // P9: a runtime without an I/O driver is an error.
        let watched = catch_unwind(AssertUnwindSafe(register));
        let io = watched.unwrap_or_else(|_| {
            let message = "the tokio runtime of this tree has no I/O driver: build it with `enable_io` or `enable_all`";
            Err(io::Error::new(io::ErrorKind::Unsupported, message))
        })?;
        Ok(Box::new(Descriptor { io, direction }))
    }
}

/// A descriptor that tokio watches.
#[derive(Debug)]
struct Descriptor {
    io: AsyncFd<OwnedFd>,
    direction: Direction,
}

impl Watched for Descriptor {
    fn poll_attempt(
        &self,
        cx: &mut Context<'_>,
        attempt: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match attempt(self.io.get_ref().as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => return Poll::Ready(done),
            }
            // tokio remembers that it was ready once. Cleared, it is told anew of what comes; the next attempt finds
            // what came before.
            ready!(match self.direction {
                Direction::Read => self.io.poll_read_ready(cx),
                Direction::Write => self.io.poll_write_ready(cx),
            })?
            .clear_ready();
        }
    }

    fn into_descriptor(self: Box<Self>) -> io::Result<OwnedFd> {
        Ok(self.io.into_inner())
    }
}
