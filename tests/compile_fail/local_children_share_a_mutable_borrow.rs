//! Local children take turns, and still two of them cannot change the same thing.

use foster::{LocalNursery, local_nursery};

pub async fn run() {
    let (mut one, mut two) = (0, 0);
    let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
        n.spawn(async { one += 1 });
        #[cfg(misuse)]
        n.spawn(async { one += 1 }); //~ E0499
        #[cfg(not(misuse))]
        n.spawn(async { two += 1 });
    })
    .await;
    assert_eq!((one, two), (1, 1));
}
