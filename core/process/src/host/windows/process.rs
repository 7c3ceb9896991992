//! A process of the host: the one place that reaps and kills it.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use foster_core::leaf::wake_all;
use shared_child::SharedChild;

use super::can_be_sent;
use crate::contract::Process;
use crate::signal_kind::SignalKind;

#[derive(Debug)]
pub(super) struct HostProcess {
    id: u32,
    exit: Arc<Mutex<Exit>>,
    /// Reaping and killing exclude each other by it (P3).
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// It was not reaped: as long as its handle is open, its id is its own (P2).
    Kept(Arc<SharedChild>),
    /// Its handle was closed. If its status is not known, there is the number of the error.
    Reaped(Result<ExitStatus, Option<i32>>),
}

/// The news from the thread that waits for the process.
#[derive(Debug, Default)]
struct Exit {
    has_come: bool,
    waker: Option<Waker>,
}

impl HostProcess {
    /// Starts it, and the thread that waits for it.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let child = Arc::new(SharedChild::spawn(command)?);
        let exit = Arc::<Mutex<Exit>>::default();
        // From here on the process is killed if anything fails.
        let process = HostProcess { id: child.id(), exit: exit.clone(), state: Mutex::new(State::Kept(child.clone())) };
        let waits = move || {
            // `reap` returns the error, if there is one.
            let _ = child.wait();
            // Its handle is closed when it is reaped, and not later.
            drop(child);
            let mut exit = lock(&exit);
            exit.has_come = true;
            let waker = exit.waker.take();
            drop(exit);
            wake_all(waker);
        };
        thread::Builder::new().name("waits for a process".into()).stack_size(super::STACK).spawn(waits)?;
        Ok(process)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process for HostProcess {
    fn id(&self) -> u32 {
        self.id
    }

    fn poll_exited(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A waker is cloned and dropped with the lock released.
        let waker = cx.waker().clone();
        let mut exit = lock(&self.exit);
        if exit.has_come {
            return Poll::Ready(Ok(()));
        }
        let before = exit.waker.replace(waker);
        drop(exit);
        drop(before);
        Poll::Pending
    }

    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = lock(&self.state);
        if let State::Kept(child) = &*state {
            let reaped = match child.try_wait() {
                Ok(None) => return Ok(None),
                Ok(Some(status)) => Ok(status),
                Err(error) => Err(error.raw_os_error()),
            };
            *state = State::Reaped(reaped);
        }
        match *state {
            State::Kept(_) => unreachable!("it was reaped above"),
            State::Reaped(Ok(status)) => Ok(Some(status)),
            State::Reaped(Err(Some(number))) => Err(io::Error::from_raw_os_error(number)),
            State::Reaped(Err(None)) => Err(io::Error::other("the host does not know how the process has ended")),
        }
    }

    fn signal(&self, kind: SignalKind) -> io::Result<()> {
        can_be_sent(kind)?;
        match &*lock(&self.state) {
            // One that has exited is left as it is.
            State::Kept(child) => child.kill(),
            State::Reaped(_) => Ok(()),
        }
    }
}

impl Drop for HostProcess {
    /// P6: only where it could not be watched, or its tree was torn down. The thread ends with the process.
    fn drop(&mut self) {
        if let State::Kept(child) = self.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // It cannot be killed if it has ended: there is nothing to do.
            let _ = child.kill();
        }
    }
}
