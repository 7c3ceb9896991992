//! A process of the host: the one place that reaps and signals it.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::exit::{Exit, has_exited, wait_for_exit};
use crate::contract::Process;
use crate::signal_kind::SignalKind;

#[derive(Debug)]
pub(super) struct HostProcess {
    entry: Arc<Entry>,
    /// None only while it is being made.
    exit: Option<Exit>,
}

/// A process in the table of the host.
#[derive(Debug)]
struct Entry {
    id: u32,
    /// It is the first of a group of its own.
    group: bool,
    /// Held for one call of the host at a time. Reaping and signalling exclude each other by it (P3).
    state: Mutex<State>,
    /// A thread waits for its end.
    has_reaper: AtomicBool,
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
        let (id, state) = (child.id(), Mutex::new(State::Kept(child)));
        HostProcess { entry: Arc::new(Entry { id, group, state, has_reaper: AtomicBool::new(false) }), exit: None }
    }

    pub(super) fn watch(&mut self, exit: Exit) {
        self.exit = Some(exit);
    }

    pub(super) fn pid(&self) -> Pid {
        self.entry.pid()
    }
}

impl Entry {
    fn pid(&self) -> Pid {
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

    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        self.reap_in(&mut self.lock())
    }
}

impl Process for HostProcess {
    fn id(&self) -> u32 {
        self.entry.id
    }

    fn poll_exited(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(*self.entry.lock(), State::Reaped(_)) {
            return Poll::Ready(Ok(()));
        }
        match &self.exit {
            Some(exit) => exit.poll(cx).map_err(|error| {
                let message = format!("the process cannot be waited for, and may be alive: {error}");
                io::Error::new(error.kind(), message)
            }),
            None => unreachable!("it is watched when it is handed out"),
        }
    }

    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        self.entry.reap()
    }

    fn reap_later(&self) {
        if !matches!(self.reap(), Ok(None)) || self.entry.has_reaper.swap(true, Ordering::Relaxed) {
            return;
        }
        let entry = self.entry.clone();
        let reaps = move || {
            // Not the reaping itself: that is done under the lock, which nobody holds while they wait. An error of
            // either is for whoever asks how the process has ended.
            let _ = wait_for_exit(entry.pid());
            let _ = entry.reap();
        };
        // Without a thread the zombie stays until somebody asks for it, or this process ends.
        let _ = thread::Builder::new().name("reaper of a process".into()).spawn(reaps);
    }

    fn signal(&self, kind: SignalKind) -> io::Result<()> {
        let signal = Signal::from_named_raw(kind.as_raw()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, format!("there is no {kind} that could be sent"))
        })?;
        let mut state = self.entry.lock();
        match &*state {
            State::Reaped(_) => return Ok(()),
            State::Kept(_) => {}
        }
        if self.entry.is_lost() {
            *state = State::Reaped(Err(Errno::CHILD.raw_os_error()));
            return Ok(());
        }
        self.entry.send(signal)
    }
}

impl Drop for HostProcess {
    /// P6: only where it could not be watched, or its tree was torn down.
    fn drop(&mut self) {
        // One that is out of reach ends in its own way, and is reaped then.
        let _ = self.signal(SignalKind::KILL);
        self.reap_later();
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
