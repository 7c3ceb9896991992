//! The state of a bounded or unbounded channel, and every step it takes, under one lock.
//!
//! What is sent is a *parcel*: an entry that its sender makes and that stays where it is until it is received. Parcels stand
//! in two rows: the `line` of those that wait for room, with their senders behind them, and the `buffer` of those that have it.
//! To let a sender in is to move its parcel from one row to the other; the value does not move, so a sender that goes away
//! before it took note can still take it back, from the middle of the buffer too.
//!
//! ```text
//!             ┌──2──▶ Sent ─────4──▶ Item ──┐
//!   Waiting ──┤        └───3──▶ Taken ──────┤
//!     │       ├──3──▶ Taken ────────────────┼──6──▶ gone          receivers:  Waiting ──7──▶ Handed ──┐
//!     │       ├──2──▶ Granted ──────────────┤                                   │                     ├──9──▶ gone
//!     │       └──5──▶ Refused ──────────────┤                                   └───8──▶ Ended ───────┘
//!     └───────────6─────────────────────────┘
//! ```
//!
//! 1. what has room at once is an Item from the start: `deliver`
//! 2. let into the buffer, or granted a permit, when there is room: `admit`
//! 3. received, or handed to a receiver that waits: `take`, `admit`
//! 4. the sender took note: `poll_sender`
//! 5. its end was closed, or no receiver is left; the value is back: `refuse`
//! 6. received; or the sender took note or went away: `take`, `poll_sender`, `leave_sender`
//! 7. handed a value, longest waiter first: `hand`
//! 8. its end was closed, or nothing will come any more: `close_receiver`, `settle`
//! 9. took note or went away: `poll_receiver`, `leave_receiver`. A stream's entry can be Idle: neither waiting nor handed.
//!
//! Invariant 1: there is *room* while `buffer + permits < capacity + waiting receivers`. After every step no sender waits while
//! there is room. With capacity 0 this is the rendezvous: each waiting receiver is room for one.
//! Invariant 2: while a receiver waits the buffer is empty.
//! Invariant 3: parcels of the buffer stand in the order of their numbers. What a receiver was handed and did not take
//! keeps its number, and goes back to its place.
//! Invariant 4: an entry with somebody behind it goes only by that one's hand.
//! Invariant 5: under the lock no value is dropped and no waker cloned, called or dropped: all of that is put into `After`.
//!
//! A long file: sending, receiving and closing share one state and these invariants.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

use super::after::After;
use super::bell::Bell;
use super::error::RecvError;
use super::slots::{Row, Slots};
use super::statistics::ChannelStatistics;
use super::turn::{Attempt, wait_with};

/// A channel: the state and its lock.
#[derive(Debug)]
pub(super) struct Chan<T>(Mutex<State<T>>);

impl<T> Chan<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Chan(Mutex::new(State::new(capacity)))
    }

    /// One step. Wakes and drops when the lock is released.
    pub(super) fn step<R>(&self, f: impl FnOnce(&mut State<T>, &mut After<T>) -> R) -> R {
        let mut after = After::new();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut state, &mut after);
        drop(state);
        drop(after);
        result
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
    /// A clone of one that was closed.
    pub(super) fn born_closed() -> Self {
        End { id: 0, closed: AtomicBool::new(true) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
pub(super) struct State<T> {
    /// `usize::MAX`: without a limit.
    capacity: usize,
    parcels: Slots<Parcel<T>>,
    buffer: Row,
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
    next_number: u64,
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

#[derive(Debug)]
struct Parcel<T> {
    /// None once it was received; and for a permit.
    value: Option<T>,
    number: u64,
    stage: Stage,
}

/// See the picture at the head of this module.
#[derive(Debug)]
enum Stage {
    Item,
    Waiting { waker: Option<Waker>, end: u64 },
    Sent,
    Taken,
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
    /// How many parcels a channel makes room for in advance, at most.
    const ADVANCE: usize = 1024;

    fn new(capacity: usize) -> Self {
        let advance = if capacity == usize::MAX { 0 } else { capacity.min(Self::ADVANCE) };
        State {
            capacity,
            parcels: Slots::with_capacity(advance),
            buffer: Row::new(),
            line: Row::new(),
            receptions: Slots::new(),
            parked: Row::new(),
            permits: 0,
            handed: 0,
            peak: 0,
            senders: 0,
            receivers: 0,
            phase: Phase::Open,
            next_end: 0,
            next_number: 0,
            bell: Bell::new(),
        }
    }

    // Sending.

    /// Invariant 1.
    fn has_room(&self) -> bool {
        self.buffer.len() + self.permits < self.capacity.saturating_add(self.parked.len())
    }

    /// Why nothing can be sent through `end`.
    pub(super) fn refusal(&self, end: &End) -> Option<Refusal> {
        if end.is_closed() || self.phase != Phase::Open {
            Some(Refusal::Closed)
        } else if self.receivers == 0 {
            Some(Refusal::Disconnected)
        } else {
            None
        }
    }

    /// Tries to send; takes the value only if it is sent or waits. Without `act` it only looks whether it could.
    pub(super) fn send(
        &mut self,
        end: &End,
        freight: Freight,
        value: &mut Option<T>,
        act: bool,
        place: &mut Place<'_>,
        after: &mut After<T>,
    ) -> Attempt<Result<(), Refusal>> {
        if let Some(refusal) = self.refusal(end) {
            return if act { Attempt::Done(Err(refusal)) } else { Attempt::Ready };
        }
        if self.has_room() {
            debug_assert!(self.line.is_empty(), "nobody waits while there is room");
            if !act {
                return Attempt::Ready;
            }
            match freight {
                Freight::Permit => self.permits += 1,
                Freight::Value => {
                    let Some(value) = value.take() else { unreachable!("a value is sent once") };
                    self.deliver(value, after);
                }
            }
            return Attempt::Done(Ok(()));
        }
        let Some(waker) = place.waker.take() else { return Attempt::NoWaker };
        let stage = Stage::Waiting { waker: Some(waker), end: end.id };
        let key = self.parcels.insert(Parcel { value: value.take(), number: 0, stage });
        self.parcels.push(&mut self.line, key);
        *place.key = Some(key);
        Attempt::Waits
    }

    /// Sends by a permit, which is used up.
    pub(super) fn send_permitted(&mut self, value: T, after: &mut After<T>) -> Result<(), (Refusal, T)> {
        self.permits -= 1;
        let refused = match (self.phase, self.receivers) {
            (Phase::Cut, _) => Some(Refusal::Closed),
            (_, 0) => Some(Refusal::Disconnected),
            _ => None,
        };
        match refused {
            Some(refusal) => {
                self.settle(after);
                Err((refusal, value))
            }
            None => {
                self.deliver(value, after);
                self.settle(after);
                Ok(())
            }
        }
    }

    pub(super) fn drop_permit(&mut self, after: &mut After<T>) {
        self.permits -= 1;
        self.settle(after);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// To the longest waiting receiver, or into the buffer.
    fn deliver(&mut self, value: T, after: &mut After<T>) {
        let number = self.number();
        match self.parked.first() {
            Some(key) => self.hand(key, value, number, after),
            None => {
                let key = self.parcels.insert(Parcel { value: Some(value), number, stage: Stage::Item });
                self.parcels.push(&mut self.buffer, key);
                self.peak = self.peak.max(self.buffer.len());
            }
        }
    }

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
            let waker = if self.parcels[key].value.is_none() {
                self.permits += 1;
                self.call(key, Stage::Granted)
            } else if let Some(receiver) = self.parked.first() {
                let waker = self.call(key, Stage::Taken);
                let number = self.number();
                let Some(value) = self.parcels[key].value.take() else { unreachable!("just seen") };
                self.hand(receiver, value, number, after);
                waker
            } else {
                let waker = self.call(key, Stage::Sent);
                self.parcels[key].number = self.number();
                self.parcels.push(&mut self.buffer, key);
                self.peak = self.peak.max(self.buffer.len());
                waker
            };
            after.wake(waker);
        }
    }

    fn refuse(&mut self, key: usize, refusal: Refusal, after: &mut After<T>) {
        let waker = self.call(key, Stage::Refused(refusal));
        after.wake(waker);
    }

    fn refuse_all(&mut self, refusal: Refusal, after: &mut After<T>) {
        while let Some(key) = self.line.first() {
            self.refuse(key, refusal, after);
        }
    }

    /// Tells a sender that waited how it ended; a value that was refused is put back.
    pub(super) fn poll_sender(
        &mut self,
        key: usize,
        value: &mut Option<T>,
        spare: &mut Option<Waker>,
        cx: &Context<'_>,
    ) -> Attempt<Result<(), Refusal>> {
        let stage = &mut self.parcels[key].stage;
        let done = match stage {
            Stage::Waiting { waker, .. } => return wait_with(waker, spare, cx),
            Stage::Sent => {
                *stage = Stage::Item;
                return Attempt::Done(Ok(()));
            }
            Stage::Taken | Stage::Granted => Ok(()),
            Stage::Refused(refusal) => Err(*refusal),
            Stage::Item => unreachable!("there is nobody behind an item"),
        };
        *value = self.parcels.remove(key).value;
        Attempt::Done(done)
    }

    /// A sender that waited goes away; its value comes back, unless it was received.
    pub(super) fn leave_sender(&mut self, key: usize, after: &mut After<T>) -> Option<T> {
        let row = match self.parcels[key].stage {
            Stage::Waiting { .. } => Some(&mut self.line),
            Stage::Sent => Some(&mut self.buffer),
            _ => None,
        };
        if let Some(row) = row {
            self.parcels.unlink(row, key);
        }
        let parcel = self.parcels.remove(key);
        match parcel.stage {
            Stage::Waiting { waker, .. } => after.forget(waker),
            Stage::Granted => self.permits -= 1,
            _ => {}
        }
        self.settle(after);
        parcel.value
    }

    // Receiving.

    /// Whether something can be received by somebody who comes now.
    fn is_takeable(&self) -> bool {
        // Who comes now stands behind those who wait.
        self.parked.is_empty()
            && (!self.buffer.is_empty() || self.line.first().is_some_and(|key| self.parcels[key].value.is_some()))
    }

    /// Whether nothing will come any more.
    pub(super) fn is_over(&self) -> bool {
        let quiet = self.permits == 0 && self.handed == 0 && self.buffer.is_empty();
        match self.phase {
            Phase::Open => self.senders == 0 && quiet,
            Phase::Shut => quiet,
            Phase::Cut => true,
        }
    }

    /// Tries to receive. Without `act` it only looks whether it could. `own` is the entry of the end's stream, if it has one.
    pub(super) fn recv(
        &mut self,
        end: &End,
        own: Option<usize>,
        act: bool,
        place: &mut Place<'_>,
        after: &mut After<T>,
    ) -> Attempt<Result<T, RecvError>> {
        self.calm(own, after);
        if end.is_closed() {
            return if act { Attempt::Done(Err(RecvError::Closed)) } else { Attempt::Ready };
        }
        if self.is_takeable() {
            if !act {
                return Attempt::Ready;
            }
            if let Some(value) = self.take(after) {
                return Attempt::Done(Ok(value));
            }
        }
        if self.is_over() {
            return if act { Attempt::Done(Err(RecvError::Disconnected)) } else { Attempt::Ready };
        }
        let Some(waker) = place.waker.take() else { return Attempt::NoWaker };
        let key = self.receptions.insert(Reception { end: end.id, stage: Receiving::Waiting(Some(waker)) });
        self.receptions.push(&mut self.parked, key);
        // It makes room for one.
        self.admit(after);
        *place.key = Some(key);
        Attempt::Waits
    }

    /// Receives without waiting.
    pub(super) fn try_recv(
        &mut self,
        end: &End,
        own: Option<usize>,
        after: &mut After<T>,
    ) -> Result<Option<T>, RecvError> {
        self.calm(own, after);
        if end.is_closed() {
            return Err(RecvError::Closed);
        }
        if self.parked.is_empty() {
            if let Some(value) = self.take(after) {
                return Ok(Some(value));
            }
        }
        if self.is_over() { Err(RecvError::Disconnected) } else { Ok(None) }
    }

    /// The longest sent value of the buffer; without one, that of the longest waiting sender.
    fn take(&mut self, after: &mut After<T>) -> Option<T> {
        if let Some(key) = self.buffer.first() {
            self.parcels.unlink(&mut self.buffer, key);
            let parcel = &mut self.parcels[key];
            let value = if let Stage::Item = parcel.stage {
                self.parcels.remove(key).value
            } else {
                parcel.stage = Stage::Taken;
                parcel.value.take()
            };
            self.settle(after);
            return value;
        }
        // A rendezvous, or permits have all the room. Who waits for a permit cannot be served by somebody who does not wait.
        let mut next = self.line.first();
        while let Some(key) = next {
            if self.parcels[key].value.is_some() {
                let waker = self.call(key, Stage::Taken);
                after.wake(waker);
                return self.parcels[key].value.take();
            }
            next = self.parcels.after(key);
        }
        None
    }

    /// A stream's end is received from in another way: no `next()` can be under way, so it does not wait any more. What it
    /// was handed goes back.
    fn calm(&mut self, own: Option<usize>, after: &mut After<T>) {
        let Some(key) = own else { return };
        match mem::replace(&mut self.receptions[key].stage, Receiving::Idle) {
            Receiving::Idle => {}
            Receiving::Waiting(waker) => {
                self.receptions.unlink(&mut self.parked, key);
                after.forget(waker);
            }
            Receiving::Handed(value, number) => self.take_back(value, number, after),
            ended @ Receiving::Ended(_) => self.receptions[key].stage = ended,
        }
    }

    /// Tells a receiver that waited how it ended. Ready: it was a stream that was set aside, and has no entry any more.
    pub(super) fn poll_receiver(
        &mut self,
        key: usize,
        spare: &mut Option<Waker>,
        cx: &Context<'_>,
        after: &mut After<T>,
    ) -> Attempt<Result<T, RecvError>> {
        if let Receiving::Waiting(waker) = &mut self.receptions[key].stage {
            return wait_with(waker, spare, cx);
        }
        match self.receptions.remove(key).stage {
            Receiving::Idle => Attempt::Ready,
            Receiving::Ended(error) => Attempt::Done(Err(error)),
            Receiving::Handed(value, _) => {
                self.handed -= 1;
                self.settle(after);
                Attempt::Done(Ok(value))
            }
            Receiving::Waiting(_) => unreachable!("just seen"),
        }
    }

    /// A receiver that waited goes away; what it was handed goes to the next, or back.
    pub(super) fn leave_receiver(&mut self, key: usize, after: &mut After<T>) {
        if let Receiving::Waiting(_) = self.receptions[key].stage {
            self.receptions.unlink(&mut self.parked, key);
        }
        match self.receptions.remove(key).stage {
            Receiving::Waiting(waker) => after.forget(waker),
            Receiving::Handed(value, number) => self.take_back(value, number, after),
            Receiving::Ended(_) | Receiving::Idle => {}
        }
    }

    /// L40: what was handed to a receiver that does not take it.
    fn take_back(&mut self, value: T, number: u64, after: &mut After<T>) {
        self.handed -= 1;
        if self.receivers == 0 || self.phase == Phase::Cut {
            after.discard(value);
        } else if let Some(next) = self.parked.first() {
            self.hand(next, value, number, after);
        } else {
            let key = self.parcels.insert(Parcel { value: Some(value), number, stage: Stage::Item });
            // Invariant 3. Only what came back, too, can stand before it.
            let mut next = self.buffer.first();
            while let Some(other) = next.filter(|&other| self.parcels[other].number < number) {
                next = self.parcels.after(other);
            }
            match next {
                Some(next) => self.parcels.insert_before(&mut self.buffer, next, key),
                None => self.parcels.push(&mut self.buffer, key),
            }
            self.peak = self.peak.max(self.buffer.len());
        }
        self.settle(after);
    }

    /// What every step may lead to: senders are let in, and receivers learn that nothing will come.
    fn settle(&mut self, after: &mut After<T>) {
        self.admit(after);
        if self.is_over() {
            while let Some(key) = self.parked.first() {
                self.end_receiver(key, RecvError::Disconnected, after);
            }
        }
    }

    fn end_receiver(&mut self, key: usize, error: RecvError, after: &mut After<T>) {
        self.receptions.unlink(&mut self.parked, key);
        if let Receiving::Waiting(waker) = mem::replace(&mut self.receptions[key].stage, Receiving::Ended(error)) {
            after.wake(waker);
        }
    }

    // Opening and closing.

    pub(super) fn open_sender(&mut self) -> End {
        self.senders += 1;
        self.open_end()
    }

    pub(super) fn open_receiver(&mut self) -> End {
        self.receivers += 1;
        self.open_end()
    }

    fn open_end(&mut self) -> End {
        self.next_end += 1;
        End { id: self.next_end, closed: AtomicBool::new(false) }
    }

    /// Another end, like this one: none from a closed one.
    pub(super) fn clone_end(&mut self, end: &End, open: fn(&mut Self) -> End) -> Option<End> {
        if end.is_closed() { None } else { Some(open(self)) }
    }

    /// Closes one sending end, and says whether it was open.
    ///
    /// An end that is `gone` has nobody waiting on it, for they borrow it: it need not be looked for them.
    pub(super) fn close_sender(&mut self, end: &End, gone: bool, after: &mut After<T>) -> bool {
        if end.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.senders -= 1;
        if !gone {
            let mut next = self.line.first();
            while let Some(key) = next {
                next = self.parcels.after(key);
                if matches!(self.parcels[key].stage, Stage::Waiting { end: whose, .. } if whose == end.id) {
                    self.refuse(key, Refusal::Closed, after);
                }
            }
            self.bell.ring(after);
        }
        self.settle(after);
        true
    }

    /// Closes one receiving end, and says whether it was open. `gone` as in `close_sender`.
    pub(super) fn close_receiver(&mut self, end: &End, gone: bool, after: &mut After<T>) -> bool {
        if end.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.receivers -= 1;
        let mut next = if gone { None } else { self.parked.first() };
        while let Some(key) = next {
            next = self.receptions.after(key);
            if self.receptions[key].end == end.id {
                self.end_receiver(key, RecvError::Closed, after);
            }
        }
        if self.receivers == 0 {
            self.refuse_all(Refusal::Disconnected, after);
            self.empty(Refusal::Disconnected, after);
            self.bell.ring(after);
        }
        true
    }

    /// Lets nothing more in; with `cut`, nor out.
    pub(super) fn shut(&mut self, cut: bool, after: &mut After<T>) {
        if self.phase == Phase::Cut || (self.phase == Phase::Shut && !cut) {
            return;
        }
        self.phase = if cut { Phase::Cut } else { Phase::Shut };
        self.refuse_all(Refusal::Closed, after);
        if cut {
            self.empty(Refusal::Closed, after);
        }
        self.bell.ring(after);
        self.settle(after);
    }

    /// Empties the buffer: what a sender does not know yet to be sent is given back to it, the rest is dropped.
    fn empty(&mut self, refusal: Refusal, after: &mut After<T>) {
        while let Some(key) = self.buffer.first() {
            self.parcels.unlink(&mut self.buffer, key);
            if let Stage::Sent = self.parcels[key].stage {
                self.parcels[key].stage = Stage::Refused(refusal);
            } else if let Some(value) = self.parcels.remove(key).value {
                after.discard(value);
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
        let mut next = self.buffer.first();
        let mut before = 0;
        while let Some(key) = next {
            assert!(self.parcels[key].number > before && self.parcels[key].value.is_some(), "Invariant 3");
            before = self.parcels[key].number;
            next = self.parcels.after(key);
        }
        assert!(self.parked.is_empty() || !self.is_over(), "a receiver waits for nothing");
        assert!(self.receivers > 0 || (self.line.is_empty() && self.buffer.is_empty()), "nobody will receive this");
    }
}
