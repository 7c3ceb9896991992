//! A child that runs on the executor: its future, its result and its node in the tree.

use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::cell::{NurseryCell, Recorded};
use super::outcome::Outcome;
use crate::checkpoint::Gate;
use crate::error::{JoinError, SpawnError};
use crate::observer::OrphanKind;
use crate::reason::{Origin, Reason};
use crate::tree::ambient::Frame;
use crate::tree::drive::{Closed, Step, discard, poll_open};
use crate::tree::job::Job;
use crate::tree::links::Role;
use crate::tree::marks::Mask;
use crate::tree::node::{CANCELLED, Cell, Kind, Node, NodeRef, TIMED};
use crate::tree::scoped::Slot;
use crate::tree::wake::Wakes;

/// Spawns `future` below `nursery`.
pub(crate) fn spawn<T, E, R, F>(
    nursery: Arc<Node<NurseryCell<E>>>,
    origin: Origin,
    daemon: bool,
    future: F,
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
    let cell = TaskCell { run: Mutex::new(Run::Unset), join: Mutex::default(), nursery: Mutex::new(nursery) };
    let node = Node::new(Kind::Task, Mask::None, origin, Some(tree), cell);
    let child: NodeRef = node.clone();
    let role = if daemon { Role::Daemon } else { Role::Child };
    // Invariant 2: admission, link and first marks under one lock.
    let mut state = above.lock();
    if !state.admits() {
        drop(state);
        return Err(SpawnError::new(future));
    }
    let slot = state.links.insert(role, child.clone());
    let marks = state.marks();
    let (cancelled, timed) = (above.flagged(CANCELLED), above.flagged(TIMED));
    drop(state);
    child.settle_below(above, role, slot, marks, cancelled, timed);

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
    let task = Task { node: child.clone(), join: node, gate: Gate::new(), waiter: None };
    runtime.spawn(Job::task(child));
    Ok(task)
}

/// The typed part of a task's node.
struct TaskCell<T, E, R, F> {
    run: Mutex<Run<T, E, R, F>>,
    join: Mutex<Join<T>>,
    nursery: Mutex<Arc<Node<NurseryCell<E>>>>,
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
            let step = if !started && node.tree.as_ref().is_some_and(|tree| node.is_cancelled(tree)) {
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
        if let Run::Settled(Some(Err(error))) = run {
            let recorded = Recorded { error, child: Some(node.origin()) };
            NurseryCell::report(node, [recorded], OrphanKind::Reaped);
        }
        self.publish(Err(JoinError::Cancelled));
    }
}

impl<T, E, R, F> TaskCell<T, E, R, F>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
{
    /// The task's scope is Closed: its nursery gets what there is to record, then its handle resolves (L31, L33, L34).
    fn finish(&self, node: &NodeRef, closed: Closed) {
        let nursery = lock(&self.nursery).clone();
        let above: NodeRef = nursery.clone();
        let result = match std::mem::replace(&mut *lock(&self.run), Run::Over) {
            Run::Settled(result) => result,
            _ => None,
        };
        let outcome = match (closed.panic, result) {
            (Some(payload), result) => {
                if let Some(Err(error)) = result {
                    let recorded = Recorded { error, child: Some(node.origin()) };
                    NurseryCell::report(node, [recorded], OrphanKind::Panicked);
                }
                above.panicked(payload);
                Err(JoinError::Panicked)
            }
            (None, Some(Ok(value))) => Ok(value),
            (None, Some(Err(error))) => {
                nursery.cell.record(&above, error, Some(node.origin()));
                Err(JoinError::Failed)
            }
            (None, None) => {
                let mut state = node.lock();
                let daemon = state.role == Role::Daemon;
                let own = state.request.is_some();
                state.waits_for = None;
                drop(state);
                if !daemon && !own {
                    above.lock().cut = true;
                }
                Err(JoinError::Cancelled)
            }
        };
        let wakes = self.set_outcome(outcome);
        node.unlink();
        wakes.wake();
    }

    fn publish(&self, outcome: Result<T, JoinError>) {
        self.set_outcome(outcome).wake();
    }

    fn set_outcome(&self, outcome: Result<T, JoinError>) -> Wakes {
        let mut wakes = Wakes::default();
        let mut join = lock(&self.join);
        let refused = match join.outcome {
            Slotted::Empty => {
                join.outcome = match outcome {
                    Ok(value) => Slotted::Value(value),
                    Err(error) => Slotted::Error(error),
                };
                None
            }
            _ => Some(outcome),
        };
        for waker in join.waiters.drain() {
            wakes.push(waker);
        }
        drop(join);
        drop(refused);
        wakes
    }
}

/// The result of a task, for its handle.
struct Join<T> {
    outcome: Slotted<T>,
    waiters: Slab<Waker>,
}

enum Slotted<T> {
    /// The task has not ended.
    Empty,
    Value(T),
    /// The value was taken.
    Taken,
    Error(JoinError),
}

impl<T> Default for Join<T> {
    fn default() -> Self {
        Join { outcome: Slotted::Empty, waiters: Slab::new() }
    }
}

impl<T> Join<T> {
    /// The value, once; an error any number of times.
    fn take(&mut self) -> Option<Result<T, JoinError>> {
        match std::mem::replace(&mut self.outcome, Slotted::Taken) {
            Slotted::Empty => {
                self.outcome = Slotted::Empty;
                None
            }
            Slotted::Value(value) => Some(Ok(value)),
            Slotted::Error(error) => {
                self.outcome = Slotted::Error(error);
                Some(Err(error))
            }
            Slotted::Taken => panic!("the value of this task was taken before"),
        }
    }

    fn status(&self) -> Option<TaskStatus> {
        Some(match &self.outcome {
            Slotted::Empty => return None,
            Slotted::Value(_) | Slotted::Taken => TaskStatus::Finished,
            Slotted::Error(JoinError::Cancelled) => TaskStatus::Cancelled,
            Slotted::Error(JoinError::Failed) => TaskStatus::Failed,
            Slotted::Error(JoinError::Panicked) => TaskStatus::Panicked,
        })
    }
}

/// A node with a result for a handle.
trait Joined<T>: Send + Sync {
    fn join(&self) -> &Mutex<Join<T>>;
}

impl<T, E, R, F> Joined<T> for Node<TaskCell<T, E, R, F>>
where
    T: Send + 'static,
    E: Debug + Send + 'static,
    R: Outcome<T, E> + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    fn join(&self) -> &Mutex<Join<T>> {
        &self.cell.join
    }
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskStatus {
    /// It has not ended, and was not asked to.
    Running,
    /// It was asked to stop, by its handle or from further out, and has not ended yet.
    Cancelling,
    /// It has returned a value.
    Finished,
    /// It was cancelled.
    Cancelled,
    /// It has returned an error, which its nursery has.
    Failed,
    /// It has panicked.
    Panicked,
}

/// A handle to a child of a nursery: await it for the child's value, or cancel that one child.
///
/// Awaiting gives `Ok(value)`, or a [`JoinError`] that says what happened instead. The error or panic itself is the
/// nursery's. A handle resolves only after the child has ended and its future is dropped (law L34). Dropping the handle neither
/// cancels the child nor hides its error.
///
/// # Cancellation
///
/// *Strict*: the child goes on, and the handle can be awaited again.
///
/// # Panics
///
/// Awaiting panics if the value was taken before.
pub struct Task<T> {
    node: NodeRef,
    join: Arc<dyn Joined<T>>,
    gate: Gate,
    waiter: Option<usize>,
}

impl<T> Task<T> {
    /// Asks this child to stop; its siblings go on, and the nursery does not fail. Says whether that changed anything: not on a
    /// child that has ended or was asked before.
    #[track_caller]
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.node.request(reason.into(), None)
    }

    /// As [`cancel`](Task::cancel), with a grace for [`graceful`](crate::graceful) shields inside it.
    #[track_caller]
    pub fn cancel_within(&self, grace: std::time::Duration, reason: impl Into<Reason>) -> bool {
        self.node.request(reason.into(), Some(grace))
    }

    /// How far the child has come.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        if let Some(status) = lock(self.join.join()).status() {
            return status;
        }
        if self.node.flagged(CANCELLED) { TaskStatus::Cancelling } else { TaskStatus::Running }
    }

    /// Whether the child has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        lock(self.join.join()).status().is_some()
    }

    /// The result, if the child has ended; `None` if not.
    ///
    /// # Panics
    ///
    /// If the value was taken before.
    pub fn try_join(&mut self) -> Option<Result<T, JoinError>> {
        lock(self.join.join()).take()
    }

    /// Waits for the child's end, any number of times, and leaves its value where it is.
    ///
    /// # Cancellation
    ///
    /// *Strict*.
    pub async fn wait(&mut self) -> TaskStatus {
        let mut gate = Gate::new();
        std::future::poll_fn(|cx| {
            if gate.poll_start().is_pending() {
                return Poll::Pending;
            }
            self.poll_ended(cx).map(|()| self.status())
        })
        .await
    }

    /// The name of the child; by default the type name of its future.
    #[must_use]
    pub fn name(&self) -> String {
        self.node.origin().name().to_owned()
    }

    /// Where the child was spawned.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.node.location()
    }

    /// Why the child was asked to stop by its own handle, its nursery's, or because only daemons were left.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.node.lock().request.as_ref().map(|request| request.reason.clone())
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut join = lock(self.join.join());
        if join.status().is_some() {
            self.waiter = None;
            return Poll::Ready(());
        }
        let old = match self.waiter.and_then(|key| join.waiters.get_mut(key)) {
            Some(old) if old.will_wake(cx.waker()) => None,
            Some(old) => Some(std::mem::replace(old, cx.waker().clone())),
            None => {
                self.waiter = Some(join.waiters.insert(cx.waker().clone()));
                None
            }
        };
        drop(join);
        drop(old);
        Poll::Pending
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.gate.poll_start().is_pending() || self.poll_ended(cx).is_pending() {
            return Poll::Pending;
        }
        self.gate = Gate::new();
        match self.try_join() {
            Some(result) => Poll::Ready(result),
            None => unreachable!("a task that has ended has a result"),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let Some(key) = self.waiter else { return };
        let mut join = lock(self.join.join());
        let waker = join.waiters.try_remove(key);
        drop(join);
        drop(waker);
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("origin", &self.node.origin()).field("status", &self.status()).finish()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
