//! Blocking work on threads. A job counts as a child of the scope that awaits it.
//!
//! ```text
//!   caller     ──── to_thread(f) ───────────────────▶ the result
//!   thread             └─ f ───────────────────────┘
//!
//!   cancelled  ──── to_thread(f) ─────╳ ·· waits ···▶ stops at the next checkpoint
//!   thread             └─ f ───────────────────────┘   (f may ask `thread::is_cancelled()` and be quick)
//!
//!   calls back ──── to_thread(f) ─── polls g ───────▶ the result
//!   thread             └─ f ─ from_thread(g) waits ┘
//! ```
//!
//! A value that several jobs use, one after the other, is an [`Unblock`].
//!
//! [`from_thread`] is the way back: a closure runs a future in the scope that awaits it. A thread that is no job, as that of a
//! `main` that is not async, starts work through a [`portal`](crate::portal()).

mod abandon;
mod block_on;
mod calls;
mod job_context;
mod job_future;
mod job_handle;
mod unblock;

use std::panic::Location;
use std::sync::Arc;

use crate::sync::CapacityLimiter;
use crate::tree::current;

use abandon::AbandonState;
use job_context::{Awaiter, JobContext};
use job_future::JobFutureState;
use job_handle::PermitRequest;

pub use abandon::ToThreadAbandon;
pub use block_on::block_on;
pub use calls::{CallError, Caller, caller, from_thread};
pub use job_future::{ToThread, TryToThread};
pub use unblock::{Unblock, WithMut};

/// Runs `work` on a thread that may block, and returns its result.
///
/// The job counts as a child of the scope that awaits it: it cannot be interrupted, so a cancelled caller still waits for its
/// end, and if the returned future is dropped by foreign code, the scope around it waits in its place (law L21). Long work
/// should ask [`thread::is_cancelled`](is_cancelled) now and then. A caller that is cancelled already does not start the job.
///
/// At most [`limiter`] jobs of a tree run at once; another limiter can be given with [`ToThread::limiter`].
///
/// # Cancellation
///
/// Not cancelled once the job has started: it is waited for. Before, *strict*: the closure never runs.
///
/// # Panics
///
/// Resumes the panic of `work`. Panics if the runtime has no thread for it; see [`try_to_thread`]. When polled outside of any
/// tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// let sum = foster::to_thread(|| (1..=10).sum::<u32>()).await;
/// assert_eq!(sum, 55);
/// # });
/// ```
#[track_caller]
pub fn to_thread<T, F>(work: F) -> ToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    ToThread { inner: try_to_thread(work) }
}

/// As [`to_thread`], but says so if the runtime has no thread for the job.
///
/// # Errors
///
/// The runtime's reason why there is no thread. The closure was not run, and is dropped.
///
/// # Cancellation
///
/// As [`to_thread`].
///
/// # Panics
///
/// Resumes the panic of `work`. When polled outside of any tree, if no adapter was installed.
#[track_caller]
pub fn try_to_thread<T, F>(work: F) -> TryToThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    TryToThread {
        state: JobFutureState::Start { request: PermitRequest::new(), work: Some(work) },
        name: None,
        location: Location::caller(),
    }
}

/// Runs `work` on a thread that may block; a caller that is cancelled abandons it.
///
/// The job is *not* in the tree: after a cancellation it goes on, even beyond the end of the run, and its result or panic is
/// dropped. Only for work that is harmless when nobody knows whether it is still going on. Inside,
/// [`thread::is_cancelled`](is_cancelled) tells that it was abandoned.
///
/// # Errors
///
/// The runtime's reason why there is no thread.
///
/// # Cancellation
///
/// *Partial effect*: the job goes on by itself.
///
/// # Panics
///
/// Resumes the panic of `work`. When polled outside of any tree, if no adapter was installed.
#[track_caller]
pub fn to_thread_abandon<T, F>(work: F) -> ToThreadAbandon<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let state = AbandonState::Start { request: PermitRequest::new(), work: Some(work) };
    ToThreadAbandon { state, location: Location::caller() }
}

/// How many blocking jobs a tree runs at once, if nothing else is said.
pub const DEFAULT_THREADS: usize = 40;

/// The limiter of the blocking jobs of this tree that were given no other; it starts with [`DEFAULT_THREADS`], and can be
/// resized.
///
/// # Panics
///
/// Outside of any tree, if no adapter was installed.
///
/// # Examples
///
/// ```
/// # foster_sim::run(1, async {
/// foster::thread::limiter().set_total(2);
/// assert_eq!(foster::thread::limiter().available(), 2);
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn limiter() -> Arc<CapacityLimiter> {
    let Some(tree) = current::tree() else { current::no_context() };
    // In the tree, not in a static: what one run does must not show in another.
    tree.local(|| TreeLimiter(Arc::new(CapacityLimiter::new(DEFAULT_THREADS)))).0.clone()
}

struct TreeLimiter(Arc<CapacityLimiter>);

/// Returns whether the code that awaits this blocking job has been asked to stop, or has gone away: the job should be quick.
///
/// A job that is cut short this way *has* returned: in code that goes on from its result, put a
/// [`checkpoint_if_cancelled`](crate::checkpoint_if_cancelled) after the await, so that half a result does not count as a whole
/// one.
///
/// Where time is virtual, each question takes a microsecond of it, so that a deadline comes for a job that does nothing but
/// compute and ask; what was cancelled before is told at once.
///
/// # Panics
///
/// On a thread that does not run a job of [`to_thread`] or [`to_thread_abandon`].
///
/// # Examples
///
/// ```
/// use foster::{fail_after, thread, to_thread};
/// use std::time::Duration;
///
/// # foster_sim::run(1, async {
/// let counted = to_thread(|| (0..1000u32).take_while(|_| !thread::is_cancelled()).count()).await;
/// assert_eq!(counted, 1000);
///
/// let forever = to_thread(|| while !thread::is_cancelled() { /* one more chunk of the work */ });
/// assert_eq!(fail_after(Duration::from_millis(20), forever).await, Ok(())); // it has returned, when it was told to
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn is_cancelled() -> bool {
    match JobContext::current() {
        Some(context) => context.is_cancelled(),
        None => panic!(
            "`thread::is_cancelled` was called on a thread that runs no blocking job of foster. Usual causes: the closure \
             started a thread of its own, or async code meant `foster::is_cancelled`"
        ),
    }
}
