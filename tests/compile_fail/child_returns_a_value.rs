//! A child returns `()` or a `Result`, so that no `Result` is dropped unseen in something else.

use foster::Nursery;

pub fn run(n: &Nursery) {
    #[cfg(misuse)]
    n.spawn(async { 7 }); //~ E0277 the body and the children of a nursery return `()` or a `Result`
    #[cfg(not(misuse))]
    n.spawn(async { Ok(7) });
}
