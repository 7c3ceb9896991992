//! Pumps: jobs of the runtime that drive the tasks of one tree, many tasks in few jobs.
//!
//! A task that is a job of its own costs the host an allocation, a place in its queues and a state machine; here it costs a
//! place in the tree's queue, which is first in, first out. A pump takes tasks from it for one turn, then gives way to the
//! host. Whenever a task becomes ready and no pump is on its way, an idle one is woken, or another one is made. So a task
//! that computes for long holds up its thread and never the other tasks, and there are at most as many pumps as ever polled
//! at once, and one to spare.
//!
//! ```text
//!                 Coming                                        0. the task has its place in the tree
//!                    │ 0
//!   Idle ──wake──▶ Queued ──1──▶ Running ──wake──▶ Woken        1. a pump gives the task its turn
//!    ▲               ▲              │ 2              │ 2         2. the turn is over, the task is not
//!    ├───────────────│──────────────┘                │          3. the task has ended, or lost its pumps
//!    │               └───────────────────────────────┘
//!    └──3──▶ Over ◀──3── Queued, Running, Woken
//! ```
//!
//! A runtime that wants to choose among the tasks itself, as the simulator does, gets each as a job of its own: see
//! [`Runtime::parallelism`](crate::runtime::Runtime::parallelism).

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Tree;
use super::follow;
use super::job::Job;
use super::loss;
use super::node::NodeRef;
use crate::sys::atomic::{AtomicBool, AtomicU8, Ordering};
use crate::sys::{Mutex, MutexGuard};

/// How many tasks a pump polls before it gives way to the host.
const TURN: usize = 16;

/// How far a task is from its next turn; see the module's diagram.
pub(crate) struct Stage(AtomicU8);

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const WOKEN: u8 = 3;
const OVER: u8 = 4;
const COMING: u8 = 5;

impl Stage {
    /// Of a task that is about to get its place in the tree. Subtle: whoever comes down the tree may find it before it knows that
    /// place itself; [taken](Stage::take) then, it would not leave it, and its parent would wait for ever.
    pub(crate) fn coming() -> Self {
        Stage(AtomicU8::new(COMING))
    }

    /// The task has its place, and is about to be put into the queue.
    pub(crate) fn placed(&self) {
        // Ordering: see `Pumps::are_dropped`. Not a store: see `wake`.
        self.0.swap(QUEUED, Ordering::SeqCst);
    }

    /// The task was woken. Says whether it has to be put into the queue.
    pub(crate) fn wake(&self) -> bool {
        // Ordering: what was done before the wake is seen by the turn that follows it. Subtle: so also a stage that stays as it is
        // is written; a load alone may see one that is past, and shows nothing to anybody.
        let next = |stage| match stage {
            IDLE => Some(QUEUED),
            RUNNING => Some(WOKEN),
            OVER => None,
            queued => Some(queued),
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE)
    }

    /// A turn begins; not if the task is over.
    pub(crate) fn begin(&self) -> bool {
        self.0.compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The turn is over, the task is not. Says whether it has to be put into the queue again.
    pub(crate) fn end(&self) -> bool {
        // Ordering: see `Pumps::are_dropped`.
        if self.0.compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::Acquire).is_ok() {
            return false;
        }
        // Not a store: see `wake`.
        self.0.swap(QUEUED, Ordering::SeqCst);
        true
    }

    pub(crate) fn over(&self) {
        self.0.store(OVER, Ordering::Release);
    }

    /// Takes the task away from its pumps, unless it is over, or coming, or one is giving it its turn.
    pub(crate) fn take(&self) -> bool {
        // Ordering: see `Pumps::are_dropped`.
        let next = |stage| matches!(stage, IDLE | QUEUED).then_some(OVER);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }
}

/// The queue of a tree, and its pumps.
pub(crate) struct Pumps {
    queue: Mutex<Queue>,
    threads: NonZeroUsize,
    dropped: AtomicBool,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<NodeRef>,
    /// Pumps that have nothing to do, by number.
    idle: Vec<(usize, Waker)>,
    made: usize,
    /// How many pumps are polling.
    busy: usize,
    /// Pumps that were made or woken, or have given way, and have not been polled since.
    coming: Vec<usize>,
    /// The tree has ended, or the runtime is being torn down: nothing is put in any more, and pumps that find nothing end.
    ended: bool,
}

/// What the queue needs, once its lock is free.
enum Call {
    Nobody,
    Wake(Waker),
    Make(usize),
}

impl Queue {
    /// Whether a pump has to come for what is in the queue.
    #[inline]
    fn call(&mut self, threads: NonZeroUsize) -> Call {
        if !self.coming.is_empty() || (threads.get() == 1 && self.busy > 0) { Call::Nobody } else { self.call_one() }
    }

    #[inline(never)]
    fn call_one(&mut self) -> Call {
        match self.idle.pop() {
            Some((number, waker)) => {
                self.coming.push(number);
                Call::Wake(waker)
            }
            None => {
                self.made += 1;
                self.coming.push(self.made);
                Call::Make(self.made)
            }
        }
    }

    /// The task that comes next, for the pump that has taken `mine` before. Takes all, where no other thread could come for them.
    fn take(&mut self, mine: &mut VecDeque<NodeRef>, threads: NonZeroUsize) -> Option<NodeRef> {
        if threads.get() > 1 {
            return self.ready.pop_front();
        }
        std::mem::swap(&mut self.ready, mine);
        mine.pop_front()
    }

    /// The pump is polled.
    fn comes(&mut self, number: usize) -> Option<Waker> {
        self.coming.retain(|coming| *coming != number);
        self.busy += 1;
        // Polled for nothing, it stands there still.
        let place = self.idle.iter().position(|(idle, _)| *idle == number)?;
        Some(self.idle.swap_remove(place).1)
    }
}

impl Call {
    #[inline]
    fn make(self, tree: &Arc<Tree>) {
        match self {
            Call::Nobody => {}
            Call::Wake(waker) => waker.wake(),
            Call::Make(number) => {
                tree.runtime.spawn(Job::pump(Pump { tree: tree.clone(), number, mine: VecDeque::new() }));
            }
        }
    }
}

impl Pumps {
    pub(crate) fn new(threads: NonZeroUsize) -> Self {
        Pumps { queue: Mutex::default(), threads, dropped: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a task into the queue, unless that has ended: nobody would take it out again, and it holds its tree.
    pub(crate) fn push(&self, tree: &Arc<Tree>, task: NodeRef) {
        let mut queue = self.lock();
        if queue.ended {
            drop(queue);
            return lose_if_idle(&task);
        }
        queue.ready.push_back(task);
        let call = queue.call(self.threads);
        drop(queue);
        call.make(tree);
    }

    /// As [`push`](Pumps::push), for many.
    fn push_all(&self, tree: &Arc<Tree>, tasks: Vec<NodeRef>) {
        let mut queue = self.lock();
        if queue.ended {
            drop(queue);
            return tasks.iter().for_each(lose_if_idle);
        }
        queue.ready.extend(tasks);
        let call = queue.call(self.threads);
        drop(queue);
        call.make(tree);
    }

    /// Whether the runtime is being torn down: tasks have no pumps any more.
    ///
    /// Ordering: a pump, or whoever spawns, sets a task's stage, then looks here; `drop_all` sets this, then looks at the stage. All four are
    /// sequentially consistent, so one of the two finds the task and takes it.
    pub(crate) fn are_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    /// The tree has ended, and its tasks.
    pub(crate) fn end(&self) {
        let mut queue = self.lock();
        queue.ended = true;
        let ready = std::mem::take(&mut queue.ready);
        let idle = std::mem::take(&mut queue.idle);
        drop(queue);
        drop(ready);
        for (_, waker) in idle {
            waker.wake();
        }
    }

    /// The runtime has dropped a pump: it is being torn down (R10).
    fn drop_all(&self, tree: &Arc<Tree>) {
        if self.dropped.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut queue = self.lock();
        queue.ended = true;
        let ready = std::mem::take(&mut queue.ready);
        let idle = std::mem::take(&mut queue.idle);
        drop(queue);
        drop((ready, idle));
        for node in tree.root().map(all_below).unwrap_or_default() {
            if node.cell().stage().is_some_and(Stage::take) {
                lose(&node);
            }
        }
    }
}

/// Wakes a task that pumps drive.
pub(crate) fn wake(task: &NodeRef) {
    if task.cell().stage().is_some_and(Stage::wake) {
        queue(task);
    }
}

/// Wakes scopes of one tree through their cells, and puts those that pumps drive into the queue together.
pub(crate) fn wake_all(mut nodes: Vec<NodeRef>) {
    nodes.retain(|node| match node.cell().stage() {
        Some(stage) => stage.wake(),
        None => {
            node.cell().wake(node);
            false
        }
    });
    let Some(tree) = nodes.first().and_then(|node| node.tree().cloned()) else { return };
    if let Some(pumps) = &tree.pumps {
        pumps.push_all(&tree, nodes);
    }
}

/// Puts a task that is ready into its tree's queue.
pub(crate) fn queue(task: &NodeRef) {
    if let Some((tree, pumps)) = task.tree().and_then(|tree| Some((tree, tree.pumps.as_ref()?))) {
        pumps.push(tree, task.clone());
    }
}

/// Gives a task its turn. It comes back if it was woken meanwhile, and has to be put into the queue again.
fn turn(pumps: &Pumps, task: NodeRef) -> Option<NodeRef> {
    let Some(stage) = task.cell().stage() else { unreachable!("pumps drive it") };
    if !stage.begin() {
        return None;
    }
    if follow::turn(&task, || task.cell().turn(&task)).is_ready() {
        stage.over();
        return None;
    }
    if stage.end() {
        return Some(task);
    }
    if pumps.are_dropped() {
        lose_if_idle(&task);
    }
    None
}

/// The pumps were dropped: nobody comes for the task any more, unless one is giving it its turn.
fn lose_if_idle(task: &NodeRef) {
    if task.cell().stage().is_some_and(Stage::take) {
        lose(task);
    }
}

/// A task has no driver any more.
pub(crate) fn lose(node: &NodeRef) {
    loss::driver_lost(node, || node.cell().cut(node));
}

/// All scopes of the tree, those further in first.
fn all_below(root: NodeRef) -> Vec<NodeRef> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(node) = found.get(next).cloned() {
        found.extend(node.lock().links.iter().map(|(_, below)| below.clone()));
        next += 1;
    }
    found.reverse();
    found
}

/// A pump: what its job is made of.
pub(crate) struct Pump {
    tree: Arc<Tree>,
    number: usize,
    /// What it has taken from the queue, all at once, where there is no other thread that could do it meanwhile.
    mine: VecDeque<NodeRef>,
}

impl Pump {
    /// One turn.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Pump { tree, number, mine } = self;
        let Some(pumps) = &tree.pumps else { unreachable!("only a tree with pumps makes one") };
        let mut queue = pumps.lock();
        let old = queue.comes(*number);
        let mut held = Some(queue);
        let mut spare = None;
        for _ in 0..TURN {
            let task = match mine.pop_front() {
                Some(task) => task,
                None => {
                    let mut queue = held.take().unwrap_or_else(|| pumps.lock());
                    if queue.ready.len() > 1 {
                        let call = queue.call(pumps.threads);
                        if !matches!(call, Call::Nobody) {
                            drop(queue);
                            call.make(tree);
                            // Subtle: the host may have put the pump that was called where only this thread can find it (tokio's
                            // LIFO slot). So this one goes to the end of the host's queue, where every thread can take it, and nobody
                            // waits for the task that comes next, however long that holds up its thread.
                            break;
                        }
                    }
                    match queue.take(mine, pumps.threads) {
                        Some(task) => task,
                        None if queue.ended => {
                            queue.busy -= 1;
                            return Poll::Ready(());
                        }
                        None => {
                            let Some(waker) = spare.take() else {
                                // No lock is held while a waker is cloned or dropped (L36).
                                drop(queue);
                                spare = Some(cx.waker().clone());
                                continue;
                            };
                            queue.busy -= 1;
                            queue.idle.push((*number, waker));
                            drop(queue);
                            drop(old);
                            return Poll::Pending;
                        }
                    }
                }
            };
            drop(held.take());
            let again = turn(pumps, task);
            let yields = tree.runtime.should_yield();
            if let Some(task) = again {
                let mut queue = pumps.lock();
                if queue.ended {
                    drop(queue);
                    lose_if_idle(&task);
                } else {
                    queue.ready.push_back(task);
                    held = Some(queue);
                }
            }
            if yields {
                break;
            }
        }
        queue = held.unwrap_or_else(|| pumps.lock());
        queue.busy -= 1;
        queue.coming.push(*number);
        drop(queue);
        drop(old);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The runtime has dropped the job before it was ready.
    pub(crate) fn dropped(self) {
        if let Some(pumps) = &self.tree.pumps {
            pumps.drop_all(&self.tree);
        }
    }
}

#[cfg(all(test, not(foster_shuttle)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    /// Behind each wake begins a turn that sees what was done before it, whatever the stage was: also `QUEUED`, `WOKEN`, `COMING`.
    ///
    /// For Miri, which shows a load what is past: `MIRIFLAGS=-Zmiri-many-seeds cargo +nightly miri test -p foster --lib pump::`.
    #[test]
    fn what_was_done_before_a_wake_is_seen_by_the_turn_that_follows() {
        let (stage, news) = (Stage::coming(), [AtomicUsize::new(0), AtomicUsize::new(0)]);
        let seen = Mutex::new(0);
        let turns = || {
            loop {
                assert!(stage.begin(), "somebody else gives it its turn");
                *seen.lock().unwrap() = news.iter().map(|news| news.load(Ordering::Relaxed)).sum();
                if !stage.end() {
                    return;
                }
            }
        };
        thread::scope(|threads| {
            for news in &news {
                threads.spawn(|| {
                    news.store(1, Ordering::Relaxed);
                    if stage.wake() {
                        turns();
                    }
                });
            }
            stage.placed();
            turns();
        });
        assert_eq!(*seen.lock().unwrap(), 2, "a wake was lost");
    }
}
