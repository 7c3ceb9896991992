//! Blocking jobs on the thread pool of the `blocking` crate.

use foster::runtime::{BlockingError, Work};

/// Runs `work` on the pool, whether or not anybody waits for it (R8).
///
/// The pool is shared by the whole process and grows with its queue up to 500 threads; the environment variable
/// `BLOCKING_MAX_THREADS` or `blocking::set_max_blocking_threads` changes the limit. A job beyond it waits for a thread
/// to become free. The pool keeps to itself when the host refuses it a thread, and leaves the job in its queue: so this
/// function never fails. If the host refuses the very first one, the pool tries again and again on the thread that has
/// called, as long as it is refused.
pub(crate) fn spawn(work: Work) -> Result<(), BlockingError> {
    blocking::unblock(work).detach();
    Ok(())
}
