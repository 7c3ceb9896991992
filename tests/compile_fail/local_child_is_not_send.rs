//! A local nursery is `Send`, so its children are; the unsend one has no such wish.

use std::rc::Rc;

use foster::{LocalNursery, NurseryOptions, checkpoint, local_nursery};
use foster::nursery::UnsendNursery;

pub async fn run() {
    let kept = Rc::new(());
    #[cfg(misuse)]
    let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
        n.spawn(async {
            //~^ E0277 `Rc<()>` cannot be shared between threads safely
            checkpoint().await;
            drop(kept.clone())
        });
    })
    .await;
    let Ok(()) = NurseryOptions::new().run_local_unsend(async |n: UnsendNursery<'_>| {
        n.spawn(async {
            checkpoint().await;
            drop(kept.clone())
        });
    })
    .await;
    let Ok(()) = local_nursery(async |_: LocalNursery<'_>| {}).await;
}
