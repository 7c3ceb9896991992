//! The state of a bounded or unbounded channel, and every step it takes, under one lock.
//!
//! What has room stands in the `buffer`, and has a number there. Who waits has an entry: senders, with what they send, in the
//! `line`, receivers among the `parked`. To let a sender in is to move its value into the buffer; the entry keeps the number,
//! so a sender that goes away before it took note can still take the value back, from the middle of the buffer too.
//!
//! ```text
//!   senders:    Waiting ─┬─1──▶ Sent ─────┐            receivers:  Waiting ─┬─5──▶ Handed ──┐
//!                  │     ├─2──▶ Granted ──┼─4──▶ gone                 │     ├─6──▶ Ended ───┼─7──▶ gone
//!                  │     ├─3──▶ Refused ──┤                           │     └─8──▶ Passed ──┤
//!                  │     └─8──▶ Passed ───┤                           └─────────────────────┘
//!                  └──────────────────────┘
//! ```
//!
//! 1. let into the buffer when there is room, or handed to a receiver: `admit`, `take`
//! 2. granted a permit when there is room: `admit`
//! 3. its end was closed, or no receiver is left; the value is back, also out of the buffer: `refuse`, `empty`
//! 4. took note or went away: `poll_sender`, `leave_sender`
//! 5. handed a value, longest waiter first: `hand`
//! 6. its end was closed, or nothing will come any more: `close_receiver`, `settle`
//! 7. took note or went away: `poll_receiver`, `leave_receiver`. A stream's entry can be Idle: neither waiting nor handed.
//! 8. passed over, because its code is cancelled (law L14): `first_sender`, `first_receiver`. Polled in other code it starts again.
//!
//! Invariant 1: there is *room* while `buffer + permits < capacity + waiting receivers`. After every step no sender waits while
//! there is room. With capacity 0 this is the rendezvous: each waiting receiver is room for one.
//! Invariant 2: while a receiver waits the buffer is empty.
//! (In both, those whose code is cancelled do not count, neither senders nor receivers.)
//! Invariant 3: the buffer stands in the order of its numbers. What a receiver was handed and did not take keeps its number,
//! and goes back to its place.
//! Invariant 4: an entry with somebody behind it goes only by that one's hand.
//! Invariant 5: under the lock no value is dropped and no waiter made, woken or dropped: all of that is put into `After`.
//!
//! Here is what the steps of both sides have in common; `sending`, `receiving` and `closing` have those of their own.

mod closing;
mod receiving;
mod sending;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::after::After;
use super::bell::Bell;
use super::buffer::Buffer;
use super::error::RecvError;
use super::slots::{Row, Slots};
use super::statistics::ChannelStatistics;
use crate::leaf::Waiter;
use crate::sys::{Latch, MutexGuard};

/// A channel: the state and its lock.
#[derive(Debug)]
pub(super) struct Chan<T>(Latch<State<T>>);

impl<T> Default for Chan<T> {
    #[inline]
    fn default() -> Self {
        Chan(Latch::new(State::new()))
    }
}

impl<T> Chan<T> {
    /// With one sender and one receiver, who have the first ends.
    #[inline]
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        // Made where it stays, not moved there.
        let chan = Arc::<Self>::default();
        chan.lock().limit(capacity);
        chan
    }

    /// One step. Wakes and drops when the lock is released.
    #[inline]
    pub(super) fn step<R>(&self, f: impl FnOnce(&mut State<T>, &mut After<T>) -> R) -> R {
        self.step_on(None, f)
    }

    /// For a step that begins with what can be done at once: `send_at_once`, `recv_at_once`.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock()
    }

    /// The rest of such a step, under the same lock.
    #[inline]
    pub(super) fn step_on<'a, R>(
        &'a self,
        held: Option<MutexGuard<'a, State<T>>>,
        f: impl FnOnce(&mut State<T>, &mut After<T>) -> R,
    ) -> R {
        let mut state = held.unwrap_or_else(|| self.lock());
        let mut after = After::new();
        let result = f(&mut state, &mut after);
        drop(state);
        after.finish();
        result
    }

    // Not here: what most do. So that a wait which was none costs only the look.

    #[inline(never)]
    pub(super) fn leave_sender(&self, key: usize) -> Option<T> {
        self.step(|state, after| state.leave_sender(key, after))
    }

    #[inline(never)]
    pub(super) fn leave_receiver(&self, key: usize) {
        self.step(|state, after| state.leave_receiver(key, after));
    }
}

/// One clonable end: which waiters are its own, and whether it was closed.
#[derive(Debug)]
pub(super) struct End {
    id: u64,
    /// Written under the lock only.
    closed: AtomicBool,
}

impl End {
    /// Of a new channel: that of its sender, and that of its receiver. They never meet in one line.
    #[inline]
    pub(super) fn first() -> Self {
        End { id: 0, closed: AtomicBool::new(false) }
    }

    /// A clone of one that was closed.
    pub(super) fn born_closed() -> Self {
        End { id: 0, closed: AtomicBool::new(true) }
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
pub(super) struct State<T> {
    /// `usize::MAX`: without a limit.
    capacity: usize,
    buffer: Buffer<T>,
    parcels: Slots<Parcel<T>>,
    line: Row,
    receptions: Slots<Reception<T>>,
    parked: Row,
    /// Permits that are out.
    permits: usize,
    /// Receivers that were handed a value and have not taken note: it may still come back.
    handed: usize,
    peak: usize,
    senders: usize,
    receivers: usize,
    phase: Phase,
    next_end: u64,
    /// Who waits for the receivers to be gone.
    bell: Bell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing more is let in.
    Shut,
    /// Nor is anything let out.
    Cut,
}

/// A sender that waits, or has waited and did not take note.
#[derive(Debug)]
struct Parcel<T> {
    /// None once it was let in; and for a permit.
    value: Option<T>,
    stage: Stage,
}

/// See the picture at the head of this module.
#[derive(Debug)]
enum Stage {
    Waiting {
        waiter: Waiter,
        end: u64,
    },
    /// Under this number.
    Sent(u64),
    Granted,
    Refused(Refusal),
    /// Refused after it was sent: nobody has looked whether its code is cancelled.
    TakenBack(Refusal),
    Passed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Closed,
    Disconnected,
}

#[derive(Debug)]
struct Reception<T> {
    end: u64,
    stage: Receiving<T>,
}

#[derive(Debug)]
enum Receiving<T> {
    Idle,
    Waiting(Waiter),
    Passed,
    Handed(T, u64),
    Ended(RecvError),
}

/// What is sent: a value, or a permit for one to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freight {
    Value,
    Permit,
}

impl<T> State<T> {
    /// How many values a channel makes room for in advance, at most.
    const ADVANCE: usize = 1024;

    /// Without a limit.
    #[inline]
    fn new() -> Self {
        State {
            capacity: usize::MAX,
            buffer: Buffer::new(),
            parcels: Slots::new(),
            line: Row::new(),
            receptions: Slots::new(),
            parked: Row::new(),
            permits: 0,
            handed: 0,
            peak: 0,
            senders: 1,
            receivers: 1,
            phase: Phase::Open,
            next_end: 0,
            bell: Bell::new(),
        }
    }

    #[inline]
    fn limit(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.buffer.advance = if capacity == usize::MAX { 0 } else { capacity.min(Self::ADVANCE) };
    }

    // What all steps lead to.

    /// Invariant 1.
    #[inline]
    fn has_room(&mut self, after: &mut After<T>) -> bool {
        let used = self.buffer.len() + self.permits;
        used < self.capacity || self.are_received(used - self.capacity + 1, after)
    }

    /// Whether `n` receivers wait at least. Those that have to be passed over to know are.
    #[inline(never)]
    fn are_received(&mut self, n: usize, after: &mut After<T>) -> bool {
        let (mut next, mut count) = (self.parked.first(), 0);
        while let Some(key) = next {
            next = self.receptions.after(key);
            if self.passes_over_receiver(key, after) {
                continue;
            }
            count += 1;
            if count == n {
                return true;
            }
        }
        false
    }

    /// The longest waiting receiver that may be given something. Those before it are passed over.
    #[inline]
    fn first_receiver(&mut self, after: &mut After<T>) -> Option<usize> {
        loop {
            let key = self.parked.first()?;
            if !self.passes_over_receiver(key, after) {
                return Some(key);
            }
        }
    }

    /// Passes over a receiver that waits, if its code is cancelled.
    fn passes_over_receiver(&mut self, key: usize, after: &mut After<T>) -> bool {
        let passes = matches!(&self.receptions[key].stage, Receiving::Waiting(waiter) if waiter.is_cancelled());
        if passes {
            self.receptions.unlink(&mut self.parked, key);
            if let Receiving::Waiting(waiter) = mem::replace(&mut self.receptions[key].stage, Receiving::Passed) {
                after.forget(waiter);
            }
        }
        passes
    }

    /// As `first_receiver`, of the senders.
    #[inline]
    fn first_sender(&mut self, after: &mut After<T>) -> Option<usize> {
        loop {
            let key = self.line.first()?;
            if !self.passes_over_sender(key, after) {
                return Some(key);
            }
        }
    }

    /// Passes over a sender that waits, if its code is cancelled. It keeps its value.
    fn passes_over_sender(&mut self, key: usize, after: &mut After<T>) -> bool {
        let passes = matches!(&self.parcels[key].stage, Stage::Waiting { waiter, .. } if waiter.is_cancelled());
        if passes {
            let waiter = self.call(key, Stage::Passed);
            after.forget(waiter);
        }
        passes
    }

    /// Whether nothing will come any more.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        let quiet = self.permits == 0 && self.handed == 0 && self.buffer.is_empty();
        match self.phase {
            Phase::Open => self.senders == 0 && quiet,
            Phase::Shut => quiet,
            Phase::Cut => true,
        }
    }

    /// To the longest waiting receiver, or into the buffer. Gives its number.
    #[inline]
    fn deliver(&mut self, value: T, after: &mut After<T>) -> u64 {
        match self.first_receiver(after) {
            Some(key) => {
                let number = self.buffer.number();
                self.hand(key, value, number, after);
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
    fn hand(&mut self, key: usize, value: T, number: u64, after: &mut After<T>) {
        self.receptions.unlink(&mut self.parked, key);
        self.handed += 1;
        let before = mem::replace(&mut self.receptions[key].stage, Receiving::Handed(value, number));
        let Receiving::Waiting(waiter) = before else { unreachable!("exactly those that wait are parked") };
        after.wake(waiter);
    }

    /// Takes a parcel out of the line and gives its waiter.
    fn call(&mut self, key: usize, stage: Stage) -> Waiter {
        self.parcels.unlink(&mut self.line, key);
        match mem::replace(&mut self.parcels[key].stage, stage) {
            Stage::Waiting { waiter, .. } => waiter,
            _ => unreachable!("exactly those that wait are in the line"),
        }
    }

    /// Lets senders in, longest waiter first, while there is room.
    fn admit(&mut self, after: &mut After<T>) {
        while let Some(key) = self.first_sender(after) {
            if !self.has_room(after) {
                break;
            }
            let stage = match self.parcels[key].value.take() {
                Some(value) => Stage::Sent(self.deliver(value, after)),
                None => {
                    self.permits += 1;
                    Stage::Granted
                }
            };
            let waiter = self.call(key, stage);
            after.wake(waiter);
        }
    }

    /// What every step may lead to: senders are let in, and receivers learn that nothing will come.
    #[inline]
    fn settle(&mut self, after: &mut After<T>) {
        if !self.line.is_empty() || !self.parked.is_empty() {
            self.settle_waiters(after);
        }
    }

    #[inline(never)]
    fn settle_waiters(&mut self, after: &mut After<T>) {
        self.admit(after);
        if self.is_over() {
            while let Some(key) = self.first_receiver(after) {
                self.end_receiver(key, RecvError::Disconnected, after);
            }
        }
    }

    pub(super) fn bell(&mut self) -> &mut Bell {
        &mut self.bell
    }

    // Looking.

    pub(super) fn statistics(&self) -> ChannelStatistics {
        ChannelStatistics {
            used: self.buffer.len(),
            capacity: if self.capacity == usize::MAX { None } else { Some(self.capacity) },
            peak: self.peak,
            permits: self.permits,
            senders: self.senders,
            receivers: self.receivers,
            waiting_senders: self.line.len(),
            waiting_receivers: self.parked.len(),
            shut_down: self.phase != Phase::Open,
        }
    }

    /// Whether nobody is left, not even somebody who was called and has not taken note.
    #[cfg(test)]
    pub(super) fn is_home(&self) -> bool {
        self.parcels.is_empty()
            && self.receptions.is_empty()
            && self.line.is_empty()
            && self.parked.is_empty()
            && self.bell.is_home()
            && (self.permits, self.handed) == (0, 0)
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(super) fn check(&mut self) {
        let after = &mut After::new();
        assert!(self.first_sender(after).is_none() || !self.has_room(after), "Invariant 1");
        assert!(self.first_receiver(after).is_none() || self.buffer.is_empty(), "Invariant 2");
        assert!(self.buffer.is_in_order(), "Invariant 3");
        assert!(self.first_receiver(after).is_none() || !self.is_over(), "a receiver waits for nothing");
        let sends = self.first_sender(after).is_some() || !self.buffer.is_empty();
        assert!(self.receivers > 0 || !sends, "nobody will receive this");
    }
}
