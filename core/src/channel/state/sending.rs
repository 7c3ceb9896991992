//! The steps of senders.

use std::task::{Context, Waker};

use super::{End, Freight, Parcel, Phase, Place, Refusal, Stage, State};
use crate::channel::after::After;
use crate::channel::turn::{Attempt, wait_with};

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
        if self.refusal(end).is_some() || !self.parked.is_empty() || !self.has_room() {
            return false;
        }
        let Some(value) = value.take() else { return false };
        self.store(value);
        true
    }

    /// Tries to send; takes the value only if it is sent or waits. Without `act` it only looks whether it could.
    #[inline]
    pub(in crate::channel) fn send(
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
        let key = self.parcels.append(&mut self.line, Parcel { value: value.take(), stage });
        *place.key = Some(key);
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
        let waker = self.call(key, Stage::Refused(refusal));
        after.wake(waker);
    }

    pub(super) fn refuse_all(&mut self, refusal: Refusal, after: &mut After<T>) {
        while let Some(key) = self.line.first() {
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

    /// Tells a sender that waited how it ended; a value that was refused is put back.
    pub(in crate::channel) fn poll_sender(
        &mut self,
        key: usize,
        value: &mut Option<T>,
        spare: &mut Option<Waker>,
        cx: &Context<'_>,
    ) -> Attempt<Result<(), Refusal>> {
        let done = match &mut self.parcels[key].stage {
            Stage::Waiting { waker, .. } => return wait_with(waker, spare, cx),
            Stage::Sent(_) | Stage::Granted => Ok(()),
            Stage::Refused(refusal) => Err(*refusal),
        };
        *value = self.parcels.remove(key).value;
        Attempt::Done(done)
    }

    /// A sender that waited goes away; its value comes back, unless it was received.
    pub(in crate::channel) fn leave_sender(&mut self, key: usize, after: &mut After<T>) -> Option<T> {
        if let Stage::Waiting { .. } = self.parcels[key].stage {
            self.parcels.unlink(&mut self.line, key);
        }
        let Parcel { mut value, stage } = self.parcels.remove(key);
        match stage {
            Stage::Waiting { waker, .. } => after.forget(waker),
            Stage::Sent(number) => value = self.buffer.take(number),
            Stage::Granted => self.permits -= 1,
            Stage::Refused(_) => {}
        }
        self.settle(after);
        value
    }
}
