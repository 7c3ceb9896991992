//! What the handles of a local nursery share with its future.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use super::children::Next;
use crate::nursery::policy::Home;
use crate::nursery::{NurseryCell, Seats};
use crate::sys::{Mutex, MutexGuard};
use crate::tree::node::Typed;

pub(crate) struct Shared<E, B> {
    /// With who was woken since the last turn.
    pub(crate) node: Typed<Seats>,
    pub(crate) errors: NurseryCell<E>,
    incoming: Mutex<Incoming<B>>,
}

/// Children that the nursery's future has not taken over yet.
pub(crate) struct Incoming<B> {
    children: VecDeque<Next<B>>,
    driver: Driver,
}

/// What the nursery's future is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    /// It has to be woken for a new child.
    Waiting,
    /// It is being polled, or about to be, and looks for new children by itself.
    Polled,
    /// It takes no children any more.
    Gone,
}

impl<E, B> Shared<E, B> {
    pub(crate) fn new(node: Typed<Seats>, errors: NurseryCell<E>) -> Self {
        let incoming = Mutex::new(Incoming { children: VecDeque::new(), driver: Driver::Waiting });
        Shared { node, errors, incoming }
    }

    pub(crate) fn incoming(&self) -> MutexGuard<'_, Incoming<B>> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a child that has moved here. If the future is gone, so is the child.
    pub(crate) fn take_over(&self, child: B) {
        let mut incoming = self.incoming();
        if incoming.is_gone() {
            drop(incoming);
            return drop(child);
        }
        let waits = incoming.push(child);
        drop(incoming);
        if waits {
            self.node.cell().knock();
        }
    }
}

impl<B> Incoming<B> {
    pub(crate) fn is_gone(&self) -> bool {
        self.driver == Driver::Gone
    }

    /// Adds a child. Says whether the future has to be woken for it, where no lock is held.
    #[must_use]
    pub(crate) fn push(&mut self, child: B) -> bool {
        debug_assert!(!self.is_gone(), "nobody would poll the child");
        self.children.push_back(Next::Fresh(child));
        self.driver == Driver::Waiting
    }

    /// The future begins a turn: the children that have come go behind the others, and it will look again.
    pub(super) fn begin_turn(&mut self, turn: &mut VecDeque<Next<B>>) {
        self.driver = Driver::Polled;
        if !self.children.is_empty() {
            turn.append(&mut self.children);
        }
    }

    /// The turn is over but for the children that have come since, if there are any.
    pub(super) fn take(&mut self, turn: &mut VecDeque<Next<B>>) {
        if self.children.is_empty() {
            self.driver = Driver::Waiting;
        } else {
            // Not copied: this one's memory is for those who come next.
            std::mem::swap(&mut self.children, turn);
        }
    }

    /// The future is gone. What it has not taken over is to be dropped where no lock is held.
    pub(super) fn close(&mut self) -> VecDeque<Next<B>> {
        self.driver = Driver::Gone;
        std::mem::take(&mut self.children)
    }
}

impl<E, B> Home<E> for Arc<Shared<E, B>> {
    fn errors(&self) -> &NurseryCell<E> {
        &self.errors
    }
}
