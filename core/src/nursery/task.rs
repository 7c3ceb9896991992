//! A child that runs on the executor: its future, its result and its node in the tree.

use std::fmt::Debug;
use std::future::Future;
use std::task::{Context, Poll};

use super::body::ChildBody;
use super::cell::{NurseryCell, Recorded};
use super::handle::{CUT_OFF, Kept, Task, ended_as, leave};
use super::outcome::Outcome;
use crate::error::SpawnError;
use crate::observer::{OrphanKind, TaskStatus};
use crate::raw::{Held, Standing};
use crate::reason::Origin;
use crate::tree::closing::Closed;
use crate::tree::drive::discard;
use crate::tree::flags::TIMED;
use crate::tree::follow;
use crate::tree::job::Job;
use crate::tree::links::Role;
use crate::tree::marks::Mask;
use crate::tree::node::{Cell, Giver, Kind, Node, NodeRef, Typed};
use crate::tree::quiet::{drop_payload, drop_quietly};
use crate::tree::wake;

/// Spawns `future` below `nursery`.
///
/// With `target` it is a child that may move there (see `start`). `before` is called with the new child before it can run.
pub(crate) fn spawn_with<T, E, F>(
    nursery: &Typed<NurseryCell<E>>,
    target: Option<Typed<NurseryCell<E>>>,
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
    let Some(tree) = nursery.tree() else { return Err(SpawnError::new(future)) };
    // Invariant 2: admission, first marks and link under one lock.
    let mut state = nursery.lock();
    if !state.admits() {
        drop(state);
        return Err(SpawnError::new(future));
    }
    let place = state.place_uncounted(nursery, role);
    let cell = TaskCell { body: Standing::coming(ChildBody::new(future)), nursery: nursery.clone(), target };
    let node = Node::placed(place, Kind::Task, Mask::None, origin, None, cell);
    let ([linked, child], end) = Standing::stand(node, |cell| &cell.body);
    let late = state.admit(role, linked.into_block());
    drop(state);
    if child.flagged(TIMED) {
        child.hard_time_may_be_over();
    }
    if late {
        wake::wake(nursery);
    }
    before(&child);
    follow::spawned(&tree, &child);
    tree.runtime.spawn(Job::task(child.into_block()));
    Ok(Task::new(end))
}

/// The typed part of a task's node.
///
/// Its body stands in the same block. So a handle that is kept keeps the memory of a future that was dropped long ago, as elsewhere;
/// the other way, a block for each, would cost every child what few of them gain.
struct TaskCell<T, E, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    F: Future<Output: Outcome<T, E>> + Send + 'static,
{
    body: Standing<Node, dyn Cell, ChildBody<F, Result<T, E>>, Kept<T>>,
    /// Where it was born.
    nursery: Typed<NurseryCell<E>>,
    /// Where it may have moved.
    target: Option<Typed<NurseryCell<E>>>,
}

/// Its body, by whoever polls it.
type HeldBody<'a, T, E, F> = Held<'a, Node, dyn Cell, ChildBody<F, Result<T, E>>, Kept<T>>;

impl<T, E, F> Cell for TaskCell<T, E, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    F: Future<Output: Outcome<T, E>> + Send + 'static,
{
    fn run(&self, node: &NodeRef, cx: &mut Context<'_>) -> Poll<()> {
        // If not, it was razed (L30).
        let Some(held) = self.body.hold() else { return Poll::Ready(()) };
        let Some(tree) = self.nursery.tree() else { unreachable!("a task is spawned in a tree") };
        // Not given back before the poll was told to be over: then another thread may begin the next one.
        let Some(held) = follow::turn(&tree, node, || self.poll_held(node, held, cx)) else { return Poll::Ready(()) };
        match held.put_back() {
            Ok(()) => Poll::Pending,
            Err(mut held) => {
                let mut body = held.parts().0;
                discard(node, body.as_mut());
                unheard(node, body.take());
                Poll::Ready(())
            }
        }
    }

    fn cut(&self, node: &NodeRef) {
        if let Some(mut held) = self.body.seize() {
            let mut body = held.parts().0;
            body.as_mut().drop_future();
            unheard(node, body.take());
        }
    }

    fn home(&self) -> Option<&NodeRef> {
        Some(&self.nursery)
    }

    fn status(&self) -> Option<TaskStatus> {
        self.body.left().note().map(ended_as)
    }

    fn orphaned(&self, node: &NodeRef) {
        if let Some(waiter) = self.body.left().deny(CUT_OFF) {
            waiter.wake();
        }
        follow::ended(node);
    }
}

impl<T, E, F> TaskCell<T, E, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    F: Future<Output: Outcome<T, E>> + Send + 'static,
{
    /// Gives the body back, unless it is over.
    #[inline]
    fn poll_held<'a>(
        &self,
        node: &NodeRef,
        mut held: HeldBody<'a, T, E, F>,
        cx: &mut Context<'_>,
    ) -> Option<HeldBody<'a, T, E, F>> {
        let mut body = held.parts().0;
        let Poll::Ready(closed) = body.as_mut().turn(node, cx) else { return Some(held) };
        let result = body.take();
        let (seized, end) = held.end();
        if seized {
            unheard(node, result);
            drop_payload(closed.panic);
        } else {
            self.finish(node, closed, result, end);
        }
        None
    }

    /// The task's scope is Closed: its nursery gets what there is to record, then its handle resolves (L31, L33, L34).
    #[inline(never)]
    fn finish(&self, node: &NodeRef, mut closed: Closed, result: Option<Result<T, E>>, end: Giver<Kept<T>>) {
        let stood = closed.stood.take();
        let above = stood.as_ref().map_or(node, |stood| stood.parent(node));
        let nursery = match &self.target {
            Some(target) if target.is(above) => target,
            _ => &self.nursery,
        };
        let outcome = nursery.cell().child_ended(above, node, closed, result);
        if let Some(tree) = node.tree() {
            node.note_end(&tree);
        }
        leave(end, |node| node, outcome, stood);
    }
}

/// The result of a task that was lost or razed, maybe while it was being polled (L30): nobody is there for it.
fn unheard<T, E: Debug>(node: &NodeRef, result: Option<Result<T, E>>) {
    match result {
        Some(Err(error)) => {
            let recorded = Recorded { error, child: Some(node.origin.clone()) };
            NurseryCell::report(node, [recorded], OrphanKind::Reaped);
        }
        result => drop_quietly(result),
    }
}
