//! Calls from a blocking job back into the scope that awaits it.
//!
//! A call is put on the job's desk. Whoever polls the job's await polls the calls that lie there, right in the scope around
//! it: so they are cancelled with it, see its deadline, and delay it as any inner scope does. The caller's thread waits for
//! the reply.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{self, AssertUnwindSafe, Location};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::block_on::{refuse_in_tree, wait};
use super::host::{Host, Who};
use crate::reason::{Origin, Reason};
use crate::runtime::park_until;
use crate::scope::{CancelScope, Run, ScopeHandle, reason};

/// Runs `future` in the scope that awaits this blocking job, and blocks the job's thread until it has ended.
///
/// The future stands where the `to_thread(..)` stands: in the same task, below the same scopes and deadlines. When one of
/// them is cancelled, so is the future, and the call returns when everything in it has ended. What it spawns is spawned into
/// nurseries that it has got from outside, or has opened itself.
///
/// While it waits, the job's permit is lent to others: a job that calls back to start another job never waits for itself.
/// It has it again before the call returns.
///
/// # Errors
///
/// * [`CallError::Cancelled`]: the scope that awaits the job was cancelled, or the await was dropped, before the future was
///   ready.
/// * [`CallError::Finished`]: nobody awaits the job any more.
///
/// # Panics
///
/// * Resumes the panic of `future`.
/// * On a thread that runs no job of [`to_thread`](crate::to_thread) or [`to_thread_abandon`](crate::to_thread_abandon); a thread
///   that the job has started needs a [`Caller`].
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
    refuse_in_tree("thread::from_thread", "the future");
    let host = host("thread::from_thread");
    let reply = host.desk.put(future, Location::caller())?;
    // A panic resumes when the permit is back.
    let outcome = host.without_permit(|| wait(&host.runtime, reply.filled()));
    outcome.into_result()
}

/// A handle to call into the scope that awaits this blocking job from other threads: those that the closure has started.
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
    let host = host("thread::caller");
    Caller { desk: host.desk.clone(), who: host.who.clone() }
}

#[track_caller]
fn host(what: &str) -> std::rc::Rc<Host> {
    match Host::current() {
        Some(host) => host,
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
    desk: Arc<Desk>,
    who: Who,
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
        refuse_in_tree("Caller::call", "the future");
        let reply = self.desk.put(future, Location::caller())?;
        let mut outcome = None;
        park_until(&mut |cx| reply.poll(cx).map(|filled| outcome = Some(filled)));
        match outcome {
            Some(outcome) => outcome.into_result(),
            None => unreachable!("waited for"),
        }
    }

    /// As [`thread::is_cancelled`](super::is_cancelled).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.who.is_cancelled() || {
            // On the thread of a job this is as good a question as any (R13).
            if let Some(host) = Host::current() {
                host.runtime.give_way();
            }
            self.who.is_cancelled()
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("cancelled", &self.who.is_cancelled()).finish_non_exhaustive()
    }
}

/// A call from a thread has no result.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The future was cancelled with the scope that awaits the job, for this reason; or the await was dropped meanwhile.
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

/// Where a job puts its calls.
#[derive(Default)]
pub(super) struct Desk(Mutex<OnDesk>);

type Lying = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct OnDesk {
    calls: Vec<Lying>,
    /// Those that whoever awaits the job has begun to poll; they are not here while it polls them.
    running: Vec<Lying>,
    closed: bool,
    /// Of whoever awaits the job.
    waker: Option<Waker>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, OnDesk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put<T, F>(&self, future: F, location: &'static Location<'static>) -> Result<Reply<T>, CallError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let reply = Reply::new();
        let call = Box::pin(Call::new(future, Origin::new(std::any::type_name::<F>(), location), reply.clone()));
        let mut desk = self.lock();
        if desk.closed {
            drop(desk);
            drop(call);
            return Err(CallError::Finished);
        }
        desk.calls.push(call);
        let waker = desk.waker.take();
        drop(desk);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(reply)
    }

    /// Polls what lies here; for whoever awaits the job, and nobody else.
    pub(super) fn poll(&self, cx: &mut Context<'_>) {
        let mut desk = self.lock();
        if !desk.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            drop(desk);
            // L36: a waker is cloned and dropped outside of the lock.
            let waker = cx.waker().clone();
            desk = self.lock();
            let old = desk.waker.replace(waker);
            if old.is_some() {
                drop(desk);
                drop(old);
                desk = self.lock();
            }
        }
        let OnDesk { calls, running, .. } = &mut *desk;
        running.append(calls);
        if running.is_empty() {
            return;
        }
        let mut running = std::mem::take(running);
        drop(desk);
        running.retain_mut(|call| call.as_mut().poll(cx).is_pending());
        self.lock().running = running;
    }

    /// Nobody awaits the job any more. What is not done is cancelled.
    pub(super) fn close(&self) {
        let mut desk = self.lock();
        desk.closed = true;
        let calls = (std::mem::take(&mut desk.running), std::mem::take(&mut desk.calls));
        let waker = desk.waker.take();
        drop(desk);
        drop((calls, waker));
    }
}

pin_project_lite::pin_project! {
    /// A future that runs for a thread, in a scope of its own.
    struct Call<F, T> {
        #[pin]
        run: Run<F, T>,
        handle: ScopeHandle,
        reply: Filler<T>,
    }
}

impl<T, F: Future<Output = T>> Call<F, T> {
    fn new(future: F, origin: Origin, reply: Reply<T>) -> Self {
        let mut scope = CancelScope::at(origin);
        let handle = scope.handle();
        Call { run: scope.run(future), handle, reply: Filler(reply) }
    }
}

impl<T, F: Future<Output = T>> Future for Call<F, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let outcome = match panic::catch_unwind(AssertUnwindSafe(|| this.run.poll(cx))) {
            Ok(Poll::Ready(Ok(value))) => Outcome::Value(value),
            Ok(Poll::Ready(Err(cancelled))) => Outcome::Cancelled(Some(cancelled.reason().clone())),
            // L18: cancelled from further out, the scope has ended and parks. The thread is told instead.
            Ok(Poll::Pending) if this.handle.is_closed() => Outcome::Cancelled(reason()),
            Ok(Poll::Pending) => return Poll::Pending,
            Err(payload) => Outcome::Panicked(payload),
        };
        this.reply.0.fill(outcome);
        Poll::Ready(())
    }
}

/// What became of a call.
enum Outcome<T> {
    Value(T),
    Cancelled(Option<Reason>),
    Panicked(Box<dyn Any + Send>),
}

impl<T> Outcome<T> {
    fn into_result(self) -> Result<T, CallError> {
        match self {
            Outcome::Value(value) => Ok(value),
            Outcome::Cancelled(reason) => Err(CallError::Cancelled(reason)),
            Outcome::Panicked(payload) => panic::resume_unwind(payload),
        }
    }
}

/// The way back to the thread that has called.
struct Reply<T>(Arc<Mutex<Replied<T>>>);

struct Replied<T> {
    outcome: Option<Outcome<T>>,
    filled: bool,
    waker: Option<Waker>,
}

impl<T> Clone for Reply<T> {
    fn clone(&self) -> Self {
        Reply(self.0.clone())
    }
}

impl<T> Reply<T> {
    fn new() -> Self {
        Reply(Arc::new(Mutex::new(Replied { outcome: None, filled: false, waker: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Replied<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first outcome stands.
    fn fill(&self, outcome: Outcome<T>) {
        let mut replied = self.lock();
        if replied.filled {
            return;
        }
        replied.filled = true;
        replied.outcome = Some(outcome);
        let waker = replied.waker.take();
        drop(replied);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let waker = cx.waker().clone();
        let mut replied = self.lock();
        match replied.outcome.take() {
            Some(outcome) => {
                drop(replied);
                drop(waker);
                Poll::Ready(outcome)
            }
            None => {
                let old = replied.waker.replace(waker);
                drop(replied);
                drop(old);
                Poll::Pending
            }
        }
    }

    fn filled(&self) -> impl Future<Output = Outcome<T>> + '_ {
        poll_fn(|cx| self.poll(cx))
    }
}

/// The awaiting side of a reply: says that the call was cancelled if it is dropped before.
struct Filler<T>(Reply<T>);

impl<T> Drop for Filler<T> {
    fn drop(&mut self) {
        self.0.fill(Outcome::Cancelled(None));
    }
}
