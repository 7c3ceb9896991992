//! The payload of a panic that goes no further.

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
