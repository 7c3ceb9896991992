//! Local nurseries: what reaches one from another thread, against what its future is doing at that moment.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};

use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

use super::{Count, begun, check, check_all, tree};
use crate::error::JoinError;
use crate::leaf::ready_queue::{ReadyMember, ReadyQueue};
use crate::nursery::{Started, TaskStatus};
use crate::sync::Event;
use crate::{LocalNursery, local_nursery, sleep_forever, yield_now};

/// A flag, and whoever waits for it: nothing but the flag is a step.
#[derive(Clone, Default)]
struct Flag(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Flag {
    fn raise(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        let waker = self.0.1.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wait(&self) -> impl Future<Output = ()> + use<> {
        let this = self.clone();
        poll_fn(move |cx| {
            *this.0.1.lock().unwrap() = Some(cx.waker().clone());
            if !this.0.0.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
            drop(this.0.1.lock().unwrap().take());
            Poll::Ready(())
        })
    }
}

/// A child that is woken at any moment of its nursery's turn is polled again.
///
/// Fails if `ReadyQueue::end_poll` does not look at the keys, or keeps no waker; and if it does not wake the driver.
#[test]
fn a_wake_of_a_child_races_with_its_nurserys_turn() {
    check(|| {
        let flag = Flag::default();
        let raise = flag.clone();
        let other = thread::spawn(move || raise.raise());
        tree(async {
            let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
                n.spawn(flag.wait());
                n.spawn(yield_now());
            })
            .await;
            other.join().unwrap();
        });
    });
}

/// A child that another thread spawns is driven.
///
/// Fails if `ReadyQueue::tell` wakes nobody, and if `ReadyQueue::end_poll` does not look at the news.
#[test]
fn a_spawn_races_with_the_nurserys_turn() {
    check(|| {
        tree(async {
            let ran = Arc::new(Event::new());
            let runs = ran.clone();
            let Ok(other) = local_nursery(async |n: LocalNursery<'static>| {
                let nursery = n.clone();
                let other = thread::spawn(move || drop(nursery.spawn(async move { runs.set() })));
                ran.wait().await;
                Ok(other)
            })
            .await;
            other.join().unwrap();
        });
    });
}

/// The waker of whoever polls a group is dropped with that, also if something came while it was about to wait.
///
/// Fails if `ReadyQueue::clear` leaves the driver.
#[test]
fn the_end_of_a_group_races_with_its_news() {
    check_all(50_000, || {
        let (ready, gone) = (ReadyQueue::new(), Count::default());
        let body = ReadyMember::body(&ready);
        body.poll(|_| ());
        let waker = gone.on_drop_of_waker();
        let tells = ready.clone();
        let other = thread::spawn(move || tells.tell());
        ready.begin_poll(|_| ());
        ready.end_poll(waker, &body);
        ready.clear();
        other.join().unwrap();
        assert_eq!(gone.get(), 1);
    });
}

/// L34: a handle that another thread awaits has the child's value, whenever that comes.
///
/// Fails if `NodeRef::poll_outcome` keeps a waker of a task that has ended, and if `NodeRef::set_outcome` takes none.
#[test]
fn the_end_of_a_child_races_with_whoever_awaits_it() {
    check(|| {
        tree(async {
            let Ok(other) = local_nursery(async |n: LocalNursery<'_>| {
                let task = n.spawn(async {
                    yield_now().await;
                    Ok(7)
                });
                Ok(thread::spawn(move || assert_eq!(block_on(task), Ok(7))))
            })
            .await;
            other.join().unwrap();
        });
    });
}

/// L28, L41: a handle that another thread awaits is told when the child's nursery is dropped.
///
/// Fails if `NodeRef::orphaned` sets no outcome.
#[test]
fn the_loss_of_a_child_races_with_whoever_awaits_it() {
    check(|| {
        tree(async {
            let (give, given) = mpsc::channel();
            let nursery = begun(Box::pin(local_nursery(async move |n: LocalNursery<'static>| {
                give.send(n.spawn(sleep_forever())).unwrap();
            })));
            let mut task = given.try_recv().unwrap();
            let other = thread::spawn(move || assert_eq!(block_on(task.wait()), TaskStatus::Cancelled));
            drop(nursery);
            other.join().unwrap();
        });
    });
}

/// A child that is woken while it moves from one nursery to another, or after that, is polled in the other one.
///
/// Fails if `LocalChildren::hand_over` leaves the child where it was spawned.
#[test]
fn a_wake_of_a_child_races_with_its_move() {
    check(|| {
        let flag = Flag::default();
        let raise = flag.clone();
        let other = thread::spawn(move || raise.raise());
        tree(async {
            let moved: Result<(), JoinError> = local_nursery(async |n: LocalNursery<'_, JoinError>| {
                n.start(async |status: Started<()>| {
                    yield_now().await;
                    status.started(());
                    flag.wait().await;
                })
                .await
            })
            .await;
            moved.unwrap();
            other.join().unwrap();
        });
    });
}
