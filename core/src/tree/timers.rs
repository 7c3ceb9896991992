//! All deadlines, hard times and sleeps of one tree: one queue in the order of their instants, one lock for it, one timer
//! of the host. A second lock sees to it that one thread at a time does what is due.
//!
//! An *entry* is a [`TimerKey`], which begins with its instant, and a [`Target`]. It is in the queue from its insertion
//! until it fires or is removed. Most limits are removed before they fire.
//!
//! A `BTreeMap` and not a binary heap: an entry is removed when it is not needed any more, and leaves nothing behind.
//!
//! # Invariants
//!
//! They hold whenever nobody has the lock.
//!
//! 1. `next` is no later than the earliest entry, nor than what is being taken out and is not marked yet. So a thread that
//!    asks without the lock whether anything may be due is never told "no" too late. It may be earlier, after a removal: that
//!    costs one look for nothing.
//! 2. `armed` is the instant for which the host's timer is armed, or is just being armed by the thread that has taken
//!    the timer out of `host`; `NEVER` if it has fired, or was never armed. Only [`Timers::arm`] lowers it, and
//!    only the alarm raises it, to `NEVER`.
//! 3. `armed` is no later than the earliest entry, or a call of [`Timers::arm`] is still to come, or the thread that
//!    has the host's timer has not finished its own. So once all of these have finished, the host's timer is armed for
//!    the earliest entry or for an earlier instant.
//! 4. The key of a sleep that was missed stays among the `missed` until the [`Sleep`](crate::future::Sleep) takes note of
//!    its end, or is dropped. So a sleep that is neither there nor in the queue has ended in time.
//! 5. Under the lock no waker is cloned or called, no waker and no [`NodeRef`] is dropped, and the host's timer is neither
//!    armed nor dropped (L36).
//!
//! # Why no timer is lost
//!
//! Invariant 3 can be broken in two ways. An insertion of an entry earlier than `armed` says so, and its caller has to
//! call `arm`. The host's timer fires: the `Alarm` (in `deadline.rs`) sets `armed` to `NEVER`, and calls `arm` after
//! what was due. A removal cannot break it, for the earliest entry only becomes a later one: the host's timer stays armed
//! for an instant that may be too early, wakes for nothing, and is armed again.
//!
//! `arm` compares the earliest entry with `armed` under the lock. If the timer may be armed too late, it takes the
//! timer out, arms it without the lock, puts it back, and compares again. If another thread has the timer, `arm`
//! returns: that thread compares once more after it has put the timer back, which comes after this comparison. So nobody
//! waits for anybody, and the one thread that arms does so for all.
//!
//! The host may wake the alarm late, when its timer has been armed for another instant meanwhile, or for nothing
//! (R6). Then `armed` is `NEVER` although the timer is armed, and it is armed once more: too often, never too late.
//! The host may also wake it inside `Timer::arm`. Then the alarm fires what is due, and its own `arm` leaves the rest
//! to the call further out.
//!
//! # The order of what is due
//!
//! Nobody may have looked at the clock for long, while a thread computed. All that has become due meanwhile happens
//! instant by instant, as if somebody had. At each instant the sleeps end first, and their code is runnable; then the
//! requests are marked. So an operation that ends at the deadline still wins, and a sleep that was due after it is
//! *missed*: code that is cancelled is given nothing more (L14).
//!
//! When all are marked, the sleepers are woken, and those whom the requests concern. So no user code runs between two marks
//! (L11), and of two deadlines that passed unseen the one further out wins.
//!
//! One thread does that at a time (`marking`). Otherwise a second one could end a sleep while the first one is still marking
//! what was due before it. So when a thread has looked, all that was due is marked, whoever did it. A request of another
//! sort holds that lock, too: it takes the place of the scope's deadline, whose entry is gone before all below is marked.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::num::NonZeroU64;
use std::task::{Poll, Waker};

use crate::Instant;
use crate::instant::AtomicInstant;
use crate::runtime::timer::Timer;
use crate::sys::PlainMutex;

// On a clock that the tests put forward. Several threads at once are modelled in `core/src/races/timers.rs`.
#[cfg(all(test, not(foster_shuttle)))]
pub(super) mod tests;

/// An event that is due at an instant. It is moved under the queue's lock, and cloned and dropped without it
/// (invariant 5).
///
/// The types of code (`C`) and scopes (`S`) are of no interest here: `shared.rs` names them.
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

/// Names an entry, and orders them: of two of one instant the one that was inserted first comes first (L39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    at: Instant,
    /// The number of the insertion. Never zero, so that an `Option` of a key is no larger.
    serial: NonZeroU64,
}

/// The timer of the host, and the waker that it is given. One of each for a tree: it is armed again and again.
struct Host {
    /// The adapter's timer. Armed and dropped without a lock: it may wake inline (R6).
    timer: Box<dyn Timer>,
    alarm: Waker,
}

/// The data under the lock of the timers.
pub(super) struct Queue<C, S> {
    /// The entries, the earliest first.
    entries: BTreeMap<TimerKey, Target<C, S>>,
    /// The sleeps whose time was over when their code was cancelled, and that were not polled since.
    missed: BTreeSet<TimerKey>,
    /// The number of the next insertion.
    serial: NonZeroU64,
    /// For when the host's timer is armed: invariant 2.
    pub(super) armed: Instant,
    /// None while a thread is arming it, and after the end of the tree.
    host: Option<Host>,
    /// The tree has ended: the host's timer is not put back.
    ended: bool,
}

impl<C, S> Queue<C, S> {
    /// Returns the instant of the earliest entry.
    fn earliest(&self) -> Instant {
        self.entries.first_key_value().map_or(Instant::NEVER, |(key, _)| key.at)
    }
}

/// All that was due; used where no lock is held.
pub(super) struct Due<C, S> {
    /// The code whose sleeps have ended, earliest first.
    pub(super) sleeps: Vec<Sleeper<C>>,
    /// The code that was cancelled before its sleeps were due: given nothing (L14), and woken all the same, as a waiter
    /// is that was passed over.
    pub(super) missed: Vec<Sleeper<C>>,
    /// The scopes whose deadlines and hard times were marked, earliest first.
    pub(super) marked: Vec<S>,
}

/// The timers of a tree; part of the [`Tree`](super::shared::Tree). Used by any thread.
pub(crate) struct Timers<C, S> {
    /// The lock of all entries. It may be locked while a node is (`arm_in`, by which `mark` and the deadlines go;
    /// `promote`), and no node is locked under it.
    pub(super) queue: PlainMutex<Queue<C, S>>,
    /// Held by the thread that takes out what is due, until all of it is marked; and by one that makes a request, until
    /// all is marked that it reaches. Locked before any node, and, as these, never while code of the user runs (L36).
    pub(super) marking: PlainMutex<()>,
    /// Until when nothing is due, to be read without the lock: invariant 1. Changed under the queue's lock. Release and
    /// Acquire: a thread that was woken after an insertion finds it.
    pub(super) next: AtomicInstant,
}

impl<C, S> Timers<C, S> {
    /// Makes an empty queue on a timer that is not armed. `alarm` is the waker that it is given.
    pub(crate) fn new(timer: Box<dyn Timer>, alarm: Waker) -> Self {
        let queue = Queue {
            entries: BTreeMap::new(),
            missed: BTreeSet::new(),
            serial: NonZeroU64::MIN,
            armed: Instant::NEVER,
            host: Some(Host { timer, alarm }),
            ended: false,
        };
        Timers {
            queue: PlainMutex::new(queue),
            marking: PlainMutex::default(),
            next: AtomicInstant::new(Instant::NEVER),
        }
    }

    /// Adds the entry that `make` returns with something else, which is returned, and whether the host's timer may be armed
    /// too late for it: then the caller has to call [`arm`](Timers::arm), where no lock is held (invariant 3). Only a caller
    /// that removes the entry again need not. May be called with a node locked; `make` moves plain data.
    pub(crate) fn insert<R>(&self, at: Instant, make: impl FnOnce(TimerKey) -> (Target<C, S>, R)) -> (R, bool) {
        crate::live_counts::timer(true);
        let mut queue = self.queue.lock();
        let key = TimerKey { at, serial: queue.serial };
        queue.serial = queue.serial.saturating_add(1);
        let (target, made) = make(key);
        queue.entries.insert(key, target);
        // Invariant 1.
        if at < self.next.load() {
            self.next.store(at);
        }
        (made, at < queue.armed)
    }

    /// Takes an entry out, if it is still there. Returns what it held, to be dropped where no lock is held; none also
    /// for a sleep that has ended.
    pub(crate) fn remove(&self, key: TimerKey) -> Option<Target<C, S>> {
        let mut queue = self.queue.lock();
        let Some(target) = queue.entries.remove(&key) else {
            queue.missed.remove(&key);
            return None;
        };
        crate::live_counts::timer(false);
        // `next` and the host's timer are left as they are: invariants 1 and 3 hold all the more.
        Some(target)
    }

    /// Asks whether a sleep has ended, for the code that polls it now, which sleeps in the place of the one before. Nothing
    /// is left of a sleep that has ended. No lock may be held; `is_cancelled` is asked under this one.
    ///
    /// A sleep that ended in time is over also for code that is cancelled by now: it was given before (L14). One that
    /// was missed is over for code that is not cancelled, such as a scope that the sleep was moved to.
    pub(crate) fn poll_sleep(
        &self,
        key: TimerKey,
        mut sleeper: Sleeper<C>,
        is_cancelled: impl Fn(&C) -> bool,
    ) -> Poll<()> {
        // Invariant 5: dropped before the sleeper, which is a parameter.
        let mut queue = self.queue.lock();
        let Queue { entries, missed, .. } = &mut *queue;
        match entries.get_mut(&key) {
            None if missed.contains(&key) && is_cancelled(&sleeper.code) => Poll::Pending,
            None => {
                missed.remove(&key);
                Poll::Ready(())
            }
            Some(Target::Sleep(before)) => {
                mem::swap(before, &mut sleeper);
                Poll::Pending
            }
            Some(Target::Scope(_)) => unreachable!("the key of a sleep names the entry of a sleep"),
        }
    }

    /// Takes out what is due at `now`, instant by instant, and returns when all of it is marked. `claim` says whether the code
    /// that sleeps may be given the end of its sleep, and counts that; it takes no lock. `mark` marks a scope whose instant has
    /// come; it may lock nodes, and runs no code of the user.
    pub(super) fn take_due(&self, now: Instant, claim: fn(&C) -> bool, mut mark: impl FnMut(&S, Instant)) -> Due<C, S> {
        let mut due = Due { sleeps: Vec::new(), missed: Vec::new(), marked: Vec::new() };
        let _alone = self.marking.lock();
        let mut queue = self.queue.lock();
        loop {
            let mut until = now;
            let first = due.marked.len();
            let Queue { entries, missed, .. } = &mut *queue;
            while let Some(entry) = entries.first_entry().filter(|entry| entry.key().at <= until) {
                let (key, target) = entry.remove_entry();
                crate::live_counts::timer(false);
                match target {
                    // L14: decided here, under the lock under which the sleep is polled.
                    Target::Sleep(sleeper) if !claim(&sleeper.code) => {
                        // Invariant 4.
                        missed.insert(key);
                        due.missed.push(sleeper);
                    }
                    Target::Sleep(sleeper) => due.sleeps.push(sleeper),
                    // Nothing that is due later comes before it is marked.
                    Target::Scope(scope) => {
                        until = key.at;
                        due.marked.push(scope);
                    }
                }
            }
            if first == due.marked.len() {
                // Invariant 1. Not before: until then a thread that looks waits for `marking`.
                self.next.store(queue.earliest());
                return due;
            }
            drop(queue);
            due.marked[first..].iter().for_each(|scope| mark(scope, until));
            queue = self.queue.lock();
        }
    }

    /// Arms the host's timer for the earliest entry, unless it is armed for that or something earlier, or another
    /// thread is just doing so. The head of this file says why that is enough.
    ///
    /// No lock may be held: the host's timer may wake inline. Models: `races/timers.rs`,
    /// `each_timer_fires_whatever_others_come_and_go` and `short_sleeps_in_a_deadline_end_with_it`.
    pub(crate) fn arm(&self) {
        let mut queue = self.queue.lock();
        loop {
            let at = queue.earliest();
            let is_late = at < queue.armed;
            // None if it need not be armed, or another thread is doing so.
            let Some(mut host) = queue.host.take_if(|_| is_late) else { return };
            queue.armed = at;
            drop(queue);
            host.timer.arm(at, &host.alarm);
            queue = self.queue.lock();
            // It is put back, unless the tree has ended meanwhile.
            if queue.ended {
                drop(queue);
                return drop(host);
            }
            queue.host = Some(host);
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
