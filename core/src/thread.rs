//! Blocking work on threads. A job of `to_thread` has a shielded scope inside the scope that awaits it, which cannot end
//! before the job. One of `to_thread_abandon` has none: it is left behind when its caller is cancelled. Each job holds a
//! permit of a limiter, and lends it to others while it calls back.
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
//! In reading order: `job_handle.rs` (what the job and the code that awaits it share), `job_future.rs`, `permit_request.rs`,
//! `calls.rs` (the way back).
//!
//! A value that several jobs use, one after the other, is an [`Unblock`].
//!
//! [`from_thread`] is the way back: a closure runs a future in the scope that awaits it. A thread that is no job, as
//! that of a `main` that is not async, starts work through a `foster::portal::portal`.

pub(crate) mod abandon;
mod block_on;
mod calls;
mod job_context;
pub(crate) mod job_future;
mod job_handle;
mod permit_request;
pub(crate) mod unblock;

use std::sync::Arc;

use crate::sync::CapacityLimiter;
use crate::tree::current;

use job_context::{Awaiter, JobContext};

pub use abandon::to_thread_abandon;
pub use block_on::block_on;
pub use calls::{CallError, Caller, caller, from_thread};
pub use job_future::try_to_thread;
pub use unblock::Unblock;

/// How many blocking jobs a tree runs at once, if nothing else is said.
pub const DEFAULT_THREADS: usize = 40;

/// The limiter of the blocking jobs of this tree that were given no other; it starts with [`DEFAULT_THREADS`], and can
/// be resized.
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
    limiter_for("`thread::limiter`")
}

/// The name of a job in the message of a panic outside of any tree.
const JOB: &str = "a blocking job";

/// Returns the limiter, for an operation of this name. Panics outside of any tree.
#[track_caller]
fn limiter_for(operation: &str) -> Arc<CapacityLimiter> {
    let Some(tree) = current::tree() else { current::no_context_for(operation) };
    // In the tree, not in a static: what one run does must not show in another.
    tree.local(|| TreeLimiter(Arc::new(CapacityLimiter::new(DEFAULT_THREADS)))).0.clone()
}

/// Returns whether the tree of the code that calls this has gone with its host. Such code goes on to its next operation, and
/// that one parks (L30).
fn is_cut_off() -> bool {
    current::with_tree(|tree| tree.is_shut_down()) == Some(true)
}

struct TreeLimiter(Arc<CapacityLimiter>);

/// Returns whether the code that awaits this blocking job has been asked to stop, or has gone away: the job should be
/// quick.
///
/// A job that is cut short this way *has* returned: in code that goes on from its result, put a
/// [`checkpoint_if_cancelled`](crate::checkpoint_if_cancelled) after the await, so that half a result does not count as
/// a whole one.
///
/// Where time is virtual, each question takes a microsecond of it, so that a deadline comes for a job that does nothing
/// but compute and ask; what was cancelled before is told at once.
///
/// # Panics
///
/// On a thread that does not run a job of [`to_thread`](crate::to_thread) or [`to_thread_abandon`].
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
