//! The bell: tasks that look again when it rings.
//!
//! For what is decided by looking and belongs to nobody: that a channel was closed, that a value has changed. All who listen
//! are woken, look again, and listen again if it is not what they wait for. Those whose code is cancelled are passed over, and do not
//! look (law L14); one that was woken before it was cancelled still may.

use std::task::Context;

use super::deferred::Deferred;
use super::linked_slab::{LinkedSlab, SlabList};
use super::operation::{Attempt, AttemptCx, update_waiter};
use crate::leaf::Waiter;

/// Who listens, under the lock of the channel.
#[derive(Debug)]
pub(super) struct Listeners {
    entries: LinkedSlab<ListenerState>,
    waiting: SlabList,
}

#[derive(Debug)]
enum ListenerState {
    /// In the row.
    Waiting(Waiter),
    Woken,
    /// Its code was cancelled when the bell rang, or when it looked.
    Skipped,
}

/// A listener's hold on its entry. Whoever listened must leave.
#[derive(Debug, Default)]
pub(super) struct ListenerKey(Option<usize>);

impl ListenerKey {
    pub(super) const fn new() -> Self {
        ListenerKey(None)
    }

    /// Whether there is anything to leave.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl Listeners {
    pub(super) const fn new() -> Self {
        Listeners { entries: LinkedSlab::new(), waiting: SlabList::new() }
    }

    /// How many listen and were not woken yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.waiting.is_empty()
    }

    /// WakeList everybody, longest listener first.
    pub(super) fn notify_all<T>(&mut self, deferred: &mut Deferred<T>) {
        while let Some(key) = self.waiting.first() {
            self.entries.unlink(&mut self.waiting, key);
            let entry = &mut self.entries[key];
            match std::mem::replace(entry, ListenerState::Woken) {
                ListenerState::Waiting(waiter) if waiter.is_cancelled() => {
                    *entry = ListenerState::Skipped;
                    deferred.drop_waiter(waiter);
                }
                ListenerState::Waiting(waiter) => deferred.wake(waiter),
                ListenerState::Woken | ListenerState::Skipped => {
                    unreachable!("exactly those that wait are in the waiting")
                }
            }
        }
    }

    /// Whether one that comes, or has listened, may look.
    pub(super) fn may_check(&self, listener: &ListenerKey, attempt_cx: &AttemptCx) -> bool {
        !attempt_cx.cancelled || listener.0.is_some_and(|key| matches!(self.entries[key], ListenerState::Woken))
    }

    /// Listens with the waiter of `attempt_cx`; as `update_waiter`. Cancelled code does not.
    pub(super) fn listen<R>(
        &mut self,
        listener: &mut ListenerKey,
        attempt_cx: &mut AttemptCx,
        cx: &Context<'_>,
    ) -> Attempt<R> {
        if let Some(ListenerState::Waiting(waiter)) = listener.0.map(|key| &mut self.entries[key]) {
            return update_waiter(waiter, attempt_cx, cx);
        }
        let entry = if attempt_cx.cancelled {
            ListenerState::Skipped
        } else {
            let Some(waiter) = attempt_cx.waiter.take() else { return Attempt::NeedsWaiter };
            ListenerState::Waiting(waiter)
        };
        let waits = matches!(entry, ListenerState::Waiting(_));
        let key = match listener.0 {
            Some(key) => {
                self.entries[key] = entry;
                key
            }
            None => *listener.0.insert(self.entries.insert(entry)),
        };
        if waits {
            self.entries.push_back(&mut self.waiting, key);
        }
        Attempt::Waiting
    }

    /// Listens no more.
    pub(super) fn leave<T>(&mut self, listener: &mut ListenerKey, deferred: &mut Deferred<T>) {
        let Some(key) = listener.0.take() else { return };
        if matches!(self.entries[key], ListenerState::Waiting(_)) {
            self.entries.unlink(&mut self.waiting, key);
        }
        if let ListenerState::Waiting(waiter) = self.entries.remove(key) {
            deferred.drop_waiter(waiter);
        }
    }
}
