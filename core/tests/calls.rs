//! Calls of one blocking job that run beside each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use foster::sync::Event;
use foster::thread::caller;
use foster::{checkpoint, to_thread, yield_now};

/// L38: a call that is always ready does not use up the budget of the others in each turn.
#[test]
fn calls_of_one_job_take_turns() {
    foster_sim::Builder::new(1).real_threads(Duration::from_secs(60)).run(async {
        to_thread(|| {
            let caller = caller();
            let (begun, begins) = mpsc::channel();
            let (beside, done) = (Arc::new(Event::new()), Arc::new(AtomicBool::new(false)));
            thread::scope(|threads| {
                let (starts, ends) = (beside.clone(), done.clone());
                threads.spawn(|| {
                    let busy = caller.call(async move {
                        begun.send(()).unwrap();
                        starts.wait().await;
                        let mut rounds = 0;
                        while !ends.load(Ordering::SeqCst) {
                            assert!(rounds < 100_000, "the other call has no turn");
                            rounds += 1;
                            checkpoint().await;
                        }
                    });
                    busy.unwrap();
                });
                // Behind the first one in the list.
                begins.recv().unwrap();
                let other = caller.call(async move {
                    beside.set();
                    for _ in 0..10 {
                        yield_now().await;
                    }
                    checkpoint().await;
                    done.store(true, Ordering::SeqCst);
                });
                other.unwrap();
            });
        })
        .await;
    });
}
