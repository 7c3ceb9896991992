//! All deadlines, hard times and sleeps of one tree: one heap, one lock, one timer of the host.
//!
//! An *entry* is an instant and a [`Target`]. It is *live* from its insertion until it fires or is removed. The heap holds one
//! key for each live entry, and keys of dead ones: a removal frees the entry at once, and leaves its key until that comes to
//! the top or until there are more dead keys than live ones.
//!
//! # Invariants
//!
//! They hold whenever nobody has the lock.
//!
//! 1. `next` is the instant of the earliest live entry. So a thread that asks without the lock whether anything may be due is
//!    never told "no" too late. (It is stored anew in each critical section that changes which entry is the earliest.)
//! 2. `armed` is the instant for which the host's timer is armed, or is just being armed by the thread that has taken the timer
//!    out of `host`; `NEVER` if it has fired, or was never armed. Only [`Timers::take_host`] lowers it, and only the alarm
//!    raises it, to `NEVER`.
//! 3. `armed <= next`, or a call of [`Tree::arm`] is still to come, or the thread that has the host's timer has not finished its
//!    own. So once all of these have finished, the host's timer is armed for the earliest live entry or for an earlier instant.
//! 4. The heap holds at most `2 * live + 64` keys.
//! 5. The entry of a sleep stays until the [`Sleep`](crate::Sleep) takes note of its end, or is dropped. All others go when they fire.
//! 6. Under the lock no waker and no [`NodeRef`] is cloned, called or dropped, and the host's timer is neither armed nor dropped (L36).
//!
//! # Why no timer is lost
//!
//! Invariant 3 can be broken in two ways. An insertion of an entry earlier than `armed` says so, and its caller has to call `arm`.
//! The host's timer fires: the [`Alarm`] sets `armed` to `NEVER`, and calls `arm` after what was due. A removal cannot break it, for
//! `next` only grows: the host's timer stays armed for an instant that may be too early, wakes for nothing, and is armed again.
//!
//! `arm` compares `next` with `armed` under the lock. If the timer may be armed too late, it takes the timer out, arms it without the
//! lock, puts it back, and compares again. If another thread has the timer, `arm` returns: that thread compares once more after it has
//! put the timer back, which comes after this comparison. So nobody waits for anybody, and the one thread that arms does so for all.
//!
//! The host may wake the alarm late, when its timer has been armed for another instant meanwhile, or for nothing (R6). Then `armed` is
//! `NEVER` although the timer is armed, and it is armed once more: too often, never too late. The host may also wake it inside
//! `Timer::arm`. Then the alarm fires what is due, and its own `arm` leaves the rest to the call further out.
//!
//! # What is due together
//!
//! Everything that is due when a thread looks at the clock is one batch. First the sleeps end, and their code is runnable; then all
//! requests of the batch are marked; then the sleepers are woken, and those whom the requests concern. So an operation that ends at the deadline still
//! wins, no user code runs between two marks (L11), and a deadline further out wins over one further in that falls on the same instant.
//!
//! Whether a sleep ends or is *missed* is decided when its batch is taken out: code that was cancelled before that is given
//! nothing more (L14).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Poll, Wake, Waker};

use slab::Slab;

use super::Tree;
use super::flags::CANCELLED;
use super::node::NodeRef;
use super::panic::catch_drop;
use super::wake::DriverWakes;
use crate::Instant;
use crate::instant::AtomicInstant;
use crate::runtime::Timer;
use crate::sys::{Mutex, MutexGuard};
use crate::tree::waking;

#[cfg(all(test, not(foster_shuttle)))]
mod tests;

/// What happens at an instant.
pub(crate) enum Target {
    /// A sleep ends.
    Sleep(Sleeper),
    /// A scope's deadline: a request (L8).
    Deadline(NodeRef),
    /// A request's hard time: graceful shields stop holding it off (L11).
    Hard(NodeRef),
}

/// The code that sleeps.
pub(crate) struct Sleeper {
    waker: Waker,
    /// The scope that the code was in when it polled the sleep; none outside of any tree.
    scope: Option<NodeRef>,
}

impl Sleeper {
    pub(crate) fn new(waker: &Waker, scope: Option<&NodeRef>) -> Self {
        Sleeper { waker: waker.clone(), scope: scope.cloned() }
    }

    fn is(&self, waker: &Waker, scope: Option<&NodeRef>) -> bool {
        let same_scope = match (&self.scope, scope) {
            (Some(old), Some(new)) => old.is(new),
            (None, None) => true,
            _ => false,
        };
        same_scope && self.waker.will_wake(waker)
    }

    fn is_cancelled(&self) -> bool {
        self.scope.as_ref().is_some_and(|scope| scope.flagged(CANCELLED))
    }
}

/// Names an entry; unique for the life of the tree, but for a wrap around of 32 bits in one slot: each scope has room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    slot: u32,
    /// The lower half of the serial number.
    serial: NonZeroU32,
}

impl TimerKey {
    fn new(slot: usize, serial: NonZeroU64) -> Self {
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        TimerKey { slot, serial: NonZeroU32::new(serial.get() as u32).unwrap_or(NonZeroU32::MAX) }
    }

    fn slot(self) -> usize {
        self.slot as usize
    }
}

struct Entry {
    serial: NonZeroU64,
    state: EntryState,
}

/// ```text
///            ┌─ take_due: the code that sleeps is not cancelled ─▶ Fired ──┐
///   Live ────┤                                                             ├─▶ gone
///            ├─ take_due: it is cancelled ─▶ Missed ── poll_sleep, remove ─┤
///            └─ take_due: not a sleep; remove ─────────────────────────────┘
/// ```
enum EntryState {
    /// Its key is in the heap.
    Live(Target),
    /// A sleep that has ended, which its code has not noted yet.
    Fired,
    /// A sleep whose time was over when its code was cancelled.
    Missed,
}

/// The timer of the host, and the waker that it is given.
struct Host {
    timer: Box<dyn Timer>,
    /// None before it is armed for the first time.
    alarm: Option<Waker>,
}

struct Queue {
    heap: BinaryHeap<Reverse<(Instant, NonZeroU64, usize)>>,
    entries: Slab<Entry>,
    /// How many entries are live.
    live: usize,
    serial: u64,
    armed: Instant,
    /// None while a thread is arming it, and after the end of the tree.
    host: Option<Host>,
    /// The tree has ended: the host's timer is not put back.
    ended: bool,
}

impl Queue {
    fn is_live(&self, serial: NonZeroU64, slot: usize) -> bool {
        self.entries.get(slot).is_some_and(|entry| entry.serial == serial)
    }

    fn entry(&mut self, key: TimerKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.slot()).filter(|entry| TimerKey::new(key.slot(), entry.serial) == key)
    }

    /// Returns the earliest live instant; drops dead keys on the way.
    fn earliest(&mut self) -> Instant {
        while let Some(&Reverse((at, serial, slot))) = self.heap.peek() {
            // A sleep that has ended has no key any more: it was taken out of the heap.
            if self.is_live(serial, slot) {
                return at;
            }
            self.heap.pop();
        }
        Instant::NEVER
    }

    /// Takes the key of the earliest live entry out of the heap, if that is due. The caller makes the entry a dead one.
    fn pop_due(&mut self, now: Instant) -> Option<usize> {
        if self.live == 0 || self.earliest() > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, slot))| slot)
    }

    /// Invariant 4. At least half of the keys go, so each removal pays for a constant number of them.
    fn compact(&mut self) {
        if self.heap.len() > 2 * self.live + 64 {
            let Queue { heap, entries, .. } = self;
            heap.retain(|Reverse((_, serial, slot))| entries.get(*slot).is_some_and(|entry| entry.serial == *serial));
        }
    }
}

/// What a look at the clock has found.
#[derive(Default)]
struct Due {
    sleeps: Vec<Sleeper>,
    /// To be dropped.
    missed: Vec<Sleeper>,
    /// Deadlines and hard times, earliest first.
    requests: Vec<Target>,
}

/// The timers of a tree.
pub(crate) struct Timers {
    queue: Mutex<Queue>,
    /// Invariant 1; changed under the queue's lock.
    next: AtomicInstant,
}

impl Timers {
    pub(crate) fn new(timer: Box<dyn Timer>) -> Self {
        let queue = Queue {
            heap: BinaryHeap::new(),
            entries: Slab::new(),
            live: 0,
            serial: 0,
            armed: Instant::NEVER,
            host: Some(Host { timer, alarm: None }),
            ended: false,
        };
        Timers { queue: Mutex::new(queue), next: AtomicInstant::new(Instant::NEVER) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry. Says whether the host's timer may be armed too late for it: then the caller has to call [`Tree::arm`], where
    /// no lock is held (invariant 3). Only a caller that removes the entry again need not.
    pub(crate) fn insert(&self, at: Instant, target: Target) -> (TimerKey, bool) {
        super::live_counts::timer(true);
        let mut queue = self.queue();
        let serial = NonZeroU64::MIN.saturating_add(queue.serial);
        queue.serial += 1;
        queue.live += 1;
        let slot = queue.entries.insert(Entry { serial, state: EntryState::Live(target) });
        queue.heap.push(Reverse((at, serial, slot)));
        // Invariant 1.
        if at < self.next.load() {
            self.next.store(at);
        }
        (TimerKey::new(slot, serial), at < queue.armed)
    }

    /// Takes an entry out, if it is still there. What it held comes back to be dropped where no lock is held.
    pub(crate) fn remove(&self, key: TimerKey) -> Option<Target> {
        let mut queue = self.queue();
        queue.entry(key)?;
        let EntryState::Live(target) = queue.entries.remove(key.slot()).state else { return None };
        super::live_counts::timer(false);
        queue.live -= 1;
        queue.compact();
        // Invariant 1. The host's timer is left as it is: invariant 3 holds all the more.
        self.next.store(queue.earliest());
        Some(target)
    }

    /// Asks whether a sleep has ended, for code in `scope` that is woken by `waker`. An entry whose sleep has ended is gone
    /// afterwards.
    ///
    /// A sleep that ended in time is over also for code that is cancelled by now: it was given before. One that was missed is over
    /// for code that is not cancelled.
    pub(crate) fn poll_sleep(&self, key: TimerKey, waker: &Waker, scope: Option<&NodeRef>) -> Poll<()> {
        // Invariant 6: declared before the guards below, so dropped after them.
        let mut spare = None;
        let _old;
        loop {
            let mut queue = self.queue();
            let Some(entry) = queue.entry(key) else {
                unreachable!("invariant 5: the entry of a sleep stays until the sleep has noted its end")
            };
            match &mut entry.state {
                EntryState::Fired => {}
                EntryState::Missed if scope.is_some_and(|scope| scope.flagged(CANCELLED)) => return Poll::Pending,
                EntryState::Missed => {}
                EntryState::Live(Target::Sleep(sleeper)) if sleeper.is(waker, scope) => return Poll::Pending,
                EntryState::Live(Target::Sleep(sleeper)) => {
                    if let Some(new) = spare.take() {
                        _old = mem::replace(sleeper, new);
                        return Poll::Pending;
                    }
                    drop(queue);
                    spare = Some(Sleeper::new(waker, scope));
                    continue;
                }
                EntryState::Live(_) => unreachable!("invariant 5: the key of a sleep names the entry of a sleep"),
            }
            queue.entries.remove(key.slot());
            return Poll::Ready(());
        }
    }

    /// Takes out what is due.
    fn take_due(&self, now: Instant) -> Due {
        let mut due = Due::default();
        let mut queue = self.queue();
        while let Some(slot) = queue.pop_due(now) {
            super::live_counts::timer(false);
            queue.live -= 1;
            let Some(Entry { state: EntryState::Live(Target::Sleep(sleeper)), .. }) = queue.entries.get(slot) else {
                if let EntryState::Live(target) = queue.entries.remove(slot).state {
                    due.requests.push(target);
                }
                continue;
            };
            // L14: decided here, under the lock under which the sleep is polled.
            let (list, state) = match sleeper.is_cancelled() {
                false => (&mut due.sleeps, EntryState::Fired),
                true => (&mut due.missed, EntryState::Missed),
            };
            if let EntryState::Live(Target::Sleep(sleeper)) = mem::replace(&mut queue.entries[slot].state, state) {
                list.push(sleeper);
            }
        }
        queue.compact();
        self.next.store(queue.earliest());
        due
    }

    /// Takes the host's timer out, if it has to be armed and no other thread is doing so. Returns for what it has to be armed, too.
    fn take_host(&self) -> Option<(Host, Instant)> {
        let mut queue = self.queue();
        let at = queue.earliest();
        if at >= queue.armed {
            return None;
        }
        let host = queue.host.take()?;
        queue.armed = at;
        Some((host, at))
    }

    /// Puts the host's timer back; gives it to be dropped if the tree has ended meanwhile.
    fn put_back(&self, host: Host) -> Option<Host> {
        let mut queue = self.queue();
        if queue.ended { Some(host) } else { queue.host.replace(host) }
    }
}

impl Tree {
    /// Does what is due by the clock. Called by the host's timer, and by whoever has to know exactly (L8).
    pub(crate) fn fire_due(self: &Arc<Self>) {
        // Without any timer there is no need to read the clock.
        let next = self.timers.next.load();
        if next == Instant::NEVER {
            return;
        }
        let now = self.now();
        if next > now {
            return;
        }
        let Due { sleeps, missed, requests } = self.timers.take_due(now);
        // L12: the code that slept is runnable, before anything is requested; but it runs only after that.
        sleeps.iter().filter_map(|sleeper| sleeper.scope.as_ref()).for_each(NodeRef::count_task_wake);
        let mut wakes = DriverWakes::default();
        for target in &requests {
            match target {
                Target::Sleep(_) => {}
                Target::Deadline(node) => node.request_at_deadline(self, now, &mut wakes),
                Target::Hard(node) => node.end_grace(now, &mut wakes),
            }
        }
        wake_each(sleeps);
        wakes.wake();
        catch_drop((missed, requests));
    }

    /// Arms the host's timer for the earliest entry, unless it is armed for that or something earlier, or another thread is just
    /// doing so. The head of this file says why that is enough.
    pub(crate) fn arm(self: &Arc<Self>) {
        while let Some((mut host, at)) = self.timers.take_host() {
            let alarm = host.alarm.get_or_insert_with(|| Waker::from(Arc::new(Alarm(Arc::downgrade(self)))));
            host.timer.arm(at, alarm);
            drop(self.timers.put_back(host));
        }
    }

    /// Lets go of the host's timer when the tree has ended: nothing fires any more, unless somebody looks.
    pub(crate) fn disarm(&self) {
        let mut queue = self.timers.queue();
        queue.ended = true;
        let host = queue.host.take();
        drop(queue);
        drop(host);
    }
}

/// The waker given to the host's timer.
struct Alarm(Weak<Tree>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(tree) = self.0.upgrade() else { return };
        // Invariant 2. From here on this thread has to come to `arm`, so what it runs before that must not unwind.
        tree.timers.queue().armed = Instant::NEVER;
        tree.fire_due();
        tree.arm();
    }
}

/// Calls the wakers of sleeps that have ended: each, whatever the others do.
fn wake_each(sleeps: Vec<Sleeper>) {
    for Sleeper { waker, scope } in sleeps {
        match &scope {
            Some(scope) => waking::wake_for(scope, waker),
            None => waking::wake(waker),
        }
    }
}
