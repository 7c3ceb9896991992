//! A task: a scope whose body is a job of the runtime, and whose end is awaited through a handle.
//!
//! The body is in one block with the node. The thread that polls it has it alone meanwhile, without a lock. If the
//! tree is torn down during a poll (L30), that thread drops the body as soon as the poll returns.
//!
//! ```text
//!    Job::poll ──▶ poll_task ──▶ RunTask::poll ── Pending ──▶ put back
//!                                    │ Closed
//!                                    ▼
//!                           RunTask::finish ──▶ end_task: outcome, leave the nursery, wake the handle
//! ```
//!
//! Children of local nurseries are tasks, too, but their body is in the nursery's future, and nothing here polls
//! them. Their end goes through `end_task` all the same.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::closing::ClosedNode;
use super::flags::{LOCAL, UNWANTED};
use super::node::{Attachment, Kind, Node, NodeRef, Place};
use super::observing;
use super::panic::catch_drop;
use super::waking;
use crate::events::TaskStatus;
use crate::raw::{BlockRef, BodyGuard, Erase, Head, WakerTable};
use crate::reason::Origin;
use crate::sys::atomic::Ordering;

// Not in the models of the races: it is about numbers alone.
#[cfg(all(test, not(foster_shuttle)))]
mod tests;

/// The body of a task, of any type: what `poll_task` does without knowing the types of its future, value and error.
pub(crate) trait RunTask: Send {
    /// Polls the body, or drains what is left of its scope; ready when that is Closed. It never panics: what user
    /// code throws is caught.
    fn poll(self: Pin<&mut Self>, node: &NodeRef, cx: &mut Context<'_>) -> Poll<ClosedNode>;

    /// Records what there is to record, and keeps what the handle gets, in the place of the future (L31–L34). Returns how
    /// the task has ended. Called once, when the scope is Closed, with the nursery above it.
    fn finish(self: Pin<&mut Self>, above: &NodeRef, node: &NodeRef, closed: &mut ClosedNode) -> TaskStatus;

    /// Puts what the handle gets into `into`, an `Option<Result<T, JoinError>>`. Returns whether there is more to take: a
    /// value goes there once, and a failure any number of times.
    fn take(self: Pin<&mut Self>, into: &mut dyn Any) -> bool;

    /// Drops the future, with the scope as current scope, and tells the observer of an error that nobody will hear of
    /// (L30).
    fn abandon(self: Pin<&mut Self>, node: &NodeRef);
}

/// The scope's own waker, which a task gives to user code, and so does a scope in a cancelled one: its calls are
/// counted (L12), and wake the driver. It may be called from any thread, at any time, also when the scope is long
/// Closed: then there is no waker left to call.
impl Head for Node {
    type Body = dyn RunTask;

    fn wake(&self) {
        if self.counts_wakes() {
            self.polled.count_wake();
        }
        self.wake_driver();
    }

    #[inline]
    fn waker_table() -> &'static WakerTable<Self> {
        static TABLE: WakerTable<Node> = WakerTable::NEW;
        &TABLE
    }
}

impl NodeRef {
    /// Does as [`attached`](NodeRef::attached), for a task with its body, in the place of which its value will be. Returns
    /// three references: for its nursery, its job and its handle.
    #[inline]
    pub(crate) fn task<B>(place: Attachment, origin: Origin, body: B) -> [Self; 3]
    where
        B: Erase<dyn RunTask> + Send + 'static,
    {
        BlockRef::with_body(Node::new(Kind::Task, origin, Some(place), |_| {}), body).split().map(NodeRef)
    }

    /// Polls a task for one turn, for the job that the runtime polls; ready when the task has ended. No lock may be
    /// held.
    ///
    /// The guard of the body stands for "this thread polls it". It is put back at the end of a Pending poll, and at the
    /// end of the last one for the handle, which takes the value; or dropped with the body, if there is none for it. A
    /// task that is woken during its poll is polled again by its host afterwards (R2, R3), so two threads want the body
    /// at once only in a shut-down.
    pub(super) fn poll_task(&self, cx: &mut Context<'_>) -> Poll<()> {
        // If it is gone, it was torn down with its host (L30).
        let Some(mut task) = self.0.try_use_body() else { return Poll::Ready(()) };
        observing::poll(self, || {
            // Torn down while it was being put back: then the job is woken, and comes by here; or is dropped with its host.
            if !self.is_shut_down() {
                if let Poll::Ready(closed) = task.body().poll(self, cx) {
                    self.finish_task(task, closed);
                    return Poll::Ready(());
                }
                // Not if it was torn down during this poll: the thread that did so has left the body to this one.
                let Some(unwanted) = task.put_back() else { return Poll::Pending };
                task = unwanted;
            }
            task.body().abandon(self);
            Poll::Ready(())
        })
    }

    /// Ends a task whose scope is Closed. Out of line: each turn of a task is what comes before.
    #[inline(never)]
    fn finish_task(&self, mut task: BodyGuard<'_, Node>, mut closed: ClosedNode) {
        // Torn down during this poll, before it was closed here: its handle is told that it was cancelled, and the nursery is
        // gone.
        if self.is_shut_down() {
            return task.body().abandon(self);
        }
        let Some(place) = closed.place.take() else { unreachable!("a task has a parent") };
        let status = task.body().finish(&place.parent, self, &mut closed);
        // A value is left to the handle; or dropped, if that is gone, before the nursery sees the end. It may not panic
        // in the runtime's job (R4).
        let has_value = matches!(status, TaskStatus::Finished | TaskStatus::Failed);
        catch_drop(if has_value && self.is_wanted() { task.put_back() } else { Some(task) });
        self.end_task(status, &place);
    }

    /// Returns whether the task has a handle that wants its value.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.flagged(UNWANTED)
    }

    /// Puts the value of a task that has ended into `into`, which is an `Option<Result<T, JoinError>>`, unless it has gone
    /// with the host (L30). For the handle: nobody else uses the body then.
    pub(crate) fn take_value(&self, into: &mut dyn Any) {
        let Some(mut body) = self.0.try_use_body() else { return };
        let has_more = body.body().take(into);
        catch_drop(if has_more { body.put_back() } else { Some(body) });
    }

    /// The handle is gone: drops the value, now or at the end of the task. No lock may be held.
    ///
    /// Model: `races/handover.rs`, `a_result_races_with_the_drop_of_its_handle`.
    pub(crate) fn give_up_value(&self) {
        // Ordering: first the flag, then the look at the outcome, under the lock under which that is set: either it is
        // seen, or whoever sets it sees the flag.
        self.flag(UNWANTED);
        if self.outcome().is_some() || self.forget_joiner() {
            catch_drop(self.0.discard_body());
        }
    }

    /// Drops the body, if nobody is polling it; a body that is being polled is dropped by whoever polls it, as soon
    /// as that poll returns. Of tasks of a runtime only: others have none in their block.
    pub(super) fn abandon_body(&self) {
        self.0.discard_body().into_iter().for_each(|mut task| task.body().abandon(self));
    }

    /// Polls for the end of the task. If it has not ended, the code that polls this is woken when it has. One waker
    /// is kept: a task has one handle. A root is polled by its tree's [sentinel](super::shared::Job::sentinel).
    ///
    /// Models: `races/scopes.rs`, `a_cancel_races_with_the_completion`; `races/local.rs`,
    /// `the_end_of_a_child_races_with_whoever_awaits_it`.
    pub(crate) fn poll_outcome(&self, cx: &Context<'_>) -> Poll<()> {
        if self.outcome().is_some() {
            return Poll::Ready(());
        }
        // No lock is held while a waker is cloned or dropped (L36).
        let mut waker = Some(cx.waker().clone());
        let mut state = self.lock();
        // Looked at again under the lock under which the outcome is set: so either it is seen here, or the waker is
        // found there.
        let has_ended = self.outcome().is_some();
        if !has_ended {
            std::mem::swap(&mut state.joiner, &mut waker);
        }
        drop(state);
        if has_ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Drops the waker of whoever awaits the task: the handle is gone. Returns whether the task has ended.
    pub(crate) fn forget_joiner(&self) -> bool {
        let mut state = self.lock();
        let joiner = state.joiner.take();
        let has_ended = self.outcome().is_some();
        drop(state);
        drop(joiner);
        has_ended
    }

    /// Ends the task: its scope is Closed, and its value is where its handle finds it. Leaves its place in the nursery, then
    /// tells the handle (L34). No lock may be held.
    pub(crate) fn end_task(&self, status: TaskStatus, place: &Place) {
        // In this order: code that goes on because the nursery has ended finds the outcome; and code that is woken by
        // the handle finds the nursery without this child.
        let joiner = self.set_outcome(status);
        // The handle has gone meanwhile, and may have looked before the outcome was there.
        if !self.is_wanted() {
            catch_drop(self.0.discard_body());
        }
        self.leave(place);
        joiner.into_iter().for_each(|joiner| waking::wake_for(self, || joiner.wake()));
    }

    /// Sets the outcome, unless it is set (by a shut-down, say), and notes which requests came before it. Returns the
    /// waker of whoever awaits it, to be called without the lock.
    pub(super) fn set_outcome(&self, status: TaskStatus) -> Option<Waker> {
        let mut state = self.lock();
        if self.outcome().is_some() {
            return None;
        }
        // Ordering: published with the outcome. The load pairs with `next_request`.
        let requests = self.tree().map_or(0, |tree| tree.requests.load(Ordering::Acquire));
        self.ended_after.store(requests, Ordering::Relaxed);
        self.ended.store(status as u8, Ordering::Release);
        state.joiner.take()
    }

    /// Returns whether the task, which has ended, did so before the code directly in `scope` became cancelled: then
    /// its end was given to code that awaited it there (L14), and is not withheld from it.
    ///
    /// Never in another tree, which counts by itself: there the end is withheld.
    ///
    /// The numbers wrap around: of two that are less than 2^31 requests apart it is known which came first. A task whose
    /// end is longer ago than that counts as one that has ended after.
    pub(crate) fn ended_before(&self, scope: &NodeRef) -> bool {
        // How many requests were made from the end of the task on, up to the one that cancelled. Ordering: `ended_after`
        // was published with the outcome, which the caller has seen, and `cancelled_by` with the flag.
        let cancelled_by = scope.cancelled_by.load(Ordering::Acquire);
        let is_same_tree = self.tree().zip(scope.tree()).is_some_and(|(here, there)| std::ptr::eq(&**here, &**there));
        let since = cancelled_by.wrapping_sub(self.ended_after.load(Ordering::Relaxed));
        is_same_tree && cancelled_by != 0 && (1..=u32::MAX / 2).contains(&since)
    }

    /// Records the outcome of a scope that was closed by a reaper (L29), inside the drop of its future, or with its
    /// host (L30): its errors have no caller, its handle gets no value. No lock may be held.
    ///
    /// Model: `races/local.rs`, `the_loss_of_a_child_races_with_whoever_awaits_it`.
    pub(super) fn orphaned(&self) {
        (self.on_orphaned)(self);
        if self.kind != Kind::Task {
            return;
        }
        let joiner = self.set_outcome(TaskStatus::Cancelled);
        joiner.into_iter().for_each(|joiner| waking::wake_for(self, || joiner.wake()));
        if !self.flagged(LOCAL) {
            observing::ended(self);
        }
    }
}
