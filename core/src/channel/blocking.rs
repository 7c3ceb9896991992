//! Waiting on a thread that may block.

use std::future::Future;

use crate::tree::ambient;

/// Refuses to block a thread that is polling a task: whoever should end the wait might be behind that very task.
#[track_caller]
pub(super) fn refuse_in_task(what: &str, instead: &str) {
    if let Some(task) = ambient::task_origin() {
        panic!(
            "`{what}` blocks its thread, and this thread is polling the task {task}. Await `{instead}` there; \
             `{what}` is for threads of your own and for the closures of `to_thread`"
        );
    }
}

/// Runs `future` to its end on this thread.
#[track_caller]
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    crate::thread::block_on(future)
}
