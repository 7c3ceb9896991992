//! Processes and signals on Unix: everything but the waiting.

mod exit;
mod process;
mod reactor;
mod signals;

use std::fmt;
use std::fs::File;
use std::io;
use std::task::{Context, Poll};

use rustix::io::ioctl_fionbio;
use rustix::process::Signal;

use super::launch;
use crate::contract::{Launch, Processes, ReadPipe, SignalSource, Spawned, WritePipe};
use crate::signal_kind::SignalKind;
use exit::Exit;
use process::HostProcess;
use signals::HostSignals;

pub use reactor::{Direction, Reactor, Watched};
pub use signals::{KeepFromDefault, keep_from_default};

/// The processes of the host, made of a [`Reactor`].
pub struct HostProcesses<R> {
    reactor: R,
    pidfd: bool,
}

impl<R: Reactor> HostProcesses<R> {
    /// Makes the processes of this reactor.
    pub fn new(reactor: R) -> Self {
        HostProcesses { reactor, pidfd: true }
    }

    /// Does not use pidfds, as on a host that has none.
    #[must_use]
    pub fn without_pidfd(mut self) -> Self {
        self.pidfd = false;
        self
    }

    fn pipe(&self, pipe: File, direction: Direction) -> io::Result<Pipe> {
        ioctl_fionbio(&pipe, true)?;
        Ok(Pipe { watched: self.reactor.watch(pipe.into(), direction)? })
    }

    fn read_pipe(&self, pipe: Option<File>) -> io::Result<Option<Box<dyn ReadPipe>>> {
        let pipe = pipe.map(|pipe| self.pipe(pipe, Direction::Read)).transpose()?;
        Ok(pipe.map(|pipe| Box::new(pipe) as _))
    }
}

impl<R: Reactor> Processes for HostProcesses<R> {
    fn spawn(&self, launch: Launch) -> io::Result<Spawned> {
        if let Some(signal) = launch.stop_signal {
            if Signal::from_named_raw(signal.as_raw()).is_none() {
                let message = format!("it could not be asked to stop: there is no {signal} that could be sent");
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
        }
        let group = launch.has_group();
        let (mut command, ours) = launch::prepare(launch)?;
        let child = command.spawn()?;
        // Our copies of what the process has got are closed.
        drop(command);
        // From here on the process is killed and reaped if anything fails.
        let mut process = HostProcess::new(child, group);
        process.watch(Exit::of(process.pid(), self.pidfd, &self.reactor)?);
        let stdin = ours.stdin.map(|pipe| self.pipe(pipe, Direction::Write)).transpose()?;
        let stdin = stdin.map(|pipe| Box::new(pipe) as Box<dyn WritePipe>);
        let stdout = self.read_pipe(ours.stdout)?;
        let stderr = self.read_pipe(ours.stderr)?;
        Ok(Spawned { process: Box::new(process), stdin, stdout, stderr })
    }

    fn signals(&self, kinds: &[SignalKind]) -> io::Result<Box<dyn SignalSource>> {
        Ok(Box::new(HostSignals::listen(kinds, &self.reactor)?))
    }
}

impl<R> fmt::Debug for HostProcesses<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostProcesses")
    }
}

/// Our end of a pipe.
#[derive(Debug)]
struct Pipe {
    watched: Box<dyn Watched>,
}

impl ReadPipe for Pipe {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.watched.poll_attempt(cx, &mut |pipe| Ok(rustix::io::read(pipe, &mut *buf)?))
    }

    fn into_host(self: Box<Self>) -> io::Result<File> {
        let pipe = self.watched.into_descriptor()?;
        ioctl_fionbio(&pipe, false)?;
        Ok(pipe.into())
    }
}

impl WritePipe for Pipe {
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.watched.poll_attempt(cx, &mut |pipe| Ok(rustix::io::write(pipe, buf)?))
    }
}
