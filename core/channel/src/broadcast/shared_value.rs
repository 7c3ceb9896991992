//! The values in the queue of a broadcast channel, and the reuse of their allocations.
//!
//! A value that one receiver has still to see is *unique*: it is moved out. One that several have to see is cloned with
//! the lock released (L36), so it is in an `Arc`, of which each receiver that is cloning holds a reference. When the
//! last receiver has seen it, the value is moved out and the empty `Arc` is kept for another value. So a value costs an
//! allocation only if more values are queued, or being cloned, than ever before.

use std::sync::Arc;

type SharedValue<T> = Arc<Option<T>>;

/// A value that is queued.
#[derive(Debug)]
pub(super) enum MessageValue<T> {
    Unique(T),
    Shared(SharedValue<T>),
}

/// The free allocations: empty, and not shared.
#[derive(Debug)]
pub(super) struct SlotPool<T>(Vec<SharedValue<T>>);

/// A value that was taken out of the queue, or is shared with it; to be cloned or dropped with the lock released.
#[derive(Debug)]
pub(super) enum TakenValue<T> {
    Value(T),
    /// Others share it.
    Shared(SharedValue<T>),
}

impl<T> SlotPool<T> {
    pub(super) const fn new() -> Self {
        SlotPool(Vec::new())
    }

    fn make_slot(&mut self, value: T) -> SharedValue<T> {
        match self.0.pop() {
            Some(mut slot) => {
                let Some(position) = Arc::get_mut(&mut slot) else { unreachable!("a free allocation is not shared") };
                *position = Some(value);
                slot
            }
            None => Arc::new(Some(value)),
        }
    }

    /// Stores a value for so many receivers.
    #[inline]
    pub(super) fn store(&mut self, value: T, viewers: usize) -> MessageValue<T> {
        if viewers == 1 { MessageValue::Unique(value) } else { MessageValue::Shared(self.make_slot(value)) }
    }

    /// Makes a value fit for one more receiver.
    pub(super) fn make_shared(&mut self, value: MessageValue<T>) -> MessageValue<T> {
        match value {
            MessageValue::Unique(value) => MessageValue::Shared(self.make_slot(value)),
            shared @ MessageValue::Shared(_) => shared,
        }
    }

    /// Takes a value out, and its allocation back if it is not shared.
    #[inline]
    pub(super) fn release(&mut self, value: MessageValue<T>) -> TakenValue<T> {
        match value {
            MessageValue::Unique(value) => TakenValue::Value(value),
            MessageValue::Shared(slot) => self.release_shared(slot),
        }
    }

    fn release_shared(&mut self, mut slot: SharedValue<T>) -> TakenValue<T> {
        match Arc::get_mut(&mut slot).and_then(Option::take) {
            Some(value) => {
                self.0.push(slot);
                TakenValue::Value(value)
            }
            None => TakenValue::Shared(slot),
        }
    }
}

impl<T> MessageValue<T> {
    /// Shares the value, which stays in the queue.
    pub(super) fn share(&self) -> TakenValue<T> {
        match self {
            MessageValue::Shared(slot) => TakenValue::Shared(slot.clone()),
            MessageValue::Unique(_) => unreachable!("Invariant 1: a unique value is moved out by its last receiver"),
        }
    }
}

impl<T: Clone> TakenValue<T> {
    /// Returns the value itself, if nobody else shared it when it was taken; else a clone.
    #[inline]
    pub(super) fn into_value(self) -> T {
        match self {
            TakenValue::Value(value) => value,
            TakenValue::Shared(slot) => match &*slot {
                Some(value) => value.clone(),
                None => unreachable!("a shared value is moved out only when nobody else holds a reference"),
            },
        }
    }
}
