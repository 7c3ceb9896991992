//! The acts of a task in the storm.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use foster::channel::oneshot;
use foster::sync::{Event, ParkOutcome, Promise};
use foster::{checkpoint, sleep, to_thread};

use super::Dice;
use super::world::{Pipe, World};

/// How many there are.
pub(crate) const ACTS: usize = 22;

async fn nap(dice: &mut Dice) {
    match dice.below(3) {
        0 => {}
        1 => checkpoint().await,
        // Whole parts of the millisecond in which others are cancelled, so that much happens in one instant.
        _ => sleep(Duration::from_micros(250 * dice.below(12))).await,
    }
}

/// Does one of them, and says which.
pub(crate) async fn act(world: &World, dice: &mut Dice) -> usize {
    let which = dice.below(ACTS as u64) as usize;
    match which {
        0..=8 => lock(world, dice, which).await,
        9..=14 => wait(world, dice, which).await,
        _ => pass(world, dice, which).await,
    }
    which
}

/// Does one of them, but not for long: drops it after so many polls, as a `select!` would.
pub(crate) async fn act_briefly(world: &World, dice: &mut Dice) {
    let mut polls = dice.below(4);
    let mut act = pin!(act(world, dice));
    let brief = poll_fn(|cx| {
        if act.as_mut().poll(cx).is_ready() || polls == 0 {
            return Poll::Ready(());
        }
        polls -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    brief.await;
}

/// Locks and permits.
async fn lock(world: &World, dice: &mut Dice, which: usize) {
    match which {
        0 => {
            let mut guard = world.mutex.lock().await;
            *guard += 1;
            nap(dice).await;
        }
        1 => match world.poison.lock().await {
            Ok(mut guard) => {
                assert_eq!(guard.0, guard.1);
                guard.0 += 1;
                nap(dice).await;
                guard.1 += 1;
                guard.complete();
            }
            Err(poisoned) => {
                let mut guard = poisoned.into_guard();
                guard.1 = guard.0;
                guard.mend();
            }
        },
        2 => {
            let guard = world.rw.read().await;
            let before = *guard;
            nap(dice).await;
            assert_eq!(*guard, before);
        }
        3 => {
            let mut guard = world.rw.write().await;
            *guard += 1;
            let mine = *guard;
            nap(dice).await;
            let guard = guard.downgrade();
            nap(dice).await;
            assert_eq!(*guard, mine);
        }
        4 => {
            let _permit = world.semaphore.acquire_many(1 + dice.below(3) as usize).await;
            nap(dice).await;
        }
        5 => {
            let permit = world.semaphore.clone().acquire_owned().await;
            nap(dice).await;
            drop(permit);
        }
        6 => {
            let _permit = world.limiter.acquire().await;
            nap(dice).await;
        }
        7 => {
            let name = ["a", "b", "c"][dice.below(3) as usize];
            if let Ok(_permit) = world.limiter.acquire_on_behalf_of(name).await {
                nap(dice).await;
            }
        }
        _ => {
            // From a thread, which takes what it can get at once.
            let (mutex, semaphore, limiter) = (world.mutex.clone(), world.semaphore.clone(), world.limiter.clone());
            let job = to_thread(move || {
                for _ in 0..10 {
                    let taken = (mutex.try_lock(), semaphore.try_acquire(), limiter.try_acquire());
                    std::thread::yield_now();
                    drop(taken);
                }
            });
            job.await;
        }
    }
}

/// Waits for the thing that the act stands for.
async fn wait(world: &World, dice: &mut Dice, which: usize) {
    match which {
        9 => {
            let guard = world.mutex.lock().await;
            if dice.below(2) == 0 {
                let before = *guard;
                let mut guard = world.condition.wait_for(guard, |value| *value != before).await;
                *guard += 1;
            } else {
                world.condition.notify(&guard, dice.below(4) as usize);
            }
        }
        10 => drop(world.barrier.wait().await),
        11 if dice.below(3) > 0 => world.event.get().wait().await,
        11 => world.event.renew(Event::new()).set(),
        12 => {
            let init = async {
                nap(dice).await;
                Err::<u64, _>(())
            };
            assert!(world.cell.get_or_try_init(|| init).await.is_err());
        }
        13 => match dice.below(4) {
            0 => drop(world.promise.renew(Promise::new()).set(1)),
            1 => drop(world.promise.renew(Promise::new()).close("broken")),
            _ => {
                let promise = world.promise.get();
                assert!(promise.wait().await.is_ok_and(|value| *value == 1) || promise.closed().is_some());
            }
        },
        _ => match dice.below(4) {
            0 => drop(world.queues[0].unpark(1)),
            1 => drop(world.queues[0].requeue(2, &world.queues[1])),
            2 => drop(world.queues[1].unpark_all()),
            _ => assert_eq!(world.queues[0].park().await.unwrap(), ParkOutcome::Unparked),
        },
    }
}

/// Channels.
async fn pass(world: &World, dice: &mut Dice, which: usize) {
    let pipe = &world.pipes[dice.below(3) as usize];
    match which {
        15 => {
            let (id, item) = pipe.book.item();
            if pipe.sender.send(item).await.is_ok() {
                pipe.book.sent(id);
            }
        }
        16 => {
            let receiver = pipe.receiver.clone();
            if let Ok(item) = receiver.recv().await {
                pipe.book.received(item);
            }
        }
        17 => {
            let sender = pipe.sender.clone();
            let place = sender.reserve().await.expect("a receiver is there");
            nap(dice).await;
            if dice.below(3) > 0 {
                let (id, item) = pipe.book.item();
                if place.send(item).is_ok() {
                    pipe.book.sent(id);
                }
            }
        }
        18 => threads(pipe).await,
        19 => {
            let (ask, answer) = oneshot();
            assert!(world.asks.0.send(ask).await.is_ok());
            if let Ok(item) = answer.await {
                world.answers.received(item);
            }
        }
        20 => {
            // Looked at before: what is sent in between is no news to a receiver that comes later.
            let before = *world.watched.subscribe().latest();
            let mut receiver = world.watched.subscribe();
            match dice.below(2) {
                0 => drop(world.watched.update(|value| Some(value + 1))),
                _ => assert!(*receiver.recv().await.unwrap() > before),
            }
        }
        _ => {
            let which = dice.below(2) as usize;
            if dice.below(3) == 0 {
                let mut receiver = world.casts[which].subscribe();
                let mut last = None;
                for _ in 0..3 {
                    if let Ok(value) = receiver.recv().await {
                        assert_ne!(last.replace(value), Some(value), "each value once");
                    }
                }
            } else if world.casts[which].send(dice.next()).await.is_ok() {
                world.cast[which].fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// A thread that sends and receives what it can at once.
async fn threads(pipe: &Pipe) {
    let (sender, receiver, book) = (pipe.sender.clone(), pipe.receiver.clone(), pipe.book.clone());
    let job = to_thread(move || {
        for _ in 0..5 {
            let (id, item) = book.item();
            if sender.try_send(item).is_ok() {
                book.sent(id);
            }
            if let Ok(item) = receiver.try_recv() {
                book.received(item);
            }
        }
    });
    job.await;
}
