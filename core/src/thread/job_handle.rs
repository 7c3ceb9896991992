//! The state that a blocking job shares with the future that awaits it, and the start of the job.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use super::calls::CallQueue;
use super::permit_request::ThreadPermit;
use super::{Awaiter, JobContext};
use crate::leaf::Waiter;
use crate::live_counts::CountedJob;
use crate::sys::PlainMutex;
use crate::tree::current;
use crate::tree::panic::drop_payload;
use crate::value::Carried;

/// The handle by which a future awaits a job: has the result, and polls the calls. Dropping it closes the call queue.
pub(super) struct JobHandle<T> {
    state: Arc<JobState<T>>,
}

impl<T> JobHandle<T> {
    pub(super) fn new() -> Self {
        let completion = PlainMutex::new(Completion::Running(None));
        JobHandle { state: Arc::new(JobState { completion, calls: Arc::default() }) }
    }

    pub(super) fn state(&self) -> &Arc<JobState<T>> {
        &self.state
    }

    pub(super) fn poll_calls(&self, cx: &mut Context<'_>) {
        self.state.calls.poll(cx);
    }
}

impl<T> Drop for JobHandle<T> {
    fn drop(&mut self) {
        self.state.close_calls();
    }
}

/// The result of a job, and its calls.
pub(super) struct JobState<T> {
    completion: PlainMutex<Completion<T>>,
    calls: Arc<CallQueue>,
}

enum Completion<T> {
    /// With the task that waits for the end.
    Running(Option<Waiter>),
    Ended {
        /// None if the runtime has dropped the job without running it, and when it was taken.
        result: Option<thread::Result<T>>,
        /// Whether the end came before the code that waits for it was cancelled.
        in_time: bool,
    },
}

impl<T> Completion<T> {
    fn take_result(&mut self) -> Option<thread::Result<T>> {
        match self {
            Completion::Running(_) => None,
            Completion::Ended { result, .. } => result.take(),
        }
    }
}

impl<T> JobState<T> {
    /// Hands `work` to the runtime, with a context for its thread.
    ///
    /// If the runtime refuses it, the closure is dropped here, which ends the job.
    pub(super) fn start<F>(self: &Arc<Self>, awaiter: Awaiter, permit: ThreadPermit, work: F) -> io::Result<()>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let Some(tree) = current::tree() else { current::no_context_for(super::JOB) };
        let context = JobContext::new(awaiter, self.calls.clone(), tree.runtime.clone(), permit);
        tree.runtime.blocking(job(self, context, work)).map_err(|refused| {
            drop(refused.work);
            refused.source
        })
    }

    /// Returns whether the job has ended, or the runtime has dropped it.
    pub(super) fn is_finished(&self) -> bool {
        matches!(&*self.completion.lock(), Completion::Ended { .. })
    }

    /// Returns whether the job was run, and nobody has taken its result.
    pub(super) fn has_result(&self) -> bool {
        matches!(&*self.completion.lock(), Completion::Ended { result: Some(_), .. })
    }

    /// Returns whether the end of the job was given to the code that waits for it before that was cancelled (L14).
    pub(super) fn ended_in_time(&self) -> bool {
        matches!(&*self.completion.lock(), Completion::Ended { in_time: true, .. })
    }

    /// Nobody polls the calls any more: those that wait and those that come are told so. May be called again.
    pub(super) fn close_calls(&self) {
        self.calls.close();
    }

    pub(super) fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        // No lock is held while a waiter is made or dropped (L36).
        let new = Waiter::new(cx);
        let old = match &mut *self.completion.lock() {
            Completion::Ended { .. } => return Poll::Ready(()),
            Completion::Running(waiter) => waiter.replace(new),
        };
        drop(old);
        Poll::Pending
    }

    /// Drops the waiter: nobody waits for the end any more.
    pub(super) fn forget_waiter(&self) {
        let waiter = match &mut *self.completion.lock() {
            Completion::Ended { .. } => None,
            Completion::Running(waiter) => waiter.take(),
        };
        drop(waiter);
    }

    /// Takes the result of a job that nobody awaits: drops a value, resumes a panic.
    pub(super) fn resume_panic(&self) {
        let result = self.completion.lock().take_result();
        if let Some(Err(payload)) = result {
            panic::resume_unwind(payload);
        }
    }

    pub(super) fn take_result(&self) -> T {
        let result = self.completion.lock().take_result();
        match result {
            Some(Ok(value)) => value,
            Some(Err(payload)) => panic::resume_unwind(payload),
            None => panic!("the runtime has dropped a blocking job without running it: it is being torn down"),
        }
    }
}

impl<T> Drop for JobState<T> {
    fn drop(&mut self) {
        // A result that was not taken. This may be the runtime's thread, which must not panic (R8), or `Drop` (L37).
        let result = self.completion.get_mut().take_result();
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(result)));
        drop_payload(dropped.err());
    }
}

/// The job's side of the state: notes the end of the job when it is dropped, in whatever way the job ends.
struct EndOnDrop<T> {
    state: Arc<JobState<T>>,
    result: Option<thread::Result<T>>,
}

impl<T> Drop for EndOnDrop<T> {
    fn drop(&mut self) {
        let mut completion = self.state.completion.lock();
        let waiter = match &mut *completion {
            Completion::Running(waiter) => waiter.take(),
            Completion::Ended { .. } => unreachable!("a job ends once"),
        };
        let in_time = waiter.as_ref().is_some_and(Waiter::claim);
        *completion = Completion::Ended { result: self.result.take(), in_time };
        drop(completion);
        waiter.into_iter().for_each(Waiter::wake);
    }
}

/// Makes the closure for the runtime: it runs `work` in its context, catches its panic, gives the permit back, and
/// stores the result.
fn job<T, F>(state: &Arc<JobState<T>>, context: JobContext, work: F) -> crate::runtime::Work
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let mut end = EndOnDrop { state: state.clone(), result: None };
    let values = Carried::here();
    let counted = CountedJob::new();
    Box::new(move || {
        end.result = Some(context.enter(|| panic::catch_unwind(AssertUnwindSafe(|| values.run(work)))));
        drop(counted);
        // Last: the task that waits may end the whole program now.
        drop(end);
    })
}
