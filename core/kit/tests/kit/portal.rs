//! Portals: what a start gives that is cut short, and destructors that panic while a panic goes on.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::panicking;
use std::time::Duration;

use foster::nursery::Started;
use foster::portal::{Portal, PortalError, PortalHost, PortalStartError, portal};
use foster::sync::Event;
use foster::{Nursery, defer, nursery, shield, sleep, sleep_forever, to_thread};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Hosts a portal on a number of seeds, and lets `work` use it on a thread.
fn with(work: fn(Portal)) {
    for seed in 0..20 {
        foster_sim::run(seed, async {
            let (portal, host) = Portal::new();
            let Ok(()) = nursery(async |n: Nursery| {
                n.spawn(host);
                to_thread(move || work(portal)).await;
                Ok(())
            })
            .await;
        });
    }
}

/// Has the portal cancelled in 20 ms.
fn cancel_soon(portal: &Portal) {
    let up = portal.clone();
    let late = portal.spawn(async move {
        sleep(ms(20)).await;
        up.cancel("enough");
    });
    drop(late.unwrap());
}

/// L13: a task that goes on in a shield when its portal is cancelled, and returns, has its value come out, as that of a
/// call does.
#[test]
fn a_start_gives_the_value_of_a_task_that_ended_after_the_cancel() {
    with(|portal| {
        cancel_soon(&portal);
        let called = portal.call(async {
            shield(sleep(ms(50))).await;
            "value"
        });
        assert_eq!(called.unwrap(), "value");
    });
    with(|portal| {
        cancel_soon(&portal);
        let started = portal.start(|_status: Started<()>| async {
            shield(sleep(ms(50))).await;
            "value"
        });
        assert!(matches!(started, Err(PortalStartError::NotReady("value"))), "{started:?}");
    });
    // A child that says by then that it is ready is not heard, and is told so.
    with(|portal| {
        cancel_soon(&portal);
        let started = portal.start(|status: Started<&str>| async move {
            shield(async { (sleep(ms(50)).await, status.started("ready")).1 }).await
        });
        assert!(matches!(started, Err(PortalStartError::NotReady(false))), "{started:?}");
    });
    // One that returns nothing was cancelled.
    with(|portal| {
        cancel_soon(&portal);
        let started = portal.start(|_status: Started<()>| async {
            shield(sleep(ms(50))).await;
            sleep_forever().await
        });
        assert!(matches!(started, Err(PortalStartError::Portal(PortalError::Cancelled(_)))), "{started:?}");
    });
}

/// L13, L14: what was heard before the cancel comes out, and the value of the task too, though both have happened before
/// the caller's part in the tree has had a turn.
#[test]
fn a_start_gives_what_was_heard_before_the_cancel() {
    with(|portal| {
        let up = portal.clone();
        let started = portal.start(|status: Started<&str>| async move {
            sleep(ms(10)).await;
            let heard = status.started("ready");
            up.cancel("enough");
            heard
        });
        let (ready, task) = started.unwrap();
        assert_eq!((ready, task.join().unwrap()), ("ready", true));
    });
}

/// A value whose destructor panics, and which notes whether that met a panic that was going on: where it does, a second
/// one would abort the process.
struct Bomb(Arc<AtomicBool>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if panicking() {
            self.0.store(true, Ordering::SeqCst);
        } else {
            resume_unwind(Box::new("bomb"));
        }
    }
}

/// Runs `body` in a portal; it panics with "first", and all bombs are dropped before that goes on.
fn resumes_the_first(body: impl FnOnce(&Portal, Bomb)) {
    let run = |host: PortalHost| foster_sim::Builder::new(1).real_threads(Duration::from_secs(60)).run(host);
    let met = Arc::new(AtomicBool::new(false));
    let bomb = Bomb(met.clone());
    let ended = catch_unwind(AssertUnwindSafe(|| portal(run, |portal| body(portal, bomb))));
    assert_eq!(ended.unwrap_err().downcast_ref(), Some(&"first"));
    assert!(!met.load(Ordering::SeqCst), "a value was dropped while a panic went on");
}

/// L32: of two panics the one that resumes is alone: the payload of the other, whose destructor may panic, is gone by then.
#[test]
fn the_panic_of_the_body_meets_no_payload_of_a_task() {
    resumes_the_first(|portal, bomb| {
        let task = portal.spawn(async { panic_any(bomb) }).unwrap();
        assert!(matches!(task.join(), Err(PortalError::Panicked)));
        panic_any("first")
    });
}

/// The same for the value of a body, when a task has panicked.
#[test]
fn the_panic_of_a_task_meets_no_value_of_the_body() {
    let run = |host: PortalHost| foster_sim::Builder::new(1).real_threads(Duration::from_secs(60)).run(host);
    let met = Arc::new(AtomicBool::new(false));
    let bomb = Bomb(met.clone());
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let value = portal(run, |portal| {
            drop(portal.spawn(async { panic_any("first") }).unwrap());
            bomb
        });
        std::mem::forget(value);
    }));
    assert_eq!(ended.unwrap_err().downcast_ref(), Some(&"first"));
    assert!(!met.load(Ordering::SeqCst), "a value was dropped while a panic went on");
}

/// The same for the value of a task that is not ready, and whose finalizer panics.
#[test]
fn the_panic_of_a_finalizer_meets_no_value_of_its_task() {
    resumes_the_first(|portal, bomb| {
        let started = portal.start(|_status: Started<()>| async {
            let crash: fn() = || panic_any("first");
            defer(async move { crash() });
            bomb
        });
        std::mem::forget(started);
    });
}

/// L32: a value that nobody wants any more is dropped in its task, whose panic that of its destructor is.
#[test]
fn a_value_that_nobody_wants_is_dropped_in_its_task() {
    let run = |host: PortalHost| foster_sim::Builder::new(1).real_threads(Duration::from_secs(60)).run(host);
    let bomb = Bomb(Arc::default());
    let gone = Arc::new(Event::new());
    let wait = gone.clone();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        portal(run, |portal| {
            let task = portal.spawn(async move {
                wait.wait().await;
                bomb
            });
            drop(task.unwrap());
            gone.set();
        });
    }));
    assert_eq!(ended.unwrap_err().downcast_ref(), Some(&"bomb"));
}
