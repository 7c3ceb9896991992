//! Any number of branches of one type, polled in the task of whoever holds them.
//!
//! A group ends when all its branches have ended, whatever happens in between: this is what makes the losers' cleanup
//! part of every combinator. It is built from cancel scopes alone.

use std::future::Future;
use std::ops::Range;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::branch::{Branch, Fate, Step};
use super::kept_outcome::{Keeping, KeptOutcome};
use super::turns_without_budget::TurnsWithoutBudget;
use foster_core::future::give_up_together;
use foster_core::leaf::{self, ReadyMember, ReadyQueue};

pub(super) struct Group<F, T> {
    /// The branches stand below the scope that they are made in, not below the one that polls them first.
    here: bool,
    /// Where the user has called the combinator.
    location: &'static Location<'static>,
    slots: Vec<Slot<F, T>>,
    vacant: Vec<usize>,
    ready: Arc<ReadyQueue>,
    /// How many branches are polled before the group gives way to others.
    turn: usize,
    /// One was polled in this turn.
    has_polled: bool,
    /// The turn began with some of the task's budget.
    had_budget: bool,
    without_budget: TurnsWithoutBudget,
    /// This turn polls nobody, because it began without budget: the driver is woken, and what comes waits for the next.
    passes: bool,
    fate: Fate,
    /// The branches were told that the outcome is settled.
    closed: bool,
    /// Those that have lost by that, and were not polled since.
    losers: Range<usize>,
}

/// Branches that come one after the other may have the same slot.
struct Slot<F, T> {
    branch: Pin<Box<Branch<F, T>>>,
    member: ReadyMember,
    input: usize,
}

impl<F, T> Group<F, T> {
    #[track_caller]
    pub(super) fn new() -> Self {
        Group {
            here: false,
            location: Location::caller(),
            slots: Vec::new(),
            vacant: Vec::new(),
            ready: ReadyQueue::new(),
            turn: 0,
            has_polled: false,
            had_budget: true,
            without_budget: TurnsWithoutBudget::new(),
            passes: false,
            fate: Fate::new(),
            closed: false,
            losers: 0..0,
        }
    }

    /// For streams, which may be polled in a scope for each item.
    pub(super) fn here(mut self) -> Self {
        self.here = true;
        self
    }

    /// How many branches have not ended.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Begins a turn: every poll of the group from outside is one.
    pub(super) fn begin_poll(&mut self, cx: &mut Context<'_>) {
        self.turn = self.ready.register(cx.waker());
        self.has_polled = false;
        self.had_budget = !leaf::has_to_yield();
        self.passes = !self.had_budget && self.without_budget.passes(self.turn);
        if self.passes {
            self.turn = 0;
            self.ready.wake_driver();
        }
        self.fate.begin_poll();
    }

    pub(super) fn fate(&mut self) -> &mut Fate {
        &mut self.fate
    }

    /// Has the group polled again, in another turn.
    pub(super) fn wake(&self) {
        self.ready.wake_driver();
    }

    /// Calls user code that is no branch, such as a destructor; a panic in it is treated as one in a branch.
    pub(super) fn guard<R>(&mut self, call: impl FnOnce() -> R) -> Option<R> {
        self.fate.guard(call)
    }
}

impl<F: Future<Output = T>, T> Group<F, T> {
    /// Adds the branch for the input with this index. It begins in this turn, or in the next one.
    pub(super) fn push(&mut self, input: usize, future: F) {
        let branch = Branch::at(self.location, self.here, future);
        let key = match self.vacant.pop() {
            Some(key) => {
                let slot = &mut self.slots[key];
                slot.branch.set(branch);
                slot.input = input;
                key
            }
            None => {
                let key = self.slots.len();
                self.slots.push(Slot { branch: Box::pin(branch), member: ReadyMember::new(key, &self.ready), input });
                key
            }
        };
        if self.slots[key].member.enqueue() && !self.passes {
            self.turn += 1;
        }
    }

    /// The next value, with the index of its input; `None` when no branch is left.
    ///
    /// When none is left and one has panicked, the panic resumes here.
    pub(super) fn poll_next(&mut self) -> Poll<Option<(usize, T)>> {
        loop {
            self.close_if_settled();
            if self.len() == 0 {
                self.fate.resume_panic();
                return Poll::Ready(None);
            }
            let loser = self.losers.next();
            if loser.is_none() && self.turn == 0 {
                // A branch that was woken since the turn began has woken the driver.
                return Poll::Pending;
            }
            // Those that have lost take nothing of it, and the winner's value waits for them.
            if self.has_polled && self.had_budget && !self.closed && leaf::has_to_yield() {
                // The others would find no budget: each would wake itself, and be polled for nothing.
                self.turn = 0;
                self.ready.wake_driver();
                return Poll::Pending;
            }
            let Some(key) = loser.or_else(|| self.pop()) else { return Poll::Pending };
            let slot = &mut self.slots[key];
            let (branch, input, fate) = (slot.branch.as_mut(), slot.input, &mut self.fate);
            self.has_polled = true;
            let step = slot.member.poll(|cx| if branch.is_empty() { None } else { Some(branch.poll(cx, fate)) });
            let Some(step) = step else { continue };
            match step {
                Step::Pending => {
                    // A branch that does not begin in cancelled code is woken by nobody. The next value may be asked
                    // for in another scope.
                    if !slot.branch.has_begun() {
                        slot.member.enqueue();
                    }
                }
                Step::Over => self.vacant.push(key),
                Step::Value(value) => {
                    self.vacant.push(key);
                    return Poll::Ready(Some((input, value)));
                }
            }
        }
    }

    /// Takes the next one of this turn that was woken.
    fn pop(&mut self) -> Option<usize> {
        let key = self.ready.pop();
        self.turn = if key.is_some() { self.turn - 1 } else { 0 };
        key
    }

    /// The outcome is settled: cancels what runs, and drops what does not.
    pub(super) fn close(&mut self, reason: &'static str) {
        self.fate.settle(reason);
        self.close_if_settled();
    }

    fn close_if_settled(&mut self) {
        let Some(reason) = self.fate.reason() else { return };
        if self.closed {
            return;
        }
        self.closed = true;
        give_up_together(|losers| self.slots.iter_mut().for_each(|slot| slot.branch.as_mut().lose(reason, losers)));
        for (key, slot) in self.slots.iter_mut().enumerate() {
            let branch = slot.branch.as_mut();
            if !branch.is_empty() && !branch.close(reason, &mut self.fate) {
                self.vacant.push(key);
            }
        }
        // All that have lost are polled in this turn: the value of a winner waits only for those that have something to end.
        // Not left to the wake-ups of their requests: another thread may be about to wake one, and have its waker.
        self.losers = 0..self.slots.len();
        self.turn = self.ready.len();
    }
}

/// For branches whose outcome may not be lost.
impl<F: Future<Output = T>, T> Group<Keeping<F, T>, KeptOutcome<T>> {
    /// As [`push`](Group::push); `lost` is called with what the branch has left, if nobody takes that.
    pub(super) fn push_keeping(&mut self, input: usize, future: F, lost: fn(T)) {
        self.push(input, Keeping::new(future, lost));
    }

    /// As [`poll_next`](Group::poll_next), which takes it.
    pub(super) fn poll_next_kept(&mut self) -> Poll<Option<(usize, T)>> {
        self.poll_next().map(|next| next.map(|(input, kept)| (input, kept.into_outcome())))
    }
}

impl<F, T> Drop for Group<F, T> {
    fn drop(&mut self) {
        self.ready.clear();
    }
}
