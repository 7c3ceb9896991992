//! The steps of receivers.

use std::mem;
use std::task::Context;

use super::{ChannelPhase, ChannelState, Endpoint, RecvEntry, RecvState};
use crate::buffer::NO_NUMBER;
use crate::deferred::Deferred;
use crate::error::RecvError;
use crate::operation::{Attempt, AttemptCx, update_waiter};

impl<T> ChannelState<T> {
    /// Returns whether a newcomer can receive a value.
    #[inline]
    fn is_takeable(&mut self, deferred: &mut Deferred<T>) -> bool {
        // A newcomer is behind those that wait.
        self.first_receiver(deferred).is_none()
            && (!self.buffer.is_empty()
                || self.first_sender(deferred).is_some_and(|key| self.send_entries[key].value.is_some()))
    }

    /// Receives, if there is a value that nobody else waits for, and no sender waits for its room. This is the common
    /// case: nothing is deferred.
    #[inline]
    pub(crate) fn recv_at_once(&mut self, end: &Endpoint, own: Option<usize>) -> Option<T> {
        if own.is_some() || end.is_closed() || !self.recv_waiters.is_empty() || !self.send_waiters.is_empty() {
            return None;
        }
        self.buffer.pop()
    }

    /// Tries to receive. `own` is the entry of the endpoint's stream, if it has one. Stores the key of an entry in
    /// `key_out`.
    #[inline]
    pub(crate) fn recv(
        &mut self,
        end: &Endpoint,
        own: Option<usize>,
        attempt_cx: &mut AttemptCx,
        key_out: &mut Option<usize>,
        deferred: &mut Deferred<T>,
    ) -> Attempt<Result<T, RecvError>> {
        if let Some(own) = own {
            self.reset_stream_wait(own, deferred);
        }
        if end.is_closed() {
            return Attempt::Found(Err(RecvError::Closed));
        }
        if self.is_takeable(deferred) {
            if !attempt_cx.may_take() {
                return Attempt::Cancelled;
            }
            if let Some(value) = self.take(deferred) {
                return Attempt::Done(Ok(value));
            }
        }
        if self.is_finished() {
            return Attempt::Found(Err(RecvError::Disconnected));
        }
        let Some(waiter) = attempt_cx.waiter.take() else { return Attempt::NeedsWaiter };
        let entry = RecvEntry { end: end.id, state: RecvState::Waiting(waiter) };
        let key = self.recv_entries.append(&mut self.recv_waiters, entry);
        // It makes room for one.
        self.admit_senders(deferred);
        *key_out = Some(key);
        Attempt::Waiting
    }

    /// Receives without waiting.
    pub(crate) fn try_recv(
        &mut self,
        end: &Endpoint,
        own: Option<usize>,
        deferred: &mut Deferred<T>,
    ) -> Result<Option<T>, RecvError> {
        if let Some(own) = own {
            self.reset_stream_wait(own, deferred);
        }
        if end.is_closed() {
            return Err(RecvError::Closed);
        }
        if self.first_receiver(deferred).is_none() {
            if let Some(value) = self.take(deferred) {
                return Ok(Some(value));
            }
        }
        if self.is_finished() { Err(RecvError::Disconnected) } else { Ok(None) }
    }

    /// Takes the first value of the buffer; without one, that of the longest waiting sender.
    #[inline]
    fn take(&mut self, deferred: &mut Deferred<T>) -> Option<T> {
        match self.buffer.pop() {
            Some(value) => {
                self.notify_waiters(deferred);
                Some(value)
            }
            None => self.take_waiting(deferred),
        }
    }

    fn take_waiting(&mut self, deferred: &mut Deferred<T>) -> Option<T> {
        // A rendezvous, or permits have all the room. A sender that waits for a permit needs a receiver that waits.
        let mut next = self.send_waiters.first();
        while let Some(key) = next {
            next = self.send_entries.next_in_list(key);
            if self.send_entries[key].value.is_none() || !self.claim_sender(key, deferred) {
                continue;
            }
            self.accept(key, NO_NUMBER, deferred);
            return self.send_entries[key].value.take();
        }
        None
    }

    /// Ends the wait of a stream whose endpoint is received from in another way: no `next()` can be under way. A value
    /// that was delivered to it goes back.
    fn reset_stream_wait(&mut self, key: usize, deferred: &mut Deferred<T>) {
        match mem::replace(&mut self.recv_entries[key].state, RecvState::Idle) {
            RecvState::Idle | RecvState::Skipped => {}
            RecvState::Waiting(waiter) => {
                self.recv_entries.unlink(&mut self.recv_waiters, key);
                deferred.drop_waiter(waiter);
            }
            RecvState::Delivered(value, number) => self.take_back(value, number, deferred),
            ended @ RecvState::Ended(_) => self.recv_entries[key].state = ended,
        }
    }

    /// Takes the value that was delivered to a receiver, if there is one and others may still send. This is the common
    /// case after a wait: nothing is deferred, because only in a channel that is about to end another task may wait for
    /// this value to be taken.
    #[inline]
    pub(crate) fn take_delivered(&mut self, key: usize) -> Option<T> {
        let goes_on = self.phase == ChannelPhase::Open && self.senders > 0;
        if !goes_on || !matches!(self.recv_entries[key].state, RecvState::Delivered(..)) {
            return None;
        }
        let RecvState::Delivered(value, _) = self.recv_entries.remove(key).state else {
            unreachable!("the state was matched under this lock")
        };
        self.unacknowledged -= 1;
        Some(value)
    }

    /// Returns how the wait of a receiver has ended. `None` if it was a stream whose wait was reset, or was skipped: it
    /// has no entry any more, and starts again.
    pub(crate) fn poll_receiver(
        &mut self,
        key: usize,
        attempt_cx: &mut AttemptCx,
        cx: &Context<'_>,
        deferred: &mut Deferred<T>,
    ) -> Option<Attempt<Result<T, RecvError>>> {
        match &mut self.recv_entries[key].state {
            RecvState::Waiting(waiter) => return Some(update_waiter(waiter, attempt_cx, cx)),
            RecvState::Idle | RecvState::Skipped if attempt_cx.cancelled => return Some(Attempt::Waiting),
            _ => {}
        }
        match self.recv_entries.remove(key).state {
            RecvState::Idle | RecvState::Skipped => None,
            RecvState::Ended(error) => Some(Attempt::Done(Err(error))),
            RecvState::Delivered(value, _) => {
                self.unacknowledged -= 1;
                self.notify_waiters(deferred);
                Some(Attempt::Done(Ok(value)))
            }
            RecvState::Waiting(_) => unreachable!("the state was matched under this lock"),
        }
    }

    /// Removes a receiver that waited; a value that was delivered to it goes to the next, or back.
    pub(crate) fn leave_receiver(&mut self, key: usize, deferred: &mut Deferred<T>) {
        if let RecvState::Waiting(_) = self.recv_entries[key].state {
            self.recv_entries.unlink(&mut self.recv_waiters, key);
        }
        match self.recv_entries.remove(key).state {
            RecvState::Waiting(waiter) => deferred.drop_waiter(waiter),
            RecvState::Delivered(value, number) => self.take_back(value, number, deferred),
            RecvState::Ended(_) | RecvState::Idle | RecvState::Skipped => {}
        }
    }

    /// Puts back a value whose receiver does not take it (L40).
    fn take_back(&mut self, value: T, number: u64, deferred: &mut Deferred<T>) {
        self.unacknowledged -= 1;
        if self.receivers == 0 || self.phase == ChannelPhase::ShutDownNow {
            deferred.drop_value(value);
        } else if let Some(next) = self.claim_first_receiver(deferred) {
            self.deliver_to(next, value, number, deferred);
        } else {
            // Invariant 3.
            self.buffer.put_back(number, value);
            self.peak = self.peak.max(self.buffer.len());
        }
        self.notify_waiters(deferred);
    }

    pub(super) fn end_receiver(&mut self, key: usize, error: RecvError, deferred: &mut Deferred<T>) {
        self.recv_entries.unlink(&mut self.recv_waiters, key);
        if let RecvState::Waiting(waiter) = mem::replace(&mut self.recv_entries[key].state, RecvState::Ended(error)) {
            deferred.wake(waiter);
        }
    }
}
