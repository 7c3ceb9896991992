//! A process of the host: the one place that reaps and signals it.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::exit::{Exit, has_exited};
use crate::contract::Process;
use crate::signal_kind::SignalKind;

#[derive(Debug)]
pub(super) struct HostProcess {
    id: u32,
    /// It is the first of a group of its own.
    group: bool,
    /// None only while it is being made.
    exit: Option<Exit>,
    /// Held for one call of the host at a time. Reaping and signalling exclude each other by it (P3).
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// It was not reaped: its id is its own.
    Kept(Child),
    /// It was reaped by us, or by somebody else: then its status is not known.
    Reaped(Result<ExitStatus, i32>),
}

impl HostProcess {
    pub(super) fn new(child: Child, group: bool) -> Self {
        HostProcess { id: child.id(), group, exit: None, state: Mutex::new(State::Kept(child)) }
    }

    pub(super) fn watch(&mut self, exit: Exit) {
        self.exit = Some(exit);
    }

    pub(super) fn pid(&self) -> Pid {
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        pid.unwrap_or_else(|| unreachable!("the host gives positive numbers to processes"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal to a process that was not reaped.
    fn send(&self, signal: Signal) -> io::Result<()> {
        let sent = if self.group { kill_process_group(self.pid(), signal) } else { kill_process(self.pid(), signal) };
        match sent {
            // It has exited. macOS says the second of a group in which nobody else is left.
            Err(Errno::SRCH) => Ok(()),
            #[cfg(target_vendor = "apple")]
            Err(Errno::PERM) if has_exited(self.pid()).unwrap_or(false) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Returns whether somebody else has reaped it: then its number may be that of a stranger.
    fn is_lost(&self) -> bool {
        has_exited(self.pid()).is_err_and(|error| error.raw_os_error() == Some(Errno::CHILD.raw_os_error()))
    }

    /// Reaps it, under the lock, if it has exited.
    fn reap_in(&self, state: &mut State) -> io::Result<Option<ExitStatus>> {
        let child = match state {
            State::Kept(child) => child,
            State::Reaped(status) => return status.map(Some).map_err(io::Error::from_raw_os_error),
        };
        let reaped = match has_exited(self.pid()) {
            Ok(false) => return Ok(None),
            Ok(true) => {
                if self.group {
                    // As long as the first of it is not reaped, the number of the group is its own. Those whom we may
                    // not signal are out of reach: they have made themselves another user's.
                    let _ = self.send(Signal::KILL);
                }
                child.try_wait()
            }
            Err(error) => Err(error),
        };
        match reaped {
            Ok(Some(status)) => *state = State::Reaped(Ok(status)),
            Ok(None) => return Ok(None),
            // Nobody knows any more what the number stands for.
            Err(error) => *state = State::Reaped(Err(error.raw_os_error().unwrap_or(Errno::CHILD.raw_os_error()))),
        }
        self.reap_in(state)
    }
}

impl Process for HostProcess {
    fn id(&self) -> u32 {
        self.id
    }

    fn poll_exited(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(*self.lock(), State::Reaped(_)) {
            return Poll::Ready(Ok(()));
        }
        match &self.exit {
            Some(exit) => match exit.poll(cx) {
                // `reap` returns the error, if there is one.
                Poll::Ready(_) => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            },
            None => unreachable!("it is watched when it is handed out"),
        }
    }

    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        self.reap_in(&mut self.lock())
    }

    fn signal(&self, kind: SignalKind) -> io::Result<()> {
        let signal = Signal::from_named_raw(kind.as_raw()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, format!("there is no {kind} that could be sent"))
        })?;
        let mut state = self.lock();
        match &*state {
            State::Reaped(_) => return Ok(()),
            State::Kept(_) => {}
        }
        if self.is_lost() {
            *state = State::Reaped(Err(Errno::CHILD.raw_os_error()));
            return Ok(());
        }
        self.send(signal)
    }
}

impl Drop for HostProcess {
    /// P6: only where it could not be watched, or its tree was torn down.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let State::Kept(_) = state else { return };
        let State::Kept(mut child) = std::mem::replace(state, State::Reaped(Err(Errno::CHILD.raw_os_error()))) else {
            unreachable!("it was not reaped a moment ago")
        };
        if self.is_lost() {
            return;
        }
        let _ = self.send(Signal::KILL);
        if matches!(child.try_wait(), Ok(None)) {
            // It is as good as dead; a thread sees to it that no zombie is left. Without one the zombie stays until
            // this process ends.
            let _ = thread::Builder::new().name("reaper of a process".into()).spawn(move || child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use rustix::process::{WaitOptions, waitpid};

    use super::*;

    /// N120, P3: if somebody else has reaped a process, neither a signal nor the drop goes to whoever has its number.
    #[test]
    fn n120_no_signal_after_somebody_else_has_reaped_it() {
        for by_drop in [false, true] {
            // The first of the group ends, and `cat` keeps the number of the group in use.
            let mut command = Command::new("sh");
            command.args(["-c", "exec 3<&0; cat <&3 & exit 0"]).process_group(0);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let process = HostProcess::new(child, true);
            waitpid(Some(process.pid()), WaitOptions::empty()).unwrap();
            if by_drop {
                drop(process);
            } else {
                process.signal(SignalKind::KILL).unwrap();
                assert!(process.reap().is_err());
            }
            to.write_all(b"alive").unwrap();
            drop(to);
            let mut said = String::new();
            from.read_to_string(&mut said).unwrap();
            assert_eq!(said, "alive", "the signal went to who has the number now, by drop: {by_drop}");
        }
    }
}
