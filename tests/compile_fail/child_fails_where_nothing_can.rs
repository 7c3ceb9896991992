//! In a nursery without an error type nothing can fail.

use std::io;

use foster::Nursery;

async fn child() -> io::Result<()> {
    Ok(())
}

pub fn run(infallible: &Nursery, fallible: &Nursery<io::Error>) {
    #[cfg(misuse)]
    infallible.spawn(child()); //~ E0277 the body and the children of a nursery return `()` or a `Result`
    infallible.spawn(async {});
    fallible.spawn(child());
}
