//! A finalizer returns `()` or a `Result` without a value.

use foster::defer;

pub fn run() {
    defer(async {});
    defer(async { Err::<(), _>("no") });
    #[cfg(misuse)]
    defer(async { 7 }); //~ E0277
}
