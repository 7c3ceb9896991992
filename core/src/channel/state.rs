//! The state of a bounded or unbounded channel, and every step it takes, under one lock.
//!
//! What has room stands in the `buffer`, and has a number there. Who waits has an entry: senders, with what they send, in the
//! `line`, receivers among the `parked`. To let a sender in is to move its value into the buffer; the entry keeps the number,
//! so a sender that goes away before it took note can still take the value back, from the middle of the buffer too.
//!
//! ```text
//!   senders:    Waiting ─┬─1──▶ Sent ─────┐            receivers:  Waiting ─┬─5──▶ Handed ──┐
//!                  │     ├─2──▶ Granted ──┼─4──▶ gone                 │     └─6──▶ Ended ───┼─7──▶ gone
//!                  │     └─3──▶ Refused ──┤                           └─────────────────────┘
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
//!
//! Invariant 1: there is *room* while `buffer + permits < capacity + waiting receivers`. After every step no sender waits while
//! there is room. With capacity 0 this is the rendezvous: each waiting receiver is room for one.
//! Invariant 2: while a receiver waits the buffer is empty.
//! Invariant 3: the buffer stands in the order of its numbers. What a receiver was handed and did not take keeps its number,
//! and goes back to its place.
//! Invariant 4: an entry with somebody behind it goes only by that one's hand.
//! Invariant 5: under the lock no value is dropped and no waker cloned, called or dropped: all of that is put into `After`.
//!
//! Here is what the steps of both sides have in common; `sending`, `receiving` and `closing` have those of their own.

mod closing;
mod receiving;
mod sending;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use super::after::After;
use super::bell::Bell;
use super::buffer::Buffer;
use super::error::RecvError;
use super::slots::{Row, Slots};
use super::statistics::ChannelStatistics;
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
        waker: Option<Waker>,
        end: u64,
    },
    /// Under this number.
    Sent(u64),
    Granted,
    Refused(Refusal),
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
    Waiting(Option<Waker>),
    Handed(T, u64),
    Ended(RecvError),
}

/// Where to wait: a clone of the waker, and where to note the number of the entry.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) waker: &'a mut Option<Waker>,
    pub(super) key: &'a mut Option<usize>,
}

impl Place<'_> {
    /// For an attempt that is not to wait.
    pub(super) fn none<R>(attempt: impl FnOnce(&mut Place<'_>) -> R) -> R {
        attempt(&mut Place { waker: &mut None, key: &mut None })
    }
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
    fn has_room(&self) -> bool {
        self.buffer.len() + self.permits < self.capacity.saturating_add(self.parked.len())
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
        match self.parked.first() {
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
        let Receiving::Waiting(waker) = before else { unreachable!("exactly those that wait are parked") };
        after.wake(waker);
    }

    /// Takes a parcel out of the line and gives its waker.
    fn call(&mut self, key: usize, stage: Stage) -> Option<Waker> {
        self.parcels.unlink(&mut self.line, key);
        match mem::replace(&mut self.parcels[key].stage, stage) {
            Stage::Waiting { waker, .. } => waker,
            _ => unreachable!("exactly those that wait are in the line"),
        }
    }

    /// Lets senders in, longest waiter first, while there is room.
    fn admit(&mut self, after: &mut After<T>) {
        while let Some(key) = self.line.first() {
            if !self.has_room() {
                break;
            }
            let stage = match self.parcels[key].value.take() {
                Some(value) => Stage::Sent(self.deliver(value, after)),
                None => {
                    self.permits += 1;
                    Stage::Granted
                }
            };
            let waker = self.call(key, stage);
            after.wake(waker);
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
            while let Some(key) = self.parked.first() {
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
    pub(super) fn check(&self) {
        assert!(self.line.is_empty() || !self.has_room(), "Invariant 1");
        assert!(self.parked.is_empty() || self.buffer.is_empty(), "Invariant 2");
        assert!(self.buffer.is_in_order(), "Invariant 3");
        assert!(self.parked.is_empty() || !self.is_over(), "a receiver waits for nothing");
        assert!(self.receivers > 0 || (self.line.is_empty() && self.buffer.is_empty()), "nobody will receive this");
    }
}
