//! The state of a watch channel: the latest value, and the tasks that wait for the next, under one lock.

use std::mem;
use std::sync::Arc;

use crate::deferred::{self, Deferred};
use crate::listeners::Listeners;
use foster_cell::sys::PlainMutex;

#[derive(Debug)]
pub(super) struct WatchChan<T>(PlainMutex<WatchState<T>>);

#[derive(Debug)]
pub(super) struct WatchState<T> {
    pub(super) value: Arc<T>,
    pub(super) version: u64,
    pub(super) senders: usize,
    pub(super) receivers: usize,
    /// Receivers that wait for another value, or the end.
    pub(super) recv_listeners: Listeners,
    /// Senders that wait until there is no receiver.
    pub(super) closed_listeners: Listeners,
}

impl<T> WatchChan<T> {
    /// Makes a channel with one sender and one receiver.
    pub(super) fn new(value: T) -> Self {
        WatchChan(PlainMutex::new(WatchState {
            value: Arc::new(value),
            version: 0,
            senders: 1,
            receivers: 1,
            recv_listeners: Listeners::new(),
            closed_listeners: Listeners::new(),
        }))
    }

    pub(super) fn step<R>(&self, f: impl FnOnce(&mut WatchState<T>, &mut Deferred<Arc<T>>) -> R) -> R {
        deferred::step(&self.0, f)
    }
}

impl<T> WatchState<T> {
    /// Makes `value` the latest. Returns the one before, to be dropped with the lock released.
    pub(super) fn set_value(&mut self, value: T, deferred: &mut Deferred<Arc<T>>) -> PreviousValue<T> {
        self.version += 1;
        self.recv_listeners.notify_all(deferred);
        match Arc::get_mut(&mut self.value) {
            // The one before is not shared: its allocation is reused.
            Some(latest) => PreviousValue::Owned(mem::replace(latest, value)),
            None => PreviousValue::Shared(mem::replace(&mut self.value, Arc::new(value))),
        }
    }

    /// Makes `value` the latest, and returns the one before.
    pub(super) fn replace(&mut self, value: Arc<T>, deferred: &mut Deferred<Arc<T>>) -> Arc<T> {
        self.version += 1;
        self.recv_listeners.notify_all(deferred);
        mem::replace(&mut self.value, value)
    }
}

/// The value before the latest.
pub(super) enum PreviousValue<T> {
    Owned(T),
    /// Others share it.
    Shared(#[expect(dead_code, reason = "to be dropped")] Arc<T>),
}
