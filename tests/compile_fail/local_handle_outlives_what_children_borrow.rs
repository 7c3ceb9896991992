//! A handle that was carried away could spawn: so what its children borrow must outlive the handle.

use foster::{LocalNursery, local_nursery};

pub async fn run() {
    let kept = std::sync::Mutex::new(None);
    {
        let text = String::new();
        let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
            //~^ E0373|E0597|E0521
            #[cfg(misuse)]
            drop(kept.lock().unwrap().insert(n.clone()));
            n.spawn(async { assert_eq!(text, "") });
        })
        .await;
    }
    #[cfg(not(misuse))]
    drop(kept.lock().unwrap().insert(()));
    drop(kept.into_inner());
}
