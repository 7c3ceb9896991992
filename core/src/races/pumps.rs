//! The pumps: pushes, wakes, the end and the teardown, each against what a pump is doing at that moment.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use shuttle::future::block_on;
use shuttle::thread;

use super::{Count, Drive, Threads, check, check_all, ended, tree};
use crate::observer::{ObservedTask, Observer, PrintOrphans, TaskEvent};
use crate::raw::Stage;
use crate::reason::Origin;
use crate::runtime::root;
use crate::sync::Event;
use crate::tree::Tree;
use crate::tree::marks::Mask;
use crate::tree::node::{Cell, Kind, Node, NodeRef};
use crate::tree::pump::{Pumps, Turn};
use crate::{Nursery, nursery, sleep_forever, yield_now};

/// A task that is through when it has had its turn.
#[derive(Clone, Default)]
pub(super) struct Once {
    turns: Count,
    waiter: Arc<Mutex<Option<Waker>>>,
}

/// The node of a task, with what its turn is.
struct Turns<F> {
    turn: F,
    stage: Stage,
}

impl<F: Fn(&NodeRef) -> Poll<()> + Send + Sync + 'static> Cell for Turns<F> {
    fn turn(&self, node: &NodeRef) -> Turn {
        match self.stage.bare_turn(|| (self.turn)(node).is_ready()) {
            None => Turn::Over,
            Some(false) => Turn::Waits,
            Some(true) => Turn::Again,
        }
    }

    fn stage(&self) -> Option<&Stage> {
        Some(&self.stage)
    }
}

impl Once {
    pub(super) fn turn(&self) {
        self.turns.add();
        if let Some(waiter) = self.waiter.lock().unwrap().take() {
            waiter.wake();
        }
    }

    /// Waits, without a step of its own, until so many turns are over.
    pub(super) fn after(&self, turns: usize) {
        block_on(poll_fn(|cx| {
            *self.waiter.lock().unwrap() = Some(cx.waker().clone());
            if self.turns.get() == turns { Poll::Ready(()) } else { Poll::Pending }
        }));
    }
}

/// A tree without a root: what its pumps stand in.
fn bare(threads: usize) -> (Arc<Threads>, Arc<Tree>) {
    let threads = Threads::new(Drive::Pumps(threads));
    (threads.clone(), Tree::new(threads, Arc::new(PrintOrphans)))
}

pub(super) fn pumps(tree: &Tree) -> &Pumps {
    let Some(pumps) = &tree.pumps else { unreachable!("its runtime says how many threads it has") };
    pumps
}

pub(super) fn push(tree: &Arc<Tree>, task: &Once) {
    let task = task.clone();
    push_turn(tree, move || task.turn());
}

pub(super) fn push_turn(tree: &Arc<Tree>, turn: impl Fn() + Send + Sync + 'static) {
    pumps(tree).push(tree, ready(tree, turn));
}

/// A task that has to be put into the queue.
pub(super) fn ready(tree: &Arc<Tree>, turn: impl Fn() + Send + Sync + 'static) -> NodeRef {
    ready_for_turns(tree, move |_| {
        turn();
        Poll::Ready(())
    })
}

/// As [`ready`], for one that may have several turns.
pub(super) fn ready_for_turns(
    tree: &Arc<Tree>,
    turn: impl Fn(&NodeRef) -> Poll<()> + Send + Sync + 'static,
) -> NodeRef {
    let turns = Turns { turn, stage: Stage::bare() };
    turns.stage.placed();
    let origin = Origin::new("once", Location::caller());
    Node::new(Kind::Task, Mask::None, origin, Some(tree.clone()), turns).into_block()
}

/// A pump that finds nothing and goes idle is called for a task that comes at that moment.
///
/// Fails if the queue is unlocked before the pump stands among the idle ones.
#[test]
fn a_push_races_with_a_pump_that_goes_idle() {
    for threads in [1, 2] {
        check(move || {
            let (threads, tree) = bare(threads);
            let task = Once::default();
            push(&tree, &task);
            push(&tree, &task);
            task.after(2);
            pumps(&tree).end();
            drop(tree);
            ended(&threads);
        });
    }
}

/// As above, with two who push.
///
/// Fails as above.
#[test]
fn a_push_races_with_a_push() {
    for threads in [1, 2] {
        check(move || {
            let (threads, tree) = bare(threads);
            let task = Once::default();
            let (other_tree, other_task) = (tree.clone(), task.clone());
            let other = thread::spawn(move || push(&other_tree, &other_task));
            push(&tree, &task);
            task.after(2);
            other.join().unwrap();
            pumps(&tree).end();
            drop(tree);
            ended(&threads);
        });
    }
}

/// A task that holds up its thread holds up no other one: not those that its pump has taken with it.
///
/// Fails if no other pump is called for them, and if a pump that finds the queue empty does not look at the shelves.
#[test]
fn a_turn_that_takes_long_races_with_those_who_come() {
    check(|| {
        let (threads, tree) = bare(2);
        let (long, others) = (Once::default(), Once::default());
        let (held, waited) = (long.clone(), others.clone());
        let mut tasks = vec![ready(&tree, move || {
            waited.after(4);
            held.turn();
        })];
        for _ in 0..4 {
            let other = others.clone();
            tasks.push(ready(&tree, move || other.turn()));
        }
        // One before it, so that it is neither the first of a batch nor alone in one.
        let last = Once::default();
        push(&tree, &last);
        pumps(&tree).push_all(&tree, tasks);
        long.after(1);
        last.after(1);
        pumps(&tree).end();
        drop(tree);
        ended(&threads);
    });
}

/// A task that holds up its thread holds up no other one: not those that it has woken itself, also if the one who comes finds another
/// one that takes long.
///
/// Fails if nobody is called for what is put onto a shelf, if a pump that finds the queue empty does not look at the shelves, and
/// if one that finds a task in the queue does not count what lies on them.
#[test]
fn a_wake_in_a_turn_that_takes_long_races_with_those_who_come() {
    check(|| {
        let (threads, tree) = bare(3);
        let (long, woken, seen) = (Once::default(), Once::default(), Once::default());
        let (held, waited, within) = (long.clone(), seen.clone(), tree.clone());
        push_turn(&tree, move || {
            for _ in 0..2 {
                let (woken, seen) = (woken.clone(), seen.clone());
                push_turn(&within, move || {
                    woken.turn();
                    seen.turn();
                });
            }
            woken.after(2);
            held.turn();
        });
        let held = long.clone();
        push_turn(&tree, move || {
            waited.after(2);
            held.turn();
        });
        long.after(2);
        pumps(&tree).end();
        drop(tree);
        ended(&threads);
    });
}

/// R10: what lies on the shelf of a pump that is polling when the runtime drops the others is not left there.
///
/// Fails if a pump does not look at `ended` before it gives its batch back to the queue.
#[test]
fn a_wake_in_a_turn_races_with_the_teardown() {
    check(|| {
        let (threads, tree) = bare(2);
        let task = Once::default();
        let within = tree.clone();
        // More than are polled before the pump gives way.
        push_turn(&tree, move || (0..17).for_each(|_| push(&within, &task)));
        let runtime = threads.clone();
        let tear_down = thread::spawn(move || runtime.tear_down());
        tear_down.join().unwrap();
        drop(tree);
        ended(&threads);
    });
}

/// A task that is woken while it is being polled gets another turn.
///
/// Fails with `HELD => None` in `Stage::wake`, and with a plain store of `IDLE` in `Stage::end_turn`.
#[test]
fn a_wake_races_with_the_end_of_a_turn() {
    for threads in [1, 2] {
        check(move || {
            tree(Drive::Pumps(threads), async {
                let event = Arc::new(Event::new());
                nursery(async |n: Nursery| {
                    let waited = event.clone();
                    n.spawn(async move { waited.wait().await });
                    n.spawn(async move { event.set() });
                    Ok(())
                })
                .await
                .unwrap();
            });
        });
    }
}

/// An observer is told that a poll is over before it is told that the next one begins, on whatever thread that is.
///
/// Fails if the turn is ended before the poll was told to be over, as it was.
#[test]
fn what_is_told_of_a_poll_races_with_the_next_one() {
    /// What was told of the polls of one task.
    #[derive(Default)]
    struct Told(crate::sys::Mutex<Vec<bool>>);

    impl Observer for Told {
        fn follows_tasks(&self) -> bool {
            true
        }

        fn task(&self, _: &ObservedTask<'_>, event: TaskEvent) {
            match event {
                TaskEvent::PollBegins => self.0.lock().unwrap().push(true),
                TaskEvent::PollEnds { .. } => self.0.lock().unwrap().push(false),
                _ => {}
            }
        }
    }

    check(|| {
        let threads = Threads::new(Drive::Pumps(2));
        let event = Arc::new(Event::new());
        let waited = event.clone();
        let setter = thread::spawn(move || event.set());
        let body = async move {
            nursery(async |n: Nursery| {
                n.spawn(async move { waited.wait().await });
                Ok(())
            })
            .await
            .unwrap();
        };
        let told = Arc::new(Told::default());
        block_on(root(threads.clone(), body).observe(told.clone()));
        setter.join().unwrap();
        ended(&threads);
        let told = told.0.lock().unwrap();
        assert!(!told.is_empty() && told.chunks(2).all(|poll| poll == [true, false]), "{told:?}");
    });
}

/// Whoever is told to queue a task is the only one, so it never has two turns at once; and behind each wake begins a turn.
///
/// Fails as [`a_wake_races_with_the_end_of_a_turn`].
#[test]
fn wakes_race_for_a_turn() {
    fn turns(stage: &Stage, woken: &Count, seen: &Mutex<usize>) {
        let look = || {
            *seen.lock().unwrap() = woken.get();
            false
        };
        while stage.bare_turn(look).expect("nobody else gives it its turn") {}
    }
    check_all(400_000, || {
        let (stage, woken, seen) = (Stage::bare(), Count::default(), Mutex::new(0));
        stage.placed();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    woken.add();
                    if stage.wake() {
                        turns(&stage, &woken, &seen);
                    }
                });
            }
            turns(&stage, &woken, &seen);
        });
        assert_eq!(*seen.lock().unwrap(), 2, "a wake was lost");
    });
}

/// R10, L26: when the runtime drops a pump, each task is lost once: the one that another pump is polling when that poll is over, the one
/// that is woken at that moment, too. The nursery ends.
///
/// Fails without the look at `are_dropped` behind `Turn::Waits`, without the one in `Pumps::push`, and (3000 rounds) if `Pumps::push`
/// puts a task into a queue that has ended, as it did.
#[test]
fn a_turn_races_with_the_teardown() {
    check(|| {
        let threads = Threads::new(Drive::Pumps(2));
        let dropped = Count::default();
        let (stays, goes) = (dropped.on_drop(), dropped.on_drop());
        let event = Arc::new(Event::new());
        let waited = event.clone();
        let setter = thread::spawn(move || event.set());
        let runtime = threads.clone();
        let tear_down = thread::spawn(move || runtime.tear_down());
        let over = block_on(root(threads.clone(), async move {
            nursery(async |n: Nursery| {
                n.spawn(async move {
                    let _stays = stays;
                    sleep_forever().await
                });
                n.spawn(async move {
                    let _goes = goes;
                    // Woken during its turns, and between them.
                    for _ in 0..3 {
                        yield_now().await;
                    }
                    waited.wait().await;
                    yield_now().await;
                });
                Ok(())
            })
            .await
        }));
        over.unwrap();
        assert_eq!(dropped.get(), 2);
        setter.join().unwrap();
        tear_down.join().unwrap();
        ended(&threads);
    });
}

/// R10: what a task that is lost late wakes, does not stay on the shelf of the pump that loses it.
///
/// Fails (3000 rounds) if it is lost before the pump has left its shelf, as it was.
#[test]
fn a_late_loss_races_with_the_teardown() {
    struct Sets(Arc<Event>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set();
        }
    }
    check(|| {
        let threads = Threads::new(Drive::Pumps(2));
        let event = Arc::new(Event::new());
        let waited = event.clone();
        let runtime = threads.clone();
        let tear_down = thread::spawn(move || runtime.tear_down());
        let over = block_on(root(threads.clone(), async move {
            nursery(async |n: Nursery| {
                n.spawn(async move {
                    let _sets = Sets(event);
                    for _ in 0..40 {
                        yield_now().await;
                    }
                    sleep_forever().await
                });
                n.spawn(async move {
                    waited.wait().await;
                    sleep_forever().await
                });
                Ok(())
            })
            .await
        }));
        over.unwrap();
        tear_down.join().unwrap();
        ended(&threads);
    });
}

/// R10: a task that is woken when the runtime has dropped the pumps does not stay in the queue, which it holds itself.
///
/// Fails without the look at `ended` in `Pumps::push`.
#[test]
fn a_push_races_with_the_teardown() {
    for threads in [1, 2] {
        check(move || {
            let (threads, tree) = bare(threads);
            push(&tree, &Once::default());
            let runtime = threads.clone();
            let tear_down = thread::spawn(move || runtime.tear_down());
            push(&tree, &Once::default());
            tear_down.join().unwrap();
            drop(tree);
            ended(&threads);
        });
    }
}

/// L30: a task that is woken while its tree ends is not polled any more, and the pump that comes for it ends, too.
///
/// Fails if a pump does not look at `ended`.
#[test]
fn a_push_races_with_the_end() {
    for threads in [1, 2] {
        check(move || {
            let threads = Threads::new(Drive::Pumps(threads));
            let dropped = Count::default();
            let guard = dropped.on_drop();
            let event = Arc::new(Event::new());
            let waited = event.clone();
            let mut root = Box::pin(root(threads.clone(), async move {
                nursery(async |n: Nursery| {
                    n.spawn(async move {
                        let _guard = guard;
                        waited.wait().await;
                        sleep_forever().await
                    });
                    Ok(())
                })
                .await
            }));
            let first: Pin<&mut _> = root.as_mut();
            assert!(first.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let setter = thread::spawn(move || event.set());
            drop(root);
            setter.join().unwrap();
            ended(&threads);
            assert_eq!(dropped.get(), 1);
        });
    }
}
