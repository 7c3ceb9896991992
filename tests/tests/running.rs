//! `run` itself, on every adapter: its value, its errors, its end, and what there is without it (B001–B015).

use std::error::Error;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use foster::nursery::TaskStatus;
use foster::{
    CancelScope, Instant, Nursery, bracket, checkpoint, defer, fail_after, interval, is_cancelled, move_on_after,
    nursery, shield, sleep, sleep_until, to_thread,
};
use foster_conformance::check;
use foster_conformance::harness::ms;

/// An adapter's `run`, and what is to be known about it here.
trait Adapter {
    fn run<F: Future>(future: F) -> F::Output;

    /// The message with which a `run` inside a `run` on the same thread is refused contains this; or `None` where it is
    /// a world of its own, which needs nothing from the outer one.
    const NESTED: Option<&'static str>;
}

struct Sim;

impl Adapter for Sim {
    fn run<F: Future>(future: F) -> F::Output {
        foster_sim::run(7, future)
    }

    const NESTED: Option<&'static str> = None;
}

struct Smol;

impl Adapter for Smol {
    fn run<F: Future>(future: F) -> F::Output {
        foster_smol::run(future)
    }

    const NESTED: Option<&'static str> = Some("foster_smol::run was called on a thread that is running a tree already");
}

struct SmolThreads;

impl Adapter for SmolThreads {
    fn run<F: Future>(future: F) -> F::Output {
        foster_smol::Builder::new().threads(3).run(future)
    }

    const NESTED: Option<&'static str> = Smol::NESTED;
}

struct TokioCurrentThread;

impl Adapter for TokioCurrentThread {
    fn run<F: Future>(future: F) -> F::Output {
        foster_tokio::Builder::new().current_thread().run(future)
    }

    const NESTED: Option<&'static str> = Some("foster_tokio::run was called inside a tokio runtime");
}

struct TokioMultiThread;

impl Adapter for TokioMultiThread {
    fn run<F: Future>(future: F) -> F::Output {
        foster_tokio::run(future)
    }

    const NESTED: Option<&'static str> = TokioCurrentThread::NESTED;
}

/// Makes one test of each function, for one adapter.
macro_rules! on {
    ($module:ident, $adapter:ident: $($name:ident,)*) => {
        mod $module {$(
            #[test]
            fn $name() {
                super::check(concat!(stringify!($module), "::", stringify!($name)), super::$name::<super::$adapter>);
            }
        )*}
    };
}

macro_rules! on_each {
    ($($module:ident, $adapter:ident;)*) => {$(
        on! { $module, $adapter:
            run_returns_the_value_of_its_future,
            run_takes_what_is_not_send,
            run_returns_the_very_error,
            run_resumes_the_panic_of_its_future,
            run_returns_when_the_last_child_has_ended,
            run_returns_when_the_last_residue_has_ended,
            a_second_run_on_the_same_thread_cannot_deadlock,
            handles_that_outlive_the_run_say_that_it_is_over,
            a_task_awaited_after_the_run_has_its_value,
        }
    )*};
}

on_each! {
    sim, Sim;
    smol, Smol;
    smol_threads, SmolThreads;
    tokio_current_thread, TokioCurrentThread;
    tokio_multi_thread, TokioMultiThread;
}

/// Executors that are fair. The simulator is not: some of its policies starve on purpose.
mod fair {
    use super::{Smol, SmolThreads, TokioCurrentThread, TokioMultiThread};

    on! { smol, Smol: children_that_spawn_children_starve_nobody, }
    on! { smol_threads, SmolThreads: children_that_spawn_children_starve_nobody, }
    on! { tokio_current_thread, TokioCurrentThread: children_that_spawn_children_starve_nobody, }
    on! { tokio_multi_thread, TokioMultiThread: children_that_spawn_children_starve_nobody, }

    use super::{check, children_that_spawn_children_starve_nobody};
}

/// B001: `run` returns what its future returns.
fn run_returns_the_value_of_its_future<A: Adapter>() {
    assert_eq!(A::run(async { 42 }), 42);
    let text = String::from("borrowed");
    let length = A::run(async {
        checkpoint().await;
        sleep(ms(1)).await;
        text.len()
    });
    assert_eq!(length, text.len());
}

/// B001: neither the future nor its value has to be `Send` or `'static`.
fn run_takes_what_is_not_send<A: Adapter>() {
    let shared = Rc::new(5);
    let borrowed = &shared;
    let again = A::run(async move {
        let mine = borrowed.clone();
        checkpoint().await;
        mine
    });
    assert_eq!((*again, Rc::strong_count(&shared)), (5, 2));
}

#[derive(Debug, PartialEq)]
struct OutOfPaper(u32);

impl fmt::Display for OutOfPaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "out of paper in tray {}", self.0)
    }
}

impl Error for OutOfPaper {}

/// B002: an error comes out as it is, neither wrapped nor in a group, also through a nursery.
fn run_returns_the_very_error<A: Adapter>() {
    let plain: Result<(), OutOfPaper> = A::run(async { Err(OutOfPaper(1)) });
    assert_eq!(plain, Err(OutOfPaper(1)));
    let of_a_child: Result<(), OutOfPaper> = A::run(nursery(async |n| {
        n.spawn(async { (checkpoint().await, Err::<(), _>(OutOfPaper(2))).1 });
        Ok(())
    }));
    assert_eq!(of_a_child, Err(OutOfPaper(2)));
    let boxed: Result<(), Box<dyn Error + Send + Sync>> = A::run(async { Err(OutOfPaper(3).into()) });
    assert_eq!(boxed.unwrap_err().downcast_ref::<OutOfPaper>(), Some(&OutOfPaper(3)));
}

/// B002, L32: a panic comes out, too, when everything inside has ended; the thread is none the worse for it.
fn run_resumes_the_panic_of_its_future<A: Adapter>() {
    let cleaned_up = Arc::new(AtomicUsize::new(0));
    let ended = catch_unwind(AssertUnwindSafe(|| {
        A::run(async {
            let cleaned_up = cleaned_up.clone();
            defer(async move {
                sleep(ms(2)).await;
                cleaned_up.fetch_add(1, Ordering::SeqCst);
            });
            checkpoint().await;
            resume_unwind(Box::new("on purpose"))
        })
    }));
    let payload: Box<_> = ended.map(|never: ()| never).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(cleaned_up.load(Ordering::SeqCst), 1);
    assert_eq!(A::run(async { 1 }), 1);
}

/// Sleeps, then counts one more.
fn count_after(counter: &Arc<AtomicUsize>, millis: u64) -> impl Future<Output = ()> + Send + use<> {
    let counter = counter.clone();
    async move {
        sleep(ms(millis)).await;
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// B006, L2: children that are running when the body is over are waited for, and so are finalizers.
fn run_returns_when_the_last_child_has_ended<A: Adapter>() {
    let ended = Arc::new(AtomicUsize::new(0));
    let Ok(()) = A::run(async {
        defer(count_after(&ended, 3));
        nursery(async |n: Nursery| {
            n.spawn(count_after(&ended, 2));
            n.spawn(count_after(&ended, 6));
        })
        .await
    });
    assert_eq!(ended.load(Ordering::SeqCst), 3);
}

/// B006, L2, L27: so is what nobody in the body waits for any more: a nursery that was dropped half-way, a blocking
/// job.
fn run_returns_when_the_last_residue_has_ended<A: Adapter>() {
    let ended = Arc::new(AtomicUsize::new(0));
    let started = Arc::new(AtomicBool::new(false));
    A::run(async {
        let (up, last) = (started.clone(), count_after(&ended, 5));
        let mut group = Box::pin(nursery(async |n: Nursery| {
            n.spawn(shield(async move {
                up.store(true, Ordering::SeqCst);
                last.await;
            }));
            pending::<()>().await;
        }));
        while !started.load(Ordering::SeqCst) {
            poll_fn(|cx| Poll::Ready(group.as_mut().poll(cx).is_ready())).await;
            checkpoint().await;
        }
        drop(group);

        let counter = ended.clone();
        let mut job = pin!(to_thread(move || counter.fetch_add(1, Ordering::SeqCst)));
        poll_fn(|cx| Poll::Ready(job.as_mut().poll(cx).is_ready())).await;
    });
    assert_eq!(ended.load(Ordering::SeqCst), 2);
}

/// B003: a blocking `run` on a thread that is in one is refused at once, with a message that names the fix, or runs to
/// its end; the outer one goes on, and a second one after it works.
fn a_second_run_on_the_same_thread_cannot_deadlock<A: Adapter>() {
    let value = A::run(async {
        checkpoint().await;
        let nested = catch_unwind(|| A::run(async { (sleep(ms(1)).await, 5).1 }));
        match A::NESTED {
            Some(expected) => {
                let message = message_of(nested.map(|_| ()));
                assert!(message.contains(expected) && message.contains("await"), "{message}");
            }
            None => assert_eq!(nested.unwrap(), 5),
        }
        assert!(!is_cancelled());
        sleep(ms(1)).await;
        7
    });
    assert_eq!(value, 7);
    assert_eq!(A::run(async { (sleep(ms(1)).await, 8).1 }), 8);
}

/// The text of a panic.
#[track_caller]
fn message_of(panicked: thread::Result<()>) -> String {
    let payload = panicked.expect_err("it should have panicked");
    match payload.downcast_ref::<String>() {
        Some(message) => message.clone(),
        None => payload.downcast_ref::<&str>().expect("a text").to_string(),
    }
}

/// B011, L3, L4: handles that another thread has kept say that the run is over; they neither hang nor panic.
fn handles_that_outlive_the_run_say_that_it_is_over<A: Adapter>() {
    let (nursery, scope, tree_side_task) = A::run(async {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        let kept = scope.run(nursery(async |n: Nursery| {
            let task = n.spawn(async { Ok(5) });
            Ok((n, task))
        }));
        let Ok(Ok((n, task))) = kept.await else { panic!("nobody has cancelled it") };
        (n, handle, task)
    });
    let stranger = thread::spawn(move || {
        let mut task = tree_side_task;
        assert!(nursery.is_closed() && nursery.is_empty());
        assert_eq!(nursery.cancel_children("too late"), 0);
        let polls = Arc::new(AtomicUsize::new(0));
        let counter = polls.clone();
        let late = async move {
            counter.fetch_add(1, Ordering::SeqCst);
        };
        let refused = nursery.try_spawn(late).expect_err("the nursery has ended");
        assert!(refused.to_string().contains("ended"), "{refused}");
        assert_eq!(polls.load(Ordering::SeqCst), 0);
        let refused = catch_unwind(AssertUnwindSafe(|| drop(nursery.spawn(refused.into_inner()))));
        let message = message_of(refused);
        assert!(message.contains("has ended") && message.contains("try_spawn"), "{message}");

        assert!(scope.is_closed());
        assert!(!scope.cancel("too late"));
        assert!(!scope.set_deadline(Instant::NEVER));
        assert!(!scope.is_cancelled());

        assert!(!task.cancel("too late"));
        assert_eq!(task.status(), TaskStatus::Finished);
        assert_eq!(task.try_join(), Some(Ok(5)));
    });
    stranger.join().expect("no handle panics");
}

/// B011, L34: a handle can be awaited after the run, on any executor: it has the value.
fn a_task_awaited_after_the_run_has_its_value<A: Adapter>() {
    let Ok(task) = A::run(nursery(async |n: Nursery| Ok(n.spawn(async { (checkpoint().await, Ok(5)).1 }))));
    assert_eq!(futures_lite::future::block_on(task), Ok(5));
}

/// B012: children that spawn their successors without a pause do not keep the others from running.
fn children_that_spawn_children_starve_nobody<A: Adapter>() {
    fn chain(n: &Nursery, links: &Arc<AtomicUsize>, stop: &Arc<AtomicBool>) {
        let (next, links, stop) = (n.clone(), links.clone(), stop.clone());
        n.spawn(async move {
            links.fetch_add(1, Ordering::SeqCst);
            if !stop.load(Ordering::SeqCst) {
                chain(&next, &links, &stop);
            }
        });
    }

    let (links, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let Ok(()) = A::run(nursery(async |n: Nursery| {
        chain(&n, &links, &stop);
        let stop = stop.clone();
        n.spawn(async move {
            for _ in 0..10 {
                checkpoint().await;
            }
            // A timer and a thread get their turn, too.
            sleep(ms(1)).await;
            to_thread(move || stop.store(true, Ordering::SeqCst)).await;
        });
    }));
    assert!(links.load(Ordering::SeqCst) >= 1);
}

/// Returns the message with which a future panics in its first poll where there is no runtime.
#[track_caller]
fn first_poll<F: Future>(make: impl FnOnce() -> F) -> String {
    let before = foster::observer::live_counts();
    let mut future = Box::pin(make());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        panic!("it did not notice");
    }));
    drop(future);
    assert_eq!(foster::observer::live_counts(), before, "it has left something");
    message_of(panicked)
}

/// B004: an operation that needs a runtime panics where there is none; the message names what is missing and the fix.
#[test]
fn without_a_runtime_operations_name_the_fix() {
    check("without_a_runtime_operations_name_the_fix", || {
        let messages = [
            message_of(catch_unwind(|| _ = Instant::now())),
            message_of(catch_unwind(|| defer(async {}))),
            first_poll(|| sleep(ms(1))),
            first_poll(|| sleep_until(Instant::from_nanos(5))),
            first_poll(|| async { interval(ms(1)).tick().await }),
            first_poll(|| move_on_after(ms(1), pending::<()>())),
            first_poll(|| fail_after(ms(1), pending::<()>())),
            first_poll(|| CancelScope::new().named("lost").run(pending::<()>())),
            first_poll(|| shield(pending::<()>())),
            first_poll(|| nursery(async |_: Nursery| {})),
            first_poll(|| bracket(async {}, async |_| {}, |(), _| async {})),
            first_poll(|| to_thread(|| ())),
        ];
        for message in messages {
            for part in ["no foster runtime", "foster_smol::run", "foster_tokio::run", "attach", "install"] {
                assert!(message.contains(part), "{part} is missing in: {message}");
            }
        }
        assert!(!is_cancelled());
        assert!(foster::deadline().is_none() && foster::remaining().is_none() && foster::scope::reason().is_none());
        let refused = message_of(catch_unwind(|| drop(foster_tokio::attach(async {}))));
        assert!(refused.contains("no tokio runtime") && refused.contains("foster_tokio::run"), "{refused}");
    });
}

/// B004: a task that was spawned past the tree is told so, and the tree goes on.
#[test]
fn a_task_outside_of_the_tree_has_no_runtime() {
    check("a_task_outside_of_the_tree_has_no_runtime", || {
        let message = foster_tokio::run(async {
            #[expect(clippy::disallowed_methods, reason = "the mistake that this is about")]
            let stray = tokio::spawn(async { nursery(async |_: Nursery| Ok(())).await.is_ok() });
            let panic = stray.await.unwrap_err().into_panic();
            checkpoint().await;
            message_of(Err(panic))
        });
        assert!(message.contains("tokio::spawn") && message.contains("nursery"), "{message}");
    });
}

/// B015: a runtime of one's own serves several trees, in turn and side by side; each ends by itself.
#[test]
fn one_runtime_serves_several_trees() {
    check("one_runtime_serves_several_trees", || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for n in 0..3 {
            let value = tokio.block_on(async { foster_tokio::attach(async { (sleep(ms(1)).await, n).1 }).await });
            assert_eq!(value, n);
        }
        let (failed, fine) = tokio.block_on(async {
            let failing = foster_tokio::attach(nursery(async |n| {
                n.spawn(async { Err::<(), _>("only this one") });
                pending::<()>().await;
                Ok(())
            }));
            let fine = foster_tokio::attach(async { (sleep(ms(2)).await, is_cancelled()).1 });
            futures_lite::future::zip(failing, fine).await
        });
        assert_eq!((failed, fine), (Err("only this one"), false));
        for n in 0..3 {
            let tree = foster_smol::attach(async { (sleep(ms(1)).await, n).1 });
            assert_eq!(futures_lite::future::block_on(tree), n);
        }
    });
}

/// B015: two adapters work side by side in one process, and a tree of one inside a task of the other.
#[test]
fn two_adapters_work_side_by_side() {
    check("two_adapters_work_side_by_side", || {
        let other = thread::spawn(|| foster_smol::run(async { (sleep(ms(3)).await, "smol").1 }));
        let value = foster_tokio::run(async {
            let inner = to_thread(|| foster_smol::run(async { (sleep(ms(1)).await, "smol in tokio").1 })).await;
            sleep(ms(1)).await;
            (inner, "tokio")
        });
        assert_eq!((value, other.join().unwrap()), (("smol in tokio", "tokio"), "smol"));
    });
}
