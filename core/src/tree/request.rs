//! Requests and deadlines: how a scope is asked to stop (L6–L11).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Tree;
use super::cancel_state::{CancelState, ShieldLevel};
use super::flags::{CANCELLED, PARENT_CANCELLED, RUNNABLE, TIMED};
use super::node::{Cold, Kind, Life, NodeRef, Request, State};
use super::timers::Target;
use super::verdict::Around;
use super::wake::DriverWakes;
use crate::Instant;
use crate::reason::{Reason, ReasonKind};
use crate::sys::atomic::Ordering;

impl NodeRef {
    /// Asks the scope to stop (L6). Says whether that changed anything.
    pub(crate) fn request(&self, reason: Reason, grace: Option<Duration>) -> bool {
        let mut wakes = DriverWakes::default();
        let changed = self.mark(self.tree(), reason, grace, &mut wakes);
        wakes.wake();
        changed
    }

    /// Sets the request and marks the subtree; who has to be woken for it is added to `wakes`.
    pub(crate) fn mark(
        &self,
        tree: Option<&Arc<Tree>>,
        reason: Reason,
        grace: Option<Duration>,
        wakes: &mut DriverWakes,
    ) -> bool {
        // A scope that was not entered yet has no clock: its request counts from the entry.
        let clock = |tree: Option<&Arc<Tree>>| tree.map_or(Instant::from_nanos(0), |tree| tree.now());
        let (mut tree, mut now) = (tree, clock(tree));
        // L12: what becomes of the code is decided at this instant.
        let runnable = self.is_runnable();
        let mut state = self.lock();
        if tree.is_none() && state.parent.is_some() {
            // It was entered meanwhile.
            drop(state);
            tree = self.tree();
            now = clock(tree);
            state = self.lock();
        }
        if state.life == Life::Closed {
            return false;
        }
        let hard = now + grace.unwrap_or(state.grace());
        let cold = state.cold_mut();
        match &mut cold.request {
            None => cold.request = Some(Request { reason, soft: now, hard }),
            Some(request) if reason.kind() == ReasonKind::Explicit && hard < request.hard => request.hard = hard,
            Some(_) => return false,
        }
        // Together with the request: a scope that comes now inherits that, and must not be cancelled before the code around it is.
        let number = tree.map_or(1, |tree| tree.next_request());
        if !self.flagged(CANCELLED) {
            wakes.mark(self);
            self.cancelled_by.store(number, Ordering::Release);
            self.flag(if runnable { CANCELLED | RUNNABLE } else { CANCELLED });
        }
        let old_hard = cold.hard_timer.take();
        let entered = state.parent.is_some() || self.kind == Kind::Root;
        let deadline = state.deadline_timer.take();
        drop(state);

        if let Some(tree) = tree {
            drop(deadline.and_then(|key| tree.timers.remove(key)));
            drop(old_hard.and_then(|key| tree.timers.remove(key)));
            // Before the entry there is nobody to hold off: `entered` arms it.
            if entered {
                self.arm_hard(tree, hard, now, wakes);
            }
        }
        wakes.push_chain(self.clone());
        self.propagate(now, number, false, wakes);
        true
    }

    /// Arms the timer of the hard time, if the request has a grace.
    pub(crate) fn arm_hard(&self, tree: &Arc<Tree>, hard: Instant, now: Instant, wakes: &mut DriverWakes) {
        if hard <= now || hard == Instant::NEVER {
            return;
        }
        let (key, earliest) = tree.timers.insert(hard, Target::Hard(self.clone()));
        let mut state = self.lock();
        if state.life == Life::Closed {
            drop(state);
            drop(tree.timers.remove(key));
            return;
        }
        state.cold_mut().hard_timer = Some(key);
        if earliest {
            wakes.arm(tree);
        }
    }

    /// Carries this scope's marks down, to the first full shield on each path and including it (L11).
    ///
    /// `number` is that of the request in the tree. With `all`, scopes whose marks did not change are visited too: at a hard time only the clock has changed.
    pub(crate) fn propagate(&self, now: Instant, number: u32, all: bool, wakes: &mut DriverWakes) {
        let mut queue = VecDeque::new();
        let around = self.around();
        self.queue_below(&self.lock(), around, &mut queue);
        while let Some((node, above, above_cancelled, around)) = queue.pop_front() {
            let here = node.inside(around);
            let mut state = node.lock();
            if state.life == Life::Closed {
                continue;
            }
            let inherited = state.inherited.join(above.through(node.shield));
            let changed = inherited != state.inherited;
            state.inherited = inherited;
            let marks = state.cancel_state();
            let cancelled = marks.cancelled(now);
            if cancelled && !node.flagged(CANCELLED) {
                node.cancelled_by.store(number, Ordering::Release);
                wakes.mark(&node);
            }
            let reached = [
                (PARENT_CANCELLED, above_cancelled),
                (CANCELLED, cancelled),
                // L12: the verdict is taken once, when the code becomes cancelled.
                (RUNNABLE, cancelled && here.runnable && !node.flagged(CANCELLED)),
                (TIMED, marks.waits_for_hard()),
            ];
            let flags = reached.iter().filter(|(_, reaches)| *reaches).fold(0, |flags, (flag, _)| flags | flag);
            let newly = node.flag_all(flags) & (PARENT_CANCELLED | CANCELLED);
            let goes_on = changed || newly & CANCELLED != 0;
            if (goes_on || all) && node.shield != ShieldLevel::Full {
                node.queue_below(&state, here, &mut queue);
            }
            drop(state);
            if changed || newly != 0 {
                // With what it delays: the driver's waker may belong to a combinator that is gone (L16.1).
                wakes.push_chain(node);
            }
        }
    }

    /// Under its lock.
    fn queue_below(&self, state: &State, around: Around, queue: &mut VecDeque<(NodeRef, CancelState, bool, Around)>) {
        let marks = state.cancel_state();
        let cancelled = self.flagged(CANCELLED);
        queue.extend(state.children.iter().map(|(_, node)| (node.clone(), marks, cancelled, around)));
    }

    /// The timer of the deadline has fired (L8).
    pub(crate) fn request_at_deadline(&self, tree: &Arc<Tree>, now: Instant, wakes: &mut DriverWakes) {
        let mut state = self.lock();
        if state.deadline > now || state.request().is_some() {
            return;
        }
        state.deadline_timer = None;
        let reason =
            Reason::new(ReasonKind::Deadline).with_deadline(state.deadline).with_location(self.origin.location());
        drop(state);
        self.mark(Some(tree), reason, None, wakes);
    }

    /// The timer of the hard time has fired: graceful shields below hold nothing off any more (L11).
    pub(crate) fn end_grace(&self, now: Instant, wakes: &mut DriverWakes) {
        let mut state = self.lock();
        if state.life == Life::Closed {
            return;
        }
        state.cold_mut().hard_timer = None;
        drop(state);
        let number = self.tree().map_or(1, |tree| tree.next_request());
        self.propagate(now, number, true, wakes);
    }

    /// The scope has got its place in the tree: from here on there is a clock.
    pub(crate) fn entered(&self) {
        let Some(tree) = &self.tree() else { unreachable!("its parent stands in a tree") };
        let counts = |cold: &mut Cold| cold.relative.is_some() || cold.request.is_some();
        if !self.lock().cold().is_some_and(counts) {
            // Nothing is counted from here on: no need to read the clock.
            return self.arm_deadline(tree);
        }
        let now = tree.now();
        let mut state = self.lock();
        if let Some(duration) = state.cold().and_then(|cold| cold.relative.take()) {
            state.deadline = now + duration;
        }
        let Some(Cold { request: Some(request), hard_timer, .. }) = state.cold() else {
            drop(state);
            return self.arm_deadline(tree);
        };
        // Requested before it was entered: the grace starts now.
        request.hard = now + (request.hard - request.soft);
        request.soft = now;
        let hard = request.hard;
        let early = hard_timer.take();
        drop(state);
        drop(early.and_then(|key| tree.timers.remove(key)));
        let mut wakes = DriverWakes::default();
        self.arm_hard(tree, hard, now, &mut wakes);
        wakes.wake();
    }

    /// Moves, sets or (with `NEVER`) removes the deadline (L8). Says whether that was still possible.
    pub(crate) fn set_deadline(&self, at: Instant) -> bool {
        let mut state = self.lock();
        if state.life == Life::Closed || state.request().is_some() {
            return false;
        }
        state.deadline = at;
        if let Some(cold) = state.cold() {
            cold.relative = None;
        }
        let old = state.deadline_timer.take();
        drop(state);
        if let Some(tree) = self.tree() {
            drop(old.and_then(|key| tree.timers.remove(key)));
            self.arm_deadline(tree);
        }
        true
    }

    /// Arms the timer of the deadline, once the scope stands in a tree. A deadline in the past requests at once.
    pub(crate) fn arm_deadline(&self, tree: &Arc<Tree>) {
        let at = self.lock().deadline;
        if at == Instant::NEVER {
            return;
        }
        self.flag_timed();
        let now = tree.now();
        if at <= now {
            let mut wakes = DriverWakes::default();
            self.request_at_deadline(tree, now, &mut wakes);
            return wakes.wake();
        }
        let (key, earliest) = tree.timers.insert(at, Target::Deadline(self.clone()));
        let mut state = self.lock();
        // Somebody may have moved the deadline, requested or closed the scope meanwhile.
        let stands = state.life != Life::Closed && state.request().is_none() && state.deadline == at;
        let other = if stands { state.deadline_timer.replace(key) } else { Some(key) };
        drop(state);
        drop(other.and_then(|key| tree.timers.remove(key)));
        if earliest {
            tree.arm();
        }
    }

    /// Tells the code below that the clock matters.
    fn flag_timed(&self) {
        if !self.flag(TIMED) {
            return;
        }
        let mut queue: Vec<NodeRef> = self.lock().children.iter().map(|(_, node)| node.clone()).collect();
        while let Some(node) = queue.pop() {
            if node.shield != ShieldLevel::Full && node.flag(TIMED) {
                queue.extend(node.lock().children.iter().map(|(_, node)| node.clone()));
            }
        }
    }

    /// L9 for the code directly inside, exact to the clock.
    #[inline]
    pub(crate) fn is_cancelled(&self, tree: &Arc<Tree>) -> bool {
        self.flagged(CANCELLED) || self.flagged(TIMED) && self.is_cancelled_by_now(tree)
    }

    #[inline(never)]
    fn is_cancelled_by_now(&self, tree: &Arc<Tree>) -> bool {
        tree.fire_due();
        self.flagged(CANCELLED)
    }

    /// L10.
    pub(crate) fn effective_deadline(&self, tree: &Arc<Tree>) -> Instant {
        if self.is_cancelled(tree) {
            return Instant::from_nanos(0);
        }
        // Per shield on the path so far: 0 counts deadlines as they are, 1 with the grace that applies to them.
        let mut behind = ShieldLevel::None;
        let mut earliest = Instant::NEVER;
        let mut next = Some(self.clone());
        while let Some(node) = next {
            let state = node.lock();
            let (soft, hard) = match state.request() {
                Some(request) => (request.soft, request.hard),
                None if state.deadline == Instant::NEVER => (Instant::NEVER, Instant::NEVER),
                None => (state.deadline, state.deadline + state.grace()),
            };
            earliest = earliest.min(if behind == ShieldLevel::None { soft } else { hard });
            behind = behind.max(node.shield);
            next = if behind == ShieldLevel::Full { None } else { state.parent.clone() };
        }
        earliest
    }
}

impl NodeRef {
    /// Whether a request reaches this scope and is held off by a graceful shield alone.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().cancel_state().waits_for_hard()
    }
}
