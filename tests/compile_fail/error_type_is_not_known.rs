//! Where nothing says which errors a nursery has, its parameter does.

#[cfg(not(misuse))]
use foster::{LocalNursery, Nursery};
use foster::{local_nursery, nursery};

pub async fn run() {
    #[cfg(misuse)]
    let Ok(()) = nursery(async |n| {
        //~^ E0283
        n.spawn(async {});
    })
    .await;
    #[cfg(not(misuse))]
    let Ok(()) = nursery(async |n: Nursery| {
        n.spawn(async {});
    })
    .await;
}

pub async fn run_local() {
    #[cfg(misuse)]
    let Ok(()) = local_nursery(async |n| {
        //~^ E0283
        n.spawn(async {});
    })
    .await;
    #[cfg(not(misuse))]
    let Ok(()) = local_nursery(async |n: LocalNursery<'_>| {
        n.spawn(async {});
    })
    .await;
}
