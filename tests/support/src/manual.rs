//! Tasks that are polled by hand: outside of any tree every checkpoint is open, so a test can drive the primitives one
//! poll at a time.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Counts how often it was woken.
#[derive(Default)]
pub struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A task of one future.
pub struct ManualTask<F> {
    counter: Arc<WakeCounter>,
    waker: Waker,
    future: Pin<Box<F>>,
}

impl<F: Future> ManualTask<F> {
    /// Makes a task that was not polled yet.
    pub fn new(future: F) -> Self {
        let counter = Arc::new(WakeCounter::default());
        ManualTask { waker: counter.clone().into(), counter, future: Box::pin(future) }
    }

    /// Makes a task that was polled once and has to wait.
    ///
    /// # Panics
    ///
    /// If it is ready at once.
    #[track_caller]
    pub fn waiting(future: F) -> Self {
        let mut hand = ManualTask::new(future);
        assert!(hand.poll().is_pending(), "it did not have to wait");
        assert_eq!(hand.wakes(), 0, "nothing to go on for");
        hand
    }

    /// Polls it, with a waker that counts.
    pub fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls a task that must be woken and be through now.
    ///
    /// # Panics
    ///
    /// If it was not woken, or has to wait on.
    #[track_caller]
    pub fn finish(mut self) -> F::Output {
        assert!(self.wakes() > 0, "it was not woken");
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it still waits"),
        }
    }

    /// Returns how often it was woken.
    pub fn wakes(&self) -> usize {
        self.counter.wakes()
    }
}

/// Asserts that `future` is through at its first poll.
///
/// # Panics
///
/// If it has to wait.
#[track_caller]
pub fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it has to wait"),
    }
}

/// Runs `future` on this thread, parking it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct UnparkOnWake(std::thread::Thread);
    impl Wake for UnparkOnWake {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(UnparkOnWake(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// Returns a waker that counts its calls, and its counter, whose references are those of the waker and this one.
#[must_use]
pub fn counter() -> (Arc<WakeCounter>, Waker) {
    let counter = Arc::new(WakeCounter::default());
    (counter.clone(), counter.into())
}

impl WakeCounter {
    /// Returns how often it was woken.
    #[must_use]
    pub fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
