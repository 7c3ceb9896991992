//! The bell: tasks that look again when it rings.
//!
//! For what is decided by looking and belongs to nobody: that a channel was closed, that a value has changed. All who listen
//! are woken, look again, and listen again if it is not what they wait for. Those whose code is cancelled are passed over, and do not
//! look (law L14); one that was woken before it was cancelled still may.

use std::task::Context;

use super::after::After;
use super::slots::{Row, Slots};
use super::turn::{Attempt, Visit, wait_with};
use crate::leaf::Waiter;

/// Who listens, under the lock of the channel.
#[derive(Debug)]
pub(super) struct Bell {
    slots: Slots<Listening>,
    row: Row,
}

#[derive(Debug)]
enum Listening {
    /// In the row.
    Waiting(Waiter),
    Woken,
    /// Its code was cancelled when the bell rang, or when it looked.
    Passed,
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
            let entry = &mut self.slots[key];
            match std::mem::replace(entry, Listening::Woken) {
                Listening::Waiting(waiter) if waiter.is_cancelled() => {
                    *entry = Listening::Passed;
                    after.forget(waiter);
                }
                Listening::Waiting(waiter) => after.wake(waiter),
                Listening::Woken | Listening::Passed => unreachable!("exactly those that wait are in the row"),
            }
        }
    }

    /// Whether one that comes, or has listened, may look.
    pub(super) fn may_look(&self, listener: &Listener, visit: &Visit) -> bool {
        !visit.cancelled || listener.0.is_some_and(|key| matches!(self.slots[key], Listening::Woken))
    }

    /// Listens with the waiter of `visit`; as `wait_with`. Cancelled code does not.
    pub(super) fn listen<R>(&mut self, listener: &mut Listener, visit: &mut Visit, cx: &Context<'_>) -> Attempt<R> {
        if let Some(Listening::Waiting(waiter)) = listener.0.map(|key| &mut self.slots[key]) {
            return wait_with(waiter, visit, cx);
        }
        let entry = if visit.cancelled {
            Listening::Passed
        } else {
            let Some(waiter) = visit.waiter.take() else { return Attempt::NoWaiter };
            Listening::Waiting(waiter)
        };
        let waits = matches!(entry, Listening::Waiting(_));
        let key = match listener.0 {
            Some(key) => {
                self.slots[key] = entry;
                key
            }
            None => *listener.0.insert(self.slots.insert(entry)),
        };
        if waits {
            self.slots.push(&mut self.row, key);
        }
        Attempt::Waits
    }

    /// Listens no more.
    pub(super) fn leave<T>(&mut self, listener: &mut Listener, after: &mut After<T>) {
        let Some(key) = listener.0.take() else { return };
        if matches!(self.slots[key], Listening::Waiting(_)) {
            self.slots.unlink(&mut self.row, key);
        }
        if let Listening::Waiting(waiter) = self.slots.remove(key) {
            after.forget(waiter);
        }
    }
}
