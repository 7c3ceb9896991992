//! An `async fn` that spawns itself would have to know whether it is `Send` to say so; a plain function may.

use foster::Nursery;

#[cfg(misuse)]
pub async fn visit(n: Nursery, depth: u32) {
    if depth > 0 {
        n.spawn(visit(n.clone(), depth - 1)); //~ E0283
    }
}

#[cfg(not(misuse))]
pub fn visit(n: &Nursery, depth: u32) {
    let more = n.clone();
    n.spawn(async move {
        if depth > 0 {
            visit(&more, depth - 1);
        }
    });
}
