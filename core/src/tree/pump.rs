//! Pumps: jobs of the runtime that drive the tasks of one tree, many tasks in few jobs.
//!
//! A task that is a job of its own costs the host an allocation, a place in its queues and a state machine; here it costs a
//! place in a queue. A pump takes a [batch](Batch) of tasks from the tree's, gives each a turn, puts those back that were woken
//! meanwhile, and gives way to the host. What a task wakes in its turn goes to the pump's own shelf, under a lock that is hardly
//! ever fought over.
//!
//! Whenever a task waits in the queue, or on the shelf of a pump that is polling another one, a pump is on its way: an idle one was
//! woken, or another one made. So a task that computes for long holds up its thread and no other task, as far as the host lets others
//! come: tokio keeps the last job that a job has woken for the same thread (its LIFO slot). So a task that computes on holds up what
//! it has woken itself, if that is one; and a job of the host's own that does so may hold up the tree. There are at most three pumps
//! for each that ever polled at once, and one to spare.
//!
//! A runtime that wants to choose among the tasks itself, as the simulator does, gets each as a job of its own: see
//! [`Runtime::parallelism`](crate::runtime::Runtime::parallelism).

use std::collections::VecDeque;
use std::iter;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Tree;
use super::batch::{Batch, Shelf};
use super::job::Job;
use super::loss;
use super::node::NodeRef;
use crate::raw::{Frame, Lent, Stack, Stage};
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::{Mutex, MutexGuard};

/// How many tasks a pump polls before it gives way to the host.
const TURN: usize = 16;

crate::sys::thread_local! {
    /// The shelf of the pump that this thread is polling, and the address of its tree's [`Pumps`].
    static HERE: Stack<*const Pumps, Arc<Shelf>> = const { Stack::new() };
}

/// The queue of a tree, and its pumps.
pub(crate) struct Pumps {
    /// In a block of its own: to lock it does not take from other threads' caches what they look at in every turn.
    queue: Box<Mutex<Queue>>,
    threads: NonZeroUsize,
    /// How many pumps were made or woken, or have given way, and have not been polled since; without those `called` in a turn. Changes
    /// under the queue's lock.
    ///
    /// Ordering: the last one that comes counts itself out, then looks at the shelves. Whoever puts a task onto one of them, then
    /// looks here, does so before that pump has the shelf's lock, which then finds the task, or after it, and sees the count.
    coming: AtomicUsize,
    dropped: AtomicBool,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<NodeRef>,
    /// Of all pumps.
    shelves: Vec<Arc<Shelf>>,
    /// Pumps that have nothing to do, by number. All others are being polled, coming, or called, or have ended.
    idle: Vec<(usize, Waker)>,
    /// Pumps that are coming because they were called in a turn, with the shelf of that turn. Nobody else counts on them: the host may
    /// have put them where only the thread that is busy with this turn can find them (tokio's LIFO slot).
    called: Vec<(usize, Arc<Shelf>)>,
    made: usize,
    /// How often a batch was filled.
    fills: usize,
    /// How many pumps are polling.
    busy: usize,
    /// The tree has ended, or the runtime is being torn down: nothing is put in any more, and pumps that find nothing end.
    ended: bool,
}

impl Queue {
    /// How many tasks wait for a turn, as far as pumps that are polling do not take them away at this moment.
    fn waiting(&self) -> usize {
        self.ready.len() + self.shelves.iter().map(|shelf| shelf.len()).sum::<usize>()
    }
}

impl Pumps {
    pub(crate) fn new(threads: NonZeroUsize) -> Self {
        Pumps { queue: Box::default(), threads, coming: AtomicUsize::new(0), dropped: AtomicBool::new(false) }
    }

    fn is_one_coming(&self) -> bool {
        self.coming.load(Ordering::Relaxed) > 0
    }

    /// Counts a pump that is coming.
    fn comes(&self) {
        self.coming.fetch_add(1, Ordering::Relaxed);
    }

    /// A pump is polled. It may have been idle; then nobody needs its waker any more.
    fn has_come(&self, number: usize, queue: &mut Queue) -> Option<Waker> {
        queue.busy += 1;
        if let Some(place) = queue.idle.iter().position(|(idle, _)| *idle == number) {
            return Some(queue.idle.swap_remove(place).1);
        }
        match queue.called.iter().position(|(called, _)| *called == number) {
            Some(place) => queue.called.swap_remove(place).1.note_answer(),
            None => drop(self.coming.fetch_sub(1, Ordering::Relaxed)),
        }
        None
    }

    /// Whether a pump has to be called for what was put in.
    #[inline]
    fn needs_one(&self, queue: &Queue) -> bool {
        let one_is_there = self.threads.get() == 1 && queue.busy > 0;
        !one_is_there && !self.is_one_coming()
    }

    /// Whether another pump has to be called for what the one that is about to fill its batch will not begin at once.
    #[inline]
    fn needs_another(&self, queue: &Queue) -> bool {
        self.threads.get() > 1 && !self.is_one_coming() && queue.waiting() > 1
    }

    /// Calls a pump, in a turn of that shelf or in none, and lets go of the queue first.
    #[inline(never)]
    fn call(&self, mut queue: MutexGuard<'_, Queue>, tree: &Arc<Tree>, within: Option<&Arc<Shelf>>) {
        let idle = queue.idle.pop();
        let number = match idle {
            Some((number, _)) => number,
            None => {
                queue.made += 1;
                queue.made
            }
        };
        match within {
            Some(shelf) => queue.called.push((number, shelf.clone())),
            None => self.comes(),
        }
        if let Some((_, waker)) = idle {
            drop(queue);
            return waker.wake();
        }
        let batch = if self.threads.get() == 1 {
            Batch::All { ready: VecDeque::new(), again: Vec::new() }
        } else {
            let shelf = Arc::<Shelf>::default();
            queue.shelves.push(shelf.clone());
            Batch::Share(shelf)
        };
        drop(queue);
        tree.runtime.spawn(Job::pump(Pump { tree: tree.clone(), number, batch }));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a task that is ready where a pump finds it.
    pub(crate) fn push(&self, tree: &Arc<Tree>, task: NodeRef) {
        let mut task = iter::once(task);
        if self.threads.get() > 1 && self.push_here(tree, &mut task) {
            return;
        }
        let mut queue = self.lock();
        if queue.ended {
            // Nobody would take it out again, and it holds its tree.
            drop(queue);
            return task.for_each(|task| lose_if_idle(&task));
        }
        task.for_each(|task| queue.ready.push_back(task));
        if self.needs_one(&queue) {
            self.call(queue, tree, None);
        }
    }

    /// As [`push`](Pumps::push), for many. Not both in one: a queue is extended by many at once in fewer steps than by one.
    pub(crate) fn push_all(&self, tree: &Arc<Tree>, tasks: Vec<NodeRef>) {
        let mut tasks = tasks.into_iter();
        if self.threads.get() > 1 && self.push_here(tree, &mut tasks) {
            return;
        }
        let mut queue = self.lock();
        if queue.ended {
            drop(queue);
            return tasks.for_each(|task| lose_if_idle(&task));
        }
        queue.ready.extend(tasks);
        if self.needs_one(&queue) {
            self.call(queue, tree, None);
        }
    }

    /// Puts tasks onto the shelf of the pump that this thread is polling, if it is polling one. That one does not keep them if the
    /// queue has ended.
    #[inline(never)]
    fn push_here(&self, tree: &Arc<Tree>, tasks: &mut impl Iterator<Item = NodeRef>) -> bool {
        HERE.with(|stack| {
            stack.look(|top| {
                // Perhaps that one polls a pump of another tree, which polls this code.
                let here = top.and_then(|top| top.outward().find(|here| std::ptr::eq(*here.value(), self)));
                let Some(Lent::One(shelf)) = here.map(Frame::lent) else { return false };
                if shelf.put(tasks) && !self.is_one_coming() {
                    let queue = self.lock();
                    // So many are enough: one of them comes, or all threads are busy.
                    if self.needs_one(&queue) && queue.called.len() < 2 * queue.busy {
                        shelf.note_call();
                        self.call(queue, tree, Some(shelf));
                    }
                }
                true
            })
        })
    }

    /// Whether the runtime is being torn down: tasks have no pumps any more.
    ///
    /// Ordering: a pump sets a task's stage, then looks here; `drop_all` sets this, then looks at the stage. All four are sequentially
    /// consistent, so one of the two finds the task and takes it. (Whoever spawns sees under the queue's lock that it has ended.)
    pub(crate) fn are_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    /// None is idle any more: all come, or are dropped.
    fn take_idle(&self, queue: &mut Queue) -> Vec<(usize, Waker)> {
        self.coming.fetch_add(queue.idle.len(), Ordering::Relaxed);
        std::mem::take(&mut queue.idle)
    }

    /// The tree has ended, and its tasks.
    pub(crate) fn end(&self) {
        let mut queue = self.lock();
        queue.ended = true;
        let ready = std::mem::take(&mut queue.ready);
        let idle = self.take_idle(&mut queue);
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
        let idle = self.take_idle(&mut queue);
        drop(queue);
        drop((ready, idle));
        for node in tree.root().map(all_below).unwrap_or_default() {
            if node.cell().stage().is_some_and(Stage::take) {
                lose(&node);
            }
        }
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
    let Some(tree) = nodes.first().and_then(|node| Some(Arc::clone(&*node.tree()?))) else { return };
    if let Some(pumps) = &tree.pumps {
        pumps.push_all(&tree, nodes);
    }
}

/// Puts a task that is ready into its tree's queue.
pub(crate) fn queue(tree: &Arc<Tree>, task: NodeRef) {
    if let Some(pumps) = &tree.pumps {
        pumps.push(tree, task);
    }
}

/// What the turn of a task came to.
pub(crate) enum Turn {
    /// The task is over, or has lost its pumps.
    Over,
    /// It waits to be woken.
    Waits,
    /// It was woken meanwhile.
    Again,
}

/// Gives a task its turn. It comes back if it was woken meanwhile, and has to be put into the queue again.
fn turn(pumps: &Pumps, task: NodeRef) -> Option<NodeRef> {
    match task.cell().turn(&task) {
        Turn::Over => None,
        Turn::Again => Some(task),
        Turn::Waits => {
            if pumps.are_dropped() {
                lose_if_idle(&task);
            }
            None
        }
    }
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
    batch: Batch,
}

impl Pump {
    /// As many turns as there are tasks that are ready, and no more than [`TURN`].
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pumps) = &self.tree.pumps else { unreachable!("only a tree with pumps makes one") };
        let polled = match &self.batch {
            Batch::All { .. } => pumps.turns(&self.tree, self.number, &mut self.batch, cx),
            Batch::Share(shelf) => {
                let shelf = shelf.clone();
                let turns = || pumps.turns(&self.tree, self.number, &mut self.batch, cx);
                HERE.with(|stack| stack.enter(std::ptr::from_ref(pumps), Lent::One(&shelf), turns).1)
            }
        };
        // Behind it: what is woken now does not come onto the shelf.
        drop(polled.wakers);
        polled.late.iter().for_each(lose_if_idle);
        match polled.next {
            Next::Idles => Poll::Pending,
            Next::Ends => Poll::Ready(()),
            Next::GivesWay => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// The runtime has dropped the job before it was ready.
    pub(crate) fn dropped(self) {
        if let Some(pumps) = &self.tree.pumps {
            pumps.drop_all(&self.tree);
        }
    }
}

/// What comes after the turns of a pump's poll.
struct Polled {
    next: Next,
    /// Nobody needs them any more: of a pump that was idle, and of one that found nothing, and then something.
    wakers: [Option<Waker>; 2],
    /// Woken again in their turns, when the queue had ended.
    late: Vec<NodeRef>,
}

enum Next {
    Idles,
    GivesWay,
    Ends,
}

impl Pumps {
    /// The turns of one poll.
    fn turns(&self, tree: &Arc<Tree>, number: usize, batch: &mut Batch, cx: &mut Context<'_>) -> Polled {
        let mut queue = self.lock();
        let old = self.has_come(number, &mut queue);
        let mut polled = Polled { next: Next::GivesWay, wakers: [old, None], late: Vec::new() };
        let mut again = None;
        let mut left = TURN;
        let mut queue = 'turns: loop {
            if self.needs_another(&queue) {
                self.call(queue, tree, None);
                // Subtle: the host may have put the pump that was called where only this thread can find it. So this one goes to the
                // end of the host's queue, where every thread can take it, and nobody waits for the task that comes next, however
                // long that holds up its thread.
                break self.lock();
            }
            queue.fills = queue.fills.wrapping_add(1);
            let Queue { ready, shelves, fills, .. } = &mut *queue;
            let Some(mut task) = batch.fill(ready, shelves, *fills, self.threads, left) else {
                if queue.ended {
                    queue.busy -= 1;
                    drop(queue);
                    polled.next = Next::Ends;
                    return polled;
                }
                if let Some(waker) = polled.wakers[1].take() {
                    queue.busy -= 1;
                    queue.idle.push((number, waker));
                    drop(queue);
                    polled.next = Next::Idles;
                    return polled;
                }
                // No lock is held while a waker is cloned or dropped (L36).
                drop(queue);
                polled.wakers[1] = Some(cx.waker().clone());
                queue = self.lock();
                continue;
            };
            drop(queue);
            loop {
                again = turn(self, task);
                left -= 1;
                if left == 0 || tree.runtime.should_yield() {
                    break 'turns self.lock();
                }
                match batch.next(again.take()) {
                    Some(next) => task = next,
                    None => break,
                }
            }
            queue = self.lock();
        };
        match queue.ended {
            false => batch.give_back(again, &mut queue.ready),
            true => batch.give_back(again, &mut polled.late),
        }
        queue.busy -= 1;
        self.comes();
        drop(queue);
        polled
    }
}
