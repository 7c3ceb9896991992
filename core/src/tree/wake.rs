//! Waking: in batches after all marks are set, and along the chain of scopes that delay one another.
//!
//! ```text
//!    DriverWakes:  marked ──▶ PROPAGATED on each     first of all (L11)
//!                  arm    ──▶ the host's timer
//!                  drivers ─▶ take the waker, call it; PROPAGATED on what has come inside meanwhile, and the same there
//! ```
//!
//! A request fills one of these while it visits nodes, and empties it when no lock is held. Single wake-ups (the last
//! child has ended, a user's waker was called) go through [`Node::wake_driver`].
//!
//! The chain: in a cancelled scope P, an inner scope S that still has to end holds up P's delivery (L15). A wake-up of
//! S marks it (`woken`), calls its driver's waker, and then wakes P *past* it: the waker that the driver left may
//! belong to a combinator that is gone, or that does not poll the scope any more (L16.1). P is polled, and either polls
//! S or finds that it was passed over. If P itself holds up the scope around it, that is woken as well, and so on.
//!
//! P may be polled for other reasons between the mark and the call, by another thread. It must not find S passed over
//! then, whose driver knows nothing yet: so S is not *due* as long as a call is going on (`calls`), and the thread
//! that ends the last one wakes P.
//!
//! An example: a task polls `shielded`, a shield with a timer in it, through one combinator after another, and is
//! cancelled meanwhile.
//!
//! ```text
//!    timer ──▶ the shield's own waker (its parent is cancelled)
//!                 ├──▶ shield: woken; its driver's waker, left by a combinator that is gone: leads nowhere
//!                 └──▶ task: woken; its driver's waker ──▶ the host polls the task ──▶ its body polls `shielded`
//! ```
//!
//! Without the second of the two the task would never be polled again, and never end (I7).

use std::mem;
use std::task::Waker;

use super::flags::{ABANDONED, LATE, LOCAL, ORPHAN, PARENT_CANCELLED, PROPAGATED};
use super::node::{Kind, Life, Node, NodeRef, State};
use super::panic::catch_drop;
use super::polled::{WITHOUT_COUNTING, without_counting};
use crate::sys::MutexGuard;
use crate::sys::atomic::Ordering;
use crate::tree::waking;

/// Work that is to be done once no lock is held any more: scopes to mark, a timer to arm, wakers to call. Code
/// that makes one has to call [`wake`](DriverWakes::wake), or code stays cancelled and is never dropped.
#[derive(Default)]
pub(crate) struct DriverWakes {
    /// Scopes whose drivers are woken, and whether their code has become cancelled by this request. Their wakers are
    /// taken when they are called, not before.
    drivers: Vec<(NodeRef, bool)>,
    /// All others that were visited: the last references to some, dropped when no lock is held.
    pub(super) kept: Vec<NodeRef>,
    /// The timers of their trees are to be armed when no lock is held, because a hard time is the earliest of one: see
    /// `Timers::insert`.
    pub(super) arm: bool,
}

impl DriverWakes {
    /// Adds the driver of a scope, which counts as woken from now on. If the scope was `marked`, because it has become
    /// cancelled, its code may be dropped when all others are marked, too (L11).
    pub(crate) fn push(&mut self, node: NodeRef, marked: bool) {
        node.begin_call();
        self.drivers.push((node, marked));
    }

    /// Marks, arms and wakes, on behalf of foster: nothing becomes runnable by it (L12). A waker that panics does not
    /// keep the others from being called (L36). No lock may be held.
    ///
    /// Model: `races/scopes.rs`, `a_request_races_with_the_first_polls_of_a_child`.
    pub(crate) fn wake(mut self) {
        // L11. Before any waker: code that is woken, or runs already, may be dropped only from here on, when all are
        // marked.
        for (node, _) in self.drivers.iter().filter(|(_, marked)| *marked) {
            node.flag(PROPAGATED);
        }
        let trees = self.drivers.iter().filter(|_| self.arm).filter_map(|(node, _)| node.tree());
        trees.for_each(|tree| tree.timers.arm());
        without_counting(|| {
            // Again for those that have come late.
            while !self.drivers.is_empty() {
                for (node, _) in mem::take(&mut self.drivers) {
                    node.call_driver(&mut self);
                    self.kept.push(node);
                }
            }
        });
        catch_drop(self.kept);
    }
}

impl Node {
    /// Wakes the driver of a scope, because something it waits for has happened; then what the scope delays.
    ///
    /// No lock may be held. Called by the scope's own waker; when the last child or orphan has left, a `start` was
    /// answered, or a daemon has come to a nursery in which only daemons are left; by whoever has put back what a
    /// reaper waits for; and by a poll of the scope that another one has to follow (`after_poll`, `must_wait`).
    pub(crate) fn wake_driver(&self) {
        if let Some(job) = self.job_waker() {
            return waking::wake_for(self, || job.wake_by_ref());
        }
        self.begin_call();
        self.call_waker(self.lock());
        // Not for a root, which comes by here in each turn.
        if self.may_delay() {
            self.wake_delayed();
        }
    }

    /// Wakes the driver of a scope by `call`, where its waker is not left in the node; then what the scope delays. No lock may
    /// be held.
    pub(crate) fn wake_driver_by(&self, call: impl FnOnce()) {
        self.begin_call();
        waking::wake_for(self, call);
        self.wake_delayed();
    }

    /// Returns the waker of the job that drives the task, once it is known, and as long as no reaper drives it.
    ///
    /// Ordering: a waker of the user's code counts its call before, and a reaper, which comes after the flag, reads that
    /// count when it polls (see `flags_of`). So a call that does not find the flag, and goes to the job that is gone, is
    /// seen by that poll. Anything that foster itself wakes a driver for is told under locks.
    #[inline]
    pub(super) fn job_waker(&self) -> Option<&Waker> {
        self.job_waker.get().filter(|_| !self.flagged(ABANDONED))
    }

    /// Calls the waker that was left in the node, and takes it out: not cloned, which would run below the lock (L36).
    fn call_waker(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        // Looked for under the lock under which it is set: so either it is found, or whoever sets it finds the mark.
        let job = self.job_waker();
        drop(state);
        if let Some(waker) = waker {
            waking::wake_for(self, || waker.wake());
        } else if let Some(job) = job {
            waking::wake_for(self, || job.wake_by_ref());
        } else if !self.counts_wakes() && !WITHOUT_COUNTING.with(|flag| flag.get()) {
            // L12: if the call comes while the scope is polled, and so has left no waker yet, it is counted where that of
            // the driver's waker would be.
            let above = self.lock().parent().cloned();
            let counting = above.and_then(|above| above.and_above().find(|above| above.counts_wakes()));
            counting.into_iter().for_each(|counting| counting.polled.count_wake());
        }
    }

    /// Does the call that a request has begun: marks the scope again, as it may have been polled since. Marks and adds the
    /// scopes below that were opened while the request was marking others.
    fn call_driver(&self, wakes: &mut DriverWakes) {
        self.woken.store(true, Ordering::Release);
        let state = self.lock();
        // Ordering: under the lock, and after `PROPAGATED`: what is opened from here on finds that.
        if self.flagged(PROPAGATED) {
            let late = state.children.iter().filter(|(_, node)| node.flagged(LATE) && node.flag(PROPAGATED));
            late.for_each(|(_, node)| wakes.push(node.clone(), true));
        }
        // Taken now that all are marked. A driver leaves its waker before it looks whether its scope is marked; so it
        // has seen that, or its waker is here.
        self.call_waker(state);
        self.wake_delayed();
    }

    /// Marks the scope as woken, before its driver is called. [`wake_delayed`](Node::wake_delayed) has to follow that
    /// call.
    ///
    /// Ordering: the mark pairs with `touch` and `register`: what was done before this wake-up is seen by the poll that
    /// takes the mark back. A thread that sees the mark sees that a call is going on.
    fn begin_call(&self) {
        if self.may_delay() {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
        self.woken.swap(true, Ordering::AcqRel);
    }

    /// Ends a call of the driver's waker, and wakes the scope around, if this one holds up its delivery (L16.1); then the
    /// one that that holds up, and so on. It stops at one that counts as woken: the thread that has marked that one
    /// goes on from there.
    ///
    /// Model: `races/scopes.rs`, `a_wake_below_a_shield_races_with_the_request`.
    fn wake_delayed(&self) {
        let mut next = self.end_call();
        while let Some(scope) = next.filter(|scope| scope.is_to_be_called()) {
            scope.begin_call();
            without_counting(|| scope.call_waker(scope.lock()));
            next = scope.end_call();
        }
    }

    /// Returns whether a wake-up that comes along the chain has to call the driver: not if somebody has marked the
    /// scope since its last poll, and so calls it. The mark of a local nursery may be that of a child, for which its
    /// future is polled, and not its body: then the waker of that is still there.
    fn is_to_be_called(&self) -> bool {
        let is_local = self.kind == Kind::Nursery && self.flagged(LOCAL);
        // Ordering: to write, too: what came before is seen by the poll that takes the mark back.
        !self.woken.fetch_or(false, Ordering::AcqRel) || is_local && self.lock().waker.is_some()
    }

    /// Returns the parent, if no call is going on any more, and this scope holds up its delivery: an inner scope that
    /// is not Closed, in a cancelled scope.
    fn end_call(&self) -> Option<NodeRef> {
        if !self.may_delay() || self.calls.fetch_sub(1, Ordering::AcqRel) != 1 || !self.flagged(PARENT_CANCELLED) {
            return None;
        }
        let state = self.lock();
        if state.life != Life::Closed && !self.flagged(ORPHAN) { state.parent().cloned() } else { None }
    }

    /// Returns whether the scope may hold up the delivery of the one around: children do not (L15), and a root has
    /// none.
    #[inline]
    fn may_delay(&self) -> bool {
        !matches!(self.kind, Kind::Task | Kind::Root)
    }

    /// Returns whether the scope was woken, and its driver knows: if the parent's body is polled now and does not poll
    /// this scope, that has passed it over (L16.2).
    pub(super) fn is_due(&self) -> bool {
        // Ordering: in this order, as `begin_call` has the other one.
        self.woken.load(Ordering::Acquire) && self.calls.load(Ordering::Acquire) == 0
    }
}
