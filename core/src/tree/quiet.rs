//! Drops of what is the user's, where a panic of its destructor has no place to go: the panic hook has reported it.

use super::node::Payload;

/// Drops something of the user's.
pub(crate) fn drop_quietly<T>(value: T) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value)));
    drop_payload(result.err());
}

/// Drops a panic's payload; should its destructor panic, that is the end of it: the panic hook has reported both.
pub(crate) fn drop_payload(payload: Option<Payload>) {
    if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(payload);
    }
}
