//! Children that are spawned into a nursery whose future was forgotten.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use foster::error::JoinError;
use foster::nursery::Started;
use foster::{CancelScope, LocalNursery, defer, local_nursery, sleep, sleep_forever};

type Handle = LocalNursery<'static, JoinError>;

/// Forgets a local nursery that has a second's cleanup left, and runs `late` after half of it. The scope around it
/// ends.
async fn forget(late: impl AsyncFnOnce(&Handle)) {
    let handle = Arc::new(OnceLock::new());
    let given = handle.clone();
    let around = CancelScope::new().run(async move {
        let mut forgotten = Box::pin(local_nursery(async move |n: Handle| {
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
        let n: &Handle = handle.get().expect("it was polled");
        assert!(!n.is_closed(), "it waits for the finalizer of its child");
        late(n).await;
    };
    let (around, ()) = foster::combine::join((around, late)).await;
    assert!(around.is_ok());
}

/// L28, L41, L4: a local nursery drives its children itself, so one that was forgotten takes no more, also while it
/// waits for what it has left.
#[test]
fn a_forgotten_local_nursery_takes_no_more() {
    foster_sim::run(1, forget(async |n| assert!(n.try_spawn(async {}).is_err())));
}

/// L28, L41: nor does it take over a child that was started for it; whoever has started that is told, and the child
/// ends.
#[test]
fn a_forgotten_local_nursery_takes_over_no_started_child() {
    foster_sim::run(
        1,
        forget(async |n| {
            let started = n.start(|status: Started<()>| async move {
                assert!(!status.started(()));
                sleep(Duration::MAX).await;
            });
            assert_eq!(started.await, Err(JoinError::NurseryClosed));
        }),
    );
}
