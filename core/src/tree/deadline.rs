//! The clock: deadlines, and what is due (L8, L10).
//!
//! A deadline is a request at its instant, and until then an entry in the timers. It is made when the host's timer
//! fires, or when somebody looks at the clock who has to know exactly: [`Tree::fire_due`].

use std::sync::{Arc, Weak};
use std::task::Wake;

use super::cancel_state::ShieldLevel;
use super::flags::{CANCELLED, TIMED};
use super::node::{Life, NodeRef, State, WaitingCode};
use super::panic::catch_drop;
use super::polled::without_counting;
use super::shared::{Target, Tree};
use super::timers::{Due, Sleeper};
use super::wake::DriverWakes;
use super::waking;
use crate::Instant;
use crate::reason::{Reason, ReasonKind};
use crate::sys::MutexGuard;

impl Tree {
    /// Does what is due by the clock. Called by the host's timer, and by whoever has to know exactly (L8): so what is
    /// due at an instant has happened for all code that looks at the clock after it, whether or not the host's timer
    /// has fired.
    ///
    /// No lock may be held: wakers are called. It does not arm the timer again. If another thread fires at the same time, this
    /// waits until that one has marked what was due; it may still be waking.
    pub(crate) fn fire_due(&self) {
        // The fast path, of each operation in code with a deadline: one load, and one look at the clock. A stale `next` is
        // one that was right a moment ago: an insertion that this thread has to see came before, in its own order or by a
        // wake-up.
        let next = self.timers.next.load();
        if next == Instant::NEVER || next > self.now() {
            return;
        }
        // L12: code that slept is runnable from the end of its sleep on, before anything of the same instant or a later one
        // is requested; but it runs only after that. So it gets its one poll, in which it finds that its sleep has ended.
        // L11: no wake-up comes between two marks.
        let mut wakes = DriverWakes::default();
        let mark = |node: &NodeRef, at| node.timer_fired(at, &mut wakes);
        let Due { sleeps, missed, marked } = self.timers.take_due(self.now(), WaitingCode::claim, mark);
        // L11: wake-ups of an instant before those of its requests; and all of them after all marks. `marked` may hold the last
        // references to scopes.
        wake_each(sleeps);
        wakes.wake();
        // A sleep that was missed is over in other code, where it may be polled next, and by a combinator that polls only
        // what was woken: as for every waiter that is passed over.
        without_counting(|| wake_each(missed));
        catch_drop(marked);
    }
}

impl NodeRef {
    /// Does what the scope's timer is armed for: makes the request of a deadline that has passed (L8), or ends the
    /// grace of a request. Called by the timers, which hold `marking`, and by the handle of a scope that was not entered
    /// yet; no node may be locked. Does nothing if the instant was moved away meanwhile.
    pub(crate) fn timer_fired(&self, now: Instant, wakes: &mut DriverWakes) {
        let mut state = self.lock();
        if state.life == Life::Closed || state.next_instant() > now {
            return;
        }
        state.timer = None;
        if state.request().is_some() {
            drop(state);
            // Graceful shields below hold nothing off any more (L11, L20). With a number of its own: code behind them becomes
            // cancelled now, and what was given to it since the request counts as given before (L14).
            let number = self.tree().map_or(1, |tree| tree.next_request());
            return self.propagate(false, now, number, true, wakes);
        }
        let at = state.deadline;
        drop(state);
        let reason = Reason::new(ReasonKind::Deadline).with_deadline(at).with_location(self.origin.location());
        self.mark(Some(at), reason, None, wakes);
    }

    /// Makes instants of what counts from the entry: the scope has got its place in the tree, and from here on there
    /// is a clock. A relative deadline begins, and the grace of a request that was made before. Called by
    /// `enter_tree` after `attach`, with no lock held.
    pub(crate) fn entered(&self) {
        let Some(tree) = self.tree() else { unreachable!("its parent stands in a tree") };
        let now = tree.now();
        let mut state = self.lock();
        if let Some(cold) = &mut state.cold {
            // The code is cancelled all the same, and gets its first poll (L13).
            if let Some(request) = &mut cold.request {
                request.hard = now + (request.hard - request.soft);
                request.soft = now;
            }
            if let Some(duration) = cold.relative.take() {
                state.deadline = now + duration;
            }
        }
        // One that has passed before is a request now: its grace counts from here.
        state.deadline = state.deadline.max(now);
        self.arm_deadline(state);
    }

    /// Moves, sets or (with `NEVER`) removes the deadline (L8). Returns whether that was still possible: not on a
    /// Closed scope (L3), nor after a request. No lock may be held; a deadline in the past requests before this
    /// returns.
    pub(crate) fn set_deadline(&self, at: Instant) -> bool {
        let mut state = self.lock();
        if state.life == Life::Closed || state.request().is_some() {
            return false;
        }
        state.deadline = self.tree().map_or(at, |tree| at.max(tree.now()));
        // An absolute deadline takes the place of one that would count from the entry.
        state.cold.iter_mut().for_each(|cold| cold.relative = None);
        self.arm_deadline(state);
        true
    }

    /// Arms the scope's timer anew, if it has a tree, for what `next_instant` says; takes over its lock, and releases it.
    /// Returns whether the host's timer has to be armed, where no lock is held: see `Timers::insert`.
    pub(super) fn arm_in(&self, mut state: MutexGuard<'_, State>) -> bool {
        let Some(tree) = self.tree() else { return false };
        let old = state.timer.take().and_then(|key| tree.timers.remove(key));
        let at = state.next_instant();
        let mut earliest = false;
        if at != Instant::NEVER && state.life != Life::Closed {
            // The queue of timers is locked below the node (Invariant 1). Under one lock with what it is armed for, so that
            // the two belong together.
            let (key, is_earliest) = tree.timers.insert(at, |key| (Target::Scope(self.clone()), key));
            (state.timer, earliest) = (Some(key), is_earliest);
        }
        drop(state);
        // Without the lock (L36).
        drop(old);
        earliest
    }

    /// Arms the scope's timer anew, if it has a tree; takes over its lock, and releases it. A deadline that is over by the
    /// clock requests before this returns.
    pub(crate) fn arm_deadline(&self, state: MutexGuard<'_, State>) {
        let Some(tree) = self.tree() else { return };
        let stands = state.deadline != Instant::NEVER && state.request().is_none() && state.life != Life::Closed;
        // Scopes that are opened from here on inherit the flag; those that are there are told below. The flag is set
        // under the lock, so there is no third sort.
        let is_news = stands && !self.flagged(TIMED) && self.flag(TIMED) && !state.children.is_empty();
        let earliest = self.arm_in(state);
        if is_news {
            // Down to full shields, which no deadline from outside concerns, and to scopes that have it, since all below
            // those have it, too.
            self.all_below(|node| node == self || node.kind.shield() != ShieldLevel::Full && node.flag(TIMED));
        }
        if stands {
            tree.fire_due();
        }
        if earliest {
            tree.timers.arm();
        }
    }

    /// Returns whether the code directly inside is cancelled (L9), exact to the clock: it fires what is due if that
    /// might make a difference. No lock may be held.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        if self.flags_of(CANCELLED | TIMED) == TIMED {
            self.tree().into_iter().for_each(|tree| tree.fire_due());
        }
        self.flagged(CANCELLED)
    }
}

impl State {
    /// Returns when the clock next changes anything about the scope by itself: at its deadline; once it has a request,
    /// at the hard time of that, if it has a grace.
    fn next_instant(&self) -> Instant {
        match self.request() {
            None => self.deadline,
            Some(request) if request.hard > request.soft => request.hard,
            Some(_) => Instant::NEVER,
        }
    }
}

/// The waker given to the host's timer. Weak: the host may keep it longer than the tree lives, and the tree has the
/// timer.
pub(super) struct Alarm(pub(super) Weak<Tree>);

impl Wake for Alarm {
    /// Fires what is due, and arms the timer for what comes next. Called by the host, on any of its threads, or
    /// inside `Timer::arm`.
    fn wake(self: Arc<Self>) {
        let Some(tree) = self.0.upgrade() else { return };
        // Invariant 2. From here on this thread has to come to `arm`, so what it runs before that must not unwind.
        tree.timers.queue.lock().armed = Instant::NEVER;
        tree.fire_due();
        tree.timers.arm();
    }
}

/// Calls the wakers of sleeps: each, whatever the others do (L36), and what is dropped with the last reference to a scope.
fn wake_each(sleeps: Vec<Sleeper<WaitingCode>>) {
    for Sleeper { waker, code } in sleeps {
        match code.scope() {
            Some(scope) => waking::wake_for(scope, || waker.wake()),
            None => waking::wake(|| waker.wake()),
        }
        catch_drop(code);
    }
}
