//! A child that runs on the executor: its future, its result and its node in the tree.

use std::fmt::Debug;
use std::future::Future;
use std::task::{Context, Poll, Waker};

use super::body::ChildBody;
use super::cell::{NurseryCell, Recorded};
use super::handle::{CUT_OFF, Kept, Task, ended_as, leave};
use super::outcome::Outcome;
use crate::error::SpawnError;
use crate::observer::{OrphanKind, TaskStatus};
use crate::raw::{Held, Stage, Standing};
use crate::reason::Origin;
use crate::tree::closing::Closed;
use crate::tree::drive::discard;
use crate::tree::flags::TIMED;
use crate::tree::follow;
use crate::tree::job::Job;
use crate::tree::links::Role;
use crate::tree::marks::Mask;
use crate::tree::node::{Cell, Giver, Kind, Node, NodeRef, Typed};
use crate::tree::pump::{self, Turn};
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
    let cell = TaskCell {
        is_pumped: tree.pumps.is_some(),
        body: Standing::coming(ChildBody::new(future)),
        nursery: nursery.clone(),
        target,
    };
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
    if child.cell().is_pumped {
        child.cell().body.stage().placed();
        pump::queue(&tree, child.into_block());
    } else {
        tree.runtime.spawn(Job::task(child.into_block()));
    }
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
    /// Pumps drive it.
    is_pumped: bool,
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
        match self.poll(node, self.body.hold(), Some(cx.waker())) {
            Turn::Over => Poll::Ready(()),
            Turn::Waits | Turn::Again => Poll::Pending,
        }
    }

    fn turn(&self, node: &NodeRef) -> Turn {
        self.poll(node, self.body.begin_turn(), None)
    }

    fn wakes(&self) -> bool {
        self.is_pumped
    }

    fn wake(&self, node: &NodeRef) {
        if self.body.stage().wake() {
            if let Some(tree) = node.tree() {
                pump::queue(&tree, node.clone());
            }
        }
    }

    fn stage(&self) -> Option<&Stage> {
        self.is_pumped.then(|| self.body.stage())
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
    /// One poll. Without a waker of the host's it is a turn, and the waker is the task's own.
    #[inline]
    fn poll(&self, node: &NodeRef, held: Option<HeldBody<'_, T, E, F>>, host: Option<&Waker>) -> Turn {
        // If not, it was razed (L30).
        let Some(held) = held else { return Turn::Over };
        let Some(tree) = self.nursery.tree() else { unreachable!("a task is spawned in a tree") };
        // Not given back before the poll was told to be over: then another thread may begin the next one.
        let Some(held) = follow::turn(&tree, node, || self.poll_held(node, held, host)) else { return Turn::Over };
        let put_back = if host.is_some() { held.put_back().map(|()| false) } else { held.end_turn() };
        match put_back {
            Ok(true) => Turn::Again,
            Ok(false) => Turn::Waits,
            Err(mut held) => {
                let mut body = held.parts().0;
                discard(node, body.as_mut());
                unheard(node, body.take());
                Turn::Over
            }
        }
    }

    /// Gives the body back, unless it is over.
    #[inline]
    fn poll_held<'a>(
        &self,
        node: &NodeRef,
        mut held: HeldBody<'a, T, E, F>,
        host: Option<&Waker>,
    ) -> Option<HeldBody<'a, T, E, F>> {
        let (mut body, own) = held.parts();
        let own = own.waker();
        let turn = body.as_mut().turn(node, &mut Context::from_waker(host.unwrap_or(&own)));
        let Poll::Ready(closed) = turn else { return Some(held) };
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
        leave(end, |node| node, nursery.cell().child_ended(above, node, closed, result), stood);
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
