//! The runtime contract on the simulator, asked from foreign threads; the tests of the laws are in
//! `tests/tests/sim.rs`.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use foster::runtime::current;
use foster::sync::Event;
use foster::{Nursery, nursery, sleep, yield_now};
use foster_conformance::contract::Host;
use foster_sim::{Builder, Event as Step, clock};

/// A simulation on a thread of its own, which other threads wake and stop. A clock that jumps would not wait for them,
/// so this one is moved by hand.
fn simulation() -> Host {
    let stop = Arc::new(Event::new());
    let stopped = stop.clone();
    let (started, runtime) = mpsc::channel();
    let driver = thread::spawn(move || {
        Builder::new(0).manual_clock().real_threads(Duration::from_secs(600)).run(async move {
            let runtime = current().expect("a tree has a runtime");
            started.send((runtime, clock())).expect("the test waits for it");
            stopped.wait().await;
        });
    });
    let (runtime, clock) = runtime.recv().expect("the simulation starts");
    let tick = Duration::from_millis(1);
    let (end, ended) = mpsc::channel::<()>();
    let ticker = thread::spawn(move || {
        while ended.recv_timeout(tick) == Err(mpsc::RecvTimeoutError::Timeout) {
            clock.jump(tick);
        }
    });
    Host::new(runtime, move || {
        stop.set();
        driver.join().expect("no job panics");
        drop(end);
        ticker.join().expect("the clock goes forward");
    })
}

foster_conformance::contract!(simulation());

/// R8: a blocking job runs also if the run is over before its turn, or before its time.
#[test]
fn r8_blocking_jobs_that_are_left_at_the_end_are_run() {
    for takes in [Duration::ZERO, support::secs(9)] {
        let ran = Arc::new(AtomicU32::new(0));
        let count = ran.clone();
        Builder::new(0).blocking_time(takes, takes).run(async move {
            let runtime = current().expect("a tree has a runtime");
            let again = (runtime.clone(), count.clone());
            let job = move || {
                again.1.fetch_add(1, Ordering::SeqCst);
                let last = move || {
                    again.1.fetch_add(1, Ordering::SeqCst);
                };
                again.0.blocking(Box::new(last)).expect("the simulation takes it in");
            };
            runtime.blocking(Box::new(job)).expect("the simulation takes it in");
        });
        assert_eq!(ran.load(Ordering::SeqCst), 2, "{takes:?}");
    }
}

/// R11, L39: each task is a job of its own, among which the seed chooses; and the same seed gives the same run.
#[test]
fn each_task_is_a_job() {
    let program = || async {
        let turns = Arc::new(AtomicU32::new(0));
        let Ok(()) = nursery(async |n: Nursery| {
            for number in 0..20 {
                let turns = turns.clone();
                n.spawn(async move {
                    for _ in 0..3 {
                        yield_now().await;
                        turns.fetch_add(1, Ordering::Relaxed);
                    }
                    sleep(Duration::from_secs(number)).await;
                });
            }
        })
        .await;
        turns.load(Ordering::Relaxed)
    };
    let mut schedules = BTreeSet::new();
    for seed in 0..50 {
        let settings = Builder::new(seed).record_trace();
        let [run, again] = [(); 2].map(|()| settings.clone().observe(program()));
        let spawned = run.trace.events().filter(|(_, event)| matches!(event, Step::Spawn(_))).count();
        assert_eq!(spawned, 21);
        assert_eq!((run.hash, run.steps), (again.hash, again.steps));
        assert_eq!((run.elapsed, run.outcome.unwrap()), (Duration::from_secs(19), 60));
        schedules.insert(run.hash);
    }
    assert!(schedules.len() > 5, "only {} schedules", schedules.len());
}
