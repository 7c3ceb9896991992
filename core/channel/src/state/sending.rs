//! The steps of senders.

use std::task::Context;

use super::{ChannelPhase, ChannelState, Endpoint, SendEntry, SendKind, SendState};
use crate::deferred::Deferred;
use crate::error::SendErrorKind;
use crate::operation::{Attempt, AttemptCx, update_waiter};

/// The rest of the entry of a sender that was admitted. Subtle: it may have the last reference to a scope.
pub(crate) struct Admitted(#[expect(dead_code, reason = "it is dropped")] SendState);

impl<T> ChannelState<T> {
    /// Returns why nothing can be sent through `end`, if that is so.
    #[inline]
    pub(crate) fn send_error(&self, end: &Endpoint) -> Option<SendErrorKind> {
        if end.is_closed() || self.phase != ChannelPhase::Open {
            Some(SendErrorKind::Closed)
        } else if self.receivers == 0 {
            Some(SendErrorKind::Disconnected)
        } else {
            None
        }
    }

    /// Sends, if there is a value, room for it, and no receiver that waits. This is the common case: nothing is
    /// deferred.
    #[inline]
    pub(crate) fn send_at_once(&mut self, end: &Endpoint, value: &mut Option<T>) -> bool {
        if self.send_error(end).is_some() || !self.recv_waiters.is_empty() {
            return false;
        }
        // The receivers need no check: none waits.
        if self.buffer.len() + self.permits >= self.capacity {
            return false;
        }
        let Some(value) = value.take() else { return false };
        self.store(value);
        true
    }

    /// Tries to send; takes the value only if it is sent or waits. Stores the key of an entry in `key_out`.
    #[inline]
    pub(crate) fn send(
        &mut self,
        end: &Endpoint,
        kind: SendKind,
        value: &mut Option<T>,
        attempt_cx: &mut AttemptCx,
        key_out: &mut Option<usize>,
        deferred: &mut Deferred<T>,
    ) -> Attempt<Result<(), SendErrorKind>> {
        if let Some(kind) = self.send_error(end) {
            return Attempt::Found(Err(kind));
        }
        if self.has_room(deferred) {
            debug_assert!(self.first_sender(deferred).is_none(), "Invariant 1: no sender waits while there is room");
            if !attempt_cx.may_take() {
                return Attempt::Cancelled;
            }
            match kind {
                SendKind::Permit => self.permits += 1,
                SendKind::Value => {
                    let Some(value) = value.take() else { unreachable!("a send of a value has one until it is done") };
                    self.deliver(value, deferred);
                }
            }
            return Attempt::Done(Ok(()));
        }
        let Some(waiter) = attempt_cx.waiter.take() else { return Attempt::NeedsWaiter };
        let state = SendState::Waiting { waiter, end: end.id };
        let key = self.send_entries.append(&mut self.send_waiters, SendEntry { value: value.take(), state });
        *key_out = Some(key);
        Attempt::Waiting
    }

    /// Sends by a permit, which is used up.
    pub(crate) fn send_permitted(&mut self, value: T, deferred: &mut Deferred<T>) -> Result<(), (SendErrorKind, T)> {
        self.permits -= 1;
        let refused = match (self.phase, self.receivers) {
            (ChannelPhase::ShutDownNow, _) => Some(SendErrorKind::Closed),
            (_, 0) => Some(SendErrorKind::Disconnected),
            _ => None,
        };
        match refused {
            Some(kind) => {
                self.notify_waiters(deferred);
                Err((kind, value))
            }
            None => {
                self.deliver(value, deferred);
                self.notify_waiters(deferred);
                Ok(())
            }
        }
    }

    pub(crate) fn drop_permit(&mut self, deferred: &mut Deferred<T>) {
        self.permits -= 1;
        self.notify_waiters(deferred);
    }

    pub(super) fn refuse_sender(&mut self, key: usize, kind: SendErrorKind, deferred: &mut Deferred<T>) {
        let waiter = self.complete_sender(key, SendState::Refused(kind));
        deferred.wake(waiter);
    }

    pub(super) fn refuse_all_senders(&mut self, kind: SendErrorKind, deferred: &mut Deferred<T>) {
        while let Some(key) = self.send_waiters.first() {
            if self.claim_sender(key, deferred) {
                self.refuse_sender(key, kind, deferred);
            }
        }
    }

    /// Frees the entry of a sender that was admitted, if it was. This is the common case after a wait. The caller drops
    /// the result when the lock is released.
    #[inline]
    pub(crate) fn acknowledge(&mut self, key: usize) -> Option<Admitted> {
        if !matches!(self.send_entries[key].state, SendState::Sent { .. } | SendState::Granted) {
            return None;
        }
        let SendEntry { value, state } = self.send_entries.remove(key);
        debug_assert!(value.is_none(), "the value of an admitted sender was moved out");
        Some(Admitted(state))
    }

    /// Returns how the wait of a sender has ended; a value that was not sent is put back. `None` if it was skipped, and
    /// starts again.
    pub(crate) fn poll_sender(
        &mut self,
        key: usize,
        value: &mut Option<T>,
        attempt_cx: &mut AttemptCx,
        cx: &Context<'_>,
        deferred: &mut Deferred<T>,
    ) -> Option<Attempt<Result<(), SendErrorKind>>> {
        let done = match &mut self.send_entries[key].state {
            SendState::Waiting { waiter, .. } => return Some(update_waiter(waiter, attempt_cx, cx)),
            SendState::Skipped if attempt_cx.cancelled => return Some(Attempt::Waiting),
            SendState::Skipped => None,
            SendState::Sent { .. } | SendState::Granted => Some(Attempt::Done(Ok(()))),
            SendState::Refused(kind) => Some(Attempt::Done(Err(*kind))),
        };
        let entry = self.send_entries.remove(key);
        *value = entry.value;
        if let SendState::Sent { waiter, .. } = entry.state {
            deferred.drop_waiter(waiter);
        }
        done
    }

    /// Removes a sender that waited; its value comes back, unless it was received.
    pub(crate) fn leave_sender(&mut self, key: usize, deferred: &mut Deferred<T>) -> Option<T> {
        if let SendState::Waiting { .. } = self.send_entries[key].state {
            self.send_entries.unlink(&mut self.send_waiters, key);
        }
        let SendEntry { mut value, state } = self.send_entries.remove(key);
        match state {
            SendState::Waiting { waiter, .. } => deferred.drop_waiter(waiter),
            SendState::Sent { number, waiter } => {
                value = self.buffer.take(number);
                deferred.drop_waiter(waiter);
            }
            SendState::Granted => self.permits -= 1,
            SendState::Refused(_) | SendState::Skipped => {}
        }
        self.notify_waiters(deferred);
        value
    }
}
