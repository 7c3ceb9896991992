//! The harness of every test of the suite: nothing may be left behind, and it has to end.

mod watchdog;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use foster::observer::{LiveCounts, live_counts};

/// Tests count what is alive in the whole process, so they run one after the other: each is a writer. Those that can do
/// without an exact count while they run are readers, and are beside one another.
static TURNS: RwLock<()> = RwLock::new(());

/// Those that run beside one another now: what was alive before the first of them, and their names so far.
static BESIDE: Mutex<Option<Beside>> = Mutex::new(None);

#[derive(Debug)]
struct Beside {
    before: Alive,
    running: usize,
    names: Vec<String>,
}

/// Runs one test and proves that it has left nothing: no scope, no task, no timer, no blocking job, and no waker of a
/// future that is [`watched`]. The waker of a task is its scope. Idle threads are the runtime's, not foster's.
///
/// A test with a [`watched`] future that does not end within some minutes is named on standard error, with its adapter
/// and a dump of its tree, and the process is aborted; not so on the simulator, or if `FOSTER_ROUNDS` says how much there
/// is to do.
///
/// # Panics
///
/// If the test does, or if something is left.
pub fn check(name: &str, test: impl FnOnce()) {
    let _alone = TURNS.write().unwrap_or_else(PoisonError::into_inner);
    let _running = watchdog::Running::new(name);
    let before = alive();
    test();
    let is_as_before = comes_true(|| alive() == before);
    assert!(is_as_before, "{name} has left something behind: {:?}, before it {before:?}", alive());
}

/// Does as [`check`], for a test that may run beside others of its sort, because it asks nobody how much is alive. The
/// last of them looks.
///
/// # Panics
///
/// If the test does; or, in the last one, if one of them has left something.
pub fn check_beside(name: &str, test: impl FnOnce()) {
    let _beside = TURNS.read().unwrap_or_else(PoisonError::into_inner);
    {
        let mut beside = BESIDE.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = beside.get_or_insert_with(|| Beside { before: alive(), running: 0, names: Vec::new() });
        beside.running += 1;
        beside.names.push(name.to_owned());
    }
    let result = catch_unwind(AssertUnwindSafe(test));
    let left = left_by_all();
    result.unwrap_or_else(|payload| resume_unwind(payload));
    assert!(left.is_none(), "one of these has left something behind; with --test-threads=1 it is told which: {left:?}");
}

/// Notes that a test that runs beside others has ended. If it was the last, returns what they have left, if anything,
/// and their names.
fn left_by_all() -> Option<(Alive, Beside)> {
    // Locked until it is known: nobody begins meanwhile.
    let mut beside = BESIDE.lock().unwrap_or_else(PoisonError::into_inner);
    let running = &mut beside.as_mut()?.running;
    *running -= 1;
    if *running > 0 {
        return None;
    }
    let all = beside.take()?;
    let is_as_before = comes_true(|| alive() == all.before);
    (!is_as_before).then(|| (alive(), all))
}

/// Waits, for some seconds, until a condition holds, and returns whether it does. A runtime may release its last jobs,
/// threads and descriptors a moment after its `run` has returned. For code outside of any runtime.
#[must_use]
pub fn comes_true(condition: impl Fn() -> bool) -> bool {
    for _ in 0..500 {
        if condition() {
            return true;
        }
        pause();
    }
    condition()
}

/// The things alive in this process.
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

/// Polls `future` with a waker that [`check`] finds if a clone of it is left anywhere; from its first poll, the test has
/// to end.
pub fn watched<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(future);
    let mut last: Option<(Waker, Waker)> = None;
    let mut watchdog = None;
    poll_fn(move |cx| {
        if last.is_none() {
            watchdog = watchdog::start();
        }
        if let Some(watchdog) = &watchdog {
            watchdog.poll(cx.waker());
        }
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
