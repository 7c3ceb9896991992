//! Trees that are deep.

use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use foster::{CancelScope, Nursery, ScopeHandle, nursery};

const DEPTH: usize = 100_000;
/// The variable that says that this process is the one that may overflow.
const INNER: &str = "FOSTER_DEEP_TREE";

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

/// Runs this test in a process of its own, which an overflow ends. Returns whether this is that process.
fn is_inner(test: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let this = std::env::current_exe().expect("a test has a path");
    let name = format!("seen::depth::{test}");
    let inner = Command::new(this).args(["--exact", &name, "--nocapture"]).env(INNER, "1").output();
    let inner = inner.expect("a test can be run");
    let text = String::from_utf8_lossy(&inner.stderr);
    assert!(inner.status.success(), "it has ended with {}: {text}", inner.status);
    let out = String::from_utf8_lossy(&inner.stdout);
    assert!(out.contains("1 passed"), "the inner test has not run: {out}");
    false
}

fn on_a_small_stack<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let small = std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, f);
        small.expect("the host has threads").join().expect("it does not panic")
    })
}

/// L37: the last handle of a deep tree is dropped.
#[test]
fn the_last_handle_of_a_deep_tree_is_dropped_on_a_small_stack() {
    if !is_inner("the_last_handle_of_a_deep_tree_is_dropped_on_a_small_stack") {
        return;
    }
    let kept = Arc::new(Mutex::new(None));
    let handle = kept.clone();
    foster_smol::run(deeper(DEPTH, handle));
    let handle = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    assert!(handle.is_some());
    on_a_small_stack(move || drop(handle));
}

/// A task in a nursery in a task, and so on, that stay; `at_the_end` runs in the innermost.
fn stays(depth: usize, at_the_end: Arc<dyn Fn() + Send + Sync>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            at_the_end();
            foster::sleep_forever().await;
        }
        let Ok(()) = nursery(move |n: Nursery| async move {
            n.spawn(stays(depth - 1, at_the_end));
            Ok(())
        })
        .await;
    })
}

/// L30: the root of a deep tree is dropped, and the runtime of one.
#[test]
fn a_deep_tree_is_torn_down_on_a_small_stack() {
    if !is_inner("a_deep_tree_is_torn_down_on_a_small_stack") {
        return;
    }
    let to_depth = |drops_the_root: bool| {
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let is_there = Arc::new(tokio::sync::Notify::new());
            let tells = is_there.clone();
            let tree = stays(DEPTH, Arc::new(move || tells.notify_one()));
            let root = {
                let _context = runtime.enter();
                runtime.spawn(foster_tokio::attach(tree))
            };
            runtime.block_on(is_there.notified());
            if drops_the_root {
                root.abort();
                assert!(runtime.block_on(root).is_err());
            }
            drop(runtime);
        }
    };
    on_a_small_stack(to_depth(true));
    on_a_small_stack(to_depth(false));
}

/// A dump of a deep tree can be printed, and its length is in proportion.
#[test]
fn a_deep_tree_is_dumped() {
    if !is_inner("a_deep_tree_is_dumped") {
        return;
    }
    let length = Arc::new(Mutex::new(0));
    let printed = length.clone();
    foster_smol::run(async move {
        let tree = stays(DEPTH / 2, Arc::new(move || *printed.lock().unwrap() = foster::dump().to_string().len()));
        let is_there = async {
            while *length.lock().unwrap() == 0 {
                foster::yield_now().await;
            }
        };
        foster::combine::race((tree, is_there)).await;
        let length = *length.lock().unwrap();
        assert!(length > 1_000_000 && length < 50_000_000, "{length} bytes");
    });
}
