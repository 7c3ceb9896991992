//! A handle that was given away is gone; clones are cheap.

use foster::Nursery;

fn give(_: Nursery) {}

pub fn run(n: Nursery) {
    let kept = n.clone();
    give(n);
    #[cfg(misuse)]
    n.spawn(async {}); //~ E0382
    kept.spawn(async {});
}
