//! The handle to a child, and the slot for the child's result.

use std::fmt;
use std::future::Future;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use super::local_join::LocalJoin;
use crate::checkpoint::Gate;
use crate::error::JoinError;
use crate::observer::TaskStatus;
use crate::reason::Reason;
use crate::sys::{Mutex, MutexGuard};
use crate::tree::ambient;
use crate::tree::flags::CANCELLED;
use crate::tree::node::{NodeRef, Part};
use crate::tree::quiet::drop_quietly;

/// The result of a task, for its handle.
pub(crate) struct Join<T>(Mutex<Inner<T>>);

struct Inner<T> {
    outcome: Slotted<T>,
    /// Of the one handle.
    waiter: Option<Waker>,
}

pub(super) enum Slotted<T> {
    /// The task has not ended.
    Empty,
    Value(T),
    /// The value was taken.
    Taken,
    Error(JoinError),
}

impl<T> Default for Join<T> {
    fn default() -> Self {
        Join(Mutex::new(Inner { outcome: Slotted::Empty, waiter: None }))
    }
}

impl<T> Join<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the task has ended, if it has.
    pub(crate) fn status(&self) -> Option<TaskStatus> {
        self.lock().outcome.status()
    }

    /// Sets the outcome, unless there is one. Whoever waits for it comes back to be woken.
    pub(crate) fn set(&self, outcome: Result<T, JoinError>) -> Option<Waker> {
        let mut inner = self.lock();
        if !matches!(inner.outcome, Slotted::Empty) {
            drop(inner);
            drop_quietly(outcome);
            return None;
        }
        inner.outcome = outcome.into();
        inner.waiter.take()
    }

    /// Keeps the waker of a handle that has found no result. Says whether there is one by now.
    fn watch(&self, waker: &Waker) -> bool {
        let mut spare: Option<Waker> = None;
        loop {
            let mut inner = self.lock();
            if inner.outcome.status().is_some() {
                return true;
            }
            if inner.waiter.as_ref().is_some_and(|old| old.will_wake(waker)) {
                return false;
            }
            if spare.is_some() {
                std::mem::swap(&mut inner.waiter, &mut spare);
                drop(inner);
                return false;
            }
            // No lock is held while a waker is cloned or dropped (L36).
            drop(inner);
            spare = Some(waker.clone());
        }
    }

    /// The handle is gone.
    fn watch_no_more(&self) {
        let waiter = self.lock().waiter.take();
        drop(waiter);
    }
}

impl<T> Drop for Join<T> {
    fn drop(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).outcome.drop_quietly();
    }
}

impl<T> From<Result<T, JoinError>> for Slotted<T> {
    fn from(outcome: Result<T, JoinError>) -> Self {
        match outcome {
            Ok(value) => Slotted::Value(value),
            Err(error) => Slotted::Error(error),
        }
    }
}

impl<T> Slotted<T> {
    /// The value, once; an error any number of times.
    #[track_caller]
    pub(super) fn take(&mut self) -> Option<Result<T, JoinError>> {
        match std::mem::replace(self, Slotted::Taken) {
            Slotted::Empty => {
                *self = Slotted::Empty;
                None
            }
            Slotted::Value(value) => Some(Ok(value)),
            Slotted::Error(error) => {
                *self = Slotted::Error(error);
                Some(Err(error))
            }
            Slotted::Taken => panic!("the value of this task was taken before"),
        }
    }

    pub(super) fn status(&self) -> Option<TaskStatus> {
        Some(match self {
            Slotted::Empty => return None,
            Slotted::Value(_) | Slotted::Taken => TaskStatus::Finished,
            Slotted::Error(JoinError::Cancelled) => TaskStatus::Cancelled,
            Slotted::Error(JoinError::Failed) => TaskStatus::Failed,
            Slotted::Error(JoinError::Panicked) => TaskStatus::Panicked,
        })
    }

    /// A value that nobody took, dropped by the runtime's job or the nursery's future: neither may panic (R4).
    pub(super) fn drop_quietly(&mut self) {
        if let Slotted::Value(value) = std::mem::replace(self, Slotted::Taken) {
            drop_quietly(value);
        }
    }
}

/// Where the handle finds the result.
enum Place<T> {
    /// In the task's own node.
    Node(Part<Join<T>>),
    /// Beside it.
    Local(LocalJoin<T>),
}

impl<T> Place<T> {
    fn status(&self) -> Option<TaskStatus> {
        match self {
            Place::Node(node) => node.part().status(),
            Place::Local(join) => join.status(),
        }
    }

    #[track_caller]
    fn take(&self) -> Option<Result<T, JoinError>> {
        match self {
            Place::Node(node) => node.part().lock().outcome.take(),
            Place::Local(join) => join.take(),
        }
    }

    fn node(&self) -> &NodeRef {
        match self {
            Place::Node(node) => node,
            Place::Local(join) => join.node(),
        }
    }

    /// Keeps the waker of a handle that has found no result. Says whether there is one by now.
    fn watch(&self, waker: &Waker) -> bool {
        match self {
            Place::Node(node) => node.part().watch(waker),
            Place::Local(join) => join.watch(waker),
        }
    }

    /// The handle is gone.
    fn watch_no_more(&self) {
        match self {
            Place::Node(node) => node.part().watch_no_more(),
            Place::Local(join) => join.cell().watch_no_more(),
        }
    }
}

/// A handle to a child of a nursery: await it for the child's value, or cancel that one child.
///
/// Awaiting gives `Ok(value)`, or a [`JoinError`] that says what happened instead. The error or panic itself is the
/// nursery's; in code that is cancelled by it, the await does not return. A handle resolves only after the child has ended and its
/// future is dropped (law L34). Dropping the handle neither cancels the child nor hides its error.
///
/// A handle that is kept keeps the memory that the child's future lay in, though not the future: box a future of many kilobytes if
/// you collect handles of such children.
///
/// # Cancellation
///
/// *Strict*: the child goes on, and the handle can be awaited again.
///
/// # Panics
///
/// Awaiting panics if the value was taken before.
pub struct Task<T> {
    place: Place<T>,
    gate: Gate,
    /// Its waker lies with the result.
    waits: bool,
}

// As for the node: what the task returned is kept under locks that no user code runs under.
impl<T> UnwindSafe for Task<T> {}
impl<T> RefUnwindSafe for Task<T> {}

impl<T> Task<T> {
    pub(crate) fn new(joined: Part<Join<T>>) -> Self {
        Task { place: Place::Node(joined), gate: Gate::to("a task"), waits: false }
    }

    pub(crate) fn local(join: LocalJoin<T>) -> Self {
        Task { place: Place::Local(join), gate: Gate::to("a task"), waits: false }
    }

    /// Asks this child to stop; its siblings go on, and the nursery does not fail. Says whether that changed anything: not on a
    /// child that has ended or was asked before.
    #[track_caller]
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.place.node().request(ambient::signed(reason.into()), None)
    }

    /// As [`cancel`](Task::cancel), with a grace for [`graceful`](crate::graceful) shields inside it.
    #[track_caller]
    pub fn cancel_within(&self, grace: std::time::Duration, reason: impl Into<Reason>) -> bool {
        self.place.node().request(ambient::signed(reason.into()), Some(grace))
    }

    /// How far the child has come.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        if let Some(status) = self.place.status() {
            return status;
        }
        if self.place.node().flagged(CANCELLED) { TaskStatus::Cancelling } else { TaskStatus::Running }
    }

    /// Whether the child has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.place.status().is_some()
    }

    /// The result, if the child has ended; `None` if not.
    ///
    /// # Panics
    ///
    /// If the value was taken before.
    #[track_caller]
    pub fn try_join(&mut self) -> Option<Result<T, JoinError>> {
        self.place.take()
    }

    /// Waits for the child's end, any number of times, and leaves its value where it is.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn wait(&mut self) -> TaskStatus {
        let mut gate = Gate::to("a task");
        std::future::poll_fn(|cx| {
            if gate.poll_start().is_pending() {
                return Poll::Pending;
            }
            self.poll_ended(cx).map(|()| self.status())
        })
        .await
    }

    /// The name of the child; by default the type name of its future.
    #[must_use]
    pub fn name(&self) -> String {
        self.place.node().origin.name().to_owned()
    }

    /// Where the child was spawned.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.place.node().origin.location()
    }

    /// Why the child was asked to stop by its own handle, its nursery's, or because only daemons were left.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.place.node().lock().request().map(|request| request.reason.clone())
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.waits = !self.place.watch(cx.waker());
        if self.waits { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.gate.poll_start().is_pending() {
            return Poll::Pending;
        }
        let ended = self.place.take();
        let result = match ended {
            Some(result) => result,
            None => {
                if self.poll_ended(cx).is_pending() {
                    return Poll::Pending;
                }
                // It has ended between the two looks.
                match self.try_join() {
                    Some(result) => result,
                    None => unreachable!("a task that has ended has a result"),
                }
            }
        };
        if result.is_err() && ambient::is_cancelled() {
            // L14: no value is lost. The failure that ended the task has mostly cancelled this code, too; seen here, it
            // would become a second error of the same nursery, or a panic in an `unwrap`.
            return Poll::Pending;
        }
        self.waits = false;
        self.gate = Gate::to("a task");
        Poll::Ready(result)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.waits {
            self.place.watch_no_more();
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("origin", &self.place.node().origin).field("status", &self.status()).finish()
    }
}
