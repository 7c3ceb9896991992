//! The handle to a child, and what the child leaves for it.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::JoinError;
use crate::leaf::Gate;
use crate::observer::TaskStatus;
use crate::raw::Giver;
use crate::reason::Reason;
use crate::tree::ambient;
use crate::tree::closing::Stood;
use crate::tree::flags::CANCELLED;
use crate::tree::node::{NodeRef, Taker};
use crate::tree::quiet::drop_quietly;

/// The value of a task, for its handle. If nobody takes it, the runtime's job drops it, or the nursery's future: neither may panic (R4).
pub(crate) struct Kept<T>(Option<T>);

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            drop_quietly(value);
        }
    }
}

/// The notes beside the value: how a task has ended.
const FINISHED: u8 = 0;
pub(crate) const CUT_OFF: u8 = 1;
const FAILED: u8 = 2;
const PANICKED: u8 = 3;

/// How a task has ended, by its note.
pub(crate) fn ended_as(note: u8) -> TaskStatus {
    match note {
        FINISHED => TaskStatus::Finished,
        FAILED => TaskStatus::Failed,
        PANICKED => TaskStatus::Panicked,
        _ => TaskStatus::Cancelled,
    }
}

/// A task whose scope is Closed, and that has told its nursery how it ended, leaves that to its handle, and its place (L34).
pub(crate) fn leave<T, B>(
    end: Giver<B, Kept<T>>,
    into_node: fn(B) -> NodeRef,
    outcome: Result<T, JoinError>,
    stood: Option<Stood>,
) {
    let (note, value) = match outcome {
        Ok(value) => (FINISHED, Some(Kept(Some(value)))),
        Err(JoinError::Cancelled) => (CUT_OFF, None),
        Err(JoinError::Failed) => (FAILED, None),
        Err(JoinError::Panicked) => (PANICKED, None),
    };
    let given = end.give(note, value);
    // A value that nobody takes goes while its nursery waits for the child.
    drop(given.unwanted);
    let node = into_node(given.block);
    let gone = node.leave(stood);
    node.drop_with(gone);
    if let Some(waiter) = given.waker {
        waiter.wake();
    }
}

/// A handle to a child of a nursery: await it for the child's value, or cancel that one child.
///
/// Awaiting gives `Ok(value)`, or a [`JoinError`] that says what happened instead. The error or panic itself is the
/// nursery's; in code that is cancelled by it, the await does not return. A handle resolves only after the child has ended and its
/// future is dropped (law L34). Dropping the handle neither cancels the child nor hides its error; a value that nobody takes any more is
/// dropped before the nursery sees the child's end.
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
    end: Taker<Kept<T>>,
    gate: Gate,
}

impl<T> Task<T> {
    pub(crate) fn new(end: Taker<Kept<T>>) -> Self {
        Task { end, gate: Gate::to("a task") }
    }

    fn node(&self) -> &NodeRef {
        self.end.block()
    }

    /// Asks this child to stop; its siblings go on, and the nursery does not fail. Says whether that changed anything: not on a
    /// child that has ended or was asked before.
    #[track_caller]
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.node().request(ambient::signed(reason.into()), None)
    }

    /// As [`cancel`](Task::cancel), with a grace for [`graceful`](crate::graceful) shields inside it.
    #[track_caller]
    pub fn cancel_within(&self, grace: std::time::Duration, reason: impl Into<Reason>) -> bool {
        self.node().request(ambient::signed(reason.into()), Some(grace))
    }

    /// How far the child has come.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        if let Some(note) = self.end.note() {
            return ended_as(note);
        }
        if self.node().flagged(CANCELLED) { TaskStatus::Cancelling } else { TaskStatus::Running }
    }

    /// Whether the child has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end.note().is_some()
    }

    /// The result, if the child has ended; `None` if not.
    ///
    /// # Panics
    ///
    /// If the value was taken before.
    #[track_caller]
    pub fn try_join(&mut self) -> Option<Result<T, JoinError>> {
        Some(match ended_as(self.end.note()?) {
            TaskStatus::Cancelled => Err(JoinError::Cancelled),
            TaskStatus::Failed => Err(JoinError::Failed),
            TaskStatus::Panicked => Err(JoinError::Panicked),
            _ => match self.end.take().and_then(|mut kept| kept.0.take()) {
                Some(value) => Ok(value),
                None => panic!("the value of this task was taken before"),
            },
        })
    }

    /// Waits for the child's end, any number of times, and leaves its value where it is.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn wait(&mut self) -> TaskStatus {
        let mut gate = Gate::to("a task");
        std::future::poll_fn(|cx| {
            if gate.poll_start(cx).is_pending() {
                return Poll::Pending;
            }
            if self.poll_ended(cx).is_pending() || self.is_withheld() {
                Poll::Pending
            } else {
                Poll::Ready(self.status())
            }
        })
        .await
    }

    /// The name of the child; by default the type name of its future.
    #[must_use]
    pub fn name(&self) -> String {
        self.node().origin.name().to_owned()
    }

    /// Where the child was spawned.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.node().origin.location()
    }

    /// Why the child was asked to stop by its own handle, its nursery's, or because only daemons were left.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.node().lock().request().map(|request| request.reason.clone())
    }

    /// L14: whether the end of the task, which has come, is none of this code's: that was cancelled before. The failure that ended a
    /// task has mostly cancelled this code, too; seen here, it would become a second error of the same nursery, or a panic in an
    /// `unwrap`.
    fn is_withheld(&self) -> bool {
        ambient::is_cancelled() && !ambient::innermost().is_some_and(|scope| self.node().ended_before(&scope))
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.end.wait(cx.waker()) { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.gate.poll_start(cx).is_pending() {
            return Poll::Pending;
        }
        if !self.is_finished() && self.poll_ended(cx).is_pending() || self.is_withheld() {
            return Poll::Pending;
        }
        let Some(result) = self.try_join() else { unreachable!("a task that has ended has a result") };
        self.gate = Gate::to("a task");
        Poll::Ready(result)
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("origin", &self.node().origin).field("status", &self.status()).finish()
    }
}
