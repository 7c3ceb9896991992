//! The runtime of a test, changed in one respect.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::Instant;
use foster::runtime::{BlockingError, Job, Runtime, Timer, Work, current};

/// How a runtime differs from `inner`; all that is not said here is as there.
pub(crate) trait Change: Send + Sync + 'static {
    const NAME: &'static str;

    fn spawn(&self, inner: &dyn Runtime, job: Job) {
        inner.spawn(job);
    }

    fn now(&self, inner: &dyn Runtime) -> Instant {
        inner.now()
    }

    fn timer(&self, inner: &dyn Runtime) -> Box<dyn Timer> {
        inner.timer()
    }

    fn poll_budget(&self, inner: &dyn Runtime, cx: &mut Context<'_>) -> Poll<()> {
        inner.poll_budget(cx)
    }

    fn should_yield(&self, inner: &dyn Runtime) -> bool {
        inner.should_yield()
    }
}

/// A runtime with a change.
pub(crate) struct Changed<C> {
    inner: Arc<dyn Runtime>,
    change: C,
}

impl<C: Change + Default> Changed<C> {
    /// Changes the runtime that this code runs on.
    pub(crate) fn over_current() -> Arc<Self> {
        Arc::new(Changed { inner: current().unwrap(), change: C::default() })
    }
}

impl<C> Deref for Changed<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.change
    }
}

impl<C: Change> Runtime for Changed<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn spawn(&self, job: Job) {
        self.change.spawn(&*self.inner, job);
    }

    fn now(&self) -> Instant {
        self.change.now(&*self.inner)
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.change.timer(&*self.inner)
    }

    fn blocking(&self, work: Work) -> Result<(), BlockingError> {
        self.inner.blocking(work)
    }

    fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.change.poll_budget(&*self.inner, cx)
    }

    fn should_yield(&self) -> bool {
        self.change.should_yield(&*self.inner)
    }
}

/// Its clock can be ahead of the timers: as on a thread that is computing.
pub(crate) type Ahead = Changed<Lead>;

#[derive(Default)]
pub(crate) struct Lead {
    pub(crate) nanos: AtomicU64,
}

impl Change for Lead {
    const NAME: &'static str = "ahead";

    fn now(&self, inner: &dyn Runtime) -> Instant {
        inner.now() + Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

/// Each operation takes a millisecond.
pub(crate) type Slow = Changed<Delay>;

#[derive(Default)]
pub(crate) struct Delay(Lead);

impl Change for Delay {
    const NAME: &'static str = "slow";

    fn now(&self, inner: &dyn Runtime) -> Instant {
        self.0.now(inner)
    }

    fn poll_budget(&self, _: &dyn Runtime, _: &mut Context<'_>) -> Poll<()> {
        self.0.nanos.fetch_add(1_000_000, Ordering::SeqCst);
        Poll::Ready(())
    }
}

/// It keeps its jobs: the test polls them.
pub(crate) type ByHand = Changed<Jobs>;

#[derive(Default)]
pub(crate) struct Jobs {
    pub(crate) jobs: Mutex<Vec<Job>>,
}

impl Jobs {
    pub(crate) fn only_job(&self) -> Job {
        let mut jobs = std::mem::take(&mut *self.jobs.lock().unwrap());
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }
}

impl Change for Jobs {
    const NAME: &'static str = "by hand";

    fn spawn(&self, _: &dyn Runtime, job: Job) {
        self.jobs.lock().unwrap().push(job);
    }
}

/// The test sets its budget, which is without a limit at first.
pub(crate) type Metered = Changed<Meter>;

pub(crate) struct Meter {
    pub(crate) left: AtomicUsize,
}

impl Default for Meter {
    fn default() -> Self {
        Meter { left: AtomicUsize::new(usize::MAX) }
    }
}

impl Change for Meter {
    const NAME: &'static str = "metered";

    fn poll_budget(&self, inner: &dyn Runtime, cx: &mut Context<'_>) -> Poll<()> {
        if self.should_yield(inner) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.left.fetch_sub(1, Ordering::SeqCst);
        Poll::Ready(())
    }

    fn should_yield(&self, _: &dyn Runtime) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

/// It does what the test wants done, once, in the midst of an operation: as another thread might.
pub(crate) type Meddling = Changed<Meddler>;

/// The action to be done, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Deed(Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>);

impl Deed {
    pub(crate) fn set(&self, deed: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(deed));
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }

    fn act(&self) {
        let deed = self.0.lock().unwrap().take();
        if let Some(deed) = deed {
            deed();
        }
    }
}

#[derive(Default)]
pub(crate) struct Meddler {
    /// When an operation starts, and has seen that its code is not cancelled.
    pub(crate) at_start: Deed,
    /// When the timer is armed, as by an operation that has to wait in a limit.
    pub(crate) at_arm: Deed,
}

impl Change for Meddler {
    const NAME: &'static str = "meddling";

    fn timer(&self, inner: &dyn Runtime) -> Box<dyn Timer> {
        struct Armed(Box<dyn Timer>, Deed);
        impl Timer for Armed {
            fn arm(&mut self, at: Instant, waker: &Waker) {
                self.0.arm(at, waker);
                self.1.act();
            }
            fn disarm(&mut self) {
                self.0.disarm();
            }
        }
        Box::new(Armed(inner.timer(), self.at_arm.clone()))
    }

    fn poll_budget(&self, inner: &dyn Runtime, cx: &mut Context<'_>) -> Poll<()> {
        self.at_start.act();
        inner.poll_budget(cx)
    }
}
