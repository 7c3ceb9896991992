//! A task: a scope whose body is a job of the runtime, and whose end is awaited through a handle.
//!
//! The body lies in one block with the node. Whoever polls it has it alone meanwhile, without a lock. If the tree is torn down during a
//! poll (L30), the body is dropped by whoever polls it, as soon as that poll returns.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::closing::{Closed, Linked};
use super::flags::LOCAL;
use super::node::{Kind, NodeRef};
use super::observing;
use super::waking;
use crate::observer::TaskStatus;
use crate::sys::atomic::{AtomicU8, Ordering};

/// The body of a task, of any type.
pub(crate) trait RunTask: Send {
    /// Polls the body, or what is left of its scope; ready when that is Closed.
    fn poll(self: Pin<&mut Self>, node: &NodeRef, cx: &mut Context<'_>) -> Poll<Closed>;

    /// The scope is Closed: records what there is to record, and leaves the value for the handle (L31–L34).
    fn finish(self: Pin<&mut Self>, node: &NodeRef, closed: Closed);

    /// Drops the future, with the scope as context, and tells the observer of an error that nobody will hear of (L30).
    fn abandon(self: Pin<&mut Self>, node: &NodeRef);
}

/// How a task has ended; set once.
#[derive(Default)]
pub(crate) struct TaskOutcome(AtomicU8);

const RUNNING: u8 = 0;
const FINISHED: u8 = 1;
const CANCELLED: u8 = 2;
const FAILED: u8 = 3;
const PANICKED: u8 = 4;

impl TaskOutcome {
    /// None as long as the task has not ended.
    #[inline]
    pub(crate) fn get(&self) -> Option<TaskStatus> {
        // Ordering: what the task has left is seen by whoever sees that it has ended.
        match self.0.load(Ordering::Acquire) {
            RUNNING => None,
            FINISHED => Some(TaskStatus::Finished),
            FAILED => Some(TaskStatus::Failed),
            PANICKED => Some(TaskStatus::Panicked),
            _ => Some(TaskStatus::Cancelled),
        }
    }

    fn set(&self, status: TaskStatus) {
        let outcome = match status {
            TaskStatus::Finished => FINISHED,
            TaskStatus::Failed => FAILED,
            TaskStatus::Panicked => PANICKED,
            _ => CANCELLED,
        };
        self.0.store(outcome, Ordering::Release);
    }
}

impl NodeRef {
    /// One turn of a task, by the job that the runtime polls; ready when the task has ended.
    pub(super) fn poll_task(&self, cx: &mut Context<'_>) -> Poll<()> {
        // If it is gone, it was torn down with its host (L30).
        let Some(mut task) = self.try_use_body() else { return Poll::Ready(()) };
        let Some(tree) = self.tree() else { unreachable!("a task is spawned in a tree") };
        let poll = observing::turn(tree, self, || {
            let Poll::Ready(closed) = task.body().poll(self, cx) else { return Poll::Pending };
            if task.is_wanted() {
                task.body().finish(self, closed);
            } else {
                task.body().abandon(self);
            }
            Poll::Ready(())
        });
        if poll.is_pending() {
            let Some(mut unwanted) = task.put_back() else { return Poll::Pending };
            unwanted.body().abandon(self);
        }
        Poll::Ready(())
    }

    /// Drops the body, if nobody is polling it; a body that is being polled is dropped by whoever polls it, as soon as that poll returns.
    pub(super) fn abandon_body(&self) {
        if let Some(mut task) = self.discard_body() {
            task.body().abandon(self);
        }
    }

    /// How the task has ended; none as long as it has not.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<TaskStatus> {
        self.outcome.get()
    }

    /// Whether the task has ended. If not, whoever polls this is woken when it has.
    pub(crate) fn poll_outcome(&self, cx: &Context<'_>) -> Poll<()> {
        if self.outcome().is_some() {
            return Poll::Ready(());
        }
        if self.lock().joiner.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        // No lock is held while a waker is cloned or dropped (L36).
        let mut waker = Some(cx.waker().clone());
        let mut state = self.lock();
        let has_ended = self.outcome().is_some();
        if !has_ended {
            std::mem::swap(&mut state.joiner, &mut waker);
        }
        drop(state);
        if has_ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The handle is gone: nobody awaits the task.
    pub(crate) fn forget_joiner(&self) {
        let joiner = self.lock().joiner.take();
        drop(joiner);
    }

    /// The task has ended, and its value lies where its handle finds it: leaves the nursery, then tells the handle (L34).
    pub(crate) fn end_task(&self, status: TaskStatus, linked: Option<Linked>) {
        if let Some(tree) = self.tree() {
            // Ordering: published with the outcome.
            self.ended_after.store(tree.requests(), Ordering::Relaxed);
        }
        let joiner = self.set_outcome(status);
        self.leave(linked);
        if let Some(joiner) = joiner {
            waking::wake_for(self, joiner);
        }
    }

    fn set_outcome(&self, status: TaskStatus) -> Option<Waker> {
        let mut state = self.lock();
        if self.outcome().is_some() {
            return None;
        }
        self.outcome.set(status);
        state.joiner.take()
    }

    /// Whether the task, which has ended, did so before the code directly in `scope` became cancelled: then its end was given to code
    /// that awaited it there (L14).
    pub(crate) fn ended_before(&self, scope: &NodeRef) -> bool {
        self.ended_after.load(Ordering::Relaxed) < scope.cancelled_by.load(Ordering::Acquire)
    }

    /// The scope was closed by a reaper (L29) or with its host (L30): its errors have no caller, its handle gets no value.
    pub(super) fn orphaned(&self) {
        (self.on_orphaned)(self);
        if self.kind != Kind::Task {
            return;
        }
        if let Some(joiner) = self.set_outcome(TaskStatus::Cancelled) {
            waking::wake_for(self, joiner);
        }
        if !self.flagged(LOCAL) {
            observing::ended(self);
        }
    }
}
