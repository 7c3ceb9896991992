//! Values that were given to code that was cancelled already, and died with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foster::channel::{bounded, oneshot};
use foster::sync::{Condition, Event, Mutex, RwLock, Semaphore};
use foster::{CancelScope, Nursery, nursery};

use super::{ends, rounds, until};

const ROUNDS: usize = 100;

/// Two tasks wait; the first is cancelled, and in the same moment something is given that is enough for one: the second
/// gets it, and the first does not go on.
async fn goes_to_the_second<W>(wait: impl Fn() -> W, waiting: impl Fn() -> usize, give: impl FnOnce())
where
    W: Future<Output = ()> + Send + 'static,
{
    let went_on = Arc::new(AtomicBool::new(false));
    let Ok(()) = nursery(async |n: Nursery| {
        let (wait_first, first_went_on) = (wait(), went_on.clone());
        let first = n.spawn(async move {
            wait_first.await;
            first_went_on.store(true, Ordering::SeqCst);
        });
        until(|| waiting() == 1).await;
        let second = n.spawn(wait());
        until(|| waiting() == 2).await;
        first.cancel("it is not needed any more");
        give();
        second.await.expect("nobody cancels the second");
        Ok(())
    })
    .await;
    assert!(!went_on.load(Ordering::SeqCst), "a cancelled task was given something and went on");
}

/// L14: a message that is sent after the cancel of the first receiver in line goes to the next.
pub async fn what_is_sent_after_a_cancel_goes_to_the_next_receiver() {
    ends("what_is_sent_after_a_cancel_goes_to_the_next_receiver", sent(1)).await;
}

/// L14: as above, without a buffer.
pub async fn what_is_handed_over_after_a_cancel_goes_to_the_next_receiver() {
    ends("what_is_handed_over_after_a_cancel_goes_to_the_next_receiver", sent(0)).await;
}

async fn sent(capacity: usize) {
    for _ in rounds(ROUNDS, 1) {
        let (tx, rx) = bounded(capacity);
        let wait = || {
            let rx = rx.clone();
            async move { assert_eq!(rx.recv().await, Ok("job")) }
        };
        let waiting = || tx.statistics().waiting_receivers;
        goes_to_the_second(wait, waiting, || tx.try_send("job").expect("a receiver waits")).await;
    }
}

/// L14: what is taken out after the cancel of the first sender in line makes place for the next one's message.
pub async fn the_message_of_a_cancelled_sender_is_skipped() {
    ends("the_message_of_a_cancelled_sender_is_skipped", received(1)).await;
}

/// L14: as above, without a buffer.
pub async fn the_rendezvous_of_a_cancelled_sender_is_skipped() {
    ends("the_rendezvous_of_a_cancelled_sender_is_skipped", received(0)).await;
}

async fn received(capacity: usize) {
    for _ in rounds(ROUNDS, 1) {
        let (tx, rx) = bounded(capacity);
        for _ in 0..capacity {
            tx.try_send(0).expect("there is place");
        }
        let number = std::cell::Cell::new(0);
        let wait = || {
            number.set(number.get() + 1);
            let (tx, number) = (tx.clone(), number.get());
            async move { tx.send(number).await.expect("the receiver lives") }
        };
        let give = || {
            let expected: Vec<u32> = (0..capacity).map(|_| 0).chain([2]).collect();
            let got: Vec<u32> = expected.iter().map(|_| rx.try_recv().expect("a sender waits")).collect();
            assert_eq!(got, expected, "the first message of 1 is a cancelled sender's");
        };
        goes_to_the_second(wait, || rx.statistics().waiting_senders, give).await;
    }
}

/// L14: a receiver that is cancelled does not go on with what is sent to it later.
pub async fn a_oneshot_gives_nothing_to_a_cancelled_receiver() {
    ends("a_oneshot_gives_nothing_to_a_cancelled_receiver", async {
        for _ in rounds(ROUNDS, 1) {
            let (tx, rx) = oneshot();
            let went_on = Arc::new(AtomicBool::new(false));
            let waits = Arc::new(AtomicBool::new(false));
            let Ok(()) = nursery(async |n: Nursery| {
                let (went_on, set_waits) = (went_on.clone(), waits.clone());
                let receiver = n.spawn(async move {
                    set_waits.store(true, Ordering::SeqCst);
                    let got = rx.await;
                    went_on.store(true, Ordering::SeqCst);
                    let _ = got;
                });
                until(|| waits.load(Ordering::SeqCst)).await;
                for _ in 0..10 {
                    foster::yield_now().await;
                }
                receiver.cancel("it is not needed any more");
                let _ = tx.send("job");
                Ok(())
            })
            .await;
            assert!(!went_on.load(Ordering::SeqCst), "a cancelled receiver was given a value and went on");
        }
    })
    .await;
}

/// L14: what is sent after a cancel is not for the code that was cancelled, also if that is just about to look, and need
/// not wait.
pub async fn what_is_sent_after_a_cancel_is_not_found() {
    ends("what_is_sent_after_a_cancel_is_not_found", async {
        for _ in rounds(ROUNDS * 10, 20) {
            let (tx, rx) = bounded(1);
            let mut scope = CancelScope::new();
            let handle = scope.handle();
            let (here, there) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let both = (here.clone(), there.clone());
            let Ok(()) = nursery(async |n: Nursery| {
                let looks = n.spawn(async move {
                    meet(&here, &there);
                    Ok(scope.run(rx.recv()).await.ok())
                });
                n.spawn(async move {
                    meet(&both.1, &both.0);
                    handle.cancel("it is not needed any more");
                    // It may be gone.
                    let _ = tx.try_send("job");
                });
                let found = looks.await.expect("nobody cancels the task");
                assert!(found.is_none(), "cancelled code was given {found:?}");
                Ok(())
            })
            .await;
        }
    })
    .await;
}

/// Comes to the place `here`, and waits a little for the one from `there`, on another thread if there is one.
fn meet(here: &AtomicUsize, there: &AtomicUsize) {
    here.store(1, Ordering::SeqCst);
    for _ in 0..2_000 {
        if there.load(Ordering::SeqCst) == 1 {
            return;
        }
        std::hint::spin_loop();
    }
}

/// L14: a permit that is released after the cancel of the first in line goes to the next.
pub async fn a_permit_goes_past_a_cancelled_waiter() {
    ends("a_permit_goes_past_a_cancelled_waiter", async {
        for _ in rounds(ROUNDS, 1) {
            let semaphore = Arc::new(Semaphore::new(1));
            let held = semaphore.try_acquire().expect("it is free");
            let wait = || {
                let semaphore = semaphore.clone();
                async move { drop(semaphore.acquire().await) }
            };
            goes_to_the_second(wait, || semaphore.statistics().waiting, || drop(held)).await;
            assert_eq!(semaphore.available(), 1);
        }
    })
    .await;
}

/// L14: a notification after the cancel of the first in line goes to the next.
pub async fn a_notification_goes_past_a_cancelled_waiter() {
    ends("a_notification_goes_past_a_cancelled_waiter", async {
        for _ in rounds(ROUNDS, 1) {
            let shared = Arc::new((Mutex::new(()), Condition::new()));
            let wait = || {
                let shared = shared.clone();
                async move {
                    let guard = shared.0.lock().await;
                    drop(shared.1.wait(guard).await);
                }
            };
            let give = || {
                // A waiter that has just joined may be about to release it.
                let guard = loop {
                    match shared.0.try_lock() {
                        Ok(guard) => break guard,
                        Err(_) => std::thread::yield_now(),
                    }
                };
                shared.1.notify(&guard, 1);
            };
            goes_to_the_second(wait, || shared.1.waiting(), give).await;
        }
    })
    .await;
}

/// L14: an event that is set after a cancel lets all go on but the cancelled.
pub async fn an_event_wakes_all_but_the_cancelled() {
    ends("an_event_wakes_all_but_the_cancelled", async {
        for _ in rounds(ROUNDS, 1) {
            let event = Arc::new(Event::new());
            let wait = || {
                let event = event.clone();
                async move { event.wait().await }
            };
            goes_to_the_second(wait, || event.statistics().waiting, || event.set()).await;
        }
    })
    .await;
}

/// L14: a mutex that is released after the cancel of the first in line goes to the next.
pub async fn a_mutex_goes_past_a_cancelled_waiter() {
    ends("a_mutex_goes_past_a_cancelled_waiter", async {
        for _ in rounds(ROUNDS, 1) {
            let mutex = Arc::new(Mutex::new(()));
            let held = mutex.try_lock().expect("it is free");
            let wait = || {
                let mutex = mutex.clone();
                async move { drop(mutex.lock().await) }
            };
            goes_to_the_second(wait, || mutex.statistics().waiting, || drop(held)).await;
            assert!(!mutex.statistics().held);
        }
    })
    .await;
}

/// L14: as above, for a task that writes.
pub async fn a_write_lock_goes_past_a_cancelled_waiter() {
    ends("a_write_lock_goes_past_a_cancelled_waiter", async {
        for _ in rounds(ROUNDS, 1) {
            let lock = Arc::new(RwLock::new(()));
            let held = lock.try_read().expect("it is free");
            let wait = || {
                let lock = lock.clone();
                async move { drop(lock.write().await) }
            };
            goes_to_the_second(wait, || lock.statistics().waiting, || drop(held)).await;
            assert!(!lock.statistics().writer);
        }
    })
    .await;
}
