//! The pumps on a host like tokio: its workers have a slot each for what was woken last, from which no other one takes it. So whatever
//! a pump relies on must not lie there behind a turn that takes long.

use std::cell::Cell as Local;
use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use shuttle::sync::{Condvar, Mutex as Lock};
use shuttle::thread::{self, JoinHandle};

use super::pumps::{Once, pumps, push, push_turn, ready, ready_for_turns};
use super::{Count, Late, check};
use crate::Instant;
use crate::observer::PrintOrphans;
use crate::runtime::{BlockingError, Job, Runtime, Timer, Work};
use crate::tree::node::NodeRef;
use crate::tree::{Tree, pump};

shuttle::thread_local! {
    static WORKER: Local<Option<usize>> = const { Local::new(None) };
}

struct Host {
    /// How many threads it says that it has.
    parallelism: NonZeroUsize,
    /// It wants its thread back, now and then.
    yields: bool,
    shared: Arc<Shared>,
}

struct Shared {
    state: Lock<State>,
    there: Condvar,
}

struct State {
    slots: Vec<Option<Arc<Task>>>,
    /// Of all workers, as they steal from one another.
    queue: VecDeque<Arc<Task>>,
    all: Vec<Arc<Task>>,
    stops: bool,
}

struct Task {
    job: Mutex<Option<Job>>,
    stage: Mutex<Stage>,
    shared: Arc<Shared>,
}

#[derive(PartialEq)]
enum Stage {
    Idle,
    Queued,
    Running,
    Woken,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let mut stage = self.stage.lock().unwrap();
        match *stage {
            Stage::Idle => *stage = Stage::Queued,
            Stage::Running => return *stage = Stage::Woken,
            Stage::Queued | Stage::Woken => return,
        }
        drop(stage);
        self.schedule(WORKER.with(Local::get));
    }
}

impl Task {
    /// To the slot of the worker that has woken it, or into the queue.
    fn schedule(self: &Arc<Self>, slot: Option<usize>) {
        let mut state = self.shared.state.lock().unwrap();
        let queued = match slot {
            Some(worker) => state.slots[worker].replace(self.clone()),
            None => Some(self.clone()),
        };
        state.queue.extend(queued);
        drop(state);
        self.shared.there.notify_all();
    }

    fn poll(self: &Arc<Self>) {
        *self.stage.lock().unwrap() = Stage::Running;
        let Some(mut job) = self.job.lock().unwrap().take() else { return };
        if Pin::new(&mut job).poll(&mut Context::from_waker(&Waker::from(self.clone()))).is_ready() {
            return;
        }
        *self.job.lock().unwrap() = Some(job);
        let mut stage = self.stage.lock().unwrap();
        let again = *stage == Stage::Woken;
        *stage = if again { Stage::Queued } else { Stage::Idle };
        drop(stage);
        if again {
            self.schedule(None);
        }
    }
}

impl Shared {
    fn work(&self, worker: usize) {
        WORKER.with(|me| me.set(Some(worker)));
        loop {
            let mut state = self.state.lock().unwrap();
            let task = loop {
                if let Some(task) = state.slots[worker].take().or_else(|| state.queue.pop_front()) {
                    break task;
                }
                if state.stops {
                    return;
                }
                state = self.there.wait(state).unwrap();
            };
            drop(state);
            task.poll();
        }
    }
}

impl Runtime for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    fn spawn(&self, job: Job) {
        let task = Task { job: Mutex::new(Some(job)), stage: Mutex::new(Stage::Queued), shared: self.shared.clone() };
        let task = Arc::new(task);
        self.shared.state.lock().unwrap().all.push(task.clone());
        task.schedule(WORKER.with(Local::get));
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(1)
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Late(Arc::default()))
    }

    fn blocking(&self, _: Work) -> Result<(), BlockingError> {
        unreachable!("no model blocks")
    }

    fn should_yield(&self) -> bool {
        use shuttle::rand::Rng;
        self.yields && shuttle::rand::thread_rng().gen_ratio(1, 3)
    }

    fn parallelism(&self) -> Option<NonZeroUsize> {
        Some(self.parallelism)
    }
}

/// Runs the tasks that `body` pushes. Nothing may be left of them, and few pumps were enough.
fn on_host(workers: usize, parallelism: usize, yields: bool, body: impl FnOnce(&Arc<Tree>)) {
    let state = State { slots: vec![None; workers], queue: VecDeque::new(), all: Vec::new(), stops: false };
    let shared = Arc::new(Shared { state: Lock::new(state), there: Condvar::new() });
    let parallelism = NonZeroUsize::new(parallelism).unwrap();
    let host = Arc::new(Host { parallelism, yields, shared: shared.clone() });
    let tree = Tree::new(host.clone(), Arc::new(PrintOrphans));
    let worker = |number| {
        let shared = shared.clone();
        thread::spawn(move || shared.work(number))
    };
    let threads: Vec<JoinHandle<()>> = (0..workers).map(worker).collect();
    body(&tree);
    pumps(&tree).end();
    shared.state.lock().unwrap().stops = true;
    shared.there.notify_all();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let made = std::mem::take(&mut shared.state.lock().unwrap().all);
    assert!(made.len() <= 3 * workers + 1, "{} pumps", made.len());
    drop((made, tree));
    assert_eq!(Arc::strong_count(&host), 1, "something of the tree is left");
}

/// A turn that takes long, until so much is done.
fn until(done: &Count, all: usize) {
    while done.get() < all {
        thread::yield_now();
    }
}

/// What a turn wakes may take long, and holds up nothing else that it has woken.
///
/// Fails if nobody is called for what a turn wakes.
#[test]
fn a_long_turn_holds_up_none_that_was_woken_with_it() {
    for (parallelism, yields) in [(2, false), (usize::MAX, true)] {
        for (many, long) in [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)] {
            check(move || {
                on_host(2, parallelism, yields, |tree| {
                    let (done, over) = (Count::default(), Once::default());
                    let (within, waited) = (tree.clone(), over.clone());
                    push_turn(tree, move || {
                        for number in 0..many {
                            let (done, over) = (done.clone(), over.clone());
                            push_turn(&within, move || {
                                if number == long {
                                    until(&done, many - 1);
                                } else {
                                    done.add();
                                }
                                over.turn();
                            });
                        }
                    });
                    waited.after(many);
                });
            });
        }
    }
}

/// What a turn wakes may take long, and does not hold up who has woken it.
///
/// Fails if a pump whose task has called another one goes on though more than one lies on its shelf, and if it does not know that it
/// has.
#[test]
fn a_long_turn_does_not_hold_up_who_has_woken_it() {
    for parallelism in [2, usize::MAX] {
        check(move || {
            on_host(2, parallelism, false, |tree| {
                let (second, over, has_begun) = (Count::default(), Once::default(), AtomicBool::new(false));
                let (within, ends) = (tree.clone(), over.clone());
                let task = ready_for_turns(tree, move |task| {
                    if has_begun.swap(true, Ordering::Relaxed) {
                        second.add();
                        return Poll::Ready(());
                    }
                    let (waited, ends) = (second.clone(), ends.clone());
                    push_turn(&within, move || {
                        until(&waited, 1);
                        ends.turn();
                    });
                    pump::wake_all(vec![task.clone()]);
                    Poll::Pending
                });
                pumps(tree).push(tree, task);
                over.after(1);
            });
        });
    }
}

/// A pump that was called in a turn may lie behind it: who is woken meanwhile by others does not wait for that one.
///
/// Fails if it is counted on.
#[test]
fn who_is_called_in_a_turn_is_not_counted_on() {
    for parallelism in [2, usize::MAX] {
        check(move || {
            on_host(2, parallelism, false, |tree| {
                let (began, over, other) = (Once::default(), Once::default(), Once::default());
                let (within, begins, ends, waited) = (tree.clone(), began.clone(), over.clone(), other.clone());
                push_turn(tree, move || {
                    let woken = ends.clone();
                    push_turn(&within, move || woken.turn());
                    begins.turn();
                    waited.after(1);
                    ends.turn();
                });
                began.after(1);
                push(tree, &other);
                over.after(2);
            });
        });
    }
}

/// A turn that has woken several, and takes long, holds up the last one at most.
///
/// Fails if a turn calls only one pump.
#[test]
fn a_turn_that_has_woken_several_holds_up_one() {
    check(|| {
        on_host(2, usize::MAX, false, |tree| {
            let (first, over) = (Once::default(), Once::default());
            let (within, woken, ends) = (tree.clone(), first.clone(), over.clone());
            push_turn(tree, move || {
                push(&within, &woken);
                push_turn(&within, || {});
                woken.after(1);
                ends.turn();
            });
            over.after(1);
        });
    });
}

/// A task that wakes two others in its turn, which do the same.
fn fan(tree: &Arc<Tree>, done: &Count, depth: usize) -> NodeRef {
    let (within, done) = (tree.clone(), done.clone());
    ready(tree, move || {
        if depth > 0 {
            for _ in 0..2 {
                pumps(&within).push(&within, fan(&within, &done, depth - 1));
            }
        }
        done.add();
    })
}

/// Long turns on all workers but one, each of which has woken one task; others come from everywhere, and from one another.
///
/// Fails if a pump does not give way that has called another one for what it has not begun.
#[test]
fn long_turns_hold_up_no_others() {
    for (workers, parallelism, yields) in [(2, 2, false), (2, usize::MAX, true), (3, 3, true), (3, usize::MAX, false)] {
        check(move || {
            on_host(workers, parallelism, yields, |tree| {
                let (done, over) = (Count::default(), Once::default());
                let mut tasks = vec![fan(tree, &done, 0), fan(tree, &done, 0), fan(tree, &done, 2)];
                let all = 2 + 7 + 3;
                for number in 0..workers - 1 {
                    let (within, done, over) = (tree.clone(), done.clone(), over.clone());
                    let long = ready(tree, move || {
                        let woken = over.clone();
                        push_turn(&within, move || woken.turn());
                        until(&done, all);
                        over.turn();
                    });
                    tasks.insert(number, long);
                }
                let pusher = || {
                    let (tree, done) = (tree.clone(), done.clone());
                    thread::spawn(move || push_turn(&tree, move || done.add()))
                };
                let others = [pusher(), pusher(), pusher()];
                pumps(tree).push_all(tree, tasks);
                over.after(2 * (workers - 1));
                others.into_iter().for_each(|other| other.join().unwrap());
            });
        });
    }
}

/// The tasks that a pump has taken with one that takes long get their turns though the queue is never empty.
///
/// Fails if a batch is only filled from a shelf where the queue is empty.
#[test]
fn no_shelf_is_forgotten() {
    check(|| {
        on_host(2, 2, false, |tree| {
            let (done, over) = (Count::default(), Once::default());
            let (waited, ends) = (done.clone(), over.clone());
            let mut tasks = vec![ready(tree, move || {
                until(&waited, 2);
                ends.turn();
            })];
            for _ in 0..2 {
                tasks.push(fan(tree, &done, 0));
            }
            for _ in 0..3 {
                tasks.push(busy(tree, &done));
            }
            pumps(tree).push_all(tree, tasks);
            over.after(1);
        });
    });
}

/// A task that gives way to another one like it, until two others have had their turns.
fn busy(tree: &Arc<Tree>, done: &Count) -> NodeRef {
    let (within, done) = (tree.clone(), done.clone());
    ready(tree, move || {
        if done.get() < 2 {
            pumps(&within).push(&within, busy(&within, &done));
        }
    })
}
