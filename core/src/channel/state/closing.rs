//! Ends that are opened and closed, and the channel shut down.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{End, Parcel, Phase, Refusal, Stage, State};
use crate::channel::after::After;
use crate::channel::error::RecvError;

impl<T> State<T> {
    pub(in crate::channel) fn open_sender(&mut self) -> End {
        self.senders += 1;
        self.open_end()
    }

    pub(in crate::channel) fn open_receiver(&mut self) -> End {
        self.receivers += 1;
        self.open_end()
    }

    fn open_end(&mut self) -> End {
        self.next_end += 1;
        End { id: self.next_end, closed: AtomicBool::new(false) }
    }

    /// Another end, like this one: none from a closed one.
    pub(in crate::channel) fn clone_end(&mut self, end: &End, open: fn(&mut Self) -> End) -> Option<End> {
        if end.is_closed() { None } else { Some(open(self)) }
    }

    /// Closes one sending end, and says whether it was open.
    ///
    /// An end that is `gone` has nobody waiting on it, for they borrow it: it need not be looked for them.
    pub(in crate::channel) fn close_sender(&mut self, end: &End, gone: bool, after: &mut After<T>) -> bool {
        if end.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.senders -= 1;
        if !gone {
            let mut next = self.line.first();
            while let Some(key) = next {
                next = self.parcels.after(key);
                let own = matches!(self.parcels[key].stage, Stage::Waiting { end: whose, .. } if whose == end.id);
                if own && !self.passes_over_sender(key, after) {
                    self.refuse(key, Refusal::Closed, after);
                }
            }
            self.bell.ring(after);
        }
        self.settle(after);
        true
    }

    /// Closes one receiving end, and says whether it was open. `gone` as in `close_sender`.
    pub(in crate::channel) fn close_receiver(&mut self, end: &End, gone: bool, after: &mut After<T>) -> bool {
        if end.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.receivers -= 1;
        let mut next = if gone { None } else { self.parked.first() };
        while let Some(key) = next {
            next = self.receptions.after(key);
            if self.receptions[key].end == end.id && !self.passes_over_receiver(key, after) {
                self.end_receiver(key, RecvError::Closed, after);
            }
        }
        if self.receivers == 0 {
            self.refuse_all(Refusal::Disconnected, after);
            if !self.buffer.is_empty() {
                self.empty(Refusal::Disconnected, after);
            }
            self.bell.ring(after);
        }
        true
    }

    /// Lets nothing more in; with `cut`, nor out.
    pub(in crate::channel) fn shut(&mut self, cut: bool, after: &mut After<T>) {
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
        for parcel in self.parcels.iter_mut() {
            let Stage::Sent(number) = parcel.stage else { continue };
            if let Some(value) = self.buffer.take(number) {
                *parcel = Parcel { value: Some(value), stage: Stage::TakenBack(refusal) };
            }
        }
        while let Some(value) = self.buffer.pop() {
            after.discard(value);
        }
    }
}
