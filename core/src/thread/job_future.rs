//! The futures of jobs that are waited for.
//!
//! The scope of such a job has no body. Its one finalizer waits for the end of the job, so a reaper can drive it if the
//! future is dropped (L21, L27).

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Awaiter;
use super::job_handle::JobHandle;
use super::permit_request::JobStart;
use crate::reason::Origin;
use crate::sync::CapacityLimiter;
use crate::tree::current;
use crate::tree::flags::ABANDONED;
use crate::tree::node::{Kind, NodeRef, Owned};
use crate::tree::scope_future::{OwnedScope, Plain, ScopeFuture, enter_tree};

/// Runs `work` on a thread that may block, and returns its result.
///
/// As any future, it does nothing until it is polled: a job that is to run beside other code is awaited in
/// `foster::combine::join`, or in a child of a nursery.
///
/// The job counts as a child of the scope that awaits it: it cannot be interrupted, so a cancelled caller still waits
/// for its end, and if the returned future is dropped by foreign code, the scope around it waits in its place (law
/// L21). Long work should ask [`thread::is_cancelled`](super::is_cancelled) now and then. A caller that is cancelled
/// already does not start the job.
///
/// At most [`limiter`](super::limiter) jobs of a tree run at once; another limiter can be given with
/// [`ToThread::limiter`].
///
/// # Cancellation
///
/// *Not interrupted* once the job has started: it is waited for. Before, *strict*: the closure never runs. It has started
/// when the limiter has given it a place, and the runtime has taken it; where other work than foster's uses up the threads
/// of the runtime (512 on tokio, 500 on smol, unless they are set otherwise), it may still wait for one of these.
///
/// # Panics
///
/// Resumes the panic of `work`. Panics if the runtime has no thread for it; see [`try_to_thread`]. When polled outside
/// of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let sum = foster::to_thread(|| (1..=10).sum::<u32>()).await;
/// assert_eq!(sum, 55);
/// # });
/// ```
#[track_caller]
pub fn to_thread<T, F>(work: F) -> ToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    ToThread { inner: try_to_thread(work) }
}

/// As [`to_thread`], but says so if the runtime has no thread for the job.
///
/// # Errors
///
/// The runtime's reason why there is no thread. The closure was not run, and is dropped. smol's pool gives none: there the
/// job waits for a thread.
///
/// # Cancellation
///
/// As [`to_thread`].
///
/// # Panics
///
/// Resumes the panic of `work`. When polled outside of any tree, if no adapter was installed.
#[track_caller]
pub fn try_to_thread<T, F>(work: F) -> TryToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    TryToThread { state: JobFutureState::Start(JobStart::new(work)), name: None, location: Location::caller() }
}

/// Future of [`to_thread`](crate::to_thread).
#[must_use = "futures do nothing unless polled"]
pub struct ToThread<T, F> {
    pub(super) inner: TryToThread<T, F>,
}

impl<T, F> ToThread<T, F> {
    /// Counts the job with this limiter, instead of the [tree's own](super::limiter).
    pub fn limiter(mut self, limiter: Arc<CapacityLimiter>) -> Self {
        self.inner = self.inner.limiter(limiter);
        self
    }

    /// Names the job, for dumps. By default it bears the type name of its closure.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.inner = self.inner.named(name);
        self
    }
}

impl<T, F> Future for ToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.inner).poll(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(error) => panic!("no thread for a blocking job: {error}"),
        }
    }
}

impl<T, F> fmt::Debug for ToThread<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThread").field("location", &self.inner.location).finish_non_exhaustive()
    }
}

/// Future of [`try_to_thread`](super::try_to_thread).
#[must_use = "futures do nothing unless polled"]
pub struct TryToThread<T, F> {
    pub(super) state: JobFutureState<T, F>,
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) location: &'static Location<'static>,
}

pub(super) enum JobFutureState<T, F> {
    Start(JobStart<F>),
    // Dropped in this order: a thread that waits for a call is told before its job is left to the scope.
    Running {
        handle: JobHandle<T>,
        // In a box, since jobs are part of other futures.
        scope: Pin<Box<OwnedScope<()>>>,
    },
    /// The host is gone: never ready.
    CutOff,
    Done,
}

// Nothing is pinned in here: the closure is only moved out.
impl<T, F> Unpin for TryToThread<T, F> {}

impl<T, F> TryToThread<T, F> {
    /// As [`ToThread::limiter`].
    pub fn limiter(mut self, limiter: Arc<CapacityLimiter>) -> Self {
        if let JobFutureState::Start(start) = &mut self.state {
            start.request.limiter = Some(limiter);
        }
        self
    }

    /// As [`ToThread::named`].
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Keeps no permit of the limiter while nobody polls this: one that is handed over goes to the next in the queue, and
    /// the task is woken. Its next poll takes a permit if one is free then, and else waits again, behind all others.
    ///
    /// For a future that lies in a type which is polled: the code that polled it may have gone, and the type is not
    /// told. To be called before the first poll.
    pub fn keeping_no_permit(mut self) -> Self {
        if let JobFutureState::Start(start) = &mut self.state {
            start.request.release_when_woken();
        }
        self
    }

    /// Returns whether the job was offered to the runtime. It stays true when the job has ended, and also if the
    /// runtime had no thread for it: then the closure was dropped. Until it is true a drop of this future is a drop of
    /// the closure; from then on a job that the runtime has taken is waited for (law L21), whatever becomes of this
    /// future.
    #[must_use]
    pub fn has_started(&self) -> bool {
        !matches!(self.state, JobFutureState::Start(_))
    }
}

impl<T, F> Future for TryToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                JobFutureState::Start(start) => {
                    let (permit, work) = ready!(start.poll(this.location, cx));
                    let origin = Origin::new(
                        this.name.take().unwrap_or(Cow::Borrowed(std::any::type_name::<F>())),
                        this.location,
                    );
                    let handle = JobHandle::new();
                    let state = handle.state().clone();
                    let end = state.clone();
                    let body = Box::pin(std::future::poll_fn(move |cx| {
                        let node = current::scope_for(super::JOB);
                        if node.flagged(ABANDONED) {
                            // Also if the await was forgotten (L28): nobody runs what the job calls for. A call that panics
                            // as it is dropped does not end the wait for the job (L21).
                            let closed = catch_unwind(AssertUnwindSafe(|| end.close_calls()));
                            closed.unwrap_or_else(|payload| node.panicked(payload));
                        }
                        ready!(end.poll_finished(cx));
                        if node.flagged(ABANDONED) && !node.is_shut_down() {
                            // Nobody else will take the result: a panic has to fail the scope that waits now (L29). Where the
                            // host has gone meanwhile (L30), the future may be in this very poll, and takes it.
                            end.resume_panic();
                        }
                        Poll::Ready(())
                    }));
                    let node = enter_job_scope(origin, body);
                    let scope = Box::pin(ScopeFuture::draining(node.clone(), (), Plain));
                    this.state = JobFutureState::Running { handle, scope };
                    if let Err(refused) = state.start(Awaiter::Scope(node), permit, work) {
                        // The job has ended. This drops its scope: an orphan, which a reaper closes in its first poll.
                        if super::is_cut_off() {
                            this.state = JobFutureState::CutOff;
                            return Poll::Pending;
                        }
                        this.state = JobFutureState::Done;
                        return Poll::Ready(Err(refused));
                    }
                }
                JobFutureState::Running { handle, scope } => {
                    handle.poll_calls(cx);
                    ready!(scope.as_mut().poll(cx));
                    let state = handle.state().clone();
                    if !state.is_finished() || !state.has_result() && super::is_cut_off() {
                        // L30: the scope was closed with its host, and the job goes on for nobody, or was not run.
                        this.state = JobFutureState::CutOff;
                        return Poll::Pending;
                    }
                    this.state = JobFutureState::Done;
                    return Poll::Ready(Ok(state.take_result()));
                }
                JobFutureState::CutOff => return Poll::Pending,
                JobFutureState::Done => panic!("a blocking job was polled after it had returned"),
            }
        }
    }
}

/// Makes the scope of a blocking job, with a full shield around `rest`, below the scope of the code that calls this.
/// Panics outside of any tree.
///
/// The work goes into the node before the node has a place: once it is listed, a shut-down may come and take it.
pub(crate) fn enter_job_scope(origin: Origin, rest: Owned) -> NodeRef {
    let node = NodeRef::unattached(Kind::Thread, origin);
    node.finalize_with(rest);
    enter_tree(&node);
    node
}

impl<T, F> fmt::Debug for TryToThread<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryToThread").field("location", &self.location).finish_non_exhaustive()
    }
}
