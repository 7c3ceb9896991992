//! The runtime contract, clause by clause: what an adapter must do, as tests that any adapter can run.
//!
//! Each function checks one aspect of one clause of [`foster::runtime`] and carries the clause's number in its name. It
//! panics if the clause is broken, and also if nothing happens for ten seconds. They are plain functions, to be called
//! from a `#[test]`; the macro [`contract!`](crate::contract!) makes one test of each.
//!
//! The thread that calls them is foreign to the runtime, and they block it. So the runtime must have threads of its own
//! that drive it; see [`Host`].
//!
//! What only the core can do (R1–R4, R9–R11: making jobs) is done with a nursery; the timers, the clock and the
//! blocking threads (R5–R8) are asked directly.

#![expect(clippy::missing_panics_doc, reason = "panicking is how each of these functions reports")]

use std::any::TypeId;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use foster::runtime::{Runtime, Timer, capability, root};
use foster::{Instant, Nursery};

/// Makes one test of each clause.
///
/// It takes an expression that makes a [`Host`]; each test evaluates it once.
///
/// # Examples
///
/// ```
/// use foster_conformance::contract::Host;
///
/// fn host() -> Host {
///     # fn start() -> (std::sync::Arc<dyn foster::runtime::Runtime>, impl FnOnce()) { (unimplemented!(), || ()) }
///     let (runtime, teardown) = start();
///     Host::new(runtime, teardown)
/// }
///
/// foster_conformance::contract!(host());
/// ```
#[macro_export]
macro_rules! contract {
    ($host:expr) => {
        $crate::contract! { @lent $host;
            r1_spawn_from_a_foreign_thread
            r1_spawn_from_drop_while_unwinding
            r1_spawn_does_not_poll
            r2_job_is_polled_whenever_it_was_woken
            r3_job_is_never_polled_twice_at_a_time
            r4_panic_of_a_child_does_not_reach_the_runtime
            r5_clock_never_goes_back
            r5_instants_convert_without_loss
            r6_timer_never_fires_early
            r6_timer_in_the_past_fires_at_once
            r6_timer_armed_again_fires_at_the_new_instant
            r6_timer_disarmed_wakes_nobody
            r6_timer_releases_its_waker
            r6_timer_takes_any_instant
            r7_timers_fire_without_jobs
            r8_blocking_job_runs_if_nobody_waits
            r8_blocking_jobs_run_side_by_side
            r9_turn_begins_with_budget
            r11_busy_tree_starves_no_other
            r12_waiting_thread_goes_on_when_it_is_woken
            r13_time_passes_for_a_job_that_asks
            r14_what_nobody_offers_is_absent
        }
        $crate::contract! { @given $host;
            r2_job_for_a_dead_runtime_is_dropped_at_once
            r8_blocking_job_is_never_lost
            r10_teardown_drops_jobs
        }
    };
    (@lent $host:expr; $($clause:ident)*) => {$(
        #[test]
        fn $clause() {
            let host: $crate::contract::Host = $host;
            $crate::contract::$clause(host.runtime());
        }
    )*};
    (@given $host:expr; $($clause:ident)*) => {$(
        #[test]
        fn $clause() {
            $crate::contract::$clause($host);
        }
    )*};
}

/// A runtime that runs on threads of its own, and the way to tear it down.
pub struct Host {
    runtime: Arc<dyn Runtime>,
    teardown: Option<Box<dyn FnOnce()>>,
}

impl Host {
    /// Takes a runtime that is already being driven. Dropping the host calls `teardown`, which must return only after
    /// the runtime has dropped its jobs and its threads have ended.
    pub fn new(runtime: Arc<dyn Runtime>, teardown: impl FnOnce() + 'static) -> Self {
        Host { runtime, teardown: Some(Box::new(teardown)) }
    }

    /// The runtime.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(teardown) = self.teardown.take() {
            teardown();
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("runtime", &self.runtime.name()).finish_non_exhaustive()
    }
}

/// R1: `spawn` works on a thread that has nothing to do with the runtime.
pub fn r1_spawn_from_a_foreign_thread(runtime: &Arc<dyn Runtime>) {
    let value = in_nursery(runtime, async |n| {
        let spawner = thread::spawn(move || n.spawn(async { Ok(7) }));
        spawner.join().expect("`spawn` does not panic").await
    });
    assert_eq!(value.ok(), Some(7));
}

/// R1: `spawn` works inside a `Drop` that runs because the thread panics.
pub fn r1_spawn_from_drop_while_unwinding(runtime: &Arc<dyn Runtime>) {
    struct SpawnOnDrop(Scope, mpsc::Sender<()>);

    impl Drop for SpawnOnDrop {
        fn drop(&mut self) {
            let ran = self.1.clone();
            self.0.spawn(async move { send(&ran) });
        }
    }

    let (ran, receiver) = mpsc::channel();
    in_nursery(runtime, async |n| {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _spawner = SpawnOnDrop(n, ran);
            panic!("on purpose, to unwind");
        }));
        assert!(unwound.is_err());
    });
    receive(&receiver);
}

/// R1: `spawn` returns without polling the job.
pub fn r1_spawn_does_not_poll(runtime: &Arc<dyn Runtime>) {
    thread_local! {
        static SPAWNING: Cell<bool> = const { Cell::new(false) };
    }
    let polled_inside = in_nursery(runtime, async |n| {
        SPAWNING.set(true);
        let task = n.spawn(async { Ok(SPAWNING.get()) });
        SPAWNING.set(false);
        task.await
    });
    assert_eq!(polled_inside.ok(), Some(false));
}

/// R2: each wake of a pending job leads to another poll.
pub fn r2_job_is_polled_whenever_it_was_woken(runtime: &Arc<dyn Runtime>) {
    const POLLS: usize = 100;
    let (polled, receiver) = mpsc::channel();
    in_nursery(runtime, async |n| {
        let mut polls = 0;
        n.spawn(poll_fn(move |cx| {
            polls += 1;
            polled.send(cx.waker().clone()).expect("the test waits for each poll");
            if polls < POLLS { Poll::Pending } else { Poll::Ready(()) }
        }));
        for _ in 0..POLLS {
            receive(&receiver).wake();
        }
    });
}

/// R2: a job that is handed to a runtime that is gone is dropped before `spawn` returns.
pub fn r2_job_for_a_dead_runtime_is_dropped_at_once(host: Host) {
    let (opened, receiver) = mpsc::channel();
    let mut tree = pin!(tree(host.runtime(), async move |n| {
        opened.send(n).expect("the test waits for the nursery");
        pending::<()>().await;
    }));
    assert!(poll_once(tree.as_mut()).is_pending());
    let nursery = receive(&receiver);
    drop(host);

    let held = Arc::new(());
    let in_job = Arc::clone(&held);
    nursery.spawn(async move {
        let _in_job = in_job;
        pending::<()>().await;
    });
    assert_eq!(Arc::strong_count(&held), 1, "the job is still somewhere");
}

/// R3: two wakes at a time do not make two polls at a time.
pub fn r3_job_is_never_polled_twice_at_a_time(runtime: &Arc<dyn Runtime>) {
    const POLLS: usize = 200;
    let polls = Arc::new(AtomicUsize::new(0));
    let (first_poll, receiver) = mpsc::channel();
    in_nursery(runtime, async |n| {
        let counted = Arc::clone(&polls);
        let inside = AtomicBool::new(false);
        n.spawn(poll_fn(move |cx| {
            assert!(!inside.swap(true, Ordering::SeqCst), "two threads poll the job");
            let before = counted.fetch_add(1, Ordering::SeqCst);
            if before == 0 {
                first_poll.send(cx.waker().clone()).expect("the test waits for the first poll");
            }
            for _ in 0..1000 {
                spin_loop();
            }
            inside.store(false, Ordering::SeqCst);
            if before + 1 < POLLS { Poll::Pending } else { Poll::Ready(()) }
        }));
        let waker = receive(&receiver);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while polls.load(Ordering::SeqCst) < POLLS {
                        waker.wake_by_ref();
                        thread::yield_now();
                    }
                });
            }
        });
    });
}

/// R4: a child that panics fails its nursery; the runtime sees nothing of it, and runs the next job.
pub fn r4_panic_of_a_child_does_not_reach_the_runtime(runtime: &Arc<dyn Runtime>) {
    async fn throw() {
        panic!("on purpose, in a child");
    }

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        in_nursery(runtime, async |n| {
            n.spawn(throw());
        });
    }));
    assert!(panicked.is_err(), "the nursery resumes the panic");
    r1_spawn_from_a_foreign_thread(runtime);
}

/// R5: what one thread has read, no other thread reads an earlier instant after.
pub fn r5_clock_never_goes_back(runtime: &Arc<dyn Runtime>) {
    let latest = Mutex::new(runtime.now());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let mut latest = lock(&latest);
                    let now = runtime.now();
                    assert!(now >= *latest, "the clock went back from {latest:?} to {now:?}");
                    *latest = now;
                }
            });
        }
    });
}

/// R5: a clock that is the host's converts without loss, and to what the host shows; a virtual one converts nothing.
#[expect(clippy::disallowed_methods, reason = "the host's clock is what is compared with")]
pub fn r5_instants_convert_without_loss(runtime: &Arc<dyn Runtime>) {
    let before = std::time::Instant::now();
    let now = runtime.now();
    let after = std::time::Instant::now();
    let Some(on_host) = runtime.instant_to_std(now) else {
        assert_eq!(runtime.instant_from_std(before), None, "a virtual clock converts nothing");
        return;
    };
    assert!(before <= on_host && on_host <= after, "the host's clock shows another time");
    assert_eq!(runtime.instant_from_std(on_host), Some(now));
    let later = now + Duration::from_nanos(1_500_000_001);
    let later_on_host = runtime.instant_to_std(later).expect("it is near");
    assert_eq!(later_on_host - on_host, later - now);
    assert_eq!(runtime.instant_from_std(later_on_host), Some(later));
    assert_eq!(runtime.instant_to_std(Instant::NEVER), None, "never comes on no clock");
}

/// R6: a wake comes once the clock has reached the instant. Earlier wakes are for nothing, and do not replace it.
pub fn r6_timer_never_fires_early(runtime: &Arc<dyn Runtime>) {
    let (bell, waker) = Bell::new();
    let mut timer = runtime.timer();
    for nanos in [1, 999_999, 1_000_000, 1_000_001, 3_141_592, 20_000_017] {
        let at = runtime.now() + Duration::from_nanos(nanos);
        timer.arm(at, &waker);
        bell.wait_for(runtime, at);
    }
}

/// R6: an instant that has passed wakes at once.
pub fn r6_timer_in_the_past_fires_at_once(runtime: &Arc<dyn Runtime>) {
    let (bell, waker) = Bell::new();
    let mut timer = runtime.timer();
    let now = runtime.now();
    for at in [now, now - Duration::from_secs(1), Instant::from_nanos(0)] {
        timer.arm(at, &waker);
        bell.wait();
    }
}

/// R6: arming again replaces both the instant and the waker, whichever of the instants comes first.
pub fn r6_timer_armed_again_fires_at_the_new_instant(runtime: &Arc<dyn Runtime>) {
    let (_, old_waker) = Bell::new();
    let (bell, waker) = Bell::new();
    let mut timer = runtime.timer();
    let milliseconds = [[3_600_000, 5], [5, 15]];
    for [old, new] in milliseconds.map(|pair| pair.map(Duration::from_millis)) {
        let now = runtime.now();
        timer.arm(now + old, &old_waker);
        timer.arm(now + new, &waker);
        bell.wait_for(runtime, now + new);
    }
}

/// R6: after `disarm`, and after a drop, nobody is woken at the instant.
pub fn r6_timer_disarmed_wakes_nobody(runtime: &Arc<dyn Runtime>) {
    loop {
        let (silent, silent_waker) = Bell::new();
        let (bell, waker) = Bell::new();
        let [mut disarmed, mut dropped, mut later] = [(); 3].map(|()| runtime.timer());
        let at = runtime.now() + Duration::from_millis(50);
        disarmed.arm(at, &silent_waker);
        dropped.arm(at, &silent_waker);
        disarmed.disarm();
        drop(dropped);
        if runtime.now() >= at {
            continue; // This thread was so slow that they may have fired before.
        }
        let after = at + Duration::from_millis(5);
        later.arm(after, &waker);
        bell.wait_for(runtime, after);
        assert!(!silent.rang(), "a timer that is not armed woke somebody");
        return;
    }
}

/// R6: a waker is let go when another takes its place, when the timer is disarmed, and when it is dropped.
pub fn r6_timer_releases_its_waker(runtime: &Arc<dyn Runtime>) {
    let mut timer = runtime.timer();
    let arm = |timer: &mut dyn Timer| {
        let (bell, waker) = Bell::new();
        timer.arm(runtime.now() + Duration::from_secs(3600), &waker);
        drop(waker);
        assert!(Arc::strong_count(&bell) > 1, "an armed timer holds its waker");
        bell
    };
    let is_released = |bell: &Arc<Bell>| Arc::strong_count(bell) == 1;

    let first = arm(&mut *timer);
    let second = arm(&mut *timer);
    assert!(is_released(&first), "not released by arming again");
    timer.disarm();
    assert!(is_released(&second), "not released by disarming");
    let third = arm(&mut *timer);
    drop(timer);
    assert!(is_released(&third), "not released by dropping the timer");
}

/// R6: no instant is too far away to be armed, and none of them does harm to the next.
pub fn r6_timer_takes_any_instant(runtime: &Arc<dyn Runtime>) {
    let (bell, waker) = Bell::new();
    let mut timer = runtime.timer();
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    for at in [runtime.now() + century, Instant::NEVER - Duration::from_nanos(1), Instant::NEVER] {
        timer.arm(at, &waker);
    }
    let at = runtime.now() + Duration::from_millis(5);
    timer.arm(at, &waker);
    bell.wait_for(runtime, at);
}

/// R7: timers fire, each at its own instant, while the runtime has no job at all.
pub fn r7_timers_fire_without_jobs(runtime: &Arc<dyn Runtime>) {
    let now = runtime.now();
    let armed = [20, 5, 10].map(|milliseconds| {
        let at = now + Duration::from_millis(milliseconds);
        let (bell, waker) = Bell::new();
        let mut timer = runtime.timer();
        timer.arm(at, &waker);
        (timer, bell, at)
    });
    for (_timer, bell, at) in &armed {
        bell.wait_for(runtime, *at);
    }
}

/// R8: a blocking job runs although nobody waits for it, and off the calling thread.
pub fn r8_blocking_job_runs_if_nobody_waits(runtime: &Arc<dyn Runtime>) {
    let (ran, receiver) = mpsc::channel();
    let work = move || ran.send(thread::current().id()).expect("the test waits for the job");
    runtime.blocking(Box::new(work)).expect("a thread can be had");
    assert_ne!(receive(&receiver), thread::current().id());
}

/// R8: a job that blocks does not keep the next one from running.
pub fn r8_blocking_jobs_run_side_by_side(runtime: &Arc<dyn Runtime>) {
    let (passed, receiver) = mpsc::channel();
    let barrier = Arc::new(Barrier::new(2));
    for _ in 0..2 {
        let (passed, barrier) = (passed.clone(), Arc::clone(&barrier));
        let work = move || {
            barrier.wait();
            send(&passed);
        };
        runtime.blocking(Box::new(work)).expect("a thread can be had");
    }
    receive(&receiver);
    receive(&receiver);
}

/// R8: also a runtime that is gone runs the job, or hands it back; it never drops it in silence.
pub fn r8_blocking_job_is_never_lost(host: Host) {
    let runtime = Arc::clone(host.runtime());
    drop(host);
    let (ran, receiver) = mpsc::channel();
    if let Err(error) = runtime.blocking(Box::new(move || send(&ran))) {
        (error.work)();
    }
    receive(&receiver);
}

/// R9: a job that has given up its turn has a budget again in the next one.
pub fn r9_turn_begins_with_budget(runtime: &Arc<dyn Runtime>) {
    in_nursery(runtime, async |n| {
        let runtime = Arc::clone(runtime);
        n.spawn(async move {
            for _ in 0..1000 {
                foster::yield_now().await;
                assert!(!runtime.should_yield(), "a turn begins without budget");
            }
        });
    });
}

/// R11: jobs take turns, however many tasks are ready in one of them, so a busy tree starves no other.
pub fn r11_busy_tree_starves_no_other(runtime: &Arc<dyn Runtime>) {
    let done = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            in_nursery(runtime, async |n| {
                for _ in 0..100 {
                    let done = Arc::clone(&done);
                    n.spawn(async move {
                        while !done.load(Ordering::Relaxed) {
                            foster::yield_now().await;
                        }
                    });
                }
            });
        });
        in_nursery(runtime, async |n| {
            let done = Arc::clone(&done);
            n.spawn(async move {
                for _ in 0..100 {
                    foster::yield_now().await;
                }
                done.store(true, Ordering::Relaxed);
            });
        });
    });
}

/// R12: a thread that waits is blocked until it is woken, by a task or by anybody, and what it waits for is there; it
/// looks again at each wake. Tasks go on meanwhile.
pub fn r12_waiting_thread_goes_on_when_it_is_woken(runtime: &Arc<dyn Runtime>) {
    const WAKES: usize = 10;
    let (looked, seen) = mpsc::channel::<Waker>();
    let (ended, receiver) = mpsc::channel();
    let ready = Arc::new(AtomicUsize::new(0));
    let (wait, until) = (Arc::clone(runtime), Arc::clone(&ready));
    let work = move || {
        wait.wait(&mut |cx| {
            // Nobody looks on any more when it is there.
            drop(looked.send(cx.waker().clone()));
            if until.load(Ordering::SeqCst) < WAKES { Poll::Pending } else { Poll::Ready(()) }
        });
        send(&ended);
    };
    runtime.blocking(Box::new(work)).expect("a thread can be had");
    in_nursery(runtime, async |n| {
        n.spawn(async move {
            while ready.load(Ordering::SeqCst) < WAKES {
                let waker = receive(&seen);
                ready.fetch_add(1, Ordering::SeqCst);
                waker.wake();
                foster::yield_now().await;
            }
        });
    });
    receive(&receiver);
}

/// R13: a blocking job that asks again and again sees an instant come.
pub fn r13_time_passes_for_a_job_that_asks(runtime: &Arc<dyn Runtime>) {
    let (ended, receiver) = mpsc::channel();
    let clock = Arc::clone(runtime);
    let until = runtime.now() + Duration::from_millis(20);
    let work = move || {
        while clock.now() < until {
            clock.give_way();
        }
        send(&ended);
    };
    runtime.blocking(Box::new(work)).expect("a thread can be had");
    receive(&receiver);
}

/// R14: what no runtime offers is absent, on a foreign thread, in a task, and in a `Drop` that runs because of a panic;
/// the error names the runtime.
pub fn r14_what_nobody_offers_is_absent(runtime: &Arc<dyn Runtime>) {
    trait NobodyHasThis: Send + Sync {}

    struct AskOnDrop(Arc<dyn Runtime>, mpsc::Sender<()>);

    impl Drop for AskOnDrop {
        fn drop(&mut self) {
            assert!(self.0.capability(TypeId::of::<Arc<dyn NobodyHasThis>>()).is_none());
            send(&self.1);
        }
    }

    let (asked, receiver) = mpsc::channel();
    let asks = AskOnDrop(Arc::clone(runtime), asked);
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _asks = asks;
        panic!("on purpose, to unwind");
    }));
    assert!(unwound.is_err());
    receive(&receiver);
    let missing = in_nursery(runtime, async |n| {
        n.spawn(async {
            Ok(capability::<dyn NobodyHasThis>("thing").err().map(|error| (error.kind(), error.to_string())))
        })
        .await
    });
    let (kind, text) = missing.ok().flatten().expect("nobody has it");
    assert_eq!(kind, std::io::ErrorKind::Unsupported);
    assert!(text.contains(runtime.name()) && text.contains("thing"), "{text}");
}

/// R10: the end of the runtime is the end of its jobs.
pub fn r10_teardown_drops_jobs(host: Host) {
    let (started, receiver) = mpsc::channel();
    let held = Arc::new(());
    let in_job = Arc::clone(&held);
    let mut tree = pin!(tree(host.runtime(), async move |n| {
        n.spawn(async move {
            let _in_job = in_job;
            send(&started);
            pending::<()>().await;
        });
    }));
    assert!(poll_once(tree.as_mut()).is_pending());
    receive(&receiver);
    assert_eq!(Arc::strong_count(&held), 2);
    drop(host);
    assert_eq!(Arc::strong_count(&held), 1, "the job is still somewhere");
}

/// A nursery whose children cannot fail.
type Scope = Nursery<Infallible>;

/// A tree that is one nursery with this body.
fn tree<T, F, Fut>(runtime: &Arc<dyn Runtime>, body: F) -> impl Future<Output = T> + use<T, F, Fut>
where
    F: FnOnce(Scope) -> Fut,
    Fut: Future<Output = T>,
{
    // No job but those that the body spawns, also after the runtime's end.
    let tree = root(Arc::clone(runtime), async move {
        let Ok(value) = foster::nursery(async move |n| Ok(body(n).await)).await;
        value
    });
    tree.polled_by_its_runtime()
}

/// Runs the nursery to its end on the calling thread, its children on the runtime.
fn in_nursery<T, F, Fut>(runtime: &Arc<dyn Runtime>, body: F) -> T
where
    F: FnOnce(Scope) -> Fut,
    Fut: Future<Output = T>,
{
    let (bell, waker) = Bell::new();
    let mut tree = pin!(tree(runtime, body));
    loop {
        if let Poll::Ready(value) = tree.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        bell.wait();
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// How long a test waits for what must happen. A test that passes never waits for it.
const LIMIT: Duration = Duration::from_secs(10);

fn send(sender: &mpsc::Sender<()>) {
    sender.send(()).expect("the test waits for this");
}

fn receive<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LIMIT).expect("nothing came within the limit")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A waker that a thread can wait for.
#[derive(Default)]
struct Bell {
    rang: Mutex<bool>,
    condvar: Condvar,
}

impl Bell {
    fn new() -> (Arc<Bell>, Waker) {
        let bell = Arc::new(Bell::default());
        (Arc::clone(&bell), Waker::from(bell))
    }

    fn rang(&self) -> bool {
        *lock(&self.rang)
    }

    /// Waits until it has rung since the last time.
    fn wait(&self) {
        let (mut rang, timeout) = self
            .condvar
            .wait_timeout_while(lock(&self.rang), LIMIT, |rang| !*rang)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "nobody was woken within the limit");
        *rang = false;
    }

    /// Waits until it rings with the clock at the instant or later.
    fn wait_for(&self, runtime: &Arc<dyn Runtime>, at: Instant) {
        loop {
            self.wait();
            if runtime.now() >= at {
                return;
            }
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *lock(&self.rang) = true;
        self.condvar.notify_all();
    }
}
