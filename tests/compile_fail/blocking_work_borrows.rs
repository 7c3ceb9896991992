//! A blocking job goes on when its await is gone: it owns what it needs.

use foster::to_thread;

pub async fn run() {
    let text = String::new();
    #[cfg(misuse)]
    to_thread(|| text.len()).await; //~ E0373
    #[cfg(not(misuse))]
    to_thread(move || text.len()).await;
}
