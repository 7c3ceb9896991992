//! A value that a local child has borrowed cannot be used by the code around while the nursery lasts.

use foster::{LocalNursery, local_nursery};

pub async fn run() {
    let mut count = 0;
    let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
        n.spawn(async { assert_eq!(count, 0) });
        #[cfg(misuse)]
        {
            count += 1; //~ E0506
        }
    })
    .await;
    count += 1;
    assert_eq!(count, 1);
}
