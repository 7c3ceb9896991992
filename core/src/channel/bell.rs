//! The bell: tasks that look again when it rings.
//!
//! For what is decided by looking and belongs to nobody: that a channel was closed, that a value has changed. All who listen
//! are woken, look again, and listen again if it is not what they wait for.

use std::task::{Context, Waker};

use super::after::After;
use super::slots::{Row, Slots};
use super::turn::{Attempt, wait_with};

/// Who listens, under the lock of the channel.
#[derive(Debug)]
pub(super) struct Bell {
    slots: Slots<Option<Waker>>,
    row: Row,
}

/// A listener's hold on its entry. Whoever listened must leave.
#[derive(Debug, Default)]
pub(super) struct Listener(Option<usize>);

impl Listener {
    pub(super) const fn new() -> Self {
        Listener(None)
    }

    /// Whether there is anything to leave.
    pub(super) fn is_home(&self) -> bool {
        self.0.is_none()
    }
}

impl Bell {
    pub(super) const fn new() -> Self {
        Bell { slots: Slots::new(), row: Row::new() }
    }

    /// How many listen and were not woken yet.
    pub(super) fn listening(&self) -> usize {
        self.row.len()
    }

    #[cfg(test)]
    pub(super) fn is_home(&self) -> bool {
        self.slots.is_empty() && self.row.is_empty()
    }

    /// Wakes everybody, longest listener first.
    pub(super) fn ring<T>(&mut self, after: &mut After<T>) {
        while let Some(key) = self.row.first() {
            self.slots.unlink(&mut self.row, key);
            after.wake(self.slots[key].take());
        }
    }

    /// Listens with the waker of `cx`; as `wait_with`.
    pub(super) fn listen<R>(
        &mut self,
        listener: &mut Listener,
        spare: &mut Option<Waker>,
        cx: &Context<'_>,
    ) -> Attempt<R> {
        if spare.is_none() && listener.0.is_none_or(|key| self.slots[key].is_none()) {
            return Attempt::NoWaker;
        }
        let key = *listener.0.get_or_insert_with(|| self.slots.insert(None));
        if self.slots[key].is_none() {
            self.slots.push(&mut self.row, key);
        }
        wait_with(&mut self.slots[key], spare, cx)
    }

    /// Listens no more.
    pub(super) fn leave<T>(&mut self, listener: &mut Listener, after: &mut After<T>) {
        let Some(key) = listener.0.take() else { return };
        if self.slots[key].is_some() {
            self.slots.unlink(&mut self.row, key);
        }
        after.forget(self.slots.remove(key));
    }
}
