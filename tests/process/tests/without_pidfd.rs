//! The behaviours of processes where exits are seen at `SIGCHLD`, as on hosts that have no pidfd.
#![cfg(target_os = "linux")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_io::Async;
use foster_process::contract::with_processes;
use foster_process::host::{Direction, HostProcesses, Reactor, Watched};
use foster_process_conformance::reports::Reports;

/// The smallest reactor there is, for authors of adapters.
struct AsyncIo;

impl Reactor for AsyncIo {
    fn watch(&self, descriptor: OwnedFd, direction: Direction) -> io::Result<Box<dyn Watched>> {
        Ok(Box::new(Descriptor(Async::new_nonblocking(descriptor)?, direction)))
    }
}

#[derive(Debug)]
struct Descriptor(Async<OwnedFd>, Direction);

impl Watched for Descriptor {
    fn poll_attempt(
        &self,
        cx: &mut Context<'_>,
        attempt: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match attempt(self.0.get_ref().as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => return Poll::Ready(done),
            }
            ready!(match self.1 {
                Direction::Read => self.0.poll_readable(cx),
                Direction::Write => self.0.poll_writable(cx),
            })?;
        }
    }

    fn into_descriptor(self: Box<Self>) -> io::Result<OwnedFd> {
        self.0.into_inner()
    }
}

fn run<T>(reports: Arc<Reports>, body: impl Future<Output = T>) -> T {
    let processes = Arc::new(HostProcesses::new(AsyncIo).without_pidfd());
    foster_smol::Builder::new().threads(2).observer(reports).run(with_processes(processes, body))
}

foster_process_conformance::suite!(run);
