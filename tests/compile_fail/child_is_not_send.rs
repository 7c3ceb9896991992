//! A child of `nursery` may run on any thread.

use foster::{Nursery, checkpoint};

pub fn run(n: &Nursery) {
    n.spawn(async {
        //~^ future cannot be sent between threads safely
        #[cfg(misuse)]
        let kept = std::rc::Rc::new(());
        #[cfg(not(misuse))]
        let kept = std::sync::Arc::new(());
        checkpoint().await;
        drop(kept);
    });
}
