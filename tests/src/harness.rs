//! What every test of the suite goes through: one at a time, and nothing may be left behind.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use foster::{LiveCounts, live_counts};

/// Tests count what is alive in the whole process, so they run one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs one test and proves that it has left nothing: no scope, no task, no timer, no blocking job, and no waker of a future that is
/// [`watched`]. The waker of a task is its scope. Idle threads are the runtime's, not foster's.
///
/// # Panics
///
/// If the test does, or if something is left.
pub fn check(name: &str, test: impl FnOnce()) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = alive();
    test();
    // A runtime may release the last jobs a moment after its `run` has returned.
    for _ in 0..200 {
        if alive() == before {
            return;
        }
        pause();
    }
    let left = alive();
    assert!(left == before, "{name} has left something behind: {left:?}, before it {before:?}");
}

/// What is alive in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alive {
    /// None where nobody counts.
    live_counts: Option<LiveCounts>,
    wakers: usize,
}

fn alive() -> Alive {
    Alive { live_counts: live_counts(), wakers: WAKERS.load(Ordering::SeqCst) }
}

/// How many wakers of watched futures are alive, clones not counted.
static WAKERS: AtomicUsize = AtomicUsize::new(0);

/// A waker that is counted until its last clone is dropped.
struct Counted(Waker);

impl Counted {
    fn waker(waker: &Waker) -> Waker {
        WAKERS.fetch_add(1, Ordering::SeqCst);
        Waker::from(Arc::new(Counted(waker.clone())))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        WAKERS.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Polls `future` with a waker that [`check`] finds if a clone of it is left anywhere.
pub fn watched<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(future);
    let mut last: Option<(Waker, Waker)> = None;
    poll_fn(move |cx| {
        let (_, counted) = match &mut last {
            Some(last) if last.0.will_wake(cx.waker()) => last,
            last => last.insert((cx.waker().clone(), Counted::waker(cx.waker()))),
        };
        future.as_mut().poll(&mut Context::from_waker(counted))
    })
}

#[expect(clippy::disallowed_methods, reason = "outside of any runtime, waiting for threads that are ending")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// A short time, in milliseconds: long enough that two of them can be told apart on a busy machine.
#[must_use]
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
