//! A child of `nursery` runs in parallel, and may outlive the body: it cannot borrow from it.

use foster::{Nursery, nursery};

pub async fn run() {
    let Ok(()) = nursery(async |n: Nursery| {
        let text = String::new();
        #[cfg(misuse)]
        n.spawn(async { assert_eq!(text, "") }); //~ E0373|E0597|E0521
        #[cfg(not(misuse))]
        n.spawn(async move { assert_eq!(text, "") });
    })
    .await;
}
