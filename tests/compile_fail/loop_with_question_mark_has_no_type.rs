//! `?` in a loop that never ends needs a return type: a block or closure that ends with the loop returns `!`.

use std::io;

use foster::{Nursery, nursery};

async fn accept() -> io::Result<u32> {
    Ok(7)
}

async fn handle(_: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(misuse)]
pub async fn body() -> io::Result<()> {
    nursery(async |n: Nursery<io::Error>| {
        loop {
            let stream = accept().await?; //~ E0277
            n.spawn(handle(stream));
        }
    })
    .await
}

#[cfg(not(misuse))]
pub async fn body() -> io::Result<()> {
    nursery(async |n: Nursery<io::Error>| -> io::Result<()> {
        loop {
            let stream = accept().await?;
            n.spawn(handle(stream));
        }
    })
    .await
}

#[cfg(misuse)]
pub fn child(n: &Nursery<io::Error>) {
    let inner = n.clone();
    n.spawn(async move {
        loop {
            let stream = accept().await?; //~ E0277
            inner.spawn(handle(stream));
        }
    });
}

#[cfg(not(misuse))]
pub fn child(n: &Nursery<io::Error>) {
    async fn serve(n: Nursery<io::Error>) -> io::Result<()> {
        loop {
            let stream = accept().await?;
            n.spawn(handle(stream));
        }
    }
    n.spawn(serve(n.clone()));
}
