//! Blocking jobs on the runtime's own blocking threads.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use foster::runtime::{BlockingError, Work};
use tokio::runtime::Handle;

/// Runs `work` on a blocking thread of the runtime, whether or not anybody waits for it (R8).
///
/// A runtime has at most 512 such threads, or as many as `max_blocking_threads` said when it was built; a job beyond
/// them waits for a thread to become free. A job that still waits when the runtime is shut down is dropped.
///
/// # Errors
///
/// The host refuses the thread, or the runtime has been shut down.
pub(crate) fn spawn(handle: &Handle, work: Work) -> Result<(), BlockingError> {
    // tokio does not give back a closure that it cannot run. So it is handed a loan, which can be recalled.
    let loan = Arc::new(Mutex::new(Some(work)));
    let job = {
        let loan = Arc::clone(&loan);
        move || {
            if let Some(work) = recall(&loan) {
                work();
            }
        }
    };
    let reason = match catch_unwind(AssertUnwindSafe(|| handle.spawn_blocking(job))) {
        Ok(job) if job.is_finished() => "the tokio runtime has been shut down",
        Ok(_) => return Ok(()),
        Err(_) => "the host refuses tokio a thread",
    };
    match recall(&loan) {
        Some(work) => Err(BlockingError::new(work, io::Error::other(reason))),
        // It has been run in the meantime.
        None => Ok(()),
    }
}

fn recall(loan: &Mutex<Option<Work>>) -> Option<Work> {
    loan.lock().unwrap_or_else(PoisonError::into_inner).take()
}
