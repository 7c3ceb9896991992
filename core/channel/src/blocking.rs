//! Blocking waits, for threads that may block.

use std::future::Future;

use foster_core::leaf::assert_may_block;
use foster_core::thread;

/// Runs `future` to its end on this thread, for the method `what`; tasks use `instead`.
#[track_caller]
pub(super) fn block_on<F: Future>(what: &str, instead: &str, future: F) -> F::Output {
    assert_may_block(what, instead);
    thread::block_on(future)
}
