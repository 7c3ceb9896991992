//! A value is taken once: awaiting a handle by value uses it up.

use foster::Nursery;

pub async fn run(n: Nursery) {
    let mut task = n.spawn(async { Ok(String::new()) });
    task.wait().await;
    drop(task.await);
    #[cfg(misuse)]
    drop(task.await); //~ E0382
}
