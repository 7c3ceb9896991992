//! The latest value of a watch, and who waits for the next, under one lock.

use std::sync::{Arc, Mutex, PoisonError};

use crate::channel::after::After;
use crate::channel::bell::Bell;

#[derive(Debug)]
pub(super) struct Watched<T>(Mutex<State<T>>);

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
        Watched(Mutex::new(State {
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
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut state, &mut after);
        drop(state);
        after.finish();
        result
    }
}

impl<T> State<T> {
    pub(super) fn replace(&mut self, value: Arc<T>, after: &mut After<Arc<T>>) -> Arc<T> {
        self.version += 1;
        self.changed.ring(after);
        std::mem::replace(&mut self.value, value)
    }
}
