//! A blocking job of a type that is polled, such as a file: it goes on when the code that started it has gone, and
//! the next call waits for its end.
//!
//! `poll_read` has no future of its own that could be dropped. So the job lies in the file, and belongs to the scope in
//! which it was started:
//!
//! ```text
//!   polled again in that scope ──▶ polls the job's future, as any await does
//!   polled in another one, or dropped ──▶ the future is left to its scope, which waits for the job (L21);
//!                                         the other code waits for the end as a bystander
//! ```
//!
//! A job puts its findings into state that it shares with its owner, and not into its result: so they are there for
//! either.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use foster_core::future::TryToThread;
use foster_core::leaf::{Waiter, wake_all};

use crate::blocking;
use crate::waker_slots::WakerSlots;

/// `Sync`, so that a file is.
type Work = Box<dyn FnOnce() + Send + Sync>;

/// A blocking job that outlives the poll that started it.
pub(crate) struct Job {
    /// None when it was left to its scope.
    future: Option<TryToThread<(), Work>>,
    /// The scope in which it was made, and so started. A waker says nothing: a combinator may have another one for each
    /// poll. It is kept until the job is dropped: the code that polls next has to know whose job has ended.
    starter: Waiter,
    completion: Arc<Completion>,
}

impl Job {
    /// Makes a job that has not started.
    pub(crate) fn new(name: &'static str, work: impl FnOnce() + Send + Sync + 'static) -> Self {
        let complete = CompleteOnDrop::default();
        let completion = complete.0.clone();
        let work: Work = Box::new(move || {
            work();
            drop(complete);
        });
        Job { future: Some(blocking::job(name, work).keeping_no_permit()), starter: Waiter::unpolled(), completion }
    }

    /// Returns whether it has a thread, or has had one: it will run to its end.
    pub(crate) fn has_started(&self) -> bool {
        self.future.as_ref().is_none_or(TryToThread::has_started)
    }

    /// Returns whether it was started in the scope that is current.
    pub(crate) fn is_own(&self) -> bool {
        self.future.is_some() && self.starter.is_in_scope()
    }

    /// Returns whether it has not started, and was made in another scope, which may have another limiter: then it is to
    /// be dropped.
    pub(crate) fn is_stale(&self) -> bool {
        !self.has_started() && !self.is_own()
    }

    /// Starts the job, or waits for its end. It is not to be polled when it has ended.
    ///
    /// # Errors
    ///
    /// There is no thread: the job was not run.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_started() && !self.is_own() {
            // Its scope may have ended, and then its future is not to be polled any more (L28).
            self.future = None;
            return self.completion.poll(cx).map(Ok);
        }
        let Some(future) = &mut self.future else { unreachable!("a job that was left to its scope has started") };
        Pin::new(future).poll(cx)
    }

    /// Returns the end of a job that has started and not ended, for whoever is not its owner.
    pub(crate) fn completion(&self) -> Option<Arc<Completion>> {
        (self.has_started() && !self.completion.is_complete()).then(|| self.completion.clone())
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("has_started", &self.has_started()).finish_non_exhaustive()
    }
}

/// The slot of whoever has the type for itself (`&mut`), and of nobody else.
const OWNER: u64 = 0;

/// Whether a job has ended, and who waits for it without being its owner.
///
/// It is not foster's `sync::Event`: that is waited for by a future, which leaves the queue when it is dropped, and
/// `poll_read` has none.
#[derive(Default)]
pub(crate) struct Completion(Mutex<CompletionState>);

#[derive(Default)]
struct CompletionState {
    completed: bool,
    waiting: WakerSlots,
}

impl Completion {
    fn lock(&self) -> MutexGuard<'_, CompletionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.lock().completed
    }

    /// Waits for it, for whoever has the type for itself.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_in(OWNER, cx)
    }

    /// Waits for it, for one of several.
    pub(crate) fn wait(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        let slot = self.lock().waiting.add();
        let waiting = Waiting { completion: self, slot };
        poll_fn(move |cx| waiting.completion.poll_in(waiting.slot, cx))
    }

    fn poll_in(&self, slot: u64, cx: &mut Context<'_>) -> Poll<()> {
        // L36: cloned and dropped while no lock is held.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.completed {
            return Poll::Ready(());
        }
        let before = state.waiting.put(slot, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

struct Waiting {
    completion: Arc<Completion>,
    slot: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.completion.lock();
        let waker = state.waiting.remove(self.slot);
        drop(state);
        drop(waker);
    }
}

/// Dropped when the work has ended, has panicked, or was dropped by a runtime that will not run it.
#[derive(Default)]
pub(crate) struct CompleteOnDrop(Arc<Completion>);

impl Drop for CompleteOnDrop {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.completed = true;
        let wakers = state.waiting.take();
        drop(state);
        wake_all(wakers);
    }
}

/// The calls that go on, although the futures that have made them were dropped.
#[derive(Default)]
pub(crate) struct DetachedCalls(Mutex<Vec<Arc<Completion>>>);

impl DetachedCalls {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Completion>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call that is remembered from when this is dropped until `complete` is.
    pub(crate) fn call<'a>(&'a self, complete: &CompleteOnDrop) -> Call<'a> {
        Call { detached: self, completion: complete.0.clone() }
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Waits until there are none.
    pub(crate) fn poll_none(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let detached = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        while let Some(completion) = detached.last() {
            std::task::ready!(completion.poll(cx));
            detached.pop();
        }
        Poll::Ready(())
    }

    /// Returns the end of one of them.
    pub(crate) fn any(&self) -> Option<Arc<Completion>> {
        self.lock().iter().find(|completion| !completion.is_complete()).cloned()
    }
}

/// A call that may lose its future, which this lies in.
pub(crate) struct Call<'a> {
    detached: &'a DetachedCalls,
    completion: Arc<Completion>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.completion.is_complete() {
            let mut detached = self.detached.lock();
            detached.retain(|completion| !completion.is_complete());
            detached.push(self.completion.clone());
        }
    }
}
