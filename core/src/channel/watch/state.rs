//! The latest value of a watch, and who waits for the next, under one lock.

use std::mem;
use std::sync::Arc;

use crate::channel::after::After;
use crate::channel::bell::Bell;
use crate::sys::Latch;

#[derive(Debug)]
pub(super) struct Watched<T>(Latch<State<T>>);

#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) value: Arc<T>,
    pub(super) version: u64,
    pub(super) senders: usize,
    pub(super) receivers: usize,
    /// Receivers that wait for another value, or the end.
    pub(super) changed: Bell,
    /// Senders that wait until nobody watches.
    pub(super) closing: Bell,
}

impl<T> Watched<T> {
    /// One sender, one receiver.
    pub(super) fn new(value: T) -> Self {
        Watched(Latch::new(State {
            value: Arc::new(value),
            version: 0,
            senders: 1,
            receivers: 1,
            changed: Bell::new(),
            closing: Bell::new(),
        }))
    }

    pub(super) fn step<R>(&self, f: impl FnOnce(&mut State<T>, &mut After<Arc<T>>) -> R) -> R {
        let mut after = After::new();
        let mut state = self.0.lock();
        let result = f(&mut state, &mut after);
        drop(state);
        after.finish();
        result
    }
}

impl<T> State<T> {
    /// Makes `value` the latest. The one before is to be dropped with the lock released.
    pub(super) fn renew(&mut self, value: T, after: &mut After<Arc<T>>) -> Previous<T> {
        self.version += 1;
        self.changed.ring(after);
        match Arc::get_mut(&mut self.value) {
            // Nobody looks at the one before: no allocation.
            Some(latest) => Previous::Value(mem::replace(latest, value)),
            None => Previous::Look(mem::replace(&mut self.value, Arc::new(value))),
        }
    }

    /// As [`renew`](State::renew), and gives the one before.
    pub(super) fn replace(&mut self, value: Arc<T>, after: &mut After<Arc<T>>) -> Arc<T> {
        self.version += 1;
        self.changed.ring(after);
        mem::replace(&mut self.value, value)
    }
}

/// The value before the latest.
pub(super) enum Previous<T> {
    Value(T),
    /// Others look at it.
    Look(#[expect(dead_code, reason = "to be dropped")] Arc<T>),
}
