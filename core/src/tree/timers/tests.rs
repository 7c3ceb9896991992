//! On a clock that a test puts forward, with a host's timer that shows for what it is armed.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::{Sleeper, TimerKey};
use crate::runtime::{BlockingError, Job, Runtime, Timer, Work, root};
use crate::tree::node::WaitingCode;
use crate::tree::shared::Target;
use crate::tree::{Tree, current};
use crate::{CancelScope, Instant, sleep_until};

/// A clock, and the timer of the host.
#[derive(Clone, Default)]
pub(in crate::tree) struct Clock(Arc<ClockState>);

#[derive(Default)]
struct ClockState {
    now: AtomicU64,
    armed: Mutex<Option<(Instant, Waker)>>,
}

const fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

impl Clock {
    fn now(&self) -> Instant {
        at(self.0.now.load(Ordering::SeqCst))
    }

    /// Puts the clock forward; the host's timer does not fire.
    fn is(&self, nanos: u64) {
        self.0.now.store(nanos, Ordering::SeqCst);
    }

    fn armed(&self) -> Option<Instant> {
        self.0.armed.lock().unwrap().as_ref().map(|(at, _)| *at)
    }

    /// Fires the host's timer, if it is armed for an instant that has come.
    fn fire(&self) {
        let due = self.0.armed.lock().unwrap().take_if(|(at, _)| *at <= self.now());
        if let Some((_, waker)) = due {
            waker.wake();
        }
    }

    /// Puts the clock forward, and fires.
    fn reaches(&self, nanos: u64) {
        self.is(nanos);
        self.fire();
    }

    fn tree(&self) -> Arc<Tree> {
        Tree::new(Arc::new(self.clone()))
    }
}

impl Timer for Clock {
    fn arm(&mut self, at: Instant, waker: &Waker) {
        *self.0.armed.lock().unwrap() = Some((at, waker.clone()));
        // Inline, if the instant has come (R6).
        self.fire();
    }

    fn disarm(&mut self) {
        drop(self.0.armed.lock().unwrap().take());
    }
}

impl Runtime for Clock {
    fn name(&self) -> &'static str {
        "a clock"
    }

    fn spawn(&self, _: Job) {
        unreachable!("no task is spawned")
    }

    fn now(&self) -> Instant {
        Clock::now(self)
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(self.clone())
    }

    fn blocking(&self, _: Work) -> Result<(), BlockingError> {
        unreachable!("nothing blocks")
    }
}

/// Calls a closure when it is woken.
struct Calls<F>(F);

impl<F: Fn() + Send + Sync> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn calls(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Calls(f)))
}

/// A waker that counts.
fn counts() -> (Arc<AtomicUsize>, Waker) {
    let count = Arc::<AtomicUsize>::default();
    let woken = count.clone();
    (
        count,
        calls(move || {
            woken.fetch_add(1, Ordering::SeqCst);
        }),
    )
}

fn insert(tree: &Arc<Tree>, nanos: u64, waker: &Waker) -> TimerKey {
    let (key, arms) =
        tree.timers.insert(at(nanos), |key| (Target::Sleep(Sleeper::new(waker, WaitingCode::default())), key));
    if arms {
        tree.timers.arm();
    }
    key
}

/// Of a timer that is removed nothing is left: no entry, and nothing to look for once its instant has passed.
#[test]
fn a_timer_that_came_and_went_leaves_nothing() {
    let clock = Clock::default();
    let tree = clock.tree();
    let live: Vec<_> = (0..100).map(|nanos| insert(&tree, 5_000 + nanos, Waker::noop())).collect();
    for nanos in 0..10_000 {
        let key = insert(&tree, 10_000 - nanos, Waker::noop());
        assert!(tree.timers.next.load() <= at(5_000.min(10_000 - nanos)));
        assert!(tree.timers.remove(key).is_some());
    }
    assert_eq!(tree.timers.queue.lock().entries.len(), 100);
    for key in live {
        assert!(tree.timers.remove(key).is_some());
        assert!(tree.timers.remove(key).is_none());
    }
    clock.is(10_000);
    tree.fire_due();
    assert_eq!(tree.timers.next.load(), Instant::NEVER);
}

/// L8, step by step: the earliest timer was found due by the clock, the one after it was removed, then the host's timer
/// fires. The next one is armed.
#[test]
fn a_timer_that_was_removed_holds_up_no_other() {
    let clock = Clock::default();
    let tree = clock.tree();
    let (count, waker) = counts();
    insert(&tree, 3_000, &waker);
    insert(&tree, 10, &waker);
    let removed = insert(&tree, 40, &waker);
    clock.is(12);
    tree.fire_due();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    drop(tree.timers.remove(removed));
    clock.fire();
    clock.reaches(15);
    insert(&tree, 115, &waker);
    assert!(clock.armed().is_some_and(|armed| armed <= at(115)), "armed for {:?}", clock.armed());
    clock.reaches(115);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

/// Another way in which one was lost: the earliest is removed after a later one was inserted, and before the host's
/// timer is armed.
#[test]
fn a_timer_that_was_removed_before_it_was_armed_leaves_no_other_unarmed() {
    let clock = Clock::default();
    let tree = clock.tree();
    let (count, waker) = counts();
    let sleeper = || Target::Sleep(Sleeper::new(&waker, WaitingCode::default()));
    let (early, arms) = tree.timers.insert(at(10), |key| (sleeper(), key));
    assert!(arms);
    // Another thread comes here, before the first one has called `arm`; the first removes its timer, and never does.
    let (_, arms) = tree.timers.insert(at(40), |key| (sleeper(), key));
    drop(tree.timers.remove(early));
    assert!(arms, "nobody else will arm the host's timer");
    tree.timers.arm();
    assert_eq!(clock.armed(), Some(at(40)));
    clock.reaches(40);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// A host that fires inline, in the call that arms it (R6): timers that are inserted by the wakers called there are
/// armed.
#[test]
fn a_timer_inserted_by_a_waker_that_the_host_calls_inline_is_armed() {
    let clock = Clock::default();
    let tree = clock.tree();
    let (count, waker) = counts();
    let weak = Arc::downgrade(&tree);
    let inserts = calls(move || {
        insert(&weak.upgrade().unwrap(), 50, &waker);
    });
    clock.is(20);
    insert(&tree, 10, &inserts);
    assert_eq!(clock.armed(), Some(at(50)));
    clock.reaches(50);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// The host wakes for nothing (R6), for an instant that is not the one it is armed for: it is armed all the same.
#[test]
fn a_host_that_wakes_for_nothing_is_armed_afterwards() {
    let clock = Clock::default();
    let tree = clock.tree();
    let (count, waker) = counts();
    insert(&tree, 10, &waker);
    let (_, alarm) = clock.0.armed.lock().unwrap().take().unwrap();
    alarm.wake();
    assert_eq!(clock.armed(), Some(at(10)));
    clock.reaches(10);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(clock.armed(), None);
}

/// The host's timer is given back when the tree has ended, also if that happens while a thread arms it.
#[test]
fn the_timer_of_the_host_goes_with_the_tree() {
    let clock = Clock::default();
    let tree = clock.tree();
    insert(&tree, 10, Waker::noop());
    tree.timers.disarm();
    assert_eq!(Arc::strong_count(&clock.0), 2, "the test's and the runtime's");

    let clock = Clock::default();
    let tree = clock.tree();
    let ends = tree.clone();
    insert(&tree, 0, &calls(move || ends.timers.disarm()));
    assert_eq!(Arc::strong_count(&clock.0), 2, "the test's and the runtime's");
}

/// L32, L36: a waker that panics takes nothing from the others, nor from those that are due later.
#[test]
fn a_waker_that_panics_holds_up_no_other() {
    let clock = Clock::default();
    let tree = clock.tree();
    let (count, waker) = counts();
    let panics = calls(|| panic!("a waker panics, as the test wants"));
    insert(&tree, 9, &waker);
    insert(&tree, 10, &panics);
    insert(&tree, 10, &waker);
    insert(&tree, 20, &waker);
    clock.reaches(10);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    clock.reaches(20);
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

/// Runs `body` as the root of a tree, in one poll.
fn in_a_tree(clock: &Clock, body: impl Future<Output = ()>) {
    let root = pin!(root(Arc::new(clock.clone()), body));
    assert!(root.poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

/// Polls with `waker`.
fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// L14: a sleep that was not due at the request is not given to cancelled code; to other code it is, and so whoever has
/// polled it is woken.
#[test]
fn a_sleep_that_is_due_after_the_request_is_not_given_to_cancelled_code() {
    let clock = Clock::default();
    let time = clock.clone();
    in_a_tree(&clock, async move {
        let (count, waker) = counts();
        let mut sleep = sleep_until(at(10));
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            assert!(poll(&mut sleep, &waker).is_pending());
            handle.cancel("before it is due");
            time.reaches(10);
            assert_eq!(count.load(Ordering::SeqCst), 1, "it may be polled in other code");
            assert!(poll(&mut sleep, &waker).is_pending());
            std::future::pending::<()>().await;
        });
        assert!(outcome.await.is_err());
        assert!(poll(&mut sleep, &waker).is_ready());
    });
}

/// L14: a sleep that ended before the request was given; the code may take it afterwards.
#[test]
fn a_sleep_that_ended_before_the_request_is_over_in_cancelled_code() {
    let clock = Clock::default();
    let time = clock.clone();
    in_a_tree(&clock, async move {
        let (count, waker) = counts();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            let mut sleep = sleep_until(at(10));
            assert!(poll(&mut sleep, &waker).is_pending());
            time.reaches(10);
            assert_eq!(count.load(Ordering::SeqCst), 1);
            handle.cancel("after it was due");
            assert!(poll(&mut sleep, &waker).is_ready());
        });
        assert!(outcome.await.is_ok());
    });
}

/// The scope that counts is the one of the code that polled last.
#[test]
fn a_sleep_that_moves_out_of_cancelled_code_ends() {
    let clock = Clock::default();
    let time = clock.clone();
    in_a_tree(&clock, async move {
        let (inside, outside) = (counts(), counts());
        let mut sleep = sleep_until(at(10));
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            assert!(poll(&mut sleep, &inside.1).is_pending());
            handle.cancel("it moves");
            std::future::pending::<()>().await;
        });
        assert!(outcome.await.is_err());
        assert!(poll(&mut sleep, &outside.1).is_pending());
        time.reaches(10);
        assert_eq!((inside.0.load(Ordering::SeqCst), outside.0.load(Ordering::SeqCst)), (0, 1));
        assert!(poll(&mut sleep, &outside.1).is_ready());
    });
}

/// Of entries that are due together the sleeps end before anything is marked. Their wakers are called after that, when
/// it is known who is cancelled.
#[test]
fn a_sleep_ends_before_the_deadline_of_the_same_instant() {
    let clock = Clock::default();
    let time = clock.clone();
    in_a_tree(&clock, async move {
        let scope = CancelScope::new().named("a node").deadline_at(at(10));
        let outcome = scope.run(async {
            let node = current::try_scope().expect("in a tree");
            let seen = Arc::new(AtomicUsize::new(0));
            let (woken, flagged) = (seen.clone(), node.clone());
            let waker = calls(move || {
                let cancelled = flagged.flagged(crate::tree::flags::CANCELLED);
                woken.store(if cancelled { 2 } else { 1 }, Ordering::SeqCst);
            });
            // After the deadline, by its number.
            let mut sleep = sleep_until(at(10));
            assert!(poll(&mut sleep, &waker).is_pending());
            time.reaches(10);
            assert_eq!(seen.load(Ordering::SeqCst), 2, "woken after the request");
            assert!(poll(&mut sleep, &waker).is_ready());
        });
        assert!(outcome.await.is_ok());
    });
}

/// A sleep that is dropped at any stage leaves nothing.
#[test]
fn a_dropped_sleep_leaves_nothing() {
    let clock = Clock::default();
    let time = clock.clone();
    in_a_tree(&clock, async move {
        let tree = current::tree().unwrap();
        for fires in [false, true] {
            let mut sleep = sleep_until(time.now() + std::time::Duration::from_nanos(10));
            assert!(poll(&mut sleep, Waker::noop()).is_pending());
            if fires {
                time.reaches(time.now().as_nanos() + 10);
            }
            drop(sleep);
            let queue = tree.timers.queue.lock();
            assert!(queue.entries.is_empty() && queue.missed.is_empty());
        }
    });
}

/// Nor does one that was not given to cancelled code, and was not polled since.
#[test]
fn a_missed_sleep_that_is_dropped_leaves_nothing() {
    let clock = Clock::default();
    let time = clock.clone();
    in_a_tree(&clock, async move {
        let tree = current::tree().unwrap();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(async {
            let mut sleep = sleep_until(at(10));
            assert!(poll(&mut sleep, Waker::noop()).is_pending());
            handle.cancel("before it is due");
            time.reaches(10);
            assert_eq!(tree.timers.queue.lock().missed.len(), 1);
            drop(sleep);
            let queue = tree.timers.queue.lock();
            assert!(queue.entries.is_empty() && queue.missed.is_empty());
        });
        assert!(outcome.await.is_ok());
    });
}
