//! How the exit of one process is seen.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use signal_hook::SigId;
use signal_hook::consts::SIGCHLD;
use signal_hook::low_level::{pipe, unregister};

use super::reactor::{Direction, Reactor, Watched};

/// Watches one process, and never reaps it.
#[derive(Debug)]
pub(super) struct Exit {
    /// Dropped first, so that it never writes to a socket whose other end is closed, which may raise `SIGPIPE`.
    handler: Option<Handler>,
    /// A pidfd, or our end of a pair of sockets that is written to at each `SIGCHLD`.
    watched: Box<dyn Watched>,
    pid: Pid,
}

impl Exit {
    pub(super) fn of(pid: Pid, pidfd: bool, reactor: &impl Reactor) -> io::Result<Self> {
        if let Some(pidfd) = pidfd.then(|| open_pidfd(pid)).flatten() {
            return Ok(Exit { watched: reactor.watch(pidfd, Direction::Read)?, pid, handler: None });
        }
        // Each process has a pair of its own: so no signal is spent on another process.
        let (ours, handlers) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let handler = Handler(pipe::register(SIGCHLD, handlers)?);
        Ok(Exit { watched: reactor.watch(ours.into(), Direction::Read)?, pid, handler: Some(handler) })
    }

    /// Waits until the process has exited, or cannot be asked whether it has: what reaps it finds that, too. An error is
    /// one of the reactor.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let signalled = self.handler.is_some();
        let look = &mut |descriptor: std::os::fd::BorrowedFd<'_>| {
            // First the signals that have come, then the process: so none is lost.
            let mut signals = [0; 64];
            while signalled && matches!(rustix::io::read(descriptor, &mut signals), Ok(1..)) {}
            if matches!(has_exited(self.pid), Ok(false)) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(0) }
        };
        self.watched.poll_attempt(cx, look).map_ok(drop)
    }
}

/// Returns whether the process has exited, and leaves it as it is.
pub(super) fn has_exited(pid: Pid) -> io::Result<bool> {
    look(pid, WaitIdOptions::NOHANG)
}

/// Blocks until the process has exited, and leaves it as it is.
pub(super) fn wait_for_exit(pid: Pid) -> io::Result<()> {
    look(pid, WaitIdOptions::empty()).map(drop)
}

fn look(pid: Pid, how: WaitIdOptions) -> io::Result<bool> {
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how) {
            Ok(status) => return Ok(status.is_some()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Not on Android, where a program that asks is killed by its sandbox up to version 11.
#[cfg(target_os = "linux")]
fn open_pidfd(pid: Pid) -> Option<OwnedFd> {
    // The flag is newer than pidfds, and they need it not: they are never read.
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_pidfd(_: Pid) -> Option<OwnedFd> {
    None
}

/// An entry in the list of what is done at `SIGCHLD`.
#[derive(Debug)]
struct Handler(SigId);

impl Drop for Handler {
    fn drop(&mut self) {
        unregister(self.0);
    }
}
