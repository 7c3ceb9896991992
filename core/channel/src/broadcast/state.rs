//! The state of a broadcast channel, and the steps that change it under one lock. The invariants are at the head of the
//! parent module.

use std::collections::VecDeque;
use std::mem;

use super::lag::Lag;
use super::shared_value::{MessageValue, SlotPool, TakenValue};
use crate::deferred::{self, Deferred};
use crate::error::SendErrorKind;
use crate::linked_slab::{LinkedSlab, SlabList};
use crate::listeners::Listeners;
use foster_cell::sys::PlainMutex;
use foster_core::leaf::Waiter;

#[derive(Debug)]
pub(super) struct BroadcastChan<T>(PlainMutex<BroadcastState<T>>);

#[derive(Debug)]
pub(super) struct BroadcastState<T> {
    pub(super) lag: Lag,
    pub(super) capacity: usize,
    pub(super) queue: VecDeque<Message<T>>,
    pool: SlotPool<T>,
    /// The number of the first value in the queue.
    pub(super) head: u64,
    pub(super) senders: usize,
    pub(super) next_end: u64,
    /// Receivers that can still receive; those that were cut off do not count.
    pub(super) receivers: usize,
    /// Receivers that wait for a value.
    pub(super) recv_listeners: Listeners,
    /// Senders that wait until there is no receiver.
    pub(super) closed_listeners: Listeners,
    pub(super) send_entries: LinkedSlab<BroadcastSendState>,
    /// Senders that wait for room.
    pub(super) send_waiters: SlabList,
    /// Room that was granted to senders that have not used it yet.
    pub(super) granted: usize,
    pub(super) peak: usize,
}

#[derive(Debug)]
pub(super) struct Message<T> {
    value: MessageValue<T>,
    pub(super) unseen: usize,
}

/// The state of a sender that waits for room. Its value stays in its future until there is room.
#[derive(Debug)]
pub(super) enum BroadcastSendState {
    Waiting {
        waiter: Waiter,
        end: u64,
    },
    Granted,
    /// No receiver was left, or its endpoint was closed. That stands, though somebody subscribes before it is polled.
    Refused(SendErrorKind),
    /// Skipped, because its code is cancelled (law L14). Polled in other code it starts again.
    Skipped,
}

impl<T> BroadcastChan<T> {
    /// Makes a channel with one sender and one receiver.
    pub(super) fn new(capacity: usize, lag: Lag) -> Self {
        BroadcastChan(PlainMutex::new(BroadcastState {
            lag,
            capacity,
            queue: VecDeque::new(),
            pool: SlotPool::new(),
            head: 0,
            senders: 1,
            next_end: 1,
            receivers: 1,
            recv_listeners: Listeners::new(),
            closed_listeners: Listeners::new(),
            send_entries: LinkedSlab::new(),
            send_waiters: SlabList::new(),
            granted: 0,
            peak: 0,
        }))
    }

    pub(super) fn step<R>(&self, f: impl FnOnce(&mut BroadcastState<T>, &mut Deferred<TakenValue<T>>) -> R) -> R {
        deferred::step(&self.0, f)
    }
}

impl<T> BroadcastState<T> {
    pub(super) fn tail(&self) -> u64 {
        self.head + self.queue.len() as u64
    }

    pub(super) fn has_room(&self) -> bool {
        self.lag != Lag::Wait || self.queue.len() + self.granted < self.capacity
    }

    /// Sends. With `Lag::Wait` the caller has made sure that there is room. Gives the value back if the last receiver
    /// was cut off to make room for it.
    pub(super) fn push(&mut self, value: T, deferred: &mut Deferred<TakenValue<T>>) -> Option<T> {
        if self.queue.len() == self.capacity {
            debug_assert!(self.lag != Lag::Wait, "Invariant 2: a sender waits while the queue is full");
            if let Some(oldest) = self.queue.pop_front() {
                self.head += 1;
                deferred.drop_value(self.pool.release(oldest.value));
                if self.lag == Lag::Disconnect {
                    self.disconnect(oldest.unseen, deferred);
                }
            }
        }
        if self.receivers == 0 {
            return Some(value);
        }
        self.queue.push_back(Message { value: self.pool.store(value, self.receivers), unseen: self.receivers });
        self.peak = self.peak.max(self.queue.len());
        self.recv_listeners.notify_all(deferred);
        None
    }

    /// Cuts off `count` receivers, which have not seen the value before the head: they get nothing more.
    fn disconnect(&mut self, count: usize, deferred: &mut Deferred<TakenValue<T>>) {
        for message in &mut self.queue {
            message.unseen -= count;
        }
        self.leave(count, deferred);
    }

    /// Adds a receiver at `position`, the clone of one that is there.
    pub(super) fn add_receiver(&mut self, position: u64) {
        if self.is_disconnected(position) {
            return;
        }
        self.receivers += 1;
        for number in self.head..self.tail() {
            let Some(mut message) = self.queue.pop_front() else { break };
            if number >= position {
                message = Message { value: self.pool.make_shared(message.value), unseen: message.unseen + 1 };
            }
            self.queue.push_back(message);
        }
    }

    /// Removes a receiver at `position`, unless it was cut off before.
    pub(super) fn remove_receiver(&mut self, position: u64, deferred: &mut Deferred<TakenValue<T>>) {
        if self.is_disconnected(position) {
            return;
        }
        let seen = usize::try_from(position.saturating_sub(self.head)).unwrap_or(usize::MAX);
        for message in self.queue.iter_mut().skip(seen) {
            message.unseen -= 1;
        }
        self.leave(1, deferred);
    }

    fn leave(&mut self, count: usize, deferred: &mut Deferred<TakenValue<T>>) {
        self.receivers -= count;
        if self.receivers == 0 {
            // First: what is left in the queue gives its room to nobody.
            while let Some(key) = self.claim_first_sender(deferred) {
                self.complete_sender(key, BroadcastSendState::Refused(SendErrorKind::Disconnected), deferred);
            }
            self.closed_listeners.notify_end(deferred);
        }
        self.drop_seen(deferred);
    }

    pub(super) fn is_disconnected(&self, position: u64) -> bool {
        self.lag == Lag::Disconnect && position < self.head
    }

    /// Drops the values that all receivers have seen, and grants their room to senders.
    fn drop_seen(&mut self, deferred: &mut Deferred<TakenValue<T>>) {
        while self.queue.front().is_some_and(|message| message.unseen == 0) {
            if let Some(message) = self.queue.pop_front() {
                self.head += 1;
                deferred.drop_value(self.pool.release(message.value));
            }
        }
        self.admit_senders(deferred);
    }

    pub(super) fn admit_senders(&mut self, deferred: &mut Deferred<TakenValue<T>>) {
        while self.has_room() {
            let Some(key) = self.claim_first_sender(deferred) else { break };
            self.granted += 1;
            self.complete_sender(key, BroadcastSendState::Granted, deferred);
        }
    }

    /// Claims the longest waiting sender that can be told something, and returns it. Skips those before it.
    fn claim_first_sender(&mut self, deferred: &mut Deferred<TakenValue<T>>) -> Option<usize> {
        loop {
            let key = self.send_waiters.first()?;
            if self.claim_sender(key, deferred) {
                return Some(key);
            }
        }
    }

    /// Claims a waiting sender, which is to be told something at once. Skips it if that fails, because its code is
    /// cancelled.
    pub(super) fn claim_sender(&mut self, key: usize, deferred: &mut Deferred<TakenValue<T>>) -> bool {
        let claimed = matches!(&self.send_entries[key], BroadcastSendState::Waiting { waiter, .. } if waiter.claim());
        if !claimed {
            self.complete_sender(key, BroadcastSendState::Skipped, deferred);
        }
        claimed
    }

    pub(super) fn complete_sender(
        &mut self,
        key: usize,
        stage: BroadcastSendState,
        deferred: &mut Deferred<TakenValue<T>>,
    ) {
        self.send_entries.unlink(&mut self.send_waiters, key);
        if let BroadcastSendState::Waiting { waiter, .. } = mem::replace(&mut self.send_entries[key], stage) {
            deferred.wake(waiter);
        }
    }

    /// Takes the value at `position`, which moves on; `None` if all were seen.
    pub(super) fn take(
        &mut self,
        position: &mut u64,
        deferred: &mut Deferred<TakenValue<T>>,
    ) -> Option<Result<TakenValue<T>, Missed>> {
        if *position < self.head {
            let missed = self.head - *position;
            if self.lag == Lag::Disconnect {
                return Some(Err(Missed::CutOff(missed)));
            }
            *position = self.head;
            return Some(Err(Missed::Skipped(missed)));
        }
        let index = usize::try_from(*position - self.head).ok()?;
        let message = self.queue.get_mut(index)?;
        *position += 1;
        if message.unseen > 1 {
            message.unseen -= 1;
            return Some(Ok(message.value.share()));
        }
        // Invariant 1: it is the first in the queue, because all have seen those before it, too.
        let message = self.queue.pop_front()?;
        self.head += 1;
        self.admit_senders(deferred);
        Some(Ok(self.pool.release(message.value)))
    }
}

pub(super) enum Missed {
    Skipped(u64),
    CutOff(u64),
}
