//! The steps of receivers.

use std::mem;
use std::task::Context;

use super::{End, Phase, Receiving, Reception, Stage, State};
use crate::channel::after::After;
use crate::channel::buffer::NOWHERE;
use crate::channel::error::RecvError;
use crate::channel::turn::{Attempt, Visit, wait_with};

impl<T> State<T> {
    /// Whether something can be received by somebody who comes now.
    #[inline]
    fn is_takeable(&mut self, after: &mut After<T>) -> bool {
        // Who comes now stands behind those who wait.
        self.first_receiver(after).is_none()
            && (!self.buffer.is_empty()
                || self.first_sender(after).is_some_and(|key| self.parcels[key].value.is_some()))
    }

    /// Receives, if there is a value that nobody else waits for, and nobody waits for its room. What most do: nothing has to be done
    /// after.
    #[inline]
    pub(in crate::channel) fn recv_at_once(&mut self, end: &End, own: Option<usize>) -> Option<T> {
        if own.is_some() || end.is_closed() || !self.parked.is_empty() || !self.line.is_empty() {
            return None;
        }
        self.buffer.pop()
    }

    /// Tries to receive. `own` is the entry of the end's stream, if it has one.
    #[inline]
    pub(in crate::channel) fn recv(
        &mut self,
        end: &End,
        own: Option<usize>,
        visit: &mut Visit,
        place: &mut Option<usize>,
        after: &mut After<T>,
    ) -> Attempt<Result<T, RecvError>> {
        if let Some(own) = own {
            self.calm(own, after);
        }
        if end.is_closed() {
            return Attempt::Done(Err(RecvError::Closed));
        }
        if self.is_takeable(after) {
            if let Some(value) = self.take(after) {
                return Attempt::Done(Ok(value));
            }
        }
        if self.is_over() {
            return Attempt::Done(Err(RecvError::Disconnected));
        }
        let Some(waiter) = visit.waiter.take() else { return Attempt::NoWaiter };
        let reception = Reception { end: end.id, stage: Receiving::Waiting(waiter) };
        let key = self.receptions.append(&mut self.parked, reception);
        // It makes room for one.
        self.admit(after);
        *place = Some(key);
        Attempt::Waits
    }

    /// Receives without waiting.
    pub(in crate::channel) fn try_recv(
        &mut self,
        end: &End,
        own: Option<usize>,
        after: &mut After<T>,
    ) -> Result<Option<T>, RecvError> {
        if let Some(own) = own {
            self.calm(own, after);
        }
        if end.is_closed() {
            return Err(RecvError::Closed);
        }
        if self.first_receiver(after).is_none() {
            if let Some(value) = self.take(after) {
                return Ok(Some(value));
            }
        }
        if self.is_over() { Err(RecvError::Disconnected) } else { Ok(None) }
    }

    /// The longest sent value of the buffer; without one, that of the longest waiting sender.
    #[inline]
    fn take(&mut self, after: &mut After<T>) -> Option<T> {
        match self.buffer.pop() {
            Some(value) => {
                self.settle(after);
                Some(value)
            }
            None => self.take_waiting(after),
        }
    }

    fn take_waiting(&mut self, after: &mut After<T>) -> Option<T> {
        // A rendezvous, or permits have all the room. Who waits for a permit cannot be served by somebody who does not wait.
        let mut next = self.line.first();
        while let Some(key) = next {
            next = self.parcels.after(key);
            if self.passes_over_sender(key, after) {
                continue;
            }
            if let Some(value) = self.parcels[key].value.take() {
                let waiter = self.call(key, Stage::Sent(NOWHERE));
                after.wake(waiter);
                return Some(value);
            }
        }
        None
    }

    /// A stream's end is received from in another way: no `next()` can be under way, so it does not wait any more. What it
    /// was handed goes back.
    fn calm(&mut self, key: usize, after: &mut After<T>) {
        match mem::replace(&mut self.receptions[key].stage, Receiving::Idle) {
            Receiving::Idle | Receiving::Passed => {}
            Receiving::Waiting(waiter) => {
                self.receptions.unlink(&mut self.parked, key);
                after.forget(waiter);
            }
            Receiving::Handed(value, number) => self.take_back(value, number, after),
            ended @ Receiving::Ended(_) => self.receptions[key].stage = ended,
        }
    }

    /// Takes the value that a receiver was handed, if it was and others may still send. What most do who have waited: nothing has to be
    /// done after, for only of a channel that is about to end somebody may wait for this value to be taken.
    #[inline]
    pub(in crate::channel) fn take_handed(&mut self, key: usize) -> Option<T> {
        let goes_on = self.phase == Phase::Open && self.senders > 0;
        if !goes_on || !matches!(self.receptions[key].stage, Receiving::Handed(..)) {
            return None;
        }
        let Receiving::Handed(value, _) = self.receptions.remove(key).stage else { unreachable!("just seen") };
        self.handed -= 1;
        Some(value)
    }

    /// Tells a receiver that waited how it ended. None if it was a stream that was set aside, or was passed over: it has no entry any
    /// more, and starts again.
    pub(in crate::channel) fn poll_receiver(
        &mut self,
        key: usize,
        visit: &mut Visit,
        cx: &Context<'_>,
        after: &mut After<T>,
    ) -> Option<Attempt<Result<T, RecvError>>> {
        match &mut self.receptions[key].stage {
            Receiving::Waiting(waiter) => return Some(wait_with(waiter, visit, cx)),
            Receiving::Idle | Receiving::Passed if visit.cancelled => return Some(Attempt::Waits),
            _ => {}
        }
        match self.receptions.remove(key).stage {
            Receiving::Idle | Receiving::Passed => None,
            Receiving::Ended(error) => Some(Attempt::Done(Err(error))),
            Receiving::Handed(value, _) => {
                self.handed -= 1;
                self.settle(after);
                Some(Attempt::Done(Ok(value)))
            }
            Receiving::Waiting(_) => unreachable!("just seen"),
        }
    }

    /// A receiver that waited goes away; what it was handed goes to the next, or back.
    pub(in crate::channel) fn leave_receiver(&mut self, key: usize, after: &mut After<T>) {
        if let Receiving::Waiting(_) = self.receptions[key].stage {
            self.receptions.unlink(&mut self.parked, key);
        }
        match self.receptions.remove(key).stage {
            Receiving::Waiting(waiter) => after.forget(waiter),
            Receiving::Handed(value, number) => self.take_back(value, number, after),
            Receiving::Ended(_) | Receiving::Idle | Receiving::Passed => {}
        }
    }

    /// L40: what was handed to a receiver that does not take it.
    fn take_back(&mut self, value: T, number: u64, after: &mut After<T>) {
        self.handed -= 1;
        if self.receivers == 0 || self.phase == Phase::Cut {
            after.discard(value);
        } else if let Some(next) = self.first_receiver(after) {
            self.hand(next, value, number, after);
        } else {
            // Invariant 3.
            self.buffer.put_back(number, value);
            self.peak = self.peak.max(self.buffer.len());
        }
        self.settle(after);
    }

    pub(super) fn end_receiver(&mut self, key: usize, error: RecvError, after: &mut After<T>) {
        self.receptions.unlink(&mut self.parked, key);
        if let Receiving::Waiting(waiter) = mem::replace(&mut self.receptions[key].stage, Receiving::Ended(error)) {
            after.wake(waiter);
        }
    }
}
