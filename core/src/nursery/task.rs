//! The handle to a child, and what the child leaves for it.

use std::fmt;
use std::future::Future;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::errors::{JoinError, TaskFailure};
use crate::events::TaskStatus;
use crate::leaf::Gate;
use crate::reason::{Origin, Reason};
use crate::sys::PlainMutex;
use crate::tree::abandon;
use crate::tree::current;
use crate::tree::flags::{CANCELLED, LOCAL};
use crate::tree::node::{Attachment, Kind, NodeRef, Place};
use crate::tree::panic::catch_drop;

/// Where a child of a local nursery leaves its value for its handle: the value may borrow, and the node may live longer
/// than that.
pub(crate) struct ValueSlot<T>(PlainMutex<SlotState<T>>);

enum SlotState<T> {
    /// The child has not ended, or its value was taken.
    Empty,
    Value(T),
    /// The child has failed.
    Failed(TaskFailure),
    /// The handle is gone.
    Unwanted,
}

impl<T> ValueSlot<T> {
    pub(crate) fn new() -> Self {
        ValueSlot(PlainMutex::new(SlotState::Empty))
    }

    /// A value that nobody wants is dropped here and now, while the nursery waits for the child. It may not panic in
    /// the runtime's job (R4).
    fn put(&self, state: SlotState<T>) {
        let mut slot = self.0.lock();
        if let SlotState::Unwanted = *slot {
            drop(slot);
            return catch_drop(state);
        }
        *slot = state;
    }

    /// The value, once, or how the child failed; none if the value was taken.
    fn take(&self) -> Option<Result<T, JoinError>> {
        let mut slot = self.0.lock();
        if let SlotState::Failed(failure) = &*slot {
            return Some(Err(JoinError::Failed(failure.clone())));
        }
        match std::mem::replace(&mut *slot, SlotState::Empty) {
            SlotState::Value(value) => Some(Ok(value)),
            _ => None,
        }
    }

    /// Whether there is a handle.
    pub(crate) fn is_wanted(&self) -> bool {
        !matches!(*self.0.lock(), SlotState::Unwanted)
    }

    /// The handle is gone.
    fn abandon(&self) {
        let left = std::mem::replace(&mut *self.0.lock(), SlotState::Unwanted);
        catch_drop(left);
    }
}

/// Where a handle finds the value of its child.
pub(crate) enum SlotRef<T> {
    /// Where the child's body was, in the block of its node. The function puts it where it is told; nothing if it was
    /// taken, or has gone with the host.
    InBlock(fn(&NodeRef, &mut Option<Result<T, JoinError>>)),
    /// Apart from it.
    Apart(Arc<ValueSlot<T>>),
}

impl<T> SlotRef<T> {
    pub(crate) fn in_block() -> Self
    where
        T: 'static,
    {
        SlotRef::InBlock(|node, into| node.take_value(into))
    }
}

/// Returns how a task has ended whose handle gets this.
pub(crate) fn status_of<T>(result: &Result<T, JoinError>) -> TaskStatus {
    match result {
        Ok(_) => TaskStatus::Finished,
        Err(JoinError::Cancelled) => TaskStatus::Cancelled,
        Err(JoinError::Failed(_)) => TaskStatus::Failed,
        Err(JoinError::Panicked) => TaskStatus::Panicked,
        Err(JoinError::NotStarted | JoinError::NurseryClosed) => unreachable!("errors of `start`, not of a task"),
    }
}

/// A local child whose scope is Closed, and that has told its nursery how it ended, leaves its value to its handle, and
/// its place (L34).
pub(crate) fn leave<T>(node: &NodeRef, place: &Place, slot: &ValueSlot<T>, result: Result<T, JoinError>) {
    let status = status_of(&result);
    match result {
        Ok(value) => slot.put(SlotState::Value(value)),
        Err(JoinError::Failed(failure)) => slot.put(SlotState::Failed(failure)),
        Err(_) => {}
    }
    node.end_task(status, place);
}

/// A handle to a child of a nursery: await it for the child's value, or cancel that one child.
///
/// Awaiting gives `Ok(value)`, or a [`JoinError`] that says what happened instead. The error or panic itself is the
/// nursery's; in code that is cancelled by it, the await does not return. A handle resolves only after the child has
/// ended and its future is dropped (law L34). Dropping the handle neither cancels the child nor hides its error; a
/// value that nobody takes any more is dropped before the nursery sees the child's end.
///
/// A handle that is kept keeps the child's value, the memory that its future was in and, if the child had to wait, that
/// of the host's task; the future itself is dropped when the child ends.
///
/// # Cancellation
///
/// *Strict*: the child goes on, and the handle can be awaited again.
///
/// # Panics
///
/// Awaiting panics if the value was taken before.
pub struct Task<T> {
    node: NodeRef,
    slot: SlotRef<T>,
    /// The value was taken: nothing is left in the slot, and nothing comes.
    taken: bool,
    gate: Gate,
}

// The value is moved in and out under a lock, in one step.
impl<T> UnwindSafe for Task<T> {}
impl<T> RefUnwindSafe for Task<T> {}

impl<T> Task<T> {
    pub(crate) fn new(node: NodeRef, slot: SlotRef<T>) -> Self {
        Task { node, slot, taken: false, gate: Gate::new("a task") }
    }

    /// The handle to a child that was spawned into a nursery which was cut off with its host (L30): it is cut off, too.
    pub(crate) fn cut_off(above: &NodeRef, location: &'static Location<'static>) -> Self {
        let (place, origin) = (Attachment::nowhere(above), Origin::new("cut off", location));
        let node = NodeRef::attached(place, Kind::Task, origin);
        // No observer was told of its beginning.
        node.flag(LOCAL);
        abandon::shut_down(&node);
        Task::new(node, SlotRef::Apart(Arc::new(ValueSlot::new())))
    }

    /// Asks this child to stop; its siblings go on, and the nursery does not fail. Returns whether that changed
    /// anything: not on a child that has ended, or was asked before with no longer grace.
    #[track_caller]
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.node.request(current::signed(reason.into()), None)
    }

    /// As [`cancel`](Task::cancel), with a grace for [`graceful`](crate::graceful) shields inside it.
    #[track_caller]
    pub fn cancel_within(&self, grace: std::time::Duration, reason: impl Into<Reason>) -> bool {
        self.node.request(current::signed(reason.into()), Some(grace))
    }

    /// How far the child has come.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        if let Some(status) = self.node.outcome() {
            return status;
        }
        if self.node.flagged(CANCELLED) { TaskStatus::Cancelling } else { TaskStatus::Running }
    }

    /// Whether the child has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.node.outcome().is_some()
    }

    /// The result, if the child has ended; `None` if not.
    ///
    /// # Panics
    ///
    /// If the value was taken before.
    #[track_caller]
    pub fn try_join(&mut self) -> Option<Result<T, JoinError>> {
        Some(match self.node.outcome()? {
            TaskStatus::Cancelled => Err(JoinError::Cancelled),
            TaskStatus::Panicked => Err(JoinError::Panicked),
            _ if self.taken => panic!("the value of task {} was taken before", self.node.origin),
            _ => {
                let mut result = None;
                match &self.slot {
                    SlotRef::InBlock(take) => take(&self.node, &mut result),
                    SlotRef::Apart(slot) => result = slot.take(),
                }
                self.taken = matches!(result, Some(Ok(_)));
                // None: it has gone with the host (L30).
                result.unwrap_or(Err(JoinError::Cancelled))
            }
        })
    }

    /// Waits for the child's end, any number of times, and leaves its value where it is.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn wait(&mut self) -> TaskStatus {
        /// A wait that is over before its time leaves no waker behind: the handle may be kept for long.
        struct Waits<'a>(&'a NodeRef);

        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                if self.0.outcome().is_none() {
                    self.0.forget_joiner();
                }
            }
        }

        let mut gate = Gate::new("a task");
        let _waits = Waits(&self.node);
        std::future::poll_fn(|cx| {
            if gate.poll_start(cx).is_pending() {
                return Poll::Pending;
            }
            ready!(self.node.poll_outcome(cx));
            if self.is_withheld() { gate.restart(cx) } else { Poll::Ready(self.status()) }
        })
        .await
    }

    /// The name of the child; by default the path of the function in which its future was written.
    #[must_use]
    pub fn name(&self) -> String {
        self.node.origin.name().to_owned()
    }

    /// Where the child was spawned.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.node.origin.location()
    }

    /// Returns the reason of the request that was made on this child itself; `None` if it was asked from further out,
    /// or not at all.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.node.lock().request().map(|request| request.reason.clone())
    }

    /// L14: whether the end of the task, which has come, is none of this code's: that was cancelled before. The failure
    /// that ended a task has mostly cancelled this code, too; seen here, it would become a second error of the same
    /// nursery, or a panic in an `unwrap`.
    fn is_withheld(&self) -> bool {
        current::is_cancelled() && !current::innermost_node().is_some_and(|scope| self.node.ended_before(&scope))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.gate.poll_start(cx).is_pending() {
            return Poll::Pending;
        }
        ready!(self.node.poll_outcome(cx));
        if self.is_withheld() {
            return self.gate.restart(cx);
        }
        let Some(result) = self.try_join() else { unreachable!("a task that has ended has a result") };
        self.gate = Gate::new("a task");
        Poll::Ready(result)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        match &self.slot {
            SlotRef::InBlock(_) => self.node.give_up_value(),
            SlotRef::Apart(slot) => {
                if self.node.outcome().is_none() {
                    self.node.forget_joiner();
                }
                slot.abandon();
            }
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("origin", &self.node.origin).field("status", &self.status()).finish()
    }
}
