//! What a pump has taken from its tree's queue, for its next turns.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::node::NodeRef;
use crate::sys::Latch;

/// Tasks of one pump: those that are ready, and those that were woken during their turns.
pub(crate) enum Batch {
    /// Where there is one thread: all that was in the queue, for nobody else could come for it meanwhile.
    All { ready: VecDeque<NodeRef>, again: Vec<NodeRef> },
    /// Where there are more: a share of it, from which others help themselves while a task holds up the pump.
    Share(Arc<Shelf>),
}

/// Where the other pumps of a tree find the tasks that one of them has taken.
///
/// Invariant: a shelf on which nothing lies gets something only under the lock of the tree's queue, which is locked before; or by the
/// pump's own thread, which then sees to it that another pump is coming, or gives it back to the queue without beginning a turn.
#[derive(Default)]
pub(crate) struct Shelf(Latch<Lying>);

#[derive(Default)]
struct Lying {
    tasks: VecDeque<NodeRef>,
    /// How many pumps were called in this poll, by tasks in their turns, and have not come.
    called: u8,
}

/// How many pumps the tasks of one poll call, which the host may keep for the same thread: it keeps one, and others find the first when
/// the second one comes.
const CALLS: u8 = 2;

/// A share is no smaller than this part of the queue, however many threads there may be: those that have too little steal.
const MOST_SHARES: usize = 4;

/// Each so many times a batch is filled from a shelf first: where the queue is never empty, nobody would look there.
const SHELVES_FIRST: usize = 8;

impl Shelf {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().tasks.len()
    }

    /// The task whose turn it is has woken these. Says whether another pump has to be called for them, as far as this pump knows.
    pub(crate) fn put(&self, tasks: &mut impl Iterator<Item = NodeRef>) -> bool {
        let mut lying = self.0.lock();
        lying.tasks.extend(tasks);
        lying.called < CALLS
    }

    /// The task whose turn it is calls another pump.
    pub(crate) fn note_call(&self) {
        self.0.lock().called += 1;
    }

    /// A pump that was called has come. Taken for an answer to a later call, it leads to one call more.
    pub(crate) fn note_answer(&self) {
        let mut lying = self.0.lock();
        lying.called = lying.called.saturating_sub(1);
    }

    /// The longer-waiting half of what lies there.
    fn half(&self) -> VecDeque<NodeRef> {
        let tasks = &mut self.0.lock().tasks;
        let half = tasks.len().div_ceil(2);
        tasks.drain(..half).collect()
    }
}

impl Batch {
    /// The task that comes next. `again` is the one that had its turn and was woken meanwhile. None if the queue has to be looked at.
    #[inline]
    pub(crate) fn next(&mut self, again: Option<NodeRef>) -> Option<NodeRef> {
        match self {
            Batch::All { ready, again: woken } => {
                if let Some(again) = again {
                    woken.push(again);
                }
                ready.pop_front()
            }
            Batch::Share(shelf) => {
                let mut lying = shelf.0.lock();
                let Some(next) = lying.tasks.pop_front() else { return again };
                lying.tasks.extend(again);
                if lying.called > 0 && !lying.tasks.is_empty() {
                    // The others would be held up by this one, as long as nobody is coming who can be counted on.
                    lying.tasks.push_front(next);
                    return None;
                }
                Some(next)
            }
        }
    }

    /// Takes from the queue what `turns` turns are enough for, or from a pump's shelf if nothing is there. `fill` counts the times. Says
    /// what comes next.
    pub(crate) fn fill(
        &mut self,
        queue: &mut VecDeque<NodeRef>,
        shelves: &[Arc<Shelf>],
        fill: usize,
        threads: NonZeroUsize,
        turns: usize,
    ) -> Option<NodeRef> {
        match self {
            Batch::All { ready, again } => {
                if ready.is_empty() {
                    queue.extend(again.drain(..));
                    std::mem::swap(queue, ready);
                }
                ready.pop_front()
            }
            Batch::Share(shelf) => {
                if queue.is_empty() || fill % SHELVES_FIRST == 0 {
                    // Not always the same one first.
                    let (before, first) = shelves.split_at(fill / SHELVES_FIRST % shelves.len());
                    let halves = first.iter().chain(before).map(|shelf| shelf.half());
                    if let Some(mut half) = halves.into_iter().find(|half| !half.is_empty()) {
                        let next = half.pop_front();
                        shelf.0.lock().tasks.append(&mut half);
                        return next;
                    }
                }
                let next = queue.pop_front()?;
                let share = (queue.len() / threads.get().min(MOST_SHARES)).min(turns - 1);
                shelf.0.lock().tasks.extend(queue.drain(..share));
                Some(next)
            }
        }
    }

    /// Gives back to the queue what others shall come for, or this pump in its next poll.
    pub(crate) fn give_back(&mut self, again: Option<NodeRef>, queue: &mut impl Extend<NodeRef>) {
        match self {
            Batch::All { again: woken, .. } => queue.extend(woken.drain(..).chain(again)),
            Batch::Share(shelf) => {
                let mut lying = shelf.0.lock();
                lying.called = 0;
                queue.extend(lying.tasks.drain(..).chain(again));
            }
        }
    }
}
