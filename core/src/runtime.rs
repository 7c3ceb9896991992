//! The interface to the runtime below foster: a numbered contract, and the trait that an adapter implements.
//!
//! An application never calls anything in here; it calls `run`, `attach` or `install` of an adapter crate. To bring
//! foster to another executor, implement [`Runtime`] and [`Timer`], hand a clone of the `Arc<dyn Runtime>` to [`root`]
//! or [`install`], and prove the adapter with the two macros of the crate `foster-conformance`, `contract!` and
//! `suite!`.
//!
//! # The contract
//!
//! * **R1 Spawn from anywhere.** [`Runtime::spawn`] may be called from any thread, inside or outside the runtime, even
//!   inside `Drop` and while unwinding. It returns without polling the job, and does not panic.
//! * **R2 Polled or dropped.** A spawned job is polled whenever it was woken, until it is ready, by the waker of any of
//!   its polls; it is dropped earlier only when the runtime is torn down. A job handed to a runtime that is gone is
//!   dropped at once.
//! * **R3 One at a time.** A job is never polled by two threads at once. It may move between threads.
//! * **R4 Panics stay inside.** A job never panics: foster catches what user code throws.
//! * **R5 One clock.** [`Runtime::now`] never goes back, may be called from any thread and costs about as much as
//!   reading the host's clock. It wakes nobody and calls nothing of foster's, which may hold a lock meanwhile. All
//!   instants of one runtime come from this clock. Where it is the host's monotonic clock, all adapters count from one
//!   origin, that of [`host_clock`], and [`Runtime::instant_to_std`] and [`Runtime::instant_from_std`] convert without
//!   loss; where time is virtual they give `None`.
//! * **R6 Timers.** [`Timer::arm`] wakes the waker once the clock has reached the instant, never before, at the latest
//!   as soon as the runtime can; an instant in the past at once. Arming again replaces what was armed. It may wake
//!   inline, and it may wake for nothing: foster looks at the clock again. Dropping or disarming a timer releases its
//!   waker.
//! * **R7 Timers need no task.** An armed timer fires even while no job of the runtime is runnable.
//! * **R8 Blocking jobs run.** [`Runtime::blocking`] runs the closure on a thread that may block, even if nobody waits
//!   for it; or it hands the closure back with the reason. Closures never panic.
//! * **R9 Budget.** [`Runtime::poll_budget`] takes one unit from what the job that this thread is polling may still do
//!   in this poll; when nothing is left, it wakes the job and says so. [`Runtime::should_yield`] tells whether nothing
//!   is left. Each poll of a job begins with a budget. The defaults count 128 ready operations a poll, which is right
//!   for every runtime that has no budget of its own.
//! * **R10 Teardown.** When the runtime ends it drops the jobs that are left. It need not do so on the thread that ran
//!   them.
//! * **R11 Fairness.** Each task of a tree is one job. The runtime schedules, steals and times jobs as it does any
//!   other task of its own: a job that was woken is polled after a bounded number of turns of others.
//! * **R12 Waiting threads.** [`Runtime::wait`] blocks the thread of a blocking job until what it waits for is there;
//!   tasks go on meanwhile. The default parks the thread; only a runtime that runs blocking jobs by turns has to do
//!   more.
//! * **R13 Time passes for jobs that ask.** [`Runtime::give_way`] is called on the thread of a blocking job whenever
//!   the job asks whether it is still wanted; one that asks for ever sees every instant of the clock come. The default
//!   does nothing, which is right wherever time passes by itself; it must not wait for any task.
//! * **R14 Capabilities.** Things that only some runtimes have, such as a network, are looked up by type:
//!   [`Runtime::capability`] is asked for the [`TypeId`] of an `Arc<dyn Trait>`, where the trait belongs to the crate
//!   that uses it, and answers with a value of that type, or with `None`. The default has none. It may be called from
//!   any thread, even inside `Drop`; it neither waits nor panics, and its answer stays the same as long as the runtime
//!   lives.

pub(crate) mod budget;
mod capability;
pub mod host_clock;
mod park;
pub(crate) mod timer;

use std::any::{Any, TypeId};
use std::fmt;
use std::io;
use std::task::{Context, Poll};

use crate::Instant;
pub use crate::installed::{AlreadyInstalled, install};
pub use crate::tree::{Job, Root, TreeHandle, current, root};

/// A runtime that can drive a tree of scopes. See the [module documentation](self) for the numbered contract.
pub trait Runtime: Send + Sync + 'static {
    /// The name of the adapter, for messages: `"smol"`, `"tokio"`, `"sim"`.
    fn name(&self) -> &'static str;

    /// Spawns a job (R1–R4).
    fn spawn(&self, job: Job);

    /// Reads the clock (R5).
    fn now(&self) -> Instant;

    /// Returns the same point on the host's clock (R5); `None` where time is virtual, or if that clock does not reach
    /// so far.
    fn instant_to_std(&self, _at: Instant) -> Option<std::time::Instant> {
        None
    }

    /// Returns the same point on this clock (R5); `None` where time is virtual.
    fn instant_from_std(&self, _at: std::time::Instant) -> Option<Instant> {
        None
    }

    /// Makes a timer that is not armed (R6, R7). A tree asks for one timer and re-arms it.
    fn timer(&self) -> Box<dyn Timer>;

    /// Runs a closure on a thread that may block (R8).
    ///
    /// # Errors
    ///
    /// No thread could be had: the closure comes back, not run.
    fn blocking(&self, work: Work) -> Result<(), BlockingError>;

    /// Takes one unit from the budget of the job that is being polled on this thread; Pending, after waking the job, if
    /// it is used up (R9). Ready on a thread that polls no job.
    ///
    /// Every operation of foster asks this when it starts.
    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        poll_own_budget(cx)
    }

    /// Whether the budget of the job that is being polled on this thread is used up (R9).
    fn should_yield(&self) -> bool {
        is_own_budget_used_up()
    }

    /// A number that goes into whatever foster spreads at random, which is the jitter of retries.
    ///
    /// A runtime whose runs can be repeated draws it from the seed of the run. The others leave it at `0`: their clocks
    /// make the difference.
    fn entropy(&self) -> u64 {
        0
    }

    /// Blocks the calling thread, which runs a blocking job of this runtime, until `poll` is ready (R12).
    fn wait(&self, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>) {
        park_until(poll);
    }

    /// Lets time pass for the blocking job that runs on the calling thread, and asks whether it is still wanted (R13).
    fn give_way(&self) {}

    /// Returns the value of this type that the runtime offers (R14), for [`capability`].
    fn capability(&self, wanted: TypeId) -> Option<&dyn Any> {
        let _ = wanted;
        None
    }
}

pub use budget::{is_own_budget_used_up, poll_own_budget};
pub use capability::{MissingCapability, capability};
pub use park::park_until;
pub use timer::Timer;

/// A closure for a blocking thread.
pub type Work = Box<dyn FnOnce() + Send>;

/// No thread could be had for a blocking job; the closure comes back.
#[non_exhaustive]
pub struct BlockingError {
    /// The closure, not run.
    pub work: Work,
    /// Why there is no thread.
    pub source: io::Error,
}

impl BlockingError {
    /// Hands the closure back, with the reason.
    pub fn new(work: Work, source: io::Error) -> Self {
        BlockingError { work, source }
    }
}

impl fmt::Debug for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingError").field("source", &self.source).finish_non_exhaustive()
    }
}

impl fmt::Display for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no thread for a blocking job")
    }
}

impl std::error::Error for BlockingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
