//! What the mutation check found untested (see `../MUTATIONS.md`): laws that held, and that nothing would have missed.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foster::{Nursery, nursery, sleep};
use futures_lite::future::poll_once;

/// L4: a nursery that has nothing left to wait for takes no further child, also as long as nobody has polled it to notice.
#[test]
fn a_nursery_that_waits_for_nothing_takes_no_more() {
    foster_sim::run(1, async {
        let handle = Arc::new(OnceLock::new());
        let leaked = handle.clone();
        let mut nursery = pin!(nursery(async move |n: Nursery<Infallible>| {
            n.spawn(sleep(Duration::from_millis(1)));
            drop(leaked.set(n.clone()));
        }));
        assert!(poll_once(nursery.as_mut()).await.is_none());
        let n: &Nursery<Infallible> = handle.get().unwrap();
        assert!(n.try_spawn(async {}).is_ok(), "it waits for its child");
        sleep(Duration::from_millis(2)).await;
        assert!(n.is_empty() && !n.is_closed());
        assert!(n.try_spawn(async {}).is_err(), "it has waited for all");
        let Ok(()) = nursery.await;
    });
}
