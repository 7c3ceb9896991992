//! Probes for tests: counters that can be waited for, an observer that keeps what it is told, panics as values.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::observer::{HostDropped, Observer, Orphan, OrphanKind};
use foster::runtime::{Runtime, current, root};
use foster::{Instant, defer, is_cancelled, shield, sleep, sleep_forever};

use crate::harness::ms;

/// A counter, shared by its clones, that tasks can wait for.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    value: usize,
    waiting: Vec<Waker>,
}

impl Count {
    pub(crate) fn new() -> Self {
        Count::default()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn up(&self) {
        let mut counted = self.lock();
        counted.value += 1;
        let waiting = std::mem::take(&mut counted.waiting);
        drop(counted);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn value(&self) -> usize {
        self.lock().value
    }

    /// Waits until the counter is at least `value`. No foster operation, so no checkpoint: cancelled code may start it.
    pub(crate) fn reaches(&self, value: usize) -> impl Future<Output = ()> + Send + use<> {
        let count = self.clone();
        poll_fn(move |cx: &mut Context<'_>| {
            let mut counted = count.lock();
            if counted.value >= value {
                return Poll::Ready(());
            }
            counted.waiting.push(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Counts when it is dropped.
    pub(crate) fn on_drop(&self) -> OnDrop {
        OnDrop(self.clone())
    }
}

/// Counts when it is dropped.
pub(crate) struct OnDrop(Count);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.up();
    }
}

/// Calls a function when it is dropped.
pub(crate) struct Finally<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Finally<F> {
    pub(crate) fn new(call: F) -> Self {
        Finally(Some(call))
    }
}

impl<F: FnOnce()> Drop for Finally<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

/// The order in which things happened.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Log::default()
    }

    pub(crate) fn add(&self, entry: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    pub(crate) fn entries(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds an entry when it is dropped.
    pub(crate) fn on_drop(&self, entry: &'static str) -> Finally<impl FnOnce() + Send + use<>> {
        let log = self.clone();
        Finally::new(move || log.add(entry))
    }
}

/// A child that stays until it is cancelled, and then takes a few milliseconds to clean up.
pub(crate) fn lingering(started: &Count, cleaned: &Count) -> impl Future<Output = Infallible> + Send + use<> {
    let (started, cleaned) = (started.clone(), cleaned.clone());
    async move {
        defer(async move {
            sleep(ms(3)).await;
            cleaned.up();
        });
        started.up();
        sleep_forever().await
    }
}

/// Goes on until the code that calls this is cancelled, and then returns all the same.
pub(crate) async fn until_cancelled() {
    while !is_cancelled() {
        shield(sleep(ms(1))).await;
    }
}

/// Whether time is virtual here: then it is exact, and everything runs on one thread. The clock does not tell: that of
/// a host may stand still for as long as it likes between two steps (R5).
pub(crate) fn is_virtual() -> bool {
    runtime().name() == "sim"
}

/// Whether timers are on time to the nanosecond: on the simulator, unless `timers_are_late`.
pub(crate) fn is_exact() -> bool {
    is_virtual() && !LATE.load(Ordering::Relaxed)
}

static LATE: AtomicBool = AtomicBool::new(false);

/// Notes that the timers of the simulator are late in this program of tests.
pub fn timers_are_late() {
    LATE.store(true, Ordering::Relaxed);
}

/// The runtime that the test runs on.
pub(crate) fn runtime() -> Arc<dyn Runtime> {
    current().expect("a test runs in a tree")
}

/// Asserts that at least `least` has passed since `start`; exactly that, where time is virtual.
#[track_caller]
pub(crate) fn assert_took(start: Instant, least: Duration) {
    let took = start.elapsed();
    assert!(took >= least, "took {took:?}, less than {least:?}");
    assert!(!is_exact() || took == least, "took {took:?}, not {least:?}");
}

/// Polls a future once.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Polls `driven`, which has to stay Pending, until `event` is ready.
pub(crate) async fn until<F: Future + ?Sized>(mut driven: Pin<&mut F>, event: impl Future<Output = ()>) {
    let mut event = pin!(event);
    poll_fn(|cx| {
        assert!(driven.as_mut().poll(cx).is_pending(), "ended before what it was driven for");
        event.as_mut().poll(cx)
    })
    .await;
}

/// Awaits a future, and makes its panic a value.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = Box::pin(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    })
    .await
}

/// The text that a panic carries.
pub(crate) fn text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no text",
    }
}

/// Panics. A function, because a block that ends in `panic!` has no type that a nursery takes.
pub(crate) fn crash(text: &'static str) {
    panic!("{text}")
}

/// An error without a caller, as it reached the observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: OrphanKind,
    /// As `Debug` prints it.
    pub(crate) error: String,
    /// The name of the task, nursery or finalizer.
    pub(crate) origin: String,
}

/// An observer that keeps what it is told.
#[derive(Default)]
pub(crate) struct Observed {
    orphans: Mutex<Vec<Seen>>,
    hosts: Mutex<Vec<HostDropped>>,
}

impl Observed {
    pub(crate) fn orphans(&self) -> Vec<Seen> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The errors alone, with how they came to have no caller.
    pub(crate) fn errors(&self) -> Vec<(OrphanKind, String)> {
        self.orphans().into_iter().map(|seen| (seen.kind, seen.error)).collect()
    }

    pub(crate) fn hosts(&self) -> Vec<HostDropped> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Observed {
    fn orphan(&self, orphan: &Orphan<'_>) {
        let seen =
            Seen { kind: orphan.kind, error: format!("{:?}", orphan.error), origin: orphan.origin.name().to_owned() };
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    fn host_dropped(&self, report: &HostDropped) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).push(*report);
    }
}

/// Runs a future as a tree of its own on the runtime of the test, and tells what had no caller in it.
pub(crate) async fn observed<F: Future>(future: F) -> (F::Output, Arc<Observed>) {
    let observer = Arc::new(Observed::default());
    let output = root(runtime(), future).observe(observer.clone()).await;
    (output, observer)
}
