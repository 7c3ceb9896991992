//! The error of the body is the nursery's, too.

use foster::{Nursery, nursery};

pub async fn run() {
    #[cfg(misuse)]
    let _: Result<(), String> = nursery(async |_: Nursery<String>| Err::<(), _>(7u8)).await; //~ E0277
    #[cfg(not(misuse))]
    let _: Result<(), String> = nursery(async |_: Nursery<String>| Err::<(), _>(7u8.to_string())).await;
}
