//! All deadlines and sleeps of one tree over a single timer of the host.
//!
//! A heap of instants, cleaned lazily: removing an entry frees its slot at once (and what the slot held), the key in the
//! heap goes when it comes to the top, or when the dead outnumber the living. The host's timer is armed only when the
//! new entry is earlier than what is armed; it is left in place when an entry goes, and looks again when it fires.
//!
//! Instants are exact. What is due at one moment is handled as one batch: first every request marks its subtree, then
//! everybody is woken (L11), so a deadline further out wins over one further in that falls on the same instant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Wake, Waker};

use slab::Slab;

use super::Tree;
use super::node::NodeRef;
use super::wake::Wakes;
use crate::Instant;
use crate::instant::AtomicInstant;
use crate::runtime::Timer;
use crate::sys::Mutex;
use crate::sys::atomic::{AtomicBool, Ordering};

/// What happens at an instant.
pub(crate) enum Target {
    /// A sleeper is woken.
    Wake(Waker),
    /// A scope's deadline: a request (L8).
    Deadline(NodeRef),
    /// A request's hard time: graceful shields stop holding it off (L11).
    Hard(NodeRef),
}

/// An entry; unique for the life of the tree, but for a wrap around of 32 bits in one slot: each scope has room for one.
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

    fn is(self, serial: NonZeroU64) -> bool {
        self == TimerKey::new(self.slot(), serial)
    }
}

#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Reverse<(Instant, NonZeroU64, usize)>>,
    slots: Slab<(NonZeroU64, Target)>,
    serial: u64,
}

impl Queue {
    fn is_live(&self, serial: NonZeroU64, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|entry| entry.0 == serial)
    }

    /// The earliest live instant; drops dead keys on the way.
    fn earliest(&mut self) -> Instant {
        while let Some(&Reverse((at, serial, slot))) = self.heap.peek() {
            if self.is_live(serial, slot) {
                return at;
            }
            self.heap.pop();
        }
        Instant::NEVER
    }
}

/// The host's timer, and what it is armed for.
struct Host {
    timer: Box<dyn Timer>,
    armed: Instant,
}

/// The timers of a tree.
pub(crate) struct Timers {
    queue: Mutex<Queue>,
    /// The earliest instant in the queue, or an earlier one; changed under the queue's lock.
    next: AtomicInstant,
    host: Mutex<Host>,
    /// The host's timer may be armed too late: whoever holds `host` looks again.
    stale: AtomicBool,
    /// The host's timer has fired since it was last armed.
    fired: AtomicBool,
}

impl Timers {
    pub(crate) fn new(timer: Box<dyn Timer>) -> Self {
        Timers {
            queue: Mutex::default(),
            next: AtomicInstant::new(Instant::NEVER),
            host: Mutex::new(Host { timer, armed: Instant::NEVER }),
            stale: AtomicBool::new(false),
            fired: AtomicBool::new(false),
        }
    }

    fn queue(&self) -> crate::sys::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry. Says whether the host's timer may be armed too late for it: then [`Tree::arm`] has to follow, where no
    /// lock is held.
    pub(crate) fn insert(&self, at: Instant, target: Target) -> (TimerKey, bool) {
        super::census::timer(true);
        let mut queue = self.queue();
        // Or what was the earliest: its timer stays armed when it is gone, and looks again when it fires.
        let earliest = self.next.load();
        let serial = NonZeroU64::MIN.saturating_add(queue.serial);
        queue.serial += 1;
        let slot = queue.slots.insert((serial, target));
        queue.heap.push(Reverse((at, serial, slot)));
        if at < earliest {
            self.next.store(at);
        }
        (TimerKey::new(slot, serial), at < earliest)
    }

    /// Takes an entry out, if it is still there. What it held comes back to be dropped where no lock is held.
    pub(crate) fn remove(&self, key: TimerKey) -> Option<Target> {
        let mut queue = self.queue();
        queue.slots.get(key.slot()).filter(|(serial, _)| key.is(*serial))?;
        super::census::timer(false);
        let (_, target) = queue.slots.remove(key.slot());
        if queue.heap.len() > 2 * queue.slots.len() + 64 {
            let Queue { heap, slots, .. } = &mut *queue;
            heap.retain(|Reverse((_, serial, slot))| slots.get(*slot).is_some_and(|entry| entry.0 == *serial));
        }
        Some(target)
    }

    /// Replaces the waker of a sleeper; the old one comes back to be dropped where no lock is held.
    pub(crate) fn rewake(&self, key: TimerKey, waker: &Waker) -> Option<Waker> {
        let mut spare = None;
        loop {
            let mut queue = self.queue();
            let (serial, target) = queue.slots.get_mut(key.slot())?;
            match target {
                Target::Wake(old) if key.is(*serial) && !old.will_wake(waker) => match spare.take() {
                    Some(new) => return Some(std::mem::replace(old, new)),
                    // No lock is held while a waker is cloned (L36).
                    None => {
                        drop(queue);
                        spare = Some(waker.clone());
                    }
                },
                _ => return spare,
            }
        }
    }

    /// Whether anything may be due at `now`: a load, no lock.
    fn may_be_due(&self, now: Instant) -> bool {
        self.next.load() <= now
    }

    fn take_due(&self, now: Instant) -> Vec<Target> {
        let mut queue = self.queue();
        let mut due = Vec::new();
        while queue.earliest() <= now {
            if let Some(Reverse((_, _, slot))) = queue.heap.pop() {
                super::census::timer(false);
                due.push(queue.slots.remove(slot).1);
            }
        }
        self.next.store(queue.earliest());
        due
    }
}

impl Tree {
    /// Does what is due by the clock. Called by the host's timer, and by whoever has to know exactly (L8).
    pub(crate) fn fire_due(self: &Arc<Self>) {
        // Without any timer there is no need to read the clock.
        if self.timers.next.load() == Instant::NEVER {
            return;
        }
        let now = self.now();
        if !self.timers.may_be_due(now) {
            return;
        }
        let due = self.timers.take_due(now);
        let mut wakes = Wakes::default();
        let (sleepers, due): (Vec<Target>, Vec<Target>) =
            due.into_iter().partition(|target| matches!(target, Target::Wake(_)));
        for target in sleepers {
            if let Target::Wake(waker) = target {
                super::quiet::wake_quietly(waker);
            }
        }
        for target in &due {
            match target {
                Target::Wake(_) => {}
                Target::Deadline(node) => node.mark_deadline(self, now, &mut wakes),
                Target::Hard(node) => node.mark_hard(now, &mut wakes),
            }
        }
        wakes.wake();
    }

    /// Arms the host's timer for the earliest entry, unless it is armed for that or something earlier.
    ///
    /// The host's timer may call back inline, so nobody waits for the lock around it: whoever finds it taken leaves a
    /// note, and the holder looks again.
    pub(crate) fn arm(self: &Arc<Self>) {
        self.timers.stale.store(true, Ordering::SeqCst);
        while self.timers.stale.load(Ordering::SeqCst) {
            let Ok(mut host) = self.timers.host.try_lock() else { return };
            while self.timers.stale.swap(false, Ordering::SeqCst) {
                if self.timers.fired.swap(false, Ordering::SeqCst) {
                    host.armed = Instant::NEVER;
                }
                let at = self.timers.queue().earliest();
                if at < host.armed {
                    host.armed = at;
                    let waker = Waker::from(Arc::new(Alarm(Arc::downgrade(self))));
                    host.timer.arm(at, &waker);
                }
            }
        }
    }

    /// The host's timer has fired: nothing is armed now.
    fn alarm(self: &Arc<Self>) {
        self.timers.fired.store(true, Ordering::SeqCst);
        self.fire_due();
        self.arm();
    }

    /// Lets go of the host's timer when the tree has ended.
    pub(crate) fn disarm(&self) {
        if let Ok(mut host) = self.timers.host.try_lock() {
            host.armed = Instant::NEVER;
            host.timer.disarm();
        }
    }
}

/// The waker given to the host's timer.
struct Alarm(Weak<Tree>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(tree) = self.0.upgrade() {
            tree.alarm();
        }
    }
}
