//! The state of a bounded or unbounded channel, and the steps that change it under one lock.
//!
//! Values that were accepted are in the `buffer`, and have a number there. Every waiter has an entry: senders, with the
//! value they send, in `send_entries`, receivers in `recv_entries`; those that still wait are linked in `send_waiters`
//! and `recv_waiters`. To admit a sender is to move its value into the buffer. Its entry keeps the number, so a sender
//! that leaves before it has acknowledged can still take the value back, also from the middle of the buffer.
//!
//! ```text
//!   senders:    Waiting ─┬─1──▶ Sent ─────┐            receivers:  Waiting ─┬─5──▶ Delivered ─┐
//!                  │     │       │ 9      │                          │     ├─6──▶ Ended ─────┼─7──▶ free
//!                  │     │       ▼        │                          │     └─8──▶ Skipped ───┤
//!                  │     ├─3──▶ Refused ──┼─4──▶ free                └───────────────────────┘
//!                  │     ├─8──▶ Skipped ──┤
//!                  │     ├─2──▶ Granted ──┤
//!                  └─────┴────────────────┘
//! ```
//!
//! 1. its value was moved into the buffer, or delivered to a receiver: `admit_senders`, `take`
//! 2. it was granted a permit: `admit_senders`
//! 3. its endpoint was closed, or no receiver is left; the value is back: `refuse_sender`
//! 4. the sender has acknowledged, or left: `poll_sender`, `leave_sender`
//! 5. a value was delivered to it, longest waiter first: `deliver_to`
//! 6. its endpoint was closed, or no value will come any more: `close_receiver`, `notify_waiters`
//! 7. the receiver has acknowledged, or left: `poll_receiver`, `leave_receiver`. The entry of a stream can also be
//!    Idle.
//! 8. skipped, because its code is cancelled (law L14): `skip_sender`, `skip_receiver`. Polled in other code it starts
//!    again. 1, 2, 3, 5 and 6 are for waiters that were claimed, under the same lock: `claim_sender`, `claim_receiver`.
//! 9. its value was taken back out of the buffer: refused, or skipped if its code is cancelled by then: `drain_buffer`
//!
//! Invariant 1: there is *room* while `buffer + permits < capacity + waiting receivers`. After every step no sender
//! waits while there is room. With capacity 0 this is the rendezvous: each waiting receiver is room for one. Invariant
//! 2: while a receiver waits the buffer is empty. (In both, waiters whose code is cancelled do not count.) Invariant 3:
//! the buffer is in the order of its numbers. A value that was delivered and not taken keeps its number, and goes back
//! to its place. Invariant 4: an entry is freed only by the future that has its key. Invariant 5: under the lock no
//! value is dropped and no waiter made, woken or dropped: all of that is put into `Deferred`.
//!
//! This file has the steps that both sides share; `sending`, `receiving` and `closing` have those of their own.

mod closing;
mod receiving;
mod sending;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::buffer::Buffer;
use super::deferred::{self, Deferred};
use super::error::{RecvError, SendErrorKind};
use super::linked_slab::{LinkedSlab, SlabList};
use super::listeners::Listeners;
use super::statistics::ChannelStatistics;
use foster_cell::sys::{MutexGuard, PlainMutex};
use foster_core::leaf::Waiter;

/// A channel: the state and its lock.
#[derive(Debug)]
pub(super) struct Chan<T>(PlainMutex<ChannelState<T>>);

impl<T> Default for Chan<T> {
    #[inline]
    fn default() -> Self {
        Chan(PlainMutex::new(ChannelState::new()))
    }
}

impl<T> Chan<T> {
    /// Makes a channel with one sender and one receiver, which have the first endpoints.
    #[inline]
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        // Made in place, not moved there.
        let chan = Arc::<Self>::default();
        chan.lock().limit(capacity);
        chan
    }

    /// Runs one step under the lock.
    #[inline]
    pub(super) fn step<R>(&self, f: impl FnOnce(&mut ChannelState<T>, &mut Deferred<T>) -> R) -> R {
        self.step_with(None, f)
    }

    /// Locks the state, for the short steps `send_at_once` and `recv_at_once`.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, ChannelState<T>> {
        self.0.lock()
    }

    /// Runs a step, under the lock that a short step has taken, if any.
    #[inline]
    pub(super) fn step_with<'a, R>(
        &'a self,
        held: Option<MutexGuard<'a, ChannelState<T>>>,
        f: impl FnOnce(&mut ChannelState<T>, &mut Deferred<T>) -> R,
    ) -> R {
        deferred::step_with(&self.0, held, f)
    }

    // Out of line, so that a future which has not waited drops at the cost of one check.

    #[inline(never)]
    pub(super) fn leave_sender(&self, key: usize) -> Option<T> {
        self.step(|state, deferred| state.leave_sender(key, deferred))
    }

    #[inline(never)]
    pub(super) fn leave_receiver(&self, key: usize) {
        self.step(|state, deferred| state.leave_receiver(key, deferred));
    }
}

/// One clonable end of a channel: the number by which its waiters are known, and whether it was closed.
#[derive(Debug)]
pub(super) struct Endpoint {
    id: u64,
    /// Written under the lock only.
    closed: AtomicBool,
}

impl Endpoint {
    /// Makes the endpoint of the first sender, or of the first receiver: these never wait in one list.
    #[inline]
    pub(super) fn first() -> Self {
        Endpoint { id: 0, closed: AtomicBool::new(false) }
    }

    /// Makes the clone of a closed endpoint.
    pub(super) fn new_closed() -> Self {
        Endpoint { id: 0, closed: AtomicBool::new(true) }
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
pub(super) struct ChannelState<T> {
    /// `usize::MAX`: without a limit.
    capacity: usize,
    buffer: Buffer<T>,
    send_entries: LinkedSlab<SendEntry<T>>,
    send_waiters: SlabList,
    recv_entries: LinkedSlab<RecvEntry<T>>,
    recv_waiters: SlabList,
    /// Permits that were granted and not used.
    permits: usize,
    /// Receivers that were handed a value and have not taken note: it may still come back.
    unacknowledged: usize,
    peak: usize,
    senders: usize,
    receivers: usize,
    phase: ChannelPhase,
    next_end: u64,
    /// Senders that wait until the channel is closed.
    closed_listeners: Listeners,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChannelPhase {
    Open,
    /// No more values are accepted.
    ShutDown,
    /// Nor are any delivered.
    ShutDownNow,
}

/// A sender that waits, or has not acknowledged the end of its wait.
#[derive(Debug)]
struct SendEntry<T> {
    /// None once it was accepted; and for a permit.
    value: Option<T>,
    state: SendState,
}

/// See the picture at the head of this module.
#[derive(Debug)]
enum SendState {
    Waiting {
        waiter: Waiter,
        end: u64,
    },
    /// Accepted under this number. It may be taken back, so the waiter has stayed, without its waker.
    Sent {
        number: u64,
        waiter: Waiter,
    },
    Granted,
    Refused(SendErrorKind),
    Skipped,
}

#[derive(Debug)]
struct RecvEntry<T> {
    end: u64,
    state: RecvState<T>,
}

#[derive(Debug)]
enum RecvState<T> {
    Idle,
    Waiting(Waiter),
    Skipped,
    Delivered(T, u64),
    Ended(RecvError),
}

/// The kind of a send: a value, or a permit for one that comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendKind {
    Value,
    Permit,
}

impl<T> ChannelState<T> {
    /// The capacity that is reserved for the first value, at most.
    const MAX_PREALLOCATED: usize = 1024;

    /// Makes the state of a channel without a limit.
    #[inline]
    fn new() -> Self {
        ChannelState {
            capacity: usize::MAX,
            buffer: Buffer::new(),
            send_entries: LinkedSlab::new(),
            send_waiters: SlabList::new(),
            recv_entries: LinkedSlab::new(),
            recv_waiters: SlabList::new(),
            permits: 0,
            unacknowledged: 0,
            peak: 0,
            senders: 1,
            receivers: 1,
            phase: ChannelPhase::Open,
            next_end: 0,
            closed_listeners: Listeners::new(),
        }
    }

    #[inline]
    fn limit(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.buffer.preallocate = if capacity == usize::MAX { 0 } else { capacity.min(Self::MAX_PREALLOCATED) };
    }

    // The parts of all steps.

    /// Returns whether there is room, as Invariant 1 defines it.
    #[inline]
    fn has_room(&mut self, deferred: &mut Deferred<T>) -> bool {
        let used = self.buffer.len() + self.permits;
        used < self.capacity || self.has_waiting_receivers(used - self.capacity + 1, deferred)
    }

    /// Returns whether at least `n` receivers wait. Skips those whose code is cancelled.
    #[inline(never)]
    fn has_waiting_receivers(&mut self, n: usize, deferred: &mut Deferred<T>) -> bool {
        let (mut next, mut count) = (self.recv_waiters.first(), 0);
        while let Some(key) = next {
            next = self.recv_entries.next_in_list(key);
            if self.skip_cancelled_receiver(key, deferred) {
                continue;
            }
            count += 1;
            if count == n {
                return true;
            }
        }
        false
    }

    /// Returns the longest waiting receiver whose code is not cancelled. Skips those before it. To ask, not to give.
    #[inline]
    fn first_receiver(&mut self, deferred: &mut Deferred<T>) -> Option<usize> {
        loop {
            let key = self.recv_waiters.first()?;
            if !self.skip_cancelled_receiver(key, deferred) {
                return Some(key);
            }
        }
    }

    /// Claims the longest waiting receiver that can be given something, and returns it. Skips those before it.
    #[inline]
    fn claim_first_receiver(&mut self, deferred: &mut Deferred<T>) -> Option<usize> {
        loop {
            let key = self.recv_waiters.first()?;
            if self.claim_receiver(key, deferred) {
                return Some(key);
            }
        }
    }

    /// Claims a waiting receiver, which is to be given something at once. Skips it if that fails.
    fn claim_receiver(&mut self, key: usize, deferred: &mut Deferred<T>) -> bool {
        let claimed = matches!(&self.recv_entries[key].state, RecvState::Waiting(waiter) if waiter.claim());
        if !claimed {
            self.skip_receiver(key, deferred);
        }
        claimed
    }

    /// Skips a waiting receiver, if its code is cancelled; returns whether it was.
    fn skip_cancelled_receiver(&mut self, key: usize, deferred: &mut Deferred<T>) -> bool {
        let passes = matches!(&self.recv_entries[key].state, RecvState::Waiting(waiter) if waiter.is_cancelled());
        if passes {
            self.skip_receiver(key, deferred);
        }
        passes
    }

    fn skip_receiver(&mut self, key: usize, deferred: &mut Deferred<T>) {
        self.recv_entries.unlink(&mut self.recv_waiters, key);
        if let RecvState::Waiting(waiter) = mem::replace(&mut self.recv_entries[key].state, RecvState::Skipped) {
            deferred.wake(waiter);
        }
    }

    /// Returns the longest waiting sender whose code is not cancelled. Skips those before it. To ask, not to give.
    #[inline]
    fn first_sender(&mut self, deferred: &mut Deferred<T>) -> Option<usize> {
        loop {
            let key = self.send_waiters.first()?;
            if !self.skip_cancelled_sender(key, deferred) {
                return Some(key);
            }
        }
    }

    /// Claims a waiting sender, which is to be told something at once. Skips it if that fails.
    fn claim_sender(&mut self, key: usize, deferred: &mut Deferred<T>) -> bool {
        let claimed = matches!(&self.send_entries[key].state, SendState::Waiting { waiter, .. } if waiter.claim());
        if !claimed {
            self.skip_sender(key, deferred);
        }
        claimed
    }

    /// Skips a waiting sender, if its code is cancelled; returns whether it was.
    fn skip_cancelled_sender(&mut self, key: usize, deferred: &mut Deferred<T>) -> bool {
        let passes =
            matches!(&self.send_entries[key].state, SendState::Waiting { waiter, .. } if waiter.is_cancelled());
        if passes {
            self.skip_sender(key, deferred);
        }
        passes
    }

    /// Skips a waiting sender. It keeps its value.
    fn skip_sender(&mut self, key: usize, deferred: &mut Deferred<T>) {
        let waiter = self.complete_sender(key, SendState::Skipped);
        deferred.wake(waiter);
    }

    /// Returns whether no value will come any more.
    #[inline]
    pub(super) fn is_finished(&self) -> bool {
        let quiet = self.permits == 0 && self.unacknowledged == 0 && self.buffer.is_empty();
        match self.phase {
            ChannelPhase::Open => self.senders == 0 && quiet,
            ChannelPhase::ShutDown => quiet,
            ChannelPhase::ShutDownNow => true,
        }
    }

    /// Delivers a value to the longest waiting receiver, or stores it in the buffer. Returns its number.
    #[inline]
    fn deliver(&mut self, value: T, deferred: &mut Deferred<T>) -> u64 {
        match self.claim_first_receiver(deferred) {
            Some(key) => {
                let number = self.buffer.number();
                self.deliver_to(key, value, number, deferred);
                number
            }
            None => self.store(value),
        }
    }

    #[inline]
    fn store(&mut self, value: T) -> u64 {
        let number = self.buffer.push(value);
        self.peak = self.peak.max(self.buffer.len());
        number
    }

    #[inline(never)]
    fn deliver_to(&mut self, key: usize, value: T, number: u64, deferred: &mut Deferred<T>) {
        self.recv_entries.unlink(&mut self.recv_waiters, key);
        self.unacknowledged += 1;
        let before = mem::replace(&mut self.recv_entries[key].state, RecvState::Delivered(value, number));
        let RecvState::Waiting(waiter) = before else {
            unreachable!("exactly the Waiting entries are in `recv_waiters`")
        };
        deferred.wake(waiter);
    }

    /// Ends the wait of a sender: unlinks it, sets its state, and returns its waiter.
    fn complete_sender(&mut self, key: usize, state: SendState) -> Waiter {
        self.send_entries.unlink(&mut self.send_waiters, key);
        match mem::replace(&mut self.send_entries[key].state, state) {
            SendState::Waiting { waiter, .. } => waiter,
            _ => unreachable!("exactly the Waiting entries are in `send_waiters`"),
        }
    }

    /// Accepts the values of waiting senders, longest waiter first, while there is room.
    fn admit_senders(&mut self, deferred: &mut Deferred<T>) {
        while let Some(key) = self.first_sender(deferred) {
            if !self.has_room(deferred) {
                break;
            }
            if !self.claim_sender(key, deferred) {
                continue;
            }
            match self.send_entries[key].value.take() {
                Some(value) => {
                    let number = self.deliver(value, deferred);
                    self.accept(key, number, deferred);
                }
                None => {
                    self.permits += 1;
                    let waiter = self.complete_sender(key, SendState::Granted);
                    deferred.wake(waiter);
                }
            }
        }
    }

    /// Ends the wait of a sender whose value was accepted under this number.
    fn accept(&mut self, key: usize, number: u64, deferred: &mut Deferred<T>) {
        let mut waiter = self.complete_sender(key, SendState::Granted);
        deferred.wake(waiter.take_waker());
        self.send_entries[key].state = SendState::Sent { number, waiter };
    }

    /// Ends the waits that a step has made ready: admits senders, and tells receivers if no value will come.
    #[inline]
    fn notify_waiters(&mut self, deferred: &mut Deferred<T>) {
        if !self.send_waiters.is_empty() || !self.recv_waiters.is_empty() {
            self.notify_waiters_slow(deferred);
        }
    }

    #[inline(never)]
    fn notify_waiters_slow(&mut self, deferred: &mut Deferred<T>) {
        self.admit_senders(deferred);
        if self.is_finished() {
            while let Some(key) = self.claim_first_receiver(deferred) {
                self.end_receiver(key, RecvError::Disconnected, deferred);
            }
        }
    }

    pub(super) fn closed_listeners(&mut self) -> &mut Listeners {
        &mut self.closed_listeners
    }

    // Snapshots and checks.

    pub(super) fn statistics(&self) -> ChannelStatistics {
        ChannelStatistics {
            used: self.buffer.len(),
            capacity: if self.capacity == usize::MAX { None } else { Some(self.capacity) },
            peak: self.peak,
            permits: self.permits,
            senders: self.senders,
            receivers: self.receivers,
            waiting_senders: self.send_waiters.len(),
            waiting_receivers: self.recv_waiters.len(),
            shut_down: self.phase != ChannelPhase::Open,
        }
    }

    /// Returns whether no entry is in use, not even of a waiter that has still to acknowledge.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.send_entries.is_empty()
            && self.recv_entries.is_empty()
            && self.send_waiters.is_empty()
            && self.recv_waiters.is_empty()
            && self.closed_listeners.is_idle()
            && (self.permits, self.unacknowledged) == (0, 0)
    }

    /// Asserts the invariants that hold after every step.
    #[cfg(test)]
    pub(super) fn check(&mut self) {
        let deferred = &mut Deferred::new();
        assert!(self.first_sender(deferred).is_none() || !self.has_room(deferred), "Invariant 1");
        assert!(self.first_receiver(deferred).is_none() || self.buffer.is_empty(), "Invariant 2");
        assert!(self.buffer.is_in_order(), "Invariant 3");
        assert!(self.first_receiver(deferred).is_none() || !self.is_finished(), "a receiver waits for nothing");
        let sends = self.first_sender(deferred).is_some() || !self.buffer.is_empty();
        assert!(self.receivers > 0 || !sends, "nobody will receive this");
    }
}
