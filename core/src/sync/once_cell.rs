//! The once-cell: a value that is made by the first task that needs it.
//!
//! One caller at a time has the *permit* to make the value. If it fails or is dropped, the permit is handed to the
//! longest waiter. When the value is set, every waiter is woken.
//!
//! Invariant 1: a task waits only while the phase is `Running`: another one makes the value, or was handed the permit.
//! Invariant 2: the value is set under the lock of the state, whose phase is `Set` from then on; so no waiter misses
//! it. Invariant 3: the state is locked before the queue, and both are released before any waiter is woken.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::AlreadySet;
use super::wait_queue::WaitQueue;
use super::waiter_list::{LeaveOutcome, WaitOutcome, WaiterKey};
use crate::leaf::{self, Gate, Waiter};
use crate::sys::{OnceLock, PlainMutex};

/// A value that is made at most once, by whoever needs it first; the others wait for it.
///
/// If making it fails, or the one who makes it is cancelled, the next one tries.
///
/// # Examples
///
/// ```
/// use foster::sync::OnceCell;
///
/// # foster_sim::run(1, async {
/// static CONFIG: OnceCell<String> = OnceCell::new();
///
/// async fn load() -> Result<String, std::io::Error> {
///     foster::checkpoint().await;
///     Ok("fast = true".to_string())
/// }
///
/// let config = CONFIG.get_or_try_init(load).await.unwrap();
/// assert_eq!(config, "fast = true");
/// assert!(CONFIG.get().is_some());
/// # });
/// ```
pub struct OnceCell<T> {
    value: OnceLock<T>,
    initializer: Initializer,
}

impl<T> OnceCell<T> {
    /// Makes an empty cell.
    #[must_use]
    pub const fn new() -> Self {
        let state = InitState { phase: InitPhase::Empty, contended: false };
        OnceCell {
            value: OnceLock::new(),
            initializer: Initializer { state: PlainMutex::new(state), queue: WaitQueue::new() },
        }
    }

    /// Returns the value, if it was made.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Returns the value, if it was made.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Returns the value, if it was made.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Sets the value. If a task is making one at this moment, its value is dropped when it comes.
    ///
    /// # Errors
    ///
    /// [`AlreadySet`] with the value, if there was one before.
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        let mut state = self.initializer.state.lock();
        if let Err(value) = self.value.set(value) {
            drop(state);
            return Err(AlreadySet { value });
        }
        state.phase = InitPhase::Set;
        let wakes = state.contended.then(|| {
            let mut queue = self.initializer.queue.lock();
            queue.unpark_all();
            queue.finish()
        });
        state.contended = false;
        drop(state);
        drop(wakes);
        Ok(())
    }

    /// Returns the value; if there is none, makes it by running `init`, or waits for the task that makes it.
    ///
    /// If the value is there, this is only a checkpoint.
    ///
    /// # Cancellation
    ///
    /// *Partial effect*: a drop while `init` runs drops that with all it did, and the longest waiter makes the value
    /// anew. A drop while waiting *loses its place*.
    pub fn get_or_init<F, Fut>(&self, init: F) -> OnceCellGetOrInit<'_, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        OnceCellGetOrInit { init_future: InitFuture::new(self, init) }
    }

    /// Returns the value; if there is none, makes it by running `init`, or waits for the task that makes it.
    ///
    /// # Cancellation
    ///
    /// As [`get_or_init`](OnceCell::get_or_init).
    ///
    /// # Errors
    ///
    /// The error of `init`; the longest waiter then runs its own.
    pub fn get_or_try_init<F, Fut, E>(&self, init: F) -> OnceCellGetOrTryInit<'_, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        OnceCellGetOrTryInit { init_future: InitFuture::new(self, init) }
    }

    /// Returns how many tasks wait for the task that makes the value.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.initializer.queue.waiting()
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        let cell = OnceCell::new();
        let Ok(()) = cell.set(value) else { unreachable!("a new cell is empty") };
        cell
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.get()).field("waiting", &self.waiting()).finish()
    }
}

pin_project! {
    /// Future of [`OnceCell::get_or_init`].
    #[must_use = "futures do nothing unless polled"]
    pub struct OnceCellGetOrInit<'a, T, F, Fut> {
        #[pin]
        init_future: InitFuture<'a, T, F, Fut>,
    }
}

impl<'a, T, F, Fut> Future for OnceCellGetOrInit<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
{
    type Output = &'a T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'a T> {
        self.project().init_future.poll_value(cx, Ok::<T, Infallible>).map(|made| match made {
            Ok(value) => value,
            Err(never) => match never {},
        })
    }
}

impl<T, F, Fut> fmt::Debug for OnceCellGetOrInit<'_, T, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.init_future.permit.fmt("OnceCellGetOrInit", f)
    }
}

pin_project! {
    /// Future of [`OnceCell::get_or_try_init`].
    #[must_use = "futures do nothing unless polled"]
    pub struct OnceCellGetOrTryInit<'a, T, F, Fut> {
        #[pin]
        init_future: InitFuture<'a, T, F, Fut>,
    }
}

impl<'a, T, E, F, Fut> Future for OnceCellGetOrTryInit<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<&'a T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().init_future.poll_value(cx, |made| made)
    }
}

impl<T, F, Fut> fmt::Debug for OnceCellGetOrTryInit<'_, T, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.init_future.permit.fmt("OnceCellGetOrTryInit", f)
    }
}

pin_project! {
    /// The common part of the two futures.
    struct InitFuture<'a, T, F, Fut> {
        // Subtle: dropped before the permit, so that the next caller starts when this future has ended.
        #[pin]
        future: Option<Fut>,
        init: Option<F>,
        cell: &'a OnceCell<T>,
        permit: InitPermit<'a>,
    }
}

impl<'a, T, F, Fut> InitFuture<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future,
{
    fn new(cell: &'a OnceCell<T>, init: F) -> Self {
        let permit =
            InitPermit { initializer: &cell.initializer, gate: Gate::new("once cell"), state: InitPermitState::Start };
        InitFuture { future: None, init: Some(init), cell, permit }
    }

    fn poll_value<E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        result: impl FnOnce(Fut::Output) -> Result<T, E>,
    ) -> Poll<Result<&'a T, E>> {
        let mut this = self.project();
        if this.future.is_none() && ready!(this.permit.poll(cx)) {
            if let Some(init) = this.init.take() {
                this.future.set(Some(init()));
            }
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Ready(Ok(value_of(this.cell)));
        };
        let result = result(ready!(future.poll(cx)));
        this.future.set(None);
        Poll::Ready(match result {
            Ok(value) => {
                this.permit.state = InitPermitState::Done;
                // Somebody else may have set it meanwhile; then ours is dropped here, with no lock held.
                drop(this.cell.set(value));
                Ok(value_of(this.cell))
            }
            Err(error) => {
                this.permit.release();
                Err(error)
            }
        })
    }
}

fn value_of<T>(cell: &OnceCell<T>) -> &T {
    match cell.get() {
        Some(value) => value,
        None => unreachable!("Invariant 2: the phase is Set, so the value is set"),
    }
}

/// The part that does not depend on the value's type: the permit to make the value.
struct Initializer {
    state: PlainMutex<InitState>,
    queue: WaitQueue,
}

struct InitState {
    phase: InitPhase,
    /// The queue may have waiters.
    contended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitPhase {
    Empty,
    Running,
    Set,
}

impl Initializer {
    /// Hands the permit to the longest waiter, after its owner did not make the value.
    fn pass_on(&self) {
        let mut state = self.state.lock();
        if state.phase == InitPhase::Set {
            return;
        }
        debug_assert_eq!(state.phase, InitPhase::Running, "Invariant 1: only the owner of the permit passes it on");
        if !state.contended {
            state.phase = InitPhase::Empty;
            return;
        }
        let mut queue = self.queue.lock();
        if queue.notify_one().is_none() {
            state.phase = InitPhase::Empty;
        }
        state.contended = !queue.is_empty();
        let wakes = queue.finish();
        drop(state);
        drop(wakes);
    }
}

/// A caller's permit to make the value, or its wait for it.
struct InitPermit<'a> {
    initializer: &'a Initializer,
    gate: Gate,
    state: InitPermitState,
}

enum InitPermitState {
    Start,
    Waiting(WaiterKey),
    Granted,
    Done,
}

impl InitPermit<'_> {
    /// Polls for the permit. Ready with `true` if the caller has to make the value.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        ready!(self.gate.poll_start(cx));
        match &mut self.state {
            InitPermitState::Start => ready!(self.start(cx)),
            InitPermitState::Waiting(key) => match ready!(key.poll(self.initializer.queue.shared(), cx)) {
                WaitOutcome::Notified => {}
                WaitOutcome::Closed(_) | WaitOutcome::Skipped => {
                    self.state = InitPermitState::Start;
                    ready!(self.start(cx));
                }
            },
            InitPermitState::Granted | InitPermitState::Done => {
                panic!("a `get_or_init` of a `OnceCell` was polled after it was over")
            }
        }
        let granted = self.initializer.state.lock().phase != InitPhase::Set;
        self.state = if granted { InitPermitState::Granted } else { InitPermitState::Done };
        Poll::Ready(granted)
    }

    /// Starts the wait. Ready if the permit was free, and is taken now, or the value is set.
    fn start(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // L36: made before the lock is taken, if it is needed.
        let mut spare: Option<Waiter> = None;
        loop {
            let mut state = self.initializer.state.lock();
            if state.phase != InitPhase::Running {
                let is_set = state.phase == InitPhase::Set;
                // L14: the permit may have come back after another thread has cancelled this code.
                if !is_set && !leaf::may_take() {
                    drop(state);
                    return self.gate.restart(cx);
                }
                if !is_set {
                    state.phase = InitPhase::Running;
                }
                drop(state);
                // It may have been set because of a request that has come since the gate (L14).
                return if is_set && leaf::is_cancelled() { self.gate.restart(cx) } else { Poll::Ready(()) };
            }
            if let Some(waiter) = spare {
                state.contended = true;
                self.state = InitPermitState::Waiting(self.initializer.queue.lock().enqueue(0, waiter));
                return Poll::Pending;
            }
            drop(state);
            spare = Some(Waiter::new(cx));
        }
    }

    /// Leaves the queue, and passes on the permit.
    fn release(&mut self) {
        let granted = match mem::replace(&mut self.state, InitPermitState::Done) {
            InitPermitState::Start | InitPermitState::Done => false,
            InitPermitState::Waiting(key) => key.leave(self.initializer.queue.shared()).left != LeaveOutcome::Waiting,
            // If the value is set there is no permit to pass on: `pass_on` checks that.
            InitPermitState::Granted => true,
        };
        if granted {
            self.initializer.pass_on();
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            InitPermitState::Start => "Start",
            InitPermitState::Waiting(_) => "Waiting",
            InitPermitState::Granted => "Granted",
            InitPermitState::Done => "Done",
        };
        write!(f, "{name}::{state}")
    }
}

impl Drop for InitPermit<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests;
