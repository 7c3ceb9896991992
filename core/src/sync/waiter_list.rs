//! The line: who waits, in which order, and what has become of those who were called.
//!
//! A doubly linked list threaded through numbered entries, all of it behind one lock of threads. A waiter holds a [`WaiterKey`], the
//! number of its entry; entries of waiters that are gone are used again, so waiting allocates only when more wait at once than
//! ever before, and the first one never.
//!
//! ```text
//!                ┌──1──▶ Notified ──┐
//!                ├──2──▶ Broken ──┤
//!   Waiting ─────┼──3──▶ Moved ───┼──5──▶ gone
//!      │         └──4──▶ Skipped ──┘
//!      └────────────5────────────────────▶ gone
//! ```
//!
//! 1. called: `WaiterList::notify_one`
//! 2. the queue was broken: `WaiterList::break_with`; or joined when it was: `WaiterList::enter`
//! 3. moved to another line, where it goes on as Waiting: `repark`
//! 4. passed over, because its code is cancelled (law L14): `WaiterList::first`
//! 5. the waiter has taken note, followed, or gone moved_to: `WaiterKey::poll`, `WaiterKey::leave`, `WaiterList::remove`. One that was passed over and
//!    is polled in code that is not cancelled starts again.
//!
//! Invariant 1: exactly the Waiting entries are linked, longest waiter first, and `waiting` counts them.
//! Invariant 2: an entry goes only by the hand of the waiter that holds its ticket.
//! Invariant 3: under the lock no waker is cloned, called or dropped, nor anything else that runs foreign code (L36).
//! Invariant 4: two lines are locked together only by `repark`, in the order of their addresses.
//! Invariant 5: a ticket counts a reference of its line only once it was moved: until then whoever waits knows the line.
//! Invariant 6: nobody is called, moved or told that the line is broken whose code is cancelled at that moment.

use std::fmt;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::wait_queue::Broken;
use crate::leaf::{self, Waiter};
use crate::sys::{MutexGuard, PlainMutex};
use crate::tree::waking;

/// No entry: the end of the list.
const NONE: usize = usize::MAX;

/// One line with its lock.
#[derive(Debug, Default)]
pub(super) struct SharedWaiterList(PlainMutex<WaiterList>);

impl SharedWaiterList {
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, WaiterList> {
        self.0.lock()
    }
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct WaiterList {
    /// Most lines never have more than one: no allocation for that.
    one: WaiterEntry,
    more: Vec<WaiterEntry>,
    /// The entry that became Free last; the one before it is its `next`.
    free: usize,
    first: usize,
    last: usize,
    waiting: usize,
    broken: Option<Broken>,
}

#[derive(Debug)]
struct WaiterEntry {
    /// A number of the primitive's choice: how many permits it wants, which record is its own.
    tag: usize,
    prev: usize,
    next: usize,
    state: WaiterState,
}

/// See the picture at the head of this module.
#[derive(Debug)]
enum WaiterState {
    /// Nobody's.
    Free,
    Waiting(Waiter),
    /// `pass_on`: another one would have been called instead of it, and is if it goes moved_to without taking note.
    Notified {
        pass_on: bool,
    },
    Broken(Broken),
    Moved(WaiterKey),
    Skipped,
}

impl Default for WaiterList {
    fn default() -> Self {
        let one = WaiterEntry { tag: 0, prev: NONE, next: NONE, state: WaiterState::Free };
        WaiterList { one, more: Vec::new(), free: 0, first: NONE, last: NONE, waiting: 0, broken: None }
    }
}

impl WaiterList {
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// Whether nobody is left, not even somebody who was called and has not taken note.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let mut entries = std::iter::once(&self.one).chain(&self.more);
        entries.all(|entry| matches!(entry.state, WaiterState::Free))
            && self.waiting == 0
            && self.first == NONE
            && self.last == NONE
    }

    #[inline]
    fn entry(&mut self, key: usize) -> Option<&mut WaiterEntry> {
        if key == 0 { Some(&mut self.one) } else { self.more.get_mut(key.wrapping_sub(1)) }
    }

    /// The entry of a ticket.
    #[inline]
    fn occupied(&mut self, key: usize) -> &mut WaiterEntry {
        let Some(entry) = self.entry(key) else { no_entry() };
        entry
    }

    /// Puts a new entry into a place that is free.
    #[inline]
    fn insert(&mut self, new: WaiterEntry) -> usize {
        let key = self.free;
        let Some(entry) = self.entry(key) else { return self.grow(new) };
        let next = entry.next;
        let before = mem::replace(entry, new);
        debug_assert!(matches!(before.state, WaiterState::Free), "Invariant 2");
        // Nothing is in it to be dropped.
        mem::forget(before);
        self.free = next;
        key
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, new: WaiterEntry) -> usize {
        self.more.push(new);
        self.more.len()
    }

    /// What becomes of the entry is up to its former state: it is Free now.
    #[inline]
    fn free_entry(&mut self, key: usize) -> WaiterState {
        let free = self.free;
        let entry = self.occupied(key);
        entry.next = free;
        let state = mem::replace(&mut entry.state, WaiterState::Free);
        self.free = key;
        state
    }

    /// Ends the wait of somebody who was called; says whether he was.
    #[inline]
    fn acknowledge(&mut self, key: usize) -> bool {
        let free = self.free;
        let entry = self.occupied(key);
        if !matches!(entry.state, WaiterState::Notified { .. }) {
            return false;
        }
        entry.next = free;
        // Nothing is in it to be dropped.
        mem::forget(mem::replace(&mut entry.state, WaiterState::Free));
        self.free = key;
        true
    }

    /// The tag of the longest waiter that may be called. Those before it are passed over.
    #[inline]
    pub(super) fn first(&mut self, wakes: &mut WakeList) -> Option<usize> {
        loop {
            let entry = self.entry(self.first)?;
            let WaiterState::Waiting(waiter) = &entry.state else {
                unreachable!("Invariant 1: every linked entry is Waiting")
            };
            if !waiter.is_cancelled() {
                return Some(entry.tag);
            }
            self.skip(self.first, wakes);
        }
    }

    /// Passes over all whose code is cancelled, and says how many are left.
    pub(super) fn count_eligible(&mut self, wakes: &mut WakeList) -> usize {
        let mut key = self.first;
        while let Some(entry) = self.entry(key) {
            let next = entry.next;
            if matches!(&entry.state, WaiterState::Waiting(waiter) if waiter.is_cancelled()) {
                self.skip(key, wakes);
            }
            key = next;
        }
        self.waiting
    }

    #[cold]
    fn skip(&mut self, key: usize, wakes: &mut WakeList) {
        if let Some((_, waiter)) = self.unlink(key, WaiterState::Skipped) {
            wakes.drop_later(waiter);
        }
    }

    /// Adds an entry at the end. In a broken queue it is woken at once, to find that out.
    pub(super) fn enqueue_or_break(&mut self, tag: usize, waiter: Waiter, wakes: &mut WakeList) -> usize {
        if let Some(broken) = &self.broken {
            let state = WaiterState::Broken(broken.clone());
            wakes.push(waiter);
            return self.insert(WaiterEntry { tag, prev: NONE, next: NONE, state });
        }
        self.enqueue(tag, waiter)
    }

    /// As `enter`, in a queue that is never broken.
    #[inline]
    pub(super) fn enqueue(&mut self, tag: usize, waiter: Waiter) -> usize {
        debug_assert!(self.broken.is_none(), "who is broken says so to those who come");
        let prev = self.last;
        let key = self.insert(WaiterEntry { tag, prev, next: NONE, state: WaiterState::Waiting(waiter) });
        match self.entry(prev) {
            Some(last) => last.next = key,
            None => self.first = key,
        }
        self.last = key;
        self.waiting += 1;
        key
    }

    /// Calls the longest waiter that may be called, and gives its tag.
    #[inline]
    pub(super) fn notify_one(&mut self, pass_on: bool, wakes: &mut WakeList) -> Option<usize> {
        let tag = self.first(wakes)?;
        if let Some((_, waiter)) = self.unlink(self.first, WaiterState::Notified { pass_on }) {
            wakes.push(waiter);
        }
        Some(tag)
    }

    /// Breaks the line: for all who wait, and for all who join later. The first breaker stands.
    pub(super) fn break_with(&mut self, broken: &Broken, wakes: &mut WakeList) -> usize {
        let mut count = 0;
        while self.first(wakes).is_some() {
            if let Some((_, waiter)) = self.unlink(self.first, WaiterState::Broken(broken.clone())) {
                wakes.push(waiter);
            }
            count += 1;
        }
        self.broken.get_or_insert_with(|| broken.clone());
        count
    }

    /// Takes out an entry that was not moved. The waiter comes back to be dropped where no lock is held.
    pub(super) fn remove(&mut self, key: usize) -> (LeaveOutcome, Option<Waiter>) {
        if let Some((_, waiter)) = self.unlink(key, WaiterState::Free) {
            self.free_entry(key);
            return (LeaveOutcome::Waiting, Some(waiter));
        }
        match self.free_entry(key) {
            WaiterState::Notified { pass_on } => (LeaveOutcome::Notified { pass_on }, None),
            WaiterState::Broken(_) => (LeaveOutcome::Broken, None),
            WaiterState::Skipped => (LeaveOutcome::Waiting, None),
            WaiterState::Free | WaiterState::Waiting(_) | WaiterState::Moved(_) => {
                unreachable!("this queue's waiters are never moved")
            }
        }
    }

    /// Takes a Waiting entry out of the list (the entry stays) and gives its tag and waiter; none if it is not Waiting.
    #[inline]
    fn unlink(&mut self, key: usize, state: WaiterState) -> Option<(usize, Waiter)> {
        let entry = self.entry(key)?;
        if !matches!(entry.state, WaiterState::Waiting(_)) {
            return None;
        }
        let (tag, prev, next) = (entry.tag, entry.prev, entry.next);
        let WaiterState::Waiting(waiter) = mem::replace(&mut entry.state, state) else { unreachable!("just seen") };
        match self.entry(prev) {
            Some(entry) => entry.next = next,
            None => self.first = next,
        }
        match self.entry(next) {
            Some(entry) => entry.prev = prev,
            None => self.last = prev,
        }
        self.waiting -= 1;
        Some((tag, waiter))
    }
}

#[cold]
#[inline(never)]
fn no_entry() -> ! {
    unreachable!("who has a key has an entry")
}

/// Moves the `n` longest waiters of one line that may be called to the end of another, in their order; to the same line: none.
///
/// With `retag` it stops before the first whose tag is not the one, and gives them the other. `mark` runs under both locks, before
/// anybody has moved.
pub(super) fn requeue(
    from: &SharedWaiterList,
    to: &Arc<SharedWaiterList>,
    n: usize,
    retag: Option<(usize, usize)>,
    before_move: impl FnOnce(),
    wakes: &mut WakeList,
) -> usize {
    if ptr::eq(from, &raw const **to) {
        return 0;
    }
    // Invariant 4.
    let (mut source, mut target);
    if ptr::from_ref(from) < Arc::as_ptr(to) {
        source = from.lock();
        target = to.lock();
    } else {
        target = to.lock();
        source = from.lock();
    }
    before_move();
    let mut count = 0;
    while count < n {
        let Some(first) = source.first(wakes) else { break };
        if retag.is_some_and(|(only, _)| first != only) {
            break;
        }
        let key = source.first;
        let Some((tag, waiter)) = source.unlink(key, WaiterState::Notified { pass_on: false }) else { break };
        let moved = target.enqueue_or_break(retag.map_or(tag, |(_, new)| new), waiter, wakes);
        source.occupied(key).state = WaiterState::Moved(WaiterKey { key: moved, moved_to: Some(to.clone()) });
        count += 1;
    }
    count
}

/// A waiter's hold on its entry. Whoever has one must see it through: `poll` until ready, `leave` or `WaiterList::remove`.
pub(super) struct WaiterKey {
    key: usize,
    /// The line that it was moved to. None: it is in the line where it was made, which whoever has it has to show.
    moved_to: Option<Arc<SharedWaiterList>>,
}

/// The states of a future that waits in one list, for as long as it takes.
#[derive(Debug)]
pub(super) enum WaitState {
    Start,
    Waiting(WaiterKey),
    Done,
}

/// How a wait ended.
pub(super) enum WaitOutcome {
    Notified,
    Broken(Broken),
    /// It was passed over, and its code is not cancelled now: it has to start again, where it waited under this tag.
    Skipped {
        tag: usize,
    },
}

/// What a waiter was when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaveOutcome {
    /// Also if it was passed over.
    Waiting,
    Notified {
        pass_on: bool,
    },
    Broken,
}

impl fmt::Debug for WaiterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaiterKey").field(&self.key).finish()
    }
}

/// A waiter that went moved_to: what it was, under which tag, and where, if it had been moved.
pub(super) struct LeaveResult {
    pub(super) left: LeaveOutcome,
    pub(super) tag: usize,
    pub(super) moved_to: Option<Arc<SharedWaiterList>>,
}

impl WaiterKey {
    #[inline]
    pub(super) fn new(key: usize) -> Self {
        WaiterKey { key, moved_to: None }
    }

    pub(super) fn key(&self) -> usize {
        self.key
    }

    /// Whether it waits in another line than that where it was made.
    pub(super) fn was_moved(&self) -> bool {
        self.moved_to.is_some()
    }

    /// Ready once the wait has ended; then the entry is gone, and the ticket used up.
    #[inline]
    pub(super) fn poll(&mut self, list: &SharedWaiterList, cx: &mut Context<'_>) -> Poll<WaitOutcome> {
        if self.moved_to.is_none() && list.lock().acknowledge(self.key) {
            return Poll::Ready(WaitOutcome::Notified);
        }
        self.poll_slow(list, cx)
    }

    /// As `poll`. For those who most likely were moved, and for all that are not polled because they were called.
    #[inline(never)]
    pub(super) fn poll_slow(&mut self, list: &SharedWaiterList, cx: &mut Context<'_>) -> Poll<WaitOutcome> {
        // Invariant 3: made and asked before the lock is taken, dropped after it is released.
        let mut spare: Option<Waiter> = None;
        let mut may_start = None;
        loop {
            let mut list = self.moved_to.as_deref().unwrap_or(list).lock();
            let entry = list.occupied(self.key);
            let tag = entry.tag;
            match &mut entry.state {
                WaiterState::Waiting(waiter) => {
                    if waiter.is_current(cx) {
                        return Poll::Pending;
                    }
                    if let Some(new) = &mut spare {
                        mem::swap(waiter, new);
                        return Poll::Pending;
                    }
                    drop(list);
                    spare = Some(Waiter::new(cx));
                }
                WaiterState::Skipped if may_start.is_none() => {
                    drop(list);
                    may_start = Some(!leaf::is_cancelled());
                }
                WaiterState::Skipped if may_start == Some(false) => return Poll::Pending,
                _ => {
                    let state = list.free_entry(self.key);
                    drop(list);
                    match state {
                        WaiterState::Moved(next) => *self = next,
                        WaiterState::Broken(broken) => return Poll::Ready(WaitOutcome::Broken(broken)),
                        WaiterState::Skipped => return Poll::Ready(WaitOutcome::Skipped { tag }),
                        WaiterState::Notified { .. } | WaiterState::Waiting(_) | WaiterState::Free => {
                            return Poll::Ready(WaitOutcome::Notified);
                        }
                    }
                }
            }
        }
    }

    /// Takes a place at the end of the line where this ticket has waited, and was passed over.
    pub(super) fn enqueue_again(&mut self, list: &SharedWaiterList, tag: usize, waiter: Waiter) {
        let mut wakes = WakeList::default();
        let mut list = self.moved_to.as_deref().unwrap_or(list).lock();
        self.key = list.enqueue_or_break(tag, waiter, &mut wakes);
    }

    /// Goes moved_to, from wherever it was moved to.
    pub(super) fn leave(mut self, list: &SharedWaiterList) -> LeaveResult {
        loop {
            let mut list = self.moved_to.as_deref().unwrap_or(list).lock();
            let &mut WaiterEntry { tag, ref state, .. } = list.occupied(self.key);
            if !matches!(state, WaiterState::Moved(_)) {
                let (left, waiter) = list.remove(self.key);
                drop(list);
                drop(waiter);
                return LeaveResult { left, tag, moved_to: self.moved_to };
            }
            let state = list.free_entry(self.key);
            drop(list);
            if let WaiterState::Moved(next) = state {
                self = next;
            }
        }
    }
}

/// Waiters to wake once no lock is held any more; they are woken when it is dropped, longest waiter first.
#[derive(Debug, Default)]
#[must_use = "the waiters are woken when this is dropped"]
pub struct WakeList {
    first: Option<Waiter>,
    rest: Vec<Waiter>,
    /// Not to be woken, but dropped.
    stale: Vec<Waiter>,
}

impl WakeList {
    #[inline]
    fn push(&mut self, waiter: Waiter) {
        if self.first.is_none() {
            self.first = Some(waiter);
        } else {
            self.push_more(waiter);
        }
    }

    #[inline(never)]
    fn push_more(&mut self, waiter: Waiter) {
        self.rest.push(waiter);
    }

    fn drop_later(&mut self, waiter: Waiter) {
        self.stale.push(waiter);
    }

    /// As a drop, for where it counts: most have one, or none.
    #[inline]
    pub(super) fn finish(mut self) {
        if self.rest.is_empty() && self.stale.is_empty() {
            let first = self.first.take();
            // Nothing is left in it to be dropped: this spares the looks.
            mem::forget(self);
            if let Some(waiter) = first {
                waiter.wake();
            }
        }
    }
}

impl Drop for WakeList {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.first.take() {
            waiter.wake();
        }
        // Looked at first: most have nobody more.
        if !self.rest.is_empty() {
            waking::wake_all(mem::take(&mut self.rest).into_iter().filter_map(Waiter::into_waker));
        }
    }
}
