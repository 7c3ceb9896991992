//! A child's error is its nursery's, or made so.

use foster::Nursery;

async fn child() -> Result<(), u8> {
    Ok(())
}

pub fn run(n: &Nursery<String>) {
    #[cfg(misuse)]
    n.spawn(child()); //~ E0277 the body and the children of a nursery return `()` or a `Result`
    #[cfg(not(misuse))]
    n.spawn(async { child().await.map_err(|error| error.to_string()) });
}
