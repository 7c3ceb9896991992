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
use crate::observer::{OrphanKind, TaskStatus};
use crate::reason::Origin;
use crate::sys::{Mutex, MutexGuard};
use crate::tree::drive::{Closed, Driver, Step, discard, drop_payload, drop_quietly, poll_open};
use crate::tree::follow;
use crate::tree::job::Job;
use crate::tree::links::Role;
use crate::tree::marks::Mask;
use crate::tree::node::{Cell, Kind, Node, NodeRef};
use crate::tree::pump::{self, Stage};
use crate::tree::slot::Slot;
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
    // Invariant 2: admission, first marks and link under one lock.
    let mut state = above.lock();
    let Some(place) = state.make_room(&above, role) else {
        drop(state);
        return Err(SpawnError::new(future));
    };
    let cell = TaskCell {
        stage: tree.pumps.as_ref().map(|_| Stage::coming()),
        seat: Mutex::new(Seat { run: Run::Fresh(Box::pin(Slot::Future { future })), waker: None }),
        join: Join::default(),
        nursery,
        target,
    };
    let node = Node::placed(place, Kind::Task, Mask::None, origin, tree, cell);
    let child: NodeRef = node.clone();
    let late = state.admit(role, child.clone());
    drop(state);
    child.hard_time_may_be_over();
    if late {
        wake::wake(&above);
    }
    before(&child);
    let Some(tree) = child.tree() else { unreachable!("it was made with one") };
    follow::spawned(tree, &child);
    match &node.cell.stage {
        Some(stage) => {
            lock(&node.cell.seat).waker = Some(Waker::from(node.clone()));
            stage.placed();
            pump::queue(&child, child.clone());
        }
        None => tree.runtime.spawn(Job::task(child.clone())),
    }
    Ok(Task::new(node))
}

/// The typed part of a task's node.
struct TaskCell<T, E, R, F> {
    /// If pumps drive it.
    stage: Option<Stage>,
    seat: Mutex<Seat<T, E, R, F>>,
    join: Join<T>,
    /// Where it was born.
    nursery: Arc<Node<NurseryCell<E>>>,
    /// Where it may have moved.
    target: Option<Arc<Node<NurseryCell<E>>>>,
}

/// What whoever polls the task takes out meanwhile.
struct Seat<T, E, R, F> {
    run: Run<T, E, R, F>,
    /// The task's own waker, if pumps drive it. Invariant: it goes when the task is over, and with it the circle that it closes.
    waker: Option<Waker>,
}

/// Where a task's future and result are.
enum Run<T, E, R, F> {
    /// Never polled.
    Fresh(Pin<Box<Slot<F, R>>>),
    /// Waiting to be polled again.
    Idle(Pin<Box<Slot<F, R>>>),
    /// Taken out by whoever polls it.
    Polled,
    /// The body is over; with its result, unless it was dropped.
    Settled(Option<Result<T, E>>),
    /// Nothing is left.
    Over,
}

impl<T, E, R, F> Seat<T, E, R, F> {
    fn replace(&mut self, run: Run<T, E, R, F>) -> Self {
        Seat { run: std::mem::replace(&mut self.run, run), waker: self.waker.take() }
    }
}

impl<T, E, R, F> Cell for TaskCell<T, E, R, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn run(&self, node: &NodeRef, cx: &mut Context<'_>) -> Poll<()> {
        let run = lock(&self.seat).replace(Run::Polled).run;
        self.poll(&mut Some(node.clone()), run, Poller::Host(cx.waker()))
    }

    fn turn(&self, node: &NodeRef) -> Poll<()> {
        let mut held = lock(&self.seat);
        let Some(waker) = held.waker.take() else {
            // Razed between two turns (L30).
            return Poll::Ready(());
        };
        let run = std::mem::replace(&mut held.run, Run::Polled);
        drop(held);
        self.poll(&mut Some(node.clone()), run, Poller::Pumps(waker))
    }

    fn wakes(&self) -> bool {
        self.stage.is_some()
    }

    fn wake(&self, node: &NodeRef) {
        pump::wake(node);
    }

    fn stage(&self) -> Option<&Stage> {
        self.stage.as_ref()
    }

    fn seize(&self) -> Option<Box<dyn Send>> {
        let mut seat = lock(&self.seat);
        match seat.run {
            Run::Fresh(_) | Run::Idle(_) => {
                let seized = seat.replace(Run::Over);
                drop(seat);
                Some(Box::new(seized))
            }
            Run::Polled => {
                seat.run = Run::Over;
                None
            }
            Run::Settled(_) | Run::Over => None,
        }
    }

    fn status(&self) -> Option<TaskStatus> {
        self.join.status()
    }

    fn orphaned(&self, node: &NodeRef) {
        let seat = lock(&self.seat).replace(Run::Over);
        match seat.run {
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

/// Who polls a task.
enum Poller<'a> {
    /// The runtime, whose job it is.
    Host(&'a Waker),
    /// Pumps, with the task's own waker.
    Pumps(Waker),
}

impl Poller<'_> {
    fn waker(&self) -> &Waker {
        match self {
            Poller::Host(waker) => waker,
            Poller::Pumps(waker) => waker,
        }
    }

    /// For the task's seat.
    fn into_own(self) -> Option<Waker> {
        match self {
            Poller::Host(_) => None,
            Poller::Pumps(waker) => Some(waker),
        }
    }
}

impl<T, E, R, F> TaskCell<T, E, R, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    /// Goes on with what was taken out of the seat. `seat` holds the task's node before and after.
    fn poll(&self, seat: &mut Option<NodeRef>, run: Run<T, E, R, F>, poller: Poller<'_>) -> Poll<()> {
        let (mut body, fresh) = match run {
            Run::Fresh(body) => (body, true),
            Run::Idle(body) => (body, false),
            Run::Settled(result) => return self.wind(seat, result, poller),
            Run::Polled => unreachable!("a task is polled by one thread at a time"),
            Run::Over => {
                lock(&self.seat).run = Run::Over;
                return Poll::Ready(());
            }
        };
        let Some(node) = seat.as_ref() else { unreachable!("a task has its node between polls") };
        let step = if fresh && node.tree().is_some_and(|tree| node.is_cancelled(tree)) {
            // L13: dropped unpolled.
            discard(node, body.as_mut());
            Step::Gone
        } else {
            poll_open(seat, body.as_mut(), &mut Context::from_waker(poller.waker()))
        };
        let result = match step {
            Step::Pending => return self.pause(seat, body, poller),
            Step::Gone => None,
            Step::Ready => body.as_mut().take().map(Outcome::into_result),
        };
        drop(body);
        self.wind(seat, result, poller)
    }

    /// To be polled again.
    fn pause(&self, seat: &Option<NodeRef>, mut body: Pin<Box<Slot<F, R>>>, poller: Poller<'_>) -> Poll<()> {
        let mut held = lock(&self.seat);
        if matches!(held.run, Run::Over) {
            // Razed while it was being polled (L30): what the poll left is dropped in its place.
            drop(held);
            let Some(node) = seat else { unreachable!("a task has its node between polls") };
            discard(node, body.as_mut());
            return Poll::Ready(());
        }
        *held = Seat { run: Run::Idle(body), waker: poller.into_own() };
        Poll::Pending
    }

    /// The body is over.
    fn wind(&self, seat: &Option<NodeRef>, result: Option<Result<T, E>>, poller: Poller<'_>) -> Poll<()> {
        let Some(node) = seat else { unreachable!("a task has its node between polls") };
        let closed = node.wind_down(Driver::Own, &mut Context::from_waker(poller.waker()));
        let mut held = lock(&self.seat);
        let razed = matches!(held.run, Run::Over);
        match closed {
            Poll::Pending if !razed => {
                *held = Seat { run: Run::Settled(result), waker: poller.into_own() };
                return Poll::Pending;
            }
            Poll::Ready(closed) if !razed => {
                held.run = Run::Over;
                drop(held);
                self.finish(node, closed, result);
            }
            closed => {
                // Razed while it was being polled (L30): nobody is there for what is left.
                drop(held);
                drop_quietly(result);
                if let Poll::Ready(closed) = closed {
                    drop_payload(closed.panic);
                }
            }
        }
        Poll::Ready(())
    }

    /// The task's scope is Closed: its nursery gets what there is to record, then its handle resolves (L31, L33, L34).
    fn finish(&self, node: &NodeRef, mut closed: Closed, result: Option<Result<T, E>>) {
        let stood = closed.stood.take();
        let above = stood.as_ref().map_or(node, |stood| &stood.parent);
        let nursery = match &self.target {
            Some(target) if target.is(above) => target,
            _ => &self.nursery,
        };
        let outcome = nursery.cell.child_ended(above, node, closed, result);
        let waiter = self.join.set(outcome);
        node.leave(stood);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// Its own waker where pumps drive it, so that waking it needs no allocation.
impl<T, E, R, F> Wake for Node<TaskCell<T, E, R, F>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        if self.cell.stage.as_ref().is_some_and(Stage::wake) {
            pump::queue(&*self, self.clone());
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.cell.stage.as_ref().is_some_and(Stage::wake) {
            pump::queue(&**self, self.clone());
        }
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

    fn node(&self) -> &Node {
        self
    }

    fn into_node(self: Arc<Self>) -> NodeRef {
        self
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
