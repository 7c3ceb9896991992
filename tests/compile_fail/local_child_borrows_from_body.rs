//! A local child borrows from outside the nursery: the body may be over while it runs.

use foster::{LocalNursery, local_nursery};

pub async fn run() {
    let outside = String::new();
    let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
        let inside = String::new();
        #[cfg(misuse)]
        n.spawn(async { assert_eq!(inside, "") }); //~ E0373|E0597|E0521
        n.spawn(async { assert_eq!(outside, "") });
    })
    .await;
}
