//! All deadlines, hard times and sleeps of one tree: one heap, one lock, one timer of the host.
//!
//! An *entry* is an instant and a [`Target`]. It is *live* from its insertion until it fires or is removed. The heap
//! holds one key for each live entry, and keys of dead ones: a removal frees the entry at once, and leaves its key
//! until somebody asks for the earliest entry and finds it on top, or until there are more dead keys than entries.
//! Most limits are removed before they fire.
//!
//! # Invariants
//!
//! They hold whenever nobody has the lock.
//!
//! 1. `next` is the instant of the earliest live entry, or that of one that was removed, and earlier; `NEVER` if none
//!    is live. So a thread that asks without the lock whether anything may be due is never told "no" too late.
//! 2. `armed` is the instant for which the host's timer is armed, or is just being armed by the thread that has taken
//!    the timer out of `host`; `NEVER` if it has fired, or was never armed. Only [`Timers::take_host`] lowers it, and
//!    only the alarm raises it, to `NEVER`.
//! 3. `armed` is no later than the earliest live entry, or a call of [`Timers::arm`] is still to come, or the thread
//!    that has the host's timer has not finished its own. So once all of these have finished, the host's timer is armed
//!    for the earliest live entry or for an earlier instant.
//! 4. The heap holds at most `2 * entries + 64` keys; the entries are the live ones, and those of invariant 5.
//! 5. The entry of a sleep that was missed stays until the [`Sleep`](crate::future::Sleep) takes note of its end, or is
//!    dropped. All others go when they fire: so a sleep that has no entry has ended in time.
//! 6. Under the lock no waker and no [`NodeRef`] is cloned, called or dropped, and the host's timer is neither armed
//!    nor dropped (L36).
//!
//! # Why no timer is lost
//!
//! Invariant 3 can be broken in two ways. An insertion of an entry earlier than `armed` says so, and its caller has to
//! call `arm`. The host's timer fires: the `Alarm` (in `deadline.rs`) sets `armed` to `NEVER`, and calls `arm` after
//! what was due. A removal cannot break it, for the earliest live entry only becomes a later one: the host's timer stays
//! armed for an instant that may be too early, wakes for nothing, and is armed again.
//!
//! `arm` compares the earliest live entry with `armed` under the lock. If the timer may be armed too late, it takes the
//! timer out, arms it without the lock, puts it back, and compares again. If another thread has the timer, `arm`
//! returns: that thread compares once more after it has put the timer back, which comes after this comparison. So nobody
//! waits for anybody, and the one thread that arms does so for all.
//!
//! The host may wake the alarm late, when its timer has been armed for another instant meanwhile, or for nothing
//! (R6). Then `armed` is `NEVER` although the timer is armed, and it is armed once more: too often, never too late.
//! The host may also wake it inside `Timer::arm`. Then the alarm fires what is due, and its own `arm` leaves the rest
//! to the call further out.
//!
//! # What is due together
//!
//! Everything that is due when a thread looks at the clock is one batch. First the sleeps end, and their code is
//! runnable; then all requests of the batch are marked; then the sleepers are woken, and those whom the requests
//! concern. So an operation that ends at the deadline still wins, no user code runs between two marks (L11), and a
//! deadline further out wins over one further in that falls on the same instant.
//!
//! Whether a sleep ends or is *missed* is decided when its batch is taken out: code that was cancelled before that is
//! given nothing more (L14).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;
use std::num::{NonZeroU32, NonZeroU64};
use std::task::{Poll, Waker};

use slab::Slab;

use crate::Instant;
use crate::instant::AtomicInstant;
use crate::runtime::Timer;
use crate::sys::PlainMutex;

// On a clock that the tests put forward. What several threads do at once has models in `core/src/races/timers.rs`.
#[cfg(all(test, not(foster_shuttle)))]
mod tests;

/// An event that is due at an instant. It is moved under the queue's lock, and cloned and dropped without it
/// (invariant 6).
///
/// What code (`C`) and scopes (`S`) are, nobody has to know here: `shared.rs` says it.
pub(crate) enum Target<C, S> {
    /// A sleep ends: its code is woken, unless it is cancelled (L14).
    Sleep(Sleeper<C>),
    /// A scope's deadline, which is a request (L8); or the hard time of its request: graceful shields below stop
    /// holding that off (L11, L20).
    Scope(S),
}

/// The code that sleeps: who is woken, and whether it may still be given the end of its sleep.
pub(crate) struct Sleeper<C> {
    /// The waker of the poll in which the sleep was armed or last looked at.
    pub(super) waker: Waker,
    /// The code that polled the sleep then.
    pub(super) code: C,
}

impl<C> Sleeper<C> {
    /// Makes a sleeper. Clones a waker, which is foreign code: no lock may be held.
    pub(crate) fn new(waker: &Waker, code: C) -> Self {
        Sleeper { waker: waker.clone(), code }
    }
}

/// Names an entry; unique for the life of the tree, but for a wrap around of 32 bits in one slot: each scope has room
/// for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    /// The slot of the entry, which is used again when the entry is gone.
    slot: u32,
    /// The lower half of the serial number, so that the key of an entry that is gone does not name the next one in
    /// its slot. Never zero, so that an `Option` of a key is no larger.
    serial: NonZeroU32,
}

impl TimerKey {
    /// Returns the key of an entry.
    fn new(slot: usize, serial: NonZeroU64) -> Self {
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        TimerKey { slot, serial: NonZeroU32::new(serial.get() as u32).unwrap_or(NonZeroU32::MAX) }
    }

    /// Returns the slot of the entry.
    fn slot(self) -> usize {
        self.slot as usize
    }
}

/// A timer, live or missed.
struct Entry<C, S> {
    /// The number of its insertion. With the instant it orders the heap: of two entries of one instant the one that
    /// was inserted first comes first (L39).
    serial: NonZeroU64,
    /// What is due. None for a sleep whose time was over when its code was cancelled, and that was not polled since: its
    /// key is not in the heap any more.
    target: Option<Target<C, S>>,
}

/// The timer of the host, and the waker that it is given. One of each for a tree: it is armed again and again.
struct Host {
    /// The adapter's timer. Armed and dropped without a lock: it may wake inline (R6).
    timer: Box<dyn Timer>,
    alarm: Waker,
}

/// The data under the lock of the timers.
pub(super) struct Queue<C, S> {
    /// Keys: instant, serial number, slot; the earliest on top. Some are of entries that are gone.
    heap: BinaryHeap<Reverse<(Instant, NonZeroU64, usize)>>,
    /// The entries by slot: the live ones, and sleeps that were missed.
    entries: Slab<Entry<C, S>>,
    /// How many entries were ever inserted: the next serial number is one more.
    serial: u64,
    /// For when the host's timer is armed: invariant 2.
    pub(super) armed: Instant,
    /// None while a thread is arming it, and after the end of the tree.
    host: Option<Host>,
    /// The tree has ended: the host's timer is not put back.
    ended: bool,
}

impl<C, S> Queue<C, S> {
    /// Returns the entry that a key names, if it is still there.
    fn entry(&mut self, key: TimerKey) -> Option<&mut Entry<C, S>> {
        self.entries.get_mut(key.slot()).filter(|entry| TimerKey::new(key.slot(), entry.serial) == key)
    }

    /// Returns the earliest live instant; drops dead keys on the way.
    fn earliest(&mut self) -> Instant {
        while let Some(&Reverse((at, serial, slot))) = self.heap.peek() {
            // A sleep that was missed has no key any more: it was taken out of the heap.
            if self.entries.get(slot).is_some_and(|entry| entry.serial == serial) {
                return at;
            }
            self.heap.pop();
        }
        Instant::NEVER
    }

    /// Takes the key of the earliest live entry out of the heap, if that is due. The caller makes the entry a dead one.
    fn pop_due(&mut self, now: Instant) -> Option<usize> {
        if self.earliest() > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, slot))| slot)
    }

    /// Keeps invariant 4: drops the dead keys, if there are more of them than entries. At least half of the keys
    /// go, so each removal pays for a constant number of them. Returns whether it has dropped any.
    ///
    /// Without it a server whose timeouts are long and mostly removed would keep a key for each until its instant.
    fn compact(&mut self) -> bool {
        let Queue { heap, entries, .. } = self;
        let keys = heap.len();
        if entries.is_empty() {
            heap.clear();
        } else if keys > 2 * entries.len() + 64 {
            heap.retain(|Reverse((_, serial, slot))| entries.get(*slot).is_some_and(|entry| entry.serial == *serial));
        }
        heap.len() < keys
    }
}

/// What a look at the clock has found; used where no lock is held.
pub(super) struct Due<C, S> {
    /// The code whose sleeps have ended, earliest first.
    pub(super) sleeps: Vec<Sleeper<C>>,
    /// The code that was cancelled before its sleeps were due: given nothing (L14), and woken all the same, as a waiter
    /// is that was passed over.
    pub(super) missed: Vec<Sleeper<C>>,
    /// Deadlines and hard times, earliest first.
    pub(super) requests: Vec<S>,
}

/// The timers of a tree; part of the [`Tree`](super::shared::Tree). Used by any thread.
pub(crate) struct Timers<C, S> {
    /// The one lock. It may be locked while a node is (`arm_in`, by which `mark` and the deadlines go), and no node is
    /// locked under it.
    pub(super) queue: PlainMutex<Queue<C, S>>,
    /// No later than the earliest live entry, to be read without the lock: invariant 1. Changed under the queue's lock.
    /// Release and Acquire: a thread that was woken after an insertion finds it.
    pub(super) next: AtomicInstant,
}

impl<C, S> Timers<C, S> {
    /// Makes an empty queue on a timer that is not armed. `alarm` is the waker that it is given.
    pub(crate) fn new(timer: Box<dyn Timer>, alarm: Waker) -> Self {
        let queue = Queue {
            heap: BinaryHeap::new(),
            entries: Slab::new(),
            serial: 0,
            armed: Instant::NEVER,
            host: Some(Host { timer, alarm }),
            ended: false,
        };
        Timers { queue: PlainMutex::new(queue), next: AtomicInstant::new(Instant::NEVER) }
    }

    /// Adds an entry. Returns its key, and whether the host's timer may be armed too late for it: then the caller has
    /// to call [`arm`](Timers::arm), where no lock is held (invariant 3). Only a caller that removes the entry again need
    /// not. May be called with a node locked.
    pub(crate) fn insert(&self, at: Instant, target: Target<C, S>) -> (TimerKey, bool) {
        crate::live_counts::timer(true);
        let mut queue = self.queue.lock();
        let serial = NonZeroU64::MIN.saturating_add(queue.serial);
        queue.serial += 1;
        let slot = queue.entries.insert(Entry { serial, target: Some(target) });
        queue.heap.push(Reverse((at, serial, slot)));
        // Invariant 1.
        if at < self.next.load() {
            self.next.store(at);
        }
        (TimerKey::new(slot, serial), at < queue.armed)
    }

    /// Takes an entry out, if it is still there. Returns what it held, to be dropped where no lock is held; none also
    /// for a sleep that has ended.
    pub(crate) fn remove(&self, key: TimerKey) -> Option<Target<C, S>> {
        let mut queue = self.queue.lock();
        queue.entry(key)?;
        let target = queue.entries.remove(key.slot()).target?;
        crate::live_counts::timer(false);
        // Invariant 1. The host's timer is left as it is: invariant 3 holds all the more.
        if queue.compact() {
            self.next.store(queue.earliest());
        }
        Some(target)
    }

    /// Asks whether a sleep has ended, for the code that is woken by `waker`. An entry whose sleep has ended is gone
    /// afterwards. No lock may be held: if it is not the same code (`is_same`) or waker as before, the waker is cloned
    /// into the entry, with what `code` returns. The other two are asked under the lock.
    ///
    /// A sleep that ended in time is over also for code that is cancelled by now: it was given before (L14). One that
    /// was missed is over for code that is not cancelled, such as a scope that the sleep was moved to.
    pub(crate) fn poll_sleep(
        &self,
        key: TimerKey,
        waker: &Waker,
        is_cancelled: impl Fn() -> bool,
        is_same: impl Fn(&C) -> bool,
        code: impl Fn() -> C,
    ) -> Poll<()> {
        // Invariant 6: declared before the guards below, so dropped after them.
        let mut spare = None;
        let _old;
        loop {
            let mut queue = self.queue.lock();
            let Some(entry) = queue.entry(key) else { return Poll::Ready(()) };
            match &mut entry.target {
                None if is_cancelled() => return Poll::Pending,
                None => {
                    queue.entries.remove(key.slot());
                    return Poll::Ready(());
                }
                Some(Target::Sleep(sleeper)) => {
                    if is_same(&sleeper.code) && sleeper.waker.will_wake(waker) {
                        return Poll::Pending;
                    }
                    // The new sleeper was made without the lock, in the turn before; and the entry was looked at
                    // again, as the sleep may have ended meanwhile.
                    if let Some(new) = spare.take() {
                        _old = mem::replace(sleeper, new);
                        return Poll::Pending;
                    }
                    drop(queue);
                    spare = Some(Sleeper::new(waker, code()));
                }
                Some(Target::Scope(_)) => unreachable!("the key of a sleep names the entry of a sleep"),
            }
        }
    }

    /// Takes out what is due at `now`: one batch. `claim` says whether the code that sleeps may be given the end of its
    /// sleep, and counts that; it takes no lock. Of two threads that come at once each does what it has taken, so the
    /// second one may return before the first one is done.
    pub(super) fn take_due(&self, now: Instant, claim: impl Fn(&C) -> bool) -> Due<C, S> {
        let mut due = Due { sleeps: Vec::new(), missed: Vec::new(), requests: Vec::new() };
        let mut queue = self.queue.lock();
        while let Some(slot) = queue.pop_due(now) {
            crate::live_counts::timer(false);
            match queue.entries[slot].target.take() {
                // L14: decided here, under the lock under which the sleep is polled. Requests that are due in the same
                // batch come after it.
                Some(Target::Sleep(sleeper)) if !claim(&sleeper.code) => {
                    // Its entry stays (invariant 5).
                    due.missed.push(sleeper);
                    continue;
                }
                Some(Target::Sleep(sleeper)) => due.sleeps.push(sleeper),
                Some(Target::Scope(scope)) => due.requests.push(scope),
                None => unreachable!("the keys of the heap are of live entries"),
            }
            queue.entries.remove(slot);
        }
        queue.compact();
        self.next.store(queue.earliest());
        due
    }

    /// Takes the host's timer out, if it has to be armed and no other thread is doing so. Returns for what it has to
    /// be armed, too. The caller arms it and puts it back.
    fn take_host(&self) -> Option<(Host, Instant)> {
        let mut queue = self.queue.lock();
        let at = queue.earliest();
        if at >= queue.armed {
            return None;
        }
        let host = queue.host.take()?;
        queue.armed = at;
        Some((host, at))
    }

    /// Puts the host's timer back; returns it, to be dropped without the lock, if the tree has ended meanwhile.
    fn put_back(&self, host: Host) -> Option<Host> {
        let mut queue = self.queue.lock();
        if queue.ended { Some(host) } else { queue.host.replace(host) }
    }

    /// Arms the host's timer for the earliest entry, unless it is armed for that or something earlier, or another
    /// thread is just doing so. The head of this file says why that is enough.
    ///
    /// No lock may be held: the host's timer may wake inline. Models: `races/timers.rs`,
    /// `each_timer_fires_whatever_others_come_and_go` and `short_sleeps_in_a_deadline_end_with_it`.
    pub(crate) fn arm(&self) {
        while let Some((mut host, at)) = self.take_host() {
            host.timer.arm(at, &host.alarm);
            drop(self.put_back(host));
        }
    }

    /// Drops the host's timer when the tree has ended: nothing fires any more by itself, only for threads that look.
    /// Without it the host's timer would be armed for entries that are left, and keep its waker.
    pub(super) fn disarm(&self) {
        let mut queue = self.queue.lock();
        queue.ended = true;
        let host = queue.host.take();
        drop(queue);
        drop(host);
    }
}
