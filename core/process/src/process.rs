//! A process that runs, as its [`Child`](crate::Child) and its finalizer share it.
//!
//! The host keeps one waker (contract P4). Two may wait at once: the code that has the child, and the finalizer
//! that stops the process, if the scope of the process ends while the child is held elsewhere. So the host gets one
//! waker that wakes both.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use foster_core::leaf::{poll_budget, wake_all};
use foster_core::{Instant, deadline, graceful, is_cancelled};

use crate::contract::{self, ReadPipe};
use crate::signal_kind::SignalKind;
use crate::stop::StopPolicy;

/// A process of this program.
pub(crate) struct Process {
    host: Box<dyn contract::Process>,
    program: String,
    /// Where its command was made.
    location: &'static Location<'static>,
    /// How much of what it writes may be captured.
    max_output: usize,
    policy: StopPolicy,
    waiting: Arc<Waiting>,
    /// When the grace ends of whoever has cancelled the code that held the child.
    grace_ends: Mutex<Option<Instant>>,
    /// The ends of its pipes that nobody reads any more. None once it has ended.
    unread: Mutex<Option<Vec<Box<dyn ReadPipe>>>>,
}

/// The waiter for the exit.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    /// The task or thread that waits for the child.
    Holder = 0,
    /// The finalizer.
    Finalizer = 1,
}

impl Process {
    pub(crate) fn new(
        host: Box<dyn contract::Process>,
        program: String,
        location: &'static Location<'static>,
        max_output: usize,
        policy: StopPolicy,
    ) -> Self {
        let unread = Mutex::new(Some(Vec::new()));
        let (waiting, grace_ends) = (Arc::default(), Mutex::new(None));
        Process { host, program, location, max_output, policy, waiting, grace_ends, unread }
    }

    pub(crate) fn id(&self) -> u32 {
        self.host.id()
    }

    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    pub(crate) fn max_output(&self) -> usize {
        self.max_output
    }

    pub(crate) fn policy(&self) -> &StopPolicy {
        &self.policy
    }

    pub(crate) fn signal(&self, kind: SignalKind) -> io::Result<()> {
        self.host.signal(kind)
    }

    /// Reaps it if it has exited.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let status = self.host.reap();
        if !matches!(status, Ok(None)) {
            // The host's one wake-up may have been spent on whoever has called this.
            self.waiting.wake_by_ref();
        }
        status
    }

    /// Has it reaped when it has ended, though nobody waits for it.
    pub(crate) fn reap_later(&self) {
        self.host.reap_later();
    }

    /// Waits until it has exited, and reaps it. One future a side at a time.
    pub(crate) fn ended(&self, side: Side) -> Ended<'_> {
        Ended { process: self, side }
    }

    /// Called when the code that holds the child drops it: notes the grace that its canceller gives, if it was
    /// cancelled.
    pub(crate) fn note_grace(&self) {
        if let Some(at) = grace_of_canceller() {
            *self.grace_ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        }
    }

    /// Returns the end of the grace that was noted.
    pub(crate) fn grace_ends(&self) -> Option<Instant> {
        *self.grace_ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unread(&self) -> MutexGuard<'_, Option<Vec<Box<dyn ReadPipe>>>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a pipe open that its reader has left, so that the process may print until it has ended. The finalizer reads
    /// it.
    pub(crate) fn leave(&self, pipe: Box<dyn ReadPipe>) {
        let mut pipe = Some(pipe);
        if let Some(unread) = &mut *self.unread() {
            unread.extend(pipe.take());
        }
        // If it has ended, the pipe is closed here.
        drop(pipe);
        self.waiting.wake_by_ref();
    }

    /// Reads from the pipes that were left, and forgets what it reads. Wakes the task when there is more.
    pub(crate) fn drain(&self, cx: &mut Context<'_>) {
        let Some(mut pipes) = self.unread().as_mut().map(mem::take) else { return };
        let mut piece = [0; 8 * 1024];
        pipes.retain(|pipe| {
            loop {
                if poll_budget(cx).is_pending() {
                    return true;
                }
                match pipe.poll_read(cx, &mut piece) {
                    Poll::Pending => return true,
                    Poll::Ready(Ok(1..)) => {}
                    // Nobody wants what cannot be read.
                    Poll::Ready(Ok(0) | Err(_)) => return false,
                }
            }
        });
        if let Some(unread) = &mut *self.unread() {
            unread.append(&mut pipes);
        }
    }

    /// Closes the pipes that were left, and those that will be.
    pub(crate) fn close_unread(&self) {
        let pipes = self.unread().take();
        drop(pipes);
    }
}

/// Future of [`Process::ended`].
pub(crate) struct Ended<'a> {
    process: &'a Process,
    side: Side,
}

impl Future for Ended<'_> {
    type Output = io::Result<ExitStatus>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        let Process { host, waiting, .. } = self.process;
        waiting.register(self.side, Some(cx.waker().clone()));
        let both = Waker::from(waiting.clone());
        ready!(host.poll_exited(&mut Context::from_waker(&both)))?;
        let status = host.reap();
        // The host's one wake-up was spent on this side: the other one looks, too.
        waiting.register(self.side, None);
        waiting.wake_by_ref();
        Poll::Ready(status?.ok_or_else(|| io::Error::other("the process has exited, and cannot be reaped")))
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.process.waiting.register(self.side, None);
    }
}

/// Returns when whoever has cancelled the code that is running would cut a graceful shield in it; none if that would be
/// now.
fn grace_of_canceller() -> Option<Instant> {
    if !is_cancelled() {
        return None;
    }
    let shielded = pin!(graceful(async { deadline() }));
    match shielded.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(at) => at.filter(|at| *at > Instant::now()),
        Poll::Pending => None,
    }
}

/// Notes the grace when it is dropped.
pub(crate) struct NoteGrace(pub(crate) Arc<Process>);

impl Drop for NoteGrace {
    fn drop(&mut self) {
        self.0.note_grace();
    }
}

/// The end of a pipe, which is left to the process if it is dropped before the end was read.
pub(crate) struct Unread<'a> {
    pub(crate) process: &'a Process,
    pub(crate) pipe: Option<Box<dyn ReadPipe>>,
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            self.process.leave(pipe);
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (process {}, {})", self.program, self.id(), self.location)
    }
}

/// The wakers of both sides.
#[derive(Default)]
struct Waiting {
    wakers: Mutex<[Option<Waker>; 2]>,
}

impl Waiting {
    /// Registers the waker of a side, instead of the one before.
    fn register(&self, side: Side, waker: Option<Waker>) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut wakers[side as usize], waker);
        drop(wakers);
        // L36: a waker is dropped with the lock released.
        drop(before);
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wake_all(wakers.into_iter().flatten());
    }
}
