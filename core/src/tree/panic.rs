//! Drops of values that are the user's, where a panic has no place to go: the panic hook has reported it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::node::Payload;

/// Drops something of the user's.
pub(crate) fn catch_drop<T>(value: T) {
    drop_payload(catch_unwind(AssertUnwindSafe(|| drop(value))).err());
}

/// Drops a panic's payload; should its destructor panic, that is the end of it: the panic hook has reported both.
pub(crate) fn drop_payload(payload: Option<Payload>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(payload);
    }
}
