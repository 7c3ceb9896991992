//! Bytes on their way to a file: taken in at once, written by a job of the scope that has handed them over.
//!
//! ```text
//!   poll_write ──▶ queue ──▶ job: writes until the queue is empty ──▶ the file
//!      │             ▲         └─ belongs to the scope of that poll, which does not end before it
//!      └─ more ──────┘  only in the same scope; other code waits for the job's end, and starts one of its own
//! ```
//!
//! Invariants:
//!
//! 1. Bytes that were taken in are in the queue of a job that has *started*. A job that still waits for a thread has
//!    none: a poll that is Pending has taken nothing in.
//! 2. The job belongs to the scope that has handed over all its bytes. So when that scope has ended they are written,
//!    or have failed.
//! 3. A job decides under the lock that it is done (`open` is false), and nothing is added after that.
//! 4. An error stays: bytes are missing in the file, and no later call turns that into `Ok`.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use foster_core::leaf::{Gate, wake_all};
use foster_core::observer::{OrphanKind, report};

use crate::job::{Completion, Job};

/// How many bytes are taken in before a writer has to wait.
pub(crate) const CAPACITY: usize = 2 * 1024 * 1024;

/// The memory that a file keeps while nothing is being written: up to this many bytes, twice.
const KEPT: usize = 64 * 1024;

/// The destination of bytes, written to on a thread that may block.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Writes all of it.
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;

    /// There is nothing more for now: what the sink keeps back has to go out.
    fn flush(&self) -> io::Result<()>;
}

/// The writing side of a file.
pub(crate) struct WriteBehind<S: Sink> {
    queue: Arc<Queue<S>>,
    job: Option<Job>,
}

struct Queue<S> {
    sink: Arc<S>,
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    bytes: Vec<u8>,
    /// The allocation of the bytes that are being written, when they are.
    spare: Vec<u8>,
    /// A job takes what is added.
    open: bool,
    /// The waker of the writer that waits for room.
    waker: Option<Waker>,
    failure: Option<Failure>,
    /// There is nobody left who could ask for the failure.
    is_dropped: bool,
}

struct Failure {
    error: io::Error,
    was_seen: bool,
    /// The job was dropped before it was done.
    is_cut: bool,
}

impl<S: Sink> WriteBehind<S> {
    pub(crate) fn new(sink: Arc<S>) -> Self {
        WriteBehind { queue: Arc::new(Queue { sink, state: Mutex::default() }), job: None }
    }

    /// Takes in bytes, up to [`CAPACITY`] of them.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(Gate::poll_once("write", cx));
        self.queue.check()?;
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Some(job) = self.job.as_mut().filter(|job| job.has_started()) {
            if job.is_own() {
                match self.queue.add(data, cx) {
                    Added::Bytes(count) => return Poll::Ready(Ok(count)),
                    Added::Full => return Poll::Pending,
                    Added::JobIsOver => {}
                }
            }
            std::task::ready!(job.poll(cx))?;
            self.job = None;
            self.queue.check()?;
        }
        self.job.take_if(|job| job.is_stale());
        let job = self.job.get_or_insert_with(|| {
            let drain = Drain(self.queue.clone());
            Job::new("write", move || drain.run())
        });
        let count = self.queue.offer(data);
        match job.poll(cx) {
            Poll::Ready(Err(no_thread)) => {
                self.queue.withdraw();
                self.job = None;
                Poll::Ready(Err(no_thread))
            }
            Poll::Ready(Ok(())) => {
                self.job = None;
                Poll::Ready(Ok(count))
            }
            Poll::Pending if job.has_started() => Poll::Ready(Ok(count)),
            Poll::Pending => {
                // Invariant 1.
                self.queue.withdraw();
                Poll::Pending
            }
        }
    }

    /// Waits until all that was taken in is written, or has failed.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(job) = self.job.as_mut().filter(|job| job.has_started()) {
            // It has a thread, so this is no error.
            let _ = std::task::ready!(job.poll(cx));
        }
        self.job = None;
        Poll::Ready(())
    }

    /// Returns the end of what is being written, for code that only refers to the file.
    pub(crate) fn completion(&self) -> Option<Arc<Completion>> {
        self.job.as_ref().and_then(Job::completion)
    }

    /// Waits as [`poll_idle`](Self::poll_idle) does, unless the code is cancelled.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        std::task::ready!(Gate::poll_once("flush", cx));
        self.poll_idle(cx)
    }

    /// Waits as [`poll_written`](Self::poll_written) does, and says how it went.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_written(cx));
        Poll::Ready(self.check())
    }

    /// Returns the error that bytes were lost with, each time it is asked (invariant 4). The code that asks tells its
    /// caller, which is not cancelled.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.queue.check()
    }

    /// Takes back that somebody was told: the first error that [`check`](Self::check) has returned was not passed on.
    pub(crate) fn was_not_told(&self) {
        if let Some(failure) = &mut self.queue.lock().failure {
            failure.was_seen = false;
        }
    }

    /// Takes out the error that bytes were lost with, for the last one who can be told.
    pub(crate) fn take_failure(&mut self) -> UnreportedError {
        UnreportedError(self.queue.lock().failure.take())
    }

    /// For a job that finds out that bytes are lost.
    pub(crate) fn failures(&self) -> Failures<S> {
        Failures(self.queue.clone())
    }
}

impl<S: Sink> Drop for WriteBehind<S> {
    /// Waits for nothing: a job that is writing belongs to its scope, and so do its bytes.
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.is_dropped = true;
        let unreported = UnreportedError(state.failure.take());
        drop(state);
        drop(unreported);
    }
}

/// An error that bytes were lost with. Goes to the observer if nobody has been told of it when it is dropped.
pub(crate) struct UnreportedError(Option<Failure>);

impl UnreportedError {
    /// Tells the caller.
    pub(crate) fn tell(mut self) -> io::Result<()> {
        self.0.take().map_or(Ok(()), |failure| Err(failure.error))
    }
}

impl Drop for UnreportedError {
    fn drop(&mut self) {
        if let Some(failure) = self.0.take().filter(|failure| !failure.was_seen) {
            report(&LostBytes(failure.error), OrphanKind::Later);
        }
    }
}

/// Keeps the errors of other jobs of a file than those that write.
pub(crate) struct Failures<S>(Arc<Queue<S>>);

impl<S: Sink> Failures<S> {
    /// Makes the error of a sync stay, if it says that bytes are lost. It does not where there is no disk, as in a
    /// pipe.
    pub(crate) fn note(&self, error: &io::Error) {
        use io::ErrorKind::{InvalidInput, ReadOnlyFilesystem, Unsupported};
        if !matches!(error.kind(), InvalidInput | ReadOnlyFilesystem | Unsupported) {
            let unreported = self.0.lock().keep(Failure { error: copy(error), was_seen: false, is_cut: false });
            drop(unreported);
        }
    }
}

impl<S: Sink> fmt::Debug for WriteBehind<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehind").field("job", &self.job).finish_non_exhaustive()
    }
}

/// The outcome of adding bytes to the queue of a job that has started.
enum Added {
    Bytes(usize),
    /// The writer is woken when there is room.
    Full,
    /// Nothing may be added any more (invariant 3).
    JobIsOver,
}

impl QueueState {
    /// Makes the error stay, unless there is one already. The caller drops the result when it has released the lock.
    #[must_use]
    fn keep(&mut self, failure: Failure) -> UnreportedError {
        if self.is_dropped {
            return UnreportedError(Some(failure));
        }
        self.failure.get_or_insert(failure);
        UnreportedError(None)
    }
}

impl<S> Queue<S> {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> io::Result<()> {
        let mut state = self.lock();
        let Some(failure) = &mut state.failure else { return Ok(()) };
        failure.was_seen = true;
        Err(copy(&failure.error))
    }

    /// Gives the bytes to a job that is about to start.
    fn offer(&self, data: &[u8]) -> usize {
        let count = data.len().min(CAPACITY);
        let mut state = self.lock();
        debug_assert!(state.bytes.is_empty() && !state.open, "invariant 3: a job that is over has left nothing");
        state.bytes.extend_from_slice(&data[..count]);
        state.open = true;
        count
    }

    /// Takes the bytes back from a job that has not started, or was refused: that one has been dropped, and nothing is
    /// lost with it.
    fn withdraw(&self) {
        let mut state = self.lock();
        state.bytes.clear();
        state.open = false;
        state.failure.take_if(|failure| failure.is_cut);
    }

    fn add(&self, data: &[u8], cx: &Context<'_>) -> Added {
        let mut state = self.lock();
        if !state.open {
            return Added::JobIsOver;
        }
        let count = data.len().min(CAPACITY.saturating_sub(state.bytes.len()));
        if count > 0 {
            state.bytes.extend_from_slice(&data[..count]);
            return Added::Bytes(count);
        }
        drop(state);
        // L36: a waker is cloned and dropped while no lock is held.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if !state.open || state.bytes.len() < CAPACITY {
            drop(state);
            drop(waker);
            return self.add(data, cx);
        }
        let before = state.waker.replace(waker);
        drop(state);
        drop(before);
        Added::Full
    }
}

/// The job. Dropped before it is done by a runtime that does not run it, or by a panic: then its bytes are lost.
struct Drain<S: Sink>(Arc<Queue<S>>);

impl<S: Sink> Drain<S> {
    fn run(self) {
        while let Some(bytes) = self.next() {
            let written = self.0.sink.write_all(&bytes);
            let mut state = self.0.lock();
            state.spare = bytes;
            state.spare.clear();
            drop(state);
            if let Err(error) = written {
                return self.end(error, false);
            }
        }
    }

    /// Takes out what is to be written; none, when the job is over.
    fn next(&self) -> Option<Vec<u8>> {
        loop {
            let mut state = self.0.lock();
            if !state.bytes.is_empty() {
                let spare = std::mem::take(&mut state.spare);
                let bytes = std::mem::replace(&mut state.bytes, spare);
                let waker = state.waker.take();
                drop(state);
                wake_all(waker);
                return Some(bytes);
            }
            drop(state);
            let flushed = self.0.sink.flush();
            let is_over = flushed.is_err() || self.0.lock().bytes.is_empty();
            let failure = flushed.err().map(|error| Failure { error, was_seen: false, is_cut: false });
            if is_over && self.try_end(failure) {
                return None;
            }
        }
    }

    fn end(&self, error: io::Error, is_cut: bool) {
        let ended = self.try_end(Some(Failure { error, was_seen: false, is_cut }));
        debug_assert!(ended, "an error ends the job in any case");
    }

    /// Closes the queue, unless there is more to write; with an error in any case, and then the rest is lost as well.
    fn try_end(&self, failure: Option<Failure>) -> bool {
        let mut state = self.0.lock();
        if failure.is_none() && !state.bytes.is_empty() {
            return false;
        }
        state.open = false;
        state.bytes.clear();
        if state.spare.capacity() > KEPT {
            state.spare = Vec::new();
        }
        if state.bytes.capacity() > KEPT {
            state.bytes = Vec::new();
        }
        let waker = state.waker.take();
        let unreported = failure.map(|failure| state.keep(failure));
        drop(state);
        drop(unreported);
        wake_all(waker);
        true
    }
}

impl<S: Sink> Drop for Drain<S> {
    fn drop(&mut self) {
        let state = self.0.lock();
        let is_cut = state.open;
        drop(state);
        if is_cut {
            let why = if thread::panicking() {
                "a write has panicked: the bytes are lost"
            } else {
                "the runtime has ended before the bytes were written"
            };
            self.end(io::Error::other(why), true);
        }
    }
}

/// Makes the same error again, of an error of the host.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Handed to the observer when nobody else can be told.
struct LostBytes(io::Error);

impl fmt::Debug for LostBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a file was dropped before anybody was told that what was written to it last is lost: {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    struct Panics;

    impl Sink for Panics {
        fn write_all(&self, _: &[u8]) -> io::Result<()> {
            panic!("a sink of foreign code");
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The error that is left says why the bytes are lost.
    #[test]
    fn a_job_that_is_cut_says_why() {
        for panics in [true, false] {
            let queue = Arc::new(Queue { sink: Arc::new(Panics), state: Mutex::default() });
            queue.offer(b"bytes");
            let drain = Drain(queue.clone());
            if panics {
                catch_unwind(AssertUnwindSafe(|| drain.run())).unwrap_err();
            } else {
                drop(drain);
            }
            let error = queue.check().unwrap_err().to_string();
            assert_eq!(
                (error.contains("panicked"), error.contains("the runtime has ended")),
                (panics, !panics),
                "{error}"
            );
        }
    }
}
