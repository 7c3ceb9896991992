//! The body returns `()` or a `Result`, like a child.

use foster::{Nursery, nursery};

pub async fn run() {
    #[cfg(misuse)]
    let _: Result<u8, std::convert::Infallible> = nursery(async |_: Nursery| 7).await; //~ E0277 the body and the children of a nursery return `()` or a `Result` //~ E0277 the body and the children of a nursery return `()` or a `Result`
    #[cfg(not(misuse))]
    let _: Result<u8, std::convert::Infallible> = nursery(async |_: Nursery| Ok(7)).await;
}
