//! A child that runs on the executor: its future, its result and its node in the tree.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::cell::{NurseryCell, Recorded};
use super::handle::{Join, Joined, Task};
use super::outcome::Outcome;
use crate::error::{JoinError, SpawnError};
use crate::observer::OrphanKind;
use crate::reason::Origin;
use crate::tree::ambient::Frame;
use crate::tree::drive::{Closed, Step, discard, drop_quietly, poll_open};
use crate::tree::job::Job;
use crate::tree::links::Role;
use crate::tree::marks::Mask;
use crate::tree::node::{Cell, Kind, Node, NodeRef};
use crate::tree::scoped::Slot;
use crate::tree::wake;

/// Spawns `future` below `nursery`.
///
/// With `target` it is a child that may move there (see `start`). `before` is called with the new child before it can run.
pub(crate) fn spawn_with<T, E, R, F>(
    nursery: Arc<Node<NurseryCell<E>>>,
    target: Option<Arc<Node<NurseryCell<E>>>>,
    origin: Origin,
    role: Role,
    future: F,
    before: impl FnOnce(&NodeRef),
) -> Result<Task<T>, SpawnError<F>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let above: NodeRef = nursery.clone();
    let Some(tree) = above.tree() else { return Err(SpawnError::new(future)) };
    let runtime = tree.runtime.clone();
    let cell = TaskCell { run: Mutex::new(Run::Unset), join: Join::default(), nursery, target };
    let node = Node::new(Kind::Task, Mask::None, origin, Some(tree), cell);
    let child: NodeRef = node.clone();
    // Invariant 2: admission, link and first marks under one lock.
    let admitted = above.lock().admit(&above, role, &child);
    let Some((place, late)) = admitted else { return Err(SpawnError::new(future)) };
    child.settle(place);
    if late {
        wake::wake(&above);
    }

    let body = Box::pin(Slot::Future { future });
    let mut run = lock(&node.cell.run);
    let refused = match &*run {
        Run::Unset => {
            *run = Run::Idle { body, started: false };
            None
        }
        // The tree was razed in this moment.
        _ => Some(body),
    };
    drop(run);
    drop(refused);
    before(&child);
    let task = Task::new(child.clone(), node);
    runtime.spawn(Job::task(child));
    Ok(task)
}

/// The typed part of a task's node.
struct TaskCell<T, E, R, F> {
    run: Mutex<Run<T, E, R, F>>,
    join: Join<T>,
    /// Where it was born.
    nursery: Arc<Node<NurseryCell<E>>>,
    /// Where it may have moved.
    target: Option<Arc<Node<NurseryCell<E>>>>,
}

/// Where a task's future and result are.
enum Run<T, E, R, F> {
    /// Not put in yet.
    Unset,
    /// Waiting to be polled.
    Idle { body: Pin<Box<Slot<F, R>>>, started: bool },
    /// Taken out by whoever polls it.
    Polled,
    /// The body is over; with its result, unless it was dropped.
    Settled(Option<Result<T, E>>),
    /// Nothing is left.
    Over,
}

impl<T, E, R, F> Cell for TaskCell<T, E, R, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn run(&self, seat: &mut Option<NodeRef>, cx: &mut Context<'_>) -> Poll<()> {
        let taken = {
            let mut run = lock(&self.run);
            match std::mem::replace(&mut *run, Run::Polled) {
                Run::Idle { body, started } => Some((body, started)),
                Run::Over => {
                    *run = Run::Over;
                    return Poll::Ready(());
                }
                other => {
                    *run = other;
                    None
                }
            }
        };
        if let Some((mut body, started)) = taken {
            let Some(node) = seat.as_ref() else { unreachable!("a job has its node between polls") };
            let step = if !started && node.own_tree().is_some_and(|tree| node.is_cancelled(tree)) {
                // L13: dropped unpolled.
                discard(node, body.as_mut());
                Step::Gone
            } else {
                poll_open(seat, body.as_mut(), cx)
            };
            let Some(node) = seat.as_ref() else { unreachable!("a job has its node between polls") };
            let after = match step {
                Step::Pending => Run::Idle { body, started: true },
                Step::Gone => Run::Settled(None),
                Step::Ready => Run::Settled(body.as_mut().take().map(Outcome::into_result)),
            };
            let mut run = lock(&self.run);
            if matches!(*run, Run::Over) {
                // Razed while it was being polled (L30): what the poll left is dropped in its place.
                drop(run);
                if let Run::Idle { mut body, .. } = after {
                    discard(node, body.as_mut());
                }
                return Poll::Ready(());
            }
            *run = after;
            drop(run);
            if step == Step::Pending {
                return Poll::Pending;
            }
            node.body_over();
        }
        let Some(node) = seat.clone() else { unreachable!("a job has its node between polls") };
        match node.wind_down(|| Frame::node(node.clone()), cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(closed) => {
                self.finish(&node, closed);
                Poll::Ready(())
            }
        }
    }

    fn seize(&self) -> Option<Box<dyn Send>> {
        let mut run = lock(&self.run);
        match std::mem::replace(&mut *run, Run::Over) {
            Run::Idle { body, .. } => Some(Box::new(body)),
            Run::Settled(result) => {
                *run = Run::Settled(result);
                None
            }
            Run::Unset | Run::Polled | Run::Over => None,
        }
    }

    fn orphaned(&self, node: &NodeRef) {
        let run = std::mem::replace(&mut *lock(&self.run), Run::Over);
        match run {
            Run::Settled(Some(Err(error))) => {
                let recorded = Recorded { error, child: Some(node.origin.clone()) };
                NurseryCell::report(node, [recorded], OrphanKind::Reaped);
            }
            run => drop_quietly(run),
        }
        self.join.set(Err(JoinError::Cancelled)).wake();
    }
}

impl<T, E, R, F> TaskCell<T, E, R, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
{
    /// The task's scope is Closed: its nursery gets what there is to record, then its handle resolves (L31, L33, L34).
    fn finish(&self, node: &NodeRef, closed: Closed) {
        let above = node.parent();
        let nursery = match &self.target {
            Some(target) if target.is(&above) => target,
            _ => &self.nursery,
        };
        let result = match std::mem::replace(&mut *lock(&self.run), Run::Over) {
            Run::Settled(result) => result,
            _ => None,
        };
        let outcome = nursery.cell.child_ended(&above, node, closed, result);
        let wakes = self.join.set(outcome);
        node.unlink();
        wakes.wake();
    }
}

impl<T, E, R, F> Joined<T> for Node<TaskCell<T, E, R, F>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn join(&self) -> &Join<T> {
        &self.cell.join
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
