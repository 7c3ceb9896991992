//! The steps that open and close endpoints, and shut the channel down.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ChannelPhase, ChannelState, Endpoint, SendEntry, SendState};
use crate::deferred::Deferred;
use crate::error::{RecvError, SendErrorKind};

impl<T> ChannelState<T> {
    pub(crate) fn open_sender(&mut self) -> Endpoint {
        self.senders += 1;
        self.open_end()
    }

    pub(crate) fn open_receiver(&mut self) -> Endpoint {
        self.receivers += 1;
        self.open_end()
    }

    fn open_end(&mut self) -> Endpoint {
        self.next_end += 1;
        Endpoint { id: self.next_end, closed: AtomicBool::new(false) }
    }

    /// Opens another endpoint, like this one; `None` if it is closed.
    pub(crate) fn clone_end(&mut self, end: &Endpoint, open: fn(&mut Self) -> Endpoint) -> Option<Endpoint> {
        if end.is_closed() { None } else { Some(open(self)) }
    }

    /// Closes one sending endpoint, and returns whether it was open.
    ///
    /// An endpoint that is `dropped` has no waiters, because they borrow it: the search for them is spared.
    pub(crate) fn close_sender(&mut self, end: &Endpoint, dropped: bool, deferred: &mut Deferred<T>) -> bool {
        if end.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.senders -= 1;
        if !dropped {
            let mut next = self.send_waiters.first();
            while let Some(key) = next {
                next = self.send_entries.next_in_list(key);
                let own =
                    matches!(self.send_entries[key].state, SendState::Waiting { end: whose, .. } if whose == end.id);
                if own && self.claim_sender(key, deferred) {
                    self.refuse_sender(key, SendErrorKind::Closed, deferred);
                }
            }
            self.closed_listeners.notify_all(deferred);
        }
        self.notify_waiters(deferred);
        true
    }

    /// Closes one receiving endpoint, and returns whether it was open. `dropped` as in `close_sender`.
    pub(crate) fn close_receiver(&mut self, end: &Endpoint, dropped: bool, deferred: &mut Deferred<T>) -> bool {
        if end.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.receivers -= 1;
        let mut next = if dropped { None } else { self.recv_waiters.first() };
        while let Some(key) = next {
            next = self.recv_entries.next_in_list(key);
            if self.recv_entries[key].end == end.id && self.claim_receiver(key, deferred) {
                self.end_receiver(key, RecvError::Closed, deferred);
            }
        }
        if self.receivers == 0 {
            self.refuse_all_senders(SendErrorKind::Disconnected, deferred);
            if !self.buffer.is_empty() {
                self.drain_buffer(SendErrorKind::Disconnected, deferred);
            }
            self.closed_listeners.notify_end(deferred);
        }
        true
    }

    /// Accepts no more values; with `now`, delivers none either.
    pub(crate) fn shut_down(&mut self, now: bool, deferred: &mut Deferred<T>) {
        if self.phase == ChannelPhase::ShutDownNow || (self.phase == ChannelPhase::ShutDown && !now) {
            return;
        }
        self.phase = if now { ChannelPhase::ShutDownNow } else { ChannelPhase::ShutDown };
        self.refuse_all_senders(SendErrorKind::Closed, deferred);
        if now {
            self.drain_buffer(SendErrorKind::Closed, deferred);
        }
        self.closed_listeners.notify_end(deferred);
        self.notify_waiters(deferred);
    }

    /// Empties the buffer: a value whose sender has not acknowledged goes back to it, the others are dropped.
    fn drain_buffer(&mut self, kind: SendErrorKind, deferred: &mut Deferred<T>) {
        for entry in self.send_entries.iter_mut() {
            let SendState::Sent { number, waiter } = &entry.state else { continue };
            let Some(value) = self.buffer.take(*number) else { continue };
            // L14: as for those that still wait. Code that was not cancelled by now takes what has come for it.
            let state = if waiter.is_cancelled() { SendState::Skipped } else { SendState::Refused(kind) };
            let before = mem::replace(entry, SendEntry { value: Some(value), state });
            if let SendState::Sent { waiter, .. } = before.state {
                deferred.drop_waiter(waiter);
            }
        }
        while let Some(value) = self.buffer.pop() {
            deferred.drop_value(value);
        }
    }
}
