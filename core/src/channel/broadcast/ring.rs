//! The queue of a broadcast, and every step it takes, under one lock. The invariants stand at the head of the module above.

use std::collections::VecDeque;
use std::mem;

use super::Lag;
use super::seat::{Leaving, Seated, Seats};
use crate::channel::after::After;
use crate::channel::bell::Bell;
use crate::channel::error::SendError;
use crate::channel::slots::{Row, Slots};
use crate::leaf::Waiter;
use crate::sys::Latch;

#[derive(Debug)]
pub(super) struct Cast<T>(Latch<State<T>>);

#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) lag: Lag,
    pub(super) capacity: usize,
    pub(super) queue: VecDeque<Queued<T>>,
    seats: Seats<T>,
    /// The number of the first in the queue.
    pub(super) head: u64,
    pub(super) senders: usize,
    pub(super) next_end: u64,
    /// Those that can still receive: who was cut off does not count.
    pub(super) receivers: usize,
    /// Receivers that wait.
    pub(super) waits: Bell,
    /// Senders that wait until nobody listens.
    pub(super) closing: Bell,
    pub(super) entries: Slots<Stage>,
    /// Senders that wait for room.
    pub(super) line: Row,
    /// Room that was given to senders which have not used it yet.
    pub(super) granted: usize,
    pub(super) peak: usize,
}

#[derive(Debug)]
pub(super) struct Queued<T> {
    value: Seated<T>,
    pub(super) left: usize,
}

/// A sender that waits for room. Its value stays with it until it has some.
#[derive(Debug)]
pub(super) enum Stage {
    Waiting {
        waiter: Waiter,
        end: u64,
    },
    Granted,
    Refused,
    /// Passed over, because its code is cancelled (law L14). Polled in other code it starts again.
    Passed,
}

/// Why nothing can be sent.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    Closed,
    Disconnected,
}

impl Refusal {
    pub(super) fn error<T>(self, value: T) -> SendError<T> {
        match self {
            Refusal::Closed => SendError::Closed(value),
            Refusal::Disconnected => SendError::Disconnected(value),
        }
    }
}

impl<T> Cast<T> {
    /// One sender, one receiver.
    pub(super) fn new(capacity: usize, lag: Lag) -> Self {
        Cast(Latch::new(State {
            lag,
            capacity,
            queue: VecDeque::new(),
            seats: Seats::new(),
            head: 0,
            senders: 1,
            next_end: 1,
            receivers: 1,
            waits: Bell::new(),
            closing: Bell::new(),
            entries: Slots::new(),
            line: Row::new(),
            granted: 0,
            peak: 0,
        }))
    }

    pub(super) fn step<R>(&self, f: impl FnOnce(&mut State<T>, &mut After<Leaving<T>>) -> R) -> R {
        let mut after = After::new();
        let mut state = self.0.lock();
        let result = f(&mut state, &mut after);
        drop(state);
        after.finish();
        result
    }
}

impl<T> State<T> {
    pub(super) fn tail(&self) -> u64 {
        self.head + self.queue.len() as u64
    }

    pub(super) fn has_room(&self) -> bool {
        self.lag != Lag::Wait || self.queue.len() + self.granted < self.capacity
    }

    /// Sends. With `Lag::Wait` there is room.
    pub(super) fn push(&mut self, value: T, after: &mut After<Leaving<T>>) {
        if self.queue.len() == self.capacity {
            debug_assert!(self.lag != Lag::Wait, "Invariant 2");
            if let Some(oldest) = self.queue.pop_front() {
                self.head += 1;
                after.discard(self.seats.clear(oldest.value));
                if self.lag == Lag::Disconnect {
                    self.cut(oldest.left, after);
                }
            }
        }
        if self.receivers == 0 {
            // The last one has just been cut off.
            after.discard(Leaving::Value(value));
            return;
        }
        self.queue.push_back(Queued { value: self.seats.take(value, self.receivers), left: self.receivers });
        self.peak = self.peak.max(self.queue.len());
        self.waits.ring(after);
    }

    /// Receivers that had still to see the value before the head get nothing more.
    fn cut(&mut self, count: usize, after: &mut After<Leaving<T>>) {
        for queued in &mut self.queue {
            queued.left -= count;
        }
        self.leave(count, after);
    }

    /// Another receiver comes to `place`, from one that is there.
    pub(super) fn add_receiver(&mut self, place: u64) {
        if self.is_cut(place) {
            return;
        }
        self.receivers += 1;
        for number in self.head..self.tail() {
            let Some(mut queued) = self.queue.pop_front() else { break };
            if number >= place {
                queued = Queued { value: self.seats.share(queued.value), left: queued.left + 1 };
            }
            self.queue.push_back(queued);
        }
    }

    /// A receiver that was at `place` goes away, unless it was cut off before.
    pub(super) fn remove_receiver(&mut self, place: u64, after: &mut After<Leaving<T>>) {
        if self.is_cut(place) {
            return;
        }
        let seen = usize::try_from(place.saturating_sub(self.head)).unwrap_or(usize::MAX);
        for queued in self.queue.iter_mut().skip(seen) {
            queued.left -= 1;
        }
        self.leave(1, after);
    }

    fn leave(&mut self, count: usize, after: &mut After<Leaving<T>>) {
        self.receivers -= count;
        self.drop_seen(after);
        if self.receivers == 0 {
            while let Some(key) = self.first_sender(after) {
                self.call(key, Stage::Refused, after);
            }
            self.closing.ring(after);
        }
    }

    pub(super) fn is_cut(&self, place: u64) -> bool {
        self.lag == Lag::Disconnect && place < self.head
    }

    /// Drops what all have seen, and lets senders in.
    fn drop_seen(&mut self, after: &mut After<Leaving<T>>) {
        while self.queue.front().is_some_and(|queued| queued.left == 0) {
            if let Some(queued) = self.queue.pop_front() {
                self.head += 1;
                after.discard(self.seats.clear(queued.value));
            }
        }
        self.admit(after);
    }

    pub(super) fn admit(&mut self, after: &mut After<Leaving<T>>) {
        while self.has_room() {
            let Some(key) = self.first_sender(after) else { break };
            self.granted += 1;
            self.call(key, Stage::Granted, after);
        }
    }

    /// The sender that has waited longest for room, and may be given some. Those before it are passed over.
    fn first_sender(&mut self, after: &mut After<Leaving<T>>) -> Option<usize> {
        loop {
            let key = self.line.first()?;
            if !self.passes_over(key, after) {
                return Some(key);
            }
        }
    }

    /// Passes over a sender that waits, if its code is cancelled.
    pub(super) fn passes_over(&mut self, key: usize, after: &mut After<Leaving<T>>) -> bool {
        let passes = matches!(&self.entries[key], Stage::Waiting { waiter, .. } if waiter.is_cancelled());
        if passes {
            self.entries.unlink(&mut self.line, key);
            if let Stage::Waiting { waiter, .. } = mem::replace(&mut self.entries[key], Stage::Passed) {
                after.forget(waiter);
            }
        }
        passes
    }

    pub(super) fn call(&mut self, key: usize, stage: Stage, after: &mut After<Leaving<T>>) {
        self.entries.unlink(&mut self.line, key);
        if let Stage::Waiting { waiter, .. } = mem::replace(&mut self.entries[key], stage) {
            after.wake(waiter);
        }
    }

    /// The value at `place`, which moves on; none if all were seen.
    pub(super) fn take(
        &mut self,
        place: &mut u64,
        after: &mut After<Leaving<T>>,
    ) -> Option<Result<Leaving<T>, Missed>> {
        if *place < self.head {
            let missed = self.head - *place;
            if self.lag == Lag::Disconnect {
                return Some(Err(Missed::CutOff(missed)));
            }
            *place = self.head;
            return Some(Err(Missed::Skipped(missed)));
        }
        let index = usize::try_from(*place - self.head).ok()?;
        let queued = self.queue.get_mut(index)?;
        *place += 1;
        queued.left -= 1;
        if queued.left > 0 {
            return Some(Ok(queued.value.look()));
        }
        // Invariant 1: it is the first, for those before it have been seen by all, too.
        let queued = self.queue.pop_front()?;
        self.head += 1;
        self.admit(after);
        Some(Ok(self.seats.clear(queued.value)))
    }
}

pub(super) enum Missed {
    Skipped(u64),
    CutOff(u64),
}
