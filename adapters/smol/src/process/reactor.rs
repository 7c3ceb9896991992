//! Descriptors of processes, on async-io's reactor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use async_io::Async;
use foster_process::host::{Direction, Reactor, Watched};

pub(super) struct AsyncIo;

impl Reactor for AsyncIo {
    fn watch(&self, descriptor: OwnedFd, direction: Direction) -> io::Result<Box<dyn Watched>> {
        Ok(Box::new(Descriptor { io: Async::new_nonblocking(descriptor)?, direction }))
    }
}

/// A descriptor that async-io watches.
#[derive(Debug)]
struct Descriptor {
    io: Async<OwnedFd>,
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
                // async-io tells of what comes between the attempt and the registration.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(match self.direction {
                    Direction::Read => self.io.poll_readable(cx),
                    Direction::Write => self.io.poll_writable(cx),
                })?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn into_descriptor(self: Box<Self>) -> io::Result<OwnedFd> {
        self.io.into_inner()
    }
}
