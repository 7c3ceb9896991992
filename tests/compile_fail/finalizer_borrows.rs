//! A finalizer runs when the body is over: it owns what it needs.

use foster::defer;

pub async fn run() {
    let text = String::new();
    #[cfg(misuse)]
    defer(async { assert_eq!(text, "") }); //~ E0373|E0597|E0521
    #[cfg(not(misuse))]
    defer(async move { assert_eq!(text, "") });
}
