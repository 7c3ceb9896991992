//! What is spawned into a nursery whose future was forgotten.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use foster::{CancelScope, LocalNursery, defer, local_nursery, sleep, sleep_forever};

/// L28, L41, L4: a local nursery drives its children itself, so one that was forgotten takes no more, also while it waits for what it
/// has left. The scope around it ends.
#[test]
fn a_forgotten_local_nursery_takes_no_more() {
    foster_sim::run(1, async {
        let handle = Arc::new(OnceLock::new());
        let given = handle.clone();
        let around = CancelScope::new().run(async move {
            let mut forgotten = Box::pin(local_nursery(async move |n: LocalNursery<'static>| {
                n.spawn(async {
                    defer(sleep(Duration::from_secs(1)));
                    sleep_forever().await
                });
                drop(given.set(n));
                sleep_forever().await
            }));
            assert!(forgotten.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            std::mem::forget(forgotten);
        });
        let late = async {
            sleep(Duration::from_millis(500)).await;
            let n: &LocalNursery<'static> = handle.get().expect("it was polled");
            assert!(!n.is_closed(), "it waits for the finalizer of its child");
            assert!(n.try_spawn(async {}).is_err());
        };
        let (around, ()) = foster::join((around, late)).await;
        assert!(around.is_ok());
    });
}
