//! `Waker::will_wake` may always say no, even of a waker and its own clone: the library uses it to save work, and for nothing else.

#![expect(unsafe_code, reason = "such a waker can be made by hand only")]

use std::future::Future;
use std::pin::pin;
use std::ptr::null;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use foster::channel::{bounded, oneshot};
use foster::sync::{Event, Mutex, Semaphore};
use foster::{LocalNursery, Nursery, local_nursery, move_on_after, nursery, shield, sleep, sleep_forever};

/// The clones of a waker have the other table.
static TABLES: [RawWakerVTable; 2] = [
    RawWakerVTable::new(|_| RawWaker::new(null(), &TABLES[1]), |_| {}, |_| {}, |_| {}),
    RawWakerVTable::new(|_| RawWaker::new(null(), &TABLES[0]), |_| {}, |_| {}, |_| {}),
];

fn fickle() -> Waker {
    // SAFETY: the functions of the tables use no data, and are safe to call from any thread.
    unsafe { Waker::new(null(), &TABLES[0]) }
}

/// How many of a few polls with such a waker are pending; that each of them returns is the test.
fn pending_polls<T>(future: impl Future<Output = T>) -> usize {
    let waker = fickle();
    assert!(!waker.will_wake(&waker.clone()));
    let mut future = pin!(future);
    (0..5).take_while(|_| future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()).count()
}

#[test]
fn a_waker_need_not_know_its_clone() {
    foster_sim::run(1, async {
        let (event, semaphore, mutex) = (Event::new(), Semaphore::new(0), Mutex::new(()));
        let (_held, (_sender, receiver), (_promise, answer)) = (mutex.lock().await, bounded::<()>(1), oneshot::<()>());
        let Ok(()) = nursery(async |n: Nursery| {
            let task = n.spawn(sleep_forever());
            assert_eq!(pending_polls(nursery(async |inner: Nursery| drop(inner.spawn(sleep_forever())))), 5);
            assert_eq!(pending_polls(local_nursery(async |l: LocalNursery<'_>| drop(l.spawn(sleep_forever())))), 5);
            assert_eq!(pending_polls(move_on_after(Duration::from_secs(1), shield(sleep_forever()))), 5);
            assert_eq!(pending_polls(task), 5);
            assert_eq!(pending_polls(sleep(Duration::from_secs(1))), 5);
            assert_eq!(pending_polls(event.wait()), 5);
            assert_eq!(pending_polls(semaphore.acquire()), 5);
            assert_eq!(pending_polls(mutex.lock()), 5);
            assert_eq!(pending_polls(receiver.recv()), 5);
            assert_eq!(pending_polls(answer), 5);
            n.cancel_children("done");
        })
        .await;
    });
}
