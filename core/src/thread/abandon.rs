//! The future of a job that a cancelled caller abandons.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use super::Awaiter;
use super::job_handle::JobHandle;
use super::permit_request::JobStart;
use crate::leaf::stops_here;
use crate::sync::CapacityLimiter;
use crate::tree::current;

/// Runs `work` on a thread that may block; a caller that is cancelled abandons it.
///
/// The job is *not* in the tree: after a cancellation it goes on, even beyond the end of the run, and its result or
/// panic is dropped: code that is cancelled is not given it, also where it has to wait for something else. Only for work
/// that is harmless when nobody knows whether it is still going on. Inside,
/// [`thread::is_cancelled`](super::is_cancelled) tells that it was abandoned.
///
/// # Errors
///
/// The runtime's reason why there is no thread.
///
/// # Cancellation
///
/// *Partial effect*: the job goes on by itself.
///
/// # Panics
///
/// Resumes the panic of `work`. When polled outside of any tree, if no adapter was installed.
#[track_caller]
pub fn to_thread_abandon<T, F>(work: F) -> ToThreadAbandon<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let state = AbandonState::Start(JobStart::new(work));
    ToThreadAbandon { state, location: Location::caller() }
}

/// Future of [`to_thread_abandon`](super::to_thread_abandon).
#[must_use = "futures do nothing unless polled"]
pub struct ToThreadAbandon<T, F> {
    pub(super) state: AbandonState<T, F>,
    pub(super) location: &'static Location<'static>,
}

pub(super) enum AbandonState<T, F> {
    Start(JobStart<F>),
    // In this order: the job learns that it is abandoned, then that its calls are over.
    Running {
        _abandon: AbandonOnDrop,
        handle: JobHandle<T>,
    },
    /// With its host: never ready.
    CutOff,
    Done,
}

impl<T, F> Unpin for ToThreadAbandon<T, F> {}

impl<T, F> ToThreadAbandon<T, F> {
    /// As [`ToThread::limiter`](crate::future::ToThread::limiter); the permit is held until the job ends, also if it is
    /// abandoned.
    pub fn limiter(mut self, limiter: Arc<CapacityLimiter>) -> Self {
        if let AbandonState::Start(start) = &mut self.state {
            start.request.limiter = Some(limiter);
        }
        self
    }
}

/// Marks the job as abandoned when the future that awaits it is dropped.
pub(super) struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<T, F> Future for ToThreadAbandon<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                AbandonState::Start(start) => {
                    let (permit, work) = ready!(start.poll(this.location, cx));
                    let awaiter = Arc::new(AtomicBool::new(false));
                    let (_abandon, handle) = (AbandonOnDrop(awaiter.clone()), JobHandle::new());
                    let state = handle.state().clone();
                    this.state = AbandonState::Running { _abandon, handle };
                    let awaiter = Awaiter::Abandonable(awaiter, current::scope_for(super::JOB));
                    if let Err(refused) = state.start(awaiter, permit, work) {
                        if super::is_cut_off() {
                            this.state = AbandonState::CutOff;
                            return Poll::Pending;
                        }
                        this.state = AbandonState::Done;
                        return Poll::Ready(Err(refused));
                    }
                }
                AbandonState::Running { handle, .. } => {
                    handle.poll_calls(cx);
                    ready!(handle.state().poll_finished(cx));
                    // L14: the job is not in the tree, so its end is no end of a scope that this code had to wait for.
                    if !handle.state().ended_in_time() && stops_here(cx) {
                        return Poll::Pending;
                    }
                    let state = handle.state().clone();
                    this.state = AbandonState::Done;
                    return Poll::Ready(Ok(state.take_result()));
                }
                AbandonState::CutOff => return Poll::Pending,
                AbandonState::Done => panic!("a blocking job was polled after it had returned"),
            }
        }
    }
}

impl<T, F> Drop for ToThreadAbandon<T, F> {
    fn drop(&mut self) {
        if let AbandonState::Running { handle, .. } = &self.state {
            handle.state().forget_waiter();
            // The result is dropped with the `JobState`, by its last holder.
        }
    }
}

impl<T, F> fmt::Debug for ToThreadAbandon<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThreadAbandon").field("location", &self.location).finish_non_exhaustive()
    }
}
