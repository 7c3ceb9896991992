//! `check` finds what a test of the suite has left behind, and says what it is.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use foster::thread::to_thread_abandon;
use foster::{CancelScope, ScopeHandle};
use foster_conformance::check;
use foster_conformance::harness::watched;

/// Where the tests here leave something: until each takes it back, for `check` counts the whole process.
static LEFT: Mutex<Option<Left>> = Mutex::new(None);

#[expect(dead_code, reason = "held, not read")]
enum Left {
    Scope(ScopeHandle),
    Waker(Waker),
    Job(Sender<()>),
}

fn leave(left: Option<Left>) {
    *LEFT.lock().unwrap_or_else(PoisonError::into_inner) = left;
}

/// Returns the complaint of `check` about a test that leaves what `test` gives; about the one before it, there is none.
fn complaint<F: Future<Output = Left>>(test: impl FnOnce() -> F) -> String {
    check("tidy", || foster_smol::run(watched(async { drop(CancelScope::new().run(foster::checkpoint()).await) })));
    let run = || check("leaky", || leave(Some(foster_smol::run(watched(test())))));
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it leaves something");
    leave(None);
    payload.downcast_ref::<String>().expect("a text").clone()
}

/// The counts are those of a process in which nothing else runs, so all of them are in one test.
#[test]
fn what_a_test_leaves_is_found() {
    let scope = complaint(|| async {
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        drop(scope.run(foster::checkpoint()).await);
        Left::Scope(handle)
    });
    // The scope, which has ended by itself, and so keeps nothing of what was around it.
    assert!(scope.contains("leaky has left something behind") && scope.contains("scopes: 1"), "{scope}");

    let waker = complaint(|| poll_fn(|cx| Poll::Ready(Left::Waker(cx.waker().clone()))));
    assert!(waker.contains("wakers: 1"), "{waker}");

    let job = complaint(|| async {
        let (release, released) = channel::<()>();
        let mut scope = CancelScope::new();
        let handle = scope.handle();
        // It goes on when its caller has gone.
        let work = to_thread_abandon(move || {
            handle.cancel("it has begun");
            drop(handle);
            released.recv().is_ok()
        });
        assert!(scope.run(work).await.is_err());
        Left::Job(release)
    });
    assert!(job.contains("wakers: 0") && job.contains("jobs: 1"), "{job}");
}
