//! Behaviours: locks and permits that are held for a use, to its very end.

use std::future::Future;
use std::sync::Arc;

use foster::sync::{CapacityLimiter, Mutex, Semaphore};
use foster::{CancelScope, Nursery, defer, move_on_after, nursery, sleep, sleep_forever};

use crate::groups::probe::{Count, Log, caught, crash, text, until};
use crate::harness::ms;
use crate::running::witness::abandon;

/// A use that is in the middle of it when somebody drops it, and takes a while to clean up.
async fn slow_to_end(log: Log, begun: Count) {
    log.add("begins");
    defer(async move {
        sleep(ms(3)).await;
        log.add("ends");
    });
    begun.up();
    sleep_forever().await;
}

/// L19, L27, L40: dropped by foreign code, cancelled or panicking, the use keeps the lock until its cleanup has ended;
/// the next in line has it then, and not before.
pub async fn a_lock_that_is_held_for_a_use_is_released_after_its_cleanup() {
    let lock = Arc::new(Mutex::new(0));
    each_way(
        async |log, begun| {
            let guarded = lock.run(async |mut value| {
                **value += 1;
                slow_to_end(log, begun).await;
            });
            guarded.await
        },
        async |log: Log| lock.run(async |_value| log.add("the next")).await,
    )
    .await;
    assert_eq!(*lock.lock().await, 3);
}

/// L19, L27, L40: so does a permit of a semaphore.
pub async fn a_permit_that_is_held_for_a_use_is_released_after_its_cleanup() {
    let semaphore = Arc::new(Semaphore::new(1));
    each_way(
        async |log, begun| semaphore.run(async |_permit| slow_to_end(log, begun).await).await,
        async |log: Log| semaphore.run(async |_permit| log.add("the next")).await,
    )
    .await;
    assert_eq!(semaphore.available(), 1);
}

/// L19, L27, L40: and one of a limiter.
pub async fn a_limiters_permit_that_is_held_for_a_use_is_released_after_its_cleanup() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    each_way(
        async |log, begun| limiter.run(async |_permit| slow_to_end(log, begun).await).await,
        async |log: Log| limiter.run(async |_permit| log.add("the next")).await,
    )
    .await;
    assert_eq!((limiter.available(), limiter.borrowed()), (1, 0));
}

/// Cuts the use short in each way, with somebody behind it.
async fn each_way(using: impl AsyncFn(Log, Count), next: impl AsyncFn(Log)) {
    for way in ["dropped", "cancelled", "panicked"] {
        let (log, begun) = (Log::new(), Count::new());
        let whole = async {
            match way {
                "dropped" => {
                    let mut using = Box::pin(using(log.clone(), begun.clone()));
                    until(using.as_mut(), begun.reaches(1)).await;
                }
                "cancelled" => {
                    let mut scope = CancelScope::new();
                    let handle = scope.handle();
                    let cancelling = async {
                        begun.reaches(1).await;
                        handle.cancel("enough")
                    };
                    let (cut, asked) =
                        foster::combine::join((scope.run(using(log.clone(), begun.clone())), cancelling)).await;
                    assert!(cut.is_err() && asked);
                }
                _ => {
                    let crashing = async {
                        foster::combine::join((using(log.clone(), begun.clone()), async {
                            begun.reaches(1).await;
                            crash("beside it");
                        }))
                        .await
                    };
                    let out = caught(CancelScope::new().run(crashing)).await;
                    assert_eq!(text(&*out.expect_err("it has panicked")), "beside it");
                }
            }
            next(log.clone()).await;
        };
        CancelScope::new().run(whole).await.unwrap();
        assert_eq!(log.entries(), ["begins", "ends", "the next"], "{way}");
    }
}

/// L14, L40: a use that is cancelled in line leaves it, and its body never runs; a guard that the body moves out keeps
/// the lock.
pub async fn a_use_in_line_can_be_cancelled_and_a_guard_can_be_moved_out() {
    let (lock, ran) = (Arc::new(Mutex::new(7)), Count::new());
    let guard = lock.run(async |guard| guard).await;
    assert_eq!((**guard, lock.try_lock().is_err()), (7, true));
    let waiting = lock.run(async |_value| ran.up());
    assert!(move_on_after(ms(1), waiting).await.is_none());
    abandon(lock.run(async |_value| ran.up())).await;
    drop(guard);
    let other = lock.clone();
    let Ok(()) = nursery(async |n: Nursery| {
        n.spawn(async move { other.run(async |mut value| **value += 1).await });
    })
    .await;
    assert_eq!((*lock.lock().await, ran.value()), (8, 0));
}

const _: fn() = || {
    fn send<F: Future + Send>(_: impl Fn(&'static Arc<Mutex<u8>>) -> F) {}
    send(|lock| lock.run(async |_| ()));
};
