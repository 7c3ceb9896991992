//! The host's clock, and timers on async-io's reactor.
//!
//! The origin is that of all adapters on the host's clock, so their instants compare.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time;

use foster::Instant;
use foster::runtime::{Timer, host_clock};

/// Reads the clock (R5).
#[expect(clippy::disallowed_methods, reason = "an adapter is where the host's clock is read")]
pub(crate) fn now() -> Instant {
    host_clock::from_std(time::Instant::now())
}

/// One entry in the reactor, which the reactor serves from a thread of its own when no other thread does (R7).
pub(crate) struct SmolTimer {
    entry: async_io::Timer,
    slot: Arc<Slot>,
}

impl SmolTimer {
    pub(crate) fn new() -> Self {
        SmolTimer { entry: async_io::Timer::never(), slot: Arc::default() }
    }
}

impl Timer for SmolTimer {
    fn arm(&mut self, at: Instant, waker: &Waker) {
        let Some(at) = host_clock::to_std(at) else { return self.disarm() };
        self.slot.fill(waker);
        self.entry.set_at(at);
        // The first poll hands the slot to the reactor; a later one only looks whether the instant has passed.
        let slot = Waker::from(Arc::clone(&self.slot));
        if Pin::new(&mut self.entry).poll(&mut Context::from_waker(&slot)).is_ready() {
            waker.wake_by_ref();
        }
    }

    fn disarm(&mut self) {
        self.entry.clear();
        self.slot.empty();
    }
}

impl Drop for SmolTimer {
    fn drop(&mut self) {
        self.slot.empty();
    }
}

/// The waker that the reactor gets, in place of foster's.
///
/// The reactor only notes that an entry was removed, and keeps its waker until its next turn, which may be as far away
/// as the instant itself. R6 wants the waker released at once: so the reactor gets this slot, and foster's waker is in
/// it. (Not `atomic_waker::AtomicWaker`: a wake-up takes the waker out of that.) It is the tree's own waker, so to clone it
/// under the lock is to count it.
#[derive(Default)]
struct Slot(Mutex<Option<Waker>>);

impl Slot {
    fn fill(&self, waker: &Waker) {
        let mut slot = self.lock();
        if slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            return;
        }
        let old = slot.replace(waker.clone());
        drop(slot);
        // L36: a waker's drop is foreign code, so it runs after the lock.
        drop(old);
    }

    fn empty(&self) {
        let old = mem::take(&mut *self.lock());
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Subtle: the waker stays in the slot. This may be a late wake of an entry that has been armed again meanwhile;
        // the wake that counts is still to come then.
        let waker = self.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
