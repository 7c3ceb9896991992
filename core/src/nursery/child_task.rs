//! A child that runs on the executor: its future, and what becomes of its result.

use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::body::{ChildBody, child_body, has_value, poll_child, take_result};
use super::errors::{NurseryErrors, Recorded, errors_of};
use super::outcome::Outcome;
use super::task::{SlotRef, Task, status_of};
use crate::errors::{JoinError, SpawnError};
use crate::events::{OrphanKind, TaskStatus};
use crate::raw::Erase;
use crate::reason::Origin;
use crate::tree::Job;
use crate::tree::children::Role;
use crate::tree::closing::ClosedNode;
use crate::tree::current;
use crate::tree::node::NodeRef;
use crate::tree::observing;
use crate::tree::panic::{catch_drop, drop_payload};
use crate::tree::task::RunTask;

/// Spawns `future` below the nursery `above`.
///
/// `before` is called with the new child before it can run.
pub(crate) fn spawn_with<T, E, F>(
    above: &NodeRef,
    origin: Origin,
    role: Role,
    future: F,
    before: impl FnOnce(&NodeRef),
) -> Result<Task<T>, SpawnError<F>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    F: Future<Output: Outcome<T, E>> + Send + 'static,
{
    let Some(tree) = above.tree() else { return Err(SpawnError::new(future)) };
    // Invariant 2: admission, first marks and link under one lock.
    let mut state = above.lock();
    if !state.admits() {
        drop(state);
        return Err(SpawnError::new(future));
    }
    let child = ChildTask::<T, E, F> { body: child_body(future) };
    let [listed, polled, node] = NodeRef::task(state.attachment(above, role), origin, child);
    let late = state.admit(role, listed);
    drop(state);
    node.hard_time_may_be_over();
    if late {
        above.wake_driver();
    }
    before(&node);
    observing::spawned(&node);
    tree.runtime.spawn(Job::task(polled));
    Ok(Task::new(node, SlotRef::in_block()))
}

pin_project! {
    /// The body of a task.
    struct ChildTask<T, E, F> {
        #[pin]
        body: ChildBody<F, T, E>,
    }
}

impl<T, E, F> Erase<dyn RunTask> for ChildTask<T, E, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    F: Future<Output: Outcome<T, E>> + Send + 'static,
{
    fn erase(self: Pin<&mut Self>) -> Pin<&mut (dyn RunTask + 'static)> {
        self
    }
}

impl<T, E, F> RunTask for ChildTask<T, E, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    F: Future<Output: Outcome<T, E>> + Send,
{
    fn poll(self: Pin<&mut Self>, node: &NodeRef, cx: &mut Context<'_>) -> Poll<ClosedNode> {
        poll_child(self.project().body, node, cx)
    }

    fn finish(self: Pin<&mut Self>, above: &NodeRef, node: &NodeRef, closed: &mut ClosedNode) -> TaskStatus {
        let mut body = self.project().body;
        if closed.panic.is_none() && has_value(&body) {
            return TaskStatus::Finished;
        }
        let output = body.as_mut().take();
        let ended = errors_of::<E>(above).child_ended(above, node, closed, output, || node.is_wanted());
        let status = status_of(&ended);
        if let Err(error) = ended {
            body.put(error);
        }
        status
    }

    fn take(self: Pin<&mut Self>, into: &mut dyn Any) -> bool {
        let Some(into) = into.downcast_mut::<Option<Result<T, JoinError>>>() else {
            unreachable!("a handle has the type of its task's value")
        };
        let mut body = self.project().body;
        let error = body.as_mut().take_value();
        *into = match &error {
            Some(error) => Some(Err(error.clone())),
            None => body.as_mut().take().and_then(Result::ok).map(Ok),
        };
        let Some(error) = error else { return false };
        body.put(error);
        true
    }

    fn abandon(self: Pin<&mut Self>, node: &NodeRef) {
        let mut body = self.project().body;
        let mut result = None;
        let dropped = current::enter(node, || {
            result = take_result(body.as_mut());
            body.empty();
        });
        drop_payload(dropped.err());
        report_unheard(node, result);
    }
}

/// The result of a task that was abandoned or shut down, maybe while it was being polled (L30): nobody is there for it.
fn report_unheard<T, E: Debug>(node: &NodeRef, result: Option<Result<T, E>>) {
    match result {
        Some(Err(error)) => {
            let recorded = Recorded { error, child: Some(node.origin.clone()) };
            NurseryErrors::report(node, [recorded], OrphanKind::Reaped);
        }
        result => catch_drop(result),
    }
}
