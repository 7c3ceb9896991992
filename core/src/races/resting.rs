//! Scopes that rest in the node around them, and those that tell it to stop at the same moment. What has escaped while it rested is
//! among the models of [`escaped`](super::escaped).

use std::pin::Pin;
use std::sync::Arc;

use super::{check_trees, tree};
use crate::sync::Event;
use crate::{CancelScope, Nursery, nursery, race_all, shield, sleep_forever, yield_now};

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
