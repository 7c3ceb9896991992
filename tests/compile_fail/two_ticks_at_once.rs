//! Ticks come one after the other.

use std::time::Duration;

use foster::interval;

pub async fn run() {
    let mut interval = interval(Duration::from_secs(1));
    let first = interval.tick();
    #[cfg(misuse)]
    let second = interval.tick(); //~ E0499
    first.await;
    #[cfg(not(misuse))]
    let second = interval.tick();
    second.await;
}
