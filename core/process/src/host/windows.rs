//! Processes on Windows.

mod pipe;
mod process;

use std::io;

use super::launch;
use crate::contract::{Launch, Processes, Spawned};
use crate::signal_kind::SignalKind;
use pipe::Pipe;
use process::HostProcess;

/// The stack of a thread that makes calls that block, and wakes who waits.
const STACK: usize = 256 * 1024;

/// The processes of the host, for any runtime.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HostProcesses;

impl HostProcesses {
    /// Makes the processes of the host.
    #[must_use]
    pub fn new() -> Self {
        HostProcesses
    }
}

impl Processes for HostProcesses {
    fn spawn(&self, launch: Launch) -> io::Result<Spawned> {
        if let Some(signal) = launch.stop_signal {
            can_be_sent(signal)?;
        }
        let (mut command, ours) = launch::prepare(launch)?;
        let process = HostProcess::start(&mut command)?;
        Ok(Spawned {
            process: Box::new(process),
            stdin: ours.stdin.map(|pipe| Box::new(Pipe::new(pipe)) as _),
            stdout: ours.stdout.map(|pipe| Box::new(Pipe::new(pipe)) as _),
            stderr: ours.stderr.map(|pipe| Box::new(Pipe::new(pipe)) as _),
        })
    }
}

/// Refuses all but the two that end a process: there are no signals here.
fn can_be_sent(signal: SignalKind) -> io::Result<()> {
    match signal {
        SignalKind::TERMINATE | SignalKind::KILL => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, format!("there is no {signal} on Windows"))),
    }
}
