//! A child that runs on the executor: its future, and what becomes of its result.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Nursery;
use super::body::ChildBody;
use super::errors::{NurseryErrors, Recorded};
use super::handle::{Task, ValueSlot, leave};
use super::outcome::Outcome;
use crate::error::SpawnError;
use crate::observer::OrphanKind;
use crate::reason::Origin;
use crate::tree::children::Role;
use crate::tree::closing::Closed;
use crate::tree::current;
use crate::tree::flags::TIMED;
use crate::tree::job::Job;
use crate::tree::node::NodeRef;
use crate::tree::observing;
use crate::tree::panic::{catch_drop, drop_payload};
use crate::tree::task::{RunTask, TaskBody};
use crate::tree::wake;

/// Spawns `future` below `nursery`.
///
/// With `target` it is a child that may move there (see `start`). `before` is called with the new child before it can run.
pub(crate) fn spawn_with<T, E, F>(
    nursery: &Nursery<E>,
    target: Option<Nursery<E>>,
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
    let above = &nursery.node;
    let Some(tree) = above.tree() else { return Err(SpawnError::new(future)) };
    // Invariant 2: admission, first marks and link under one lock.
    let mut state = above.lock();
    if !state.admits() {
        drop(state);
        return Err(SpawnError::new(future));
    }
    let slot = ValueSlot::new();
    let errors = nursery.errors.clone();
    let child = Box::pin(ChildTask { body: ChildBody::new(future), slot: slot.clone(), errors, target });
    let node = NodeRef::task(state.attachment(above, role), origin, tree.clone(), TaskBody::Here(child));
    let late = state.admit(role, node.clone());
    drop(state);
    if node.flagged(TIMED) {
        node.hard_time_may_be_over();
    }
    if late {
        wake::wake(above);
    }
    before(&node);
    observing::spawned(tree, &node);
    tree.runtime.spawn(Job::task(node.clone()));
    Ok(Task::new(node, slot))
}

pin_project! {
    /// The body of a task.
    struct ChildTask<T, E, F> {
        #[pin]
        body: ChildBody<F, Result<T, E>>,
        slot: Arc<ValueSlot<T>>,
        // Of the nursery that it was born in.
        errors: Arc<NurseryErrors<E>>,
        // Where it may have moved.
        target: Option<Nursery<E>>,
    }
}

impl<T, E, F> RunTask for ChildTask<T, E, F>
where
    T: Send,
    E: Debug + Send,
    F: Future<Output: Outcome<T, E>> + Send,
{
    fn poll(self: Pin<&mut Self>, node: &NodeRef, cx: &mut Context<'_>) -> Poll<Closed> {
        self.project().body.turn(node, cx)
    }

    fn finish(self: Pin<&mut Self>, node: &NodeRef, mut closed: Closed) {
        let this = self.project();
        let linked = closed.linked.take();
        let above = linked.as_ref().map_or(node, |linked| &linked.parent);
        let errors = match this.target {
            Some(target) if target.node.is(above) => &target.errors,
            _ => this.errors,
        };
        let result = errors.child_ended(above, node, closed, this.body.take(), this.slot.is_wanted());
        leave(node, this.slot, result, linked);
    }

    fn abandon(self: Pin<&mut Self>, node: &NodeRef) {
        let mut body = self.project().body;
        let dropped = current::enter(node, || body.as_mut().drop_future());
        drop_payload(dropped.err());
        report_unheard(node, body.take());
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
