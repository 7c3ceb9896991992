//! Processes and signals, on async-io's reactor.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use async_io::Async;
use foster_process::contract::Processes;
use foster_process::host::{Direction, HostProcesses, Reactor, Watched};

/// The processes of all trees on smol: async-io has one reactor in this process.
pub(crate) fn of_the_process() -> &'static (dyn Any + Send + Sync) {
    static PROCESSES: LazyLock<Arc<dyn Processes>> = LazyLock::new(|| Arc::new(HostProcesses::new(AsyncIo)));
    &*PROCESSES
}

struct AsyncIo;

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
