//! A list of waiting tasks: the waiters in their order, and the outcome of those that were notified.
//!
//! It is a doubly linked list whose entries are in one growable array, behind one lock of threads. A waiter has a
//! [`WaiterKey`], the index of its entry. Free entries are reused, so waiting allocates only when more tasks wait at
//! once than ever before, and the first one never allocates.
//!
//! ```text
//!                 ┌──1──▶ Notified ─┐
//!                 ├──2──▶ Closed ───┤
//!    Waiting ─────┼──3──▶ Moved ────┼──5──▶ Free
//!       │         └──4──▶ Skipped ──┘
//!       └────────────5─────────────────────▶ Free
//! ```
//!
//! 1. notified: `WaiterList::notify_one`
//! 2. the queue was closed: `WaiterList::close`; or the waiter joined a closed queue: `WaiterList::enqueue_unless_closed`
//! 3. moved to another list, where it goes on as Waiting: `requeue`
//! 4. skipped, because its code is cancelled (law L14): `WaiterList::first`, `WaiterList::claim_first`,
//!    `WaiterList::notify_at_least`
//! 5. the waiter has acknowledged its outcome, followed its move, or left: `WaiterKey::poll`, `WaiterKey::leave`,
//!    `WaiterList::remove`. A skipped waiter that is polled in code that is not cancelled is told that it was, and
//!    starts again.
//!
//! The file is long because the list, its entries and the keys are one structure, whose invariants concern all of them.
//!
//! Invariant 1: exactly the Waiting entries are linked, longest waiter first, and `waiting` counts them.
//! Invariant 2: an entry is freed only by the waiter that has its key.
//! Invariant 3: under the lock no waker is cloned, called or dropped, and no other foreign code runs (L36).
//! Invariant 4: two lists are locked together only by `requeue`, in the order of their addresses.
//! Invariant 5: a key holds a reference to a list only if it was moved there; until then its owner knows the list.
//! Invariant 6: a waiter is notified, or told that the list is closed, after it was claimed, under the same lock. One
//!    whose code is cancelled is not moved.

use std::fmt;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::wait_queue::Closed;
use crate::leaf::{self, Waiter};
use crate::sys::{MutexGuard, PlainMutex};

/// The index of no entry: the end of the list.
const NONE: usize = usize::MAX;

/// A waiter list with its lock.
#[derive(Debug, Default)]
pub(super) struct SharedWaiterList(PlainMutex<WaiterList>);

impl SharedWaiterList {
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, WaiterList> {
        self.0.lock()
    }
}

/// The part that the lock protects.
#[derive(Debug)]
pub(super) struct WaiterList {
    /// The first entry, inline: most lists never have more.
    one: WaiterEntry,
    more: Vec<WaiterEntry>,
    /// The entry that was freed last; its `next` is the one freed before.
    free: usize,
    first: usize,
    last: usize,
    waiting: usize,
    closed: Option<Closed>,
}

#[derive(Debug)]
struct WaiterEntry {
    /// A number of the primitive's choice, such as how many permits the waiter needs.
    tag: usize,
    prev: usize,
    next: usize,
    state: WaiterState,
}

/// See the picture at the head of this module.
#[derive(Debug)]
enum WaiterState {
    /// Not in use.
    Free,
    Waiting(Waiter),
    /// `pass_on`: if the waiter leaves without having acknowledged, another one is to be notified instead.
    Notified {
        pass_on: bool,
    },
    Closed(Closed),
    Moved(WaiterKey),
    Skipped,
}

impl Default for WaiterList {
    fn default() -> Self {
        let one = WaiterEntry { tag: 0, prev: NONE, next: NONE, state: WaiterState::Free };
        WaiterList { one, more: Vec::new(), free: 0, first: NONE, last: NONE, waiting: 0, closed: None }
    }
}

impl WaiterList {
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Returns whether no entry is in use, not even of a waiter that has still to acknowledge.
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

    /// Returns the entry of a key.
    #[inline]
    fn occupied(&mut self, key: usize) -> &mut WaiterEntry {
        let Some(entry) = self.entry(key) else { no_entry() };
        entry
    }

    /// Stores a new entry in a free place.
    #[inline]
    fn insert(&mut self, new: WaiterEntry) -> usize {
        let key = self.free;
        let Some(entry) = self.entry(key) else { return self.grow(new) };
        let next = entry.next;
        let before = mem::replace(entry, new);
        debug_assert!(matches!(before.state, WaiterState::Free), "Invariant 2: a reused entry is free");
        // A free entry owns nothing.
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

    /// Frees an entry, and returns its former state.
    #[inline]
    fn free_entry(&mut self, key: usize) -> WaiterState {
        let free = self.free;
        let entry = self.occupied(key);
        entry.next = free;
        let state = mem::replace(&mut entry.state, WaiterState::Free);
        self.free = key;
        state
    }

    /// Frees the entry of a waiter that was notified, and returns whether it was.
    #[inline]
    fn acknowledge(&mut self, key: usize) -> bool {
        let free = self.free;
        let entry = self.occupied(key);
        if !matches!(entry.state, WaiterState::Notified { .. }) {
            return false;
        }
        entry.next = free;
        // A free entry owns nothing.
        mem::forget(mem::replace(&mut entry.state, WaiterState::Free));
        self.free = key;
        true
    }

    /// Returns the tag of the longest waiter whose code is not cancelled. Skips those before it.
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

    /// Claims the longest waiter, as [`Waiter::claim`] does: after `true` it has to be notified. Skips it if it may not be.
    ///
    /// After this, with nothing but the lock in between, [`notify_first`](WaiterList::notify_first) is to follow; or it
    /// goes on waiting.
    #[inline]
    pub(super) fn claim_first(&mut self, wakes: &mut WakeList) -> bool {
        let state = self.entry(self.first).map(|entry| &entry.state);
        let claimed = matches!(state, Some(WaiterState::Waiting(waiter)) if waiter.claim());
        if !claimed {
            self.skip(self.first, wakes);
        }
        claimed
    }

    /// Notifies all waiters, if there are at least `n` whose code is not cancelled; returns whether there were.
    pub(super) fn notify_at_least(&mut self, n: usize, wakes: &mut WakeList) -> bool {
        // Before one of them is notified all are claimed: those who are to go on together do, or none does. And before
        // one of them is claimed there are enough.
        let are_enough = self.skip_unless(|waiter| !waiter.is_cancelled(), wakes) >= n
            && self.skip_unless(Waiter::claim, wakes) >= n;
        while are_enough && self.waiting > 0 {
            self.notify_first(false, wakes);
        }
        are_enough
    }

    /// Skips all waiters that do not pass, and returns how many are left.
    fn skip_unless(&mut self, passes: impl Fn(&Waiter) -> bool, wakes: &mut WakeList) -> usize {
        let mut key = self.first;
        while let Some(entry) = self.entry(key) {
            let next = entry.next;
            if !matches!(&entry.state, WaiterState::Waiting(waiter) if passes(waiter)) {
                self.skip(key, wakes);
            }
            key = next;
        }
        self.waiting
    }

    #[cold]
    fn skip(&mut self, key: usize, wakes: &mut WakeList) {
        self.end(key, WaiterState::Skipped, wakes);
    }

    /// Ends the wait of an entry that is Waiting, in that state.
    fn end(&mut self, key: usize, state: WaiterState, wakes: &mut WakeList) {
        if let Some((_, waiter)) = self.unlink(key, state) {
            wakes.push(waiter);
        }
    }

    /// Adds a waiter at the end. In a closed queue it is woken at once, to find that out.
    pub(super) fn enqueue_unless_closed(&mut self, tag: usize, waiter: Waiter, wakes: &mut WakeList) -> usize {
        if let Some(closed) = &self.closed {
            let state = if waiter.claim() { WaiterState::Closed(closed.clone()) } else { WaiterState::Skipped };
            wakes.push(waiter);
            return self.insert(WaiterEntry { tag, prev: NONE, next: NONE, state });
        }
        self.enqueue(tag, waiter)
    }

    /// Adds a waiter at the end of a queue that is never closed.
    #[inline]
    pub(super) fn enqueue(&mut self, tag: usize, waiter: Waiter) -> usize {
        debug_assert!(self.closed.is_none(), "a queue that may be closed uses `enqueue_unless_closed`");
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

    /// Notifies the longest waiter whose code is not cancelled, and returns its tag.
    #[inline]
    pub(super) fn notify_one(&mut self, pass_on: bool, wakes: &mut WakeList) -> Option<usize> {
        let mut tag = self.first(wakes)?;
        while !self.claim_first(wakes) {
            tag = self.first(wakes)?;
        }
        self.notify_first(pass_on, wakes);
        Some(tag)
    }

    /// Notifies the waiter that was [claimed](WaiterList::claim_first), under the same lock.
    #[inline]
    pub(super) fn notify_first(&mut self, pass_on: bool, wakes: &mut WakeList) {
        self.end(self.first, WaiterState::Notified { pass_on }, wakes);
    }

    /// Closes the list for all waiters, now and later, and returns how many waited. If it is closed several times,
    /// later waiters get the first error.
    pub(super) fn close(&mut self, closed: &Closed, wakes: &mut WakeList) -> usize {
        let mut count = 0;
        while self.waiting > 0 {
            if self.claim_first(wakes) {
                self.end(self.first, WaiterState::Closed(closed.clone()), wakes);
                count += 1;
            }
        }
        self.closed.get_or_insert_with(|| closed.clone());
        count
    }

    /// Removes an entry that was not moved. Returns the waiter, to be dropped where no lock is held.
    pub(super) fn remove(&mut self, key: usize) -> (LeaveOutcome, Option<Waiter>) {
        if let Some((_, waiter)) = self.unlink(key, WaiterState::Free) {
            self.free_entry(key);
            return (LeaveOutcome::Waiting, Some(waiter));
        }
        match self.free_entry(key) {
            WaiterState::Notified { pass_on } => (LeaveOutcome::Notified { pass_on }, None),
            WaiterState::Closed(_) => (LeaveOutcome::Closed, None),
            WaiterState::Skipped => (LeaveOutcome::Waiting, None),
            WaiterState::Free | WaiterState::Waiting(_) | WaiterState::Moved(_) => {
                unreachable!("a key that may have moved is removed by `WaiterKey::leave`")
            }
        }
    }

    /// Unlinks an entry, sets its state, and returns its tag and waiter; `None` if it was not Waiting.
    #[inline]
    fn unlink(&mut self, key: usize, state: WaiterState) -> Option<(usize, Waiter)> {
        let entry = self.entry(key)?;
        if !matches!(entry.state, WaiterState::Waiting(_)) {
            return None;
        }
        let (tag, prev, next) = (entry.tag, entry.prev, entry.next);
        let WaiterState::Waiting(waiter) = mem::replace(&mut entry.state, state) else {
            unreachable!("the entry was Waiting under this lock")
        };
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
    unreachable!("Invariant 2: a key has an entry")
}

/// Moves the `n` longest waiters of one list to the end of another, in their order, and returns how many; to the same
/// list: none. Skips those whose code is cancelled.
///
/// `retag` is a pair of tags: it stops before the first waiter that does not have the one, and gives them the other.
/// `before_move` runs under both locks, before any waiter is moved.
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
        // In that state until the key of its new place is known.
        let Some((tag, waiter)) = source.unlink(key, WaiterState::Notified { pass_on: false }) else { break };
        let moved = target.enqueue_unless_closed(retag.map_or(tag, |(_, new)| new), waiter, wakes);
        source.occupied(key).state = WaiterState::Moved(WaiterKey { key: moved, moved_to: Some(to.clone()) });
        count += 1;
    }
    count
}

/// The key of a waiter's entry. Its owner has to free the entry: by `poll` until ready, `leave` or
/// `WaiterList::remove`.
pub(super) struct WaiterKey {
    key: usize,
    /// The list that it was moved to. `None`: it is in the list it was made in, which the owner of the key passes to
    /// each method.
    moved_to: Option<Arc<SharedWaiterList>>,
}

/// How a wait ended.
pub(super) enum WaitOutcome {
    Notified,
    Closed(Closed),
    /// It was skipped, and its code is not cancelled now: it has to look again at what it waits for, and to start
    /// again.
    Skipped,
}

/// The state of a waiter when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaveOutcome {
    /// Also if it was skipped.
    Waiting,
    Notified {
        pass_on: bool,
    },
    Closed,
}

impl fmt::Debug for WaiterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaiterKey").field(&self.key).finish()
    }
}

/// The result of leaving: the outcome, the tag, and the list that the waiter had been moved to, if any.
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

    /// Polls the wait. When it is ready the entry is free, and the key must not be used again. `list` is the list it
    /// was made in.
    #[inline]
    pub(super) fn poll(&mut self, list: &SharedWaiterList, cx: &mut Context<'_>) -> Poll<WaitOutcome> {
        if self.moved_to.is_none() && list.lock().acknowledge(self.key) {
            return Poll::Ready(WaitOutcome::Notified);
        }
        self.poll_slow(list, cx).map(|(outcome, _)| outcome)
    }

    /// Gives a waiter that was skipped another tag, if it has this one. Returns whether it has. After a poll.
    pub(super) fn retag_if_skipped(&self, list: &SharedWaiterList, tag: usize, to: usize) -> bool {
        let mut list = self.moved_to.as_deref().unwrap_or(list).lock();
        let entry = list.occupied(self.key);
        matches!(entry.state, WaiterState::Skipped) && entry.tag == tag && mem::replace(&mut entry.tag, to) == tag
    }

    /// Does what `poll` does, without the short cut for a waiter that was notified and not moved. Returns the last tag,
    /// too.
    #[inline(never)]
    pub(super) fn poll_slow(&mut self, list: &SharedWaiterList, cx: &mut Context<'_>) -> Poll<(WaitOutcome, usize)> {
        // Invariant 3: the waiter is made, and `is_cancelled` asked, with the lock released.
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
                    may_start = Some(!leaf::stops_here(cx));
                }
                WaiterState::Skipped if may_start == Some(false) => return Poll::Pending,
                _ => {
                    let state = list.free_entry(self.key);
                    drop(list);
                    match state {
                        WaiterState::Moved(next) => *self = next,
                        WaiterState::Closed(closed) => return Poll::Ready((WaitOutcome::Closed(closed), tag)),
                        WaiterState::Skipped => return Poll::Ready((WaitOutcome::Skipped, tag)),
                        WaiterState::Notified { .. } => return Poll::Ready((WaitOutcome::Notified, tag)),
                        WaiterState::Waiting(_) | WaiterState::Free => unreachable!("Invariant 2: its owner frees it"),
                    }
                }
            }
        }
    }

    /// Leaves the list, wherever it was moved to.
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

/// Waiters to wake once no lock is held any more. Dropping the list wakes them, longest waiter first.
#[derive(Debug, Default)]
#[must_use = "the waiters are woken when this is dropped"]
pub struct WakeList {
    first: Option<Waiter>,
    rest: Vec<Waiter>,
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

    /// Wakes, as a drop does; faster for lists of at most one.
    #[inline]
    pub(super) fn finish(mut self) {
        if self.rest.is_empty() {
            let first = self.first.take();
            // The rest is empty: this spares the checks of its drop.
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
        // Most lists have no more.
        if !self.rest.is_empty() {
            mem::take(&mut self.rest).into_iter().for_each(Waiter::wake);
        }
    }
}
