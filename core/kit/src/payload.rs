//! Drops of what is the user's, where a panic goes no further: the panic hook has reported it.

use std::any::Any;
use std::mem;
use std::panic::{self, AssertUnwindSafe};

/// Drops the payload of a panic that was reported elsewhere: the panic of its destructor goes no further, either. The
/// payload of that one is leaked: it may panic as well, and there has to be an end.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(payload);
    }
}

/// Drops a value of the user's because a panic is about to resume: that of its destructor goes no further. Two that unwind
/// at once abort the process.
pub(crate) fn catch_drop<T>(value: T) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(value))) {
        drop_payload(payload);
    }
}
