//! The runtime contract on tokio, on both of its runtimes, and what only this adapter promises.

use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use foster::Instant;
use foster::runtime::{Runtime, Timer};
use foster_tokio::{Builder, Tokio, attach, run};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::{consume_budget, yield_now};
use tokio::time::timeout;

use foster_conformance::contract::Host;

mod current_thread {
    use super::*;

    foster_conformance::contract!(host(runtime::Builder::new_current_thread()));
}

mod multi_thread {
    use super::*;

    foster_conformance::contract!(host(runtime::Builder::new_multi_thread()));
}

/// A runtime on a thread of its own, which stops and drops it in the end.
fn host(mut builder: runtime::Builder) -> Host {
    let runtime = builder.enable_time().build().expect("the host lets us");
    let adapter = Arc::new(Tokio::on(runtime.handle().clone()));
    let (stop, stopped) = oneshot::channel::<()>();
    let driver = thread::spawn(move || runtime.block_on(stopped));
    Host::new(adapter, move || {
        drop(stop);
        driver.join().expect("no job panics").expect_err("nobody sends");
    })
}

/// B001, B002.
#[test]
fn run_returns_what_the_future_returns() {
    for builder in builders() {
        assert_eq!(builder.clone().run(async { Rc::new(3) }), Rc::new(3));
        assert_eq!(builder.run(async { Err::<(), _>("as it is") }), Err("as it is"));
    }
}

/// B003.
#[test]
fn run_inside_a_runtime_is_refused_and_harms_nothing() {
    for builder in builders() {
        let inner = builder.clone();
        let refused = builder.run(async { message_of(|| inner.run(async {})) });
        assert!(refused.contains("foster_tokio::attach"), "{refused}");
    }
    assert_eq!(run(async { 3 }), 3);
}

#[test]
fn run_shuts_down_also_when_the_future_panics() {
    let held = Arc::new(());
    for builder in builders() {
        let panic = message_of(|| {
            builder.run(async {
                let _held = Arc::clone(&held);
                panic!("on purpose");
            })
        });
        assert_eq!(panic, "on purpose");
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

#[test]
fn run_does_not_wait_for_an_abandoned_thread() {
    for builder in builders() {
        let (release, released) = mpsc::channel();
        let (started, is_started) = mpsc::channel();
        builder.run(async {
            let work = move || {
                started.send(()).expect("the test waits for this");
                released.recv_timeout(LIMIT).expect("the run has ended meanwhile");
            };
            Tokio::current().blocking(Box::new(work)).expect("a thread can be had");
            is_started.recv_timeout(LIMIT).expect("the job runs");
        });
        release.send(()).expect("the thread still runs");
    }
}

#[tokio::test]
async fn attach_makes_a_tree_inside_a_tokio_program() {
    assert_eq!(attach(async { 1 + 2 }).await, 3);
}

#[test]
fn attach_names_the_fix_if_there_is_no_runtime() {
    let message = message_of(|| attach(async {}));
    assert!(message.contains("foster_tokio::run"), "{message}");
}

#[test]
fn attach_names_the_fix_if_the_runtime_has_no_timers() {
    let bare = runtime::Builder::new_current_thread().build().expect("the host lets us");
    let message = bare.block_on(async { message_of(|| attach(async {})) });
    assert!(message.contains("enable_time"), "{message}");
}

/// B010.
#[tokio::test(start_paused = true)]
async fn paused_clock_of_a_test_is_the_clock_of_the_tree() {
    let adapter = Tokio::current();
    let start = adapter.now();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(adapter.now() - start, Duration::from_secs(3600));

    let at = start + Duration::from_secs(7200);
    fired(&mut *adapter.timer(), at, &adapter).await;
    assert!(adapter.now() - at < Duration::from_millis(2), "{:?}", adapter.now());
}

/// R6: a timer that is armed at the end of a turn is armed.
#[tokio::test]
async fn timer_needs_no_budget() {
    let adapter = Tokio::current();
    let mut timer = adapter.timer();
    let at = adapter.now() + Duration::from_millis(5);
    let mut fired = pin!(fired(&mut *timer, at, &adapter));
    let spent = poll_fn(|cx| {
        while !adapter.should_yield() {
            assert!(pin!(consume_budget()).poll(cx).is_ready());
        }
        fired.as_mut().poll(cx)
    });
    timeout(LIMIT, spent).await.expect("the timer fires");
}

/// R9.
#[tokio::test]
async fn turn_ends_with_the_budget() {
    let adapter = Tokio::current();
    let mut steps = 0;
    while !adapter.should_yield() {
        consume_budget().await;
        steps += 1;
    }
    assert!(steps > 1);
    yield_now().await;
    assert!(!adapter.should_yield());
}

/// A timer of a runtime that is gone does nothing, and does not panic.
#[test]
fn timer_of_a_dead_runtime_stays_silent() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("the host lets us");
    let adapter = Tokio::on(runtime.handle().clone());
    let (mut armed, mut unarmed) = (adapter.timer(), adapter.timer());
    armed.arm(adapter.now() + Duration::from_secs(3600), Waker::noop());
    drop(runtime);
    for timer in [&mut armed, &mut unarmed] {
        timer.arm(adapter.now() + Duration::from_millis(1), Waker::noop());
        timer.disarm();
    }
}

/// How long a test waits for what must happen.
const LIMIT: Duration = Duration::from_secs(10);

fn builders() -> [Builder; 3] {
    [Builder::new().current_thread(), Builder::new().worker_threads(1), Builder::new().worker_threads(2)]
}

/// Ready once a timer that was armed in the first poll has woken the task at that instant.
async fn fired(timer: &mut dyn Timer, at: Instant, runtime: &dyn Runtime) {
    let mut is_armed = false;
    poll_fn(|cx| {
        if !mem::replace(&mut is_armed, true) {
            timer.arm(at, cx.waker());
        }
        if runtime.now() < at { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// The message of the panic that this ends with.
fn message_of<T>(panics: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(panics)) else { panic!("it did not panic") };
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().expect("a panic with a message")).to_owned(),
    }
}

/// R9: a group stops its turn at the end of the budget. Otherwise each of tokio's finished handles beyond it would
/// refuse, and be polled anew in every turn: 20,000 of them were polled a million and a half times.
#[tokio::test]
async fn a_group_of_finished_handles_is_linear() {
    const HANDLES: usize = 20_000;
    #[expect(clippy::disallowed_methods, reason = "handles of the host's own are what is gathered")]
    let handles: Vec<_> = (0..HANDLES).map(|n| tokio::spawn(async move { n })).collect();
    while !handles.iter().all(tokio::task::JoinHandle::is_finished) {
        yield_now().await;
    }
    let polls = std::sync::atomic::AtomicUsize::new(0);
    let counted = handles.into_iter().map(|mut handle| {
        let polls = &polls;
        poll_fn(move |cx| {
            polls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Pin::new(&mut handle).poll(cx)
        })
    });
    let joined = foster_tokio::attach(foster::combine::gather_results(counted)).await;
    assert_eq!(joined.len(), HANDLES);
    let polls = polls.into_inner();
    assert!(polls <= HANDLES + HANDLES / 50, "{polls} polls");
}

/// R9: foster's operations and tokio's share the budget of tokio's task.
#[tokio::test]
async fn operations_take_from_the_budget_of_tokio() {
    let adapter = Tokio::current();
    foster_tokio::attach(async {
        yield_now().await;
        let mut steps = 0;
        while !adapter.should_yield() && steps < 10_000 {
            foster::checkpoint().await;
            steps += 1;
        }
        assert!(steps < 10_000, "a checkpoint takes nothing from the budget");
    })
    .await;
}
