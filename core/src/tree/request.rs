//! Requests and deadlines: how a scope is asked to stop (L6–L11).
//!
//! A request is made by a handle, a nursery (an error, a panic, only daemons left), the timers, the loss of a driver,
//! or a shut-down; on any thread, with no lock held. It goes in four steps, and only in the last does foreign code
//! run (L11, L36):
//!
//! ```text
//!    mark        under the scope's lock: the request, CANCELLED
//!    propagate   each scope below, parents first: under its lock inherited, CANCELLED, PARENT_CANCELLED
//!    judge       no lock: the verdicts, parents first
//!    wake        no lock: PROPAGATED on all of them, then the drivers' wakers (`DriverWakes::wake`)
//! ```
//!
//! Between the first and the last, other threads may poll code that is marked. They leave it as it is (`poll_open`): it is
//! polled or dropped after the last step, whose wake-up it gets.
//!
//! `request` does all of them. The timers do the first three for each deadline and hard time that is due, and then the
//! last for all of them: no code runs in between (L11).
//!
//! # How a request and a gift meet
//!
//! The code that gives something to waiting code notes that on its scope, then looks whether it is cancelled (`Waiter::claim`).
//! A request marks the code, all of it, and takes the verdicts after that. So either the giver finds it cancelled, and
//! passes it over, or the verdict finds that it was given something, and it gets a poll to take it (L14).
//!
//! Two requests may go down at the same time. Each visits every node under its lock, and what they leave is a join
//! (`cancel_state.rs`), so the order does not matter; the verdict is taken by the one that sets `CANCELLED`. And a
//! scope that is linked meanwhile is either listed when the request reads its parent's children, or linked later,
//! with what the request has set on the parent (Invariant 2).

use std::slice;
use std::time::Duration;

use super::cancel_state::{CancelState, ShieldLevel};
use super::flags::{CANCELLED, PARENT_CANCELLED, TIMED};
use super::frames;
use super::node::{Attachment, Life, NodeRef, Request, State};
use super::panic::{Payload, drop_payload};
use super::verdict::Verdict;
use super::wake::DriverWakes;
use crate::Instant;
use crate::reason::{Reason, ReasonKind};
use crate::sys::MutexGuard;
use crate::sys::atomic::Ordering;

/// A scope that a request comes to on its way down. The first of a list is the one at the top of the request.
struct Visited {
    node: NodeRef,
    /// Where the scope around it is in the list.
    inside: usize,
    /// The requests that the scope around it hands down.
    above: CancelState,
    above_cancelled: bool,
    /// Whether its code has become cancelled by this request.
    is_new: bool,
}

impl NodeRef {
    /// Asks the scope to stop (L6). Returns whether that changed anything. No lock may be held: wakers are called.
    ///
    /// With `grace` at `None` the scope's own grace counts.
    pub(crate) fn request(&self, reason: Reason, grace: Option<Duration>) -> bool {
        request_together(slice::from_ref(self), &reason, grace) > 0
    }

    /// Does the first three steps of a request: sets it, marks the subtree, and judges. Whoever has to be woken for it
    /// is added to `wakes`; the caller calls [`DriverWakes::wake`] after that, with no lock held, also if this returns
    /// false.
    ///
    /// `at` is for the timers, which have locked `marking` already: a deadline is a request at its instant, however late that
    /// is seen (L8).
    ///
    /// Returns whether anything changed: false on a Closed scope (L3), and for a second request that brings the hard time
    /// no nearer (L6).
    ///
    /// Models: `races/scopes.rs`, `a_request_races_with_the_close` and `a_wake_races_with_the_driver_that_registers`.
    pub(crate) fn mark(
        &self,
        at: Option<Instant>,
        reason: Reason,
        grace: Option<Duration>,
        wakes: &mut DriverWakes,
    ) -> bool {
        let (tree, _alone, now, mut state) = loop {
            // A scope that was not entered yet has no clock: its request counts from the entry (see `entered`).
            let tree = self.tree();
            // Nothing becomes due until all is marked that the scope's deadline stood for: the request takes its place.
            let alone = tree.filter(|_| at.is_none()).map(|tree| tree.timers.marking.lock());
            let now = tree.map_or(Instant::from_nanos(0), |tree| at.unwrap_or_else(|| tree.now()));
            let state = self.lock();
            // Once more, if it was entered meanwhile, by another thread: then there is a clock.
            if tree.is_some() || state.place.is_none() {
                break (tree, alone, now, state);
            }
        };
        // L3: nothing changes a Closed scope. Otherwise a handle could say that it has cancelled a scope that has
        // returned its value already.
        if state.life == Life::Closed {
            return false;
        }
        let hard = now + grace.unwrap_or(state.grace());
        let cold = state.cold_mut();
        match &mut cold.request {
            // L6: the first request stands. Only an explicit one can shorten the grace of another.
            None => cold.request = Some(Request { reason, soft: now, hard }),
            Some(request) if reason.is_explicit() && hard < request.hard => request.hard = hard,
            Some(_) => return false,
        }
        // Together with the request: a scope that is opened now inherits it, and must not be cancelled before the
        // code around it is.
        let number = tree.map_or(1, |tree| tree.next_request());
        let is_first = !self.flagged(CANCELLED);
        if is_first {
            // Ordering: before the flag; code that finds itself cancelled reads this number (L14).
            self.cancelled_by.store(number, Ordering::Release);
            self.flag(CANCELLED);
        }
        // A later request comes only to here: the code is cancelled by the first one, but its hard time has come
        // nearer. Before the entry nothing is inside for which that could matter: `entered` arms it.
        wakes.arm |= self.arm_in(state);
        wakes.push(self.clone(), is_first);
        self.propagate(is_first, now, number, false, wakes);
        true
    }

    /// Carries what reaches this scope's code down, to the first full shield on each path and including it (L11); then
    /// takes the verdicts about all that has become cancelled, with this scope itself if `is_first` (L12). No node may be
    /// locked. `marking` is held (`timers.rs`), except where a child moves to another nursery.
    ///
    /// Level by level, parents before what is inside them: so the verdict about a scope can build on that of the
    /// scope around it (L12.2), and of two scopes the outer one is never found to be going on when the inner one is
    /// cancelled. It stops where nothing changes, so a second request costs little. No reference is dropped before
    /// `wakes`: the timers hold a lock of theirs meanwhile.
    ///
    /// `number` is that of the request in the tree. With `all`, scopes to which nothing was added are visited too: at a
    /// hard time only the clock has changed.
    ///
    /// An example: a request with a grace on `a`, in which a graceful shield `g` is, with a task `t` inside it.
    ///
    /// ```text
    ///   a  own request, hard 9             CANCELLED
    ///    └ g  inherited: graceful 9        PARENT_CANCELLED, TIMED: woken, goes on
    ///       └ t  inherited: graceful 9     TIMED: woken (`stopping` returns there), goes on
    ///   at 9, `timer_fired` of a: propagate with `all`
    ///    └ g  CANCELLED                    └ t  PARENT_CANCELLED, CANCELLED
    /// ```
    pub(super) fn propagate(&self, is_first: bool, now: Instant, number: u32, all: bool, wakes: &mut DriverWakes) {
        let (node, above) = (self.clone(), CancelState::default());
        let mut visited = vec![Visited { node, inside: 0, above, above_cancelled: false, is_new: is_first }];
        self.visit_below(&self.lock(), 0, &mut visited);
        let mut next = 1;
        while let Some(Visited { node, above, above_cancelled, .. }) = visited.get(next) {
            let (at, node, above, above_cancelled) = (next, node.clone(), *above, *above_cancelled);
            next += 1;
            let mut state = node.lock();
            // A Closed scope is left as it is; nothing is below it (I2).
            if state.life == Life::Closed {
                continue;
            }
            let inherited = state.inherited.join(above.through(node.kind.shield()));
            let changed = inherited != state.inherited;
            state.inherited = inherited;
            let marks = state.cancel_state();
            let cancelled = marks.cancelled(now);
            // Once the scope is linked a request sets the flag under this lock, so of two requests one finds that it
            // is the first.
            let is_first = cancelled && !node.flagged(CANCELLED);
            if is_first {
                node.cancelled_by.store(number, Ordering::Release);
            }
            let flag_if = |reached: bool, flag: u32| if reached { flag } else { 0 };
            // Whatever the shield: a shield delays the delivery of the scope around it (L15, L20).
            let flags = flag_if(above_cancelled, PARENT_CANCELLED)
                | flag_if(cancelled, CANCELLED)
                // Held off until a hard time: the code inside has to look at the clock.
                | flag_if(marks.waits_for_hard(), TIMED);
            let newly = node.flag_all(flags) & (PARENT_CANCELLED | CANCELLED);
            visited[at].is_new = newly & CANCELLED != 0;
            // Behind a full shield nothing arrives; the shield itself is told that its parent is cancelled, and is
            // woken.
            let goes_on = changed || newly & CANCELLED != 0;
            if (goes_on || all) && node.kind.shield() != ShieldLevel::Full {
                node.visit_below(&state, at, &mut visited);
            }
            drop(state);
            // Also what is marked, whoever was faster with the flag: all that is marked is called.
            if changed || is_first || newly != 0 {
                // With what it delays: the driver's waker may belong to a combinator that is gone (L16.1).
                wakes.push(node, is_first);
            }
        }
        judge(&visited, &mut wakes.kept);
        wakes.kept.extend(visited.into_iter().skip(1).map(|visited| visited.node));
    }

    /// Does as [`inherit`](NodeRef::inherit), for a task that has moved, with all that is below it, to a parent that
    /// is no ancestor of the old one: what reached the scopes below from there is forgotten, and what reaches them
    /// from the new parent is propagated.
    ///
    /// Only a request that has cancelled nothing can be forgotten, since flags stay (Invariant 4): a child whose
    /// interim nursery is cancelled is not moved at all.
    pub(crate) fn inherit_anew(&self, place: Attachment) {
        // A deadline further out counts for all below (L8). The scope first: what is opened there from now on has the
        // flag from it.
        self.flag(place.flags & TIMED);
        let mut nodes = vec![self.clone()];
        while let Some(node) = nodes.pop() {
            // Subtle: a scope is locked below its parent's lock here, the exception in Invariant 1. A request that
            // comes down meanwhile is then either in the parent's state already, or visits this scope later. With one
            // lock at a time it could be overwritten by a value that was read before it.
            let state = node.lock();
            let marks = state.cancel_state();
            for (_, below) in state.children.iter() {
                below.lock().inherited = marks.through(below.kind.shield());
                if below.kind.shield() != ShieldLevel::Full {
                    below.flag(node.flags_of(TIMED));
                }
                nodes.push(below.clone());
            }
        }
        let Some(tree) = self.tree() else { unreachable!("its parent stands in a tree") };
        let mut wakes = DriverWakes::default();
        // Its driver has to find out that it is cancelled, as after any request: `propagate` wakes only scopes
        // further in.
        if place.flags & PARENT_CANCELLED != 0 {
            wakes.push(self.clone(), false);
        }
        self.inherit(place);
        // To all scopes below, also those whose part has not changed: they were set back above.
        self.propagate(false, tree.now(), tree.next_request(), true, &mut wakes);
        wakes.wake();
    }

    /// Adds the scopes below, with what they are to be told of this one, which is at `inside` itself; under its lock,
    /// and after this one was marked (Invariant 2).
    fn visit_below(&self, state: &State, inside: usize, visited: &mut Vec<Visited>) {
        let (above, above_cancelled) = (state.cancel_state(), self.flagged(CANCELLED));
        let below = state.children.iter().map(|(_, node)| node.clone());
        visited.extend(below.map(|node| Visited { node, inside, above, above_cancelled, is_new: false }));
    }

    /// Records a panic of the body, a child or an orphan, and requests the scope (L7, L32). No lock may be held. The
    /// payload of a later panic is dropped.
    ///
    /// Recorded before the request: nobody who is woken by that may find the scope without it.
    pub(crate) fn panicked(&self, payload: Payload) {
        self.record_panic(self.lock(), payload);
    }

    /// Does as [`panicked`](NodeRef::panicked), for a panic that has no caller (L29). Gives it back if nobody waits for
    /// the end of this scope: it is Closed, or the installed root, which would be cancelled for the rest of the process.
    pub(crate) fn panicked_if_awaited(&self, payload: Payload) -> Result<(), Payload> {
        let state = self.lock();
        if state.life == Life::Closed || frames::DEFAULT_ROOT.get() == Some(self) {
            return Err(payload);
        }
        self.record_panic(state, payload);
        Ok(())
    }

    fn record_panic(&self, mut state: MutexGuard<'_, State>, payload: Payload) {
        let first = &mut state.cold_mut().panic;
        // The process's panic hook has reported a later one; the first payload is the one that resumes.
        let later = if first.is_none() { first.replace(payload) } else { Some(payload) };
        drop(state);
        drop_payload(later);
        self.request(Reason::new(ReasonKind::Panicked), None);
    }
}

/// Asks several scopes to stop in one step: all that these requests reach is marked before anybody is woken, so no code in one
/// of them sees what has become of another one (L11). Returns how many of them that has changed. No lock may be held.
///
/// What was due before has happened before: a sleep in that code has ended, and a deadline is the one that counts (L11).
pub(crate) fn request_together(nodes: &[NodeRef], reason: &Reason, grace: Option<Duration>) -> usize {
    nodes.first().and_then(|node| node.tree()).into_iter().for_each(|tree| tree.fire_due());
    let mut wakes = DriverWakes::default();
    let changed = nodes.iter().filter(|node| node.mark(None, reason.clone(), grace, &mut wakes)).count();
    wakes.wake();
    changed
}

/// Takes the verdicts about those that have become cancelled (L12). Each once, and after the flag of each: see the head of
/// this file. No node may be locked; the references that are taken go to `kept`.
fn judge(visited: &[Visited], kept: &mut Vec<NodeRef>) {
    // A verdict takes a walk up to the task: where a deadline passes in code that is cancelled already, it is for nobody.
    if visited.iter().all(|visited| !visited.is_new) {
        return;
    }
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(visited.len());
    for Visited { node, inside, is_new, .. } in visited {
        let around = verdicts.get(*inside);
        let verdict = around.map_or_else(|| node.verdict(kept), |around| node.verdict_inside(*around));
        if *is_new {
            node.polled.judge(verdict.last_step);
        }
        verdicts.push(verdict);
    }
}
