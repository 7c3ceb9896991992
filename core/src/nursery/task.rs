//! A child that runs on the executor: its future, its result and its node in the tree.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::cell::{NurseryCell, Recorded};
use super::handle::{Join, Joined, Task};
use super::outcome::Outcome;
use crate::error::{JoinError, SpawnError};
use crate::observer::OrphanKind;
use crate::reason::Origin;
use crate::sys::{Mutex, MutexGuard};
use crate::tree::drive::{Closed, Step, discard, drop_quietly, poll_open};
use crate::tree::follow;
use crate::tree::job::Job;
use crate::tree::links::Role;
use crate::tree::marks::Mask;
use crate::tree::node::{Cell, Kind, Node, NodeRef};
use crate::tree::pump::{Pumped, Pumps, Stage, lose};
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
    let Some(tree) = above.tree().cloned() else { return Err(SpawnError::new(future)) };
    let fresh = Run::Fresh(Box::new(Slot::Future { future }));
    let stage = tree.pumps.as_ref().map(|_| Stage::coming());
    let cell = TaskCell { stage, run: Mutex::new(fresh), join: Join::default(), nursery, target };
    let node = Node::new(Kind::Task, Mask::None, origin, Some(tree), cell);
    let child: NodeRef = node.clone();
    // Invariant 2: admission, link and first marks under one lock.
    let admitted = above.lock().admit(&above, role, &child);
    let Some((place, late)) = admitted else {
        let future = node.cell.take_back();
        return Err(SpawnError::new(future));
    };
    child.settle(place);
    if late {
        wake::wake(&above);
    }
    before(&child);
    let task = Task::new(child.clone(), node.clone());
    let Some(tree) = child.tree() else { unreachable!("it was made with one") };
    follow::spawned(tree, &child);
    match &tree.pumps {
        None => tree.runtime.spawn(Job::task(child.clone())),
        Some(pumps) => {
            if let Some(stage) = &node.cell.stage {
                stage.placed();
            }
            pumps.push(tree, node);
            lose_if_dropped(pumps, &child);
        }
    }
    Ok(task)
}

/// The typed part of a task's node.
struct TaskCell<T, E, R, F> {
    /// If pumps drive it.
    stage: Option<Stage>,
    run: Mutex<Run<T, E, R, F>>,
    join: Join<T>,
    /// Where it was born.
    nursery: Arc<Node<NurseryCell<E>>>,
    /// Where it may have moved.
    target: Option<Arc<Node<NurseryCell<E>>>>,
}

/// Where a task's future and result are.
enum Run<T, E, R, F> {
    /// Never polled.
    Fresh(Box<Slot<F, R>>),
    /// Waiting to be polled again.
    Idle(Pin<Box<Slot<F, R>>>),
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
        let taken = std::mem::replace(&mut *lock(&self.run), Run::Polled);
        let (mut body, fresh) = match taken {
            Run::Fresh(body) => (Box::into_pin(body), true),
            Run::Idle(body) => (body, false),
            Run::Polled => unreachable!("a job is polled by one thread at a time"),
            Run::Settled(result) => {
                *lock(&self.run) = Run::Settled(result);
                return self.wind(seat, cx);
            }
            Run::Over => {
                *lock(&self.run) = Run::Over;
                return Poll::Ready(());
            }
        };
        let Some(node) = seat.as_ref() else { unreachable!("a job has its node between polls") };
        let step = if fresh && node.tree().is_some_and(|tree| node.is_cancelled(tree)) {
            // L13: dropped unpolled.
            discard(node, body.as_mut());
            Step::Gone
        } else {
            poll_open(seat, body.as_mut(), cx)
        };
        let after = match step {
            Step::Pending => Run::Idle(body),
            Step::Gone => Run::Settled(None),
            Step::Ready => Run::Settled(body.as_mut().take().map(Outcome::into_result)),
        };
        let mut run = lock(&self.run);
        if matches!(*run, Run::Over) {
            // Razed while it was being polled (L30): what the poll left is dropped in its place.
            drop(run);
            let Some(node) = seat.as_ref() else { unreachable!("a job has its node between polls") };
            if let Run::Idle(mut body) = after {
                discard(node, body.as_mut());
            }
            return Poll::Ready(());
        }
        *run = after;
        drop(run);
        if step == Step::Pending { Poll::Pending } else { self.wind(seat, cx) }
    }

    fn stage(&self) -> Option<&Stage> {
        self.stage.as_ref()
    }

    fn seize(&self) -> Option<Box<dyn Send>> {
        let mut run = lock(&self.run);
        match std::mem::replace(&mut *run, Run::Over) {
            Run::Fresh(body) => Some(body),
            Run::Idle(body) => Some(Box::new(body)),
            Run::Settled(result) => {
                *run = Run::Settled(result);
                None
            }
            Run::Polled | Run::Over => None,
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
        if let Some(waiter) = self.join.set(Err(JoinError::Cancelled)) {
            waiter.wake();
        }
        follow::ended(node);
    }
}

impl<T, E, R, F> TaskCell<T, E, R, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
{
    /// The future of a child that was not admitted.
    fn take_back(&self) -> F {
        match std::mem::replace(&mut *lock(&self.run), Run::Over) {
            Run::Fresh(slot) => match *slot {
                Slot::Future { future } => future,
                Slot::Output { .. } | Slot::Empty => unreachable!("never polled"),
            },
            _ => unreachable!("nobody else knows the child"),
        }
    }

    fn wind(&self, seat: &Option<NodeRef>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(node) = seat else { unreachable!("a job has its node between polls") };
        let Poll::Ready(closed) = node.wind_down(cx) else { return Poll::Pending };
        self.finish(node, closed);
        Poll::Ready(())
    }

    /// The task's scope is Closed: its nursery gets what there is to record, then its handle resolves (L31, L33, L34).
    fn finish(&self, node: &NodeRef, mut closed: Closed) {
        let stood = closed.stood.take();
        let above = stood.as_ref().map_or(node, |stood| &stood.parent);
        let nursery = match &self.target {
            Some(target) if target.is(above) => target,
            _ => &self.nursery,
        };
        let result = match std::mem::replace(&mut *lock(&self.run), Run::Over) {
            Run::Settled(result) => result,
            _ => None,
        };
        let outcome = nursery.cell.child_ended(above, node, closed, result);
        let waiter = self.join.set(outcome);
        node.leave(stood);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// Its own waker, so that waking and polling it needs no allocation.
impl<T, E, R, F> Wake for Node<TaskCell<T, E, R, F>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        if self.cell.stage.as_ref().is_some_and(Stage::wake) {
            requeue(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.cell.stage.as_ref().is_some_and(Stage::wake) {
            requeue(self.clone());
        }
    }
}

impl<T, E, R, F> Pumped for Node<TaskCell<T, E, R, F>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn turn(self: Arc<Self>) {
        let Some(stage) = &self.cell.stage else { unreachable!("pumps drive it") };
        if !stage.begin() {
            return;
        }
        let waker = Waker::from(self.clone());
        let node: NodeRef = self.clone();
        let polled = follow::turn(&node, || self.cell.run(&mut Some(node.clone()), &mut Context::from_waker(&waker)));
        if polled.is_ready() {
            stage.over();
        } else if stage.end() {
            requeue(self);
        } else if let Some(pumps) = self.tree().and_then(|tree| tree.pumps.as_ref()) {
            if pumps.are_dropped() {
                let node: NodeRef = self.clone();
                lose_if_dropped(pumps, &node);
            }
        }
    }
}

/// Puts a task that is ready into the queue again.
fn requeue<C: Cell + 'static>(task: Arc<Node<C>>)
where
    Node<C>: Pumped,
{
    let node: NodeRef = task.clone();
    let Some((tree, pumps)) = node.tree().and_then(|tree| Some((tree, tree.pumps.as_ref()?))) else { return };
    pumps.push(tree, task);
    lose_if_dropped(pumps, &node);
}

/// Nobody will come for a task that was put into the queue after the pumps were dropped.
fn lose_if_dropped(pumps: &Pumps, node: &NodeRef) {
    if pumps.are_dropped() && node.cell.stage().is_some_and(Stage::take) {
        lose(node);
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
