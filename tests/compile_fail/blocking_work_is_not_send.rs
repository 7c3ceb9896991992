//! It runs on a thread of its own.

use std::rc::Rc;

use foster::to_thread;

pub async fn run() {
    let kept = Rc::new(7);
    #[cfg(misuse)]
    to_thread(move || drop(kept)).await; //~ E0277 //~ E0277
    #[cfg(not(misuse))]
    to_thread(move || 7).await;
    #[cfg(not(misuse))]
    drop(kept);
}
