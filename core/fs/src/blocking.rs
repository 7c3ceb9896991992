//! The call of the host on a thread that may block, and whose threads these are.

use std::io;
use std::sync::Arc;

use foster_core::ScopedValue;
use foster_core::future::{ScopedValueFuture, TryToThread};
use foster_core::sync::CapacityLimiter;
use foster_core::thread::try_to_thread;

static LIMITER: ScopedValue<Arc<CapacityLimiter>> = ScopedValue::inherited();

/// Runs `future` with this limit on the threads of all that it does with files, instead of the tree's own
/// [`limiter`](foster_core::thread::limiter); so do the tasks of nurseries inside.
///
/// # Cancellation
///
/// *Partial effect*: as `future`.
///
/// # Panics
///
/// Resumes the panic of `future`. When polled outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// use foster::sync::CapacityLimiter;
/// use std::sync::Arc;
///
/// # foster_sim::run(1, async {
/// // However many tasks read inside: four threads.
/// let four = Arc::new(CapacityLimiter::new(4));
/// let manifest = foster_fs::with_limiter(four, foster_fs::read_to_string("Cargo.toml")).await?;
/// assert!(manifest.starts_with("[package]"));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[track_caller]
pub fn with_limiter<F: Future>(limiter: Arc<CapacityLimiter>, future: F) -> ScopedValueFuture<F, F::Output> {
    LIMITER.scope(limiter, future)
}

/// Makes a job of `work`, which is polled for its result.
pub(crate) fn job<T, F>(name: &'static str, work: F) -> TryToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let job = try_to_thread(work).named(name);
    match LIMITER.get() {
        Some(limiter) => job.limiter(limiter),
        None => job,
    }
}

/// Runs `work` on a thread. The error of a runtime that has no thread is one among those of `work`.
pub(crate) async fn run<T, F>(name: &'static str, work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    job(name, work).await?
}
