//! Scopes that rest in the node around them, and those that tell it to stop at the same moment. What has escaped while it rested is
//! among the models of [`escaped`](super::escaped).

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use shuttle::thread;

use super::{Clock, check_trees, tree, tree_in_time};
use crate::sync::Event;
use crate::tree::ambient;
use crate::{CancelScope, Instant, Nursery, move_on_at, nursery, race_all, shield, sleep_forever, yield_now};

/// Sets an event when it is dropped.
struct Sets(Arc<Event>);

impl Drop for Sets {
    fn drop(&mut self) {
        self.0.set();
    }
}

type Branch = Pin<Box<dyn Future<Output = ()> + Send>>;

/// L11: a scope that begins to rest is woken by the request that comes meanwhile, or sees it. It is polled only when it was woken
/// itself, and the shield beside it waits until it has stopped.
///
/// Fails without `wakes.push_resting(self);` in `NodeRef::mark`, and without `&& !self.flagged(CANCELLED)` in `NodeRef::rest`.
#[test]
fn a_request_races_with_a_scope_that_begins_to_rest() {
    check_trees(|drive| {
        tree(drive, async {
            nursery(async |n: Nursery| {
                let mut scope = CancelScope::new();
                let handle = scope.handle();
                n.spawn(async move {
                    handle.cancel("race");
                });
                let gone = Arc::new(Event::new());
                let sets = Sets(gone.clone());
                let rests: Branch = Box::pin(async move {
                    let _sets = sets;
                    yield_now().await;
                    match sleep_forever().await {}
                });
                let waits: Branch = Box::pin(async move { shield(gone.wait()).await });
                let outcome = scope.run(async {
                    race_all([rests, waits]).await;
                    sleep_forever().await
                });
                assert!(outcome.await.is_err());
                Ok(())
            })
            .await
            .unwrap();
        });
    });
}

/// Time runs out while a scope begins to rest, or is polled once more: whoever drives the node that it rests in is woken, and polls it
/// again. That is a root, a task, or a scope of its own.
///
/// Fails without `wakes.push_chain(self.clone());` in `NodeRef::rests_are_over`, and with `if replaced {` in `NodeRef::keep_waker`.
#[test]
fn time_runs_out_while_a_scope_begins_to_rest() {
    async fn rests(clock: Arc<Clock>, mut again: bool) {
        let tree = ambient::tree().unwrap();
        let time = thread::spawn(move || {
            clock.forward();
            tree.fire_due();
        });
        let waits = poll_fn(|cx| {
            if mem::take(&mut again) {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(move_on_at(Instant::from_nanos(1_000), waits).await.is_none());
        time.join().unwrap();
    }

    for again in [false, true] {
        check_trees(move |drive| tree_in_time(drive, |clock| rests(clock, again)));
        check_trees(move |drive| {
            tree_in_time(drive, |clock| async move {
                nursery(async |n: Nursery| {
                    n.spawn(rests(clock, again));
                })
                .await
                .unwrap();
            });
        });
        check_trees(move |drive| {
            tree_in_time(drive, |clock| async move {
                CancelScope::new().named("a node").run(rests(clock, again)).await.unwrap();
            });
        });
    }
}
