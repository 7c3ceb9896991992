//! The release may run after the code around the bracket is gone: it owns what it needs.

use foster::bracket;

pub async fn run() {
    let log = String::new();
    let owned = log.clone();
    #[cfg(misuse)]
    bracket(async { 1 }, async |_| (), |_, _| async { assert_eq!(log, "") }).await; //~ E0373|E0597|E0521
    #[cfg(not(misuse))]
    bracket(async { 1 }, async |_| (), |_, _| async move { assert_eq!(owned, "") }).await;
}
