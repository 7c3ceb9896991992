//! `?` needs a nursery with an error type.

use std::io;

use foster::{Nursery, nursery};

async fn fetch() -> io::Result<u32> {
    Ok(7)
}

#[cfg(misuse)]
pub async fn run() {
    let Ok(_seven) = nursery(async |_: Nursery| Ok(fetch().await?)).await;
    //~^ E0277
}

#[cfg(not(misuse))]
pub async fn run() -> io::Result<u32> {
    nursery(async |_: Nursery<io::Error>| Ok(fetch().await?)).await
}
