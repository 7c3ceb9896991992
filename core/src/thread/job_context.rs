//! The context of a blocking job, which its thread knows while it runs the job.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::calls::CallQueue;
use crate::runtime::Runtime;
use crate::sync::{CapacityLimiter, OwnedLimiterPermit};
use crate::tree::flags::ABANDONED;
use crate::tree::node::NodeRef;

/// The side that awaits a job.
#[derive(Clone)]
pub(super) enum Awaiter {
    /// The job's own scope.
    Scope(NodeRef),
    /// Whether the future was dropped, and the scope that it was in.
    Abandonable(Arc<AtomicBool>, NodeRef),
}

impl Awaiter {
    /// Returns whether the code that waits for this blocking job has been asked to stop, or is gone: what a job learns
    /// when it asks whether it is still wanted. No lock may be held.
    pub(super) fn is_cancelled(&self) -> bool {
        match self {
            // The parent is asked, because the job's own scope is shielded. That is Closed when the job has ended, and
            // nobody waits for it any more.
            Awaiter::Scope(node) => node.flagged(ABANDONED) || node.parent().is_none_or(|parent| parent.is_cancelled()),
            Awaiter::Abandonable(abandoned, node) => abandoned.load(Ordering::Acquire) || node.is_cancelled(),
        }
    }
}

/// The context of a job.
pub(super) struct JobContext {
    pub(super) awaiter: Awaiter,
    pub(super) calls: Arc<CallQueue>,
    pub(super) runtime: Arc<dyn Runtime>,
    limiter: Arc<CapacityLimiter>,
    permit: RefCell<Option<OwnedLimiterPermit>>,
}

thread_local! {
    static CURRENT_JOB: RefCell<Option<Rc<JobContext>>> = const { RefCell::new(None) };
}

impl JobContext {
    pub(super) fn new(
        awaiter: Awaiter,
        calls: Arc<CallQueue>,
        runtime: Arc<dyn Runtime>,
        (limiter, permit): (Arc<CapacityLimiter>, OwnedLimiterPermit),
    ) -> JobContext {
        JobContext { awaiter, calls, runtime, limiter, permit: RefCell::new(Some(permit)) }
    }

    /// Returns whether the job should stop. Asking is a point where other tasks may go on (R13).
    pub(super) fn is_cancelled(&self) -> bool {
        self.awaiter.is_cancelled() || {
            self.runtime.give_way();
            self.awaiter.is_cancelled()
        }
    }

    /// Returns the context of the job that runs on this thread.
    pub(super) fn current() -> Option<Rc<JobContext>> {
        CURRENT_JOB.try_with(|context| context.borrow().clone()).ok().flatten()
    }

    /// Makes this the context of the calling thread while `f` runs.
    pub(super) fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        let before = CURRENT_JOB.with(|slot| slot.replace(Some(Rc::new(self))));
        let result = f();
        let mine = CURRENT_JOB.with(|slot| slot.replace(before));
        drop(mine);
        result
    }

    /// Runs `f`, which waits for tasks, without the job's permit: the jobs that these tasks start may need it (B229).
    pub(super) fn without_permit<R>(&self, f: impl FnOnce() -> R) -> R {
        let Some(permit) = self.permit.take() else { return f() };
        let holder = permit.holder();
        drop(permit);
        let result = f();
        // Beyond the total, if others have them all: they may wait for something that this job has, such as a lock.
        self.permit.replace(Some(self.limiter.clone().acquire_beyond_total(holder)));
        result
    }
}
