//! A runtime installed for a whole process, and so in a process of its own.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use foster::runtime::current;
use foster::{CancelScope, Nursery, defer, nursery, shield, sleep, sleep_forever};
use foster_conformance::seen::ends;

/// The adapter that the code runs on, as foster sees it.
fn here() -> &'static str {
    current().expect("installed").name()
}

/// The runtime for scopes outside of any tree is one for the process, and a tree's own comes first.
#[test]
fn an_installed_runtime_does_not_reach_into_trees() {
    assert!(current().is_none());
    foster_smol::install().expect("the first");
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio.block_on(async {
        assert!(foster_tokio::install().is_err(), "there is one already");
        let Ok(outside) = nursery(async |n: Nursery| Ok(n.spawn(async { Ok(here()) }).await)).await;
        assert_eq!(outside, Ok("smol"));
        assert_eq!(foster_tokio::attach(async { here() }).await, "tokio");
        assert_eq!(here(), "smol");
        finalizers_need_a_scope().await;
    });
    assert_eq!(foster_tokio::run(async { here() }), "tokio");
    let name = "a_panic_of_what_was_dropped_cancels_nothing_else";
    futures_lite::future::block_on(ends(name, a_panic_of_what_was_dropped_cancels_nothing_else()));
}

/// L5: the root of all code outside of every tree never ends, so a finalizer that was registered there would never run.
async fn finalizers_need_a_scope() {
    let panic = catch_unwind(|| defer(async {})).expect_err("no scope is around it");
    let message = panic.downcast_ref::<&str>().expect("a text");
    assert!(message.contains("outside of any scope") && message.contains("CancelScope::new()"), "{message}");
    let ran = Arc::new(AtomicBool::new(false));
    let runs = ran.clone();
    CancelScope::new().run(async { defer(async move { runs.store(true, SeqCst) }) }).await.expect("not cancelled");
    assert!(ran.load(SeqCst));
}

/// L29: what foreign code has dropped outside of every tree has no scope around that could fail, and the root of all such
/// code is not cancelled.
async fn a_panic_of_what_was_dropped_cancels_nothing_else() {
    let (panics, panicked) = async_channel::bounded::<()>(1);
    let dropped = nursery(async |n: Nursery| {
        n.spawn(shield(async move {
            sleep(Duration::from_millis(20)).await;
            // Its drop, in the panic, closes the channel.
            let _panics = panics;
            panic!("nobody awaits this");
        }));
        sleep_forever().await;
    });
    let dropped = async {
        let Ok(()) = dropped.await;
    };
    futures_lite::future::or(dropped, sleep(Duration::from_millis(5))).await;
    panicked.recv().await.expect_err("nothing is sent");
    // Until the nursery was closed after that.
    sleep(Duration::from_millis(20)).await;
    let later = nursery(async |n: Nursery| {
        let later = n.spawn(async { Ok(here()) });
        sleep(Duration::from_millis(1)).await;
        Ok(later.await)
    });
    let Ok(later) = later.await;
    assert_eq!(later, Ok("smol"));
}
