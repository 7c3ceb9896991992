//! A combinator that stops at the first error takes futures that return a `Result`; for any others there are the
//! `…_results`.

#[cfg(misuse)]
use foster::combine::{gather, map_concurrent};
#[cfg(not(misuse))]
use foster::combine::{gather_results, map_concurrent_results};

async fn twice(n: u32) -> u32 {
    n * 2
}

#[cfg(misuse)]
pub async fn run() {
    let _ = gather([twice(1), twice(2)]).await; //~ E0271
    let _ = map_concurrent(2, 0..9, twice).await; //~ E0271
}

#[cfg(not(misuse))]
pub async fn run() {
    let _: Vec<u32> = gather_results([twice(1), twice(2)]).await;
    let _: Vec<u32> = map_concurrent_results(2, 0..9, twice).await;
}
