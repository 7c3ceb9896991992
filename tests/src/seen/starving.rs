//! Loops of operations that are always ready: timers beside them fire all the same.
//!
//! On the simulator time stands still while anything runs, so there these do nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foster::channel::bounded;
use foster::sync::Mutex;
use foster::{Nursery, checkpoint, nursery, sleep};

use super::{ends, rounds};
use crate::groups::probe::is_virtual;
use crate::harness::ms;

/// Repeats `operation` in the body of a nursery until a timer of a child has fired, and after that until one in the
/// same task has.
async fn lets_timers_fire(operation: impl AsyncFn()) {
    if is_virtual() {
        return;
    }
    for _ in rounds(5, 1) {
        let fired = Arc::new(AtomicBool::new(false));
        let Ok(()) = nursery(async |n: Nursery| {
            let by_child = fired.clone();
            n.spawn(async move {
                sleep(ms(1)).await;
                by_child.store(true, Ordering::SeqCst);
            });
            while !fired.swap(false, Ordering::SeqCst) {
                operation().await;
            }
            let beside = async {
                sleep(ms(1)).await;
                fired.store(true, Ordering::SeqCst);
            };
            let busy = async {
                while !fired.load(Ordering::SeqCst) {
                    operation().await;
                }
            };
            foster::combine::join((busy, beside)).await;
            Ok(())
        })
        .await;
    }
}

/// L14, L38: sends and receives that never wait.
pub async fn a_channel_that_is_always_ready_stops_no_timer_beside_it() {
    let (tx, rx) = bounded(1);
    let operation = async || {
        tx.send(()).await.expect("the receiver is here");
        rx.recv().await.expect("the sender is here");
    };
    ends("a_channel_that_is_always_ready_stops_no_timer_beside_it", lets_timers_fire(operation)).await;
}

/// L14, L38: checkpoints.
pub async fn checkpoints_stop_no_timer_beside_them() {
    ends("checkpoints_stop_no_timer_beside_them", lets_timers_fire(async || checkpoint().await)).await;
}

/// L14, L38: a mutex that nobody else wants.
pub async fn a_mutex_that_is_always_free_stops_no_timer_beside_it() {
    let mutex = Mutex::new(());
    let operation = async || drop(mutex.lock().await);
    ends("a_mutex_that_is_always_free_stops_no_timer_beside_it", lets_timers_fire(operation)).await;
}
