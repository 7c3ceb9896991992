//! The timers of a tree, on a clock that passes by itself: a thread of the model puts it forward to what the host's
//! timer is armed for, and wakes. A timer for which nobody has armed the host is a deadlock, once nothing else is left
//! to come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Condvar, Mutex as LockedValue};
use shuttle::thread;

use super::{Count, Threads, check, ended};
use crate::reason::{Reason, ReasonKind};
use crate::runtime::{BlockingError, Job, Runtime, Timer, Work, root};
use crate::sync::Event;
use crate::tree::flags::CANCELLED;
use crate::tree::node::WaitingCode;
use crate::tree::shared::Target;
use crate::tree::timers::{Sleeper, TimerKey};
use crate::tree::{Tree, current};
use crate::{CancelScope, Instant, Nursery, move_on_at, nursery, sleep, sleep_until, yield_now};

const fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// The host's clock and its timer.
#[derive(Default)]
struct Time {
    /// To look at it is no step of the model.
    now: AtomicU64,
    state: LockedValue<Armed>,
    changed: Condvar,
}

#[derive(Default)]
struct Armed {
    timer: Option<(Instant, Waker)>,
    stops: bool,
}

impl Time {
    fn now(&self) -> Instant {
        at(self.now.load(Ordering::SeqCst))
    }

    fn reaches(&self, at: Instant) {
        self.now.fetch_max(at.as_nanos(), Ordering::SeqCst);
    }

    fn armed(&self) -> Option<Instant> {
        self.state.lock().unwrap().timer.as_ref().map(|(at, _)| *at)
    }

    /// Puts the clock forward to the time that the timer is armed for, and fires it. Returns whether it was armed.
    fn fires(&self) -> bool {
        let Some((at, waker)) = self.state.lock().unwrap().timer.take() else { return false };
        self.reaches(at);
        waker.wake();
        true
    }

    /// Lets time pass until somebody stops it.
    fn passes(&self) {
        loop {
            let mut state = self.state.lock().unwrap();
            while state.timer.is_none() && !state.stops {
                state = self.changed.wait(state).unwrap();
            }
            if state.stops {
                return;
            }
            drop(state);
            self.fires();
        }
    }

    fn stop(&self) {
        self.state.lock().unwrap().stops = true;
        self.changed.notify_all();
    }
}

/// The host's timer.
struct HostTimer(Arc<Time>);

impl Timer for HostTimer {
    fn arm(&mut self, at: Instant, waker: &Waker) {
        let waker = waker.clone();
        if at <= self.0.now() {
            // Instead of what was armed before, and inline (R6).
            self.disarm();
            return waker.wake();
        }
        let old = self.0.state.lock().unwrap().timer.replace((at, waker));
        self.0.changed.notify_all();
        drop(old);
    }

    fn disarm(&mut self) {
        let old = self.0.state.lock().unwrap().timer.take();
        drop(old);
    }
}

/// A runtime with that clock.
struct Host {
    threads: Arc<Threads>,
    time: Arc<Time>,
}

impl Runtime for Host {
    fn name(&self) -> &'static str {
        "shuttle, with a clock that passes"
    }

    fn spawn(&self, job: Job) {
        self.threads.spawn(job);
    }

    fn now(&self) -> Instant {
        self.time.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(HostTimer(self.time.clone()))
    }

    fn blocking(&self, _: Work) -> Result<(), BlockingError> {
        unreachable!("no model blocks")
    }
}

fn host() -> (Arc<Time>, Arc<Host>) {
    let time = Arc::<Time>::default();
    (time.clone(), Arc::new(Host { threads: Threads::new(), time }))
}

/// Wakes nobody, and counts.
struct Counts(Count);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.add();
    }
}

/// An entry of the model.
struct Entry {
    at: Instant,
    key: TimerKey,
    fired: Count,
}

fn insert(tree: &Arc<Tree>, nanos: u64) -> Entry {
    let fired = Count::default();
    let waker = Waker::from(Arc::new(Counts(fired.clone())));
    let (key, arms) =
        tree.timers.insert(at(nanos), |key| (Target::Sleep(Sleeper::new(&waker, WaitingCode::default())), key));
    if arms {
        tree.timers.arm();
    }
    Entry { at: at(nanos), key, fired }
}

/// Threads insert, move and remove timers, another one looks what is due, and one sleeps, while time passes. When all
/// of them have finished, the host's timer is armed for the earliest timer that is left, or for an earlier instant; and
/// when time has passed on, each that is left has fired once, and none that was removed in time has fired at all.
///
/// Fails with `return;` after `queue.host = Some(host);` in `Timers::arm`; without `tree.timers.arm();` in the alarm;
/// and without `tree.timers.queue.lock().armed = Instant::NEVER;`.
#[test]
fn each_timer_fires_whatever_others_come_and_go() {
    check(|| {
        let (time, host) = host();
        let tree = Tree::new(host);
        let clock = thread::spawn({
            let time = time.clone();
            move || time.passes()
        });
        let left = Arc::new(Mutex::new(Vec::new()));
        let movers = [0, 1].map(|_| {
            let (tree, left) = (tree.clone(), left.clone());
            thread::spawn(move || {
                let instant = || thread_rng().gen_range(1..60);
                let mut kept = insert(&tree, instant());
                for _ in 0..2 {
                    let other = insert(&tree, instant());
                    // Moved, or removed: some of them before they fire.
                    let target = tree.timers.remove(kept.key);
                    assert!(target.is_none() || kept.fired.get() == 0, "removed, and fired");
                    kept = other;
                }
                left.lock().unwrap().push(kept);
            })
        });
        let looks = thread::spawn({
            let (tree, time) = (tree.clone(), time.clone());
            move || {
                // By the clock alone; the host's timer does not know.
                time.reaches(at(thread_rng().gen_range(1..30)));
                tree.fire_due();
            }
        });
        let (sleeping, time_of_sleep) = (tree.clone(), time.clone());
        let sleeps = thread::spawn(move || {
            let tree = sleeping;
            let until = at(thread_rng().gen_range(1..80));
            let mut key = None;
            block_on(std::future::poll_fn(|cx| {
                let key = *key.get_or_insert_with(|| {
                    let (key, arms) = tree
                        .timers
                        .insert(until, |key| (Target::Sleep(Sleeper::new(cx.waker(), WaitingCode::default())), key));
                    if arms {
                        tree.timers.arm();
                    }
                    key
                });
                let sleeper = Sleeper::new(cx.waker(), WaitingCode::default());
                tree.timers.poll_sleep(key, sleeper, WaitingCode::is_cancelled)
            }));
            assert!(time_of_sleep.now() >= until);
        });
        for mover in movers {
            mover.join().unwrap();
        }
        looks.join().unwrap();
        sleeps.join().unwrap();
        time.stop();
        clock.join().unwrap();

        let left = std::mem::take(&mut *left.lock().unwrap());
        let earliest = left.iter().filter(|entry| entry.fired.get() == 0).map(|entry| entry.at).min();
        if let Some(earliest) = earliest {
            let armed = time.armed();
            assert!(armed.is_some_and(|armed| armed <= earliest), "armed for {armed:?}, not for {earliest:?}");
        }
        while time.fires() {}
        assert!(left.iter().all(|entry| entry.fired.get() == 1), "each fires once");
    });
}

/// L8, L11, L14: a deadline passes, and then the end of a sleep in it, before anybody looks at the clock; then several threads
/// look at once. The sleep has not ended for any of them, and for each that has looked the code is cancelled.
///
/// Fails without `let _alone = self.marking.lock();` in `Timers::take_due`, without `until = key.at;` there, and if
/// `next` is stored in front of `if first == due.marked.len()`.
#[test]
fn a_sleep_that_was_due_after_a_deadline_does_not_end() {
    check(|| {
        let (time, host) = host();
        let lookers = Arc::new(Mutex::new(Vec::new()));
        block_on(root(host.clone(), async {
            let outcome = move_on_at(at(10), async {
                let (tree, node) = (current::tree().unwrap(), current::try_scope().unwrap());
                // The second one is not due when they look.
                let mut sleep = std::pin::pin!(sleep_until(at([20, 40][thread_rng().gen_range(0..2)])));
                let polled = std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx)));
                assert!(polled.await.is_pending());
                let looker = |_| {
                    let (time, tree, node) = (time.clone(), tree.clone(), node.clone());
                    thread::spawn(move || {
                        time.reaches(at(30));
                        tree.fire_due();
                        assert!(node.flagged(CANCELLED), "it has looked");
                    })
                };
                lookers.lock().unwrap().extend([0, 1].map(looker));
                sleep.await;
            });
            assert!(outcome.await.is_none(), "the sleep has ended");
        }));
        for looker in std::mem::take(&mut *lookers.lock().unwrap()) {
            looker.join().unwrap();
        }
        let threads = host.threads.clone();
        drop(host);
        ended(&threads);
    });
}

/// L8, L14: a scope with a deadline is asked to stop for another reason; then the deadline passes and the end of a sleep
/// further in, and another thread looks. The sleep has not ended, and once that thread has looked, the code is cancelled.
///
/// Fails without the lock of `marking` in `NodeRef::mark`.
#[test]
fn a_request_stands_for_the_deadline_that_it_replaces() {
    check(|| {
        let (time, host) = host();
        let threads = Arc::new(Mutex::new(Vec::new()));
        block_on(root(host.clone(), async {
            let outcome = move_on_at(at(10), async {
                let limit = current::try_scope().unwrap();
                let inside = CancelScope::new().run(async {
                    let (tree, node) = (current::tree().unwrap(), current::try_scope().unwrap());
                    let mut sleep = std::pin::pin!(sleep_until(at(20)));
                    let polled = std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx)));
                    assert!(polled.await.is_pending());
                    let requests = thread::spawn(move || {
                        limit.request(Reason::new(ReasonKind::Explicit), None);
                    });
                    let looks = thread::spawn(move || {
                        time.reaches(at(30));
                        tree.fire_due();
                        assert!(node.flagged(CANCELLED), "it has looked");
                    });
                    threads.lock().unwrap().extend([requests, looks]);
                    sleep.await;
                });
                inside.await
            });
            assert!(outcome.await.is_none(), "the sleep has ended");
        }));
        for thread in std::mem::take(&mut *threads.lock().unwrap()) {
            thread.join().unwrap();
        }
        let threads = host.threads.clone();
        drop(host);
        ended(&threads);
    });
}

/// L11, L12: the sleep of a nursery's body ends at the deadline around. The body has its poll, in which it gives something to
/// a child by foreign means. The child is blocked, and does not see that: also if the thread that fires has not told all yet.
///
/// Fails without `if node.flagged(CANCELLED) && !was_cancelled` in `poll_open`.
#[test]
fn blocked_code_is_not_polled_before_all_are_told() {
    check(|| {
        let (time, host) = host();
        let looks = Arc::new(Mutex::new(None));
        let waits = Arc::new(Mutex::new(None::<Waker>));
        let given = Arc::new(AtomicU64::new(0));
        let taken = given.clone();
        let outcome = block_on(root(host.clone(), async {
            let body = nursery(async |n: Nursery| {
                let (waits_too, given_too) = (waits.clone(), given.clone());
                let begun = Arc::new(Event::new());
                let begins = begun.clone();
                n.spawn(async move {
                    begins.set();
                    let taken = std::future::poll_fn(|cx| {
                        *waits_too.lock().unwrap() = Some(cx.waker().clone());
                        if given_too.load(Ordering::SeqCst) == 1 { Poll::Ready(()) } else { Poll::Pending }
                    });
                    taken.await;
                    given_too.store(2, Ordering::SeqCst);
                });
                begun.wait().await;
                let tree = current::tree().unwrap();
                *looks.lock().unwrap() = Some(thread::spawn(move || {
                    time.reaches(at(10));
                    tree.fire_due();
                }));
                sleep_until(at(10)).await;
                given.store(1, Ordering::SeqCst);
                let waker = waits.lock().unwrap().take();
                waker.into_iter().for_each(Waker::wake);
            });
            move_on_at(at(10), body).await
        }));
        assert!(outcome.is_none_or(|result| result.is_ok()));
        assert_ne!(taken.load(Ordering::SeqCst), 2, "blocked code has gone on");
        let looks = looks.lock().unwrap().take();
        looks.into_iter().for_each(|thread: thread::JoinHandle<()>| thread.join().unwrap());
        drop(waits.lock().unwrap().take());
        let threads = host.threads.clone();
        drop(host);
        ended(&threads);
    });
}

/// L8: a child sleeps again and again, in a nursery with a deadline; both on one clock that passes.
///
/// Fails without `tree.timers.queue.lock().armed = Instant::NEVER;` in the alarm.
#[test]
fn short_sleeps_in_a_deadline_end_with_it() {
    check(|| {
        let (time, host) = host();
        let clock = thread::spawn({
            let time = time.clone();
            move || time.passes()
        });
        block_on(root(host.clone(), async {
            for round in 1..3 {
                let body = nursery(async |n: Nursery| {
                    n.spawn(async {
                        loop {
                            sleep(std::time::Duration::from_nanos(6)).await;
                            yield_now().await;
                        }
                    });
                });
                let until = at(round * 20);
                let outcome: Option<Result<(), std::convert::Infallible>> = move_on_at(until, body).await;
                assert!(outcome.is_none());
                assert!(Instant::now() >= until);
            }
        }));
        time.stop();
        clock.join().unwrap();
        let threads = host.threads.clone();
        drop(host);
        ended(&threads);
    });
}
