//! The runtime contract, clause by clause: what an adapter must do, as tests that any adapter can run.
//!
//! Each function checks one aspect of one clause of [`foster::runtime`] and carries the clause's number in its name. It
//! panics if the clause is broken, and if nothing happens for ten seconds; no clause waits longer for the runtime,
//! whatever is broken. They are plain functions, to be called from a `#[test]`; the macro
//! [`contract!`](crate::contract!) makes one test of each.
//!
//! The thread that calls them is foreign to the runtime, and they block it. So the runtime must have threads of its own
//! that drive it; see [`Host`].
//!
//! Jobs, which only the core can make (R1–R4, R9–R11), are made with a nursery; the timers, the clock and the blocking
//! threads (R5–R8) are asked directly.
//!
//! How late something comes is not tested, as long as it is less than those ten seconds: neither a timer, which R6 wants
//! as soon as the runtime can, nor the turn of a job (R11).

#![expect(clippy::missing_panics_doc, reason = "panicking is how each of these functions reports")]

use std::any::TypeId;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::hint::spin_loop;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use foster::runtime::{Runtime, Timer, capability, host_clock, root};
use foster::{Instant, Nursery};

use crate::groups::probe::caught;

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
            r9_poll_uses_up_its_budget
            r9_job_without_budget_is_woken_and_has_a_new_one
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
    /// the runtime has dropped its jobs and its threads have ended. If a clause has failed, it is not called: a runtime
    /// that is broken may never come to its end.
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
            if thread::panicking() {
                // To drop it would tear the runtime down as well, if it owns that.
                mem::forget(teardown);
            } else {
                teardown();
            }
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
            drop(polled.send(cx.waker().clone()));
            if polls < POLLS { Poll::Pending } else { Poll::Ready(()) }
        }));
        for _ in 0..POLLS {
            comes(&receiver, "a job that was woken was not polled").wake();
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
    let in_job = Arc::new(());
    let job = Arc::downgrade(&in_job);
    let (first_poll, receiver) = mpsc::channel();
    in_nursery(runtime, async |n| {
        let (inside, mut polls) = (AtomicBool::new(false), 0);
        n.spawn(poll_fn(move |cx| {
            let _in_job = &in_job;
            assert!(!inside.swap(true, Ordering::SeqCst), "two threads poll the job");
            if polls == 0 {
                drop(first_poll.send(cx.waker().clone()));
            }
            polls += 1;
            for _ in 0..1000 {
                spin_loop();
            }
            inside.store(false, Ordering::SeqCst);
            if polls < POLLS { Poll::Pending } else { Poll::Ready(()) }
        }));
        let waker = comes(&receiver, "the job was not polled");
        thread::scope(|scope| {
            for _ in 0..2 {
                // Over as soon as the job is gone, be it that it has panicked.
                scope.spawn(|| {
                    comes_true(|| {
                        waker.wake_by_ref();
                        job.strong_count() == 0
                    })
                });
            }
        });
        assert_eq!(job.strong_count(), 0, "the job was woken again and again, and not polled again");
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

/// R5: a clock that is the host's counts from the one origin, and converts without loss, to what the host shows; a virtual
/// one converts nothing.
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
    assert_eq!(host_clock::from_std(on_host), now, "it counts from an origin of its own");
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
        bell.wait("a timer in the past woke nobody");
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
    assert_ne!(receive(&receiver), thread::current().id(), "the job ran on the thread that called `blocking`");
}

/// R8: a job that blocks does not keep the next one from running.
pub fn r8_blocking_jobs_run_side_by_side(runtime: &Arc<dyn Runtime>) {
    let (met, receiver) = mpsc::channel();
    let (to_second, from_first) = mpsc::channel();
    let (to_first, from_second) = mpsc::channel();
    for (to_other, from_other) in [(to_second, from_second), (to_first, from_first)] {
        let met = met.clone();
        start_blocking(runtime, move || {
            send(&to_other);
            if from_other.recv_timeout(LIMIT).is_ok() {
                send(&met);
            }
        });
    }
    for _ in 0..2 {
        comes(&receiver, "two blocking jobs did not run at the same time");
    }
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

/// R9: what a job may do in one poll has an end, which `should_yield` tells.
pub fn r9_poll_uses_up_its_budget(runtime: &Arc<dyn Runtime>) {
    in_nursery(runtime, async |n| {
        let runtime = Arc::clone(runtime);
        n.spawn(poll_fn(move |cx| {
            assert!(!runtime.should_yield(), "a poll begins without budget");
            use_up_budget(&*runtime, cx);
            assert!(runtime.should_yield(), "the budget is used up, and `should_yield` does not say so");
            assert!(runtime.poll_budget(cx).is_pending(), "the budget was used up, and there is more of it");
            Poll::Ready(())
        }));
    });
}

/// R9: a job that has used up its budget is woken, by nobody but the runtime, and has a new one in its next poll.
pub fn r9_job_without_budget_is_woken_and_has_a_new_one(runtime: &Arc<dyn Runtime>) {
    const POLLS: usize = 10;
    let (polled, receiver) = mpsc::channel();
    in_nursery(runtime, async |n| {
        let runtime = Arc::clone(runtime);
        let mut polls = 0;
        n.spawn(poll_fn(move |cx| {
            assert!(!runtime.should_yield(), "a poll begins without budget");
            assert!(use_up_budget(&*runtime, cx) > 0, "a poll has no budget");
            polls += 1;
            send(&polled);
            if polls < POLLS { Poll::Pending } else { Poll::Ready(()) }
        }));
        for _ in 0..POLLS {
            comes(&receiver, "a job that has used up its budget was not polled again");
        }
    });
}

/// Takes units from the budget of the job that is being polled until nothing is left; returns how many there were.
fn use_up_budget(runtime: &dyn Runtime, cx: &mut Context<'_>) -> usize {
    const MANY: usize = 1_000_000;
    let units = (0..MANY).take_while(|_| runtime.poll_budget(cx).is_ready()).count();
    assert!(units < MANY, "the budget of a poll has no end");
    units
}

/// R11: jobs take turns, whichever was spawned first, and however many tasks are ready in one tree; so a busy tree
/// starves no other.
pub fn r11_busy_tree_starves_no_other(runtime: &Arc<dyn Runtime>) {
    const BUSY: usize = 100;
    const TURNS: usize = 100;
    let (served, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (all_served, receiver) = mpsc::channel();
    let job = || {
        let (served, over, all_served) = (Arc::clone(&served), Arc::clone(&over), all_served.clone());
        async move {
            for _ in 0..TURNS {
                foster::yield_now().await;
            }
            if served.fetch_add(1, Ordering::SeqCst) + 1 == BUSY + 2 {
                send(&all_served);
            }
            // None makes room for another by its end: an executor that prefers some jobs never comes to the rest.
            while !over.load(Ordering::SeqCst) {
                foster::yield_now().await;
            }
        }
    };
    in_nursery(runtime, async |n| {
        let busy = tree(runtime, async |n| (0..BUSY).for_each(|_| drop(n.spawn(job()))));
        let mut busy = pin!(busy);
        // One before them all, and one after.
        n.spawn(job());
        let goes_on = poll_fn(|cx| Poll::Ready(busy.as_mut().poll(cx).is_pending())).await;
        assert!(goes_on, "the busy tree goes on until it is told");
        n.spawn(job());
        let in_time = receiver.recv_timeout(LIMIT).is_ok();
        over.store(true, Ordering::SeqCst);
        let served = served.load(Ordering::SeqCst);
        assert!(in_time, "{} jobs were starved by {served} others", BUSY + 2 - served);
        busy.await;
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
    start_blocking(runtime, move || {
        wait.wait(&mut |cx| {
            // Nobody looks on any more when it is there.
            drop(looked.send(cx.waker().clone()));
            if until.load(Ordering::SeqCst) < WAKES { Poll::Pending } else { Poll::Ready(()) }
        });
        send(&ended);
    });
    in_nursery(runtime, async |n| {
        n.spawn(async move {
            while ready.load(Ordering::SeqCst) < WAKES {
                let waker = comes(&seen, "a waiting thread that was woken did not look");
                ready.fetch_add(1, Ordering::SeqCst);
                waker.wake();
                foster::yield_now().await;
            }
        });
    });
    comes(&receiver, "a thread goes on to wait for what is there");
}

/// R13: a blocking job that asks again and again sees an instant come.
pub fn r13_time_passes_for_a_job_that_asks(runtime: &Arc<dyn Runtime>) {
    let (ended, receiver) = mpsc::channel();
    let clock = Arc::clone(runtime);
    let until = runtime.now() + Duration::from_millis(20);
    start_blocking(runtime, move || {
        let came = comes_true(|| {
            clock.give_way();
            clock.now() >= until
        });
        if came {
            send(&ended);
        }
    });
    comes(&receiver, "the instant did not come for a job that asks");
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

/// Runs the nursery to its end on the calling thread, its children on the runtime. A panic of the body comes out at
/// once: what the children would have to be polled for may be what has failed.
fn in_nursery<T, F, Fut>(runtime: &Arc<dyn Runtime>, body: F) -> T
where
    F: FnOnce(Scope) -> Fut,
    Fut: Future<Output = T>,
{
    let (bell, waker) = Bell::new();
    let panic = Cell::new(None);
    let mut tree = pin!(tree(runtime, async |n| match caught(body(n)).await {
        Ok(value) => value,
        Err(payload) => {
            panic.set(Some(payload));
            pending().await
        }
    }));
    loop {
        if let Poll::Ready(value) = tree.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        if let Some(payload) = panic.take() {
            resume_unwind(payload);
        }
        bell.wait("a nursery did not end: a job of it was not polled, or its end was not told");
    }
}

/// Starts a blocking job, by a call on a thread of its own: that thread is blocked if the runtime makes the call wait
/// for the job (R8).
fn start_blocking(runtime: &Arc<dyn Runtime>, work: impl FnOnce() + Send + 'static) {
    let (started, receiver) = mpsc::channel();
    let runtime = Arc::clone(runtime);
    thread::spawn(move || drop(started.send(runtime.blocking(Box::new(work)))));
    comes(&receiver, "`blocking` did not return while its job ran").expect("a thread can be had");
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// How long a test waits for what must happen. A test that passes never waits for it.
const LIMIT: Duration = Duration::from_secs(10);

/// Tells the test, if that has not failed meanwhile.
fn send(sender: &mpsc::Sender<()>) {
    let _ = sender.send(());
}

#[track_caller]
fn receive<T>(receiver: &Receiver<T>) -> T {
    comes(receiver, "nothing came")
}

/// Receives what has to come, or panics with what is missing.
#[track_caller]
fn comes<T>(receiver: &Receiver<T>, missing: &str) -> T {
    let received = receiver.recv_timeout(LIMIT);
    received.unwrap_or_else(|error| panic!("{missing} within {LIMIT:?}: {error}"))
}

/// Asks again and again whether something is true, and returns whether it has become true within the limit.
#[expect(clippy::disallowed_methods, reason = "the clock of the runtime may be what is broken")]
fn comes_true(mut is_true: impl FnMut() -> bool) -> bool {
    let begin = std::time::Instant::now();
    while !is_true() {
        if begin.elapsed() > LIMIT {
            return false;
        }
        thread::yield_now();
    }
    true
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

    /// Waits until it has rung since the last time, or panics with what is missing.
    #[track_caller]
    fn wait(&self, missing: &str) {
        let (mut rang, timeout) = self
            .condvar
            .wait_timeout_while(lock(&self.rang), LIMIT, |rang| !*rang)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{missing} within {LIMIT:?}");
        *rang = false;
    }

    /// Waits until it rings with the clock at the instant or later.
    #[track_caller]
    fn wait_for(&self, runtime: &Arc<dyn Runtime>, at: Instant) {
        loop {
            self.wait("a timer woke nobody");
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
