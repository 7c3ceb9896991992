//! Calls from a blocking job back into the scope that awaits it.
//!
//! A call is pushed to the job's call queue. The future that awaits the job polls the calls in the queue, each in a scope of
//! its own inside the scope around it: so they are cancelled with that scope, see its deadline, and delay it as any inner
//! scope does. The thread that called waits for the reply.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{self, AssertUnwindSafe, Location};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;

use super::block_on::wait;
use super::job_context::{Awaiter, JobContext};
use crate::cancel_scope::{CancelScope, CancelScopeFuture, ScopeHandle, reason};
use crate::leaf::{assert_may_block, has_to_yield, wake_all};
use crate::reason::{Origin, Reason};
use crate::runtime::park_until;
use crate::tree::panic::drop_payload;

/// Runs `future` in the scope that awaits this blocking job, and blocks the job's thread until it has ended.
///
/// The future stands where the `to_thread(..)` stands: in the same task, below the same scopes and deadlines. When one
/// of them is cancelled, so is the future, and the call returns when everything in it has ended. Its children are
/// spawned into nurseries that it has got from outside, or has opened itself.
///
/// While it waits, the job's permit is lent to others: a job that calls back to start another job never waits for
/// itself. When the call returns, the job has a permit again, at once: those who have theirs meanwhile may wait for a lock
/// that this job holds. So there may be more jobs at work than the limiter's total, until some have ended; no other one
/// begins before that.
///
/// # Errors
///
/// * [`CallError::Cancelled`]: the scope that awaits the job was cancelled, or the await was dropped, before the future
///   was ready.
/// * [`CallError::Finished`]: nobody awaits the job any more.
///
/// # Panics
///
/// * Resumes the panic of `future`.
/// * On a thread that runs no job of [`to_thread`](crate::to_thread) or
///   [`to_thread_abandon`](crate::thread::to_thread_abandon); a thread that the job has started needs a [`Caller`].
/// * In a task, or in other code of a tree.
///
/// # Examples
///
/// ```
/// use foster::thread::from_thread;
/// use foster::{sleep, to_thread};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let lines = to_thread(|| {
///     let mut lines = 0;
///     for _line in "a\nb\nc".lines() {
///         // A blocking parser that reports to async code, a second each.
///         from_thread(sleep(Duration::from_secs(1)))?;
///         lines += 1;
///     }
///     Ok::<_, foster::thread::CallError>(lines)
/// })
/// .await?;
/// assert_eq!(lines, 3);
/// # Ok::<(), foster::thread::CallError>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn from_thread<T, F>(future: F) -> Result<T, CallError>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    assert_may_block("thread::from_thread", "the future");
    let context = context("thread::from_thread");
    let reply = context.calls.push(future, Location::caller())?;
    // A panic resumes when the permit is back.
    let reply = context.without_permit(|| wait(&context.runtime, reply));
    result_of(reply)
}

/// Makes a handle to call into the scope that awaits this blocking job from other threads: those that the closure has
/// started.
///
/// # Panics
///
/// On a thread that runs no blocking job of foster.
///
/// # Examples
///
/// ```
/// use foster::thread::caller;
/// use foster::{to_thread, yield_now};
///
/// # foster_sim::Builder::new(1).real_threads(std::time::Duration::from_secs(60)).run(async {
/// let sum: u32 = to_thread(|| {
///     let caller = caller();
///     std::thread::scope(|threads| {
///         let call = |n: u32| caller.call(async move { yield_now().await; n });
///         let (a, b) = (threads.spawn(move || call(1)), threads.spawn(move || call(2)));
///         a.join().unwrap().unwrap() + b.join().unwrap().unwrap()
///     })
/// })
/// .await;
/// assert_eq!(sum, 3);
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn caller() -> Caller {
    let context = context("thread::caller");
    Caller { calls: context.calls.clone(), awaiter: context.awaiter.clone() }
}

#[track_caller]
fn context(what: &str) -> std::rc::Rc<JobContext> {
    match JobContext::current() {
        Some(context) => context,
        None => panic!(
            "`{what}` was called on a thread that runs no blocking job of foster. Usual causes: the closure started a thread \
             of its own (give it a `thread::caller()`), or the thread has nothing to do with a tree (open a `portal`)"
        ),
    }
}

/// Calls into the scope that awaits a blocking job, from any thread; made by [`caller`].
///
/// It keeps nothing alive: when the job has ended, or its await is gone, calls are refused.
#[derive(Clone)]
pub struct Caller {
    calls: Arc<CallQueue>,
    awaiter: Awaiter,
}

impl Caller {
    /// As [`from_thread`], from whatever thread this is called on. The job's permit is not lent.
    ///
    /// # Errors
    ///
    /// As [`from_thread`].
    ///
    /// # Panics
    ///
    /// Resumes the panic of `future`. In a task, or in other code of a tree.
    #[track_caller]
    pub fn call<T, F>(&self, future: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        assert_may_block("Caller::call", "the future");
        let mut reply = self.calls.push(future, Location::caller())?;
        let mut received = None;
        park_until(&mut |cx| Pin::new(&mut reply).poll(cx).map(|reply| received = Some(reply)));
        match received {
            Some(reply) => result_of(reply),
            None => unreachable!("`park_until` returns when its poll was ready"),
        }
    }

    /// As [`thread::is_cancelled`](super::is_cancelled); and true when the job has ended, and nobody waits for it any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.awaiter.is_cancelled() || {
            // On the thread of a job this is as good a question as any (R13).
            if let Some(context) = JobContext::current() {
                context.runtime.give_way();
            }
            self.awaiter.is_cancelled()
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("cancelled", &self.awaiter.is_cancelled()).finish_non_exhaustive()
    }
}

/// A call from a thread has no result.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The future was cancelled with the scope that awaits the job, for this reason; or the await was dropped
    /// meanwhile.
    Cancelled(Option<Reason>),
    /// The job has ended, or its await is gone: nobody is there to run the future. It was not polled.
    Finished,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Cancelled(Some(reason)) => write!(f, "the call into the tree was cancelled: {reason}"),
            CallError::Cancelled(None) => f.write_str("the call into the tree was cancelled: its await was dropped"),
            CallError::Finished => f.write_str("nobody awaits this job any more, so nobody can run the call"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        io::Error::new(io::ErrorKind::Interrupted, error)
    }
}

/// The calls of a job that have not ended. It polls all of them whenever it is polled, and not those alone that were woken, as
/// a [`ReadyQueue`](crate::leaf::ReadyQueue) would: there is mostly one.
#[derive(Default)]
pub(super) struct CallQueue(Mutex<CallQueueState>);

type PendingCall = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct CallQueueState {
    queued: Vec<PendingCall>,
    /// Calls that were polled before. They are not here while they are being polled.
    polled: Vec<PendingCall>,
    closed: bool,
    /// The waker of the task that awaits the job.
    waker: Option<Waker>,
}

impl CallQueue {
    fn lock(&self) -> MutexGuard<'_, CallQueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push<T, F>(&self, future: F, location: &'static Location<'static>) -> Result<Reply<T>, CallError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, reply) = oneshot::channel();
        let call = Box::pin(CallFuture::new(future, Origin::new(std::any::type_name::<F>(), location), sender));
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop(call);
            return Err(CallError::Finished);
        }
        state.queued.push(call);
        let waker = state.waker.take();
        drop(state);
        wake_all(waker);
        Ok(reply)
    }

    /// Polls the calls. Only for the future that awaits the job.
    pub(super) fn poll(&self, cx: &mut Context<'_>) {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            drop(state);
            // L36: a waker is cloned and dropped outside of the lock.
            let waker = cx.waker().clone();
            state = self.lock();
            let old = state.waker.replace(waker);
            if old.is_some() {
                drop(state);
                drop(old);
                state = self.lock();
            }
        }
        let CallQueueState { queued, polled, .. } = &mut *state;
        polled.append(queued);
        if polled.is_empty() {
            return;
        }
        let mut polled = std::mem::take(polled);
        drop(state);
        // Another one is the first each time, so that one that is always ready does not keep the budget from the rest.
        // Not in a poll that begins without any, in which nobody gets further: if every other one were such, it would
        // always be the same of two calls.
        if !has_to_yield() {
            polled.rotate_left(1);
        }
        polled.retain_mut(|call| call.as_mut().poll(cx).is_pending());
        self.lock().polled = polled;
    }

    /// Closes the queue, when nobody awaits the job any more. Calls that are not done are dropped, and their threads are told
    /// that they were cancelled.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let calls = [std::mem::take(&mut state.polled), std::mem::take(&mut state.queued)];
        let waker = state.waker.take();
        drop(state);
        drop(waker);
        // Each, also if one panics as it is dropped; of several panics the first resumes.
        let mut first = None;
        for call in calls.into_iter().flatten() {
            match panic::catch_unwind(AssertUnwindSafe(|| drop(call))) {
                Err(payload) if first.is_none() => first = Some(payload),
                dropped => drop_payload(dropped.err()),
            }
        }
        if let Some(payload) = first {
            panic::resume_unwind(payload);
        }
    }
}

pin_project_lite::pin_project! {
    /// A future that runs for a thread, in a scope of its own.
    struct CallFuture<F, T> {
        #[pin]
        run: CancelScopeFuture<F, T>,
        handle: ScopeHandle,
        // None when it has ended.
        reply: Option<oneshot::Sender<CallOutcome<T>>>,
    }
}

impl<T, F: Future<Output = T>> CallFuture<F, T> {
    fn new(future: F, origin: Origin, reply: oneshot::Sender<CallOutcome<T>>) -> Self {
        let mut scope = CancelScope::at(origin);
        let handle = scope.handle();
        CallFuture { run: scope.run(future), handle, reply: Some(reply) }
    }
}

impl<T, F: Future<Output = T>> Future for CallFuture<F, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let outcome = match panic::catch_unwind(AssertUnwindSafe(|| this.run.poll(cx))) {
            Ok(Poll::Ready(Ok(value))) => CallOutcome::Value(value),
            Ok(Poll::Ready(Err(cancelled))) => CallOutcome::Cancelled(Some(cancelled.reason().clone())),
            // L18: cancelled from further out, the scope has ended and parks. The thread is told instead.
            Ok(Poll::Pending) if this.handle.is_closed() => CallOutcome::Cancelled(reason()),
            Ok(Poll::Pending) => return Poll::Pending,
            Err(payload) => CallOutcome::Panicked(payload),
        };
        // If nobody receives it, it comes back, and is dropped here.
        drop(this.reply.take().map(|reply| reply.send(outcome)));
        Poll::Ready(())
    }
}

/// How a call has ended.
enum CallOutcome<T> {
    Value(T),
    Cancelled(Option<Reason>),
    Panicked(Box<dyn Any + Send>),
}

/// The reply to the thread that has called. The channel is that of `futures-channel`: the thread is in no scope, and is
/// never cancelled.
type Reply<T> = oneshot::Receiver<CallOutcome<T>>;

/// Returns the result of a call, or resumes its panic. One that was dropped before its end has sent nothing.
fn result_of<T>(reply: Result<CallOutcome<T>, oneshot::Canceled>) -> Result<T, CallError> {
    match reply {
        Ok(CallOutcome::Value(value)) => Ok(value),
        Ok(CallOutcome::Cancelled(reason)) => Err(CallError::Cancelled(reason)),
        Ok(CallOutcome::Panicked(payload)) => panic::resume_unwind(payload),
        Err(oneshot::Canceled) => Err(CallError::Cancelled(None)),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, Location, catch_unwind};

    use super::{CallError, CallQueue, result_of};

    struct PanicsOnDrop(&'static str);

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            std::panic::panic_any(self.0);
        }
    }

    /// L32, L37: of several calls that panic as they are dropped, each is dropped, and the first panic resumes.
    #[test]
    fn each_call_is_dropped() {
        let calls = CallQueue::default();
        let replies = ["first", "second"].map(|name| {
            let panics = PanicsOnDrop(name);
            calls.push(async move { drop(panics) }, Location::caller()).expect("it is open")
        });
        let payload = catch_unwind(AssertUnwindSafe(|| calls.close())).expect_err("two calls panic");
        assert_eq!(payload.downcast_ref(), Some(&"first"));
        for mut reply in replies {
            let sent = reply.try_recv().map(|sent| sent.expect("a call that was dropped has been answered"));
            assert!(matches!(result_of(sent), Err(CallError::Cancelled(None))));
        }
    }
}
