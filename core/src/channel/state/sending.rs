//! The steps of senders.

use std::task::Context;

use super::{End, Freight, Parcel, Phase, Refusal, Stage, State};
use crate::channel::after::After;
use crate::channel::turn::{Attempt, Visit, wait_with};

impl<T> State<T> {
    /// Why nothing can be sent through `end`.
    #[inline]
    pub(in crate::channel) fn refusal(&self, end: &End) -> Option<Refusal> {
        if end.is_closed() || self.phase != Phase::Open {
            Some(Refusal::Closed)
        } else if self.receivers == 0 {
            Some(Refusal::Disconnected)
        } else {
            None
        }
    }

    /// Sends, if there is a value, room for it, and nobody who waits for it. What most do: nothing has to be done after.
    #[inline]
    pub(in crate::channel) fn send_at_once(&mut self, end: &End, value: &mut Option<T>) -> bool {
        if self.refusal(end).is_some() || !self.parked.is_empty() {
            return false;
        }
        // Without a look at those who receive: nobody waits.
        if self.buffer.len() + self.permits >= self.capacity {
            return false;
        }
        let Some(value) = value.take() else { return false };
        self.store(value);
        true
    }

    /// Tries to send; takes the value only if it is sent or waits.
    #[inline]
    pub(in crate::channel) fn send(
        &mut self,
        end: &End,
        freight: Freight,
        value: &mut Option<T>,
        visit: &mut Visit,
        place: &mut Option<usize>,
        after: &mut After<T>,
    ) -> Attempt<Result<(), Refusal>> {
        if let Some(refusal) = self.refusal(end) {
            return Attempt::Done(Err(refusal));
        }
        if self.has_room(after) {
            debug_assert!(self.first_sender(after).is_none(), "Invariant 1");
            match freight {
                Freight::Permit => self.permits += 1,
                Freight::Value => {
                    let Some(value) = value.take() else { unreachable!("a value is sent once") };
                    self.deliver(value, after);
                }
            }
            return Attempt::Done(Ok(()));
        }
        let Some(waiter) = visit.waiter.take() else { return Attempt::NoWaiter };
        let stage = Stage::Waiting { waiter, end: end.id };
        let key = self.parcels.append(&mut self.line, Parcel { value: value.take(), stage });
        *place = Some(key);
        Attempt::Waits
    }

    /// Sends by a permit, which is used up.
    pub(in crate::channel) fn send_permitted(&mut self, value: T, after: &mut After<T>) -> Result<(), (Refusal, T)> {
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

    pub(in crate::channel) fn drop_permit(&mut self, after: &mut After<T>) {
        self.permits -= 1;
        self.settle(after);
    }

    pub(super) fn refuse(&mut self, key: usize, refusal: Refusal, after: &mut After<T>) {
        let waiter = self.call(key, Stage::Refused(refusal));
        after.wake(waiter);
    }

    pub(super) fn refuse_all(&mut self, refusal: Refusal, after: &mut After<T>) {
        while let Some(key) = self.first_sender(after) {
            self.refuse(key, refusal, after);
        }
    }

    /// Ends the wait of a sender that was let in; says whether it was. What most do who have waited.
    #[inline]
    pub(in crate::channel) fn take_note(&mut self, key: usize) -> bool {
        let let_in = matches!(self.parcels[key].stage, Stage::Sent(_) | Stage::Granted);
        if let_in {
            let parcel = self.parcels.remove(key);
            debug_assert!(parcel.value.is_none(), "it was let in");
        }
        let_in
    }

    /// Tells a sender that waited how it ended; a value that was not sent is put back. None if it was passed over, and starts again.
    pub(in crate::channel) fn poll_sender(
        &mut self,
        key: usize,
        value: &mut Option<T>,
        visit: &mut Visit,
        cx: &Context<'_>,
    ) -> Option<Attempt<Result<(), Refusal>>> {
        let done = match &mut self.parcels[key].stage {
            Stage::Waiting { waiter, .. } => return Some(wait_with(waiter, visit, cx)),
            Stage::Passed | Stage::TakenBack(_) if visit.cancelled => return Some(Attempt::Waits),
            Stage::Passed => None,
            Stage::Sent(_) | Stage::Granted => Some(Attempt::Done(Ok(()))),
            Stage::Refused(refusal) | Stage::TakenBack(refusal) => Some(Attempt::Done(Err(*refusal))),
        };
        *value = self.parcels.remove(key).value;
        done
    }

    /// A sender that waited goes away; its value comes back, unless it was received.
    pub(in crate::channel) fn leave_sender(&mut self, key: usize, after: &mut After<T>) -> Option<T> {
        if let Stage::Waiting { .. } = self.parcels[key].stage {
            self.parcels.unlink(&mut self.line, key);
        }
        let Parcel { mut value, stage } = self.parcels.remove(key);
        match stage {
            Stage::Waiting { waiter, .. } => after.forget(waiter),
            Stage::Sent(number) => value = self.buffer.take(number),
            Stage::Granted => self.permits -= 1,
            Stage::Refused(_) | Stage::TakenBack(_) | Stage::Passed => {}
        }
        self.settle(after);
        value
    }
}
