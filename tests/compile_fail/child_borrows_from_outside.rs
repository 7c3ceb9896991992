//! Nor from around the nursery, whose future may be forgotten: that is what `local_nursery` is for.

use foster::{LocalNursery, local_nursery};
#[cfg(misuse)]
use foster::{Nursery, nursery};

pub async fn run() {
    let text = String::new();
    #[cfg(misuse)]
    let Ok(()) = nursery(async |n: Nursery| {
        //~^ E0373|E0597|E0521
        n.spawn(async { assert_eq!(text, "") });
    })
    .await;
    #[cfg(not(misuse))]
    let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
        n.spawn(async { assert_eq!(text, "") });
    })
    .await;
}
