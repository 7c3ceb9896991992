//! The children of a local nursery, where its future polls them.

use std::collections::VecDeque;
use std::task::Waker;

use slab::Slab;

use super::child::AnyBox;
use super::shared::Shared;

/// Those that have begun and not ended, each in its seat; and who is to be polled in this turn.
pub(super) struct Children<B> {
    seats: Slab<B>,
    turn: VecDeque<Next<B>>,
}

/// A child that is to be polled.
enum Next<B> {
    /// It begins: many end in their first poll, and need no seat.
    Fresh(B),
    Woken(usize),
}

impl<B> Children<B> {
    pub(super) fn new() -> Self {
        Children { seats: Slab::new(), turn: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Begins a turn of those who were woken, in that order, and then of those who have come. Says whether the body was woken.
    pub(super) fn begin_turn<E>(&mut self, home: &Shared<E, B>, driver: &Waker) -> bool {
        let body = home.seats.cell.begin_turn(driver, |woken| self.turn.extend(woken.map(Next::Woken)));
        self.turn.extend(home.incoming().begin_turn().map(Next::Fresh));
        body
    }

    /// Whether nobody is left for this turn: those that came during it belong to it.
    pub(super) fn had_their_turn<E>(&mut self, home: &Shared<E, B>) -> bool {
        if self.turn.is_empty() {
            self.turn.extend(home.incoming().take().map(Next::Fresh));
        }
        self.turn.is_empty()
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
    /// Polls the next one.
    pub(super) fn poll_next<E>(&mut self, home: &Shared<E, B>, moves_to: Option<&Shared<E, B>>) {
        let key = match self.turn.pop_front() {
            None => return,
            Some(Next::Fresh(mut child)) => {
                let key = self.seats.vacant_key();
                child.cell().sit(key, &home.seats);
                if child.run().is_ready() {
                    return;
                }
                self.seats.insert(child)
            }
            Some(Next::Woken(key)) => {
                let Some(child) = self.seats.get_mut(key) else { return };
                if child.run().is_ready() {
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
