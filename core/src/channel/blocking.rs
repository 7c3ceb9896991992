//! Blocking waits, for threads that may block.

use std::future::Future;

use crate::tree::current;

/// Refuses to block a thread that is polling code of a tree: the task that should end the wait may be behind that very code.
#[track_caller]
pub(super) fn refuse_in_task(what: &str, instead: &str) {
    if let Some(running) = current::running_origin() {
        panic!(
            "`{what}` blocks its thread, and this thread is polling {running}. Await `{instead}` there; \
             `{what}` is for threads of your own and for the closures of `to_thread`"
        );
    }
}

/// Runs `future` to its end on this thread.
#[track_caller]
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    crate::thread::block_on(future)
}
