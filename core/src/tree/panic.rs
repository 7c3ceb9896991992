//! Drops of values that are the user's, where a panic has no place to go: the panic hook has reported it.
//!
//! Used where the core drops user code on its own account: inside `Drop`, where a second panic would abort the
//! process (L37), and where other values of a batch have still to be dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The payload of a panic.
pub(crate) type Payload = Box<dyn std::any::Any + Send>;

/// Drops something of the user's; a panic of its destructor ends here. No lock may be held (L36).
pub(crate) fn catch_drop<T>(value: T) {
    drop_payload(catch_unwind(AssertUnwindSafe(|| drop(value))).err());
}

/// Drops a panic's payload, which is a user's value, too; should its destructor panic, that is the end of it: the
/// panic hook has reported both. The payload of that second panic is leaked: it may panic as well, and there has to
/// be an end.
pub(crate) fn drop_payload(payload: Option<Payload>) {
    let Some(payload) = payload else { return };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(payload);
    }
}
