//! The runtime contract on smol, and what only this adapter promises.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use foster_smol::{Builder, Smol, attach, run};
use smol::{Executor, channel};

use foster_conformance::contract::{self, Host};

/// An executor on a thread of its own, which stops and drops it in the end.
fn executor() -> Host {
    let executor = Arc::new(Executor::new());
    let runtime = Arc::new(Smol::on(&executor));
    let (stop, stopped) = channel::bounded::<Infallible>(1);
    let driver = thread::spawn(move || smol::block_on(executor.run(stopped.recv())));
    Host::new(runtime, move || {
        drop(stop);
        driver.join().expect("no job panics").expect_err("nobody sends");
    })
}

foster_conformance::contract!(executor());

mod global {
    use super::*;

    #[test]
    fn drives_a_tree_inside_a_smol_program() {
        let runtime: Arc<dyn foster::runtime::Runtime> = Arc::new(Smol::global());
        contract::r1_spawn_from_a_foreign_thread(&runtime);
        contract::r6_timer_never_fires_early(&runtime);
        assert_eq!(smol::block_on(attach(async { 1 + 2 })), 3);
    }
}

/// B001, B002.
#[test]
fn run_returns_what_the_future_returns() {
    assert_eq!(run(async { Rc::new(3) }), Rc::new(3));
    assert_eq!(run(async { Err::<(), _>("as it is") }), Err("as it is"));
}

/// B003.
#[test]
fn run_inside_run_is_refused_and_harms_nothing() {
    let refused = run(async { message_of(|| run(async {})) });
    assert!(refused.contains("await the future there"), "{refused}");
    assert_eq!(run(async { 3 }), 3);
}

#[test]
fn run_inside_a_job_is_refused_on_any_thread() {
    let refused = Builder::new().threads(4).run(foster::nursery(async |n: foster::Nursery<Infallible>| {
        let tasks = [(); 16].map(|()| n.spawn(async { Ok(message_of(|| run(async {}))) }));
        for task in tasks {
            let refused = task.await.expect("the job catches the panic");
            assert!(refused.contains("await the future there"), "{refused}");
        }
        Ok(())
    }));
    assert_eq!(refused, Ok(()));
}

#[test]
fn run_ends_its_threads_also_when_the_future_panics() {
    let held = Arc::new(());
    for threads in [1, 3] {
        let panic = message_of(|| {
            Builder::new().threads(threads).run(async {
                let _held = Arc::clone(&held);
                panic!("on purpose");
            })
        });
        assert_eq!(panic, "on purpose");
        assert_eq!(Arc::strong_count(&held), 1);
    }
    assert_eq!(run(async { 3 }), 3);
}

/// The message of the panic that this ends with.
fn message_of<T>(panics: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(panics)) else { panic!("it did not panic") };
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().expect("a panic with a message")).to_owned(),
    }
}
