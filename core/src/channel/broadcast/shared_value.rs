//! Where values sit until all have seen them.
//!
//! A value that one receiver has still to see is *alone*: it is moved. One that several will see is cloned under no lock (L36), so it
//! lies in an `Arc`, its *seat*, which a receiver that clones it has a share of. When the last one is through, the value leaves, and
//! its seat is kept for another: a value costs an allocation only if it comes while more are queued, or being cloned, than ever before.

use std::sync::Arc;

type SharedValue<T> = Arc<Option<T>>;

/// A value that is queued.
#[derive(Debug)]
pub(super) enum MessageValue<T> {
    Unique(T),
    Shared(SharedValue<T>),
}

/// The seats that are free: empty, and nobody else's.
#[derive(Debug)]
pub(super) struct SlotPool<T>(Vec<SharedValue<T>>);

/// What leaves the queue, or is looked at there: to be cloned or dropped with the lock released.
#[derive(Debug)]
pub(super) enum TakenValue<T> {
    Value(T),
    /// Others look at it, too.
    Shared(SharedValue<T>),
}

impl<T> SlotPool<T> {
    pub(super) const fn new() -> Self {
        SlotPool(Vec::new())
    }

    fn make_slot(&mut self, value: T) -> SharedValue<T> {
        match self.0.pop() {
            Some(mut slot) => {
                let Some(position) = Arc::get_mut(&mut slot) else { unreachable!("a free slot is shared with nobody") };
                *position = Some(value);
                slot
            }
            None => Arc::new(Some(value)),
        }
    }

    /// For so many to see.
    #[inline]
    pub(super) fn store(&mut self, value: T, viewers: usize) -> MessageValue<T> {
        if viewers == 1 { MessageValue::Unique(value) } else { MessageValue::Shared(self.make_slot(value)) }
    }

    /// Somebody else will see it, too.
    pub(super) fn make_shared(&mut self, value: MessageValue<T>) -> MessageValue<T> {
        match value {
            MessageValue::Unique(value) => MessageValue::Shared(self.make_slot(value)),
            shared @ MessageValue::Shared(_) => shared,
        }
    }

    /// The value leaves; and its seat is free, if nobody looks at it.
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
    /// To see who sits there, who stays.
    pub(super) fn share(&self) -> TakenValue<T> {
        match self {
            MessageValue::Shared(slot) => TakenValue::Shared(slot.clone()),
            MessageValue::Unique(_) => unreachable!("one who sees it alone takes it"),
        }
    }
}

impl<T: Clone> TakenValue<T> {
    /// The value itself, if nobody else looks at it; or a clone.
    #[inline]
    pub(super) fn into_value(self) -> T {
        match self {
            TakenValue::Value(value) => value,
            TakenValue::Shared(slot) => match Arc::unwrap_or_clone(slot) {
                Some(value) => value,
                None => unreachable!("nobody leaves while somebody looks"),
            },
        }
    }
}
