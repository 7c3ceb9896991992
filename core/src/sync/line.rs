//! The line: who waits, in which order, and what has become of those who were called.
//!
//! A doubly linked list threaded through a slab, all of it behind one `std` mutex. A waiter holds a [`Ticket`], the number
//! of its entry; entries of waiters that are gone are used again, so waiting allocates only when more wait at once than
//! ever before.
//!
//! ```text
//!                ┌──1──▶ Served ──┐
//!   Waiting ─────┼──2──▶ Broken ──┼──4──▶ gone
//!      │         └──3──▶ Moved ───┘
//!      └────────────4────────────────────▶ gone
//! ```
//!
//! 1. called: `List::serve`
//! 2. the queue was broken: `List::break_with`; or joined when it was: `List::enter`
//! 3. moved to another line, where it goes on as Waiting: `repark`
//! 4. the waiter has taken note, followed, or gone away: `Ticket::poll`, `Ticket::leave`, `List::remove`
//!
//! Invariant 1: exactly the Waiting entries are linked, longest waiter first, and `waiting` counts them.
//! Invariant 2: an entry goes only by the hand of the waiter that holds its ticket.
//! Invariant 3: under the lock no waker is cloned, called or dropped, nor anything else that runs foreign code (L36).
//! Invariant 4: two lines are locked together only by `repark`, in the order of their addresses.

use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::wait_queue::Broken;
use crate::sys::{Mutex, MutexGuard};

/// No entry: the end of the list.
const NONE: usize = usize::MAX;

/// One line with its lock.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<List>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct List {
    entries: Slab<Entry>,
    first: usize,
    last: usize,
    waiting: usize,
    broken: Option<Broken>,
}

#[derive(Debug)]
struct Entry {
    /// A number of the primitive's choice: how many permits it wants, which record is its own.
    tag: usize,
    stage: Stage,
}

/// See the picture at the head of this module.
#[derive(Debug)]
enum Stage {
    Waiting {
        prev: usize,
        next: usize,
        waker: Option<Waker>,
    },
    /// `pass_on`: another one would have been called instead of it, and is if it goes away without taking note.
    Served {
        pass_on: bool,
    },
    Broken(Broken),
    Moved(Ticket),
}

impl Default for List {
    fn default() -> Self {
        List { entries: Slab::new(), first: NONE, last: NONE, waiting: 0, broken: None }
    }
}

impl List {
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// Whether nobody is left, not even somebody who was called and has not taken note.
    #[cfg(test)]
    pub(super) fn is_home(&self) -> bool {
        self.entries.is_empty() && self.waiting == 0 && self.first == NONE && self.last == NONE
    }

    /// The tag of the longest waiter.
    pub(super) fn first(&self) -> Option<usize> {
        self.entries.get(self.first).map(|entry| entry.tag)
    }

    /// Adds an entry at the end. In a broken queue it is woken at once, to find that out.
    pub(super) fn enter(&mut self, tag: usize, waker: Option<Waker>, wakes: &mut Wakes) -> usize {
        if let Some(broken) = &self.broken {
            let broken = broken.clone();
            wakes.push(waker);
            return self.entries.insert(Entry { tag, stage: Stage::Broken(broken) });
        }
        let prev = self.last;
        let key = self.entries.insert(Entry { tag, stage: Stage::Waiting { prev, next: NONE, waker } });
        self.set_next(prev, key);
        self.last = key;
        self.waiting += 1;
        key
    }

    /// Calls the longest waiter and gives its tag.
    pub(super) fn serve(&mut self, pass_on: bool, wakes: &mut Wakes) -> Option<usize> {
        let key = self.first;
        let (tag, waker) = self.unlink(key, Stage::Served { pass_on })?;
        wakes.push(waker);
        Some(tag)
    }

    /// Breaks the line: for all who wait, and for all who join later. The first breaker stands.
    pub(super) fn break_with(&mut self, broken: &Broken, wakes: &mut Wakes) -> usize {
        let mut count = 0;
        while let Some((_, waker)) = self.unlink(self.first, Stage::Broken(broken.clone())) {
            wakes.push(waker);
            count += 1;
        }
        self.broken.get_or_insert_with(|| broken.clone());
        count
    }

    /// Takes out an entry that was not moved. Its waker comes back to be dropped where no lock is held.
    pub(super) fn remove(&mut self, key: usize) -> (Left, Option<Waker>) {
        let waker = self.unlink(key, Stage::Served { pass_on: false });
        let entry = self.entries.remove(key);
        match (waker, entry.stage) {
            (Some((_, waker)), _) => (Left::Waiting, waker),
            (None, Stage::Served { pass_on }) => (Left::Served { pass_on }, None),
            (None, Stage::Broken(_)) => (Left::Broken, None),
            (None, Stage::Waiting { .. } | Stage::Moved(_)) => unreachable!("this queue's waiters are never moved"),
        }
    }

    /// Takes a Waiting entry out of the list (the entry stays) and gives its tag and waker; none if it is not Waiting.
    fn unlink(&mut self, key: usize, stage: Stage) -> Option<(usize, Option<Waker>)> {
        let entry = self.entries.get_mut(key)?;
        let Stage::Waiting { prev, next, ref mut waker } = entry.stage else { return None };
        let (tag, waker) = (entry.tag, waker.take());
        entry.stage = stage;
        self.set_next(prev, next);
        match self.entries.get_mut(next).map(|entry| &mut entry.stage) {
            Some(Stage::Waiting { prev: back, .. }) => *back = prev,
            _ => self.last = prev,
        }
        self.waiting -= 1;
        Some((tag, waker))
    }

    fn set_next(&mut self, key: usize, to: usize) {
        match self.entries.get_mut(key).map(|entry| &mut entry.stage) {
            Some(Stage::Waiting { next, .. }) => *next = to,
            _ => self.first = to,
        }
    }
}

/// Moves the `n` longest waiters of one line to the end of another, in their order; to the same line: none.
///
/// With `retag` it stops before the first whose tag is not the one, and gives them the other.
pub(super) fn repark(
    from: &Arc<Shared>,
    to: &Arc<Shared>,
    n: usize,
    retag: Option<(usize, usize)>,
    wakes: &mut Wakes,
) -> usize {
    if Arc::ptr_eq(from, to) {
        return 0;
    }
    // Invariant 4.
    let (mut source, mut target);
    if Arc::as_ptr(from) < Arc::as_ptr(to) {
        source = from.lock();
        target = to.lock();
    } else {
        target = to.lock();
        source = from.lock();
    }
    let mut count = 0;
    while count < n {
        let key = source.first;
        if retag.is_some_and(|(only, _)| source.first() != Some(only)) {
            break;
        }
        let Some((tag, waker)) = source.unlink(key, Stage::Served { pass_on: false }) else { break };
        let moved = target.enter(retag.map_or(tag, |(_, new)| new), waker, wakes);
        source.entries[key].stage = Stage::Moved(Ticket { shared: to.clone(), key: moved });
        count += 1;
    }
    count
}

/// A waiter's hold on its entry. Whoever has one must see it through: `poll` until ready, `leave` or `List::remove`.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    key: usize,
}

/// What a waiter was when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Waiting,
    Served { pass_on: bool },
    Broken,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.key).finish()
    }
}

/// A waiter that went away: what it was, under which tag, and where.
pub(super) struct Gone {
    pub(super) left: Left,
    pub(super) tag: usize,
    pub(super) shared: Arc<Shared>,
}

impl Ticket {
    pub(super) fn new(shared: Arc<Shared>, key: usize) -> Self {
        Ticket { shared, key }
    }

    pub(super) fn key(&self) -> usize {
        self.key
    }

    /// Ready once the waiter was called or the queue was broken; then the entry is gone, and the ticket used up.
    ///
    /// With `finish` unset a ticket that is ready stays as it is, and the task is woken instead: it still has to yield.
    pub(super) fn poll(&mut self, finish: bool, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        // Invariant 3: made before the lock is taken, dropped after it is released.
        let mut spare: Option<Waker> = None;
        loop {
            let mut list = self.shared.lock();
            match &mut list.entries[self.key].stage {
                Stage::Waiting { waker, .. } => {
                    if waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        return Poll::Pending;
                    }
                    if spare.is_some() {
                        mem::swap(waker, &mut spare);
                        return Poll::Pending;
                    }
                    drop(list);
                    spare = Some(cx.waker().clone());
                }
                Stage::Served { .. } | Stage::Broken(_) if !finish => {
                    drop(list);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                _ => {
                    let entry = list.entries.remove(self.key);
                    drop(list);
                    match entry.stage {
                        Stage::Moved(next) => *self = next,
                        Stage::Broken(broken) => return Poll::Ready(Err(broken)),
                        Stage::Served { .. } | Stage::Waiting { .. } => return Poll::Ready(Ok(())),
                    }
                }
            }
        }
    }

    /// Goes away, from wherever it was moved to.
    pub(super) fn leave(mut self) -> Gone {
        loop {
            let mut list = self.shared.lock();
            let Entry { tag, ref stage } = list.entries[self.key];
            if !matches!(stage, Stage::Moved(_)) {
                let (left, waker) = list.remove(self.key);
                drop(list);
                drop(waker);
                return Gone { left, tag, shared: self.shared };
            }
            let entry = list.entries.remove(self.key);
            drop(list);
            if let Stage::Moved(next) = entry.stage {
                self = next;
            }
        }
    }
}

/// Wakers to call once no lock is held any more; calls them when it is dropped, longest waiter first.
#[derive(Debug, Default)]
#[must_use = "the waiters are woken when this is dropped"]
pub struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakes {
    fn push(&mut self, waker: Option<Waker>) {
        match waker {
            Some(waker) if self.first.is_none() && self.rest.is_empty() => self.first = Some(waker),
            Some(waker) => self.rest.push(waker),
            // Not polled yet: it will see for itself.
            None => {}
        }
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.first.take() {
            waker.wake();
        }
        // Looked at first: most have nobody more.
        if !self.rest.is_empty() {
            mem::take(&mut self.rest).into_iter().for_each(Waker::wake);
        }
    }
}
