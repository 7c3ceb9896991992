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
use crate::sys::{MutexGuard, PlainMutex};
use crate::tree::current;
use crate::tree::panic::drop_payload;
use crate::value::Carried;

/// The handle by which a future awaits a job: has the result, and polls the calls. Dropping it closes the call queue.
pub(super) struct JobHandle<T> {
    state: Arc<JobState<T>>,
}

impl<T> JobHandle<T> {
    pub(super) fn new() -> Self {
        let completion = PlainMutex::new(Completion { result: None, finished: false, in_time: false, waiter: None });
        JobHandle { state: Arc::new(JobState { completion, calls: Arc::default() }) }
    }

    pub(super) fn state(&self) -> &Arc<JobState<T>> {
        &self.state
    }

    pub(super) fn poll_calls(&self, cx: &mut Context<'_>) {
        self.state.calls.poll(cx);
    }

    /// Hands `work` to the runtime, with a context for its thread.
    ///
    /// If the runtime refuses it, the closure is dropped here, which ends the job.
    pub(super) fn start<F>(state: &Arc<JobState<T>>, awaiter: Awaiter, permit: ThreadPermit, work: F) -> io::Result<()>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let Some(tree) = current::tree() else { current::no_context_for(super::JOB) };
        let context = JobContext::new(awaiter, state.calls.clone(), tree.runtime.clone(), permit);
        tree.runtime.blocking(job(state, context, work)).map_err(|refused| {
            drop(refused.work);
            refused.source
        })
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

pub(super) struct Completion<T> {
    result: Option<thread::Result<T>>,
    /// The job has ended, or the runtime has dropped it.
    finished: bool,
    /// That came while the code that waits for it was not cancelled.
    in_time: bool,
    pub(super) waiter: Option<Waiter>,
}

impl<T> JobState<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Completion<T>> {
        self.completion.lock()
    }

    /// The job has ended, or the runtime has dropped it.
    pub(super) fn is_finished(&self) -> bool {
        self.lock().finished
    }

    /// The job was run, and nobody has taken its result.
    pub(super) fn has_result(&self) -> bool {
        self.lock().result.is_some()
    }

    /// Whether the end of the job was given to the code that waits for it before that was cancelled (L14).
    pub(super) fn ended_in_time(&self) -> bool {
        self.lock().in_time
    }

    /// Nobody polls the calls any more: those that wait and those that come are told so. May be called again.
    pub(super) fn close_calls(&self) {
        self.calls.close();
    }

    pub(super) fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut spare: Option<Waiter> = None;
        loop {
            let mut completion = self.lock();
            if completion.finished {
                return Poll::Ready(());
            }
            if completion.waiter.as_ref().is_some_and(|old| old.is_current(cx)) {
                return Poll::Pending;
            }
            if spare.is_some() {
                std::mem::swap(&mut completion.waiter, &mut spare);
                drop(completion);
                return Poll::Pending;
            }
            // No lock is held while a waiter is made or dropped (L36).
            drop(completion);
            spare = Some(Waiter::new(cx));
        }
    }

    /// Takes the result of a job that nobody awaits: drops a value, resumes a panic.
    pub(super) fn resume_panic(&self) {
        let result = self.lock().result.take();
        if let Some(Err(payload)) = result {
            panic::resume_unwind(payload);
        }
    }

    pub(super) fn take_result(&self) -> T {
        let result = self.lock().result.take();
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
        let result = self.completion.get_mut().result.take();
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(result)));
        drop_payload(dropped.err());
    }
}

/// The job's side of the state: marks the job as finished when it is dropped, in whatever way the job ends.
struct CompleteOnDrop<T>(Arc<JobState<T>>);

impl<T> Drop for CompleteOnDrop<T> {
    fn drop(&mut self) {
        let mut completion = self.0.lock();
        completion.finished = true;
        let waiter = completion.waiter.take();
        completion.in_time = waiter.as_ref().is_some_and(Waiter::claim);
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
    let writer = CompleteOnDrop(state.clone());
    let values = Carried::here();
    let counted = CountedJob::new();
    Box::new(move || {
        let result = context.enter(|| panic::catch_unwind(AssertUnwindSafe(|| values.run(work))));
        writer.0.lock().result = Some(result);
        drop(counted);
        // Last: the task that waits may end the whole program now.
        drop(writer);
    })
}
