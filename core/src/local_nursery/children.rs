//! The children of a local nursery, where its future polls them.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use slab::Slab;

use super::child::AnyBox;
use super::shared::Shared;

/// Those that have begun and not ended, each in its seat; and who is to be polled in this turn.
pub(super) struct Children<B> {
    seats: Slab<B>,
    turn: VecDeque<Next<B>>,
}

/// A child that is to be polled.
pub(super) enum Next<B> {
    /// It begins: many end in their first poll, and need no seat.
    Fresh(B),
    Woken(usize),
}

impl<B> Children<B> {
    pub(super) fn new() -> Self {
        Children { seats: Slab::new(), turn: VecDeque::new() }
    }

    /// How many have begun and not ended.
    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Begins a turn of those who were woken, and then of those who have come. Says whether the body was woken.
    pub(super) fn begin_turn<E>(&mut self, home: &Shared<E, B>) -> bool {
        let begun = home.node.cell().begin_turn(|woken| self.turn.extend(woken.map(Next::Woken)));
        home.take(begun.knocked, &mut self.turn);
        begun.body_is_due
    }

    /// Whether some were not polled whose turn it was.
    pub(super) fn are_due(&self) -> bool {
        !self.turn.is_empty()
    }

    /// A child that has moved while nobody polled it lies where it was: it goes to its new nursery now.
    pub(super) fn hand_over<E>(&mut self, moves_to: Option<&Shared<E, B>>, has_moved: fn(&B) -> bool) {
        let Some(to) = moves_to else { return };
        let moved: Vec<usize> = self.seats.iter().filter(|(_, child)| has_moved(child)).map(|(key, _)| key).collect();
        for key in moved {
            to.take_over(self.seats.remove(key));
        }
    }
}

impl<B: AnyBox> Children<B> {
    /// Polls those whose turn it is, and those that come meanwhile. Ends early, and says so, when the runtime wants the task back.
    pub(super) fn take_turns(&mut self, home: &Shared<B::Error, B>, moves_to: Option<&Shared<B::Error, B>>) -> bool {
        let tree = home.node.tree();
        let mut has_run = false;
        loop {
            if self.turn.is_empty() {
                home.take(home.node.cell().take_knock(), &mut self.turn);
                if self.turn.is_empty() {
                    return false;
                }
            }
            // Not here: after the body, or before the end. A turn brings everybody in a chain of nurseries forward.
            // Each poll of a child takes a unit of the task's budget, as an operation does.
            let mut cx = Context::from_waker(Waker::noop());
            if has_run && tree.as_ref().is_some_and(|tree| tree.runtime.poll_budget(&mut cx).is_pending()) {
                return true;
            }
            has_run = true;
            self.poll_next(home, moves_to);
        }
    }

    fn poll_next(&mut self, home: &Shared<B::Error, B>, moves_to: Option<&Shared<B::Error, B>>) {
        let key = match self.turn.pop_front() {
            None => return,
            Some(Next::Fresh(mut child)) => {
                if let Some(cell) = child.cell() {
                    cell.sit(self.seats.vacant_key(), &home.node);
                }
                if child.run(&home.errors).is_ready() {
                    return;
                }
                self.seats.insert(child)
            }
            Some(Next::Woken(key)) => {
                let Some(child) = self.seats.get_mut(key) else { return };
                if let Some(cell) = child.cell() {
                    cell.taken();
                }
                if child.run(&home.errors).is_ready() {
                    drop(self.seats.remove(key));
                    return;
                }
                key
            }
        };
        if let Some(to) = moves_to.filter(|_| self.seats[key].has_moved()) {
            to.take_over(self.seats.remove(key));
        }
    }
}
