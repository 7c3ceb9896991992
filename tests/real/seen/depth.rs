//! Trees that are deep.

use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use foster::{CancelScope, Nursery, ScopeHandle, nursery};

const DEPTH: usize = 100_000;
/// The variable that says that this process is the one that may overflow.
const INNER: &str = "FOSTER_DEEP_TREE";
const NAME: &str = "seen::depth::the_last_handle_of_a_deep_tree_is_dropped_on_a_small_stack";

/// A task in a nursery in a task, and so on; the innermost leaves a handle to its scope.
fn deeper(depth: usize, handle: Arc<Mutex<Option<ScopeHandle>>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            let mut scope = CancelScope::new();
            *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(scope.handle());
            return scope.run(foster::yield_now()).await.expect("nobody cancels it");
        }
        let Ok(()) = nursery(move |n: Nursery| async move {
            n.spawn(deeper(depth - 1, handle));
            Ok(())
        })
        .await;
    })
}

/// L37. As an overflow would end the whole process, it happens in another one.
#[test]
fn the_last_handle_of_a_deep_tree_is_dropped_on_a_small_stack() {
    if std::env::var_os(INNER).is_none() {
        let this = std::env::current_exe().expect("a test has a path");
        let inner = Command::new(this).args(["--exact", NAME, "--nocapture"]).env(INNER, "1").output();
        let inner = inner.expect("a test can be run");
        let text = String::from_utf8_lossy(&inner.stderr);
        assert!(inner.status.success(), "it has ended with {}: {text}", inner.status);
        let out = String::from_utf8_lossy(&inner.stdout);
        assert!(out.contains("1 passed"), "the inner test has not run: {out}");
        return;
    }
    let kept = Arc::new(Mutex::new(None));
    let handle = kept.clone();
    foster_smol::run(deeper(DEPTH, handle));
    let handle = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    assert!(handle.is_some());
    let small = std::thread::Builder::new().stack_size(2 << 20).spawn(move || drop(handle));
    small.expect("the host has threads").join().expect("dropping a handle does not panic");
}
