//! Witnesses for tests: a log, an event that foster does not know, and combinators of other people's making.
//!
//! Nothing in here is foster's: a [`Flag`] is not a checkpoint, and [`both`] does not know what a scope is. So a test
//! can put foster's scopes where real programs put them, into foreign hands.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::Instant;

pub(crate) use crate::groups::probe::{is_exact, is_virtual as time_is_virtual};

/// A limit that no test lives to see: for what must not fire.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// The events, in order. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Log::default()
    }

    pub(crate) fn add(&self, entry: &'static str) {
        lock(&self.0).push(entry);
    }

    pub(crate) fn entries(&self) -> Vec<&'static str> {
        lock(&self.0).clone()
    }

    pub(crate) fn count(&self, entry: &str) -> usize {
        lock(&self.0).iter().filter(|other| **other == entry).count()
    }

    /// A guard that notes its own drop.
    pub(crate) fn on_drop(&self, entry: &'static str) -> OnDrop<impl FnOnce() + Send + use<>> {
        let log = self.clone();
        on_drop(move || log.add(entry))
    }
}

/// Calls a closure when it is dropped.
pub(crate) struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

pub(crate) fn on_drop<F: FnOnce()>(call: F) -> OnDrop<F> {
    OnDrop(Some(call))
}

/// An event of somebody else's: once set it stays set. Waiting for it is no checkpoint.
#[derive(Clone, Default)]
pub(crate) struct Flag(Arc<(AtomicBool, Mutex<Vec<Waker>>)>);

impl Flag {
    pub(crate) fn new() -> Self {
        Flag::default()
    }

    pub(crate) fn set(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        let wakers = std::mem::take(&mut *lock(&self.0.1));
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            lock(&self.0.1).push(cx.waker().clone());
            if self.is_set() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Counts the polls of a future.
pub(crate) async fn counted<F: Future>(polls: &AtomicUsize, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.fetch_add(1, Ordering::SeqCst);
        future.as_mut().poll(cx)
    })
    .await
}

/// How often a future is Pending before it is ready.
pub(crate) async fn yields<F: Future>(future: F) -> usize {
    let polls = AtomicUsize::new(0);
    counted(&polls, future).await;
    polls.into_inner() - 1
}

/// Polls a future once, whatever comes of it.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Polls a future once and lets go of it half-way, as `select!` does with a branch that has lost.
pub(crate) async fn abandon<F: Future>(future: F) {
    let mut future = pin!(future);
    assert!(poll_once(future.as_mut()).await.is_pending(), "a future that is ready is not abandoned half-way");
}

/// Gives way until `done` says so: to wait for what other tasks do, where the test may not be told.
///
/// It is no checkpoint, and it never stops by itself.
pub(crate) async fn until(done: impl Fn() -> bool) {
    poll_fn(|cx| {
        if done() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs two futures in one task, and polls both whenever one was woken.
pub(crate) async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut left, mut right) = (None, None);
    poll_fn(|cx| {
        if left.is_none() {
            left = poll_into(a.as_mut(), cx);
        }
        if right.is_none() {
            right = poll_into(b.as_mut(), cx);
        }
        match (left.take(), right.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (left, right) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Runs two futures in one task until one is ready; the other is dropped half-way.
pub(crate) async fn first<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(value),
        Poll::Pending => b.as_mut().poll(cx),
    })
    .await
}

fn poll_into<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Option<F::Output> {
    match future.poll(cx) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Runs futures in one task as `FuturesUnordered` does: each has a waker of its own, and only who was woken is polled.
pub(crate) async fn lazily<'a>(futures: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>) {
    let host = Arc::new(Mutex::new(None));
    let mut members: Vec<_> = futures.into_iter().map(|future| (Member::new(&host), Some(future))).collect();
    poll_fn(|cx| {
        *lock(&host) = Some(cx.waker().clone());
        for (member, slot) in &mut members {
            if let Some(future) = slot {
                if member.woken.swap(false, Ordering::SeqCst) {
                    let waker = Waker::from(member.clone());
                    if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                        *slot = None;
                    }
                }
            }
        }
        if members.iter().all(|(_, slot)| slot.is_none()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

struct Member {
    woken: AtomicBool,
    host: Arc<Mutex<Option<Waker>>>,
}

impl Member {
    fn new(host: &Arc<Mutex<Option<Waker>>>) -> Arc<Self> {
        Arc::new(Member { woken: AtomicBool::new(true), host: host.clone() })
    }
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        let host = lock(&self.host).clone();
        if let Some(host) = host {
            host.wake();
        }
    }
}

/// A future in a place that several tasks or branches can reach: whoever polls it drives it.
pub(crate) struct Shared<F>(RefCell<Option<Pin<Box<F>>>>);

impl<F: Future> Shared<F> {
    pub(crate) fn new(future: F) -> Self {
        Shared(RefCell::new(Some(Box::pin(future))))
    }

    pub(crate) async fn poll_once(&self) -> Poll<F::Output> {
        poll_fn(|cx| Poll::Ready(self.poll(cx))).await
    }

    pub(crate) async fn drive(&self) -> F::Output {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Drops it, wherever it is.
    pub(crate) fn discard(&self) {
        let future = self.0.borrow_mut().take();
        drop(future);
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.0.borrow_mut().as_mut() {
            Some(future) => future.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Holds on to a value for ever, without waiting for anything of foster's.
pub(crate) async fn hold<T>(_held: T) {
    pending().await
}

/// At least `least` has passed since `start`; exactly that, if time is virtual.
#[track_caller]
pub(crate) fn assert_elapsed(start: Instant, least: Duration) {
    let elapsed = start.elapsed();
    assert!(elapsed >= least, "only {elapsed:?} of {least:?} have passed");
    assert!(elapsed == least || !is_exact(), "{elapsed:?} of virtual time have passed instead of {least:?}");
}

/// Lets time pass without giving way, as code that computes does.
#[expect(clippy::disallowed_methods, reason = "a busy executor is what this is about")]
pub(crate) fn be_busy(duration: Duration) {
    if time_is_virtual() {
        let pass = COMPUTE.get().expect("a host with virtual time calls `computing_passes_time_by`");
        return pass(duration);
    }
    let start = Instant::now();
    while start.elapsed() < duration {
        std::thread::sleep(duration);
    }
}

thread_local! {
    static COMPUTE: Cell<Option<fn(Duration)>> = const { Cell::new(None) };
}

/// Sets how time passes while a test of this thread computes, where time is virtual.
pub fn computing_passes_time_by(pass: fn(Duration)) {
    COMPUTE.set(Some(pass));
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
