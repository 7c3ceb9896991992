//! Listeners: tasks that check a condition again whenever they are notified.
//!
//! They wait for a fact that is not handed to anybody, such as that a channel was closed or a value has changed. A
//! notification wakes all listeners; each checks again, and listens again if the condition does not hold. Listeners
//! whose code is cancelled are skipped, and do not check (law L14); one that was woken before it was cancelled still
//! may. That the condition cannot hold any more, as when the channel is closed, is told to cancelled code only if it was
//! woken for that.
//!
//! They are not a queue of foster's `sync`: a condition of the channel and the list of its listeners change under one lock,
//! that of the channel, so nobody misses a change.

use std::task::Context;

use super::deferred::Deferred;
use super::linked_slab::{LinkedSlab, SlabList};
use super::operation::{Attempt, AttemptCx, update_waiter};
use foster_core::leaf::Waiter;

/// The listeners of one condition, under the lock of the channel.
#[derive(Debug)]
pub(super) struct Listeners {
    entries: LinkedSlab<ListenerState>,
    waiting: SlabList,
}

#[derive(Debug)]
enum ListenerState {
    /// In the list `waiting`.
    Waiting(Waiter),
    Woken {
        /// By `notify_end`.
        end: bool,
    },
    /// Its code was cancelled when it was to be notified, or when it checked.
    Skipped,
}

/// The key of a listener's entry, if it has one. It has to be given to `Listeners::leave` in the end.
#[derive(Debug, Default)]
pub(super) struct ListenerKey(Option<usize>);

impl ListenerKey {
    pub(super) const fn new() -> Self {
        ListenerKey(None)
    }

    /// Returns whether it has no entry, so that it need not leave.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl Listeners {
    pub(super) const fn new() -> Self {
        Listeners { entries: LinkedSlab::new(), waiting: SlabList::new() }
    }

    /// Returns how many listen and were not woken yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.waiting.is_empty()
    }

    /// Wakes all listeners, the longest first, to check again.
    pub(super) fn notify_all<T>(&mut self, deferred: &mut Deferred<T>) {
        self.notify(false, deferred);
    }

    /// Wakes all listeners, because the end has come for them.
    pub(super) fn notify_end<T>(&mut self, deferred: &mut Deferred<T>) {
        self.notify(true, deferred);
    }

    fn notify<T>(&mut self, end: bool, deferred: &mut Deferred<T>) {
        while let Some(key) = self.waiting.first() {
            self.entries.unlink(&mut self.waiting, key);
            let entry = &mut self.entries[key];
            match std::mem::replace(entry, ListenerState::Woken { end }) {
                ListenerState::Waiting(waiter) => {
                    if !waiter.claim() {
                        *entry = ListenerState::Skipped;
                    }
                    deferred.wake(waiter);
                }
                ListenerState::Woken { .. } | ListenerState::Skipped => {
                    unreachable!("exactly the Waiting entries are in the list `waiting`")
                }
            }
        }
    }

    /// Returns whether a task, new or listening, may check the condition.
    pub(super) fn may_check(&self, listener: &ListenerKey, attempt_cx: &AttemptCx) -> bool {
        !attempt_cx.cancelled || self.was_woken(listener)
    }

    /// Returns whether the listener was woken, and its code was not cancelled then.
    pub(super) fn was_woken(&self, listener: &ListenerKey) -> bool {
        listener.0.is_some_and(|key| matches!(self.entries[key], ListenerState::Woken { .. }))
    }

    /// Returns whether a task that may check the condition may also take what it finds: it was woken for that, or its code
    /// is not cancelled. To be asked under the lock of the channel.
    pub(super) fn may_take(&self, listener: &ListenerKey, attempt_cx: &AttemptCx) -> bool {
        self.was_woken(listener) || attempt_cx.may_take()
    }

    /// Ends a wait with `done`, because the task has checked that the end has come.
    pub(super) fn end<R>(&self, listener: &ListenerKey, done: R) -> Attempt<R> {
        match listener.0.map(|key| &self.entries[key]) {
            Some(ListenerState::Woken { end: true }) => Attempt::Done(done),
            _ => Attempt::Found(done),
        }
    }

    /// Listens with the waiter of `attempt_cx`, as `update_waiter` does. Cancelled code does not listen.
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

    /// Removes a listener.
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
